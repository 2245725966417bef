//! `/admin/secrets`. A value goes in and never comes out.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{
        Path, State,
        rejection::{JsonRejection, PathRejection},
    },
    routing::{get, put},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use waybill_identity::{Audit, Note, Principal};
use waybill_messaging::{ListedSecret, NoSecret, SecretName, SecretValue, Secrets};

use crate::problem::Problem;

#[derive(Clone)]
struct Kept {
    secrets: Arc<dyn Secrets>,
    audit: Audit,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetSecret {
    /// 1 to 65,536 bytes of UTF-8.
    value: String,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct SecretList {
    secrets: Vec<Listed>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Secret")]
struct Listed {
    name: String,
    changed_at: DateTime<Utc>,
}

pub(super) fn router(secrets: Arc<dyn Secrets>, audit: Audit) -> Router {
    Router::new()
        .route("/secrets", get(list))
        // A name may have several segments.
        .route("/secrets/{*name}", put(set).delete(remove))
        .with_state(Kept { secrets, audit })
}

async fn list(State(kept): State<Kept>) -> Result<Json<SecretList>, Problem> {
    let listed = kept.secrets.list().await?;
    let secrets = listed.into_iter().map(Listed::from).collect();
    Ok(Json(SecretList { secrets }))
}

async fn set(
    State(kept): State<Kept>,
    Extension(principal): Extension<Principal>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Json<SetSecret>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let (Path(name), Json(body)) = (name?, body?);
    let name = SecretName::parse(&name)?;
    let value = SecretValue::new(body.value)?;
    kept.note("secret.set", &principal, &name).await?;
    kept.secrets.put(&name, &value).await?;
    Ok(Json(json!({ "set": name.as_str() })))
}

async fn remove(
    State(kept): State<Kept>,
    Extension(principal): Extension<Principal>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(name) = name?;
    let name = SecretName::parse(&name)?;
    let gone = || Problem::not_found(format!("there is no secret {name}"));
    // One that cannot be read can be removed.
    if let Ok(None) = kept.secrets.get(&name).await {
        return Err(gone());
    }
    kept.note("secret.removed", &principal, &name).await?;
    if kept.secrets.remove(&name).await? {
        Ok(Json(json!({ "removed": name.as_str() })))
    } else {
        Err(gone())
    }
}

impl Kept {
    /// Written down before it happens: what is done is never missing from the trail.
    async fn note(
        &self,
        action: &str,
        principal: &Principal,
        name: &SecretName,
    ) -> Result<(), Problem> {
        let note = Note {
            action,
            actor: &principal.key_id,
            outcome: "allowed",
            subject: name.as_str(),
            detail: None,
        };
        Ok(self.audit.record(note).await?)
    }
}

impl From<ListedSecret> for Listed {
    fn from(listed: ListedSecret) -> Self {
        Self {
            name: listed.name.to_string(),
            changed_at: listed.changed_at,
        }
    }
}

impl From<NoSecret> for Problem {
    fn from(error: NoSecret) -> Self {
        Self::bad_request(error.to_string())
    }
}
