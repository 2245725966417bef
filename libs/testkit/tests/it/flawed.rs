//! The embedded backend with one promise broken.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::time::sleep;
use waybill_backend_sqlite::SqliteBackend;
use waybill_messaging::{
    Clock, Commit, Committed, DeadLetter, DeadLetterId, Delivery, Depth, Direction, Error, Expect,
    Key, Ledger, Page, Queue, Range, Receipt, Record, Result, Seen, Settlement, Write,
};
use waybill_testkit::contract::{Fixture, TOPOLOGY};

/// A promise to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    WritesOneByOne,
    EventsFirst,
    MarksFirst,
    NoConditions,
    NoChecks,
    AnyVersion,
    NoMarks,
    MarksForAll,
    ConflictFirst,
    SettlesOnConflict,
    NeverSettles,
    Truncates,
    Unlimited,
    KeepsIndex,
    NeverExpires,
    NoExpiry,
    SweepsAll,
    Descends,
    ExclusiveEnd,
    ForgetsPages,
    RepeatsPages,
    PrefixPartitions,
    SlowChange,
    HastyChange,
    EarlyTimeout,
    StaysAsleep,
    DropsEvents,
    WrongQueue,
    ChangesData,
    DoubleLease,
    ExtendsLost,
    ExtendsNothing,
    SettlesNothing,
    RetriesAtOnce,
    RetriesLate,
    CountsNothing,
    LosesLetters,
    OldLettersFirst,
    RedrivesAsOld,
    RedrivesNothing,
    Greedy,
    LosesDropped,
    SlowReceive,
    EmptyDepth,
    UnknownIsEmpty,
    HalfDropped,
}

pub(crate) fn fixture(flaw: Flaw) -> Fixture {
    let inner = SqliteBackend::in_memory(TOPOLOGY, Clock::system()).unwrap();
    let injector = inner.clone();
    let inject = Box::new(move |subscription, body| {
        let backend = injector.clone();
        let injected = async move { backend.inject(subscription, body).await.unwrap() };
        Box::pin(injected) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
    });
    let flawed = Arc::new(Flawed {
        inner,
        flaw,
        known: Mutex::default(),
    });
    Fixture::new(flawed.clone(), flawed, Clock::system(), inject)
}

struct Flawed {
    inner: SqliteBackend,
    flaw: Flaw,
    /// The first delivery of each subscription's last receive.
    known: Mutex<HashMap<String, Delivery>>,
}

impl Flawed {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    async fn part(&self, writes: Vec<Write>) -> Result<Committed> {
        let part = Commit {
            writes,
            ..Commit::default()
        };
        self.inner.commit(part).await
    }

    /// Does some of the commit before its time.
    async fn ahead(&self, commit: &mut Commit) -> Result<()> {
        match self.flaw {
            Flaw::WritesOneByOne => {
                for write in std::mem::take(&mut commit.writes) {
                    self.part(vec![write]).await?;
                }
            }
            Flaw::EventsFirst => {
                let events = std::mem::take(&mut commit.events);
                let part = Commit {
                    events,
                    ..Commit::default()
                };
                self.inner.commit(part).await?;
                // The records are not there for a while.
                sleep(Duration::from_millis(5)).await;
            }
            Flaw::MarksFirst => {
                let seen = std::mem::take(&mut commit.seen);
                let part = Commit {
                    seen,
                    ..Commit::default()
                };
                self.inner.commit(part).await?;
            }
            Flaw::HalfDropped => {
                if let Some(first) = commit.writes.pop() {
                    self.part(vec![first]).await?;
                    tokio::task::yield_now().await;
                }
            }
            Flaw::ConflictFirst => {
                self.part(commit.writes.iter().map(condition).collect())
                    .await?;
            }
            _ => {}
        }
        Ok(())
    }

    fn bend(&self, commit: &mut Commit) {
        match self.flaw {
            Flaw::NoMarks => commit.seen.clear(),
            Flaw::MarksForAll => {
                for Seen { subscription, .. } in &mut commit.seen {
                    *subscription = "alpha";
                }
            }
            Flaw::NeverSettles => commit.seen.iter_mut().for_each(|seen| seen.receipt = None),
            Flaw::DropsEvents => commit.events.truncate(7),
            Flaw::NoChecks => commit
                .writes
                .retain(|write| !matches!(write, Write::Check { .. })),
            _ => {}
        }
        for write in &mut commit.writes {
            self.bend_write(write);
        }
    }

