//! A small discrete-event engine. A job walks through its steps, in which time passes, places of
//! pools are held and quotas are drawn on. Everything is decided by the seed.

mod batcher;
mod job;
mod random;
mod resource;
#[cfg(test)]
mod theory;

use std::collections::BinaryHeap;

use batcher::Batcher;
pub(crate) use batcher::BatcherId;
pub(crate) use job::Step;
use job::{Due, Job};
pub(crate) use random::{Random, Spread};
use resource::{Pool, Quota};
pub(crate) use resource::{PoolId, QuotaId};

/// Since the start of the simulated world.
pub(crate) type Seconds = f64;

/// Jobs that came to their [`Step::Done`], and those that were turned away.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// When each was done, and how long it took.
    done: Vec<(Seconds, Seconds)>,
    refused: Vec<Seconds>,
}

/// The world: jobs, what they share, and the time.
pub(crate) struct Engine {
    now: Seconds,
    due: BinaryHeap<Due>,
    jobs: Vec<Option<Job>>,
    free: Vec<usize>,
    /// Counts what is scheduled: of two at the same time the first scheduled is first.
    scheduled: u64,
    pools: Vec<Pool>,
    quotas: Vec<Quota>,
    batchers: Vec<Batcher>,
    tally: Tally,
    random: Random,
}

impl Engine {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: 0.0,
            due: BinaryHeap::new(),
            jobs: Vec::new(),
            free: Vec::new(),
            scheduled: 0,
            pools: Vec::new(),
            quotas: Vec::new(),
            batchers: Vec::new(),
            tally: Tally::default(),
            random: Random::new(seed),
        }
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// So many places, held from [`Step::Take`] to [`Step::Give`].
    pub(crate) fn pool(&mut self, places: u32) -> PoolId {
        self.pools.push(Pool::new(places));
        PoolId(self.pools.len() - 1)
    }

    /// So many units a second, of which `burst` seconds' worth may be drawn at once.
    pub(crate) fn quota(&mut self, per_second: f64, burst: Seconds) -> QuotaId {
        self.quotas.push(Quota::new(per_second, burst));
        QuotaId(self.quotas.len() - 1)
    }

    /// Works on up to `max` members at a time, one batch after the other. A batch waits until it is
    /// full, for `window` at most. `work` gives the steps for a batch of so many.
    pub(crate) fn batcher(
        &mut self,
        max: u32,
        window: Seconds,
        work: impl Fn(u32, &mut Random) -> Vec<Step> + 'static,
    ) -> BatcherId {
        let batcher = Batcher::new(max, window, Box::new(work));
        self.batchers.push(batcher);
        BatcherId(self.batchers.len() - 1)
    }

    /// A job that begins at `at`.
    pub(crate) fn begin(&mut self, at: Seconds, steps: Vec<Step>) {
        let job = Job::new(at, steps);
        let id = if let Some(id) = self.free.pop() {
            self.jobs[id] = Some(job);
            id
        } else {
            self.jobs.push(Some(job));
            self.jobs.len() - 1
        };
        self.wake(at, id);
    }

    /// Lets time pass up to `end`.
    pub(crate) fn run(&mut self, end: Seconds) {
        while self.due.peek().is_some_and(|due| due.at <= end) {
            let Some(Due { at, job, .. }) = self.due.pop() else {
                break;
            };
            self.now = at;
            self.walk(job);
        }
        self.now = end;
        for pool in &mut self.pools {
            pool.pass(end);
        }
    }

    fn wake(&mut self, at: Seconds, job: usize) {
        self.scheduled += 1;
        let order = self.scheduled;
        self.due.push(Due { at, order, job });
    }

    /// Takes a job's steps until it has to wait or ends.
    fn walk(&mut self, id: usize) {
        let Some(mut job) = self.jobs[id].take() else {
            return;
        };
        while let Some(step) = job.steps.next() {
            match self.step(id, &mut job, step) {
                Next::On => {}
                Next::Waits => {
                    self.jobs[id] = Some(job);
                    return;
                }
                Next::Refused => {
                    self.tally.refused.push(self.now);
                    for pool in std::mem::take(&mut job.held) {
                        self.give(pool);
                    }
                    break;
                }
            }
        }
        self.free.push(id);
    }

    fn step(&mut self, id: usize, job: &mut Job, step: Step) -> Next {
        match step {
            Step::Pause(time) => {
                self.wake(self.now + time, id);
                return Next::Waits;
            }
            Step::Take(pool) => {
                job.held.push(pool);
                if !self.pools[pool.0].take(self.now) {
                    self.pools[pool.0].wait(id);
                    return Next::Waits;
                }
            }
            Step::TakeNow(pool) => {
                if !self.pools[pool.0].take(self.now) {
                    return Next::Refused;
                }
                job.held.push(pool);
            }
            Step::Give(pool) => {
                job.held.retain(|held| *held != pool);
                self.give(pool);
            }
            Step::Draw {
                quota,
                units,
                patience,
            } => match self.quotas[quota.0].draw(self.now, units, patience) {
                None => return Next::Refused,
                Some(wait) if wait > 0.0 => {
                    self.wake(self.now + wait, id);
                    return Next::Waits;
                }
                Some(_) => {}
            },
            Step::Start(steps) => self.begin(self.now, steps),
            Step::Join(batcher) => {
                self.batchers[batcher.0].join();
                self.open_batch(batcher);
            }
            Step::Collect(batcher, opening) => {
                let its = &mut self.batchers[batcher.0];
                if let Some(mut steps) = its.collect(opening, self.now, &mut self.random) {
                    steps.push(Step::Close(batcher));
                    job.steps = steps.into_iter();
                }
            }
            Step::Close(batcher) => {
                self.batchers[batcher.0].close(self.now);
                self.open_batch(batcher);
            }
            Step::Done => self.tally.done.push((self.now, self.now - job.began)),
        }
        Next::On
    }

    fn open_batch(&mut self, batcher: BatcherId) {
        if let Some((wait, opening)) = self.batchers[batcher.0].open() {
            let steps = vec![Step::Pause(wait), Step::Collect(batcher, opening)];
            self.begin(self.now, steps);
        }
    }

    /// To the one that has waited longest, if one waits.
    fn give(&mut self, pool: PoolId) {
        if let Some(next) = self.pools[pool.0].give(self.now) {
            self.wake(self.now, next);
        }
    }
}

