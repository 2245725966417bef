//! How the backend does. Anybody may ask it, so it is looked at once in a while, however often it
//! is asked for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use waybill_messaging::{Bus, Commit, Depth, Error, Expect, Key, Subscription, Write};

/// How long a look is believed.
const FRESH: Duration = Duration::from_secs(5);
/// A port that takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the trial write is kept.
const KEPT: Duration = Duration::from_hours(1);

/// Cheap to clone; the clones share what was seen.
#[derive(Clone)]
pub(crate) struct Vitals(Arc<Inner>);

struct Inner {
    bus: Bus,
    subscriptions: Arc<[Subscription]>,
    seen: Mutex<Option<(Instant, Arc<Seen>)>>,
}

/// One look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Of the subscriptions whose queue answers.
    pub(crate) depths: Vec<(&'static str, Depth)>,
    /// What keeps the process from doing its work.
    pub(crate) troubles: Vec<&'static str>,
}

impl Vitals {
    pub(crate) fn new(bus: &Bus, subscriptions: &Arc<[Subscription]>) -> Self {
        Self(Arc::new(Inner {
            bus: bus.clone(),
            subscriptions: subscriptions.clone(),
            seen: Mutex::default(),
        }))
    }

    /// At most [`FRESH`] old. Whoever asks meanwhile waits for the same look.
    pub(crate) async fn look(&self) -> Arc<Seen> {
        let mut seen = self.0.seen.lock().await;
        if let Some((at, last)) = &*seen
            && at.elapsed() < FRESH
        {
            return last.clone();
        }
        let now = Arc::new(self.0.look().await);
        *seen = Some((Instant::now(), now.clone()));
        now
    }
}

impl Inner {
    async fn look(&self) -> Seen {
        let mut seen = Seen::default();
        let depths = async {
            for subscription in &*self.subscriptions {
                let depth = self.bus.queue.depth(subscription.name).await?;
                seen.depths.push((subscription.name, depth));
            }
            Ok(())
        };
        let (wrote, counted) =
            tokio::join!(timeout(PATIENCE, self.write()), timeout(PATIENCE, depths));
        for (answer, trouble) in [
            (wrote, "the ledger takes no writes"),
            (counted, "the queue does not answer"),
        ] {
            match answer {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, trouble, "not ready");
                }
                Err(_) => tracing::warn!(trouble, "not ready: no answer in time"),
            }
            seen.troubles.push(trouble);
        }
        seen
    }

    /// A full disk and a writer that has died show only when something is written.
    async fn write(&self) -> Result<(), Error> {
        let commit = Commit {
            writes: vec![Write::Put {
                key: Key::new("health", "probe"),
                expect: Expect::Any,
                body: Bytes::from_static(b"{}"),
                index: None,
                expires_at: Some(self.bus.clock.now() + KEPT),
            }],
            events: Vec::new(),
            seen: Vec::new(),
        };
        self.bus.ledger.commit(commit).await.map(drop)
    }
}
