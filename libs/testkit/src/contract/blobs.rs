//! The suite of [`Blobs`](waybill_messaging::Blobs).

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::{task::JoinSet, time::sleep};
use waybill_events::TenantId;
use waybill_messaging::{BlobKey, Error};

use super::{BlobsFixture, Expiry, assert_err, eventually};

/// Runs the blob store's suite: `blobs_contract!(path::to::fixture)`, in a module of its own, where
/// `fixture` is an `async fn() -> BlobsFixture`.
#[macro_export]
macro_rules! blobs_contract {
    ($fixture:path) => {
        $crate::contract_tests!(
            blobs,
            $fixture,
            [
                a_blob_comes_back,
                what_is_missing_is_none,
                a_put_replaces_the_blob_whole,
                a_reader_never_sees_a_mixture,
                a_deleted_blob_is_gone,
                tenants_are_apart,
                a_name_outside_its_alphabet_is_broken,
                a_long_name_is_fine,
                an_expired_blob_is_gone,
                a_put_moves_the_expiry,
                expire_removes_only_what_has_expired,
            ]
        );
    };
}

fn key(tenant: &TenantId, name: &str) -> BlobKey {
    BlobKey {
        tenant: tenant.clone(),
        name: name.to_owned(),
    }
}

fn fresh(name: &str) -> BlobKey {
    key(&crate::tenant(), name)
}

impl BlobsFixture {
    fn later(&self) -> DateTime<Utc> {
        self.clock.now() + TimeDelta::hours(1)
    }

    async fn put(&self, key: &BlobKey, body: &[u8], expires_at: DateTime<Utc>) {
        let body = Bytes::copy_from_slice(body);
        self.blobs.put(key, body, expires_at).await.expect("put");
    }

    async fn get(&self, key: &BlobKey) -> Option<Bytes> {
        self.blobs.get(key).await.expect("get")
    }

