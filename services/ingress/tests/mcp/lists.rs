//! Tools, resources, prompts, discovery and the stream of changes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rmcp::model::{ErrorData, ListPromptsResult, PaginatedRequestParams, Prompt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;
use waybill_events::TenantId;
use waybill_toolkit::{Content, Tool, Toolkit};

use crate::gateway::{NEW, OLD, gateway, gateway_with, new_era, principal, request};

struct OnePrompt;

#[async_trait]
impl Content for OnePrompt {
    async fn list_prompts(
        &self,
        tenant: &TenantId,
        _: Option<PaginatedRequestParams>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let prompt = Prompt::new(tenant.as_str(), None::<&str>, None);
        Ok(ListPromptsResult::with_all_items(vec![prompt]))
    }
}

struct NoTools;

impl Toolkit for NoTools {
    fn name(&self) -> &'static str {
        "none"
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        Vec::new()
    }
}

#[tokio::test(start_paused = true)]
async fn tools_are_listed_in_pages_in_the_order_of_their_names() {
    let gateway = gateway_with(|settings| settings.page = 3, None);
    let (mut names, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut params = json!({});
        if !cursor.is_null() {
            params["cursor"] = cursor;
        }
        let page = gateway
            .new_era(json!({}), "tools/list", params)
            .await
            .result();
        assert!(page["ttlMs"].is_u64() && page["cacheScope"].is_string());
        let tools = page["tools"].as_array().unwrap();
        assert!(tools.len() <= 3);
        names.extend(
            tools
                .iter()
                .map(|tool| tool["name"].as_str().unwrap().to_owned()),
        );
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let all = [
        "call_cancel",
        "call_result",
        "call_status",
        "echo",
        "inline",
        "job",
        "typed",
    ];
    assert_eq!(names, all);
    let bad = json!({ "cursor": "nonsense" });
    let answer = gateway.new_era(json!({}), "tools/list", bad).await;
    assert_eq!(answer.error().0, -32602);
}

#[tokio::test(start_paused = true)]
async fn a_tool_says_what_it_does_to_the_world() {
    let gateway = gateway();
    let listed = gateway
        .new_era(json!({}), "tools/list", json!({}))
        .await
        .result();
    let tools = listed["tools"].as_array().unwrap();
    let tool = |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap();
    assert_eq!(tool("echo")["annotations"]["readOnlyHint"], true);
    assert_eq!(tool("job")["annotations"]["destructiveHint"], true);
    assert!(tool("typed")["outputSchema"].is_object());
}

#[tokio::test(start_paused = true)]
async fn only_what_is_there_is_declared_and_served() {
    let gateway = gateway();
    let discovered = gateway
        .new_era(json!({}), "server/discover", json!({}))
        .await
        .result();
    let capabilities = &discovered["capabilities"];
    assert!(capabilities["extensions"]["io.modelcontextprotocol/tasks"].is_object());
    assert!(capabilities["prompts"].is_null() && capabilities["completions"].is_null());
    let prompts = gateway.new_era(json!({}), "prompts/list", json!({})).await;
    assert_eq!((prompts.status.as_u16(), prompts.error().0), (404, -32601));
    let unknown = gateway.new_era(json!({}), "tasks/list", json!({})).await;
    assert_eq!((unknown.status.as_u16(), unknown.error().0), (404, -32601));

    let gateway = gateway_with(|_| {}, Some(Arc::new(OnePrompt)));
    let discovered = gateway
        .new_era(json!({}), "server/discover", json!({}))
        .await
        .result();
    assert!(discovered["capabilities"]["prompts"].is_object());
    let prompts = gateway
        .new_era(json!({}), "prompts/list", json!({}))
        .await
        .result();
    assert_eq!(prompts["prompts"][0]["name"], "acme");
}

#[tokio::test(start_paused = true)]
async fn calls_are_resources_of_their_tenant() {
    let gateway = gateway();
    let headers = [("prefer", "wait=0")];
    let mine = || principal("acme", "k1");
    let call = json!({ "name": "echo" });
    let started = gateway
        .new_era_as(mine(), &headers, json!({}), "tools/call", call)
        .await;
    let id = started.result()["structuredContent"]["callId"].clone();
    let uri = format!("waybill://calls/{}", id.as_str().unwrap());
    let listed = gateway
        .new_era(json!({}), "resources/list", json!({}))
        .await
        .result();
    assert_eq!(listed["resources"][0]["uri"], uri);
    let templates = gateway
        .new_era(json!({}), "resources/templates/list", json!({}))
        .await;
    let template = templates.result()["resourceTemplates"][0]["uriTemplate"].clone();
    assert_eq!(template, "waybill://calls/{callId}");
    let worker = gateway.claim().await;
    gateway.say(&worker, "done").await;
    let read = gateway
        .new_era(json!({}), "resources/read", json!({ "uri": uri }))
        .await
        .result();
    let status: Value =
        serde_json::from_str(read["contents"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(status["status"], "completed");
    assert_eq!(status["result"]["content"][0]["text"], "done");

    let other = principal("other", "k1");
    let params = json!({ "uri": uri });
    let foreign = gateway
        .new_era_as(other.clone(), &[], json!({}), "resources/read", params)
        .await;
    assert_eq!(foreign.error().0, -32602);
    let listed = gateway
        .new_era_as(other, &[], json!({}), "resources/list", json!({}))
        .await;
    assert_eq!(listed.result()["resources"], json!([]));
    let old = gateway
        .old_era(OLD, "resources/read", json!({ "uri": "x://y" }))
        .await;
    assert_eq!(old.error().0, -32002);
}

#[tokio::test(start_paused = true)]
async fn changes_reach_a_stream_that_asked_for_them() {
    let gateway = gateway();
    let params = json!({ "notifications": { "toolsListChanged": true } });
    let (_, body) = new_era(json!({}), "subscriptions/listen", params);
    let headers = [
        ("mcp-protocol-version", NEW),
        ("mcp-method", "subscriptions/listen"),
    ];
    let by = principal("acme", "k1");
    let request = request(by, &headers, body.to_string());
    let response = gateway.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    gateway.changes.prompts_changed();
    gateway.desk.registry().set(&NoTools).unwrap();
    let mut body = response.into_body();
    let mut text = String::new();
    let told = async {
        while !text.contains("tools/list_changed") {
            let frame = http_body_util::BodyExt::frame(&mut body).await;
            let frame = frame.expect("the stream stays open").unwrap();
            text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        }
    };
    timeout(Duration::from_mins(1), told)
        .await
        .expect("the change is told");
    let acknowledged = text.find("subscriptions/acknowledged").unwrap();
    assert!(acknowledged < text.find("tools/list_changed").unwrap());
    assert!(!text.contains("prompts/list_changed"));
}
