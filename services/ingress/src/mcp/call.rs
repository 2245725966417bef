//! `tools/call`: place, wait a bounded time, answer.

use std::collections::BTreeMap;

use rmcp::{
    RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode,
        ErrorData, InputRequest, InputRequiredResult, InputResponses, TASKS_EXTENSION_ID,
    },
    service::RequestContext,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use waybill_calls::{Call, CallState, Stored};
use waybill_toolkit::TaskSupport;

use super::{
    asked::Asked,
    errors, outcome, own,
    reports::{self, Reporter},
    server::Server,
    ticket,
};
use crate::desk::{PlaceRequest, Refusal};

/// A call that was placed, or the tool error that says why it was not.
pub(super) enum Placed {
    Call(Box<Stored>),
    Refused(CallToolResult),
}

type Cx = RequestContext<RoleServer>;

pub(super) async fn call(
    server: &Server,
    params: CallToolRequestParams,
    cx: &Cx,
) -> Result<CallToolResponse, ErrorData> {
    let asked = Asked::read(cx, &server.settings)?;
    let arguments = params.arguments.unwrap_or_default();
    if let Some(tool) = own::named(&params.name) {
        return own::run(server, &asked, tool, arguments)
            .await
            .map(Into::into);
    }
    let answers = answers(params.input_responses)?;
    let tool = params.name;
    let Some(sealed) = params.request_state else {
        let placed = place(server, &asked, &tool, Value::Object(arguments)).await?;
        return match placed {
            Placed::Call(mut stored) => {
                let (reporter, ended) = (Reporter::new(cx, 0), stored.call.state.is_terminal());
                match wait(server, &asked, cx, reporter, &mut stored, answers).await {
                    // It was accepted. A client that reads an error calls again.
                    Err(error) if errors::is_ours(&error) && !ended => {
                        Ok(handle(server, &asked, &stored.call))
                    }
                    answer => answer,
                }
            }
            Placed::Refused(result) => Ok(result.into()),
        };
    };
    let (id, round) = server.tickets.open(&asked.principal, &tool, &sealed)?;
    let found = server
        .desk
        .answer(&asked.principal, &id, Some(round), answers)
        .await;
    // A call that was forgotten makes its ticket as good as expired.
    let mut stored = found.map_err(|error| match error {
        waybill_calls::Error::Unknown => ticket::invalid(),
        other => errors::calls(&other),
    })?;
    // The request that was answered with the questions has told the rest.
    let reporter = Reporter::new(cx, reports::newest(&stored.call));
    wait(server, &asked, cx, reporter, &mut stored, BTreeMap::new()).await
}

/// Checks what the door can check, and commits the call.
pub(super) async fn place(
    server: &Server,
    asked: &Asked,
    tool: &str,
    arguments: Value,
) -> Result<Placed, ErrorData> {
    if support(server, tool) == TaskSupport::Required && !asked.tasks {
        return Err(needs_tasks(asked, tool));
    }
    let request = PlaceRequest {
        tool: tool.to_owned(),
        arguments,
        idempotency_key: asked.idempotency_key.clone(),
        deadline: None,
        traceparent: asked.traceparent.clone(),
        client_capabilities: asked.capabilities.clone(),
    };
    match server.desk.place(&asked.principal, request).await {
        Ok(submitted) => Ok(Placed::Call(Box::new(submitted.stored))),
        // The model can mend these: an error of the tool reaches it, one of the protocol does not.
        Err(
            refusal
            @ (Refusal::Invalid { .. } | Refusal::TooDeep { .. } | Refusal::TooLarge { .. }),
        ) => Ok(Placed::Refused(error(refusal.to_string()))),
        Err(refusal) => Err(errors::refusal(&refusal, asked)),
    }
}

