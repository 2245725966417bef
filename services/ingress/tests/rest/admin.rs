use std::time::Duration;

use axum::{body::Body, http::StatusCode};
use serde_json::{Value, json};
use waybill_messaging::{Queue, Settlement};

use crate::rig::{Rig, WORKER, rig};

#[tokio::test(start_paused = true)]
async fn keys_are_made_listed_and_revoked() {
    let rig = rig().await;
    let body = json!({ "name": "ci", "tenant": "acme", "lifetimeS": 60 });
    let made = rig.admin("POST", "/admin/keys", body).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.json();
    let secret = made["secret"].as_str().unwrap();
    let used = rig.send(secret, "GET", "/tools", &[], Body::empty()).await;
    assert_eq!(
        (used.status, &made["scopes"]),
        (StatusCode::OK, &json!(["tools:call"]))
    );

    let listed = rig
        .admin("GET", "/admin/keys?tenant=acme", Value::Null)
        .await;
    assert_eq!(listed.json()["keys"].as_array().unwrap().len(), 2);
    assert!(
        !listed.text.contains("secret") && !listed.text.contains("digest"),
        "{listed:?}"
    );
    tokio::time::advance(Duration::from_mins(1)).await;
    let expired = rig.send(secret, "GET", "/tools", &[], Body::empty()).await;
    assert_eq!(expired.status, StatusCode::UNAUTHORIZED);

    for (body, code) in [
        (json!({ "name": "x", "tenant": "nobody" }), "unknown_tenant"),
        (json!({ "name": "x", "tenant": "No Body" }), "bad_request"),
        (json!({ "name": "" }), "bad_request"),
        (json!({ "name": "x", "scopes": [] }), "bad_request"),
        (json!({ "name": "x", "scopes": ["root"] }), "bad_request"),
        (json!({ "nam": "x" }), "bad_request"),
        (json!({ "name": "x", "lifetimeS": u64::MAX }), "bad_request"),
        (
            json!({ "name": "x", "lifetimeS": 300_000_000_000_u64 }),
            "bad_request",
        ),
    ] {
        assert_eq!(rig.admin("POST", "/admin/keys", body).await.code(), code);
    }
    let unknown = rig
        .admin("DELETE", "/admin/keys/000000000000", Value::Null)
        .await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.code()),
        (404, "not_found".into())
    );
}

#[tokio::test(start_paused = true)]
async fn tenants_are_made_once() {
    let rig = rig().await;
    let globex = json!({ "id": "globex" });
    let made = rig.admin("POST", "/admin/tenants", globex.clone()).await;
    assert_eq!(
        (made.status, &made.json()["name"]),
        (StatusCode::CREATED, &json!("globex"))
    );
    let again = rig.admin("POST", "/admin/tenants", globex).await;
    assert_eq!(
        (again.status.as_u16(), again.code()),
        (409, "tenant_exists".into())
    );
    let listed = rig.admin("GET", "/admin/tenants", Value::Null).await.json();
    let ids: Vec<_> = listed["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["id"])
        .collect();
    assert_eq!(ids, ["acme", "default", "globex"]);
}

#[tokio::test(start_paused = true)]
async fn secrets_are_set_listed_and_removed_and_never_told() {
    let rig = rig().await;
    let body = json!({ "value": "the-secret" });
    for path in ["web", "github/token", "github%2Ftoken"] {
        let path = format!("/admin/secrets/{path}");
        let set = rig.admin("PUT", &path, body.clone()).await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
    }
    let listed = rig.admin("GET", "/admin/secrets", Value::Null).await;
    let at = "2026-05-28T20:26:40Z";
    let expected = json!({ "secrets": [
        { "name": "github/token", "changedAt": at },
        { "name": "web", "changedAt": at },
    ] });
    assert_eq!(listed.json(), expected);

    let path = "/admin/secrets/github/token";
    let read = rig.admin("GET", path, Value::Null).await;
    assert_eq!(read.status, StatusCode::METHOD_NOT_ALLOWED);
    let removed = rig.admin("DELETE", path, Value::Null).await;
    assert_eq!(removed.status, StatusCode::OK, "{removed:?}");
    let again = rig.admin("DELETE", path, Value::Null).await;
    assert_eq!(
        (again.status.as_u16(), again.code()),
        (404, "not_found".into())
    );
    let actions = rig.actions().await;
    let of_secrets = actions.iter().filter(|action| action.starts_with("secret"));
    let of_secrets: Vec<_> = of_secrets.collect();
    assert_eq!(
        of_secrets,
        ["secret.set", "secret.set", "secret.set", "secret.removed"]
    );
    let trail = rig
        .admin("GET", "/admin/audit/export", Value::Null)
        .await
        .text;
    assert!(trail.contains("github/token") && !trail.contains("the-secret"));

    for (name, body) in [
        ("Web", body.clone()),
        ("a%20b", body.clone()),
        ("web", json!({ "value": "" })),
        ("web", json!({ "value": "x", "more": 1 })),
        ("web", json!({})),
    ] {
        let path = format!("/admin/secrets/{name}");
        let refused = rig.admin("PUT", &path, body).await;
        assert_eq!(refused.code(), "bad_request", "{refused:?}");
        assert!(!refused.text.contains("the-secret"));
    }
    let callers = rig.get("/admin/secrets").await;
    assert_eq!(callers.status, StatusCode::FORBIDDEN);
}

async fn bury(rig: &Rig) -> String {
    let id = rig.place().await;
    let received = rig
        .queue
        .receive(WORKER.name, 1, Duration::ZERO)
        .await
        .unwrap();
    let reason = "it is poison".to_owned();
    let dead = rig
        .queue
        .settle(&received[0].receipt, Settlement::DeadLetter { reason });
    dead.await.unwrap();
    id
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_shown_and_redriven_and_that_is_audited() {
    let rig = rig().await;
    let call = bury(&rig).await;
    let queues = rig.admin("GET", "/admin/queues", Value::Null).await.json();
    assert_eq!(queues["queues"][0]["subscription"], "worker");
    assert_eq!(queues["queues"][0]["depth"]["dead"], 1);
    let path = "/admin/dlq/worker";
    let listed = rig.admin("GET", path, Value::Null).await.json();
    let letter = &listed["deadLetters"][0];
    assert_eq!(
        (&letter["subject"], &letter["reason"]),
        (&json!(call), &json!("it is poison"))
    );
    let id = letter["id"].as_str().unwrap();
    let shown = rig.admin("GET", &format!("{path}/{id}"), Value::Null).await;
    assert_eq!(&shown.json(), letter);
    assert_eq!(
        rig.admin("GET", "/admin/dlq", Value::Null).await.json(),
        listed
    );

    let redrive = format!("{path}/{id}/redrive");
    let redriven = rig.admin("POST", &redrive, Value::Null).await;
    assert_eq!(redriven.status, StatusCode::OK);
    assert_eq!(rig.claim().await.id.as_str(), call);
    let again = rig.admin("POST", &redrive, Value::Null).await;
    assert_eq!(
        (again.status.as_u16(), again.code()),
        (404, "not_found".into())
    );
    let actions = rig.actions().await;
    let redrives = actions
        .iter()
        .filter(|action| *action == "dead-letter.redriven");
    assert_eq!(
        redrives.count(),
        1,
        "what did not happen is not written down: {actions:?}"
    );

    let all = rig
        .admin("POST", "/admin/dlq/worker/redrive", Value::Null)
        .await;
    assert_eq!(all.json(), json!({ "redriven": 0 }));
    let unknown = rig
        .admin("POST", "/admin/dlq/nothing/redrive", Value::Null)
        .await;
    assert_eq!(unknown.status.as_u16(), 404);
    let unknown = rig.admin("GET", "/admin/dlq/nothing", Value::Null).await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.code()),
        (404, "not_found".into())
    );
    let bad = rig
        .admin("GET", "/admin/dlq/worker?limit=x", Value::Null)
        .await;
    assert_eq!(
        (bad.status.as_u16(), bad.code()),
        (400, "bad_request".into())
    );
}

