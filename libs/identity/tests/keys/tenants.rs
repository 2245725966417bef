use std::collections::BTreeSet;

use waybill_events::TenantId;
use waybill_identity::{Error, Scope};

use crate::rig::rig;

#[tokio::test(start_paused = true)]
async fn a_key_is_made_only_for_a_tenant_that_is_there() {
    let rig = rig();
    let acme = TenantId::parse("acme").unwrap();
    let scopes = BTreeSet::from([Scope::ToolsCall]);
    let make = || {
        rig.keys
            .create("operator", acme.clone(), "laptop", scopes.clone(), None)
    };
    assert!(matches!(make().await, Err(Error::UnknownTenant(id)) if id == acme));
    assert!(
        rig.audited().await.is_empty(),
        "what did not happen is not audited"
    );

    rig.keys
        .tenants()
        .create("k1", acme.clone(), "Acme Ltd")
        .await
        .unwrap();
    let new = make().await.unwrap();
    assert_eq!(
        rig.keys.authenticate(&new.secret).await.unwrap().tenant,
        acme
    );
    let actions: Vec<_> = rig
        .audited()
        .await
        .into_iter()
        .map(|(_, data)| data.action)
        .collect();
    assert_eq!(actions, ["tenant.created", "key.created"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_tenant_is_made_once_and_names_are_taken_once() {
    let rig = rig();
    let (one, two) = tokio::join!(rig.key(None), rig.key(None));
    assert_ne!(one.key.id, two.key.id);
    let tenants = rig.keys.tenants();
    let ids = || async {
        tenants
            .list()
            .await
            .unwrap()
            .into_iter()
            .map(|tenant| tenant.id)
    };
    let default = TenantId::parse("default").unwrap();
    assert_eq!(
        ids().await.collect::<Vec<_>>(),
        std::slice::from_ref(&default)
    );
    for taken in [default, TenantId::system()] {
        let refused = tenants.create("operator", taken, "again").await;
        assert!(
            matches!(refused, Err(Error::TenantExists(_))),
            "{refused:?}"
        );
    }
    let unnamed = tenants
        .create("operator", TenantId::parse("acme").unwrap(), "")
        .await;
    assert!(matches!(unnamed, Err(Error::Name)));
}
