//! The operator's view of every tenant's calls.

use std::time::Duration;

use axum::{body::Body, http::StatusCode};
use serde_json::{Value, json};
use tokio::time::advance;
use waybill_identity::Scope;

use crate::rig::{Rig, make, rig};

/// Places a call of `echo` with this key; its id.
async fn place(rig: &Rig, key: &str) -> String {
    let body = json!({ "tool": "echo" }).to_string();
    let headers = [("prefer", "respond-async")];
    let placed = rig.send(key, "POST", "/calls", &headers, body).await;
    assert_eq!(placed.status, StatusCode::ACCEPTED, "{placed:?}");
    placed.json()["id"].as_str().unwrap().to_owned()
}

async fn second_tenant(rig: &Rig) -> String {
    let globex = json!({ "id": "globex" });
    let made = rig.admin("POST", "/admin/tenants", globex).await;
    assert_eq!(made.status, StatusCode::CREATED);
    make(&rig.keys, "globex", Scope::ToolsCall).await.secret
}

/// Tenant and id of each call of a page, and where the next begins.
async fn list(rig: &Rig, query: &str) -> (Vec<(String, String)>, Option<String>) {
    let path = format!("/admin/calls{query}");
    let listed = rig.admin("GET", &path, Value::Null).await;
    assert_eq!(listed.status, StatusCode::OK, "{listed:?}");
    let page = listed.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let calls = page["calls"].as_array().unwrap().iter();
    let calls = calls.map(|call| (text(&call["tenant"]), text(&call["id"])));
    (calls.collect(), page["next"].as_str().map(str::to_owned))
}

#[tokio::test(start_paused = true)]
async fn calls_of_every_tenant_are_listed_in_one_order() {
    let rig = rig().await;
    let other = second_tenant(&rig).await;
    let mut placed = Vec::new();
    for (tenant, key) in [("acme", &rig.key), ("globex", &other)].repeat(60) {
        placed.insert(0, (tenant.to_owned(), place(&rig, key).await));
        advance(Duration::from_millis(1)).await;
    }
    let ended = rig.claim().await;
    rig.finish(&ended, "a secret").await;

    // More than is read at a time, in pages of an odd size.
    let (mut all, mut query) = (Vec::new(), "?limit=7".to_owned());
    loop {
        let (calls, next) = list(&rig, &query).await;
        all.extend(calls);
        let Some(next) = next else { break };
        query = format!("?limit=7&after={next}");
    }
    assert_eq!(all, placed);
    assert_eq!(list(&rig, "?limit=1000").await, (placed.clone(), None));

    let of_globex = placed.iter().filter(|(tenant, _)| tenant == "globex");
    let (listed, _) = list(&rig, "?tenant=globex&limit=1000").await;
    assert!(listed.iter().eq(of_globex));
    let (listed, _) = list(&rig, "?status=completed&limit=1").await;
    assert_eq!(listed, placed[119..], "behind what does not fit");
    assert!(list(&rig, "?tool=other").await.0.is_empty());

    let page = rig
        .admin("GET", "/admin/calls?limit=1000", Value::Null)
        .await;
    assert!(!page.text.contains("a secret"));
    for (bad, status, code) in [
        ("?status=done", 400, "bad_request"),
        ("?after=zz", 400, "bad_request"),
        ("?tenant=nobody", 404, "unknown_tenant"),
    ] {
        let path = format!("/admin/calls{bad}");
        let refused = rig.admin("GET", &path, Value::Null).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (status, code.into()),
            "{bad}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_any_tenant_is_shown_without_its_result_and_that_is_audited() {
    let rig = rig().await;
    let id = rig.place().await;
    let call = rig.claim().await;
    rig.finish(&call, "a secret").await;
    let path = format!("/admin/calls/acme/{id}");
    let shown = rig.admin("GET", &path, Value::Null).await;
    let document = shown.json();
    assert_eq!(
        (&document["tenant"], &document["state"], &document["effect"]),
        (&json!("acme"), &json!("completed"), &json!("readOnly"))
    );
    assert!(document["deadline"].is_string() && !shown.text.contains("a secret"));
    for unknown in [
        format!("/admin/calls/globex/{id}"),
        "/admin/calls/acme/zz".to_owned(),
        format!("/admin/calls/No%20Body/{id}"),
    ] {
        let refused = rig.admin("GET", &unknown, Value::Null).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (404, "not_found".into())
        );
    }
    let actions = rig.actions().await;
    let read = actions.iter().filter(|action| *action == "call.read");
    assert_eq!(read.count(), 1, "{actions:?}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_cancels_the_call_of_any_tenant() {
    let rig = rig().await;
    let (id, waiting) = (rig.place().await, rig.place().await);
    rig.claim().await;
    for (id, status) in [(&id, StatusCode::ACCEPTED), (&waiting, StatusCode::OK)] {
        let path = format!("/admin/calls/acme/{id}");
        let cancelled = rig.admin("DELETE", &path, Value::Null).await;
        assert_eq!(cancelled.status, status, "{cancelled:?}");
    }
    let seen = rig.get(&format!("/mcp/status/{waiting}")).await.json();
    assert_eq!(seen["state"], "cancelled");
    let actions = rig.actions().await;
    let cancelled = actions
        .iter()
        .filter(|action| *action == "call.cancel-requested");
    assert_eq!(cancelled.count(), 2, "{actions:?}");
}

#[tokio::test(start_paused = true)]
async fn no_other_key_reaches_them() {
    let rig = rig().await;
    let id = rig.place().await;
    let call = format!("/admin/calls/acme/{id}");
    for (method, path) in [("GET", "/admin/calls"), ("GET", &call), ("DELETE", &call)] {
        let refused = rig.send(&rig.key, method, path, &[], Body::empty()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
}
