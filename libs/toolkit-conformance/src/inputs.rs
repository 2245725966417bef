//! Tools that cannot go on before the client answers (SEP-2322), and the words they ask with.

use std::sync::Arc;

use serde_json::{Value, json};
use waybill_toolkit::{
    InputRequest, InputRequests, JsonObject, Tool, ToolContext, ToolError, ToolResult,
};

use crate::fixture::{answers, argument, spec, spec_with, text};

/// JSON-RPC code of 2026-07-28: the client did not declare what the request needs.
const MISSING_CAPABILITY: i32 = -32021;

pub(crate) fn tools() -> Vec<Arc<dyn Tool>> {
    let ask_for = |name: &str| spec(name, "Asks the client for input before it answers");
    vec![
        answers(ask_for("test_input_required_result_elicitation"), greeting),
        answers(ask_for("test_input_required_result_sampling"), capital),
        answers(ask_for("test_input_required_result_list_roots"), roots),
        answers(
            ask_for("test_input_required_result_request_state"),
            confirmation,
        ),
        answers(
            ask_for("test_input_required_result_tampered_state"),
            confirmation,
        ),
        answers(
            ask_for("test_input_required_result_multiple_inputs"),
            three_at_once,
        ),
        answers(
            ask_for("test_input_required_result_multi_round"),
            two_rounds,
        ),
        answers(
            ask_for("test_input_required_result_capabilities"),
            what_was_declared,
        ),
        answers(ask_for("test_streaming_elicitation"), streaming),
        answers(
            spec("test_missing_capability", "Needs a client that samples"),
            needs_sampling,
        ),
        answers(text_argument("test_sampling", "prompt"), sampling),
        answers(text_argument("test_elicitation", "message"), elicitation),
        answers(ask_for("test_elicitation_sep1034_defaults"), defaults),
        answers(ask_for("test_elicitation_sep1330_enums"), enums),
    ]
}

fn text_argument(name: &str, argument: &str) -> waybill_toolkit::ToolSpec {
    let schema = json!({
        "type": "object",
        "properties": { argument: { "type": "string" } },
        "required": [argument],
    });
    spec_with(name, "Passes its argument on to the client", schema)
}

fn greeting(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    let Some(answer) = answer(cx, "user_name") else {
        return Err(ask([name_question()]));
    };
    let name = given(answer, "name")
        .and_then(Value::as_str)
        .unwrap_or("nobody");
    text(format!("Hello, {name}!"))
}

fn capital(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    let key = "capital_question";
    let Some(answer) = answer(cx, key) else {
        return Err(ask([(key, sample("What is the capital of France?", 100))]));
    };
    text(format!("The model says: {}", sampled(answer)))
}

fn roots(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    let Some(answer) = answer(cx, "client_roots") else {
        return Err(ask([("client_roots", list_roots())]));
    };
    let roots = answer
        .get("roots")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let uris: Vec<&str> = roots.filter_map(|root| root["uri"].as_str()).collect();
    text(format!("The client's roots: {}", uris.join(", ")))
}

/// The state that the suite wants to see travel is the gateway's handle of this call: when the
/// tool runs again, it has been verified.
fn confirmation(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    if answer(cx, "confirm").is_none() {
        let schema = json!({ "ok": { "type": "boolean" } });
        return Err(ask([("confirm", form("Please confirm", &schema, &["ok"]))]));
    }
    text("Confirmed: state-ok")
}

fn three_at_once(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    ask_missing(
        cx,
        [
            name_question(),
            ("greeting", sample("Generate a greeting", 50)),
            ("client_roots", list_roots()),
        ],
    )?;
    text("All three answers are here")
}

fn two_rounds(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    let name = json!({ "name": { "type": "string" } });
    ask_missing(
        cx,
        [(
            "step1",
            form("Step 1: What is your name?", &name, &["name"]),
        )],
    )?;
    let color = json!({ "color": { "type": "string" } });
    let question = "Step 2: What is your favorite color?";
    ask_missing(cx, [("step2", form(question, &color, &["color"]))])?;
    text("Both steps are done")
}

fn what_was_declared(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    let Some(client) = cx.client_capabilities() else {
        return text("It is not known what the client can be asked for");
    };
    let mut requests = Vec::new();
    if client.elicitation.is_some() {
        requests.push(name_question());
    }
    if client.sampling.is_some() {
        requests.push(("greeting", sample("Generate a greeting", 50)));
    }
    if client.roots.is_some() {
        requests.push(("client_roots", list_roots()));
    }
    ask_missing(cx, requests)?;
    text("Asked only for what was declared")
}

