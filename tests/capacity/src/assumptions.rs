//! What is neither in the code nor published: `assumptions.toml`.

use serde::Deserialize;

use crate::{engine::Spread, requests::Manner};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assumptions {
    pub(crate) call: CallSize,
    pub(crate) latency: Latency,
    pub(crate) cpu: Cpu,
    pub(crate) lambda: Lambda,
    pub(crate) containers: Containers,
    pub(crate) machine: Machine,
    pub(crate) watch: Watch,
    pub(crate) tenants: Tenants,
    #[serde(rename = "shape")]
    pub(crate) shapes: Vec<Shape>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallSize {
    pub(crate) arguments_bytes: usize,
    pub(crate) result_bytes: usize,
    pub(crate) kept_hours: f64,
    pub(crate) marks_kept_hours: f64,
}

/// How long requests take, and a tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Latency {
    pub(crate) get: Milliseconds,
    pub(crate) transact: Milliseconds,
    pub(crate) transact_large: Milliseconds,
    pub(crate) batch_write: Milliseconds,
    pub(crate) publish: Milliseconds,
    pub(crate) hop: Milliseconds,
    pub(crate) receive: Milliseconds,
    pub(crate) delete: Milliseconds,
    pub(crate) tool: Milliseconds,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Milliseconds {
    pub(crate) median: f64,
    pub(crate) p90: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cpu {
    pub(crate) call_ms: f64,
    pub(crate) embedded_per_second: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lambda {
    pub(crate) executors: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) gb_per_vcpu: f64,
    pub(crate) init_ms: f64,
    pub(crate) idle_pollers: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Containers {
    pub(crate) tasks: f64,
    pub(crate) vcpu: f64,
    pub(crate) memory_gb: f64,
    pub(crate) sweep_read_units: f64,
    pub(crate) addresses: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    pub(crate) disk_gb: f64,
    /// That it may use for long.
    pub(crate) cores: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Watch {
    pub(crate) metrics: f64,
    pub(crate) log_bytes: f64,
    pub(crate) kms_keys: f64,
    pub(crate) ticks_per_minute: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenants {
    pub(crate) count: usize,
    /// Of the calls, how many are the largest tenant's. The others have the rest evenly.
    pub(crate) largest_share: f64,
}

/// Who calls, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) requests: Manner,
    /// Requests for its status, each answered at once.
    pub(crate) polls: f64,
    pub(crate) tool_s: f64,
    /// How long the first request waits for the outcome at most.
    pub(crate) wait_s: f64,
    /// Deliveries that one invocation of the executor works on at once.
    pub(crate) messages_per_invocation: f64,
    /// Of the invocations, how many begin with a new instance.
    pub(crate) cold_share: f64,
}

impl Assumptions {
    pub(crate) fn read() -> Self {
        toml::from_str(include_str!("../assumptions.toml")).expect("assumptions.toml is complete")
    }
}

impl Milliseconds {
    pub(crate) fn spread(self) -> Spread {
        Spread {
            median: self.median / 1e3,
            p90: self.p90 / 1e3,
        }
    }

    /// In seconds.
    pub(crate) fn mean(self) -> f64 {
        self.spread().mean()
    }
}
