//! Tools of the tasks scenarios.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use tokio::time::sleep;
use waybill_toolkit::{
    CallToolResult, ContentBlock, InputRequests, JsonObject, TaskSupport, Tool, ToolContext,
    ToolError, ToolResult, ToolSpec,
};

use crate::{
    fixture::{answers, argument, spec, spec_with, text, works},
    inputs::{answer, ask, form, given},
};

/// How long a task fixture takes: longer than a gateway waits before it answers with a task.
pub const WORK: Duration = Duration::from_secs(1);
/// `slow_compute` never runs longer than this; the suite asks for 60 s and cancels.
const LONGEST: Duration = Duration::from_mins(10);
/// Reports of progress in one `slow_compute`.
const STEPS: u32 = 10;

pub(crate) fn tools() -> Vec<Arc<dyn Tool>> {
    let named = json!({
        "type": "object",
        "properties": { "name": { "type": "string" } },
        "required": ["name"],
    });
    let timed = json!({
        "type": "object",
        "properties": {
            "seconds": { "type": "number", "minimum": 0, "maximum": LONGEST.as_secs() },
            "label": { "type": "string" },
        },
    });
    let file = json!({ "type": "object", "properties": { "filename": { "type": "string" } } });
    let slow = spec_with("slow_compute", "Waits, then answers", timed);
    let slow = ToolSpec {
        timeout: LONGEST + WORK,
        ..slow
    };
    let greeting = spec_with("greet", "Greets, never as a task", named);
    let greeting = ToolSpec {
        task_support: TaskSupport::Forbidden,
        ..greeting
    };
    let required = |spec: ToolSpec| ToolSpec {
        task_support: TaskSupport::Required,
        ..spec
    };
    vec![
        answers(greeting, |arguments, _| {
            text(format!(
                "Hello, {}!",
                argument(arguments, "name").unwrap_or("nobody")
            ))
        }),
        works(slow, slow_compute),
        works(
            required(spec("failing_job", "Fails after a second")),
            failing_job,
        ),
        works(
            spec("protocol_error_job", "Ends with a JSON-RPC error"),
            protocol_error_job,
        ),
        works(
            required(spec_with(
                "confirm_delete",
                "Asks before it pretends to delete",
                file,
            )),
            confirm_delete,
        ),
        works(
            required(spec("multi_input", "Asks two questions at once")),
            multi_input,
        ),
        works(
            required(spec(
                "test_tool_with_task",
                "Asks first, then takes a second",
            )),
            composed,
        ),
    ]
}

/// Steps, so that a client sees progress and a crash costs a tenth of the work.
fn slow_compute(arguments: JsonObject, cx: &ToolContext) -> BoxFuture<'_, ToolResult> {
    async move {
        let seconds = arguments
            .get("seconds")
            .and_then(Value::as_f64)
            .unwrap_or(1.0);
        let label = argument(&arguments, "label").unwrap_or("compute");
        let whole = Duration::try_from_secs_f64(seconds)
            .map_err(|error| ToolError::Invalid(format!("seconds: {error}")))?
            .min(LONGEST);
        let steps = if whole.is_zero() { 0 } else { STEPS };
        for step in cx.last_checkpoint().unwrap_or(0)..steps {
            pause(cx, whole / STEPS).await?;
            cx.progress(
                f64::from(step + 1),
                Some(f64::from(STEPS)),
                Some(label.to_owned()),
            );
            if !cx.checkpoint(&(step + 1)).await {
                return Err(ToolError::Cancelled);
            }
        }
        text(format!("{label}: computed for {seconds} s"))
    }
    .boxed()
}

fn failing_job(_: JsonObject, cx: &ToolContext) -> BoxFuture<'_, ToolResult> {
    async move {
        pause(cx, WORK).await?;
        Ok(CallToolResult::error(vec![ContentBlock::text(
            "This job always fails",
        )]))
    }
    .boxed()
}

fn protocol_error_job(_: JsonObject, cx: &ToolContext) -> BoxFuture<'_, ToolResult> {
    async move {
        pause(cx, WORK).await?;
        let message = "This job ends with a protocol error".to_owned();
        Err(ToolError::Protocol {
            code: -32603,
            message,
            data: None,
        })
    }
    .boxed()
}

fn confirm_delete(arguments: JsonObject, cx: &ToolContext) -> BoxFuture<'_, ToolResult> {
    async move {
        let file = argument(&arguments, "filename").unwrap_or("file.txt");
        let Some(answer) = answer(cx, "confirm") else {
            pause(cx, WORK).await?;
            let question = format!("Delete {file}?");
            let schema = json!({ "confirm": { "type": "boolean" } });
            return Err(ask([("confirm", form(&question, &schema, &["confirm"]))]));
        };
        let confirmed = given(answer, "confirm")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        text(if confirmed {
            format!("Deleted {file}")
        } else {
            format!("Kept {file}")
        })
    }
    .boxed()
}

fn multi_input(_: JsonObject, cx: &ToolContext) -> BoxFuture<'_, ToolResult> {
    async move {
        if cx.inputs().is_empty() {
            pause(cx, WORK).await?;
        }
        let schema = json!({ "name": { "type": "string" } });
        let missing: InputRequests = ["first", "second"]
            .into_iter()
            .filter(|key| answer(cx, key).is_none())
            .map(|key| {
                (
                    key.to_owned(),
                    form(&format!("The {key} name?"), &schema, &["name"]),
                )
            })
            .collect();
        if missing.is_empty() {
            text("Both answers are here")
        } else {
            Err(ToolError::InputRequired(missing))
        }
    }
    .boxed()
}

fn composed(_: JsonObject, cx: &ToolContext) -> BoxFuture<'_, ToolResult> {
    async move {
        let Some(answer) = answer(cx, "user_name") else {
            let schema = json!({ "name": { "type": "string" } });
            return Err(ask([(
                "user_name",
                form("What is your name?", &schema, &["name"]),
            )]));
        };
        pause(cx, WORK).await?;
        let name = given(answer, "name")
            .and_then(Value::as_str)
            .unwrap_or("nobody");
        text(format!("Hello, {name}, after a while"))
    }
    .boxed()
}

/// Waits, unless the call is cancelled before.
async fn pause(cx: &ToolContext, time: Duration) -> Result<(), ToolError> {
    tokio::select! {
        () = cx.cancelled().cancelled() => Err(ToolError::Cancelled),
        () = sleep(time) => Ok(()),
    }
}
