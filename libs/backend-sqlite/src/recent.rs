//! The newest committed records, and who waits for newer ones.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use quick_cache::{Weighter, sync::Cache};
use tokio::sync::oneshot;
use waybill_messaging::{Key, Record};

use crate::engine::Change;

/// Bytes of records kept for reading without the database.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// Records that fit, roughly: sizes the cache's tables.
const CACHE_ITEMS: usize = 4_096;

/// Filled by the writer after each commit, before the commit is answered: whoever was answered
/// reads here what he wrote.
pub(crate) struct Recent {
    records: Cache<Key, Record, ByBytes>,
    watchers: Mutex<HashMap<Key, Vec<oneshot::Sender<Record>>>>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Record> for ByBytes {
    fn weight(&self, key: &Key, record: &Record) -> u64 {
        (key.partition.len() + key.sort.len() + record.body.len() + 128) as u64
    }
}

impl Recent {
    pub(crate) fn new() -> Self {
        let records = Cache::with_weighter(CACHE_ITEMS, CACHE_BYTES, ByBytes);
        Self {
            records,
            watchers: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Record> {
        self.records.get(key)
    }

    pub(crate) fn apply(&self, changes: Vec<Change>) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            let record = match change {
                Change::Put(record) => record,
                Change::Removed(key) => {
                    self.records.remove(&key);
                    continue;
                }
            };
            for watcher in watchers.remove(&record.key).unwrap_or_default() {
                // One that has left does not mind.
                drop(watcher.send(record.clone()));
            }
            self.records.insert(record.key.clone(), record);
        }
    }

    /// Told of the next commit of this key.
    pub(crate) fn watch(&self, key: &Key) -> oneshot::Receiver<Record> {
        let (sender, receiver) = oneshot::channel();
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.entry(key.clone()).or_default().push(sender);
        receiver
    }

    /// Forgets watchers of this key that have left.
    pub(crate) fn sweep(&self, key: &Key) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = watchers.get_mut(key) {
            waiting.retain(|watcher| !watcher.is_closed());
            if waiting.is_empty() {
                watchers.remove(key);
            }
        }
    }
}
