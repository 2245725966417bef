//! What is tried again, when, and how often.

use std::{future::Future, time::Duration};

use sha2::{Digest, Sha256};
use tokio::time::sleep;
use waybill_events::Event;

use crate::{BoxError, Error, Failure};

/// How often the effects of finished work are committed while the ledger is away, and the pauses
/// between: together 16 s.
const COMMIT_TRIES: u32 = 9;
const FIRST_COMMIT_PAUSE: Duration = Duration::from_millis(100);
const MAX_COMMIT_PAUSE: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// In the first so many receives, of half an hour; twice that in as many after these, and so on.
pub(crate) const MAX_RETRY: Duration = Duration::from_mins(1);
const PATIENCE: u32 = 60;

/// A handler panicked: a bug, which its event or its batch has met.
#[derive(Debug, thiserror::Error)]
#[error("the handler panicked: {0}")]
pub(crate) struct Panicked(pub(crate) String);

/// The port's error, where that is why nothing was done: it says nothing about the event.
pub(crate) fn of_a_port(source: &BoxError) -> Option<&Error> {
    let error = source.downcast_ref::<Error>();
    error.filter(|error| matches!(error, Error::Unavailable { .. } | Error::Refused { .. }))
}

/// Exponential, with full jitter that the event's id decides: spread over events, and the same in
/// every run of a simulation.
pub(crate) fn backoff(event: &Event, receives: u32) -> Duration {
    let most = MAX_RETRY * receives.div_ceil(PATIENCE);
    let ceiling = FIRST_RETRY.saturating_mul(1 << receives.min(16)).min(most);
    let digest = Sha256::new()
        .chain_update(event.id.as_str())
        .chain_update(receives.to_be_bytes());
    let draw = f64::from(digest.finalize()[0]) / 255.0;
    FIRST_RETRY.max(ceiling.mul_f64(draw))
}

/// Finished work is not given up because a port is away for a moment: what was done may be known
/// to nobody else. Repeating a commit is safe, because the first one left its inbox mark if it
/// happened. The lease is kept meanwhile, and who loses it drops this.
pub(crate) async fn patiently<T, E, F>(
    act: impl Fn() -> F,
    is_away: impl Fn(&E) -> bool,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut pause = FIRST_COMMIT_PAUSE;
    for _ in 1..COMMIT_TRIES {
        match act().await {
            Err(error) if is_away(&error) => sleep(pause).await,
            done => return done,
        }
        pause = (pause * 2).min(MAX_COMMIT_PAUSE);
    }
    act().await
}

pub(crate) fn waits_for_a_port(failure: &Failure) -> bool {
    let Failure::Retry { source, .. } = failure else {
        return false;
    };
    matches!(of_a_port(source), Some(Error::Unavailable { .. }))
}

#[cfg(test)]
mod tests {
    use waybill_events::EventType;

    use super::*;
    use crate::{Events, Subscription};

    /// An outage, or a role without its permissions from Friday evening to Monday morning.
    #[test]
    fn an_event_outlives_a_weekend_without_a_port() {
        let event = waybill_testkit::event(EventType::CircuitOpened).build();
        let receives = 1..Subscription::new("any", Events::All).max_receives;
        let pauses: Vec<_> = receives.map(|receives| backoff(&event, receives)).collect();
        let total: Duration = pauses.iter().sum();
        assert!(total > Duration::from_hours(48), "{total:?}");
        let first: Duration = pauses[..5].iter().sum();
        assert!(first < Duration::from_secs(15), "{first:?}");
        let longest = pauses.iter().max().unwrap();
        assert!(*longest <= Duration::from_mins(15), "{longest:?}");
    }
}
