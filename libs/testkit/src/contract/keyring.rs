//! The suite of [`KeyRing`](waybill_messaging::KeyRing).

use std::collections::HashSet;

use waybill_messaging::{DataKey, EncryptionContext, Error};

use super::{KeyRingFixture, assert_err};

/// Runs the key ring's suite: `keyring_contract!(path::to::fixture)`, in a module of its own, where
/// `fixture` is an `async fn() -> KeyRingFixture`.
#[macro_export]
macro_rules! keyring_contract {
    ($fixture:path) => {
        $crate::contract_tests!(
            keyring,
            $fixture,
            [
                a_key_comes_back,
                wrapping_twice_differs,
                the_key_is_not_in_the_clear,
                another_context_is_refused,
                any_altered_byte_is_refused,
                another_length_is_refused,
                another_master_key_is_refused,
            ]
        );
    };
}

const KEY: DataKey = DataKey(*b"thirty-two bytes of key material");

fn context(entries: &[(&str, &str)]) -> EncryptionContext {
    entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub async fn a_key_comes_back(f: KeyRingFixture) {
    let contexts = [
        context(&[]),
        context(&[("tenant", "acme")]),
        context(&[
            ("tenant", "žluťoučký 🐎"),
            ("purpose", "credentials"),
            ("x", ""),
        ]),
    ];
    for context in contexts {
        let wrapped = f.ring.wrap(&KEY, &context).await.expect("wrap");
        let key = f.ring.unwrap(&wrapped, &context).await.expect("unwrap");
        assert!(key == KEY, "another key came back");
    }
}

pub async fn wrapping_twice_differs(f: KeyRingFixture) {
    let context = context(&[("tenant", "acme")]);
    let mut all = HashSet::new();
    for _ in 0..10 {
        all.insert(f.ring.wrap(&KEY, &context).await.expect("wrap"));
    }
    assert_eq!(all.len(), 10);
}

pub async fn the_key_is_not_in_the_clear(f: KeyRingFixture) {
    let wrapped = f.ring.wrap(&KEY, &context(&[])).await.expect("wrap");
    let leaks = wrapped
        .windows(4)
        .any(|part| KEY.0.windows(4).any(|of| of == part));
    assert!(!leaks, "part of the key is readable");
}

pub async fn another_context_is_refused(f: KeyRingFixture) {
    let right = context(&[("purpose", "audit"), ("tenant", "acme")]);
    let wrapped = f.ring.wrap(&KEY, &right).await.expect("wrap");
    let wrong = [
        context(&[]),
        context(&[("tenant", "acme")]),
        context(&[("purpose", "audit"), ("tenant", "acm")]),
        context(&[("purpose", "audit"), ("tenant", "acme"), ("x", "")]),
        context(&[("purpose", "acme"), ("tenant", "audit")]),
        // The same text when names and values are only put one behind the other.
        context(&[("purposea", "udit"), ("tenant", "acme")]),
        context(&[("purpose", "audittenant"), ("acme", "")]),
        context(&[("purpose", "audit,tenant=acme")]),
    ];
    for context in wrong {
        let unwrapped = f.ring.unwrap(&wrapped, &context).await;
        assert_err!(unwrapped, Error::Broken { .. } | Error::Refused { .. });
    }
}

pub async fn any_altered_byte_is_refused(f: KeyRingFixture) {
    let context = context(&[("tenant", "acme")]);
    let wrapped = f.ring.wrap(&KEY, &context).await.expect("wrap");
    for (at, _) in wrapped.iter().enumerate() {
        let mut altered = wrapped.clone();
        altered[at] ^= 1 << (at % 8);
        let unwrapped = f.ring.unwrap(&altered, &context).await;
        assert_err!(unwrapped, Error::Broken { .. } | Error::Refused { .. });
    }
}

pub async fn another_length_is_refused(f: KeyRingFixture) {
    let context = context(&[]);
    let wrapped = f.ring.wrap(&KEY, &context).await.expect("wrap");
    let mut longer = wrapped.clone();
    longer.push(0);
    let half = &wrapped[..wrapped.len() / 2];
    let all_but_one = &wrapped[..wrapped.len() - 1];
    for bytes in [&[], &wrapped[..1], half, all_but_one, &longer] {
        let unwrapped = f.ring.unwrap(bytes, &context).await;
        assert_err!(unwrapped, Error::Broken { .. } | Error::Refused { .. });
    }
}

pub async fn another_master_key_is_refused(f: KeyRingFixture) {
    let context = context(&[("tenant", "acme")]);
    let wrapped = f.ring.wrap(&KEY, &context).await.expect("wrap");
    assert_err!(
        f.stranger.unwrap(&wrapped, &context).await,
        Error::Broken { .. } | Error::Refused { .. }
    );
}
