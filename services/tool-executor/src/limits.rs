//! Every limit of the executor, by name.

use std::time::Duration;

/// Tools that run at once in one process.
pub(crate) const CONCURRENCY: usize = 256;
/// How long a delivery is leased. A worker that died is replaced after this.
pub(crate) const LEASE: Duration = Duration::from_mins(1);
/// How long a claim holds without a word from its worker. It ends before the lease, so that the
/// delivery of a worker that died finds it ended.
pub(crate) const CLAIM: Duration = Duration::from_secs(55);
/// How often a worker says that it lives.
pub(crate) const RENEW: Duration = Duration::from_secs(18);
/// The longest that one attempt of a tool may take, whatever its tool says: SQS keeps a message in
/// flight for at most 12 hours.
pub(crate) const LONGEST_RUN: Duration = Duration::from_hours(11);
/// The last bound of a delivery: a run with what comes before and after it.
pub(crate) const LONGEST_DELIVERY: Duration = Duration::from_mins(11 * 60 + 15);
/// Runs of one upstream at once in one process. Several that hang leave room for the others.
pub(crate) const MAX_IN_FLIGHT: usize = 64;
/// Deliveries that wait for a slot of one upstream, and how long: a burst of quick calls is not
/// worth parking.
pub(crate) const MAX_IN_LINE: usize = 32;
pub(crate) const SLOT_WAIT: Duration = Duration::from_millis(250);
/// How often a call is tried, after each answer of its client anew.
pub(crate) const MAX_ATTEMPTS: u32 = 5;
/// How often an attempt may end without a word, with its process: after this the tool is believed
/// to have ended it. Above the number of times that a host is restarted in a bad hour, because
/// every call under way in a killed process counts one, whoever's fault it was.
pub(crate) const MAX_DEATHS: u32 = 20;
/// Receives of one delivery, parked ones included: 28 hours of waiting, more than any call has, as
/// the wait grows to [`MAX_PARK`]. SQS counts to 1,000.
pub(crate) const MAX_RECEIVES: u32 = 900;

/// A run shorter than this needs no claim of its own.
pub(crate) const QUIET: Duration = Duration::from_millis(50);
/// At most one progress commit in this time.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// How long a tool may take to stop once it is told.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// How long one look for changes of the record waits.
pub(crate) const WATCH: Duration = Duration::from_secs(30);
/// Before the ledger is asked again after it was away.
pub(crate) const LEDGER_PAUSE: Duration = Duration::from_secs(1);
/// How long a provider may take to tell what happened.
pub(crate) const RECONCILE: Duration = Duration::from_secs(30);
/// Conflicts that one change of a call may meet.
pub(crate) const MAX_CONFLICTS: usize = 8;

/// A parked call comes back no sooner than after so many seconds per receive, up to this.
pub(crate) const MAX_PARK: Duration = Duration::from_mins(2);
/// How long the `receives`-th delivery of a call is parked at least.
pub(crate) fn least_park(receives: u32) -> Duration {
    Duration::from_secs(receives.into()).min(MAX_PARK)
}

/// What must be left of a call's deadline when it comes back.
pub(crate) const PARK_MARGIN: Duration = Duration::from_secs(1);

/// The largest result that is kept.
pub(crate) const MAX_RESULT: usize = 16 * 1024 * 1024;
/// How often a large result is put before it is given up.
pub(crate) const KEEP_TRIES: u32 = 3;

/// Overdue calls that are read together and ended at once.
pub(crate) const SWEEP_STEP: usize = 40;
/// How long a tick goes on to the next step. The last one and what has expired take the rest of the
/// subscription's time.
pub(crate) const SWEEP_TIME: Duration = Duration::from_secs(20);
/// A running call's own worker ends it at the deadline; the sweep steps in after this.
pub(crate) const SWEEP_GRACE: Duration = Duration::from_secs(5);
/// Expired records, marks and blobs that are removed in one step, and steps of one tick: more than
/// the busiest gateway makes in a second.
pub(crate) const EXPIRE_STEP: usize = 1_000;
pub(crate) const EXPIRE_STEPS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_call_outlives_the_longest_deadline() {
        let longest = Duration::from_hours(24);
        let parked: Duration = (1..MAX_RECEIVES).map(least_park).sum();
        assert!(parked > longest + Duration::from_hours(1), "{parked:?}");
    }

    #[test]
    fn a_claim_ends_before_the_lease_and_outlives_two_lost_words() {
        assert!(CLAIM < LEASE && RENEW * 3 < CLAIM);
        assert!(RECONCILE < CLAIM);
    }

    #[test]
    fn a_delivery_ends_before_sqs_takes_it_away() {
        assert!(LONGEST_RUN + GRACE + RECONCILE < LONGEST_DELIVERY);
        assert!(LONGEST_DELIVERY + LEASE < Duration::from_hours(12));
    }
}
