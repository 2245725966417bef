//! Calls end: by cancellation, by their deadline; and tell how far they are.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_toolkit::{Effect, Signal, ToolError};

use crate::bench::{Bench, call_in, context};

fn many(files: usize) -> Bench {
    let bench = Bench::new();
    for number in 0..files {
        bench.file(&format!("{:02}/{number:05}", number % 50), "needle\n");
    }
    bench
}

#[tokio::test]
async fn a_cancelled_call_ends() {
    let bench = many(10);
    for (tool, arguments) in [
        ("files_search", json!({ "pattern": "needle" })),
        ("files_glob", json!({ "pattern": "*" })),
        ("files_tree", json!({})),
        ("files_list", json!({})),
        ("files_read", json!({ "path": "00/00000" })),
    ] {
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let (cx, _signals) = context(cancelled, Duration::from_mins(1));
        let ended = call_in(&*bench.tool(tool), arguments, &cx).await;
        assert!(
            matches!(ended, Err(ToolError::Cancelled)),
            "{tool}: {ended:?}"
        );
    }
}

#[tokio::test]
async fn a_search_reports_progress() {
    let bench = many(1_000);
    let (cx, mut signals) = context(CancellationToken::new(), Duration::from_mins(1));
    let arguments = json!({ "pattern": "needle", "show": "counts", "maxResults": 2_000 });
    let found = call_in(&*bench.tool("files_search"), arguments, &cx)
        .await
        .unwrap();
    assert_eq!(found.data["matches"], 1_000);
    let Ok(Signal::Progress {
        progress, message, ..
    }) = signals.try_recv()
    else {
        panic!("no progress")
    };
    assert!(progress >= 200.0);
    assert!(message.unwrap().contains("files searched"));
}

#[tokio::test]
async fn a_call_without_time_answers_with_what_it_has() {
    let bench = many(10);
    let (cx, _signals) = context(CancellationToken::new(), Duration::ZERO);
    for (tool, arguments) in [
        ("files_search", json!({ "pattern": "needle" })),
        ("files_glob", json!({ "pattern": "*" })),
        ("files_tree", json!({})),
    ] {
        let answer = call_in(&*bench.tool(tool), arguments, &cx).await.unwrap();
        assert_eq!(answer.data["truncatedBy"], "time", "{tool}");
        assert!(answer.text.contains("out of time"), "{tool}");
    }
}

#[test]
fn every_tool_is_read_only_and_describes_itself() {
    let bench = Bench::new();
    for name in
        ["roots", "list", "tree", "read", "stat", "glob", "search"].map(|it| format!("files_{it}"))
    {
        let tool = bench.tool(&name);
        let spec = tool.spec();
        assert_eq!(spec.effect, Effect::ReadOnly);
        assert_eq!(spec.input_schema["additionalProperties"], false, "{name}");
        assert!(spec.output_schema.is_some(), "{name}");
        let schema = serde_json::to_string(&spec.input_schema).unwrap();
        assert!(!schema.contains("$ref"), "{name}: {schema}");
    }
}
