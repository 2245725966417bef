//! `/admin/queues` and `/admin/dlq`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use waybill_messaging::{DeadLetter, DeadLetterId, Queue, Subscription};

use crate::problem::Problem;

const MAX_LIST: usize = 1_000;

#[derive(Clone)]
struct Queues {
    queue: Arc<dyn Queue>,
    subscriptions: Arc<[Subscription]>,
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

pub(super) fn router(queue: Arc<dyn Queue>, subscriptions: Arc<[Subscription]>) -> Router {
    Router::new()
        .route("/queues", get(depths))
        .route("/dlq", get(all))
        .route("/dlq/{subscription}", get(list))
        .route("/dlq/{subscription}/{id}", get(show))
        .route("/dlq/{subscription}/{id}/redrive", post(redrive))
        .with_state(Queues {
            queue,
            subscriptions,
        })
}

async fn depths(State(queues): State<Queues>) -> Result<Json<Value>, Problem> {
    let mut depths = Vec::new();
    for subscription in &*queues.subscriptions {
        let depth = queues.queue.depth(subscription.name).await?;
        depths.push(json!({ "subscription": subscription.name, "depth": depth }));
    }
    Ok(Json(json!({ "queues": depths })))
}

async fn all(
    State(queues): State<Queues>,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<Value>, Problem> {
    let mut letters = Vec::new();
    for subscription in &*queues.subscriptions {
        let limit = limit.unwrap_or(100).min(MAX_LIST);
        let dead = queues.queue.dead_letters(subscription.name, limit).await?;
        letters.extend(
            dead.iter()
                .map(|letter| document(subscription.name, letter)),
        );
    }
    Ok(Json(json!({ "deadLetters": letters })))
}

async fn list(
    State(queues): State<Queues>,
    Path(name): Path<String>,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<Value>, Problem> {
    let limit = limit.unwrap_or(100).min(MAX_LIST);
    let dead = queues.queue.dead_letters(&name, limit).await?;
    let letters: Vec<_> = dead.iter().map(|letter| document(&name, letter)).collect();
    Ok(Json(json!({ "deadLetters": letters })))
}

async fn show(
    State(queues): State<Queues>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let dead = queues.queue.dead_letters(&name, MAX_LIST).await?;
    let letter = dead.iter().find(|letter| letter.id.0 == id);
    let letter = letter.ok_or_else(|| {
        let message = format!("there is no dead letter {id} of {name}");
        Problem::new(StatusCode::NOT_FOUND, "not_found", message)
    })?;
    Ok(Json(document(&name, letter)))
}

async fn redrive(
    State(queues): State<Queues>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    queues
        .queue
        .redrive(&name, &DeadLetterId(id.clone()))
        .await?;
    tracing::info!(subscription = name, dead_letter = id, "redriven");
    Ok(Json(json!({ "redriven": id })))
}

fn document(subscription: &str, letter: &DeadLetter) -> Value {
    let event = letter.event.as_ref();
    json!({
        "subscription": subscription,
        "id": letter.id,
        "type": event.map(|event| event.kind.as_str()),
        "subject": event.map(|event| &event.subject),
        "tenant": event.map(|event| &event.tenant),
        "reason": letter.reason,
        "receives": letter.receives,
        "diedAt": letter.died_at,
        "body": letter.body,
    })
}
