//! Reading by key, listing and expiry.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::sleep;
use waybill_messaging::{Direction, Error, Expect, Range};

use super::{Fixture, Space, all_pages, put, put_until, sorts, writing};
use crate::contract::{Expiry, assert_err, eventually};

pub async fn what_is_missing_is_none(f: Fixture) {
    let space = Space::new();
    assert_eq!(f.ledger.get(&space.key("a")).await.expect("get"), None);
    let page = f
        .ledger
        .list(&space.partition, Range::first(10))
        .await
        .expect("list");
    assert!(page.records.is_empty() && page.next.is_none());
    let page = f
        .ledger
        .query(&space.index("i"), Range::first(10))
        .await
        .expect("query");
    assert!(page.records.is_empty() && page.next.is_none());
}

pub async fn a_list_is_ordered_by_bytes(f: Fixture) {
    let space = Space::new();
    // In UTF-16 the last two would change places.
    let ordered = [
        "0",
        "A",
        "a",
        "a-",
        "a0",
        "aa",
        "b",
        "é",
        "\u{ffee}",
        "\u{10348}",
    ];
    for sort in ordered.iter().rev() {
        f.write([put(&space.key(sort), Expect::Absent, sort)]).await;
    }
    let page = f
        .ledger
        .list(&space.partition, Range::first(100))
        .await
        .expect("list");
    assert_eq!(sorts(&page.records), ordered);
    let page = f
        .ledger
        .list(&space.partition, Range::last(3))
        .await
        .expect("list");
    assert_eq!(sorts(&page.records), ["\u{10348}", "\u{ffee}", "é"]);
}

pub async fn a_list_keeps_to_its_bounds(f: Fixture) {
    let space = Space::new();
    for sort in ["a", "b", "c", "cc", "d", "e"] {
        f.write([put(&space.key(sort), Expect::Absent, sort)]).await;
    }
    let cases: [(Range, &[&str]); 6] = [
        (Range::first(10).from("b").to("d"), &["b", "c", "cc", "d"]),
        (Range::last(10).from("b").to("d"), &["d", "cc", "c", "b"]),
        (Range::first(10).from("bb"), &["c", "cc", "d", "e"]),
        (Range::last(2).to("cz"), &["cc", "c"]),
        (Range::first(10).from("x"), &[]),
        (Range::first(10).from("d").to("b"), &[]),
    ];
    for (range, expected) in cases {
        let shown = format!("{range:?}");
        let page = f.ledger.list(&space.partition, range).await.expect("list");
        assert_eq!(sorts(&page.records), expected, "{shown}");
    }
}

pub async fn a_list_pages_in_both_directions(f: Fixture) {
    let space = Space::new();
    let ascending: Vec<String> = (0..10).map(|n| format!("{n:02}")).collect();
    for sort in &ascending {
        f.write([put(&space.key(sort), Expect::Absent, sort)]).await;
    }
    let descending: Vec<String> = ascending.iter().rev().cloned().collect();
    for limit in [1, 3, 5, 10, 1_000] {
        for (range, expected) in [
            (Range::first(limit), &ascending),
            (Range::last(limit), &descending),
        ] {
            let records = all_pages(range, |range| f.ledger.list(&space.partition, range)).await;
            assert_eq!(sorts(&records), *expected, "pages of {limit}");
        }
    }
    let bounded = Range {
        direction: Direction::Descending,
        ..Range::first(2).from("03").to("07")
    };
    let records = all_pages(bounded, |range| f.ledger.list(&space.partition, range)).await;
    assert_eq!(sorts(&records), ["07", "06", "05", "04", "03"]);
}

pub async fn a_list_keeps_to_its_partition(f: Fixture) {
    let space = Space::new();
    let mine = space.key("a");
    let others = [
        waybill_messaging::Key::new(format!("{}0", space.partition), "b"),
        waybill_messaging::Key::new(format!("other{}", space.partition), "c"),
        waybill_messaging::Key::new(space.partition.trim_end_matches(char::is_alphanumeric), "d"),
    ];
    f.write([put(&mine, Expect::Any, "mine")]).await;
    for other in &others {
        f.write([put(other, Expect::Any, "other")]).await;
    }
    let page = f
        .ledger
        .list(&space.partition, Range::first(10))
        .await
        .expect("list");
    assert_eq!(sorts(&page.records), ["a"]);
}

