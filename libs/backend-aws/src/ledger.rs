//! The ledger: three tables and a topic.

use std::{
    hash::{BuildHasher, Hasher},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use waybill_messaging::{
    Clock, Commit, Committed, Error, Key, Ledger, Page, Range, Record, Result,
};

use crate::{Clients, Names, Place, error::port_error};

mod commit;
mod item;
mod outbox;
mod publish;
mod read;
pub(crate) mod schema;
#[cfg(test)]
mod scripted;
mod sweep;
mod write;

pub use self::sweep::Swept;
use self::{
    commit::Prepared,
    outbox::{Message, Outbox},
    publish::Publisher,
};

/// How long a commit waits until its events are on the topic; the sweep has them after that.
const PUBLISH_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks of [`Ledger::changed`]: doubled from the first up to the last.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// [`Ledger`] on `DynamoDB`, its events on an SNS topic. The crate's README shows the tables.
///
/// Timeouts and retries of lost and throttled requests are the SDK's, set in [`Clients`]; a
/// transaction bears a token, so that such a retry does not meet its own first try. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DynamoLedger {
    dynamodb: aws_sdk_dynamodb::Client,
    records: String,
    inbox: String,
    outbox: Outbox,
    publisher: Publisher,
    place: Place,
    clock: Clock,
    /// Commits and removals under way, whether somebody waits for them or not.
    commits: TaskTracker,
}

impl DynamoLedger {
    /// Asks `DynamoDB` for the account that owns the tables: the topic is in the same.
    pub async fn open(clients: &Clients, names: &Names, clock: Clock) -> Result<Self> {
        let found = clients
            .dynamodb
            .describe_table()
            .table_name(names.records())
            .send()
            .await
            .map_err(|error| port_error("the ledger's tables cannot be found", error))?;
        let table = found.table().and_then(|table| table.table_arn());
        let place = table.and_then(Place::of).ok_or_else(|| {
            Error::broken(
                "the ledger's tables cannot be found",
                "the answer has no ARN",
            )
        })?;
        Ok(Self {
            dynamodb: clients.dynamodb.clone(),
            records: names.records(),
            inbox: names.inbox(),
            outbox: Outbox::new(clients, names),
            publisher: Publisher::new(clients, place.arn("sns", &names.topic())),
            place,
            clock,
            commits: TaskTracker::new(),
        })
    }

    /// Where the tables are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Waits until the commits that were begun have ended, also those that nobody waits for any
    /// more, and what was published has left the outbox. Each ends by its requests' timeouts. May be
    /// asked again and again: a function does before each answer, because it is frozen after it.
    pub async fn drain(&self) {
        self.commits.close();
        self.commits.wait().await;
    }

    async fn carry_out(&self, prepared: Prepared) -> Result<Committed> {
        self.transact(&prepared).await?;
        self.announce(&prepared.events).await;
        Ok(Committed { settled: false })
    }

    /// What fails here is committed: it stays in the outbox for the sweep.
    async fn announce(&self, events: &[Message]) {
        if events.is_empty() {
            return;
        }
        let publishing = self.publisher.announce(events);
        let failure = match timeout(PUBLISH_LIMIT, publishing).await {
            Ok(published) => {
                self.forget(published.messages);
                published.refused
            }
            Err(late) => Some(Error::unavailable("SNS takes too long", late)),
        };
        stays(events.len(), failure);
    }

    /// Nobody waits for it: what a crash leaves is published a second time, and known.
    fn forget(&self, published: Vec<Message>) {
        let outbox = self.outbox.clone();
        self.commits.spawn(async move {
            let forgotten = outbox.forget(&published).await;
            stays(published.len(), forgotten.err());
        });
    }

    /// Milliseconds since 1970.
    fn now(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }
}

#[async_trait]
impl Ledger for DynamoLedger {
    /// In a task of its own: a caller that goes away does not keep the events from the topic.
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let prepared = Prepared::new(commit)?;
        let ledger = self.clone();
        let work = async move { ledger.carry_out(prepared).await };
        let working = self.commits.spawn(work.in_current_span());
        working
            .await
            .unwrap_or_else(|ended| Err(Error::unavailable("a commit was interrupted", ended)))
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let now = self.clock.now();
        let record = self.read(key).await?;
        Ok(record.filter(|record| record.expires_at.is_none_or(|at| at > now)))
    }

    async fn list(&self, partition: &str, range: Range) -> Result<Page> {
        self.page(&read::BY_KEY, partition, range).await
    }

    async fn query(&self, partition: &str, range: Range) -> Result<Page> {
        self.page(&read::BY_INDEX, partition, range).await
    }

    /// Looks again and again; `DynamoDB` tells nobody.
    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>> {
        let end = Instant::now() + wait;
        let mut pause = FIRST_LOOK;
        loop {
            let newest = self.get(key).await?;
            if let Some(newer) = newest.filter(|record| record.version > after) {
                return Ok(Some(newer));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    /// The tables' own expiry removes; nothing is left to do.
    async fn expire(&self, _limit: usize) -> Result<usize> {
        Ok(0)
    }
}

fn stays(events: usize, failure: Option<Error>) {
    if let Some(error) = failure {
        tracing::warn!(
            events,
            error = &error as &dyn std::error::Error,
            "committed events stay in the outbox for the sweep"
        );
    }
}

/// Below `bound`, for pauses and places to begin at: what lost together does not come back together.
fn random_below(bound: u64) -> u64 {
    let random = std::hash::RandomState::new().build_hasher().finish();
    random % bound.max(1)
}
