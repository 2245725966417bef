//! How long the oldest delivery waits, as far as one process can know.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

/// SQS tells the age of its oldest message to CloudWatch and to nobody else. But it gives the
/// oldest first, nearly: none waits since before the one that was last received for the first time
/// was sent, and none since before the queue was last seen empty. Milliseconds since 1970; 0 while
/// neither was seen.
#[derive(Default)]
pub(super) struct Oldest(AtomicI64);

impl Oldest {
    pub(super) fn none(&self, now: DateTime<Utc>) {
        self.0.fetch_max(now.timestamp_millis(), Ordering::Relaxed);
    }

    pub(super) fn received(&self, receives: u32, sent: Option<i64>) {
        if let (1, Some(sent)) = (receives, sent) {
            self.0.fetch_max(sent, Ordering::Relaxed);
        }
    }

    /// How long the oldest one waits at most, in milliseconds; 0 where that is not known.
    pub(super) fn age_ms(&self, now: DateTime<Utc>) -> u64 {
        match self.0.load(Ordering::Relaxed) {
            0 => 0,
            since => u64::try_from(now.timestamp_millis() - since).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_younger_than_what_was_last_seen() {
        let at = |ms| DateTime::from_timestamp_millis(ms).unwrap();
        let oldest = Oldest::default();
        assert_eq!(oldest.age_ms(at(1_000)), 0, "nothing was seen yet");
        oldest.none(at(1_000));
        assert_eq!(oldest.age_ms(at(5_000)), 4_000);
        oldest.received(1, Some(3_000));
        assert_eq!(oldest.age_ms(at(5_000)), 2_000);
        oldest.received(2, Some(4_000));
        oldest.received(1, Some(2_000));
        oldest.received(1, None);
        assert_eq!(oldest.age_ms(at(5_000)), 2_000);
        assert_eq!(oldest.age_ms(at(2_000)), 0, "the clocks disagree");
    }
}
