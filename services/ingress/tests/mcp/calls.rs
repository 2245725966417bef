//! Calling tools: inline answers, waits that run out, errors, idempotency.

use std::time::Duration;

use futures::FutureExt;
use serde_json::json;
use waybill_calls::{CallState, LogLine, Problem, Progress, Said};
use waybill_ingress::desk::{Desk, DeskLimits, PlaceRequest};

use crate::gateway::{Answer, Gateway, NEW, OLD, gateway, gateway_with, principal};

async fn call(gateway: &Gateway, tool: &str, arguments: serde_json::Value) -> Answer {
    let params = json!({ "name": tool, "arguments": arguments });
    gateway.new_era(json!({}), "tools/call", params).await
}

#[tokio::test(start_paused = true)]
async fn a_quick_call_answers_in_the_same_response_in_both_eras() {
    let gateway = gateway();
    let work = async {
        let call = gateway.claim().await;
        gateway.say(&call, "hello").await;
    };
    let (answer, ()) = tokio::join!(call(&gateway, "echo", json!({ "text": "x" })), work);
    assert_eq!(answer.headers["content-type"], "application/json");
    let result = answer.result();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["content"][0]["text"], "hello");
    assert!(result["_meta"]["dev.waybill/callId"].is_string());

    let work = async {
        let call = gateway.claim().await;
        gateway.say(&call, "hello").await;
    };
    let params = json!({ "name": "echo" });
    let (answer, ()) = tokio::join!(gateway.old_era(OLD, "tools/call", params), work);
    let result = answer.result();
    assert_eq!(result["content"][0]["text"], "hello");
    assert!(result["resultType"].is_null());
}

