//! How many runs one upstream may have at once: one that hangs must not take every slot.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::limits::{MAX_IN_FLIGHT, MAX_IN_LINE, SLOT_WAIT};

/// The slots of every upstream, by its name. In this process only: they guard its workers.
#[derive(Default)]
pub(crate) struct Bulkheads(Mutex<HashMap<String, Bulkhead>>);

#[derive(Clone)]
struct Bulkhead {
    running: Arc<Semaphore>,
    in_line: Arc<Semaphore>,
}

/// One run's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Bulkheads {
    /// A slot of `upstream`. `None` when none gets free within a moment, or at once when many wait
    /// already: those who wait keep slots of the queue.
    pub(crate) async fn slot(&self, upstream: &str) -> Option<Slot> {
        let Bulkhead { running, in_line } = self.of(upstream);
        if let Ok(permit) = running.clone().try_acquire_owned() {
            return Some(Slot { _permit: permit });
        }
        let _place = in_line.try_acquire_owned().ok()?;
        let permit = timeout(SLOT_WAIT, running.acquire_owned()).await.ok()?;
        Some(Slot {
            _permit: permit.ok()?,
        })
    }

    fn of(&self, upstream: &str) -> Bulkhead {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bulkhead) = all.get(upstream) {
            return bulkhead.clone();
        }
        let bulkhead = Bulkhead {
            running: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            in_line: Arc::new(Semaphore::new(MAX_IN_LINE)),
        };
        all.insert(upstream.to_owned(), bulkhead.clone());
        bulkhead
    }
}
