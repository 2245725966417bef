//! Faults of the ledger.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use waybill_messaging::{Commit, Committed, Error, Key, Ledger, Page, Range, Record, Result};

use super::{FaultyBackend, Operation, When, unavailable};

/// Remembered answers of queries; beyond it all are forgotten.
const MAX_ANSWERS: usize = 1_000;

#[async_trait]
impl Ledger for FaultyBackend {
    async fn commit(&self, mut commit: Commit) -> Result<Committed> {
        let mut begun = self.begin(Operation::Commit).await?;
        let faults = begun.faults;
        let crash = self.crash_point(&mut begun);
        if crash == Some(When::Before) {
            return Err(self.die());
        }
        if self.strikes(&mut begun, "lost_commit", faults.lost_commit) {
            return Err(unavailable("the commit was lost"));
        }
        if let Some(write) = commit.writes.first()
            && self.strikes(&mut begun, "conflict", faults.conflict)
        {
            let key = write.key().clone();
            return Err(Error::Conflict { key });
        }
        let apart = !commit.seen.is_empty()
            && self.strikes(&mut begun, "separate_settle", faults.separate_settle);
        if apart {
            for seen in &mut commit.seen {
                seen.receipt = None;
            }
        }
        let twice =
            !commit.events.is_empty() && self.strikes(&mut begun, "republish", faults.republish);
        let again = twice.then(|| Commit {
            events: commit.events.clone(),
            ..Commit::default()
        });
        let answer = self.0.inner.ledger.commit(commit).await;
        if let Some(again) = again.filter(|_| answer.is_ok()) {
            self.0.inner.ledger.commit(again).await?;
        }
        self.up()?;
        if crash == Some(When::After) {
            return Err(self.die());
        }
        let committed = answer?;
        if self.strikes(&mut begun, "ambiguous", faults.ambiguous) {
            return Err(unavailable("no answer to the commit"));
        }
        let settled = committed.settled && !apart;
        Ok(Committed { settled })
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.begin(Operation::Get).await?;
        self.0.inner.ledger.get(key).await
    }

    async fn list(&self, partition: &str, range: Range) -> Result<Page> {
        self.begin(Operation::List).await?;
        self.0.inner.ledger.list(partition, range).await
    }

    async fn query(&self, partition: &str, range: Range) -> Result<Page> {
        let mut begun = self.begin(Operation::Query).await?;
        let question = format!("{partition} {range:?}");
        let faults = begun.faults;
        let earlier = self.state().answers.get(&question).cloned();
        if let Some((given, page)) = earlier
            && given.elapsed() <= faults.delay
            && self.strikes(&mut begun, "stale_query", faults.stale_query)
        {
            return Ok(page);
        }
        let page = self.0.inner.ledger.query(partition, range).await?;
        if faults.stale_query > 0.0 {
            let answers = &mut self.state().answers;
            if answers.len() >= MAX_ANSWERS {
                answers.clear();
            }
            answers.insert(question, (Instant::now(), page.clone()));
        }
        Ok(page)
    }

    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>> {
        self.begin(Operation::Changed).await?;
        tokio::select! {
            biased;
            () = self.crashed() => Err(unavailable("the process has crashed")),
            changed = self.0.inner.ledger.changed(key, after, wait) => changed,
        }
    }

    async fn expire(&self, limit: usize) -> Result<usize> {
        self.begin(Operation::Expire).await?;
        self.0.inner.ledger.expire(limit).await
    }
}