/// A record that is about to expire, and the wait until it has.
async fn expiring(f: &Fixture, key: &waybill_messaging::Key) {
    let at = f.clock.now() + TimeDelta::milliseconds(500);
    f.write([put_until(key, Expect::Any, "old", Some(at))])
        .await;
    let record = f.ledger.get(key).await.expect("get");
    assert_eq!(
        record.expect("it has not expired yet").expires_at,
        Some(at),
        "the time of expiry"
    );
    while f.clock.now() < at {
        sleep(Duration::from_millis(20)).await;
    }
}

pub async fn an_expired_record_reads_as_absent(f: Fixture) {
    let space = Space::new();
    let (key, alive) = (space.key("a"), space.key("b"));
    f.write([put(&alive, Expect::Any, "alive")]).await;
    expiring(&f, &key).await;
    assert_eq!(f.version(&key).await, None);
    let records = all_pages(Range::first(10), |r| f.ledger.list(&space.partition, r)).await;
    assert_eq!(sorts(&records), ["b"]);
    let newer = f.ledger.changed(&key, 0, Duration::from_millis(50)).await;
    assert_eq!(newer.expect("changed"), None);
    let stale = f
        .ledger
        .commit(writing([put(&key, Expect::Version(1), "no")]));
    assert_err!(stale.await, Error::Conflict { .. });
}

pub async fn an_expired_record_can_be_created_again(f: Fixture) {
    let space = Space::new();
    let (key, other) = (space.key("a"), space.key("b"));
    expiring(&f, &key).await;
    f.write([put(&key, Expect::Absent, "new")]).await;
    let record = f.ledger.get(&key).await.expect("get").expect("there");
    assert_eq!((record.version, &record.body[..]), (1, &b"new"[..]));
    assert_eq!(record.expires_at, None);
    expiring(&f, &other).await;
    f.write([put(&other, Expect::Any, "new")]).await;
    assert_eq!(f.body(&other).await.as_deref(), Some(&b"new"[..]));
}

pub async fn a_put_moves_the_expiry(f: Fixture) {
    let space = Space::new();
    let (longer, never) = (space.key("longer"), space.key("never"));
    let soon = f.clock.now() + TimeDelta::milliseconds(300);
    let later = f.clock.now() + TimeDelta::hours(1);
    for key in [&longer, &never] {
        f.write([put_until(key, Expect::Any, "1", Some(soon))])
            .await;
    }
    f.write([put_until(&longer, Expect::Any, "2", Some(later))])
        .await;
    f.write([put(&never, Expect::Any, "2")]).await;
    while f.clock.now() <= soon {
        sleep(Duration::from_millis(20)).await;
    }
    f.ledger.expire(100).await.expect("expire");
    for key in [&longer, &never] {
        assert_eq!(f.version(key).await, Some(2), "{key}");
    }
}

pub async fn expire_removes_only_what_has_expired(f: Fixture) {
    let space = Space::new();
    let alive = space.key("alive");
    let later = f.clock.now() + TimeDelta::hours(1);
    f.write([put_until(&alive, Expect::Any, "alive", Some(later))])
        .await;
    let past = f.clock.now() - TimeDelta::seconds(5);
    for n in 0..5 {
        let key = space.key(&format!("dead-{n}"));
        f.write([put_until(&key, Expect::Any, "dead", Some(past))])
            .await;
    }
    let mut removed = 0;
    eventually("an expire that finds nothing", async || {
        let count = f.ledger.expire(3).await.expect("expire");
        assert!(count <= 3, "over its limit");
        removed += count;
        (count == 0).then_some(())
    })
    .await;
    if f.expiry == Expiry::Swept {
        assert!(removed >= 5, "removed only {removed}");
    }
    let records = all_pages(Range::first(10), |r| f.ledger.list(&space.partition, r)).await;
    assert_eq!(sorts(&records), ["alive"]);
}