#[tokio::test(start_paused = true)]
async fn the_trail_is_read_exported_and_verified() {
    let rig = rig().await;
    // Each is a segment of the trail: more than the export reads at once.
    for _ in 0..40 {
        rig.place().await;
        rig.audit().await;
    }
    let verified = rig
        .admin("GET", "/admin/audit/verify", Value::Null)
        .await
        .json();
    assert_eq!(verified["sound"], true);
    let entries = verified["entries"].as_u64().unwrap();
    assert!(entries >= 40, "{verified}");

    let lines = [("accept", "application/jsonl")];
    let export = rig
        .send(
            &rig.admin,
            "GET",
            "/admin/audit/export",
            &lines,
            Body::empty(),
        )
        .await;
    assert_eq!(export.header("content-type"), "application/jsonl");
    let numbers = export.text.lines().map(|line| {
        let entry: Value = serde_json::from_str(line).unwrap();
        entry["seq"].as_u64().unwrap()
    });
    assert!(numbers.eq(1..=entries));
    let page = rig
        .admin(
            "GET",
            &format!("/admin/audit/export?from={entries}"),
            Value::Null,
        )
        .await;
    assert_eq!(page.json()["entries"].as_array().unwrap().len(), 1);
    let tail = rig
        .admin("GET", "/admin/audit?limit=2", Value::Null)
        .await
        .json();
    assert_eq!(tail["entries"][1]["seq"], entries);
    let call = rig.place().await;
    rig.audit().await;
    let about = format!("/admin/audit?subject={call}");
    let about = rig.admin("GET", &about, Value::Null).await.json();
    let subjects = about["entries"].as_array().unwrap().iter();
    let subjects: Vec<_> = subjects.map(|entry| &entry["event"]["subject"]).collect();
    assert_eq!((subjects, &about["since"]), (vec![&json!(call)], &json!(1)));
    assert!(!export.text.contains(rig.key.rsplit('_').next().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_does_not_hold_up_the_others() {
    let found = rig()
        .await
        .admin("GET", "/admin/doctor", Value::Null)
        .await
        .json();
    let checks = json!([
        { "check": "ledger", "result": { "verdict": "ok", "message": "answers" } },
        { "check": "stuck", "result": { "verdict": "failed", "message": "no answer in 20 s" } },
    ]);
    assert_eq!(found["checks"], checks);
}
