//! A Lambda function. It is frozen after each answer, so nothing may be left under way then; it is
//! ended without a word, so nothing is.

pub(super) mod consumer;
pub(super) mod door;

use std::time::Duration;

use lambda_runtime::Context;
use waybill_messaging::Clock;

/// For what is still under way when the answer is ready: kept of each invocation's time.
const FLUSH: Duration = Duration::from_secs(1);

/// What Lambda leaves of the invocation's time. None: it has run out.
fn left(cx: &Context, clock: &Clock) -> Duration {
    let deadline = i64::try_from(cx.deadline).unwrap_or(i64::MAX);
    let left = deadline.saturating_sub(clock.now().timestamp_millis());
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

/// Of what is left, the time for work.
fn for_work(left: Duration) -> Duration {
    left.saturating_sub(FLUSH.min(left / 10))
}
