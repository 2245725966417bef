//! `tasks/get`, `tasks/update` and `tasks/cancel` of the tasks extension of 2026-07-28.

use rmcp::{
    RoleServer,
    model::{CancelTaskParams, ErrorData, GetTaskParams, GetTaskResult, UpdateTaskParams},
    service::RequestContext,
};
use waybill_calls::Stored;

use super::{
    asked::{Asked, principal},
    call, errors, outcome,
    server::Server,
};

type Cx = RequestContext<RoleServer>;

pub(super) async fn get(
    server: &Server,
    params: &GetTaskParams,
    cx: &Cx,
) -> Result<GetTaskResult, ErrorData> {
    let asked = Asked::read(cx, &server.settings)?;
    let stored = find(server, cx, &params.task_id).await?;
    let url = asked.status_url(&stored.call.id);
    let task = outcome::detailed(&server.desk, &stored.call, &url).await?;
    Ok(GetTaskResult::new(task))
}

/// Answers that nobody asked for are ignored; so are those to a task that has ended.
pub(super) async fn update(
    server: &Server,
    params: UpdateTaskParams,
    cx: &Cx,
) -> Result<(), ErrorData> {
    let answers = call::answers(Some(params.input_responses))?;
    let stored = find(server, cx, &params.task_id).await?;
    let answered = server
        .desk
        .answer(principal(cx)?, &stored.call.id, None, answers);
    answered.await.map_err(|error| errors::calls(&error))?;
    Ok(())
}

/// Idempotent.
pub(super) async fn cancel(
    server: &Server,
    params: &CancelTaskParams,
    cx: &Cx,
) -> Result<(), ErrorData> {
    let stored = find(server, cx, &params.task_id).await?;
    let cancelled = server.desk.cancel(principal(cx)?, &stored.call.id).await;
    cancelled.map_err(|error| errors::calls(&error))?;
    Ok(())
}

pub(super) async fn find(server: &Server, cx: &Cx, id: &str) -> Result<Stored, ErrorData> {
    let found = server.desk.find(principal(cx)?, id).await;
    found.map_err(|error| errors::calls(&error))
}
