//! Each service as a Lambda function: the real binaries, called as Lambda calls them.

mod runtime;
mod source;

use std::time::Duration;

use serde_json::{Value, json};

use self::{
    runtime::{Answer, Function},
    source::Source,
};
use crate::installation::Installation;

const INGRESS: &str = env!("CARGO_BIN_EXE_waybill-ingress");
const EXECUTOR: &str = env!("CARGO_BIN_EXE_waybill-tool-executor");
const SINK: &str = env!("CARGO_BIN_EXE_waybill-audit-sink");

const API: &str = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com";
const FUNCTION_URL: &str = "abcdefghijklmnopqrstuvwxyz.lambda-url.eu-central-1.on.aws";
/// More than any answer takes.
const AMPLE: Duration = Duration::from_mins(1);

/// An installation, its door and its tool executor.
struct World {
    installation: Installation,
    key: String,
    door: Function,
    executor: Function,
    calls: Source,
}

impl World {
    async fn new() -> Self {
        let installation = Installation::new();
        Self {
            key: installation.key(),
            door: Function::start(INGRESS, &installation).await,
            executor: Function::start(EXECUTOR, &installation).await,
            calls: Source::of(&installation, "tool-executor").await,
            installation,
        }
    }

    /// As an HTTP API and a function URL send it (payload format 2.0).
    fn request(&self, host: &str, method: &str, path: &str) -> Value {
        let mut request = request(host, method, path);
        request["headers"]["authorization"] = json!(format!("Bearer {}", self.key));
        request
    }

    /// Accepted, and not waited for. The call's id.
    async fn submit(&self, tool: &str, arguments: Value) -> String {
        let body = json!({ "tool": tool, "arguments": arguments });
        let mut request = self.request(API, "POST", "/calls");
        request["headers"]["prefer"] = json!("respond-async");
        request["headers"]["content-type"] = json!("application/json");
        request["body"] = json!(body.to_string());
        let answer = self.door.answer(&request, AMPLE).await;
        assert_eq!(answer["statusCode"], 202, "{answer}");
        content(&answer)["id"].as_str().unwrap().to_owned()
    }

    async fn status(&self, id: &str) -> Value {
        let path = format!("/mcp/status/{id}");
        let request = self.request(API, "GET", &path);
        content(&self.door.answer(&request, AMPLE).await)
    }

    /// The executor ends all of them.
    async fn execute(&self, batch: &[Value]) {
        let back = self.calls.call(&self.executor, batch, AMPLE).await;
        assert!(back.is_empty(), "{back:?} come back");
    }

    async fn assert_status(&self, id: &str, status: &str) {
        let document = self.status(id).await;
        assert_eq!(document["status"], status, "{document}");
    }
}

fn request(host: &str, method: &str, path: &str) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "accept": "application/json",
            "host": host,
            "user-agent": "a client",
            "x-amzn-trace-id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": host,
            "domainPrefix": host.split('.').next(),
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "a client",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Nov/2026:18:00:00 +0000",
            "timeEpoch": 1_795_284_000_000_u64,
        },
        "isBase64Encoded": false,
    })
}