    fn bend_write(&self, write: &mut Write) {
        if self.has(Flaw::NoConditions) {
            match write {
                Write::Put { expect, .. } | Write::Delete { expect, .. } => *expect = Expect::Any,
                Write::Check { .. } => {}
            }
        }
        let Write::Put {
            body,
            expires_at,
            expect,
            ..
        } = write
        else {
            return;
        };
        match (self.flaw, &expect) {
            (Flaw::NeverExpires, _) => *expires_at = None,
            (Flaw::Truncates | Flaw::Unlimited, _) => body.truncate(Record::MAX_BODY / 2),
            (Flaw::AnyVersion, Expect::Version(_)) => *expect = Expect::Any,
            _ => {}
        }
    }

    fn keep_index(commit: &mut Commit) {
        for write in &mut commit.writes {
            if let Write::Put { key, index, .. } = write
                && index.is_none()
            {
                let kept = format!(
                    "contract-closed/{}",
                    key.partition.split_once('/').unwrap().1
                );
                *index = Some(waybill_messaging::IndexEntry::new(kept, "1"));
            }
        }
    }

    fn bend_range(&self, range: &mut Range) {
        match self.flaw {
            Flaw::Descends => range.direction = Direction::Ascending,
            Flaw::ExclusiveEnd => {
                range.to = range
                    .to
                    .take()
                    .map(|to| to[..to.len() - 1].to_owned() + "\u{1}");
            }
            Flaw::RepeatsPages => range.after = None,
            _ => {}
        }
    }

    fn bend_page(&self, mut page: Page) -> Page {
        if self.has(Flaw::ForgetsPages) {
            page.next = None;
        }
        page
    }

    fn bend_delivery(&self, delivery: &mut Delivery) {
        match self.flaw {
            Flaw::CountsNothing => delivery.receives = 1,
            Flaw::ChangesData => {
                let event = Arc::make_mut(&mut delivery.event);
                event.traceparent = None;
            }
            _ => {}
        }
    }
}

fn condition(write: &Write) -> Write {
    let (Write::Put { expect, .. } | Write::Delete { expect, .. } | Write::Check { expect, .. }) =
        write;
    Write::Check {
        key: write.key().clone(),
        expect: *expect,
    }
}

#[async_trait]
impl Ledger for Flawed {
    async fn commit(&self, mut commit: Commit) -> Result<Committed> {
        self.bend(&mut commit);
        if self.has(Flaw::KeepsIndex) {
            Self::keep_index(&mut commit);
        }
        self.ahead(&mut commit).await?;
        let receipts: Vec<Receipt> = commit
            .seen
            .iter()
            .filter_map(|seen| seen.receipt.clone())
            .collect();
        let answer = self.inner.commit(commit).await;
        if self.has(Flaw::SettlesOnConflict) && answer.is_err() {
            for receipt in receipts {
                self.inner.settle(&receipt, Settlement::Done).await?;
            }
        }
        let committed = answer?;
        let settled = committed.settled || self.has(Flaw::NeverSettles);
        Ok(Committed { settled })
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.inner.get(key).await
    }

    async fn list(&self, partition: &str, mut range: Range) -> Result<Page> {
        self.bend_range(&mut range);
        if self.has(Flaw::PrefixPartitions) {
            let longer = self
                .inner
                .list(&format!("{partition}0"), range.clone())
                .await?;
            let mut page = self.inner.list(partition, range).await?;
            page.records.extend(longer.records);
            return Ok(page);
        }
        Ok(self.bend_page(self.inner.list(partition, range).await?))
    }

    async fn query(&self, partition: &str, mut range: Range) -> Result<Page> {
        self.bend_range(&mut range);
        Ok(self.bend_page(self.inner.query(partition, range).await?))
    }

    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>> {
        match self.flaw {
            Flaw::SlowChange => {
                sleep(Duration::from_secs(3).min(wait)).await;
                self.inner.changed(key, after, Duration::ZERO).await
            }
            Flaw::EarlyTimeout => self.inner.changed(key, after, wait / 2).await,
            Flaw::HastyChange => self.inner.changed(key, after.saturating_sub(1), wait).await,
            Flaw::StaysAsleep => {
                let record = self.inner.changed(key, after, wait).await?;
                Ok(record.filter(|record| record.version > 1))
            }
            _ => self.inner.changed(key, after, wait).await,
        }
    }

