//! What is no message, and messages in batches.

use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::gateway::{NEW, OLD, gateway, gateway_with};

#[tokio::test(start_paused = true)]
async fn what_is_no_message_is_refused_in_json_with_its_reason() {
    let gateway = gateway_with(|settings| settings.body_bytes = 2000, None);
    let deep = format!("{}1{}", "[".repeat(150), "]".repeat(150));
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{deep}}}"#);
    let cases: [(&[u8], u16, i64, &str); 8] = [
        (b"{", 400, -32700, "not JSON"),
        (b"", 400, -32700, "not JSON"),
        (b"{\"a\":\"\xff\"}", 400, -32700, "UTF-8"),
        (b"5", 400, -32600, "object"),
        (b"{}", 400, -32600, "2.0"),
        (
            br#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
            400,
            -32600,
            "response",
        ),
        (deep.as_bytes(), 400, -32600, "deep"),
        (&[b' '; 2001], 413, -32600, "2000"),
    ];
    for (body, status, code, hint) in cases {
        let answer = gateway.post(&[], body.to_vec()).await;
        assert_eq!(answer.status, status, "{hint}: {}", answer.text);
        let error = answer.error();
        assert_eq!(error.0, code, "{hint}");
        assert!(error.1.contains(hint), "{error:?} says {hint}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_repeats_the_id() {
    let gateway = gateway();
    let cases = [
        (
            json!({ "jsonrpc": "1.0", "id": "a", "method": "ping" }),
            OLD,
            -32600,
        ),
        (
            json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": { "name": 5 } }),
            OLD,
            -32602,
        ),
        (
            json!({ "jsonrpc": "2.0", "id": "a", "method": "nothing" }),
            OLD,
            -32601,
        ),
        (
            json!({ "jsonrpc": "2.0", "id": "a", "method": "ping" }),
            "1999-01-01",
            -32600,
        ),
    ];
    for (body, version, code) in cases {
        let headers = [("mcp-protocol-version", version)];
        let answer = gateway.post(&headers, body.to_string()).await;
        assert_eq!(answer.error().0, code, "{body}");
        assert_eq!(answer.json()["id"], "a", "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_of_the_other_era_is_not_found() {
    let gateway = gateway();
    for method in [
        "initialize",
        "logging/setLevel",
        "resources/subscribe",
        "ping",
    ] {
        let answer = gateway.new_era(json!({}), method, json!({})).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error().0),
            (404, -32601),
            "{method}"
        );
    }
    let bad = gateway
        .new_era(json!({}), "resources/read", json!({ "uri": 5 }))
        .await;
    assert_ne!(bad.error().0, -32601);
}

#[tokio::test(start_paused = true)]
async fn content_types_methods_hosts_and_origins_are_checked() {
    let gateway = gateway();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
    let send = async |name, value| gateway.post(&[(name, value)], ping.clone()).await;
    let plain = gateway
        .post(&[("content-type", "text/plain")], ping.clone())
        .await;
    assert_eq!((plain.status.as_u16(), plain.error().0), (415, -32600));
    for accept in ["*/*", "application/json, text/event-stream"] {
        assert_eq!(
            gateway
                .post(&[("accept", accept)], ping.clone())
                .await
                .status,
            200
        );
    }
    let only = gateway.post(&[("accept", "text/html")], ping.clone()).await;
    assert_eq!((only.status.as_u16(), only.error().0), (406, -32600));
    assert_eq!(send("origin", "http://localhost:3000").await.status, 200);
    assert_eq!(send("origin", "https://evil.example").await.status, 403);
    for method in ["GET", "DELETE", "PUT"] {
        let request = Request::builder().method(method).uri("/mcp");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = gateway.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "POST");
    }
    let elsewhere = gateway_with(|settings| settings.hosts = vec!["gw.example".into()], None);
    let answer = elsewhere.post(&[], ping.clone()).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.error().0, -32600);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_answered_in_order_where_batches_exist() {
    let gateway = gateway();
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "ping" },
        { "jsonrpc": "2.0", "method": "notifications/initialized" },
        { "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "echo", "_meta": { "progressToken": 1 } } },
        { "jsonrpc": "2.0", "id": 3, "method": "initialize" },
        5,
    ]);
    let work = async {
        let call = gateway.claim().await;
        gateway.progress(&call, 1.0).await;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        gateway.say(&call, "hello").await;
    };
    let (answer, ()) = tokio::join!(gateway.post(&[], batch.to_string()), work);
    let Value::Array(answers) = answer.json() else {
        panic!("{answer:?}")
    };
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(2), json!(3), Value::Null]);
    assert_eq!(answers[1]["result"]["content"][0]["text"], "hello");
    assert_eq!(answers[2]["error"]["code"], -32600);

    let silent = json!([{ "jsonrpc": "2.0", "method": "notifications/initialized" }]);
    assert_eq!(gateway.post(&[], silent.to_string()).await.status, 202);
    for version in [OLD, NEW] {
        let headers = [("mcp-protocol-version", version)];
        let refused = gateway.post(&headers, batch.to_string()).await;
        assert_eq!((refused.status.as_u16(), refused.error().0), (400, -32600));
    }
}
