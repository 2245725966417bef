//! `/admin/queues` and `/admin/dlq`.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use waybill_identity::{Audit, Note, Principal};
use waybill_messaging::{DeadLetter, DeadLetterId, Queue, Subscription};

use crate::problem::Problem;

const MAX_LIST: usize = 1_000;

#[derive(Clone)]
struct Queues {
    queue: Arc<dyn Queue>,
    subscriptions: Arc<[Subscription]>,
    audit: Audit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Option<usize>,
}

pub(super) fn router(
    queue: Arc<dyn Queue>,
    subscriptions: Arc<[Subscription]>,
    audit: Audit,
) -> Router {
    let queues = Queues {
        queue,
        subscriptions,
        audit,
    };
    Router::new()
        .route("/queues", get(depths))
        .route("/dlq", get(all))
        .route("/dlq/{subscription}", get(list))
        .route("/dlq/{subscription}/redrive", post(redrive_all))
        .route("/dlq/{subscription}/{id}", get(show))
        .route("/dlq/{subscription}/{id}/redrive", post(redrive))
        .with_state(queues)
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
    query: Result<Query<Limit>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(Limit { limit }) = query?;
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
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<Limit>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(name) = name?;
    let Query(Limit { limit }) = query?;
    let limit = limit.unwrap_or(100).min(MAX_LIST);
    let dead = queues.queue.dead_letters(&name, limit).await?;
    let letters: Vec<_> = dead.iter().map(|letter| document(&name, letter)).collect();
    Ok(Json(json!({ "deadLetters": letters })))
}

async fn show(
    State(queues): State<Queues>,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path((name, id)) = place?;
    Ok(Json(document(&name, &queues.letter(&name, &id).await?)))
}

/// Written down before it happens: what is done is never missing from the trail.
async fn redrive(
    State(queues): State<Queues>,
    Extension(principal): Extension<Principal>,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path((name, id)) = place?;
    let letter = queues.letter(&name, &id).await?;
    let subject = letter
        .event
        .as_ref()
        .map_or(id.as_str(), |event| event.subject.as_str());
    let note = Note {
        action: "dead-letter.redriven",
        actor: &principal.key_id,
        outcome: "allowed",
        subject,
        detail: Some(format!("{name} {id}")),
    };
    queues.audit.record(note).await?;
    queues
        .queue
        .redrive(&name, &DeadLetterId(id.clone()))
        .await?;
    Ok(Json(json!({ "redriven": id })))
}

/// All of a subscription's. What SQS moves is still on its way when this answers.
async fn redrive_all(
    State(queues): State<Queues>,
    Extension(principal): Extension<Principal>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(name) = name?;
    let letters = queues.queue.depth(&name).await?.dead;
    let note = Note {
        action: "dead-letters.redriven",
        actor: &principal.key_id,
        outcome: "allowed",
        subject: &name,
        detail: Some(format!("all {letters}")),
    };
    queues.audit.record(note).await?;
    let redriven = queues.queue.redrive_all(&name).await?;
    Ok(Json(json!({ "redriven": redriven })))
}

impl Queues {
    /// One of the newest [`MAX_LIST`].
    async fn letter(&self, name: &str, id: &str) -> Result<DeadLetter, Problem> {
        let dead = self.queue.dead_letters(name, MAX_LIST).await?;
        let letter = dead.into_iter().find(|letter| letter.id.0 == id);
        letter.ok_or_else(|| Problem::not_found(format!("there is no dead letter {id} of {name}")))
    }
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