fn needs_sampling(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    if cx
        .client_capabilities()
        .is_some_and(|client| client.sampling.is_some())
    {
        return text("The client samples");
    }
    Err(ToolError::Protocol {
        code: MISSING_CAPABILITY,
        message: "this tool needs a client that samples".to_owned(),
        data: Some(json!({ "requiredCapabilities": { "sampling": {} } })),
    })
}

fn streaming(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    let schema = json!({ "value": { "type": "string" } });
    ask_missing(
        cx,
        [("value", form("Provide a value", &schema, &["value"]))],
    )?;
    text("The value is here")
}

fn sampling(arguments: &JsonObject, cx: &ToolContext) -> ToolResult {
    let prompt = argument(arguments, "prompt").unwrap_or_default();
    let Some(answer) = answer(cx, "sampling") else {
        return Err(ask([("sampling", sample(prompt, 100))]));
    };
    text(format!("LLM response: {}", sampled(answer)))
}

fn elicitation(arguments: &JsonObject, cx: &ToolContext) -> ToolResult {
    let message = argument(arguments, "message").unwrap_or_default();
    let schema = json!({
        "username": { "type": "string", "description": "User's response" },
        "email": { "type": "string", "description": "User's email address" },
    });
    elicited(cx, form(message, &schema, &["username", "email"]))
}

fn defaults(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    let schema = json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": { "type": "boolean", "default": true },
    });
    elicited(
        cx,
        form("Review the values; all have defaults", &schema, &[]),
    )
}

fn enums(_: &JsonObject, cx: &ToolContext) -> ToolResult {
    let titled = json!([
        { "const": "value1", "title": "First Option" },
        { "const": "value2", "title": "Second Option" },
        { "const": "value3", "title": "Third Option" },
    ]);
    let plain = json!(["option1", "option2", "option3"]);
    let schema = json!({
        "untitledSingle": { "type": "string", "enum": plain },
        "titledSingle": { "type": "string", "oneOf": titled },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": plain } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled } },
    });
    elicited(cx, form("Choose", &schema, &[]))
}

fn elicited(cx: &ToolContext, request: InputRequest) -> ToolResult {
    let Some(answer) = answer(cx, "elicitation") else {
        return Err(ask([("elicitation", request)]));
    };
    let action = answer
        .get("action")
        .and_then(Value::as_str)
        .unwrap_or("none");
    let content = answer
        .get("content")
        .map_or_else(String::new, Value::to_string);
    text(format!(
        "Elicitation completed: action={action}, content={content}"
    ))
}

/// The answer to a question, when it has the shape of any answer. Anything else counts as no answer,
/// and the tool asks again.
pub(crate) fn answer<'a>(cx: &'a ToolContext, key: &str) -> Option<&'a JsonObject> {
    cx.input(key).and_then(Value::as_object)
}

/// A field of an accepted form.
pub(crate) fn given<'a>(answer: &'a JsonObject, field: &str) -> Option<&'a Value> {
    answer.get("content").and_then(|content| content.get(field))
}

pub(crate) fn ask<'a>(requests: impl IntoIterator<Item = (&'a str, InputRequest)>) -> ToolError {
    let requests = requests
        .into_iter()
        .map(|(key, request)| (key.to_owned(), request));
    ToolError::InputRequired(requests.collect())
}

/// Asks for what was not answered yet.
fn ask_missing<'a>(
    cx: &ToolContext,
    requests: impl IntoIterator<Item = (&'a str, InputRequest)>,
) -> Result<(), ToolError> {
    let missing: InputRequests = requests
        .into_iter()
        .filter(|(key, _)| answer(cx, key).is_none())
        .map(|(key, request)| (key.to_owned(), request))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(ToolError::InputRequired(missing))
    }
}

fn name_question() -> (&'static str, InputRequest) {
    let schema = json!({ "name": { "type": "string" } });
    ("user_name", form("What is your name?", &schema, &["name"]))
}

/// An elicitation by a form with these properties.
pub(crate) fn form(message: &str, properties: &Value, required: &[&str]) -> InputRequest {
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    request(json!({
        "method": "elicitation/create",
        "params": { "mode": "form", "message": message, "requestedSchema": schema },
    }))
}

fn sample(prompt: &str, max_tokens: u32) -> InputRequest {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    request(json!({
        "method": "sampling/createMessage",
        "params": { "messages": [message], "maxTokens": max_tokens },
    }))
}

fn list_roots() -> InputRequest {
    request(json!({ "method": "roots/list" }))
}

/// Through JSON, because rmcp's types for sampling and roots are deprecated.
fn request(value: Value) -> InputRequest {
    serde_json::from_value(value).expect("the literals of this file have the protocol's shape")
}

/// The text of a `sampling/createMessage` result.
fn sampled(answer: &JsonObject) -> &str {
    let content = answer.get("content");
    content
        .and_then(|content| content["text"].as_str())
        .unwrap_or_default()
}
