//! Tools that ask their client.

use std::time::Duration;

use serde_json::{Value, json};
use waybill_calls::CallState;

use crate::gateway::{Answer, Gateway, OLD, gateway, principal, with_tasks};

async fn asked(gateway: &Gateway, capabilities: Value) -> Answer {
    let work = async {
        let call = gateway.claim().await;
        gateway.ask(&call, "who").await;
    };
    let params = json!({ "name": "echo" });
    let (answer, ()) = tokio::join!(gateway.new_era(capabilities, "tools/call", params), work);
    answer
}

fn retry(state: &Value, responses: &Value) -> Value {
    json!({ "name": "echo", "requestState": state, "inputResponses": responses })
}

fn accepted() -> Value {
    json!({ "action": "accept", "content": { "name": "Ada" } })
}

fn elicits() -> Value {
    json!({ "elicitation": {} })
}

#[tokio::test(start_paused = true)]
async fn rounds_of_questions_go_on_with_the_same_call() {
    let gateway = gateway();
    let first = asked(&gateway, elicits()).await.result();
    assert_eq!(first["resultType"], "input_required");
    assert_eq!(
        first["inputRequests"]["who"]["method"],
        "elicitation/create"
    );

    let wrong = retry(&first["requestState"], &json!({ "other": accepted() }));
    let again = gateway
        .new_era(elicits(), "tools/call", wrong)
        .await
        .result();
    assert_eq!(again["resultType"], "input_required", "asked again");

    let work = async {
        let call = gateway.claim().await;
        assert_eq!(call.input_responses["who"], accepted());
        gateway.ask(&call, "why").await;
    };
    let answers = retry(
        &first["requestState"],
        &json!({ "who": accepted(), "x": {} }),
    );
    let (second, ()) = tokio::join!(gateway.new_era(elicits(), "tools/call", answers), work);
    let second = second.result();
    assert!(second["inputRequests"]["why"].is_object());
    assert_ne!(second["requestState"], first["requestState"]);

    let work = async {
        let call = gateway.claim().await;
        gateway.say(&call, "thanks").await;
    };
    let answers = retry(&second["requestState"], &json!({ "why": accepted() }));
    let (third, ()) = tokio::join!(gateway.new_era(elicits(), "tools/call", answers), work);
    assert_eq!(third.result()["content"][0]["text"], "thanks");
}

#[tokio::test(start_paused = true)]
async fn answers_may_come_with_the_first_request() {
    let gateway = gateway();
    let work = async {
        let call = gateway.claim().await;
        gateway.ask(&call, "who").await;
        let call = gateway.claim().await;
        assert_eq!(call.input_responses["who"], accepted());
        gateway.say(&call, "Ada").await;
    };
    let params = json!({ "name": "echo", "inputResponses": { "who": accepted(), "z": {} } });
    let (answer, ()) = tokio::join!(gateway.new_era(elicits(), "tools/call", params), work);
    assert_eq!(answer.result()["content"][0]["text"], "Ada");
}

/// The answer to one question must not answer the next one, which nobody has seen.
#[tokio::test(start_paused = true)]
async fn a_repeated_answer_is_for_its_own_questions() {
    let gateway = gateway();
    let first = asked(&gateway, elicits()).await.result();
    let answers = retry(&first["requestState"], &json!({ "who": accepted() }));
    let work = async {
        let call = gateway.claim().await;
        gateway.ask(&call, "who").await;
    };
    let sent = gateway.new_era(elicits(), "tools/call", answers.clone());
    let (second, ()) = tokio::join!(sent, work);
    let second = second.result();
    assert!(second["inputRequests"]["who"].is_object());

    let repeated = gateway.new_era(elicits(), "tools/call", answers).await;
    let repeated = repeated.result();
    assert_eq!(repeated["resultType"], "input_required", "{repeated}");
    assert!(gateway.idle().await, "nothing was answered");

    let answers = retry(&repeated["requestState"], &json!({ "who": accepted() }));
    let work = async {
        let call = gateway.claim().await;
        gateway.say(&call, "thanks").await;
    };
    let sent = async {
        let (one, two) = tokio::join!(
            gateway.new_era(elicits(), "tools/call", answers.clone()),
            gateway.new_era(elicits(), "tools/call", answers.clone()),
        );
        [one, two]
    };
    let (both, ()) = tokio::join!(sent, work);
    for answer in both {
        assert_eq!(answer.result()["content"][0]["text"], "thanks");
    }
}

