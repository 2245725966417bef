//! How many refused authentications are written down: an attacker must not fill the disk, nor hide
//! behind the limit.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

/// Audited per source and minute.
const PER_SOURCE: u32 = 5;
/// Audited per minute, from everywhere: sources are cheap to come by.
const TOTAL: u32 = 60;

/// Counts of the current minute. Holds at most [`TOTAL`] sources: one that is not audited is not
/// remembered.
#[derive(Debug)]
pub(crate) struct Refusals {
    since: DateTime<Utc>,
    total: u32,
    by_source: HashMap<String, u32>,
    /// Not audited since the last one that was.
    silent: u64,
}

impl Refusals {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self {
            since: now,
            total: 0,
            by_source: HashMap::new(),
            silent: 0,
        }
    }

    /// `Some`: audit this one, and say that so many before it were not.
    pub(crate) fn admit(&mut self, source: &str, now: DateTime<Utc>) -> Option<u64> {
        let age = now - self.since;
        // A clock that was set back begins a new minute too.
        if age >= TimeDelta::minutes(1) || age < TimeDelta::zero() {
            self.since = now;
            self.total = 0;
            self.by_source.clear();
        }
        let before = self.by_source.get(source).copied().unwrap_or(0);
        if self.total >= TOTAL || before >= PER_SOURCE {
            self.silent += 1;
            return None;
        }
        self.total += 1;
        self.by_source.insert(source.to_owned(), before + 1);
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_does_not_silence_another_and_all_together_are_bounded() {
        let now = DateTime::UNIX_EPOCH;
        let mut refusals = Refusals::new(now);
        let loud = (0..100).filter(|_| refusals.admit("loud", now).is_some());
        assert_eq!(loud.count(), PER_SOURCE as usize);
        assert_eq!(refusals.admit("quiet", now), Some(95));

        let many = (0..10_000).filter(|n| refusals.admit(&n.to_string(), now).is_some());
        assert_eq!(many.count(), (TOTAL - PER_SOURCE - 1) as usize);
        assert!(refusals.by_source.len() <= TOTAL as usize);

        assert_eq!(refusals.admit("late", now + TimeDelta::seconds(59)), None);
        let told = refusals.admit("late", now + TimeDelta::seconds(60));
        assert_eq!(told, Some(10_000 - u64::from(TOTAL - PER_SOURCE - 1) + 1));
        let back = now - TimeDelta::hours(1);
        assert_eq!(
            refusals.admit("loud", back),
            Some(0),
            "the clock was set back"
        );
    }
}
