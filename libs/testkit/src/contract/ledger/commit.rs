//! Writes, conditions and limits.

use std::{collections::BTreeSet, time::Duration};

use waybill_events::EventType;
use waybill_messaging::{Commit, Error, Expect, Range, Record, Write};

use super::{Fixture, Space, put, seen, writing};
use crate::contract::{ALPHA, BETA, assert_err};

pub async fn versions_count_writes(f: Fixture) {
    let space = Space::new();
    let key = space.key("a");
    f.write([put(&key, Expect::Absent, "1")]).await;
    assert_eq!(f.version(&key).await, Some(1));
    f.write([put(&key, Expect::Version(1), "2")]).await;
    f.write([put(&key, Expect::Any, "3")]).await;
    let record = f.ledger.get(&key).await.expect("get").expect("there");
    let expected = Record {
        key,
        version: 3,
        body: "3".into(),
        expires_at: None,
    };
    assert_eq!(record, expected);
}

pub async fn absent_refuses_what_exists(f: Fixture) {
    let key = Space::new().key("a");
    f.write([put(&key, Expect::Absent, "first")]).await;
    let second = f
        .ledger
        .commit(writing([put(&key, Expect::Absent, "second")]));
    assert_err!(second.await, Error::Conflict { key: named } if named == key);
    assert_eq!(f.body(&key).await.as_deref(), Some(&b"first"[..]));
}

pub async fn a_version_that_moved_is_a_conflict(f: Fixture) {
    let space = Space::new();
    let key = space.key("a");
    f.write([put(&key, Expect::Any, "1")]).await;
    f.write([put(&key, Expect::Any, "2")]).await;
    for wrong in [0, 1, 3, u64::MAX >> 1] {
        let write = put(&key, Expect::Version(wrong), "no");
        assert_err!(f.ledger.commit(writing([write])).await, Error::Conflict { key: named } if named == key);
    }
    let nothing = space.key("nothing");
    for version in [0, 1] {
        let write = put(&nothing, Expect::Version(version), "no");
        assert_err!(
            f.ledger.commit(writing([write])).await,
            Error::Conflict { .. }
        );
    }
    assert_eq!(f.version(&key).await, Some(2));
    assert_eq!(f.version(&nothing).await, None);
}

pub async fn any_writes_over_whatever_is_there(f: Fixture) {
    let key = Space::new().key("a");
    for body in ["1", "2"] {
        f.write([put(&key, Expect::Any, body)]).await;
        assert_eq!(f.body(&key).await.as_deref(), Some(body.as_bytes()));
    }
}

pub async fn a_check_guards_without_writing(f: Fixture) {
    let space = Space::new();
    let (guard, key, nothing) = (space.key("guard"), space.key("a"), space.key("nothing"));
    f.write([put(&guard, Expect::Absent, "guard")]).await;
    let check = |key: &waybill_messaging::Key, expect| Write::Check {
        key: key.clone(),
        expect,
    };
    f.write([
        check(&guard, Expect::Version(1)),
        check(&nothing, Expect::Absent),
        put(&key, Expect::Any, "1"),
    ])
    .await;
    assert_eq!(f.version(&guard).await, Some(1), "a check wrote");
    assert_eq!(f.version(&nothing).await, None, "a check created");
    let failing = [
        (&guard, Expect::Version(2)),
        (&guard, Expect::Absent),
        (&nothing, Expect::Version(1)),
    ];
    for (guarded, expect) in failing {
        // Behind the write, so that a backend that checks as it goes is found out.
        let writes = [put(&key, Expect::Any, "2"), check(guarded, expect)];
        assert_err!(f.ledger.commit(writing(writes)).await, Error::Conflict { key } if key == *guarded);
    }
    assert_eq!(f.version(&key).await, Some(1));
}

pub async fn a_delete_obeys_its_condition(f: Fixture) {
    let space = Space::new();
    let key = space.key("a");
    let delete = |expect| Write::Delete {
        key: key.clone(),
        expect,
    };
    f.write([put(&key, Expect::Absent, "1")]).await;
    for wrong in [Expect::Absent, Expect::Version(2)] {
        assert_err!(
            f.ledger.commit(writing([delete(wrong)])).await,
            Error::Conflict { .. }
        );
    }
    f.write([delete(Expect::Version(1))]).await;
    assert_eq!(f.version(&key).await, None);
    assert!(space.is_untouched(&*f.ledger).await, "it is still listed");
    f.write([delete(Expect::Any)]).await;
    f.write([put(&key, Expect::Absent, "2")]).await;
    assert_eq!(f.version(&key).await, Some(1));
    f.write([delete(Expect::Any)]).await;
    assert_eq!(f.version(&key).await, None);
}

