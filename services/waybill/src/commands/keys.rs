//! `waybill keys`.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use http::HeaderMap;
use serde_json::{Value, json};
use waybill_identity::{ApiKey, Scope};

use super::{
    Session, asked,
    client::escaped,
    exit::Exit,
    print::{Out, note},
    span::Span,
    target::{self, Target},
};
use crate::serve::runtime;

#[derive(Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make the first key of an installation on AWS; it goes into the data directory
    First,
    #[command(flatten)]
    Asked(Asked),
}

/// With a key.
#[derive(Subcommand)]
enum Asked {
    /// Make a key; its secret is printed, now and never again
    Create(CreateArgs),
    /// Every key that was made
    List,
    /// Let nobody in with this key any more
    Revoke {
        /// The key's id
        id: String,
    },
}

#[derive(Args)]
struct CreateArgs {
    /// What it is for
    name: String,
    /// Whose calls it sees [default: the tenant of the key that makes it]
    #[arg(long)]
    tenant: Option<String>,
    /// What it may do: tools:call, admin; repeat for both
    #[arg(long = "scope", value_name = "SCOPE", default_value = "tools:call")]
    scopes: Vec<Scope>,
    /// How long it is valid (30d, 12h) [default: for ever]
    #[arg(long, value_name = "SPAN", value_parser = Span::parse)]
    lifetime: Option<Span>,
}

pub(super) fn run(args: KeysArgs, target: &Target, json: bool) -> Result<Exit> {
    match args.action {
        Action::First => runtime()?.block_on(first(target, &Out::new(json))),
        Action::Asked(action) => asked(target, json, async |session| act(session, action).await),
    }
}

/// Needs no key: whoever reaches the records may make one.
async fn first(target: &Target, out: &Out) -> Result<Exit> {
    let key = target::first_key(target).await?;
    let file = key.file.display();
    if out.json {
        out.json(&json!({ "keyFile": key.file, "new": key.new }))?;
    } else if key.new {
        out.text(&format!("the first key is in {file}"))?;
    } else {
        out.text(&format!("there is a key in {file} already"))?;
    }
    Ok(Exit::Done)
}

async fn act(session: &Session, action: Asked) -> Result<Exit> {
    match action {
        Asked::Create(args) => create(session, args).await?,
        Asked::List => list(session).await?,
        Asked::Revoke { id } => revoke(session, &id).await?,
    }
    Ok(Exit::Done)
}

async fn create(session: &Session, args: CreateArgs) -> Result<()> {
    let mut body = json!({ "name": args.name, "scopes": args.scopes });
    if let Some(tenant) = args.tenant {
        body["tenant"] = json!(tenant);
    }
    if let Some(lifetime) = args.lifetime {
        body["lifetimeS"] = json!(lifetime.seconds());
    }
    let made = session
        .client
        .post("/admin/keys", HeaderMap::new(), &body)
        .await?;
    if session.out.json {
        return session.out.json(&made);
    }
    let key = read(made.clone())?;
    // Standard output has the secret alone, so that it can go straight into a file.
    note(&format!(
        "key {} of tenant {}; keep its secret, it is not shown again",
        key.id, key.tenant
    ));
    session.out.text(
        made["secret"]
            .as_str()
            .context("the gateway sent no secret")?,
    )
}

async fn list(session: &Session) -> Result<()> {
    let document = session.client.get("/admin/keys").await?;
    if session.out.json {
        return session.out.json(&document);
    }
    let keys = document["keys"]
        .as_array()
        .context("the gateway sent no list of keys")?;
    let keys = keys.iter().cloned().map(read).collect::<Result<Vec<_>>>()?;
    let rows = keys.iter().map(|key| row(session, key)).collect();
    session.out.table(
        &["ID", "NAME", "TENANT", "SCOPES", "CREATED", "STATE"],
        rows,
    )
}

async fn revoke(session: &Session, id: &str) -> Result<()> {
    let document = session
        .client
        .delete(&format!("/admin/keys/{}", escaped(id)))
        .await?;
    if session.out.json {
        return session.out.json(&document);
    }
    let key = read(document)?;
    session
        .out
        .text(&format!("key {} ({}) is revoked", key.id, key.name))
}

fn read(key: Value) -> Result<ApiKey> {
    serde_json::from_value(key).context("the gateway sent what is no key")
}

fn row(session: &Session, key: &ApiKey) -> Vec<String> {
    let out = &session.out;
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", out.when(at)),
        (None, Some(at)) if at <= out.now => format!("expired {}", out.when(at)),
        (None, Some(at)) => format!("valid, ends {}", out.when(at)),
        (None, None) => "valid".to_owned(),
    };
    vec![
        key.id.clone(),
        key.name.clone(),
        key.tenant.to_string(),
        scopes.join(" "),
        out.when(key.created_at),
        state,
    ]
}
