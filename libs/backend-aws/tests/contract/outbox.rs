//! What only this ledger has: an outbox, two forms of a put, and expired records that stay.

use std::time::Duration;

use chrono::TimeDelta;
use waybill_backend_aws::{DynamoLedger, Names, SqsQueue, provision};
use waybill_events::{Event, EventType};
use waybill_messaging::{
    Clock, Commit, Delivery, Error, Expect, Key, Ledger, Queue, Range, Settlement, Write,
};
use waybill_testkit::contract::{BETA, TOPOLOGY};

use crate::emulator::Account;

const MINUTE: Duration = Duration::from_mins(1);

struct Installation {
    account: Account,
    ledger: DynamoLedger,
}

impl Installation {
    async fn fresh() -> Self {
        let account = Account::fresh().await;
        let (clients, names) = (&account.clients, &account.names);
        provision::apply(clients, names, TOPOLOGY).await.unwrap();
        let ledger = DynamoLedger::open(clients, names, Clock::system()).await;
        Self {
            ledger: ledger.unwrap(),
            account,
        }
    }

    /// Of another process.
    async fn another(&self) -> DynamoLedger {
        let Account { clients, names, .. } = &self.account;
        let ledger = DynamoLedger::open(clients, names, Clock::system()).await;
        ledger.unwrap()
    }

    /// The events that wait in the outbox; beside them are the claims of sweeps.
    async fn waiting(&self) -> usize {
        let scan = self.account.clients.dynamodb.scan();
        let found = scan.table_name(self.account.names.outbox()).send().await;
        let found = found.unwrap();
        let events = found
            .items()
            .iter()
            .filter(|item| item.contains_key("body"));
        events.count()
    }

    async fn remove_topic(&self) {
        let sns = &self.account.clients.sns;
        let topics = sns.list_topics().send().await.unwrap();
        let arn = topics.topics()[0].topic_arn().unwrap();
        sns.delete_topic().topic_arn(arn).send().await.unwrap();
    }

    async fn make_topic(&self) -> SqsQueue {
        let Account { clients, names, .. } = &self.account;
        provision::apply(clients, names, TOPOLOGY).await.unwrap();
        SqsQueue::open(clients, names, TOPOLOGY).await.unwrap()
    }
}

fn event() -> Event {
    waybill_testkit::event(EventType::ScheduleTicked).build()
}

fn emitting(events: Vec<Event>) -> Commit {
    Commit {
        events,
        ..Commit::default()
    }
}

fn put(key: &Key, lifetime: Option<TimeDelta>) -> Write {
    let now = Clock::system().now();
    Write::Put {
        key: key.clone(),
        expect: Expect::Any,
        body: "x".into(),
        index: None,
        expires_at: lifetime.map(|lifetime| now + lifetime),
    }
}

async fn write(ledger: &DynamoLedger, writes: Vec<Write>) {
    let commit = Commit {
        writes,
        ..Commit::default()
    };
    ledger.commit(commit).await.unwrap();
}

/// Receives until there is nothing for a second.
async fn received(queue: &SqsQueue) -> Vec<Delivery> {
    let mut all = Vec::new();
    loop {
        let wait = Duration::from_secs(1);
        let some = queue.receive(BETA.name, 10, wait).await.unwrap();
        if some.is_empty() {
            return all;
        }
        for delivery in &some {
            let settled = queue.settle(&delivery.receipt, Settlement::Done).await;
            settled.unwrap();
        }
        all.extend(some);
    }
}

#[tokio::test]
async fn what_is_published_leaves_the_outbox() {
    let it = Installation::fresh().await;
    // More than one batch of the topic, and than one of deletes.
    let events = (0..30).map(|_| event()).collect();
    it.ledger.commit(emitting(events)).await.unwrap();
    it.ledger.drain().await;
    assert_eq!(it.waiting().await, 0);
}