/// The same without a ticket: the first request, told again from its beginning.
#[tokio::test(start_paused = true)]
async fn a_repeated_first_request_answers_the_first_questions_only() {
    let gateway = gateway();
    let work = async {
        let call = gateway.claim().await;
        gateway.ask(&call, "who").await;
        let call = gateway.claim().await;
        gateway.ask(&call, "who").await;
    };
    let mut params = json!({ "name": "echo", "inputResponses": { "who": accepted() } });
    params["_meta"]["dev.waybill/idempotencyKey"] = json!("once");
    let sent = gateway.new_era(elicits(), "tools/call", params.clone());
    let (answer, ()) = tokio::join!(sent, work);
    assert_eq!(answer.result()["resultType"], "input_required");
    let repeated = gateway.new_era(elicits(), "tools/call", params).await;
    assert_eq!(repeated.result()["resultType"], "input_required");
    assert!(gateway.idle().await, "nothing was answered");
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_good_for_its_holder_its_tool_and_its_time() {
    let gateway = gateway();
    let state = asked(&gateway, elicits()).await.result()["requestState"].clone();
    let answers = json!({ "who": accepted() });
    let tampered = json!(format!("{}x", state.as_str().unwrap()));
    let other_tool = {
        let mut params = retry(&state, &answers);
        params["name"] = json!("typed");
        params
    };
    let mine = || principal("acme", "k1");
    let cases = [
        (mine(), retry(&tampered, &answers)),
        (mine(), other_tool),
        (principal("acme", "k2"), retry(&state, &answers)),
        (principal("other", "k1"), retry(&state, &answers)),
    ];
    for (by, params) in cases {
        let answer = gateway
            .new_era_as(by, &[], elicits(), "tools/call", params)
            .await;
        assert_eq!(answer.error().0, -32602);
    }
    tokio::time::advance(Duration::from_hours(2)).await;
    let late = gateway
        .new_era(elicits(), "tools/call", retry(&state, &answers))
        .await;
    assert_eq!(late.error().0, -32602);
    assert!(gateway.idle().await, "nothing was answered");
}

#[tokio::test(start_paused = true)]
async fn an_answer_must_be_an_object() {
    let gateway = gateway();
    let params = json!({ "name": "echo", "inputResponses": { "who": 12345 } });
    let answer = gateway.new_era(elicits(), "tools/call", params).await;
    assert_eq!(answer.error().0, -32602);
    assert!(gateway.idle().await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cannot_be_asked_is_told_and_the_call_ends() {
    let gateway = gateway();
    let answer = asked(&gateway, json!({ "sampling": {} })).await;
    assert_eq!(answer.error().0, -32021);
    let required = &answer.json()["error"]["data"]["requiredCapabilities"];
    assert!(required["elicitation"].is_object());

    let work = async {
        let call = gateway.claim().await;
        gateway.ask(&call, "who").await;
        call.id
    };
    let params = json!({ "name": "echo" });
    let (answer, id) = tokio::join!(gateway.old_era(OLD, "tools/call", params), work);
    let result = answer.result();
    assert_eq!(result["isError"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("cannot be asked"), "{text}");
    assert_eq!(gateway.state(id.as_str()).await, CallState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_task_shows_its_open_questions_and_takes_answers_one_by_one() {
    let gateway = gateway();
    let start = gateway.new_era(with_tasks(), "tools/call", json!({ "name": "job" }));
    let id = start.await.result()["taskId"].clone();
    let call = gateway.claim().await;
    gateway.ask(&call, "who").await;
    let get = async || {
        let answer = gateway.new_era(with_tasks(), "tasks/get", json!({ "taskId": id }));
        answer.await.result()
    };
    let task = get().await;
    assert_eq!(task["status"], "input_required");
    assert!(task["inputRequests"]["who"].is_object());
    assert!(task["requestState"].is_null());
    let update = async |responses: Value| {
        let params = json!({ "taskId": id, "inputResponses": responses });
        let answer = gateway.new_era(with_tasks(), "tasks/update", params);
        assert_eq!(answer.await.result(), json!({ "resultType": "complete" }));
    };
    update(json!({ "unknown": { "ignored": true } })).await;
    assert_eq!(get().await["status"], "input_required");
    update(json!({ "who": accepted() })).await;
    assert_eq!(get().await["status"], "working");
    let call = gateway.claim().await;
    gateway.say(&call, "Ada").await;
    assert_eq!(get().await["result"]["content"][0]["text"], "Ada");
}
