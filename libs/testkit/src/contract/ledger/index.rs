//! Finding records by index. An index may trail by a moment, so each look is repeated.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use tokio::time::sleep;
use waybill_messaging::{Expect, IndexEntry, Range, Write};

use super::{Fixture, Space, all_pages, put_indexed, sorts};
use crate::contract::eventually;

/// Queries until the sort keys are as expected.
async fn finds(f: &Fixture, partition: &str, range: Range, expected: &[&str]) {
    let what = format!("{expected:?} in {partition} {range:?}");
    eventually(&what, async || {
        let read = |range| f.ledger.query(partition, range);
        let records = all_pages(range.clone(), read).await;
        (sorts(&records) == expected).then_some(())
    })
    .await;
}

pub async fn a_query_is_ordered_by_entry(f: Fixture) {
    let space = Space::new();
    let index = space.index("state");
    for (sort, entry) in [("a", "3"), ("b", "1"), ("c", "2")] {
        f.write([put_indexed(&space.key(sort), Some((&index, entry)))])
            .await;
    }
    finds(&f, &index, Range::first(10), &["b", "c", "a"]).await;
    finds(&f, &index, Range::last(10), &["a", "c", "b"]).await;
    let page = f
        .ledger
        .query(&index, Range::first(1))
        .await
        .expect("query");
    let record = &page.records[0];
    assert_eq!(record.key, space.key("b"));
    assert_eq!((record.version, &record.body[..]), (1, &b"b"[..]));
}

pub async fn a_query_keeps_to_its_bounds(f: Fixture) {
    let space = Space::new();
    let index = space.index("time");
    for n in 1..=6 {
        let (sort, entry) = (format!("r{}", 7 - n), format!("{n}"));
        f.write([put_indexed(&space.key(&sort), Some((&index, &entry)))])
            .await;
    }
    finds(
        &f,
        &index,
        Range::first(10).from("2").to("4"),
        &["r5", "r4", "r3"],
    )
    .await;
    finds(
        &f,
        &index,
        Range::last(10).from("2").to("4"),
        &["r3", "r4", "r5"],
    )
    .await;
    finds(&f, &index, Range::first(10).to("1"), &["r6"]).await;
    let other = format!("{index}0");
    finds(&f, &other, Range::first(10), &[]).await;
}

pub async fn a_query_pages_over_equal_entries(f: Fixture) {
    let space = Space::new();
    let index = space.index("same");
    let expected: BTreeSet<String> = (0..7).map(|n| format!("r{n}")).collect();
    for sort in &expected {
        f.write([put_indexed(&space.key(sort), Some((&index, "same")))])
            .await;
    }
    for range in [Range::first(2), Range::last(2), Range::first(7)] {
        eventually("every record once", async || {
            let records = all_pages(range.clone(), |r| f.ledger.query(&index, r)).await;
            let found: BTreeSet<String> = sorts(&records).into_iter().map(str::to_owned).collect();
            assert_eq!(found.len(), records.len(), "a page repeats a record");
            (found == expected).then_some(())
        })
        .await;
    }
}

pub async fn a_put_replaces_the_entry(f: Fixture) {
    let space = Space::new();
    let (key, open, closed) = (space.key("a"), space.index("open"), space.index("closed"));
    f.write([put_indexed(&key, Some((&open, "1")))]).await;
    finds(&f, &open, Range::first(10), &["a"]).await;
    f.write([put_indexed(&key, Some((&closed, "1")))]).await;
    finds(&f, &closed, Range::first(10), &["a"]).await;
    finds(&f, &open, Range::first(10), &[]).await;
    let page = f
        .ledger
        .query(&closed, Range::first(1))
        .await
        .expect("query");
    assert_eq!(page.records[0].version, 2);
    f.write([put_indexed(&key, None)]).await;
    finds(&f, &closed, Range::first(10), &[]).await;
    assert_eq!(f.version(&key).await, Some(3));
}

pub async fn a_delete_takes_its_entry_along(f: Fixture) {
    let space = Space::new();
    let (key, index) = (space.key("a"), space.index("i"));
    f.write([put_indexed(&key, Some((&index, "1")))]).await;
    finds(&f, &index, Range::first(10), &["a"]).await;
    let expect = Expect::Any;
    f.write([Write::Delete {
        key: key.clone(),
        expect,
    }])
    .await;
    finds(&f, &index, Range::first(10), &[]).await;
    f.write([put_indexed(&key, None)]).await;
    finds(&f, &index, Range::first(10), &[]).await;
}

pub async fn an_expired_record_is_not_found_by_index(f: Fixture) {
    let space = Space::new();
    let index = space.index("i");
    let at = f.clock.now() + TimeDelta::milliseconds(500);
    f.write([Write::Put {
        key: space.key("a"),
        expect: Expect::Any,
        body: "a".into(),
        index: Some(IndexEntry::new(&*index, "1")),
        expires_at: Some(at),
    }])
    .await;
    f.write([put_indexed(&space.key("b"), Some((&index, "2")))])
        .await;
    while f.clock.now() < at {
        sleep(Duration::from_millis(20)).await;
    }
    finds(&f, &index, Range::first(10), &["b"]).await;
}