enum Next {
    On,
    /// Somebody wakes it.
    Waits,
    Refused,
}

/// What happened from `from` to the end.
impl Engine {
    pub(crate) fn done(&self, from: Seconds) -> u32 {
        count(self.tally.done.iter().filter(|(at, _)| *at >= from))
    }

    pub(crate) fn refused(&self, from: Seconds) -> u32 {
        count(self.tally.refused.iter().filter(|at| **at >= from))
    }

    /// The time that `percent` of the jobs took at most; `None` when there were none.
    pub(crate) fn percentile(&self, from: Seconds, percent: usize) -> Option<Seconds> {
        let done = self.tally.done.iter().filter(|(at, _)| *at >= from);
        let mut times: Vec<Seconds> = done.map(|(_, took)| *took).collect();
        times.sort_by(f64::total_cmp);
        let last = times.len().checked_sub(1)?;
        times.get(last * percent / 100).copied()
    }

    #[cfg(test)]
    pub(crate) fn mean(&self, from: Seconds) -> Seconds {
        let done = self.tally.done.iter().filter(|(at, _)| *at >= from);
        let total: Seconds = done.map(|(_, took)| took).sum();
        total / f64::from(self.done(from).max(1))
    }

    /// Share of its places that was held, on the average over all of the time.
    pub(crate) fn held(&self, pool: PoolId) -> f64 {
        self.pools[pool.0].utilisation(self.now)
    }

    /// Share of its units that was granted over all of the time.
    pub(crate) fn drawn(&self, quota: QuotaId) -> f64 {
        self.quotas[quota.0].utilisation(self.now)
    }

    /// Share of the time in which it worked on a batch.
    pub(crate) fn busy(&self, batcher: BatcherId) -> f64 {
        self.batchers[batcher.0].utilisation(self.now)
    }

    /// Members that wait for their batch.
    pub(crate) fn behind(&self, batcher: BatcherId) -> u32 {
        self.batchers[batcher.0].behind()
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
