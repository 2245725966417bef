//! Nonsense gets a clear error with a fitting code, and the process lives.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::gateway::Gateway;

async fn gateway() -> (Gateway, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (
        Gateway::start(&directory.path().join("data")).await,
        directory,
    )
}

async fn mcp(gateway: &Gateway, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    let answer = gateway.post("/mcp").body(body).send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap())
}

fn call(tool: &str, arguments: &Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params }).to_string()
}

#[tokio::test]
async fn nonsense_is_answered_and_survived() {
    let (gateway, _directory) = gateway().await;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_call = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"greet","arguments":{{"name":{deep}}}}}}}"#
    );
    let bodies: [(&str, Vec<u8>); 5] = [
        ("malformed", b"{\"jsonrpc\":".to_vec()),
        ("empty", Vec::new()),
        (
            "not UTF-8",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec(),
        ),
        ("deep", deep.into_bytes()),
        ("deep arguments", deep_call.into_bytes()),
    ];
    for (name, body) in bodies {
        let (status, answer) = mcp(&gateway, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name}: {answer}");
        assert!(
            answer["error"]["code"] == -32700 || answer["error"]["code"] == -32600,
            "{name}: {answer}"
        );
    }
    let (status, answer) = mcp(&gateway, vec![b' '; 5 * 1024 * 1024]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
    // Its connection was closed with the oversized body half sent; a new one is answered.
    let fresh = reqwest::get(gateway.url("/readyz")).await.unwrap();
    assert_eq!(fresh.status(), StatusCode::OK);
}

#[tokio::test]
async fn wrong_calls_say_what_is_wrong() {
    let (gateway, _directory) = gateway().await;
    let (_, answer) = mcp(&gateway, call("gret", &json!({}))).await;
    assert!(
        answer.to_string().contains("did you mean greet?"),
        "{answer}"
    );
    let (_, answer) = mcp(
        &gateway,
        call("slow_compute", &json!({ "seconds": "many" })),
    )
    .await;
    assert!(answer.to_string().contains("/seconds"), "{answer}");
}

#[tokio::test]
async fn strangers_learn_nothing() {
    let (gateway, _directory) = gateway().await;
    let http = &gateway.http;
    let wrong = format!("wbk_{}_{}", "0".repeat(12), "0".repeat(32));
    let answer = http
        .get(gateway.url("/calls"))
        .bearer_auth(&wrong)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers().contains_key("www-authenticate"));

    let call = gateway
        .submit("slow_compute", json!({ "seconds": 30 }))
        .await
        .unwrap();
    let call: Value = call.json().await.unwrap();
    let path = format!("/mcp/status/{}", call["id"].as_str().unwrap());
    let mut answers = Vec::new();
    // Let in as another tenant, by the test configuration.
    for path in [
        path.as_str(),
        "/mcp/status/0000000000000000000000000000000000000",
        "/mcp/status/x",
    ] {
        let answer = http.get(gateway.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        answers.push(answer.text().await.unwrap());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}
