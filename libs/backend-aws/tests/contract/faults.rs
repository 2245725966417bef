//! The promises over a service that throttles, fails, and loses requests and answers.

use std::time::Duration;

use serde_json::json;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use waybill_backend_aws::{Clients, DynamoLedger, Faults, Settings, SqsQueue, provision};
use waybill_events::{Event, EventType};
use waybill_messaging::{
    Clock, Commit, Error, Expect, Key, Ledger, Queue, Range, Seen, Settlement, Write,
};
use waybill_testkit::contract::{STURDY, eventually};

use crate::emulator::Account;

/// Of the requests, a third.
const SHARES: &str = "throttle=0.08,error=0.08,cut=0.05,lost=0.08,delay=0.05";
const WRITERS: usize = 4;
const READERS: usize = 3;
const EACH: usize = 12;
/// Waits for lost leases of a second, many times over.
const LIMIT: Duration = Duration::from_secs(100);

/// One record that every writer counts on, one that a second try would meet, and an event.
fn made(n: usize, version: u64, event: &Event) -> Commit {
    let put = |key, expect| Write::Put {
        key,
        expect,
        body: "x".into(),
        index: None,
        expires_at: None,
    };
    let counter = match version {
        0 => Expect::Absent,
        version => Expect::Version(version),
    };
    Commit {
        writes: vec![
            put(Key::new("made", n.to_string()), Expect::Absent),
            put(Key::new("counter", "all"), counter),
        ],
        events: vec![event.clone()],
        seen: Vec::new(),
    }
}

/// Tries until it is told that it is done, as whoever has not been told must.
async fn make(ledger: &DynamoLedger, n: usize) {
    let mut event = waybill_testkit::event(EventType::CircuitOpened).build();
    event.data = json!({ "n": n });
    let mut unsure = false;
    loop {
        let Ok(counter) = ledger.get(&Key::new("counter", "all")).await else {
            continue;
        };
        let version = counter.map_or(0, |record| record.version);
        match ledger.commit(made(n, version, &event)).await {
            Ok(_) => return,
            Err(Error::Unavailable { .. }) => unsure = true,
            Err(Error::Conflict { key }) if &*key.partition == "counter" => {}
            Err(Error::Conflict { .. }) => {
                assert!(unsure, "{n} was made by nobody else");
                return;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn read(ledger: &DynamoLedger, queue: &SqsQueue) {
    let some = queue.receive(STURDY.name, 10, Duration::from_secs(1)).await;
    for delivery in some.unwrap_or_default() {
        let n = &delivery.event.data["n"];
        let commit = Commit {
            writes: vec![Write::Put {
                key: Key::new("read", n.to_string()),
                expect: Expect::Absent,
                body: "x".into(),
                index: None,
                expires_at: None,
            }],
            events: Vec::new(),
            seen: vec![Seen {
                subscription: STURDY.name,
                event: delivery.event.id.clone(),
                receipt: None,
            }],
        };
        loop {
            match ledger.commit(commit.clone()).await {
                Ok(_) | Err(Error::AlreadySeen) => break,
                Err(Error::Unavailable { .. }) => {}
                Err(error) => panic!("read twice, or wrongly: {error:?}"),
            }
        }
        // Whatever becomes of it: it comes again, and is known.
        drop(queue.settle(&delivery.receipt, Settlement::Done).await);
    }
}

async fn ports(clients: &Clients, account: &Account) -> (DynamoLedger, SqsQueue) {
    // Opening is not what is tested.
    loop {
        let ledger = DynamoLedger::open(clients, &account.names, Clock::system()).await;
        let queue = SqsQueue::open(clients, &account.names, &[STURDY]).await;
        if let (Ok(ledger), Ok(queue)) = (ledger, queue) {
            return (ledger, queue);
        }
    }
}

async fn nothing_is_lost_and_nothing_is_done_twice(seed: u64) {
    let account = Account::fresh().await;
    let well = &account.clients;
    provision::apply(well, &account.names, &[STURDY])
        .await
        .unwrap();
    let faults: Faults = format!("seed={seed},{SHARES}").parse().unwrap();
    let suffering = account.suffering(faults).await;
    let (ledger, queue) = ports(&suffering, &account).await;

    let (done, mut tasks) = (CancellationToken::new(), JoinSet::new());
    for _ in 0..READERS {
        let (ledger, queue, done) = (ledger.clone(), queue.clone(), done.clone());
        tasks.spawn(async move {
            while !done.is_cancelled() {
                read(&ledger, &queue).await;
            }
        });
    }
    let (sweeping, ended) = (ledger.clone(), done.clone());
    tasks.spawn(async move {
        while ended
            .run_until_cancelled(tokio::time::sleep(Duration::from_secs(1)))
            .await
            .is_some()
        {
            drop(sweeping.sweep_outbox(Duration::from_secs(6), LIMIT).await);
        }
    });
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let ledger = ledger.clone();
        writers.spawn(async move {
            for n in 0..EACH {
                make(&ledger, writer * EACH + n).await;
            }
        });
    }
    writers.join_all().await;

    let (whole, its_queue) = ports(well, &account).await;
    let count = async |partition: &str| {
        let page = whole.list(partition, Range::first(1_000)).await.unwrap();
        page.records.len()
    };
    assert_eq!(count("made").await, WRITERS * EACH);
    let counter = whole.get(&Key::new("counter", "all")).await.unwrap();
    assert_eq!(
        counter.unwrap().version,
        (WRITERS * EACH) as u64,
        "counted twice or not at all"
    );
    while count("read").await < WRITERS * EACH {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    done.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    ledger.drain().await;
    // Events whose publication the readers saw twice, and deletes that came to nothing.
    whole.sweep_outbox(Duration::ZERO, LIMIT).await.unwrap();
    eventually("the queue is empty", async || {
        read(&whole, &its_queue).await;
        let depth = its_queue.depth(STURDY.name).await.unwrap();
        assert_eq!(depth.dead, 0);
        (depth.ready + depth.leased == 0).then_some(())
    })
    .await;
    assert_eq!(count("read").await, WRITERS * EACH);
    let counted = suffering.requests().counted();
    assert!(counted.values().sum::<u64>() > 200, "{counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_loses_nothing_and_repeats_nothing() {
    let runs = (1..=3).map(|seed| timeout(LIMIT, nothing_is_lost_and_nothing_is_done_twice(seed)));
    for run in futures::future::join_all(runs).await {
        run.expect("it ends in time");
    }
}

#[tokio::test]
async fn aws_itself_is_not_made_to_fail() {
    let settings = Settings {
        faults: Some(Faults::default()),
        ..Settings::default()
    };
    let refused = Clients::connect(&settings).await;
    assert!(matches!(refused, Err(Error::Broken { .. })));
}
