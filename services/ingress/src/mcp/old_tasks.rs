//! The tasks of 2025-11-25, which left rmcp: `params.task` on `tools/call`, `tasks/get`,
//! `tasks/result`, `tasks/cancel` and `tasks/list`.
//!
//! The door gives such requests method names of our own, so that they pass rmcp's checks (host,
//! origin, version) as custom requests and come back here. Two answers are amended on their way
//! out: what the server can do (`initialize`) and which tools take tasks (`tools/list`).

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Response, header::CONTENT_LENGTH},
};
use chrono::SecondsFormat;
use rmcp::{
    RoleServer,
    model::{CustomRequest, CustomResult, ErrorCode, ErrorData, JsonObject, ProtocolVersion},
    service::RequestContext,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use waybill_calls::{Call, CallFilter, CallState, McpStatus, Stored};
use waybill_toolkit::{Registry, TaskSupport};

use super::{
    asked::{Asked, is_modern},
    call::{self, Placed},
    envelope::{Envelope, version},
    errors, outcome,
    server::Server,
    tasks,
};
use crate::desk::settled;

/// What our names begin with.
const OURS: &str = "dev.waybill/2025-11-25/";
const RELATED: &str = "io.modelcontextprotocol/related-task";
/// Tasks on a page of `tasks/list`.
const PAGE: usize = 50;
/// Largest answer that is amended, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

type Cx = RequestContext<RoleServer>;

#[derive(Deserialize)]
struct CallParams {
    name: String,
    #[serde(default)]
    arguments: JsonObject,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskParams {
    task_id: String,
}

#[derive(Default, Deserialize)]
struct ListParams {
    cursor: Option<String>,
}

/// A message under another method, the rest as it came.
#[derive(Serialize)]
struct Renamed<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
}

/// The message under our name, when it is one of these.
pub(super) fn redirect(envelope: &Envelope<'_>, headers: &HeaderMap) -> Option<Bytes> {
    if version(headers) != ProtocolVersion::V_2025_11_25.as_str() {
        return None;
    }
    let method = envelope.method();
    let mine = match method {
        "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/list" => true,
        "tools/call" => envelope.hints().is_some_and(|hints| hints.task.is_some()),
        _ => false,
    };
    let renamed = mine.then(|| Renamed {
        jsonrpc: "2.0",
        id: envelope.id,
        method: format!("{OURS}{method}"),
        params: envelope.params,
    })?;
    serde_json::to_vec(&renamed).ok().map(Bytes::from)
}

/// Whether the answer tells what clients of 2025-11-25 must know.
pub(super) fn announces(envelope: &Envelope<'_>, headers: &HeaderMap) -> bool {
    match envelope.method() {
        "initialize" => true,
        "tools/list" => version(headers) == ProtocolVersion::V_2025_11_25.as_str(),
        _ => false,
    }
}

/// Adds the capability to `initialize`, and to each tool whether it takes tasks. An error stays as
/// it is.
pub(super) async fn announce(response: Response<Body>, registry: &Registry) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_ANSWER).await.unwrap_or_default();
    let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else {
        return Response::from_parts(parts, Body::from(body));
    };
    let Some(result) = answer.get_mut("result") else {
        return Response::from_parts(parts, Body::from(body));
    };
    if result["protocolVersion"] == ProtocolVersion::V_2025_11_25.as_str() {
        result["capabilities"]["tasks"] =
            json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
    }
    let tools = result.get_mut("tools").and_then(Value::as_array_mut);
    for tool in tools.into_iter().flatten() {
        let support = tool["name"].as_str().and_then(|name| registry.get(name));
        if let Some(support) = support.map(|tool| tool.spec().task_support) {
            tool["execution"] = json!({ "taskSupport": support });
        }
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(answer.to_string()))
}

/// Custom requests: ours, and what rmcp could not read or does not know.
pub(super) async fn run(
    server: &Server,
    request: CustomRequest,
    cx: &Cx,
) -> Result<CustomResult, ErrorData> {
    let Some(method) = request.method.strip_prefix(OURS) else {
        return Err(unreadable(&request.method, is_modern(cx)));
    };
    let params = request.params.unwrap_or_default();
    let asked = Asked::read(cx, &server.settings)?;
    let answer = match method {
        "tools/call" => create(server, &asked, read(params)?).await?,
        "tasks/get" => task(&find(server, cx, params).await?.call),
        "tasks/result" => result(server, &asked, find(server, cx, params).await?).await?,
        "tasks/cancel" => cancel(server, &asked, find(server, cx, params).await?).await?,
        "tasks/list" => list(server, &asked, params).await?,
        _ => return Err(unreadable(method, is_modern(cx))),
    };
    Ok(CustomResult::new(answer))
}

