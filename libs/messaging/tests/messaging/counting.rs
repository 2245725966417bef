//! What is counted, and what is not.

use waybill_events::{
    CircuitOpened, Draft, Event, EventData, Stamp, TenantId, ToolCallCompleted, ToolCallExpired,
    ToolCallFailed, ToolCallRequested,
};
use waybill_messaging::{Clock, Commit, Effects, Failure, metered};

use crate::world::{Trial, World};

fn event<D: EventData>(cause: &str, data: &D) -> Event {
    let stamp = Stamp {
        service: "test",
        now: Clock::simulated(chrono::DateTime::from_timestamp(1_780_000_000, 0).unwrap()).now(),
        cause,
        correlation: None,
        causation: None,
        traceparent: None,
    };
    Draft::new(TenantId::system(), "subject", data).stamp(&stamp, 0)
}

impl World {
    pub(crate) fn says(&self, line: &str) -> bool {
        let text = self.bus.meter.open_metrics().unwrap();
        text.lines().any(|told| told == line)
    }
}

#[tokio::test(start_paused = true)]
async fn commits_tell_of_calls_and_circuits() {
    let world = World::of_trial();
    let ledger = metered(world.store.clone(), &world.bus.meter);
    let commit = Commit {
        events: vec![
            event("a", &ToolCallRequested::example()),
            event("b", &ToolCallCompleted::example()),
            event("c", &ToolCallFailed::example()),
            event("d", &ToolCallExpired::example()),
            event("e", &CircuitOpened::example()),
        ],
        ..Commit::default()
    };
    ledger.commit(commit).await.unwrap();
    for line in [
        r#"waybill_calls_accepted_total{tool="files_read"} 1"#,
        r#"waybill_calls_ended_total{tool="files_read",state="completed"} 1"#,
        r#"waybill_calls_ended_total{tool="files_search",state="expired"} 1"#,
        r#"waybill_calls_failed_total{reason="upstream_unavailable"} 1"#,
        r#"waybill_call_duration_seconds_count{tool="files_read"} 2"#,
        r#"waybill_circuits_opened_total{upstream="everything"} 1"#,
    ] {
        assert!(world.says(line), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_counted_and_every_dispatch_is_timed() {
    let world = World::of_trial();
    let fine = Trial::always(|_| Ok(Effects::default()));
    world.dispatch(&fine, &world.delivery().await).await;
    assert!(!world.says(r#"waybill_dead_letters_total{subscription="trial"} 1"#));
    let refuses = Trial::always(|_| Err(Failure::reject("never")));
    world.dispatch(&refuses, &world.delivery().await).await;
    assert!(world.says(r#"waybill_dead_letters_total{subscription="trial"} 1"#));
    assert!(world.says(r#"waybill_dispatch_duration_seconds_count{subscription="trial"} 2"#));
}
