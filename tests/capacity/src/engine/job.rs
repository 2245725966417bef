//! A job and its steps.

use std::cmp::Ordering;

use super::{BatcherId, PoolId, QuotaId, Seconds};

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Time passes.
    Pause(Seconds),
    /// A place, as soon as one is free: first come, first served.
    Take(PoolId),
    /// A place that is free, or the job is refused.
    TakeNow(PoolId),
    /// A place back, the job's own or its parent's.
    Give(PoolId),
    /// So many units, as soon as the quota allows. Where that takes longer than `patience`, the job
    /// is refused and nothing is drawn.
    Draw {
        quota: QuotaId,
        units: f64,
        patience: Seconds,
    },
    /// Another job, which begins now; this one goes on.
    Start(Vec<Step>),
    /// Waits for a batch, which takes it from here. Its own job goes on.
    Join(BatcherId),
    /// Begins the work on what waits, unless the batch of this opening has begun.
    Collect(BatcherId, u32),
    /// Ends it.
    Close(BatcherId),
    /// It is measured how long the job took.
    Done,
}

pub(super) struct Job {
    pub(super) began: Seconds,
    pub(super) steps: std::vec::IntoIter<Step>,
    pub(super) held: Vec<PoolId>,
}

impl Job {
    pub(super) fn new(began: Seconds, steps: Vec<Step>) -> Self {
        Self {
            began,
            steps: steps.into_iter(),
            held: Vec::new(),
        }
    }
}

/// When a job goes on. The soonest is the greatest, which a heap gives first.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) at: Seconds,
    pub(super) order: u64,
    pub(super) job: usize,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        let sooner = other.at.total_cmp(&self.at);
        sooner.then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}
