//! `/admin/keys` and `/admin/tenants`.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
    routing::{delete, get},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_events::TenantId;
use waybill_identity::{ApiKey, Error, Keys, NewKey, Principal, Scope, Tenant};

use crate::problem::Problem;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "CreateKey")]
pub(crate) struct Create {
    name: String,
    /// The caller's own tenant when it is left out.
    tenant: Option<String>,
    #[serde(default = "only_calls")]
    scopes: BTreeSet<Scope>,
    /// Seconds that it is valid, at most a hundred years; for ever when it is left out.
    lifetime_s: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTenant {
    /// 1 to 64 of `a-z 0-9 -`.
    id: String,
    /// For people; the id when it is left out.
    name: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct KeyList {
    keys: Vec<ApiKey>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct TenantList {
    tenants: Vec<Tenant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTenant {
    tenant: Option<String>,
}

fn only_calls() -> BTreeSet<Scope> {
    BTreeSet::from([Scope::ToolsCall])
}

pub(super) fn router(keys: Keys) -> Router {
    Router::new()
        .route("/keys", get(list).post(create))
        .route("/keys/{id}", delete(revoke))
        .route("/tenants", get(tenants).post(create_tenant))
        .with_state(keys)
}

async fn list(
    State(keys): State<Keys>,
    query: Result<Query<OfTenant>, QueryRejection>,
) -> Result<Json<KeyList>, Problem> {
    let Query(OfTenant { tenant }) = query?;
    let tenant = tenant.as_deref().map(parse).transpose()?;
    let keys = keys.list(tenant.as_ref()).await?;
    Ok(Json(KeyList { keys }))
}

async fn create(
    State(keys): State<Keys>,
    Extension(principal): Extension<Principal>,
    body: Result<Json<Create>, JsonRejection>,
) -> Result<(StatusCode, Json<NewKey>), Problem> {
    let Json(create) = body?;
    let tenant = match create.tenant {
        Some(tenant) => parse(&tenant)?,
        None => principal.tenant.clone(),
    };
    let lifetime = create.lifetime_s.map(Duration::from_secs);
    let (actor, name) = (&principal.key_id, &create.name);
    let new = keys
        .create(actor, tenant, name, create.scopes, lifetime)
        .await?;
    Ok((StatusCode::CREATED, Json(new)))
}

async fn revoke(
    State(keys): State<Keys>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ApiKey>, Problem> {
    let Path(id) = id?;
    Ok(Json(keys.revoke(&principal.key_id, &id).await?))
}

async fn tenants(State(keys): State<Keys>) -> Result<Json<TenantList>, Problem> {
    let tenants = keys.tenants().list().await?;
    Ok(Json(TenantList { tenants }))
}

async fn create_tenant(
    State(keys): State<Keys>,
    Extension(principal): Extension<Principal>,
    body: Result<Json<CreateTenant>, JsonRejection>,
) -> Result<(StatusCode, Json<Tenant>), Problem> {
    let Json(CreateTenant { id, name }) = body?;
    let (tenant, name) = (parse(&id)?, name.unwrap_or(id));
    let made = keys
        .tenants()
        .create(&principal.key_id, tenant, &name)
        .await?;
    Ok((StatusCode::CREATED, Json(made)))
}

fn parse(tenant: &str) -> Result<TenantId, Problem> {
    TenantId::parse(tenant).map_err(|error| Problem::bad_request(error.to_string()))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unknown(_) => Self::not_found(error.to_string()),
            Error::UnknownTenant(_) => {
                Self::new(StatusCode::NOT_FOUND, "unknown_tenant", error.to_string())
            }
            Error::TenantExists(_) => {
                Self::new(StatusCode::CONFLICT, "tenant_exists", error.to_string())
            }
            Error::Name | Error::NoScope | Error::Lifetime => Self::bad_request(error.to_string()),
            Error::Port(error) => error.into(),
            Error::Corrupt(_) => Self::internal(&error),
        }
    }
}
