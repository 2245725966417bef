//! Waiting for a change.

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use waybill_messaging::{Expect, Key, Write};

use super::{Fixture, Space, put};

const LONG: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_millis(200);

/// Waits for a version of `key` after `after` while `write` is committed; its version.
async fn wakes(f: &Fixture, key: &Key, after: u64, write: Write) -> u64 {
    let waiting = f.ledger.changed(key, after, LONG);
    let writing = async {
        sleep(MOMENT).await;
        let began = Instant::now();
        f.write([write]).await;
        began
    };
    let (record, began) = tokio::join!(waiting, writing);
    let took = began.elapsed();
    assert!(took < f.promptness, "it woke only after {took:?}");
    record.expect("changed").expect("a newer version").version
}

pub async fn a_change_wakes_a_waiter(f: Fixture) {
    let key = Space::new().key("a");
    f.write([put(&key, Expect::Absent, "1")]).await;
    for after in 1..4 {
        let version = wakes(&f, &key, after, put(&key, Expect::Any, "next")).await;
        assert_eq!(version, after + 1);
    }
}

pub async fn a_creation_wakes_a_waiter(f: Fixture) {
    let key = Space::new().key("a");
    let version = wakes(&f, &key, 0, put(&key, Expect::Absent, "1")).await;
    assert_eq!(version, 1);
}

pub async fn a_newer_version_answers_at_once(f: Fixture) {
    let key = Space::new().key("a");
    f.write([put(&key, Expect::Any, "1")]).await;
    f.write([put(&key, Expect::Any, "2")]).await;
    for wait in [LONG, Duration::ZERO] {
        let began = Instant::now();
        let record = f.ledger.changed(&key, 1, wait).await.expect("changed");
        let record = record.expect("a newer version");
        assert_eq!((record.version, &record.body[..]), (2, &b"2"[..]));
        assert!(began.elapsed() < f.promptness);
    }
}

pub async fn no_change_times_out(f: Fixture) {
    let space = Space::new();
    let key = space.key("a");
    f.write([put(&key, Expect::Any, "1")]).await;
    let began = Instant::now();
    let other = async {
        sleep(MOMENT / 2).await;
        f.write([put(&space.key("b"), Expect::Any, "another record")])
            .await;
    };
    let (record, ()) = tokio::join!(f.ledger.changed(&key, 1, MOMENT * 2), other);
    assert_eq!(record.expect("changed"), None);
    let took = began.elapsed();
    assert!(took >= MOMENT * 19 / 10, "gave up after {took:?}");
    assert!(
        took < MOMENT * 2 + f.promptness,
        "gave up only after {took:?}"
    );
    let at_once = f.ledger.changed(&key, 1, Duration::ZERO).await;
    assert_eq!(at_once.expect("changed"), None);
}

pub async fn what_is_absent_or_deleted_is_no_change(f: Fixture) {
    let space = Space::new();
    let absent = f.ledger.changed(&space.key("nothing"), 0, MOMENT).await;
    assert_eq!(absent.expect("changed"), None);
    let key = space.key("a");
    f.write([put(&key, Expect::Any, "1")]).await;
    let deleting = async {
        sleep(MOMENT / 2).await;
        let expect = Expect::Any;
        f.write([Write::Delete {
            key: key.clone(),
            expect,
        }])
        .await;
    };
    let (record, ()) = tokio::join!(f.ledger.changed(&key, 1, MOMENT * 2), deleting);
    assert_eq!(record.expect("changed"), None);
}

pub async fn a_change_wakes_every_waiter(f: Fixture) {
    let key = Space::new().key("a");
    f.write([put(&key, Expect::Absent, "1")]).await;
    let mut waiters = JoinSet::new();
    for _ in 0..20 {
        let (ledger, key) = (f.ledger.clone(), key.clone());
        waiters.spawn(async move { ledger.changed(&key, 1, LONG).await });
    }
    sleep(MOMENT).await;
    let began = Instant::now();
    f.write([put(&key, Expect::Any, "2")]).await;
    while let Some(woken) = waiters.join_next().await {
        let record = woken.expect("no panic").expect("changed");
        assert_eq!(record.expect("a newer version").version, 2);
    }
    assert!(began.elapsed() < f.promptness + MOMENT);
}
