//! One worker that takes what waits in batches.

use super::{Random, Seconds, Step};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatcherId(pub(super) usize);

type Work = Box<dyn Fn(u32, &mut Random) -> Vec<Step>>;

pub(super) struct Batcher {
    max: u32,
    window: Seconds,
    work: Work,
    waiting: u32,
    state: State,
    /// Batches opened so far.
    openings: u32,
    busy: Seconds,
}

enum State {
    Idle,
    /// Waits for more.
    Filling,
    Full,
    /// Since when.
    Working(Seconds),
}

impl Batcher {
    pub(super) fn new(max: u32, window: Seconds, work: Work) -> Self {
        Self {
            max,
            window,
            work,
            waiting: 0,
            state: State::Idle,
            openings: 0,
            busy: 0.0,
        }
    }

    pub(super) fn join(&mut self) {
        self.waiting += 1;
    }

    /// How long from now a batch is to be collected, and its number; `None`: that is settled.
    pub(super) fn open(&mut self) -> Option<(Seconds, u32)> {
        let full = self.waiting >= self.max;
        match self.state {
            State::Idle if full => {
                self.state = State::Full;
                self.openings += 1;
                Some((0.0, self.openings))
            }
            State::Idle if self.waiting > 0 => {
                self.state = State::Filling;
                self.openings += 1;
                Some((self.window, self.openings))
            }
            State::Filling if full => {
                self.state = State::Full;
                Some((0.0, self.openings))
            }
            _ => None,
        }
    }

    /// The steps of the work on what waits; `None` when that has begun.
    pub(super) fn collect(
        &mut self,
        opening: u32,
        now: Seconds,
        random: &mut Random,
    ) -> Option<Vec<Step>> {
        let open = matches!(self.state, State::Filling | State::Full);
        if !open || opening != self.openings {
            return None;
        }
        let batch = self.waiting.min(self.max);
        self.waiting -= batch;
        self.state = State::Working(now);
        Some((self.work)(batch, random))
    }

    pub(super) fn close(&mut self, now: Seconds) {
        if let State::Working(began) = self.state {
            self.busy += now - began;
            self.state = State::Idle;
        }
    }

    pub(super) fn utilisation(&self, now: Seconds) -> f64 {
        let under_way = match self.state {
            State::Working(began) => now - began,
            _ => 0.0,
        };
        (self.busy + under_way) / now
    }

    pub(super) fn behind(&self) -> u32 {
        self.waiting
    }
}
