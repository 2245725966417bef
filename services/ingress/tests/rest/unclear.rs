//! A client that is told to try again calls a second time, and a tool may act a second time: what
//! it is told when its call may have been accepted.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::rig::{Answer, Rig, rig};

async fn by_rest(rig: &Rig) -> Answer {
    rig.post("/calls", &[], json!({ "tool": "other" })).await
}

async fn by_mcp(rig: &Rig) -> Answer {
    let headers = [
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let params = json!({ "name": "other" });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    rig.post("/mcp", &headers, body).await
}

/// The ids of all calls.
async fn ids(rig: &Rig) -> Vec<Value> {
    let listed = rig.get("/calls").await.json();
    let calls = listed["calls"].as_array().unwrap();
    calls.iter().map(|call| call["id"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_is_lost_is_looked_for() {
    let rig = rig().await;
    rig.ledger.mute();
    let placed = by_rest(&rig).await;
    assert_eq!(placed.status, StatusCode::ACCEPTED, "{placed:?}");
    assert_eq!(ids(&rig).await, [placed.json()["id"].clone()]);
    let result = &by_mcp(&rig).await.json()["result"];
    let ids = ids(&rig).await;
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], result["structuredContent"]["callId"]);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_accepted_is_to_be_looked_for_and_not_repeated() {
    let rig = rig().await;
    rig.ledger.fill_up();
    let refused = by_rest(&rig).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "", "no client repeats this");
    let error = &refused.json()["error"];
    assert_eq!(error["code"], "acceptance_unknown");
    let (details, message) = (&error["details"], error["message"].as_str().unwrap());
    let id = details["callId"].as_str().unwrap();
    assert_eq!(details["statusUrl"], format!("/mcp/status/{id}"));
    says_to_look(message, id);

    let error = &by_mcp(&rig).await.json()["error"];
    assert_eq!(error["code"], -32000);
    let (data, message) = (&error["data"], error["message"].as_str().unwrap());
    assert_eq!(data["code"], "acceptance_unknown");
    let id = data["callId"].as_str().unwrap();
    let url = format!("http://localhost:8080/mcp/status/{id}");
    assert_eq!(data["statusUrl"], url);
    says_to_look(message, id);
    assert!(ids(&rig).await.is_empty());
}

fn says_to_look(message: &str, id: &str) {
    for told in ["look before you call again", "the disk is full", id] {
        assert!(message.contains(told), "{message}");
    }
    for untold in ["try again", "secret"] {
        assert!(!message.contains(untold), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_call_that_cannot_be_waited_for_is_answered_with_where_to_look() {
    let rig = rig().await;
    rig.ledger.blind();
    let placed = by_rest(&rig).await;
    assert_eq!(placed.status, StatusCode::ACCEPTED, "{placed:?}");
    let result = &by_mcp(&rig).await.json()["result"];
    let placed = placed.json();
    let called = [&result["structuredContent"]["callId"], &placed["id"]];
    // Of one moment: which of them is listed first, their random parts decide.
    let listed = ids(&rig).await;
    assert_eq!(listed.len(), called.len());
    assert!(called.iter().all(|id| listed.contains(id)), "{listed:?}");
}
