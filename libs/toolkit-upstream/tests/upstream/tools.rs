//! What a call through an upstream does.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use waybill_toolkit::{Effect, Reconciled, Tool, ToolError, Toolkit};
use waybill_toolkit_upstream::Health;

use crate::rig::{Call, Rig, entry, eventually, object, options, text};

#[tokio::test]
async fn all_pages_are_listed_with_their_effects() {
    let mut modern = entry("modern");
    modern["waybill"] = json!({"effects": {"hang": "idempotent"}, "timeoutSeconds": 9});
    let rig = Rig::start(json!({ "up": modern, "old": entry("legacy") })).await;
    let names = rig.names();
    assert_eq!(names.len(), 30, "{names:?}");
    assert!(names.contains(&"up__echo".to_owned()) && names.contains(&"old__ask_task".to_owned()));
    for (tool, effect) in [
        ("up__echo", Effect::ReadOnly),
        ("up__garbage", Effect::Idempotent),
        ("up__exit", Effect::Once),
        ("up__hang", Effect::Idempotent),
        ("old__hang", Effect::Once),
    ] {
        assert_eq!(rig.tool(tool).spec().effect, effect, "{tool}");
    }
    let echo = rig.tool("up__echo");
    let spec = echo.spec();
    assert_eq!(spec.upstream.as_deref(), Some("mcp/up"));
    assert_eq!(spec.timeout, Duration::from_secs(9));
    assert_eq!(spec.description, "The echo tool.");
    assert!(!spec.open_world && rig.tool("up__exit").spec().open_world);
    let health = rig.supervisor.health();
    let ready = |protocol: &str| Health::Ready {
        tools: 15,
        protocol: protocol.to_owned(),
    };
    assert_eq!(health["up"], ready("2026-07-28"));
    assert_eq!(health["old"], ready("2025-11-25"));
    rig.stop().await;
}

#[tokio::test]
async fn a_server_called_as_a_toolkit_of_ours_replaces_nothing() {
    struct Files;
    impl Toolkit for Files {
        fn name(&self) -> &'static str {
            "files"
        }
        fn tools(&self) -> Vec<Arc<dyn Tool>> {
            Vec::new()
        }
    }
    let rig = Rig::start(json!({ "files": entry("modern") })).await;
    rig.registry.set(&Files).unwrap();
    assert_eq!(rig.names().len(), 15, "{:?}", rig.names());
    rig.stop().await;
}

#[tokio::test]
async fn arguments_go_out_and_answers_come_back() {
    let rig = Rig::start(json!({ "up": entry("modern"), "old": entry("legacy") })).await;
    for server in ["up", "old"] {
        assert_eq!(
            rig.text(&format!("{server}__echo"), json!({"text": "hé"}))
                .await,
            "hé"
        );
        let result = rig
            .call(&format!("{server}__fail"), json!({}))
            .await
            .unwrap();
        assert_eq!(result.is_error, Some(true));
        let error = rig
            .call(&format!("{server}__refuse"), json!({}))
            .await
            .unwrap_err();
        let ToolError::Protocol {
            code,
            message,
            data,
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!((code, message.as_str()), (-32050, "not you"));
        assert_eq!(data, Some(json!({ "why": "because" })));
        assert_eq!(
            rig.text(&format!("{server}__garbage"), json!({})).await,
            "survived"
        );
        assert_eq!(
            rig.text(&format!("{server}__echo"), json!({"text": "on"}))
                .await,
            "on"
        );
    }
    rig.stop().await;
}

#[tokio::test]
async fn the_trace_goes_along_and_nothing_else_of_the_client() {
    let rig = Rig::start(json!({ "up": entry("modern"), "old": entry("legacy") })).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let call = Call {
        traceparent: Some(trace.to_owned()),
        ..Call::new()
    };
    let meta = |text: String| serde_json::from_str::<BTreeMap<String, Value>>(&text).unwrap();
    let old = meta(text(call.run(&rig.tool("old__meta"), json!({})).await));
    assert_eq!(
        old.keys().collect::<Vec<_>>(),
        ["progressToken", "traceparent"]
    );
    assert_eq!(old["traceparent"], trace);
    let up = meta(text(call.run(&rig.tool("up__meta"), json!({})).await));
    assert_eq!(up["traceparent"], trace);
    let tasks_only = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    assert_eq!(up["io.modelcontextprotocol/clientCapabilities"], tasks_only);
    rig.stop().await;
}

#[tokio::test]
async fn progress_is_forwarded() {
    let rig = Rig::start(json!({ "up": entry("modern"), "old": entry("legacy") })).await;
    for server in ["up", "old"] {
        let call = Call::new();
        let tool = rig.tool(&format!("{server}__slow"));
        assert_eq!(
            text(call.run(&tool, json!({"steps": 3, "ms": 100})).await),
            "done"
        );
        let seen = eventually(|| {
            let seen = call.progress.lock().unwrap().clone();
            (seen.len() >= 2).then_some(seen)
        })
        .await;
        assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "{seen:?}");
        assert_eq!(seen[0], (1.0, Some(3.0), Some("step 1".to_owned())));
    }
    rig.stop().await;
}

