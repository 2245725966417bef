//! The tasks of 2025-11-25.

use serde_json::{Value, json};

use crate::gateway::{Answer, Gateway, OLD, gateway};

async fn old(gateway: &Gateway, method: &str, params: Value) -> Answer {
    gateway.old_era(OLD, method, params).await
}

async fn start(gateway: &Gateway) -> Value {
    let params = json!({ "name": "echo", "arguments": {}, "task": { "ttl": 60000 } });
    let result = old(gateway, "tools/call", params).await.result();
    result["task"]["taskId"].clone()
}

#[tokio::test(start_paused = true)]
async fn the_capability_and_the_tools_that_take_tasks_are_announced() {
    let gateway = gateway();
    let hello = |version: &str| json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let body = |version: &str| json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello(version) });
    let result = gateway.post(&[], body(OLD).to_string()).await.result();
    assert!(result["capabilities"]["tasks"]["requests"]["tools"]["call"].is_object());
    assert_eq!(
        result["capabilities"]["tools"],
        json!({}),
        "no promise of changes"
    );
    assert!(result.get("tools").is_none(), "{result}");
    let older = gateway
        .post(&[], body("2025-06-18").to_string())
        .await
        .result();
    assert_eq!(older["protocolVersion"], "2025-06-18");
    assert!(older["capabilities"]["tasks"].is_null());

    let support = |answer: &Answer| -> Vec<(Value, Value)> {
        let tools = answer.result()["tools"].as_array().unwrap().clone();
        let of = |tool: Value| {
            (
                tool["name"].clone(),
                tool["execution"]["taskSupport"].clone(),
            )
        };
        tools.into_iter().map(of).collect()
    };
    let listed = support(&old(&gateway, "tools/list", json!({})).await);
    for expected in [
        ("echo", "optional"),
        ("inline", "forbidden"),
        ("job", "required"),
    ] {
        assert!(
            listed.contains(&(json!(expected.0), json!(expected.1))),
            "{listed:?}"
        );
    }
    let older = gateway.old_era("2025-06-18", "tools/list", json!({})).await;
    assert!(support(&older).iter().all(|(_, support)| support.is_null()));
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_from_its_handle_to_its_result() {
    let gateway = gateway();
    let id = start(&gateway).await;
    let task = old(&gateway, "tasks/get", json!({ "taskId": id }))
        .await
        .result();
    assert_eq!(task["status"], "working");
    assert!(task["ttl"].is_u64() && task["pollInterval"].is_u64());
    let work = async {
        let call = gateway.claim().await;
        gateway.say(&call, "done").await;
    };
    let result = old(&gateway, "tasks/result", json!({ "taskId": id }));
    let (result, ()) = tokio::join!(result, work);
    let result = result.result();
    assert_eq!(result["content"][0]["text"], "done");
    let related = &result["_meta"]["io.modelcontextprotocol/related-task"];
    assert_eq!(related["taskId"], id);
    let listed = old(&gateway, "tasks/list", json!({})).await.result();
    assert_eq!(listed["tasks"][0]["taskId"], id);
    assert_eq!(listed["tasks"][0]["status"], "completed");
    let late = old(&gateway, "tasks/cancel", json!({ "taskId": id })).await;
    assert_eq!(late.error().0, -32602);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_stays_cancelled() {
    let gateway = gateway();
    let id = start(&gateway).await;
    let call = gateway.claim().await;
    let task = old(&gateway, "tasks/cancel", json!({ "taskId": id }))
        .await
        .result();
    assert_eq!(task["status"], "cancelled");
    gateway.say(&call, "too late").await;
    let task = old(&gateway, "tasks/get", json!({ "taskId": id }))
        .await
        .result();
    assert_eq!(task["status"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn the_tool_decides_whether_a_task_is_possible_and_needed() {
    let gateway = gateway();
    let params = json!({ "name": "inline", "task": {} });
    assert_eq!(old(&gateway, "tools/call", params).await.error().0, -32601);
    let params = json!({ "name": "job" });
    assert_eq!(old(&gateway, "tools/call", params).await.error().0, -32601);
    let params = json!({ "name": "echo", "arguments": { "text": 1 }, "task": {} });
    assert_eq!(old(&gateway, "tools/call", params).await.error().0, -32602);
    let unknown = json!({ "taskId": "x" });
    assert_eq!(old(&gateway, "tasks/get", unknown).await.error().0, -32602);
    assert!(gateway.idle().await);
}

#[tokio::test(start_paused = true)]
async fn a_refused_greeting_or_list_is_an_error_and_nothing_else() {
    let gateway = gateway();
    let list = json!({ "cursor": "not one of ours" });
    let refused = [
        old(&gateway, "initialize", json!({ "protocolVersion": 5 })).await,
        old(&gateway, "tools/list", list).await,
    ];
    for answer in refused {
        answer.error();
        assert!(answer.json().get("result").is_none(), "{answer:?}");
    }
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {} });
    let headers = [
        ("mcp-protocol-version", OLD),
        ("origin", "http://evil.example"),
    ];
    let refused = gateway.post(&headers, hello.to_string()).await;
    assert!(refused.status.is_client_error());
    refused.error();
}