    async fn expire(&self, limit: usize) -> Result<usize> {
        match self.flaw {
            Flaw::NoExpiry => Ok(0),
            Flaw::SweepsAll => self.inner.expire(limit * 10).await,
            _ => self.inner.expire(limit).await,
        }
    }
}

#[async_trait]
impl Queue for Flawed {
    async fn receive(&self, name: &str, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let (ask, max) = match self.flaw {
            Flaw::WrongQueue if name == "alpha" => ("beta", max),
            Flaw::Greedy => (name, max + 1),
            _ => (name, max),
        };
        if self.has(Flaw::DoubleLease) {
            let again = self.known.lock().unwrap().remove(name);
            if let Some(delivery) = again {
                return Ok(vec![delivery]);
            }
        }
        let wait = match self.flaw {
            Flaw::EarlyTimeout => wait / 2,
            Flaw::SlowReceive => {
                sleep(wait.min(Duration::from_secs(3))).await;
                Duration::ZERO
            }
            _ => wait,
        };
        let mut received = match self.inner.receive(ask, max, wait).await {
            Err(Error::Unknown(_)) if self.has(Flaw::UnknownIsEmpty) => Vec::new(),
            received => received?,
        };
        for delivery in &mut received {
            self.bend_delivery(delivery);
        }
        if self.has(Flaw::LosesDropped) {
            for delivery in &received {
                self.inner
                    .settle(&delivery.receipt, Settlement::Done)
                    .await?;
            }
            sleep(Duration::from_millis(10)).await;
        }
        if let (Flaw::DoubleLease, Some(first)) = (self.flaw, received.first()) {
            let mut known = self.known.lock().unwrap();
            known.insert(name.to_owned(), first.clone());
        }
        Ok(received)
    }

    async fn extend(&self, receipt: &Receipt) -> Result<()> {
        match self.flaw {
            Flaw::ExtendsNothing => Ok(()),
            Flaw::ExtendsLost => {
                self.inner.extend(receipt).await.ok();
                Ok(())
            }
            _ => self.inner.extend(receipt).await,
        }
    }

    async fn settle(&self, receipt: &Receipt, settlement: Settlement) -> Result<()> {
        let settlement = match (self.flaw, settlement) {
            (Flaw::SettlesNothing, Settlement::Done) | (Flaw::LosesDropped, _) => return Ok(()),
            (Flaw::LosesLetters, Settlement::DeadLetter { .. }) => Settlement::Done,
            (Flaw::RetriesAtOnce, Settlement::Retry { .. }) => Settlement::Retry {
                after: Duration::ZERO,
            },
            (Flaw::RetriesLate, Settlement::Retry { after }) => Settlement::Retry {
                after: after + Duration::from_secs(5),
            },
            (_, settlement) => settlement,
        };
        self.inner.settle(receipt, settlement).await
    }

    async fn depth(&self, name: &str) -> Result<Depth> {
        match self.flaw {
            Flaw::EmptyDepth => Ok(Depth::default()),
            Flaw::UnknownIsEmpty => Ok(self.inner.depth(name).await.unwrap_or_default()),
            _ => self.inner.depth(name).await,
        }
    }

    async fn dead_letters(&self, name: &str, limit: usize) -> Result<Vec<DeadLetter>> {
        let mut letters = self.inner.dead_letters(name, limit).await?;
        if self.has(Flaw::OldLettersFirst) {
            letters.sort_by_key(|letter| -> DateTime<Utc> { letter.died_at });
        }
        Ok(letters)
    }

    async fn redrive(&self, name: &str, id: &DeadLetterId) -> Result<()> {
        match self.flaw {
            Flaw::RedrivesNothing => Ok(()),
            Flaw::RedrivesAsOld => {
                self.inner.redrive(name, id).await?;
                // A receive that nobody sees.
                let taken = self.inner.receive(name, 1, Duration::ZERO).await?;
                let after = Duration::ZERO;
                for delivery in taken {
                    let again = Settlement::Retry { after };
                    self.inner.settle(&delivery.receipt, again).await?;
                }
                Ok(())
            }
            _ => self.inner.redrive(name, id).await,
        }
    }

    async fn redrive_all(&self, name: &str) -> Result<u64> {
        match self.flaw {
            Flaw::RedrivesNothing => Ok(self.inner.depth(name).await?.dead),
            _ => self.inner.redrive_all(name).await,
        }
    }
}