#[tokio::test]
async fn cancellation_deadline_and_drop_reach_the_upstream() {
    let rig = Rig::start(json!({ "up": entry("modern"), "old": entry("legacy") })).await;
    for server in ["up", "old"] {
        let hang = rig.tool(&format!("{server}__hang"));
        let count = format!("{server}__cancelled");
        let seen = |times| rig.until_answers(&count, json!({}), times);
        let call = Call::new();
        let cancelled = tokio::join!(call.run(&hang, json!({})), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            call.cancel.cancel();
        });
        assert!(
            matches!(cancelled.0, Err(ToolError::Cancelled)),
            "{cancelled:?}"
        );
        seen("1").await;

        let call = Call {
            within: Duration::from_millis(50),
            ..Call::new()
        };
        let late = call.run(&hang, json!({})).await;
        assert!(matches!(late, Err(ToolError::Unknown { .. })), "{late:?}");
        seen("2").await;

        let call = Call::new();
        let dropped = call.run(&hang, json!({}));
        assert!(
            tokio::time::timeout(Duration::from_millis(50), dropped)
                .await
                .is_err()
        );
        seen("3").await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_changed_list_is_read_again() {
    let rig = Rig::start(json!({ "up": entry("modern"), "old": entry("legacy") })).await;
    for server in ["up", "old"] {
        let extra = format!("{server}__extra");
        assert!(rig.registry.get(&extra).is_none());
        rig.text(&format!("{server}__grow"), json!({})).await;
        eventually(|| rig.registry.get(&extra)).await;
        rig.until(server, |health| {
            matches!(health, Health::Ready { tools: 16, .. })
        })
        .await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_task_is_followed_to_its_end() {
    let rig = Rig::start(json!({ "up": entry("modern") })).await;
    let call = Call::new();
    assert_eq!(
        text(call.run(&rig.tool("up__task"), json!({})).await),
        "nobody"
    );
    let checkpoint = call.checkpoint.lock().unwrap().clone().unwrap();
    assert_eq!(
        checkpoint,
        json!({"waitsFor": "task", "taskId": "task-0", "asked": []})
    );
    let messages: Vec<_> = call
        .progress
        .lock()
        .unwrap()
        .iter()
        .map(|p| p.2.clone())
        .collect();
    assert_eq!(messages[0].as_deref(), Some("look 1"));
    // A later attempt, and a reconciliation, ask for the same task.
    assert_eq!(
        text(call.run(&rig.tool("up__task"), json!({})).await),
        "nobody"
    );
    let (cx, _executor) = call.context();
    let found = rig
        .tool("up__task")
        .reconcile(&object(json!({})), &cx)
        .await
        .unwrap();
    let Reconciled::Acted(found) = found else {
        panic!("{found:?}")
    };
    assert_eq!(text(Ok(found)), "nobody");
    let (cx, _executor) = Call::new().context();
    let found = rig
        .tool("up__task")
        .reconcile(&object(json!({})), &cx)
        .await
        .unwrap();
    assert_eq!(found, Reconciled::CannotTell);
    // A task that the upstream has forgotten may have been done.
    *call.checkpoint.lock().unwrap() =
        Some(json!({"waitsFor": "task", "taskId": "task-9", "asked": []}));
    let lost = call
        .run(&rig.tool("up__task"), json!({}))
        .await
        .unwrap_err();
    assert!(matches!(lost, ToolError::Unknown { .. }), "{lost:?}");
    rig.stop().await;
}

#[tokio::test]
async fn cancelling_a_task_cancels_it_at_the_upstream() {
    let rig = Rig::start(json!({ "up": entry("modern") })).await;
    let call = Call::new();
    let tool = rig.tool("up__task");
    let cancelled = tokio::join!(call.run(&tool, json!({})), async {
        eventually(|| call.checkpoint.lock().unwrap().clone()).await;
        call.cancel.cancel();
    });
    assert!(
        matches!(cancelled.0, Err(ToolError::Cancelled)),
        "{cancelled:?}"
    );
    rig.until_answers("up__cancelled", json!({}), "1").await;
    rig.stop().await;
}

#[tokio::test]
async fn questions_go_to_the_client_and_its_answers_back() {
    let rig = Rig::start_with(json!({ "up": entry("modern") }), options()).await;
    for (tool, answer) in [("up__ask", "hello \"Ada\""), ("up__ask_task", "Ada")] {
        let mut call = Call {
            elicits: true,
            ..Call::new()
        };
        let error = call.run(&rig.tool(tool), json!({})).await.unwrap_err();
        let ToolError::InputRequired(asked) = error else {
            panic!("{tool}: {error:?}")
        };
        assert_eq!(asked.keys().collect::<Vec<_>>(), ["name"]);
        assert!(call.checkpoint.lock().unwrap().is_some());
        let reply = json!({"action": "accept", "content": {"name": "Ada"}});
        call.responses.insert("name".to_owned(), reply);
        assert_eq!(text(call.run(&rig.tool(tool), json!({})).await), answer);
    }
    rig.stop().await;
}