    async fn passes(&self, time: DateTime<Utc>) {
        while self.clock.now() <= time {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

pub async fn a_blob_comes_back(f: BlobsFixture) {
    let key = fresh("result-1");
    let all_bytes: Vec<u8> = (0..=255).cycle().take(3 * 1024 * 1024 + 17).collect();
    for body in [&b""[..], b"x", b"\n\r\0", &all_bytes] {
        f.put(&key, body, f.later()).await;
        assert!(
            f.get(&key).await.is_some_and(|stored| stored == body),
            "{} bytes",
            body.len()
        );
    }
}

pub async fn what_is_missing_is_none(f: BlobsFixture) {
    let key = fresh("nothing");
    assert_eq!(f.get(&key).await, None);
    f.blobs
        .delete(&key)
        .await
        .expect("there is nothing to delete");
}

pub async fn a_put_replaces_the_blob_whole(f: BlobsFixture) {
    let key = fresh("result");
    f.put(&key, b"a long first body", f.later()).await;
    f.put(&key, b"short", f.later()).await;
    assert_eq!(f.get(&key).await.as_deref(), Some(&b"short"[..]));
}

pub async fn a_reader_never_sees_a_mixture(f: BlobsFixture) {
    let key = fresh("result");
    f.put(&key, &[b'a'; 1_000], f.later()).await;
    let mut writers = JoinSet::new();
    for byte in b'a'..=b'd' {
        let (blobs, key, until) = (f.blobs.clone(), key.clone(), f.later());
        writers.spawn(async move {
            for n in 1..6 {
                let body = Bytes::from(vec![byte; n * 100_000]);
                blobs.put(&key, body, until).await.expect("put");
            }
        });
    }
    while !writers.is_empty() {
        let body = f.get(&key).await.expect("it is never absent");
        assert!(body.len() % 1_000 == 0, "half a body: {}", body.len());
        assert!(body.iter().all(|byte| *byte == body[0]), "a mixture");
        while writers.try_join_next().is_some_and(|done| {
            done.expect("no panic");
            true
        }) {}
    }
}

pub async fn a_deleted_blob_is_gone(f: BlobsFixture) {
    let (gone, stays) = (fresh("gone"), fresh("stays"));
    for key in [&gone, &stays] {
        f.put(key, b"x", f.later()).await;
    }
    f.blobs.delete(&gone).await.expect("delete");
    assert_eq!(f.get(&gone).await, None);
    assert!(f.get(&stays).await.is_some());
    f.put(&gone, b"again", f.later()).await;
    assert_eq!(f.get(&gone).await.as_deref(), Some(&b"again"[..]));
}

pub async fn tenants_are_apart(f: BlobsFixture) {
    let (mine, yours) = (fresh("same"), fresh("same"));
    f.put(&mine, b"mine", f.later()).await;
    assert_eq!(f.get(&yours).await, None);
    f.put(&yours, b"yours", f.later()).await;
    f.blobs.delete(&yours).await.expect("delete");
    assert_eq!(f.get(&mine).await.as_deref(), Some(&b"mine"[..]));
}

pub async fn a_name_outside_its_alphabet_is_broken(f: BlobsFixture) {
    let tenant = crate::tenant();
    let names = [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "A",
        "a.b",
        "a b",
        "ü",
        "a\0",
        "a\n",
        "~",
        "a_b",
        "%2e%2e",
    ];
    for name in names {
        let key = key(&tenant, name);
        let put = f.blobs.put(&key, Bytes::from_static(b"x"), f.later()).await;
        assert_err!(put, Error::Broken { .. });
        assert_err!(f.blobs.get(&key).await, Error::Broken { .. });
        assert_err!(f.blobs.delete(&key).await, Error::Broken { .. });
    }
}

pub async fn a_long_name_is_fine(f: BlobsFixture) {
    let key = fresh(&"0-z".repeat(40));
    f.put(&key, b"x", f.later()).await;
    assert!(f.get(&key).await.is_some());
}

pub async fn an_expired_blob_is_gone(f: BlobsFixture) {
    let key = fresh("soon");
    let soon = f.clock.now() + TimeDelta::milliseconds(300);
    f.put(&key, b"x", soon).await;
    f.passes(soon).await;
    if f.expiry == Expiry::Swept {
        f.blobs.expire(100).await.expect("expire");
        assert_eq!(f.get(&key).await, None);
    }
    f.put(&key, b"again", f.later()).await;
    assert_eq!(f.get(&key).await.as_deref(), Some(&b"again"[..]));
}

pub async fn a_put_moves_the_expiry(f: BlobsFixture) {
    let key = fresh("moved");
    let soon = f.clock.now() + TimeDelta::milliseconds(300);
    f.put(&key, b"1", soon).await;
    f.put(&key, b"2", f.later()).await;
    f.passes(soon).await;
    f.blobs.expire(100).await.expect("expire");
    assert_eq!(f.get(&key).await.as_deref(), Some(&b"2"[..]));
}

pub async fn expire_removes_only_what_has_expired(f: BlobsFixture) {
    let tenants = [crate::tenant(), crate::tenant()];
    let past = f.clock.now() - TimeDelta::seconds(1);
    for tenant in &tenants {
        f.put(&key(tenant, "alive"), b"alive", f.later()).await;
        for n in 0..3 {
            f.put(&key(tenant, &format!("dead-{n}")), b"dead", past)
                .await;
        }
    }
    let mut removed = 0;
    eventually("an expire that finds nothing", async || {
        let count = f.blobs.expire(4).await.expect("expire");
        assert!(count <= 4, "over its limit");
        removed += count;
        (count == 0).then_some(())
    })
    .await;
    for tenant in &tenants {
        assert!(f.get(&key(tenant, "alive")).await.is_some());
        if f.expiry == Expiry::Swept {
            assert_eq!(f.get(&key(tenant, "dead-0")).await, None);
        }
    }
    assert!(
        f.expiry == Expiry::Native || removed >= 6,
        "removed only {removed}"
    );
}