fn echo() -> PlaceRequest {
    PlaceRequest {
        tool: "echo".to_owned(),
        arguments: json!({}),
        idempotency_key: None,
        deadline: None,
        traceparent: None,
        client_capabilities: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_may_be_kept_for_longer_than_there_are_years() {
    let gateway = gateway();
    let limits = DeskLimits {
        retention: Duration::MAX,
        ..DeskLimits::default()
    };
    let (calls, clock) = (gateway.desk.calls().clone(), gateway.desk.clock().clone());
    let desk = Desk::new(calls, gateway.desk.registry().clone(), clock, limits);
    let placed = desk.place(&principal("acme", "k1"), echo()).await.unwrap();
    assert!(placed.stored.call.expires_at > placed.stored.call.deadline);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_takes_nothing_with_it() {
    let gateway = gateway();
    let by = principal("acme", "k1");
    assert!(gateway.desk.place(&by, echo()).now_or_never().is_none());
    gateway.desk.drain().await;
    assert_eq!(gateway.claim().await.tool, "echo");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_runs_out_tells_where_to_ask_and_the_tools_of_the_door_do() {
    let gateway = gateway();
    let result = call(&gateway, "echo", json!({})).await.result();
    let handle = &result["structuredContent"];
    let id = handle["callId"].as_str().unwrap().to_owned();
    assert_eq!(handle["status"], "working");
    let url = format!("http://localhost:8080/mcp/status/{id}");
    assert_eq!(handle["statusUrl"], url);
    assert!(handle["pollAfterMs"].as_u64().unwrap() >= 500);
    assert!(result["content"][0]["text"].as_str().unwrap().contains(&id));

    let worker = gateway.claim().await;
    let status = call(&gateway, "call_status", json!({ "callId": id })).await;
    assert_eq!(status.result()["structuredContent"]["state"], "running");
    let finish = gateway.say(&worker, "late");
    let arguments = json!({ "callId": id, "waitSeconds": 20 });
    let (late, ()) = tokio::join!(call(&gateway, "call_result", arguments), finish);
    assert_eq!(late.result()["content"][0]["text"], "late");
    let unknown = call(&gateway, "call_result", json!({ "callId": "x" })).await;
    assert_eq!(unknown.result()["isError"], true);

    let result = call(&gateway, "echo", json!({})).await.result();
    let id = result["structuredContent"]["callId"]
        .as_str()
        .unwrap()
        .to_owned();
    let cancelled = call(&gateway, "call_cancel", json!({ "callId": id })).await;
    assert_eq!(
        cancelled.result()["structuredContent"]["status"],
        "cancelled"
    );
    assert_eq!(gateway.state(&id).await, CallState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_pending_result_never_breaks_a_declared_output_schema() {
    let gateway = gateway();
    let result = call(&gateway, "typed", json!({})).await.result();
    assert!(result["structuredContent"].is_null());
    assert_eq!(result["isError"], true);
    assert!(result["_meta"]["dev.waybill/pending"]["callId"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_client_says_how_long_it_waits() {
    let gateway = gateway();
    let params = json!({ "name": "echo" });
    for (prefer, seconds) in [("wait=3", 3), ("respond-async", 0), ("wait=900", 28)] {
        let before = tokio::time::Instant::now();
        let by = principal("acme", "k1");
        let headers = [("prefer", prefer)];
        let answer = gateway.new_era_as(by, &headers, json!({}), "tools/call", params.clone());
        assert!(answer.await.result()["structuredContent"]["callId"].is_string());
        assert_eq!(before.elapsed().as_secs(), seconds, "{prefer}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_arguments_reaches_the_model_and_nothing_is_queued() {
    let gateway = gateway();
    let result = call(&gateway, "echo", json!({ "text": 5150 }))
        .await
        .result();
    assert_eq!(result["isError"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("/text") && text.contains("received number"),
        "{text}"
    );
    assert!(!text.contains("5150"), "{text}");
    let (code, message) = call(&gateway, "ehco", json!({})).await.error();
    assert_eq!(code, -32602);
    assert!(message.contains("did you mean echo?"), "{message}");
    let mut deep = json!(1);
    for _ in 0..70 {
        deep = json!([deep]);
    }
    let result = call(&gateway, "echo", json!({ "text": deep }))
        .await
        .result();
    assert_eq!(result["isError"], true);
    assert!(gateway.idle().await);
}

#[tokio::test(start_paused = true)]
async fn an_idempotency_key_names_one_call() {
    let gateway = gateway();
    let send = async |key: &str, text: &str| {
        let headers = [("idempotency-key", key), ("prefer", "wait=0")];
        let params = json!({ "name": "echo", "arguments": { "text": text } });
        let by = principal("acme", "k1");
        gateway
            .new_era_as(by, &headers, json!({}), "tools/call", params)
            .await
    };
    let id = |answer: &Answer| answer.result()["structuredContent"]["callId"].clone();
    let first = send("a", "x").await;
    assert_eq!(id(&first), id(&send("a", "x").await));
    assert_ne!(id(&first), id(&send("b", "x").await));
    let mismatch = send("a", "y").await;
    assert_eq!(mismatch.error().0, -32602);
    assert_eq!(mismatch.json()["error"]["data"]["callId"], id(&first));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_an_error_that_names_it() {
    let gateway = gateway();
    let cases = [
        (
            Problem::new("outcome_unknown", "Look at the calendar."),
            -32000,
        ),
        (Problem::new("dead_lettered", "Tried 5 times."), -32603),
    ];
    for (problem, code) in cases {
        let work = async {
            let call = gateway.claim().await;
            gateway.fail(&call, problem.clone()).await;
            call.id
        };
        let (answer, id) = tokio::join!(call(&gateway, "echo", json!({})), work);
        assert_eq!(answer.error(), (code, problem.message.clone()));
        let data = &answer.json()["error"]["data"];
        assert_eq!(data["callId"], json!(id));
        assert_eq!(data["code"], problem.code);
        assert!(data["statusUrl"].as_str().unwrap().ends_with(id.as_str()));
    }
    let own = Problem {
        rpc_code: Some(-32021),
        data: Some(json!({ "requiredCapabilities": { "sampling": {} } })),
        ..Problem::new("protocol_error", "No sampling.")
    };
    let work = async {
        let call = gateway.claim().await;
        gateway.fail(&call, own.clone()).await;
    };
    let (answer, ()) = tokio::join!(call(&gateway, "echo", json!({})), work);
    assert_eq!(answer.error().0, -32021);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["data"], own.data.unwrap());
}

#[tokio::test(start_paused = true)]
async fn progress_is_streamed_to_a_client_that_gave_a_token() {
    let gateway = gateway();
    let work = async {
        let call = gateway.claim().await;
        for progress in [1.0, 5.0, 4.0] {
            gateway.progress(&call, progress).await;
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        gateway.say(&call, "done").await;
    };
    let params = json!({ "name": "echo", "_meta": { "progressToken": "t" } });
    let (answer, ()) = tokio::join!(gateway.new_era(json!({}), "tools/call", params), work);
    let messages = answer.stream();
    let told: Vec<_> = messages
        .iter()
        .filter(|message| message["method"] == "notifications/progress")
        .map(|message| message["params"]["progress"].as_f64().unwrap())
        .collect();
    assert_eq!(told, [1.0, 5.0], "progress only grows");
    assert_eq!(
        messages.last().unwrap()["result"]["content"][0]["text"],
        "done"
    );
}

fn progress(progress: f64) -> Said {
    Said::Progress(Progress {
        progress,
        total: Some(100.0),
        message: None,
    })
}

fn line(level: &str) -> Said {
    Said::Log(LogLine {
        level: level.to_owned(),
        logger: None,
        data: json!(level),
    })
}

/// The notifications ahead of the result of `request`, of a call that reports all at once and ends.
async fn heard(
    gateway: &Gateway,
    request: impl Future<Output = Answer>,
    said: &[Said],
) -> Vec<serde_json::Value> {
    let work = async {
        let call = gateway.claim().await;
        gateway.report(&call, said).await;
        gateway.say(&call, "done").await;
    };
    let (answer, ()) = tokio::join!(request, work);
    let mut messages = answer.stream();
    let last = messages.pop().unwrap_or_else(|| answer.json());
    assert_eq!(last["result"]["content"][0]["text"], "done");
    messages
}

#[tokio::test(start_paused = true)]
async fn every_report_is_streamed_in_order_before_the_result() {
    let gateway = gateway();
    let said = [
        progress(0.0),
        line("debug"),
        progress(50.0),
        line("info"),
        line("error"),
        progress(100.0),
    ];
    let summary = |messages: Vec<serde_json::Value>| -> Vec<String> {
        let one = |message: &serde_json::Value| match message["method"].as_str() {
            Some("notifications/progress") => message["params"]["progress"].to_string(),
            Some("notifications/message") => message["params"]["level"].to_string(),
            _ => panic!("{message}"),
        };
        messages.iter().map(one).collect()
    };
    let old = json!({ "name": "echo", "_meta": { "progressToken": "t" } });
    let old = heard(&gateway, gateway.old_era(OLD, "tools/call", old), &said).await;
    let info = ["0.0", "50.0", r#""info""#, r#""error""#, "100.0"];
    assert_eq!(summary(old), info);

    let key = "io.modelcontextprotocol/logLevel";
    for (meta, expected) in [
        (json!({}), vec![]),
        (json!({ "progressToken": 1 }), vec!["0.0", "50.0", "100.0"]),
        (json!({ key: "error" }), vec![r#""error""#]),
    ] {
        let params = json!({ "name": "echo", "_meta": meta });
        let new = gateway.new_era(json!({}), "tools/call", params);
        assert_eq!(
            summary(heard(&gateway, new, &said).await),
            expected,
            "{meta}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_level_is_accepted_where_the_revision_has_levels() {
    let gateway = gateway();
    let info = json!({ "level": "info" });
    let accepted = gateway.old_era(OLD, "logging/setLevel", info.clone());
    assert_eq!(accepted.await.result(), json!({}));
    let nonsense = json!({ "level": "loud" });
    let refused = gateway.old_era(OLD, "logging/setLevel", nonsense).await;
    assert_eq!(refused.error().0, -32602);
    let gone = gateway.new_era(json!({}), "logging/setLevel", info).await;
    assert_eq!(gone.error().0, -32601);
}

#[tokio::test(start_paused = true)]
async fn the_request_reaches_the_call() {
    let gateway = gateway_with(
        |settings| settings.public_url = Some("https://w.example/".into()),
        None,
    );
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("traceparent", traceparent), ("prefer", "wait=0")];
    let by = principal("acme", "k9");
    let capabilities = json!({ "sampling": {} });
    let params = json!({ "name": "echo", "arguments": { "text": "x" } });
    let answer = gateway.new_era_as(by, &headers, capabilities.clone(), "tools/call", params);
    let url = answer.await.result()["structuredContent"]["statusUrl"].clone();
    assert!(
        url.as_str()
            .unwrap()
            .starts_with("https://w.example/mcp/status/")
    );
    let call = gateway.claim().await;
    assert_eq!(call.principal, "k9");
    assert_eq!(call.traceparent.as_deref(), Some(traceparent));
    assert_eq!(call.client_capabilities, Some(capabilities));
    let generated = gateway.old_era("2025-06-18", "tools/call", json!({ "name": "echo" }));
    generated.await.result();
    assert!(
        gateway
            .claim()
            .await
            .traceparent
            .unwrap()
            .starts_with("00-")
    );
    assert!(NEW > OLD);
}

/// W3C's header, else AWS's, else what the body says.
#[tokio::test(start_paused = true)]
async fn a_call_is_part_of_the_clients_trace() {
    const OWN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const INNER: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01";
    let amazon = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let converted = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
    let gateway = gateway();
    for (headers, expected) in [
        (vec![("traceparent", OWN), ("x-amzn-trace-id", amazon)], OWN),
        (vec![("x-amzn-trace-id", amazon)], converted),
        (vec![("traceparent", "broken")], INNER),
        (vec![], INNER),
    ] {
        let headers = [headers, vec![("prefer", "wait=0")]].concat();
        let params = json!({
            "name": "echo", "arguments": { "text": "x" }, "_meta": { "traceparent": INNER },
        });
        let by = principal("acme", "k9");
        let answer = gateway.new_era_as(by, &headers, json!({}), "tools/call", params);
        answer.await.result();
        let call = gateway.claim().await;
        assert_eq!(call.traceparent.as_deref(), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_result_comes_back_whole() {
    let gateway = gateway();
    let text = "x".repeat(200_000);
    let work = async {
        let call = gateway.claim().await;
        gateway.say(&call, &text).await;
    };
    let (answer, ()) = tokio::join!(call(&gateway, "echo", json!({})), work);
    assert_eq!(answer.result()["content"][0]["text"], text);
}
