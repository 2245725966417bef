//! `/admin/keys`.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
    routing::{delete, get},
};
use serde::Deserialize;
use serde_json::{Value, json};
use waybill_events::TenantId;
use waybill_identity::{ApiKey, Error, Keys, NewKey, Principal, Scope};

use crate::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Create {
    name: String,
    /// The caller's own tenant when it is left out.
    tenant: Option<String>,
    #[serde(default = "only_calls")]
    scopes: BTreeSet<Scope>,
    /// Seconds that it is valid; for ever when it is left out.
    lifetime_s: Option<u64>,
}

fn only_calls() -> BTreeSet<Scope> {
    BTreeSet::from([Scope::ToolsCall])
}

pub(super) fn router(keys: Keys) -> Router {
    Router::new()
        .route("/keys", get(list).post(create))
        .route("/keys/{id}", delete(revoke))
        .with_state(keys)
}

async fn list(State(keys): State<Keys>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "keys": keys.list(None).await? })))
}

async fn create(
    State(keys): State<Keys>,
    Extension(principal): Extension<Principal>,
    body: Result<Json<Create>, JsonRejection>,
) -> Result<(StatusCode, Json<NewKey>), Problem> {
    let Json(create) = body.map_err(|error| Problem::bad_request(error.body_text()))?;
    let tenant = match create.tenant {
        Some(tenant) => {
            TenantId::parse(&tenant).map_err(|error| Problem::bad_request(error.to_string()))?
        }
        None => principal.tenant.clone(),
    };
    let lifetime = create.lifetime_s.map(Duration::from_secs);
    let actor = &principal.key_id;
    let new = keys
        .create(actor, tenant, &create.name, create.scopes, lifetime)
        .await?;
    Ok((StatusCode::CREATED, Json(new)))
}

async fn revoke(
    State(keys): State<Keys>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<ApiKey>, Problem> {
    Ok(Json(keys.revoke(&principal.key_id, &id).await?))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "not_found", error.to_string()),
            Error::UnknownTenant(_) => {
                Self::new(StatusCode::NOT_FOUND, "unknown_tenant", error.to_string())
            }
            Error::TenantExists(_) => {
                Self::new(StatusCode::CONFLICT, "tenant_exists", error.to_string())
            }
            Error::Name | Error::NoScope => Self::bad_request(error.to_string()),
            Error::Port(_) | Error::Corrupt(_) => Self::internal(&error),
        }
    }
}