async fn create(server: &Server, asked: &Asked, params: CallParams) -> Result<Value, ErrorData> {
    let CallParams { name, arguments } = params;
    let tool = server.desk.registry().get(&name);
    if tool.is_none_or(|tool| tool.spec().task_support == TaskSupport::Forbidden) {
        let message = format!("{name} cannot be called as a task");
        return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None));
    }
    // This client speaks tasks, although it cannot say so as newer ones do.
    let asked = Asked {
        tasks: true,
        ..asked.clone()
    };
    match call::place(server, &asked, &name, Value::Object(arguments)).await? {
        Placed::Call(stored) => Ok(json!({ "task": task(&stored.call) })),
        Placed::Refused(refused) => {
            let text = refused.content.first().and_then(|block| block.as_text());
            let message = text.map_or_else(String::new, |text| text.text.clone());
            Err(ErrorData::invalid_params(message, None))
        }
    }
}

/// Waits as long as any request may; after that the client asks again.
async fn result(server: &Server, asked: &Asked, stored: Stored) -> Result<Value, ErrorData> {
    let outcome = server.desk.outcome(stored, server.settings.max_wait).await;
    let call = outcome.map_err(|error| errors::calls(&error))?.call;
    if call.state == CallState::WaitingInput {
        let cancelled = server.desk.cancel(&asked.principal, &call.id).await;
        cancelled.map_err(|error| errors::calls(&error))?;
        return Ok(related(json!(call::cannot_ask()), &call));
    }
    if !settled(&call) {
        let message = "the task is still running; ask tasks/get, then tasks/result again";
        let error = ErrorData::new(ErrorCode(errors::ERROR_NO_ANSWER), message, None);
        return Err(error);
    }
    let url = asked.status_url(&call.id);
    let mut result = outcome::of(&server.desk, &call, &url).await?;
    result.result_type = None;
    Ok(related(json!(result), &call))
}

/// What has ended cannot be cancelled in this revision. What runs is told to stop, and counts as
/// cancelled from here on, whatever it still does.
async fn cancel(server: &Server, asked: &Asked, stored: Stored) -> Result<Value, ErrorData> {
    if stored.call.state.is_terminal() {
        let message = format!("the task is already {}", stored.call.state.as_str());
        return Err(ErrorData::invalid_params(message, None));
    }
    let cancelled = server.desk.cancel(&asked.principal, &stored.call.id).await;
    Ok(task(
        &cancelled.map_err(|error| errors::calls(&error))?.call,
    ))
}

async fn list(server: &Server, asked: &Asked, params: Value) -> Result<Value, ErrorData> {
    let params: Option<ListParams> = read(params)?;
    let filter = CallFilter {
        limit: PAGE,
        after: params.and_then(|params| params.cursor),
        ..CallFilter::default()
    };
    let listed = server
        .desk
        .calls()
        .list(&asked.principal.tenant, filter)
        .await;
    let (calls, next) = listed.map_err(|error| errors::calls(&error))?;
    let tasks: Vec<Value> = calls.iter().map(|stored| task(&stored.call)).collect();
    let mut page = json!({ "tasks": tasks });
    if let Some(next) = next {
        page["nextCursor"] = json!(next);
    }
    Ok(page)
}

async fn find(server: &Server, cx: &Cx, params: Value) -> Result<Stored, ErrorData> {
    let params: TaskParams = read(params)?;
    tasks::find(server, cx, &params.task_id).await
}

/// The flat task of 2025-11-25. A cancelled one stays so, even if it still ran to its end.
fn task(call: &Call) -> Value {
    let status = if call.cancel_requested {
        McpStatus::Cancelled
    } else {
        call.state.into()
    };
    let mut task = json!({
        "taskId": call.id,
        "status": status,
        "createdAt": call.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "lastUpdatedAt": call.updated_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "ttl": outcome::ttl_ms(call),
        "pollInterval": outcome::poll_after_ms(call),
    });
    if let Some(message) = outcome::message(call) {
        task["statusMessage"] = json!(message);
    }
    task
}

fn related(mut result: Value, call: &Call) -> Value {
    result["_meta"][RELATED] = json!({ "taskId": call.id });
    result
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, ErrorData> {
    serde_json::from_value(params).map_err(|error| {
        ErrorData::invalid_params(format!("the parameters are not valid: {error}"), None)
    })
}

/// rmcp takes a known method with parameters of another shape for an unknown method. Some methods
/// are known to one era only.
fn unreadable(method: &str, modern: bool) -> ErrorData {
    const BOTH: [&str; 8] = [
        "completion/complete",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "tools/call",
        "tools/list",
    ];
    const OLD: [&str; 4] = [
        "initialize",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
    ];
    const NEW: [&str; 4] = [
        "subscriptions/listen",
        "tasks/cancel",
        "tasks/get",
        "tasks/update",
    ];
    let era: &[&str] = if modern { &NEW } else { &OLD };
    if BOTH.contains(&method) || era.contains(&method) {
        let message = format!("the parameters of {method} are not valid");
        return ErrorData::invalid_params(message, None);
    }
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method.to_owned(), None)
}