#[tokio::test]
async fn a_commit_outlives_its_topic_and_the_sweep_publishes() {
    let it = Installation::fresh().await;
    it.remove_topic().await;
    let mut events: Vec<Event> = (0..30).map(|_| event()).collect();
    let committed = it.ledger.commit(emitting(events.clone())).await;
    committed.expect("it is committed, whatever the topic says");
    assert_eq!(it.waiting().await, 30);
    let swept = it.ledger.sweep_outbox(Duration::ZERO, MINUTE).await;
    assert!(swept.unwrap().stopped.is_some(), "there is no topic");
    assert_eq!(it.waiting().await, 30);

    let queue = it.make_topic().await;
    let swept = it.ledger.sweep_outbox(60 * MINUTE, MINUTE).await.unwrap();
    assert_eq!(
        (swept.published, swept.oldest),
        (0, Duration::ZERO),
        "younger"
    );
    let swept = it.ledger.sweep_outbox(Duration::ZERO, Duration::ZERO).await;
    let swept = swept.unwrap();
    assert_eq!(swept.published, 0, "no time");
    assert!(swept.oldest > Duration::ZERO);
    let other = it.another().await;
    let (one, two) = tokio::join!(
        it.ledger.sweep_outbox(Duration::ZERO, MINUTE),
        other.sweep_outbox(Duration::ZERO, MINUTE),
    );
    let published = one.unwrap().published + two.unwrap().published;
    assert_eq!((published, it.waiting().await), (30, 0), "each once");

    let deliveries = received(&queue).await;
    let mut arrived: Vec<Event> = deliveries.iter().map(|d| (*d.event).clone()).collect();
    arrived.sort_by(|one, other| one.id.cmp(&other.id));
    events.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(arrived, events);
}

#[tokio::test]
async fn an_event_that_fits_no_message_refuses_the_commit() {
    let it = Installation::fresh().await;
    let key = Key::new("p", "a");
    let mut large = event();
    large.data = serde_json::json!({ "text": "x".repeat(255 * 1024) });
    let commit = Commit {
        writes: vec![put(&key, None)],
        ..emitting(vec![event(), large])
    };
    let refused = it.ledger.commit(commit).await;
    assert!(
        matches!(
            refused,
            Err(Error::TooLarge {
                what: "an event",
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(it.ledger.get(&key).await.unwrap(), None);
}

#[tokio::test]
async fn an_event_as_large_as_allowed_arrives() {
    let it = Installation::fresh().await;
    let queue = it.make_topic().await;
    let mut large = event();
    large.data = serde_json::json!({ "text": "x".repeat(254 * 1024) });
    let small = event();
    let events = vec![small, large];
    it.ledger.commit(emitting(events)).await.unwrap();
    it.ledger.drain().await;
    assert_eq!(it.waiting().await, 0);
    assert_eq!(received(&queue).await.len(), 2);
}

/// The first form of such a put meets the expired record, the second would meet the live one.
#[tokio::test]
async fn a_put_over_an_expired_record_begins_with_version_1() {
    let it = Installation::fresh().await;
    let key = |n: usize| Key::new("p", format!("{n}"));
    let past = Some(TimeDelta::seconds(-1));
    write(&it.ledger, vec![put(&key(0), None), put(&key(1), None)]).await;
    write(&it.ledger, vec![put(&key(1), past), put(&key(2), past)]).await;
    write(&it.ledger, (0..4).map(|n| put(&key(n), None)).collect()).await;
    for (n, version) in [(0, 2), (1, 1), (2, 1), (3, 1)] {
        let record = it.ledger.get(&key(n)).await.unwrap().unwrap();
        assert_eq!((record.version, record.expires_at), (version, None), "{n}");
    }
}

#[tokio::test]
async fn a_page_is_filled_over_expired_records() {
    let it = Installation::fresh().await;
    let key = |n: usize| Key::new("p", format!("{n:03}"));
    let past = Some(TimeDelta::seconds(-1));
    let lifetime = |n: usize| past.filter(|_| n % 10 != 9);
    write(
        &it.ledger,
        (0..100).map(|n| put(&key(n), lifetime(n))).collect(),
    )
    .await;
    let page = it.ledger.list("p", Range::first(4)).await.unwrap();
    let sorts: Vec<&str> = page.records.iter().map(|r| &*r.key.sort).collect();
    assert_eq!(sorts, ["009", "019", "029", "039"]);
    let rest = Range::first(100).after(page.next);
    let page = it.ledger.list("p", rest).await.unwrap();
    assert_eq!((page.records.len(), page.next), (6, None));
}

#[tokio::test]
async fn without_tables_opening_says_so() {
    let account = Account::fresh().await;
    let names = Names::new("nowhere");
    let opened = DynamoLedger::open(&account.clients, &names, Clock::system()).await;
    assert!(matches!(opened, Err(Error::Refused { .. })), "{opened:?}");
}
