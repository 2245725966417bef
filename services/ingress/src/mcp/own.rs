//! The tools of the door itself: they let a model without tasks follow its calls. They are answered
//! here and never queued.

use std::{sync::Arc, time::Duration};

use rmcp::model::{CallToolResult, ContentBlock, ErrorData, JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Value, json};
use waybill_calls::{Call, CallState, Error, Outcome, Status};

use super::{asked::Asked, call::error, errors, outcome, server::Server};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Status,
    Result,
    Cancel,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    call_id: String,
    #[serde(default)]
    wait_seconds: u64,
}

impl Own {
    pub(super) const ALL: [Self; 3] = [Self::Cancel, Self::Result, Self::Status];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Status => "call_status",
            Self::Result => "call_result",
            Self::Cancel => "call_cancel",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Status => {
                "Tells how far an earlier call is that was answered with a callId: its status, \
                 progress, and what it waits for."
            }
            Self::Result => {
                "Gives the result of an earlier call that was answered with a callId. Waits for it \
                 up to waitSeconds when it is still running."
            }
            Self::Cancel => {
                "Cancels an earlier call that was answered with a callId. One that has ended stays \
                 as it is."
            }
        }
    }

    pub(super) fn tool(self) -> Tool {
        let mut properties = json!({
            "callId": { "type": "string", "description": "The callId of the earlier answer." },
        });
        if self != Self::Cancel {
            properties["waitSeconds"] = json!({
                "type": "integer",
                "minimum": 0,
                "maximum": 28,
                "description": "How long to wait for a change. 0 by default.",
            });
        }
        let mut schema = JsonObject::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), properties);
        schema.insert("required".to_owned(), json!(["callId"]));
        let annotations = ToolAnnotations::new()
            .read_only(self != Self::Cancel)
            .destructive(self == Self::Cancel)
            .idempotent(true)
            .open_world(false);
        Tool::new(self.name(), self.description(), Arc::new(schema)).with_annotations(annotations)
    }
}

pub(super) fn named(name: &str) -> Option<Own> {
    Own::ALL.into_iter().find(|own| own.name() == name)
}

pub(super) async fn run(
    server: &Server,
    asked: &Asked,
    tool: Own,
    arguments: JsonObject,
) -> Result<CallToolResult, ErrorData> {
    let arguments: Arguments = match serde_json::from_value(Value::Object(arguments)) {
        Ok(arguments) => arguments,
        Err(fault) => {
            let name = tool.name();
            return Ok(error(format!(
                "the arguments of {name} are not valid: {fault}"
            )));
        }
    };
    let wait = Duration::from_secs(arguments.wait_seconds).min(server.settings.max_wait);
    let call = match follow(server, asked, tool, &arguments.call_id, wait).await {
        Ok(call) => call,
        Err(Error::Unknown) => {
            return Ok(error(
                "There is no call with this callId, or it has expired.",
            ));
        }
        Err(failure) => return Err(errors::calls(&failure)),
    };
    match tool {
        Own::Result => result(server, asked, &call).await,
        Own::Status | Own::Cancel => Ok(status(&call)),
    }
}

async fn follow(
    server: &Server,
    asked: &Asked,
    tool: Own,
    id: &str,
    wait: Duration,
) -> Result<Call, Error> {
    let (desk, principal) = (&server.desk, &asked.principal);
    let stored = desk.find(principal, id).await?;
    let stored = match tool {
        Own::Cancel => desk.cancel(principal, &stored.call.id).await?,
        Own::Status | Own::Result => desk.outcome(stored, wait).await?,
    };
    Ok(stored.call)
}

/// The answer as the tool gave it; an error that the model can read where there is none.
async fn result(server: &Server, asked: &Asked, call: &Call) -> Result<CallToolResult, ErrorData> {
    let url = asked.status_url(&call.id);
    match (&call.outcome, call.state) {
        (Some(Outcome::Result(_)), _) => outcome::of(&server.desk, call, &url).await,
        (Some(Outcome::Error(problem)), _) => {
            let (tool, code, message) = (&call.tool, &problem.code, &problem.message);
            Ok(error(format!("{tool} gave no result ({code}): {message}")))
        }
        (None, CallState::WaitingInput) => Ok(status(call)),
        (None, _) => Ok(outcome::pending(call, &url, false)),
    }
}

fn status(call: &Call) -> CallToolResult {
    let status = json!(Status::new(call, None));
    let mut result = CallToolResult::success(vec![ContentBlock::text(status.to_string())]);
    result.structured_content = Some(status);
    result
}
