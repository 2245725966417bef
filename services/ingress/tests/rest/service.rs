use std::time::Duration;

use axum::{body::Body, http::StatusCode};
use serde_json::json;

use crate::rig::rig;

#[tokio::test(start_paused = true)]
async fn readiness_says_what_is_missing() {
    let rig = rig().await;
    let ask = async |path: &str| rig.send("", "GET", path, &[], Body::empty()).await;
    assert_eq!(ask("/readyz").await.status, StatusCode::OK);
    rig.readiness.drain();
    let draining = ask("/readyz").await;
    assert_eq!(draining.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(draining.json()["reasons"], json!(["draining"]));
    rig.ledger.break_down();
    tokio::time::advance(Duration::from_secs(5)).await;
    let reasons = json!(["draining", "the ledger takes no writes"]);
    assert_eq!(ask("/readyz").await.json()["reasons"], reasons);
    assert_eq!(
        ask("/healthz").await.status,
        StatusCode::OK,
        "alive all the same"
    );
}

/// A ledger that is read, but cannot be written: a full disk.
#[tokio::test(start_paused = true)]
async fn the_backend_is_looked_at_once_in_a_while_and_written_to() {
    let rig = rig().await;
    let ask = async |path: &str| rig.send("", "GET", path, &[], Body::empty()).await;
    assert_eq!(ask("/readyz").await.status, StatusCode::OK);
    let commits = rig.ledger.commits();
    for path in ["/readyz", "/metrics", "/readyz"] {
        assert_eq!(ask(path).await.status, StatusCode::OK);
    }
    assert_eq!(rig.ledger.commits(), commits, "one look for all");
    rig.ledger.fill_up();
    assert_eq!(rig.get("/calls").await.status, StatusCode::OK);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(ask("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// What a browser asks and gets, for a page of this origin.
#[tokio::test(start_paused = true)]
async fn a_page_of_an_allowed_origin_may_ask_and_read() {
    let rig = rig().await;
    let page = ("origin", "http://localhost:3000");
    let asks = [
        page,
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,mcp-param-region",
        ),
    ];
    let preflight = rig.send("", "OPTIONS", "/mcp", &asks, Body::empty()).await;
    assert_eq!(preflight.status, StatusCode::OK);
    let allowed = preflight.header("access-control-allow-headers");
    assert_eq!(allowed, "authorization,mcp-param-region");
    assert!(
        preflight
            .header("access-control-allow-methods")
            .contains("DELETE")
    );
    for answer in [
        rig.get_with("/tools", &[page]).await,
        rig.send("", "GET", "/tools", &[page], Body::empty()).await,
    ] {
        let origin = answer.header("access-control-allow-origin");
        assert_eq!(origin, "http://localhost:3000", "{answer:?}");
        let shown = answer.header("access-control-expose-headers");
        assert!(shown.contains("www-authenticate"), "{shown}");
    }
    let evil = ("origin", "http://evil.example");
    let asks = [evil, asks[1]];
    let refused = rig.send("", "OPTIONS", "/mcp", &asks, Body::empty()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.header("access-control-allow-origin"), "");
}

#[tokio::test(start_paused = true)]
async fn numbers_tell_of_calls_requests_queues_and_refusals() {
    let rig = rig().await;
    let path = format!("/mcp/status/{}", rig.place().await);
    rig.place().await;
    let call = rig.claim().await;
    rig.finish(&call, "done").await;
    rig.get(&path).await;
    rig.send("", "GET", "/tools", &[], Body::empty()).await;
    rig.send("", "GET", "/../../etc/passwd", &[], Body::empty())
        .await;
    for made_up in ["XYZZY", "QUUX"] {
        rig.send("", made_up, "/tools", &[], Body::empty()).await;
    }
    let scraped = rig
        .send("", "GET", "/metrics", &[], Body::empty())
        .await
        .text;
    for line in [
        r#"waybill_calls_accepted_total{tool="echo"} 2"#,
        r#"waybill_calls_ended_total{tool="echo",state="completed"} 1"#,
        r#"waybill_call_duration_seconds_count{tool="echo"} 1"#,
        r#"waybill_http_requests_total{route="/mcp/status/{id}",method="GET",status="200"} 1"#,
        r#"waybill_http_requests_total{route="none",method="GET",status="404"} 1"#,
        r#"waybill_http_requests_total{route="/tools",method="GET",status="401"} 1"#,
        r#"waybill_http_requests_total{route="/tools",method="OTHER",status="405"} 2"#,
        r#"waybill_queue_depth{subscription="worker",state="ready"} 1"#,
        "waybill_auth_refused_total 1",
    ] {
        assert!(
            scraped.lines().any(|told| told == line),
            "{line} is not in\n{scraped}"
        );
    }
    assert!(
        !scraped.contains(path.trim_start_matches("/mcp/status/")),
        "no ids: {scraped}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_route_that_is_told_is_there_and_asks_for_what_it_says() {
    let rig = rig().await;
    let document = rig
        .send("", "GET", "/openapi.json", &[], Body::empty())
        .await
        .json();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, told) in methods.as_object().unwrap() {
            let path = path.replace(['{', '}'], "");
            let method = method.to_uppercase();
            let open = told["security"] == json!([]);
            let answer = rig.send("", &method, &path, &[], Body::empty()).await;
            let refused = answer.status == StatusCode::UNAUTHORIZED;
            assert_eq!(refused, !open, "{method} {path}: {answer:?}");
            assert_ne!(
                answer.status,
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
        }
    }
    let docs = rig.send("", "GET", "/docs", &[], Body::empty()).await;
    assert!(
        docs.header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    assert!(docs.text.contains("/openapi.json"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_said_in_the_same_shape() {
    let rig = rig().await;
    let nowhere = rig.send("", "GET", "/nowhere", &[], Body::empty()).await;
    assert_eq!(
        (nowhere.status.as_u16(), nowhere.code()),
        (404, "no_such_route".into())
    );
    for (path, allow) in [
        ("/calls", "GET"),
        ("/healthz", "GET"),
        ("/admin/keys", "GET"),
    ] {
        let refused = rig.admin("PATCH", path, json!({})).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (405, "no_such_method".into())
        );
        assert!(
            refused.header("allow").contains(allow),
            "{path}: {refused:?}"
        );
    }
    let mcp = rig.get("/mcp").await;
    assert_eq!((mcp.status.as_u16(), mcp.header("allow")), (405, "POST"));
}

#[tokio::test(start_paused = true)]
async fn every_answer_names_its_request() {
    let rig = rig().await;
    let given = rig.get_with("/tools", &[("x-request-id", "abc-1")]).await;
    assert_eq!(given.header("x-request-id"), "abc-1");
    for odd in ["a b", "", &"x".repeat(65)] {
        let made = rig.get_with("/nowhere", &[("x-request-id", odd)]).await;
        assert_eq!(made.header("x-request-id").len(), 16, "{odd}");
    }
}
