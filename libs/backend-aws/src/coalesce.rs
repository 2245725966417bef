//! Requests that travel together, where the service has a batch form.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::{BoxFuture, join_all};
use tokio::{sync::oneshot, task::yield_now};
use tokio_util::task::TaskTracker;
use waybill_messaging::{Error, Result};

/// Batches of one kind that may be under way at once.
const LANES: usize = 8;

/// What a service takes in one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<Q> {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    /// Of an entry, in bytes.
    pub(crate) size: fn(&Q) -> usize,
}

/// Sends questions in batches, as Nagle's algorithm does packets: at once where nothing is under
/// way, or a batch is full; else with whatever has come until the answer to the last is there. So
/// a lone question waits for nothing, and the more there are the fewer requests each one costs.
///
/// A batch runs in a task of its own: an asker that goes away takes nothing with it, and what it
/// asked is done or not. Cheap to clone.
pub(crate) struct Coalescer<Q, A>(Arc<Shared<Q, A>>);

/// An answer for each question, in order.
type SendBatch<Q, A> = Box<dyn Fn(Vec<Q>) -> BoxFuture<'static, Vec<A>> + Send + Sync>;

struct Shared<Q, A> {
    limits: Limits<Q>,
    send: SendBatch<Q, A>,
    state: Mutex<State<Q, A>>,
    tasks: TaskTracker,
}

struct State<Q, A> {
    waiting: VecDeque<Asked<Q, A>>,
    under_way: usize,
    /// Somebody is about to send what waits.
    awake: bool,
}

type Asked<Q, A> = (Q, oneshot::Sender<A>);

impl<Q, A> Clone for Coalescer<Q, A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q, A> std::fmt::Debug for Coalescer<Q, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coalescer(..)")
    }
}

impl<Q: Send + 'static, A: Send + 'static> Coalescer<Q, A> {
    pub(crate) fn new<F>(
        limits: Limits<Q>,
        send: impl Fn(Vec<Q>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Vec<A>> + Send + 'static,
    {
        Self(Arc::new(Shared {
            limits,
            send: Box::new(move |batch| Box::pin(send(batch))),
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                under_way: 0,
                awake: false,
            }),
            tasks: TaskTracker::new(),
        }))
    }

    /// [`Error::Unavailable`]: nobody knows what became of it.
    pub(crate) async fn ask(&self, question: Q) -> Result<A> {
        let mut answers = self.ask_all([question]).await;
        answers.pop().expect("an answer for each question")
    }

    /// The answers in the order of the questions.
    pub(crate) async fn ask_all(&self, questions: impl IntoIterator<Item = Q>) -> Vec<Result<A>> {
        let mut answers = Vec::new();
        {
            let mut state = self.0.lock();
            for question in questions {
                let (answer, answered) = oneshot::channel();
                state.waiting.push_back((question, answer));
                answers.push(answered);
            }
        }
        self.wake();
        let gone = |gone| Error::unavailable("a batch of requests was interrupted", gone);
        let answers = join_all(answers).await.into_iter();
        answers.map(|answer| answer.map_err(gone)).collect()
    }

    /// After whoever else has something to ask at this moment has asked.
    fn wake(&self) {
        if std::mem::replace(&mut self.0.lock().awake, true) {
            return;
        }
        let this = self.clone();
        self.0.tasks.spawn(async move {
            yield_now().await;
            this.0.lock().awake = false;
            this.pump();
        });
    }

    fn pump(&self) {
        while let Some(batch) = self.0.due() {
            let under_way = UnderWay(self.clone());
            self.0.tasks.spawn(async move {
                let (questions, askers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
                let answers = (under_way.0.0.send)(questions).await;
                for (asker, answer) in askers.into_iter().zip(answers) {
                    // It may have gone away.
                    drop(asker.send(answer));
                }
            });
        }
    }
}

/// A batch whose answer is awaited; the next may go when this is dropped.
struct UnderWay<Q: Send + 'static, A: Send + 'static>(Coalescer<Q, A>);

impl<Q: Send + 'static, A: Send + 'static> Drop for UnderWay<Q, A> {
    fn drop(&mut self) {
        self.0.0.lock().under_way -= 1;
        // A runtime that ends takes no new tasks.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.0.pump();
        }
    }
}

