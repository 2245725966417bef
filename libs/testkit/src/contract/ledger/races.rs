//! Many at once, and futures that are dropped.

use std::{collections::BTreeSet, time::Duration};

use futures::poll;
use tokio::{task::JoinSet, time::sleep};
use waybill_events::EventType;
use waybill_messaging::{Commit, Error, Expect, Range};

use super::{Fixture, Space, put, sorts, writing};
use crate::contract::{BETA, eventually};

const TASKS: usize = 50;

pub async fn concurrent_increments_lose_nothing(f: Fixture) {
    let key = Space::new().key("counter");
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (ledger, key) = (f.ledger.clone(), key.clone());
        tasks.spawn(async move {
            // Somebody wins each round, so that nobody loses more often than there are others.
            for _ in 0..=TASKS {
                let read = ledger.get(&key).await.expect("get");
                let (expect, count) = read.map_or((Expect::Absent, 0), |record| {
                    let text = std::str::from_utf8(&record.body).expect("digits");
                    (
                        Expect::Version(record.version),
                        text.parse().expect("digits"),
                    )
                });
                // Lets others write in between also where a commit never waits.
                tokio::task::yield_now().await;
                let next: usize = count + 1;
                let write = put(&key, expect, next.to_string());
                match ledger.commit(writing([write])).await {
                    Ok(_) => return,
                    Err(Error::Conflict { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            panic!("it lost more often than there are others");
        });
    }
    tasks.join_all().await;
    let record = f.ledger.get(&key).await.expect("get").expect("there");
    assert_eq!(record.body, TASKS.to_string());
    assert_eq!(record.version, TASKS as u64);
}

pub async fn one_of_many_creators_wins(f: Fixture) {
    let key = Space::new().key("a");
    let mut tasks = JoinSet::new();
    for n in 0..20 {
        let (ledger, key) = (f.ledger.clone(), key.clone());
        let write = put(&key, Expect::Absent, format!("{n}"));
        tasks.spawn(async move {
            match ledger.commit(writing([write])).await {
                Ok(_) => Some(n),
                Err(Error::Conflict { .. }) => None,
                Err(error) => panic!("{error:?}"),
            }
        });
    }
    let winners: Vec<i32> = tasks.join_all().await.into_iter().flatten().collect();
    let [winner] = winners[..] else {
        panic!("winners: {winners:?}");
    };
    let body = f.body(&key).await.expect("there");
    assert_eq!(body, winner.to_string());
}

/// Each commit writes two records and an event; its future is dropped ever later.
pub async fn a_dropped_commit_happens_whole_or_not_at_all(f: Fixture) {
    let space = Space::new();
    for n in 0..40_u64 {
        let commit = Commit {
            writes: vec![
                put(&space.key(&format!("{n:02}-a")), Expect::Absent, "a"),
                put(&space.key(&format!("{n:02}-b")), Expect::Absent, "b"),
            ],
            events: vec![
                crate::event(EventType::ScheduleTicked)
                    .tenant(&space.tenant)
                    .subject(format!("{n:02}"))
                    .build(),
            ],
            seen: Vec::new(),
        };
        let mut committing = f.ledger.commit(commit);
        for _ in 0..n {
            if poll!(&mut committing).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
            if n % 4 == 0 {
                sleep(Duration::from_micros(n * 50)).await;
            }
        }
    }
    // What was dropped may still be under way.
    sleep(Duration::from_millis(500)).await;
    let page = f.ledger.list(&space.partition, Range::first(100)).await;
    let page = page.expect("list");
    let found: BTreeSet<&str> = sorts(&page.records).into_iter().collect();
    let whole: BTreeSet<String> = found
        .iter()
        .filter_map(|sort| sort.strip_suffix("-a"))
        .map(str::to_owned)
        .collect();
    let halves: BTreeSet<String> = found
        .iter()
        .filter_map(|sort| sort.strip_suffix("-b"))
        .map(str::to_owned)
        .collect();
    assert_eq!(whole, halves, "half a commit");
    let mut announced = BTreeSet::new();
    eventually("the event of every commit", async || {
        for delivery in f.some(BETA.name).await {
            announced.insert(delivery.event.subject.clone());
        }
        (announced.len() >= whole.len()).then_some(())
    })
    .await;
    assert!(f.none(BETA.name).await, "an event without its commit");
    assert_eq!(announced, whole);
}

pub async fn an_event_arrives_after_its_record(f: Fixture) {
    let space = Space::new();
    let commits = 20;
    let committing = async {
        for n in 0..commits {
            let event = crate::event(EventType::ScheduleTicked).subject(format!("{n}"));
            let commit = Commit {
                writes: vec![put(&space.key(&format!("{n}")), Expect::Absent, "x")],
                events: vec![event.tenant(&space.tenant).build()],
                seen: Vec::new(),
            };
            f.ledger.commit(commit).await.expect("the commit");
        }
    };
    let receiving = async {
        let mut arrived = 0;
        while arrived < commits {
            for delivery in f.some(BETA.name).await {
                let key = space.key(&delivery.event.subject);
                assert_eq!(f.version(&key).await, Some(1), "{key} is not there yet");
                arrived += 1;
            }
        }
    };
    tokio::join!(committing, receiving);
}
