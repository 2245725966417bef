//! The suite of [`Secrets`](waybill_messaging::Secrets).

use chrono::TimeDelta;
use futures::future::{join_all, try_join_all};
use waybill_messaging::{ListedSecret, SecretName, SecretValue};

use super::{SecretsFixture, eventually};

/// Runs the secrets' suite: `secrets_contract!(path::to::fixture)`, in a module of its own, where
/// `fixture` is an `async fn() -> SecretsFixture`.
#[macro_export]
macro_rules! secrets_contract {
    ($fixture:path) => {
        $crate::contract_tests!(
            secrets,
            $fixture,
            [
                a_secret_comes_back_as_it_was,
                what_was_never_put_is_not_there,
                the_last_put_stays,
                what_is_removed_is_gone,
                what_was_removed_can_be_put_again,
                names_that_are_alike_are_different,
                the_list_is_in_order_and_complete,
                the_list_tells_when_a_secret_was_changed,
                of_puts_at_once_one_stays,
            ]
        );
    };
}

/// Secrets Manager gives a list in pages of 100.
const MORE_THAN_A_PAGE: usize = 120;
/// Secrets Manager tells the time in seconds.
const ROUNDED: TimeDelta = TimeDelta::seconds(1);

fn name(text: &str) -> SecretName {
    SecretName::parse(text).expect("a name")
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.to_owned()).expect("a value")
}

impl SecretsFixture {
    async fn put(&self, at: &str, text: &str) {
        let put = self.secrets.put(&name(at), &value(text)).await;
        put.expect("put");
    }

    async fn read(&self, at: &str) -> Option<String> {
        let got = self.secrets.get(&name(at)).await.expect("get");
        got.map(|value| value.expose().to_owned())
    }

    /// What is read may trail.
    async fn reads(&self, at: &str, wanted: Option<&str>) {
        eventually(&format!("{at} is {wanted:?}"), async || {
            (self.read(at).await.as_deref() == wanted).then_some(())
        })
        .await;
    }

    async fn lists(&self, wanted: &[&str]) -> Vec<ListedSecret> {
        eventually(
            &format!("the list has {} names", wanted.len()),
            async || {
                let listed = self.secrets.list().await.expect("list");
                let names = listed.iter().map(|each| each.name.as_str());
                names.eq(wanted.iter().copied()).then_some(listed)
            },
        )
        .await
    }
}

pub async fn a_secret_comes_back_as_it_was(f: SecretsFixture) {
    let longest = "é".repeat(SecretValue::MAX_BYTES / 2);
    for text in ["x", " two\nlines\n", "\"{}\\ 🐎 \0", &longest] {
        f.put("a", text).await;
        f.reads("a", Some(text)).await;
    }
}

pub async fn what_was_never_put_is_not_there(f: SecretsFixture) {
    assert_eq!(f.read("a").await, None);
    assert!(!f.secrets.remove(&name("a")).await.expect("remove"));
    assert_eq!(f.secrets.list().await.expect("list"), []);
}

pub async fn the_last_put_stays(f: SecretsFixture) {
    for text in ["first", "second", "first", "third"] {
        f.put("a", text).await;
    }
    f.reads("a", Some("third")).await;
    f.lists(&["a"]).await;
}

pub async fn what_is_removed_is_gone(f: SecretsFixture) {
    f.put("a", "of a").await;
    f.put("b", "of b").await;
    assert!(f.secrets.remove(&name("a")).await.expect("remove"));
    f.reads("a", None).await;
    f.lists(&["b"]).await;
    assert!(!f.secrets.remove(&name("a")).await.expect("remove again"));
    f.reads("b", Some("of b")).await;
}

pub async fn what_was_removed_can_be_put_again(f: SecretsFixture) {
    for text in ["first", "second", "third"] {
        f.put("a", text).await;
        f.reads("a", Some(text)).await;
        f.lists(&["a"]).await;
        assert!(f.secrets.remove(&name("a")).await.expect("remove"));
        f.reads("a", None).await;
    }
}

pub async fn names_that_are_alike_are_different(f: SecretsFixture) {
    let longest = "l".repeat(64);
    let nearly = format!("{}m", &longest[1..]);
    let names = [
        "a", "a-", "a/", "a/b", "a/b/c", "a//b", "a_b", "ab", &longest, &nearly,
    ];
    for name in names {
        f.put(name, &format!("of {name}")).await;
    }
    for name in names {
        f.reads(name, Some(&format!("of {name}"))).await;
    }
    assert!(f.secrets.remove(&name("a/b")).await.expect("remove"));
    for kept in names.iter().filter(|name| **name != "a/b") {
        f.reads(kept, Some(&format!("of {kept}"))).await;
    }
}

pub async fn the_list_is_in_order_and_complete(f: SecretsFixture) {
    let names: Vec<_> = (0..MORE_THAN_A_PAGE).map(|n| format!("s/{n:03}")).collect();
    let puts = names.iter().rev().map(async |at| f.put(at, "x").await);
    join_all(puts).await;
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    f.lists(&names).await;
}

pub async fn the_list_tells_when_a_secret_was_changed(f: SecretsFixture) {
    let mut before = f.clock.now() - ROUNDED;
    for text in ["first", "second"] {
        f.put("a", text).await;
        let after = f.clock.now() + ROUNDED;
        let changed_at = f.lists(&["a"]).await[0].changed_at;
        assert!((before..=after).contains(&changed_at), "{changed_at}");
        before = before.max(changed_at);
    }
}

pub async fn of_puts_at_once_one_stays(f: SecretsFixture) {
    let texts: Vec<_> = (0..8).map(|n| format!("of writer {n}")).collect();
    for _ in 0..2 {
        let (at, values) = (name("a"), texts.iter().map(|text| value(text)));
        let values: Vec<_> = values.collect();
        let puts = values.iter().map(|value| f.secrets.put(&at, value));
        try_join_all(puts).await.expect("every put");
        let left = f.read("a").await.expect("one of them");
        assert!(texts.contains(&left), "{left}");
        f.lists(&["a"]).await;
        f.secrets.remove(&at).await.expect("remove");
    }
}
