//! The breaker as a state machine, and shared by several instances.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod machine;
mod shared;

use std::time::Duration;

use waybill_resilience::{Sample, Settings, Span};

fn settings() -> Settings {
    Settings {
        span: Span::Calls(10),
        minimum_calls: 4,
        failure_rate: 0.5,
        slow_call: Duration::from_secs(2),
        slow_call_rate: 0.75,
        consecutive_failures: u32::MAX,
        open_wait: Duration::from_secs(5),
        open_wait_max: Duration::from_secs(20),
        probes: 3,
        probe_wait: Duration::from_mins(1),
    }
}

fn good() -> Sample {
    Sample {
        failed: false,
        took: Duration::from_millis(5),
    }
}

fn bad() -> Sample {
    Sample {
        failed: true,
        ..good()
    }
}

fn slow() -> Sample {
    Sample {
        took: Duration::from_secs(2),
        ..good()
    }
}
