//! What a client is told about a call: an answer, an error, a task, or where to ask again.

use chrono::SecondsFormat;
use rmcp::model::{
    CallToolResult, ContentBlock, CreateTaskResult, DetailedTask, ErrorData, InputRequests,
    JsonObject, MetaObject, ResultType, Task, TaskPayload, TaskStatus,
};
use serde_json::{Value, json};
use waybill_calls::{Call, McpStatus, Outcome};

use super::errors;
use crate::desk::Desk;

/// `_meta` key of a result: the call that it is of.
const CALL_META: &str = "dev.waybill/callId";
/// `_meta` key of a pending result whose tool declares another structured content.
const PENDING_META: &str = "dev.waybill/pending";

/// The tool's answer, or the JSON-RPC error that the call ended with.
pub(super) async fn of(
    desk: &Desk,
    call: &Call,
    status_url: &str,
) -> Result<CallToolResult, ErrorData> {
    match &call.outcome {
        Some(Outcome::Error(problem)) => Err(errors::problem(problem, call, status_url)),
        Some(Outcome::Result(_)) => {
            let result = desk.result(call).await;
            let result = result.map_err(|error| errors::calls(&error))?;
            let mut result = result.ok_or_else(|| {
                ErrorData::invalid_params("the result of this call has been forgotten", None)
            })?;
            result.result_type = Some(ResultType::COMPLETE);
            Ok(result)
        }
        None => Err(ErrorData::internal_error("the call has not ended", None)),
    }
}

/// Says on an inline result which call it is of.
pub(super) fn signed(mut result: CallToolResult, call: &Call) -> CallToolResult {
    let meta = result.meta.get_or_insert_with(MetaObject::new);
    meta.insert(CALL_META.to_owned(), json!(call.id));
    result
}

/// For a client without tasks whose wait ran out: a result that says where the answer will be.
///
/// A tool that declares an output schema promises its own structured content, and clients reject
/// any other. Such a result is marked `isError`, which exempts it, and carries the handle in
/// `_meta`.
pub(super) fn pending(call: &Call, status_url: &str, declares_output: bool) -> CallToolResult {
    let poll_after_ms = poll_after_ms(call);
    let handle = json!({
        "callId": call.id,
        "status": McpStatus::from(call.state),
        "statusUrl": status_url,
        "pollAfterMs": poll_after_ms,
    });
    let text = format!(
        "{} is still running and will go on. Call id: {}. Ask again in {} s: use the tool \
         call_result with this callId, or GET {status_url}",
        call.tool,
        call.id,
        poll_after_ms.div_ceil(1000),
    );
    let content = vec![ContentBlock::text(text)];
    if declares_output {
        let mut meta = MetaObject::new();
        meta.insert(PENDING_META.to_owned(), handle);
        return CallToolResult::error(content).with_meta(Some(meta));
    }
    let mut result = CallToolResult::success(content);
    result.structured_content = Some(handle);
    signed(result, call)
}

pub(super) fn task(call: &Call) -> Task {
    let created = call.created_at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let updated = call.updated_at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let task = Task::new(
        call.id.as_str(),
        status(call.state.into()),
        created,
        updated,
    )
    .with_ttl_ms(ttl_ms(call))
    .with_poll_interval_ms(poll_after_ms(call));
    match message(call) {
        Some(message) => task.with_status_message(message),
        None => task,
    }
}

/// `resultType: "task"`.
pub(super) fn created(call: &Call) -> CreateTaskResult {
    CreateTaskResult::new(task(call))
}

/// The task with what its status carries.
pub(super) async fn detailed(
    desk: &Desk,
    call: &Call,
    status_url: &str,
) -> Result<DetailedTask, ErrorData> {
    let payload = match McpStatus::from(call.state) {
        McpStatus::Working => TaskPayload::Working,
        McpStatus::Cancelled => TaskPayload::Cancelled,
        McpStatus::InputRequired => TaskPayload::InputRequired {
            input_requests: questions(call)?,
        },
        McpStatus::Completed | McpStatus::Failed => match of(desk, call, status_url).await {
            Ok(result) => TaskPayload::Completed {
                result: object(json!(result)),
            },
            // The task has not: its result cannot be read now.
            Err(error) if errors::is_ours(&error) => return Err(error),
            Err(error) => TaskPayload::Failed {
                error: object(errors::object(&error)),
            },
        },
    };
    Ok(DetailedTask::new(task(call), payload))
}

/// What the tool asks its client.
pub(super) fn questions(call: &Call) -> Result<InputRequests, ErrorData> {
    call.input_requests
        .iter()
        .map(|(key, request)| Ok((key.clone(), serde_json::from_value(request.clone())?)))
        .collect::<Result<_, serde_json::Error>>()
        .map_err(|error| errors::internal(&error))
}

/// Counted from the creation, as MCP has it.
pub(super) fn ttl_ms(call: &Call) -> u64 {
    let kept = call.expires_at - call.created_at;
    u64::try_from(kept.num_milliseconds()).unwrap_or(1).max(1)
}

/// Soon for a young call, rarely for an old one: a tenth of its age, 0.5 to 10 s.
pub(super) fn poll_after_ms(call: &Call) -> u64 {
    let age = call.updated_at - call.created_at;
    let tenth = u64::try_from(age.num_milliseconds()).unwrap_or(0) / 10;
    tenth.clamp(500, 10_000)
}

pub(super) fn status(status: McpStatus) -> TaskStatus {
    match status {
        McpStatus::Working => TaskStatus::Working,
        McpStatus::InputRequired => TaskStatus::InputRequired,
        McpStatus::Completed => TaskStatus::Completed,
        McpStatus::Failed => TaskStatus::Failed,
        McpStatus::Cancelled => TaskStatus::Cancelled,
    }
}

/// The tool's own words where it has some; otherwise what the call waits for.
pub(super) fn message(call: &Call) -> Option<String> {
    use waybill_calls::CallState as S;
    let said = || call.progress.as_ref().and_then(|p| p.message.clone());
    let waits = |text: &str| Some(text.to_owned());
    match (call.state, &call.outcome) {
        (_, Some(Outcome::Error(problem))) => Some(problem.message.clone()),
        (_, Some(Outcome::Result(_))) => None,
        (S::WaitingInput, _) => waits("waits for the client's answer"),
        (S::WaitingCredential, _) => waits("waits for a credential"),
        (S::WaitingCapacity, _) => waits("waits for the upstream to recover"),
        (_, None) if call.cancel_requested => waits("is being cancelled"),
        (_, None) => said(),
    }
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}
