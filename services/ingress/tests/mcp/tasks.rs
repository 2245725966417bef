//! The tasks extension of 2026-07-28.

use serde_json::{Value, json};
use waybill_calls::{CallState, Problem};
use waybill_toolkit::{CallToolResult, ContentBlock};

use crate::gateway::{Gateway, gateway, principal, with_tasks};

async fn start(gateway: &Gateway, tool: &str) -> String {
    let answer = gateway.new_era(with_tasks(), "tools/call", json!({ "name": tool }));
    let task = answer.await.result();
    assert_eq!(task["resultType"], "task");
    assert!(task["ttlMs"].as_u64().unwrap() > 0);
    assert!(task["pollIntervalMs"].as_u64().unwrap() > 0);
    task["taskId"].as_str().unwrap().to_owned()
}

async fn get(gateway: &Gateway, id: &str) -> Value {
    let answer = gateway.new_era(with_tasks(), "tasks/get", json!({ "taskId": id }));
    answer.await.result()
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_becomes_a_task_and_ends_with_its_result() {
    let gateway = gateway();
    let id = start(&gateway, "echo").await;
    assert_eq!(get(&gateway, &id).await["status"], "working");
    let call = gateway.claim().await;
    gateway.progress(&call, 2.0).await;
    assert_eq!(get(&gateway, &id).await["statusMessage"], "moves");
    let refused = CallToolResult::error(vec![ContentBlock::text("no luck")]);
    gateway.finish(&call, &refused).await;
    let task = get(&gateway, &id).await;
    assert_eq!(task["status"], "completed", "isError is an answer");
    assert_eq!(task["result"]["isError"], true);
    assert_eq!(task["resultType"], "complete");
}

#[tokio::test(start_paused = true)]
async fn a_quick_call_answers_at_once_and_some_tools_are_never_a_task() {
    let gateway = gateway();
    for tool in ["echo", "inline"] {
        let work = async {
            let call = gateway.claim().await;
            if tool == "inline" {
                tokio::time::sleep(std::time::Duration::from_secs(10)).await;
            }
            gateway.say(&call, "done").await;
        };
        let params = json!({ "name": tool });
        let (answer, ()) = tokio::join!(gateway.new_era(with_tasks(), "tools/call", params), work);
        assert_eq!(answer.result()["content"][0]["text"], "done", "{tool}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_answers_fails_its_task() {
    let gateway = gateway();
    let id = start(&gateway, "job").await;
    let call = gateway.claim().await;
    gateway
        .fail(&call, Problem::new("outcome_unknown", "Look there."))
        .await;
    let task = get(&gateway, &id).await;
    assert_eq!(task["status"], "failed");
    assert_eq!(task["error"]["code"], -32000);
    assert_eq!(task["error"]["message"], "Look there.");
    assert!(task["result"].is_null());
}

/// A client that reads "failed" calls again.
#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_read_now_is_no_failure_of_its_task() {
    let gateway = gateway();
    let id = start(&gateway, "echo").await;
    let call = gateway.claim().await;
    gateway.say(&call, &"x".repeat(100_000)).await;
    gateway.offer_blobs(false);
    let params = json!({ "taskId": id });
    let answer = gateway.new_era(with_tasks(), "tasks/get", params).await;
    let (code, message) = answer.error();
    assert_eq!(code, -32603);
    assert!(message.contains("the store is away"), "{message}");
    gateway.offer_blobs(true);
    assert_eq!(get(&gateway, &id).await["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn cancelling_is_idempotent_and_acknowledged_empty() {
    let gateway = gateway();
    let id = start(&gateway, "echo").await;
    for _ in 0..2 {
        let answer = gateway.new_era(with_tasks(), "tasks/cancel", json!({ "taskId": id }));
        assert_eq!(answer.await.result(), json!({ "resultType": "complete" }));
    }
    assert_eq!(get(&gateway, &id).await["status"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn every_id_that_is_not_mine_looks_the_same() {
    let gateway = gateway();
    let id = start(&gateway, "echo").await;
    let stranger = || principal("other", "k1");
    let unknown = "0".repeat(36);
    let mut errors = Vec::new();
    for (by, id) in [
        (stranger(), id.as_str()),
        (principal("acme", "k1"), unknown.as_str()),
        (principal("acme", "k1"), "../etc/passwd"),
    ] {
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            let params = json!({ "taskId": id, "inputResponses": {} });
            let answer = gateway.new_era_as(by.clone(), &[], with_tasks(), method, params);
            errors.push(answer.await.json());
        }
    }
    assert_eq!(errors[0]["error"]["code"], -32602);
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    assert_eq!(gateway.state(&id).await, CallState::Accepted);
}

#[tokio::test(start_paused = true)]
async fn tasks_are_only_for_clients_that_declared_them() {
    let gateway = gateway();
    for (method, params) in [
        ("tasks/get", json!({ "taskId": "x" })),
        ("tools/call", json!({ "name": "job" })),
    ] {
        let answer = gateway.new_era(json!({}), method, params).await;
        assert_eq!(answer.error().0, -32021, "{method}");
        let required = &answer.json()["error"]["data"]["requiredCapabilities"];
        assert!(required["extensions"]["io.modelcontextprotocol/tasks"].is_object());
    }
    assert!(gateway.idle().await);
}

#[tokio::test(start_paused = true)]
async fn a_task_name_that_differs_is_refused() {
    let gateway = gateway();
    let id = start(&gateway, "echo").await;
    let headers = [("mcp-name", "other")];
    let by = principal("acme", "k1");
    let params = json!({ "taskId": id });
    let answer = gateway
        .new_era_as(by, &headers, with_tasks(), "tasks/get", params)
        .await;
    assert_eq!(answer.error().0, -32020);
    assert_eq!(answer.status, 400);
}
