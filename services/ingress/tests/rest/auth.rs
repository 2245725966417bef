use std::time::Duration;

use axum::{body::Body, http::StatusCode};
use serde_json::{Value, json};
use tokio::time::advance;
use waybill_ingress::RateLimit;

use crate::rig::{Setup, rig, rig_with};

const KEYED: [(&str, &str); 6] = [
    ("POST", "/mcp"),
    ("GET", "/mcp/status/x"),
    ("DELETE", "/mcp/status/x"),
    ("GET", "/tools"),
    ("POST", "/calls"),
    ("GET", "/admin/keys"),
];

#[tokio::test(start_paused = true)]
async fn without_a_valid_key_nothing_is_told() {
    let rig = rig().await;
    for (method, path) in KEYED {
        let none = rig.send("", method, path, &[], Body::empty()).await;
        assert_eq!(
            (none.status.as_u16(), none.code()),
            (401, "unauthorized".into()),
            "{path}"
        );
        assert_eq!(none.header("www-authenticate"), r#"Bearer realm="waybill""#);
        let wrong = rig.send("wbk_0_x", method, path, &[], Body::empty()).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(
            wrong
                .header("www-authenticate")
                .contains(r#"error="invalid_token""#)
        );
    }
    let in_query = format!("/tools?access_token={}", rig.key);
    let refused = rig.send("", "GET", &in_query, &[], Body::empty()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let (basic, bearer) = ("Basic dTpw".to_owned(), format!("bearer  {}", rig.key));
    for (authorization, status) in [(&basic, 401), (&bearer, 200)] {
        let headers = [("authorization", authorization.as_str())];
        let answer = rig.send("", "GET", "/tools", &headers, Body::empty()).await;
        assert_eq!(answer.status.as_u16(), status, "the scheme, in any case");
    }
    let twice = [
        ("authorization", bearer.as_str()),
        ("authorization", bearer.as_str()),
    ];
    let refused = rig.send("", "GET", "/tools", &twice, Body::empty()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_refused_at_once_and_refusals_are_audited() {
    let rig = rig().await;
    assert_eq!(rig.get("/tools").await.status, StatusCode::OK);
    let id = rig.key.split('_').nth(1).unwrap().to_owned();
    let revoked = rig
        .admin("DELETE", &format!("/admin/keys/{id}"), Value::Null)
        .await;
    assert!(revoked.json()["revokedAt"].is_string());
    assert_eq!(rig.get("/tools").await.status, StatusCode::UNAUTHORIZED);
    let actions = rig.actions().await;
    assert_eq!(
        actions[actions.len() - 2..],
        ["key.revoked", "auth.refused"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_does_what_its_scope_says_and_no_more() {
    let rig = rig().await;
    let path = format!("/mcp/status/{}", rig.place().await);
    let operator = |method: &'static str, path: &str| {
        let path = path.to_owned();
        let rig = &rig;
        async move { rig.admin(method, &path, json!({ "tool": "echo" })).await }
    };
    for (method, path) in [
        ("POST", "/calls"),
        ("POST", "/mcp"),
        ("DELETE", path.as_str()),
    ] {
        let refused = operator(method, path).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (403, "insufficient_scope".into())
        );
        let challenge = refused.header("www-authenticate");
        assert!(challenge.contains(r#"scope="tools:call""#), "{challenge}");
    }
    assert_eq!(
        operator("GET", "/calls").await.status,
        StatusCode::OK,
        "reading is implied"
    );
    for path in [
        "/admin/keys",
        "/admin/queues",
        "/admin/audit",
        "/admin/doctor",
        "/admin/dlq",
    ] {
        let refused = rig.get(path).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (403, "insufficient_scope".into())
        );
        assert!(
            refused
                .header("www-authenticate")
                .contains(r#"scope="admin""#)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_asks_too_often_waits_and_others_do_not() {
    let rate = RateLimit {
        per_second: 0.5,
        burst: 2,
    };
    let rig = rig_with(Setup {
        rate,
        ..Setup::default()
    })
    .await;
    for _ in 0..2 {
        assert_eq!(rig.get("/tools").await.status, StatusCode::OK);
    }
    let limited = rig.get("/tools").await;
    assert_eq!(
        (limited.status.as_u16(), limited.code()),
        (429, "rate_limited".into())
    );
    assert_eq!(limited.header("retry-after"), "2");
    let other = rig.admin("GET", "/admin/keys", Value::Null).await;
    assert_eq!(other.status, StatusCode::OK);
    advance(Duration::from_secs(2)).await;
    assert_eq!(rig.get("/tools").await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_nothing_refuses_and_does_not_panic() {
    let rate = RateLimit {
        per_second: 0.0,
        burst: 1,
    };
    let rig = rig_with(Setup {
        rate,
        ..Setup::default()
    })
    .await;
    rig.get("/tools").await;
    let limited = rig.get("/tools").await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limited.header("retry-after"), "3600");
}

#[tokio::test(start_paused = true)]
async fn hosts_and_origins_are_checked_before_keys() {
    let rig = rig().await;
    for path in ["/tools", "/metrics", "/openapi.json", "/docs", "/nowhere"] {
        let host = [("host", "evil.example")];
        let refused = rig.send("", "GET", path, &host, Body::empty()).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (403, "forbidden".into()),
            "{path}"
        );
        let origin = [("origin", "https://evil.example")];
        let refused = rig
            .send(&rig.key, "GET", path, &origin, Body::empty())
            .await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
    let probe = rig
        .send(
            "",
            "GET",
            "/healthz",
            &[("host", "10.0.0.7:8080")],
            Body::empty(),
        )
        .await;
    assert_eq!(
        probe.status,
        StatusCode::OK,
        "a load balancer asks by address"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_key_only_this_machine_and_only_in_the_test_configuration() {
    let open = rig_with(Setup {
        anonymous: true,
        ..Setup::default()
    })
    .await;
    for (peer, status) in [
        ("127.0.0.1:5000", 200),
        ("[::1]:5000", 200),
        ("[::ffff:127.0.0.1]:5000", 200),
        ("192.0.2.1:5000", 401),
        ("[2001:db8::1]:5000", 401),
    ] {
        assert_eq!(
            open.as_peer(peer, "/tools").await.status.as_u16(),
            status,
            "{peer}"
        );
    }
    assert_eq!(
        open.as_peer("127.0.0.1:5000", "/admin/keys")
            .await
            .status
            .as_u16(),
        403
    );
    let wrong = open
        .send("wbk_0_x", "GET", "/tools", &[], Body::empty())
        .await;
    assert_eq!(
        wrong.status,
        StatusCode::UNAUTHORIZED,
        "a wrong key is not no key"
    );
    let closed = rig().await;
    assert_eq!(
        closed
            .as_peer("127.0.0.1:5000", "/tools")
            .await
            .status
            .as_u16(),
        401
    );
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_away_is_not_a_wrong_key() {
    let rig = rig().await;
    rig.ledger.break_down();
    let refused = rig.get("/tools").await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (503, "unavailable".into())
    );
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        !refused.text.contains("secret inside"),
        "the inside stays inside: {}",
        refused.text
    );
}
