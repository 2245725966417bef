use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep};

use waybill_identity::Scope;

use crate::rig::{Setup, make, rig, rig_with};

#[tokio::test(start_paused = true)]
async fn a_quick_call_is_answered_in_the_response() {
    let rig = rig().await;
    let body = json!({ "tool": "echo", "arguments": { "text": "hi" } });
    let (answered, ()) = tokio::join!(rig.post("/calls", &[], body), async {
        let call = rig.claim().await;
        rig.finish(&call, "hi").await;
    });
    assert_eq!(answered.status, StatusCode::OK);
    let document = answered.json();
    assert_eq!(document["result"]["content"][0]["text"], "hi");
    let place = answered.header("location").to_owned();
    assert_eq!(
        place,
        format!("/mcp/status/{}", document["id"].as_str().unwrap())
    );
    assert_eq!(rig.get(&place).await.json(), document);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_answered_with_where_to_look() {
    let rig = rig().await;
    for (prefer, seconds, applied) in [
        ("wait=3", 3, "wait=3"),
        ("respond-async", 0, "respond-async"),
        ("respond-async, wait=2", 2, "respond-async, wait=2"),
        ("wait=900", 28, "wait=28"),
        ("handling=lenient", 20, ""),
    ] {
        let began = Instant::now();
        let handle = rig
            .post("/calls", &[("prefer", prefer)], json!({ "tool": "echo" }))
            .await;
        assert_eq!(handle.status, StatusCode::ACCEPTED, "{prefer}");
        assert_eq!(began.elapsed().as_secs(), seconds, "{prefer}");
        assert_eq!(handle.header("preference-applied"), applied);
        assert_eq!(handle.header("retry-after"), "1");
        assert_eq!(handle.json()["status"], "working");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_key_is_the_same_call_and_another_call_a_conflict() {
    let rig = rig().await;
    let place = async |key: &str, text: &str| {
        let headers = [("idempotency-key", key), ("prefer", "respond-async")];
        let body = json!({ "tool": "echo", "arguments": { "text": text } });
        rig.post("/calls", &headers, body).await
    };
    let first = place("k-1", "a").await.json();
    assert_eq!(
        place("\"k-1\"", "a").await.json()["id"],
        first["id"],
        "quoted or bare"
    );
    let other = place("k-1", "b").await;
    assert_eq!(
        (other.status, other.code()),
        (StatusCode::CONFLICT, "idempotency_mismatch".into())
    );
    assert_eq!(other.json()["error"]["details"]["callId"], first["id"]);
    let bad = place("two words", "a").await;
    assert_eq!(
        (bad.status, bad.code()),
        (StatusCode::BAD_REQUEST, "idempotency_key".into())
    );
}

/// A key may be rotated between a client's two tries.
#[tokio::test(start_paused = true)]
async fn the_same_key_is_the_same_call_whichever_api_key_asks() {
    let rig = rig().await;
    let next = make(&rig.keys, "acme", Scope::ToolsCall).await.secret;
    let stranger = make(&rig.keys, "default", Scope::ToolsCall).await.secret;
    let place = async |api_key: &str| {
        let headers = [("idempotency-key", "k-1"), ("prefer", "respond-async")];
        let body = json!({ "tool": "echo" }).to_string();
        let placed = rig.send(api_key, "POST", "/calls", &headers, body).await;
        placed.json()["id"].clone()
    };
    let first = place(&rig.key).await;
    assert!(first.is_string());
    assert_eq!(place(&next).await, first);
    assert_ne!(place(&stranger).await, first);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_call_is_said_in_one_shape() {
    let rig = rig_with(Setup {
        body_bytes: 2_000,
        ..Setup::default()
    })
    .await;
    let refused = async |body: &str, content_type: &str| {
        let headers = [("content-type", content_type)];
        let answer = rig
            .send(&rig.key, "POST", "/calls", &headers, body.to_owned())
            .await;
        (
            answer.status.as_u16(),
            answer.code(),
            answer.json()["error"]["details"].clone(),
        )
    };
    let json = "application/json";
    let deep = format!(
        r#"{{"tool":"echo","arguments":{}1{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let large = format!(
        r#"{{"tool":"echo","arguments":{{"text":"{}"}}}}"#,
        "x".repeat(2_000)
    );
    let typed = r#"{"tool":"echo","arguments":{"text":1}}"#;
    let violations = json!({ "violations": [
        { "pointer": "/text", "expected": "the value is not of type \"string\"", "received": "number" },
    ] });
    for (body, kind, status, code, details) in [
        ("{", json, 400, "bad_request", Value::Null),
        ("\u{fffd}", json, 400, "bad_request", Value::Null),
        (r#"{"tool":1}"#, json, 400, "bad_request", Value::Null),
        (
            r#"{"tool":"echo","argument":{}}"#,
            json,
            400,
            "bad_request",
            Value::Null,
        ),
        (deep.as_str(), json, 400, "bad_request", Value::Null),
        (
            r#"{"tool":"echo"}"#,
            "text/plain",
            415,
            "unsupported_media_type",
            Value::Null,
        ),
        (large.as_str(), json, 413, "too_large", Value::Null),
        (
            r#"{"tool":"ecko"}"#,
            json,
            404,
            "unknown_tool",
            json!({ "nearest": "echo" }),
        ),
        (typed, json, 422, "invalid_arguments", violations),
    ] {
        let told = refused(body, kind).await;
        assert_eq!(told, (status, code.to_owned(), details), "{body:.60}");
    }
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_paged_and_without_results() {
    let rig = rig().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, rig.place().await);
        advance(Duration::from_secs(10)).await;
    }
    let call = rig.claim().await;
    rig.finish(&call, "done").await;
    let list = async |query: &str| {
        let listed = rig.get(&format!("/calls{query}")).await;
        assert_eq!(listed.status, StatusCode::OK, "{listed:?}");
        let page = listed.json();
        let ids = page["calls"].as_array().unwrap().iter();
        let ids: Vec<_> = ids
            .map(|call| call["id"].as_str().unwrap().to_owned())
            .collect();
        (ids, page["next"].as_str().map(str::to_owned), page)
    };
    let (all, next, page) = list("").await;
    assert_eq!((&all, next), (&ids, None));
    assert!(!page.to_string().contains("done"));

    let (first, next, _) = list("?limit=2").await;
    assert_eq!(first, ids[..2]);
    let (second, ..) = list(&format!("?limit=2&after={}", next.unwrap())).await;
    assert_eq!(second, ids[2..4]);

    assert_eq!(
        list("?status=completed&limit=1").await.0,
        ids[4..],
        "behind what does not fit"
    );
    assert_eq!(list("?status=working").await.0, ids[..4]);
    assert_eq!(list("?status=accepted").await.0, ids[..4]);
    assert!(list("?status=failed").await.0.is_empty());
    assert!(list("?tool=other").await.0.is_empty());
    let since = page["calls"][1]["createdAt"].as_str().unwrap().to_owned();
    assert_eq!(list(&format!("?since={since}")).await.0, ids[..2]);

    for bad in [
        "?status=done",
        "?since=yesterday",
        "?limit=x",
        "?state=running",
        "?after=zz",
    ] {
        let refused = rig.get(&format!("/calls{bad}")).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (400, "bad_request".into()),
            "{bad}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_rare_filter_reads_a_bounded_number_of_pages() {
    let rig = rig().await;
    for _ in 0..150 {
        rig.place().await;
        sleep(Duration::from_millis(1)).await;
    }
    let listed = rig.get("/calls?status=completed&limit=1").await.json();
    assert_eq!(listed["calls"], json!([]));
    assert!(
        listed["next"].is_string(),
        "the client goes on where this one stopped"
    );
}

#[tokio::test(start_paused = true)]
async fn tools_are_listed_with_their_schemas() {
    let tools = rig().await.get("/tools").await.json();
    assert_eq!(tools["tools"][0]["name"], "echo");
    assert_eq!(tools["tools"][0]["effect"], "readOnly");
    assert_eq!(
        tools["tools"][0]["inputSchema"]["additionalProperties"],
        false
    );
    assert_eq!(tools["tools"][1]["effect"], "once");
}
