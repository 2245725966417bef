//! A ledger in memory, its clock, and what was audited.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::DateTime;
use tokio::sync::oneshot;
use waybill_backend_sqlite::SqliteBackend;
use waybill_events::{AuditRecorded, EventType, TenantId};
use waybill_identity::{Keys, NewKey, Scope};
use waybill_messaging::{
    Clock, Commit, Committed, Events, Key, Ledger, Page, Queue, Range, Record, Result, Settlement,
    Subscription,
};

const AUDIT: Subscription = Subscription::new("audit", Events::Only(&[EventType::AuditRecorded]));

pub(crate) struct Rig {
    pub(crate) keys: Keys,
    pub(crate) clock: Clock,
    pub(crate) backend: SqliteBackend,
}

pub(crate) fn rig() -> Rig {
    let clock = Clock::simulated(DateTime::from_timestamp(1_780_000_000, 0).unwrap());
    let backend = SqliteBackend::in_memory(&[AUDIT], clock.clone()).unwrap();
    Rig {
        keys: Keys::new(Arc::new(backend.clone()), clock.clone()),
        clock,
        backend,
    }
}

impl Rig {
    pub(crate) async fn key(&self, lifetime: Option<Duration>) -> NewKey {
        let scopes = BTreeSet::from([Scope::ToolsCall]);
        self.keys
            .create("operator", tenant(), "laptop", scopes, lifetime)
            .await
            .unwrap()
    }

    /// What was audited since the last look, oldest first: the subject and the data.
    pub(crate) async fn audited(&self) -> Vec<(String, AuditRecorded)> {
        let mut audited = Vec::new();
        loop {
            let batch = self
                .backend
                .receive(AUDIT.name, 64, Duration::ZERO)
                .await
                .unwrap();
            if batch.is_empty() {
                return audited;
            }
            for delivery in batch {
                let data = delivery.event.data().unwrap();
                audited.push((delivery.event.subject.clone(), data));
                self.backend
                    .settle(&delivery.receipt, Settlement::Done)
                    .await
                    .unwrap();
            }
        }
    }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("default").unwrap()
}

/// A ledger whose first read answers only when it is let go: what it read may be old by then.
pub(crate) struct HeldRead {
    inner: SqliteBackend,
    read: Mutex<Option<oneshot::Sender<()>>>,
    go_on: tokio::sync::Mutex<Option<oneshot::Receiver<()>>>,
}

/// Fires when the read was made; lets it go on.
pub(crate) struct Hold {
    pub(crate) read: oneshot::Receiver<()>,
    pub(crate) go_on: oneshot::Sender<()>,
}

impl HeldRead {
    pub(crate) fn new(inner: SqliteBackend) -> (Self, Hold) {
        let ((read, was_read), (go_on, let_go)) = (oneshot::channel(), oneshot::channel());
        let (read, let_go) = (
            Mutex::new(Some(read)),
            tokio::sync::Mutex::new(Some(let_go)),
        );
        let hold = Hold {
            read: was_read,
            go_on,
        };
        (
            Self {
                inner,
                read,
                go_on: let_go,
            },
            hold,
        )
    }
}

#[async_trait]
impl Ledger for HeldRead {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.inner.commit(commit).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let record = self.inner.get(key).await;
        let read = self.read.lock().unwrap().take();
        if let Some(read) = read {
            read.send(()).unwrap();
            let go_on = self.go_on.lock().await.take().unwrap();
            go_on.await.unwrap();
        }
        record
    }

    async fn list(&self, partition: &str, range: Range) -> Result<Page> {
        self.inner.list(partition, range).await
    }

    async fn query(&self, partition: &str, range: Range) -> Result<Page> {
        self.inner.query(partition, range).await
    }

    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>> {
        self.inner.changed(key, after, wait).await
    }

    async fn expire(&self, limit: usize) -> Result<usize> {
        self.inner.expire(limit).await
    }
}