pub async fn a_conflict_on_the_last_write_leaves_nothing(f: Fixture) {
    let space = Space::new();
    let taken = space.key("z-taken");
    f.write([put(&taken, Expect::Absent, "taken")]).await;
    let cause = space.event(EventType::ToolCallRequested);
    let effect = space.event(EventType::ToolCallCompleted);
    let mut writes: Vec<Write> = (0..9)
        .map(|n| put(&space.key(&format!("a-{n}")), Expect::Absent, "no"))
        .collect();
    writes.push(put(&taken, Expect::Absent, "no"));
    let commit = Commit {
        writes,
        events: vec![effect],
        seen: vec![seen(BETA.name, &cause)],
    };
    assert_err!(f.ledger.commit(commit).await, Error::Conflict { key } if key == taken);

    let page = f.ledger.list(&space.partition, Range::first(10)).await;
    assert_eq!(super::sorts(&page.expect("list").records), ["z-taken"]);
    assert_eq!(f.body(&taken).await.as_deref(), Some(&b"taken"[..]));
    for subscription in [ALPHA.name, BETA.name] {
        let wait = Duration::from_millis(200);
        let delivered = f.queue.receive(subscription, 10, wait).await;
        assert!(delivered.expect("receive").is_empty(), "an event escaped");
    }
    let mark = Commit {
        seen: vec![seen(BETA.name, &cause)],
        ..Commit::default()
    };
    f.ledger.commit(mark).await.expect("no mark was left");
}

/// What `dispatch` commits when a handler abandons an event without effects.
pub async fn an_empty_commit_is_fine(f: Fixture) {
    let committed = f.ledger.commit(Commit::default()).await;
    committed.expect("there is nothing that could fail");
}

pub async fn bodies_come_back_byte_for_byte(f: Fixture) {
    let space = Space::new();
    let bodies: [Vec<u8>; 4] = [
        Vec::new(),
        (0..=255).collect(),
        "žluťoučký kůň 🐎 \0 \u{202e}".into(),
        vec![0xff; Record::MAX_BODY],
    ];
    for (n, body) in bodies.iter().enumerate() {
        let key = space.key(&format!("body-{n}"));
        f.write([put(&key, Expect::Absent, body)]).await;
        assert!(
            f.body(&key).await.is_some_and(|stored| stored == *body),
            "body {n}"
        );
    }
}

pub async fn keys_may_hold_any_text(f: Fixture) {
    let space = Space::new();
    let sorts = [
        "a'; drop table records; --",
        "%",
        "_",
        "a/b#c",
        "\u{1f40e}",
        "Ž",
        "z",
        " ",
        "\\",
    ];
    for sort in sorts {
        f.write([put(&space.key(sort), Expect::Absent, sort)]).await;
    }
    for sort in sorts {
        let body = f.body(&space.key(sort)).await;
        assert_eq!(body.as_deref(), Some(sort.as_bytes()), "{sort:?}");
    }
    let page = f.ledger.list(&space.partition, Range::first(100)).await;
    let listed: BTreeSet<String> = super::sorts(&page.expect("list").records)
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, sorts.map(str::to_owned).into());
}

pub async fn a_body_over_the_limit_is_too_large(f: Fixture) {
    let space = Space::new();
    let over = vec![b'x'; Record::MAX_BODY + 1];
    let writes = [
        put(&space.key("a"), Expect::Any, "small"),
        put(&space.key("b"), Expect::Any, over),
    ];
    assert_err!(
        f.ledger.commit(writing(writes)).await,
        Error::TooLarge { size, limit, .. } if size == limit + 1 && limit == Record::MAX_BODY
    );
    assert!(space.is_untouched(&*f.ledger).await);
}

pub async fn a_commit_over_the_limit_is_too_large(f: Fixture) {
    let space = Space::new();
    let writes = |count: usize| -> Vec<Write> {
        (0..count)
            .map(|n| put(&space.key(&format!("{n:03}")), Expect::Absent, "x"))
            .collect()
    };
    let over = f
        .ledger
        .commit(writing(writes(Commit::MAX_ITEMS + 1)))
        .await;
    assert_err!(over, Error::TooLarge { .. });
    assert!(space.is_untouched(&*f.ledger).await);
    f.write(writes(Commit::MAX_ITEMS)).await;
    let page = f.ledger.list(&space.partition, Range::first(100)).await;
    assert_eq!(page.expect("list").records.len(), Commit::MAX_ITEMS);
}

pub async fn two_writes_of_one_key_are_refused(f: Fixture) {
    let space = Space::new();
    let (key, other) = (space.key("a"), space.key("b"));
    let writes = [
        put(&key, Expect::Any, "1"),
        put(&other, Expect::Any, "1"),
        put(&key, Expect::Any, "2"),
    ];
    assert_err!(
        f.ledger.commit(writing(writes)).await,
        Error::TooLarge { .. } | Error::Broken { .. }
    );
    assert!(space.is_untouched(&*f.ledger).await);
}
