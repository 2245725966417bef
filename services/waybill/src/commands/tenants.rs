//! `waybill tenants`.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use http::HeaderMap;
use serde_json::{Value, json};
use waybill_identity::Tenant;

use super::{Session, exit::Exit};

#[derive(Args)]
pub(super) struct TenantsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a tenant; keys are made for it with keys create --tenant
    Create(CreateArgs),
    /// Every tenant that was made
    List,
}

#[derive(Args)]
struct CreateArgs {
    /// 1 to 64 of a-z 0-9 -
    id: String,
    /// For people [default: the id]
    #[arg(long)]
    name: Option<String>,
}

pub(super) async fn run(session: &Session, args: TenantsArgs) -> Result<Exit> {
    match args.action {
        Action::Create(args) => create(session, args).await?,
        Action::List => list(session).await?,
    }
    Ok(Exit::Done)
}

async fn create(session: &Session, args: CreateArgs) -> Result<()> {
    let mut body = json!({ "id": args.id });
    if let Some(name) = args.name {
        body["name"] = json!(name);
    }
    let client = &session.client;
    let made = client.post("/admin/tenants", HeaderMap::new(), &body);
    let made = made.await?;
    if session.out.json {
        return session.out.json(&made);
    }
    let tenant = read(made)?;
    session.out.text(&format!("tenant {} is made", tenant.id))
}

async fn list(session: &Session) -> Result<()> {
    let mut document = session.client.get("/admin/tenants").await?;
    if session.out.json {
        return session.out.json(&document);
    }
    let Value::Array(tenants) = document["tenants"].take() else {
        anyhow::bail!("the gateway sent no list of tenants");
    };
    let row = |tenant: Tenant| {
        let created = session.out.when(tenant.created_at);
        vec![tenant.id.to_string(), tenant.name, created]
    };
    let rows = tenants.into_iter().map(|tenant| read(tenant).map(row));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    session.out.table(&["ID", "NAME", "CREATED"], rows)
}

fn read(tenant: Value) -> Result<Tenant> {
    serde_json::from_value(tenant).context("the gateway sent what is no tenant")
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, routing::get};

    use super::{super::served::served, *};

    #[tokio::test]
    async fn a_tenant_is_made_under_its_id() {
        let make = async |Json(mut body): Json<Value>| {
            assert_eq!(body, json!({ "id": "acme", "name": "Acme" }));
            body["createdAt"] = json!("2026-07-28T12:00:00Z");
            Json(body)
        };
        let all = async || Json(json!({ "tenants": [{ "id": "acme" }] }));
        let gateway = served(Router::new().route("/admin/tenants", get(all).post(make))).await;
        let create = CreateArgs {
            id: "acme".to_owned(),
            name: Some("Acme".to_owned()),
        };
        let session = gateway.session();
        super::create(&session, create).await.unwrap();
        let error = list(&session).await.unwrap_err().to_string();
        assert!(error.contains("no tenant"), "{error}");
    }
}
