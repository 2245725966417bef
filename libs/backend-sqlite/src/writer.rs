//! Group commit: jobs that wait at the same time share one transaction and one fsync.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use tokio::sync::{mpsc, oneshot};
use waybill_messaging::{Error, Receipt, Result};

use crate::{
    engine::{After, Engine, Wake},
    error::{Fault, Outcome, port_error},
    recent::Recent,
};

/// Jobs that wait for the writer; more make their callers wait.
const QUEUE: usize = 4_096;
/// Jobs in one transaction.
const MAX_GROUP: usize = 1_024;

/// One change: runs inside the transaction, and gives what to do once its fate is known.
pub(crate) type Job = Box<dyn FnOnce(&mut Engine) -> Ran + Send>;
pub(crate) type Finish = Box<dyn FnOnce(Result<(), &rusqlite::Error>) + Send>;

pub(crate) struct Ran {
    finish: Finish,
    /// The database failed: the transaction cannot be committed.
    broken: Option<rusqlite::Error>,
}

/// Runs jobs: on a thread of its own, or in place.
pub(crate) enum Writer {
    Threaded {
        jobs: Option<mpsc::Sender<Job>>,
        thread: Option<JoinHandle<()>>,
    },
    Inline(Box<Mutex<Engine>>, Arc<Recent>),
}

impl Writer {
    pub(crate) fn threaded(engine: Engine, recent: Arc<Recent>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || work(engine, queue, &recent))?;
        Ok(Self::Threaded {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Every job is a transaction in the caller's place: for memory, where there is no fsync.
    pub(crate) fn inline(engine: Engine, recent: Arc<Recent>) -> Self {
        Self::Inline(Box::new(Mutex::new(engine)), recent)
    }

    /// Runs `change` in a transaction. Answered when it is durable. Once this future was polled the
    /// change happens, whether it is polled again or not.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Engine) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job = job(change, reply);
        match self {
            Self::Threaded { jobs, .. } => {
                let jobs = jobs
                    .as_ref()
                    .expect("the sender lives until the writer is dropped");
                jobs.send(job).await.map_err(|_| stopped())?;
            }
            Self::Inline(engine, recent) => in_place(engine, recent, job),
        }
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Runs `change` and lets nobody wait for it. Lost when the queue is full: for what a lease that
    /// runs out would repair as well.
    pub(crate) fn run_detached(
        &self,
        change: impl FnOnce(&mut Engine) -> Outcome<()> + Send + 'static,
    ) {
        let (reply, _) = oneshot::channel();
        let job = job(change, reply);
        match self {
            Self::Threaded { jobs, .. } => {
                drop(jobs.as_ref().map(|jobs| jobs.try_send(job)));
            }
            Self::Inline(engine, recent) => in_place(engine, recent, job),
        }
    }

    /// A read in place, where the engine is at hand.
    pub(crate) fn inline_engine(&self) -> Option<&Mutex<Engine>> {
        match self {
            Self::Inline(engine, _) => Some(engine),
            Self::Threaded { .. } => None,
        }
    }
}

impl Drop for Writer {
    /// Lets the thread finish what was accepted.
    fn drop(&mut self) {
        if let Self::Threaded { jobs, thread } = self {
            drop(jobs.take());
            if let Some(thread) = thread.take()
                && thread.join().is_err()
            {
                tracing::error!("the ledger writer panicked");
            }
        }
    }
}

fn job<T: Send + 'static>(
    change: impl FnOnce(&mut Engine) -> Outcome<T> + Send + 'static,
    reply: oneshot::Sender<Result<T>>,
) -> Job {
    Box::new(move |engine| {
        let (answer, broken) = match change(engine) {
            Ok(value) => (Some(Ok(value)), None),
            Err(Fault::Port(error)) => (Some(Err(error)), None),
            Err(Fault::Sql(error)) => (None, Some(error)),
        };
        let finish: Finish = Box::new(move |committed| {
            let answer = match (committed, answer) {
                (Ok(()), Some(answer)) => answer,
                // A refusal as well: it may rest on another job's write that has not happened.
                (Err(error), _) => Err(voided(error)),
                (Ok(()), None) => Err(stopped()),
            };
            // The caller may have left; what is committed stays.
            drop(reply.send(answer));
        });
        Ran { finish, broken }
    })
}

fn work(mut engine: Engine, mut queue: mpsc::Receiver<Job>, recent: &Recent) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < MAX_GROUP
            && let Ok(next) = queue.try_recv()
        {
            group.push(next);
        }
        let mut lost = wake(transact(&mut engine, group, recent));
        while !lost.is_empty() {
            lost = wake(transact(&mut engine, vec![hand_back(lost)], recent));
        }
    }
}

fn in_place(engine: &Mutex<Engine>, recent: &Recent, job: Job) {
    let mut next = Some(job);
    while let Some(job) = next.take() {
        let after = {
            let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
            transact(&mut engine, vec![job], recent)
        };
        // Outside the lock: whoever is woken may come back at once.
        let lost = wake(after);
        next = (!lost.is_empty()).then(|| hand_back(lost));
    }
}

fn hand_back(receipts: Vec<Receipt>) -> Job {
    job(
        move |engine| engine.hand_back(&receipts),
        oneshot::channel().0,
    )
}

/// One transaction. Answers every job; gives what is to be woken.
fn transact(engine: &mut Engine, group: Vec<Job>, recent: &Recent) -> After {
    let mut finishes = Vec::with_capacity(group.len());
    let mut broken = engine.begin().err();
    for job in group {
        // After a failure the rest runs too, so that it can answer; nothing of it is kept.
        let ran = job(engine);
        finishes.push(ran.finish);
        broken = broken.or(ran.broken);
    }
    let ended = match broken {
        None => engine.end(),
        Some(error) => Err(error),
    };
    match ended {
        Ok(mut after) => {
            recent.apply(std::mem::take(&mut after.changes));
            for finish in finishes {
                finish(Ok(()));
            }
            after
        }
        Err(error) => {
            tracing::error!(%error, "a transaction failed");
            engine.roll_back();
            for finish in finishes {
                finish(Err(&error));
            }
            After::default()
        }
    }
}

/// Tells the waiters. Gives the deliveries of those that had left.
fn wake(after: After) -> Vec<Receipt> {
    let mut lost = Vec::new();
    for (waiter, wake) in after.wakes {
        if let Err(Wake::Deliver(deliveries)) = waiter.send(wake) {
            lost.extend(deliveries.into_iter().map(|delivery| delivery.receipt));
        }
    }
    lost
}

/// The same failure for every job of the group.
fn voided(error: &rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            port_error(rusqlite::Error::SqliteFailure(*code, message.clone()))
        }
        other => Error::broken("the database refused", other.to_string()),
    }
}

fn stopped() -> Error {
    Error::unavailable("the ledger has stopped", "its writer has ended")
}
