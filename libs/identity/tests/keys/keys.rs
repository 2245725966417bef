use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::advance;
use waybill_identity::{AuthError, Error, Keys, Scope};
use waybill_messaging::{Key, Ledger, Range};

use crate::rig::{HeldRead, rig, tenant};

#[tokio::test(start_paused = true)]
async fn a_key_says_who_asks_and_its_secret_is_not_stored() {
    let rig = rig();
    let new = rig.key(None).await;
    let principal = rig.keys.authenticate(&new.secret).await.unwrap();
    assert_eq!(principal.key_id, new.key.id);
    assert_eq!(principal.tenant, tenant());
    assert!(principal.may(Scope::ToolsCall) && !principal.may(Scope::Admin));
    assert!(new.secret.starts_with(&format!("wbk_{}_", new.key.id)));

    let random = new.secret.rsplit('_').next().unwrap();
    let stored = rig
        .backend
        .list("keys/all", Range::first(10))
        .await
        .unwrap()
        .records;
    assert_eq!(stored.len(), 1);
    assert!(!String::from_utf8_lossy(&stored[0].body).contains(random));
    for (_, audited) in rig.audited().await {
        assert!(!format!("{audited:?}").contains(random));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_key_is_refused() {
    let rig = rig();
    let (one, other) = (rig.key(None).await, rig.key(None).await);
    let (_, others) = other.secret.rsplit_once('_').unwrap();
    let mixed = format!("wbk_{}_{others}", one.key.id);
    let unknown = format!("wbk_000000000000_{others}");
    let shorter = &one.secret[..one.secret.len() - 1];
    for wrong in [
        mixed.as_str(),
        unknown.as_str(),
        shorter,
        "",
        "wbk__",
        "Bearer x",
    ] {
        let refused = rig.keys.authenticate(wrong).await;
        assert!(
            matches!(refused, Err(AuthError::Invalid)),
            "{wrong}: {refused:?}"
        );
    }
    // A wrong secret that was tried does not spoil the right one, nor the other way round.
    rig.keys.authenticate(&one.secret).await.unwrap();
    assert!(matches!(
        rig.keys.authenticate(&mixed).await,
        Err(AuthError::Invalid)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_key_ends_at_its_time_also_when_it_is_remembered() {
    let rig = rig();
    let new = rig.key(Some(Duration::from_millis(500))).await;
    rig.keys.authenticate(&new.secret).await.unwrap();
    advance(Duration::from_millis(500)).await;
    assert!(matches!(
        rig.keys.authenticate(&new.secret).await,
        Err(AuthError::Ended)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_seen_at_once_here_and_within_a_second_elsewhere() {
    let rig = rig();
    let elsewhere = Keys::new(Arc::new(rig.backend.clone()), rig.clock.clone());
    let new = rig.key(None).await;
    rig.keys.authenticate(&new.secret).await.unwrap();
    elsewhere.authenticate(&new.secret).await.unwrap();

    let revoked = rig.keys.revoke("operator", &new.key.id).await.unwrap();
    assert!(revoked.revoked_at.is_some());
    assert!(matches!(
        rig.keys.authenticate(&new.secret).await,
        Err(AuthError::Ended)
    ));
    advance(Duration::from_secs(1)).await;
    assert!(matches!(
        elsewhere.authenticate(&new.secret).await,
        Err(AuthError::Ended)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_read_from_before_the_revocation_does_not_bring_the_key_back() {
    let rig = rig();
    let new = rig.key(None).await;
    let (ledger, hold) = HeldRead::new(rig.backend.clone());
    let keys = Keys::new(Arc::new(ledger), rig.clock.clone());

    // The check has read the record; the revocation is committed before it goes on.
    let (_, ()) = tokio::join!(keys.authenticate(&new.secret), async {
        hold.read.await.unwrap();
        keys.revoke("operator", &new.key.id).await.unwrap();
        hold.go_on.send(()).unwrap();
    });
    let late = keys.authenticate(&new.secret).await;
    assert!(matches!(late, Err(AuthError::Ended)), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn creation_and_revocation_are_audited_once() {
    let rig = rig();
    let new = rig.key(None).await;
    for _ in 0..2 {
        rig.keys.revoke("k1", &new.key.id).await.unwrap();
    }
    let audited = rig.audited().await;
    let told: Vec<_> = audited
        .iter()
        .map(|(subject, data)| (subject.as_str(), data.action.as_str(), data.actor.as_str()))
        .collect();
    let id = new.key.id.as_str();
    let made = ("default", "tenant.created", "operator");
    assert_eq!(
        told,
        [
            made,
            (id, "key.created", "operator"),
            (id, "key.revoked", "k1")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn keys_are_listed_by_tenant_and_bad_ones_are_not_made() {
    let rig = rig();
    let new = rig.key(None).await;
    let mine = rig.keys.list(Some(&tenant())).await.unwrap();
    assert_eq!(
        mine.iter().map(|key| &key.id).collect::<Vec<_>>(),
        [&new.key.id]
    );
    let system = waybill_events::TenantId::system();
    assert!(rig.keys.list(Some(&system)).await.unwrap().is_empty());

    let scopes = BTreeSet::from([Scope::Admin]);
    for name in ["", &"n".repeat(65)] {
        let refused = rig
            .keys
            .create("operator", tenant(), name, scopes.clone(), None)
            .await;
        assert!(matches!(refused, Err(Error::Name)));
    }
    let refused = rig
        .keys
        .create("operator", tenant(), "none", BTreeSet::new(), None)
        .await;
    assert!(matches!(refused, Err(Error::NoScope)));
    let unknown = rig.keys.revoke("operator", "000000000000").await;
    assert!(matches!(unknown, Err(Error::Unknown(_))));
    let absent = rig
        .backend
        .get(&Key::new("keys/all", "000000000000"))
        .await
        .unwrap();
    assert!(absent.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_that_no_calendar_holds_is_refused() {
    let rig = rig();
    let create = async |lifetime| {
        let scopes = BTreeSet::from([Scope::ToolsCall]);
        let created = rig
            .keys
            .create("operator", tenant(), "laptop", scopes, Some(lifetime));
        created.await.map(|new| new.key.expires_at)
    };
    assert!(create(Duration::from_hours(24)).await.unwrap().is_some());
    for lifetime in [Duration::MAX, Duration::from_hours(90_000_000)] {
        let refused = create(lifetime).await;
        assert!(matches!(refused, Err(Error::Lifetime)), "{refused:?}");
    }
}