impl<Q, A> Shared<Q, A> {
    fn due(&self) -> Option<Vec<Asked<Q, A>>> {
        let mut state = self.lock();
        let (count, full) = self.limits.first_batch(&state.waiting);
        let goes = count > 0 && (state.under_way == 0 || (full && state.under_way < LANES));
        goes.then(|| {
            state.under_way += 1;
            state.waiting.drain(..count).collect()
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<Q, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q> Limits<Q> {
    /// How many of the first travel together, and whether no other would fit in.
    fn first_batch<A>(&self, waiting: &VecDeque<Asked<Q, A>>) -> (usize, bool) {
        let mut bytes = 0;
        let fits = |(question, _): &&Asked<Q, A>| {
            bytes += (self.size)(question);
            bytes <= self.bytes
        };
        let some = waiting.iter().take(self.entries);
        // One that is too large goes alone, and the service says so.
        let count = some.take_while(fits).count().max(1).min(waiting.len());
        (count, count == self.entries || count < waiting.len())
    }
}

/// The error of a whole batch, for each of its askers.
pub(crate) fn for_each<T>(error: Error, askers: usize) -> Vec<Result<T>> {
    let error = Arc::new(error);
    let what = "a batch of requests failed";
    let one = |_| {
        let source = error.clone();
        Err(match *error {
            Error::Broken { .. } => Error::broken(what, source),
            Error::Refused { .. } => Error::refused(what, source),
            _ => Error::unavailable(what, source),
        })
    };
    (0..askers).map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    const LIMITS: Limits<usize> = Limits {
        entries: 10,
        bytes: 1_000,
        size: |size| *size,
    };

    /// Answers after 10 ms how many travelled together.
    fn counting() -> Coalescer<usize, usize> {
        Coalescer::new(LIMITS, |batch: Vec<usize>| async move {
            sleep(Duration::from_millis(10)).await;
            vec![batch.len(); batch.len()]
        })
    }

    async fn together(coalescer: &Coalescer<usize, usize>, sizes: &[usize]) -> Vec<usize> {
        let asked = sizes.iter().map(|size| coalescer.ask(*size));
        join_all(asked)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_question_waits_for_nothing() {
        let (coalescer, began) = (counting(), Instant::now());
        for _ in 0..3 {
            assert_eq!(coalescer.ask(1).await.unwrap(), 1);
        }
        assert_eq!(began.elapsed(), Duration::from_millis(30));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_at_once_or_meanwhile_travels_together() {
        let coalescer = counting();
        let later = async {
            sleep(Duration::from_millis(5)).await;
            together(&coalescer, &[1; 4]).await
        };
        let (first, later) = futures::future::join(together(&coalescer, &[1; 26]), later).await;
        assert_eq!((first, later), (vec![10; 26], vec![10; 4]));
        let fewer = together(&coalescer, &[1; 13]).await;
        assert_eq!(fewer, [vec![10; 10], vec![3; 3]].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_keeps_to_the_bytes_and_what_is_too_large_goes_alone() {
        let answers = together(&counting(), &[1, 600, 600, 5_000, 1, 1]).await;
        assert_eq!(answers, [2, 2, 1, 1, 2, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_without_its_asker_does_not_hold_up_others() {
        let coalescer = counting();
        {
            let asked = coalescer.ask(1);
            drop(tokio::time::timeout(Duration::from_millis(1), asked).await);
        }
        assert_eq!(together(&coalescer, &[1, 1]).await, [2, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_its_batch_and_no_other() {
        let coalescer: Coalescer<usize, usize> =
            Coalescer::new(LIMITS, |batch: Vec<usize>| async move {
                assert!(!batch.contains(&0), "as told");
                batch
            });
        assert!(matches!(
            coalescer.ask(0).await,
            Err(Error::Unavailable { .. })
        ));
        assert_eq!(coalescer.ask(3).await.unwrap(), 3);
    }
}