/// Waits until the call has ended, asks something, or the client's time is up. `stored` is the
/// newest that was read.
async fn wait(
    server: &Server,
    asked: &Asked,
    cx: &Cx,
    mut reporter: Reporter<'_>,
    stored: &mut Stored,
    mut answers: BTreeMap<String, Value>,
) -> Result<CallToolResponse, ErrorData> {
    let support = support(server, &stored.call.tool);
    let until = Instant::now() + asked.patience(support, &server.settings);
    loop {
        reporter.report(&stored.call).await;
        if stored.call.state.is_terminal() {
            let url = asked.status_url(&stored.call.id);
            let result = outcome::of(&server.desk, &stored.call, &url).await?;
            return Ok(outcome::signed(result, &stored.call).into());
        }
        if stored.call.state == CallState::WaitingInput {
            // Answers that came with the first request are for the first questions. When the
            // request is repeated, a call that has answers already is past them.
            let first = stored.call.input_responses.is_empty();
            let known = |key: &String| answers.contains_key(key);
            if !first || !stored.call.input_requests.keys().any(known) {
                return ask(server, asked, stored).await;
            }
            let (principal, id) = (&asked.principal, &stored.call.id);
            let round = stored.call.attempt;
            let answered =
                server
                    .desk
                    .answer(principal, id, Some(round), std::mem::take(&mut answers));
            *stored = answered.await.map_err(|error| errors::calls(&error))?;
            continue;
        }
        let next = tokio::select! {
            next = server.desk.next(stored, until) => next,
            // The client has left; the call goes on.
            () = cx.ct.cancelled() => Ok(None),
        };
        match next.map_err(|error| errors::calls(&error))? {
            Some(newer) => *stored = newer,
            None => return Ok(handle(server, asked, &stored.call)),
        }
    }
}

/// Where the answer of a call that goes on will be: a task, or a result that says it.
fn handle(server: &Server, asked: &Asked, call: &Call) -> CallToolResponse {
    if asked.takes_task(support(server, &call.tool)) {
        return outcome::created(call).into();
    }
    let tool = server.desk.registry().get(&call.tool);
    let declares_output = tool.is_some_and(|tool| tool.spec().output_schema.is_some());
    outcome::pending(call, &asked.status_url(&call.id), declares_output).into()
}

/// Passes the call's questions to a client that can be asked. A call whose client cannot is ended:
/// nobody would ever answer.
async fn ask(
    server: &Server,
    asked: &Asked,
    stored: &Stored,
) -> Result<CallToolResponse, ErrorData> {
    let questions = outcome::questions(&stored.call)?;
    let lacks = |question: &InputRequest| !can(asked, question);
    let refused = if !asked.modern {
        Ok(cannot_ask().into())
    } else if let Some(question) = questions.values().find(|question| lacks(question)) {
        Err(errors::missing(&json!({ capability(question): {} })))
    } else {
        let sealed = server.tickets.seal(&asked.principal, stored)?;
        return Ok(InputRequiredResult::new(Some(questions), Some(sealed)).into());
    };
    let cancelled = server.desk.cancel(&asked.principal, &stored.call.id).await;
    cancelled.map_err(|error| errors::calls(&error))?;
    refused
}

/// For a client of an era in which the server would have to call back.
pub(super) fn cannot_ask() -> CallToolResult {
    error(
        "The tool asks its user a question, and this client cannot be asked: that takes MCP \
         2026-07-28. The call was cancelled.",
    )
}

fn can(asked: &Asked, question: &InputRequest) -> bool {
    let declared = asked.capabilities.as_ref();
    declared.is_some_and(|declared| declared.get(capability(question)).is_some())
}

/// The client capability that a question takes.
fn capability(question: &InputRequest) -> &'static str {
    match question {
        InputRequest::CreateMessage(_) => "sampling",
        InputRequest::ListRoots(_) => "roots",
        _ => "elicitation",
    }
}

/// Each answer is a result object; what is in it is the tool's to judge.
pub(super) fn answers(
    responses: Option<InputResponses>,
) -> Result<BTreeMap<String, Value>, ErrorData> {
    let responses = responses.unwrap_or_default();
    match responses.iter().find(|(_, response)| !response.is_object()) {
        Some((key, _)) => {
            let message = format!("inputResponses.{key} must be an object");
            Err(ErrorData::invalid_params(message, None))
        }
        None => Ok(responses),
    }
}

fn support(server: &Server, tool: &str) -> TaskSupport {
    let tool = server.desk.registry().get(tool);
    tool.map_or_else(TaskSupport::default, |tool| tool.spec().task_support)
}

/// Each era has its own error for a tool that only answers with a task.
fn needs_tasks(asked: &Asked, tool: &str) -> ErrorData {
    if asked.modern {
        return errors::missing(&json!({ "extensions": { TASKS_EXTENSION_ID: {} } }));
    }
    let message = format!("{tool} can only be called as a task");
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None)
}

pub(super) fn error(text: impl Into<String>) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(text)])
}
