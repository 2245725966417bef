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
    /// From the opening of a batch to its end.
    open: bool,
    /// The batch under way, since when.
    began: Option<Seconds>,
    busy: Seconds,
}

impl Batcher {
    pub(super) fn new(max: u32, window: Seconds, work: Work) -> Self {
        Self {
            max,
            window,
            work,
            waiting: 0,
            open: false,
            began: None,
            busy: 0.0,
        }
    }

    /// True when a batch is to be opened.
    pub(super) fn join(&mut self) -> bool {
        self.waiting += 1;
        !self.open
    }

    /// How long the batch waits for others: a full one does not.
    pub(super) fn open(&mut self) -> Seconds {
        self.open = true;
        if self.waiting < self.max {
            self.window
        } else {
            0.0
        }
    }

    /// The steps of the work on what waits.
    pub(super) fn collect(&mut self, now: Seconds, random: &mut Random) -> Vec<Step> {
        let batch = self.waiting.min(self.max);
        self.waiting -= batch;
        self.began = Some(now);
        (self.work)(batch, random)
    }

    /// True when the next is to be opened.
    pub(super) fn close(&mut self, now: Seconds) -> bool {
        if let Some(began) = self.began.take() {
            self.busy += now - began;
        }
        self.open = false;
        self.waiting > 0
    }

    pub(super) fn utilisation(&self, now: Seconds) -> f64 {
        let under_way = self.began.map_or(0.0, |began| now - began);
        (self.busy + under_way) / now
    }

    pub(super) fn behind(&self) -> u32 {
        self.waiting
    }
}