fn content(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_through_every_function_and_its_duplicates_do_nothing() {
    let world = World::new().await;
    let sink = Function::start(SINK, &world.installation).await;
    let mut calls = Vec::new();
    for _ in 0..10 {
        calls.push(world.submit("greet", json!({ "name": "Ada" })).await);
    }
    let batch = world.calls.take(10).await;
    world.execute(&batch).await;
    for id in &calls {
        world.assert_status(id, "completed").await;
    }
    world.calls.empty().await;
    // The answer was lost on its way, or SQS has delivered twice.
    world.execute(&batch).await;
    let trail = Source::of(&world.installation, "audit-sink").await;
    // Accepted and ended, once each.
    let events = trail.take(20).await;
    assert!(trail.call(&sink, &events, AMPLE).await.is_empty());
    assert!(trail.call(&sink, &events[..7], AMPLE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_comes_back_alone_and_what_takes_too_long_goes_on_later() {
    let world = World::new().await;
    let slow = world.submit("slow_compute", json!({ "seconds": 6 })).await;
    let mut batch = world.calls.take(1).await;
    let quick = world.submit("greet", json!({ "name": "Ada" })).await;
    world.calls.send("this is no event").await;
    batch.extend(world.calls.take(2).await);
    let back = world
        .calls
        .call(&world.executor, &batch, Duration::from_secs(5))
        .await;
    assert_eq!(back, [0], "only what was too slow comes back");
    world.assert_status(&quick, "completed").await;
    world.assert_status(&slow, "working").await;
    let dead = Source::of(&world.installation, "tool-executor-dlq").await;
    let letters = dead.take(1).await;
    assert_eq!(letters[0]["body"], "this is no event");
    // It was shown again at once, not after the queue's own time.
    let again = world.calls.take(1).await;
    world.execute(&again).await;
    world.assert_status(&slow, "completed").await;
    world.calls.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_a_fifo_queue_waits_for_the_first_that_failed() {
    let world = World::new().await;
    let mut calls = Vec::new();
    let mut batch = Vec::new();
    for (tool, arguments, group) in [
        ("slow_compute", json!({ "seconds": 60 }), "one"),
        ("greet", json!({ "name": "Ada" }), "one"),
        ("greet", json!({ "name": "Bob" }), "two"),
    ] {
        calls.push(world.submit(tool, arguments).await);
        let mut record = world.calls.take(1).await.remove(0);
        let arn = format!("{}.fifo", record["eventSourceARN"].as_str().unwrap());
        record["eventSourceARN"] = json!(arn);
        record["attributes"]["MessageGroupId"] = json!(group);
        batch.push(record);
    }
    let back = world
        .calls
        .call(&world.executor, &batch, Duration::from_secs(4))
        .await;
    assert_eq!(back, [0, 1]);
    for (id, status) in calls.iter().zip(["working", "working", "completed"]) {
        world.assert_status(id, status).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_are_taken_and_what_is_not_ours_is_refused_with_its_reason() {
    let world = World::new().await;
    for schedule in ["tool-executor-sweep", "outbox-sweep"] {
        let tick = json!({ "schedule": schedule });
        assert_eq!(world.executor.answer(&tick, AMPLE).await, tick);
    }
    let (id, mut batch) = (
        world.submit("greet", json!({ "name": "Ada" })).await,
        world.calls.take(1).await,
    );
    let elsewhere = "arn:aws:sqs:eu-central-1:123456789012:waybill-audit-sink";
    let arn = std::mem::replace(&mut batch[0]["eventSourceARN"], json!(elsewhere));
    for (payload, said) in [
        (
            json!({ "schedule": "sweep" }),
            "only tool-executor-sweep and outbox-sweep",
        ),
        (json!({ "anything": 1 }), "takes an event of SQS"),
        (
            json!({ "Records": [{ "eventSource": "aws:s3" }] }),
            "not of \"aws:s3\"",
        ),
        (json!({ "Records": batch }), "not in \"waybill-audit-sink\""),
    ] {
        let refusal = world.executor.refusal(&payload).await;
        assert!(refusal.contains(said), "{payload}: {refusal}");
    }
    world.assert_status(&id, "working").await;
    // It goes on after all that.
    batch[0]["eventSourceARN"] = arn;
    world.execute(&batch).await;
    let refusal = world
        .door
        .refusal(&json!({ "schedule": "outbox-sweep" }))
        .await;
    assert!(refusal.contains("API Gateway"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_behind_an_edge_answers_nobody_else() {
    let installation = Installation::new();
    let secret = [("WAYBILL_ORIGIN_SECRET", "s3cret")];
    let door = Function::start_with(INGRESS, &installation, &secret).await;
    let mut asked = request(API, "GET", "/tools");
    asked["headers"]["authorization"] = json!(format!("Bearer {}", installation.key()));
    for (told, status) in [(None, 403), (Some("guess"), 403), (Some("s3cret"), 200)] {
        if let Some(told) = told {
            asked["headers"]["x-waybill-origin"] = json!(told);
        }
        let answer = door.answer(&asked, AMPLE).await;
        assert_eq!(answer["statusCode"], status, "{told:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_url_streams_and_an_api_gets_the_whole() {
    let world = World::new().await;
    let id = world.submit("slow_compute", json!({ "seconds": 2 })).await;
    let path = format!("/mcp/status/{id}");
    let mut follow = world.request(FUNCTION_URL, "GET", &path);
    follow["headers"]["accept"] = json!("text/event-stream");
    let batch = world.calls.take(1).await;
    let (streamed, back) = tokio::join!(
        world.door.invoke(&follow, AMPLE),
        world.calls.call(&world.executor, &batch, AMPLE),
    );
    assert!(back.is_empty());
    let Answer::Streamed(parts) = streamed else {
        panic!("{streamed:?}");
    };
    let (text, at) = (parts.concat(), [0; 8]);
    let delimiter = text.windows(8).position(|bytes| bytes == at).unwrap();
    let prelude: Value = serde_json::from_slice(&text[..delimiter]).unwrap();
    assert_eq!(prelude["statusCode"], 200);
    assert_eq!(prelude["headers"]["content-type"], "text/event-stream");
    let events = str::from_utf8(&text[delimiter + 8..]).unwrap();
    assert!(events.contains("completed"), "{events}");
    assert!(parts.len() > 4, "it came in {} parts", parts.len());
    // The same, whole.
    follow["requestContext"]["domainName"] = json!(API);
    let whole = world.door.answer(&follow, AMPLE).await;
    assert!(
        whole["body"].as_str().unwrap().contains("completed"),
        "{whole}"
    );
}

/// What nobody ends is ended before the function's time is.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_functions_time() {
    let world = World::new().await;
    let id = world.submit("greet", json!({ "name": "Ada" })).await;
    let mut follow = world.request(FUNCTION_URL, "GET", &format!("/mcp/status/{id}"));
    follow["headers"]["accept"] = json!("text/event-stream");
    let streamed = world.door.invoke(&follow, Duration::from_secs(3)).await;
    assert!(matches!(streamed, Answer::Streamed(_)), "{streamed:?}");
    world.assert_status(&id, "working").await;
}
