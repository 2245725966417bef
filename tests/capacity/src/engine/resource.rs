//! What jobs share: places of a pool, units of a quota.

use std::collections::VecDeque;

use super::Seconds;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolId(pub(super) usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuotaId(pub(super) usize);

pub(super) struct Pool {
    places: u32,
    held: u32,
    waiting: VecDeque<usize>,
    /// Places times seconds, up to `since`.
    area: f64,
    since: Seconds,
}

impl Pool {
    pub(super) fn new(places: u32) -> Self {
        Self {
            places,
            held: 0,
            waiting: VecDeque::new(),
            area: 0.0,
            since: 0.0,
        }
    }

    /// False when none is free.
    pub(super) fn take(&mut self, now: Seconds) -> bool {
        self.pass(now);
        let free = self.held < self.places;
        self.held += u32::from(free);
        free
    }

    pub(super) fn wait(&mut self, job: usize) {
        self.waiting.push_back(job);
    }

    /// The job that has the place now.
    pub(super) fn give(&mut self, now: Seconds) -> Option<usize> {
        self.pass(now);
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.held -= 1;
        }
        next
    }

    pub(super) fn pass(&mut self, now: Seconds) {
        self.area += f64::from(self.held) * (now - self.since);
        self.since = now;
    }

    pub(super) fn utilisation(&self, now: Seconds) -> f64 {
        self.area / (f64::from(self.places) * now)
    }
}

/// A bucket that refills steadily. Whoever overdraws it waits until it is even; in the order of
/// arrival. AWS refuses instead and its client comes again: the mean is the same, the spread is not.
pub(super) struct Quota {
    per_second: f64,
    burst: Seconds,
    /// When everything that was drawn will have been refilled.
    even_at: Seconds,
    granted: f64,
}

impl Quota {
    pub(super) fn new(per_second: f64, burst: Seconds) -> Self {
        Self {
            per_second,
            burst,
            even_at: 0.0,
            granted: 0.0,
        }
    }

    /// How long to wait; `None` beyond `patience`.
    pub(super) fn draw(&mut self, now: Seconds, units: f64, patience: Seconds) -> Option<Seconds> {
        let even_at = self.even_at.max(now);
        let wait = (even_at - self.burst - now).max(0.0);
        if wait > patience {
            return None;
        }
        self.even_at = even_at + units / self.per_second;
        self.granted += units;
        Some(wait)
    }

    /// Units that were promised for later count when they are due.
    pub(super) fn utilisation(&self, now: Seconds) -> f64 {
        let later = (self.even_at - now).max(0.0) * self.per_second;
        (self.granted - later) / (self.per_second * now)
    }
}
