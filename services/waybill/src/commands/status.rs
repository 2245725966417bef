//! `waybill status` and `waybill cancel`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use super::{
    Session,
    client::escaped,
    document::{Document, Progress, again, code},
    exit::Exit,
    print::note,
    span::Span,
    watch::{Patience, Watch, settle},
};

#[derive(Args)]
pub(super) struct StatusArgs {
    /// The call's id
    id: String,
    /// The call of this tenant, without its result; needs a key of the scope admin
    #[arg(long, value_name = "ID", conflicts_with_all = ["wait", "follow"])]
    tenant: Option<String>,
    /// Wait for the end, or no longer than SPAN (20s, 5m)
    #[arg(long, value_name = "SPAN", num_args = 0..=1, require_equals = true,
          value_parser = Span::parse, conflicts_with = "follow")]
    #[expect(
        clippy::option_option,
        reason = "absent, without a value, with one: clap's own form"
    )]
    wait: Option<Option<Span>>,
    /// Print every change until the end
    #[arg(long, short)]
    follow: bool,
}

#[derive(Args)]
pub(super) struct CancelArgs {
    /// The call's id
    id: String,
    /// The call of this tenant; needs a key of the scope admin
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
}

pub(super) async fn run(session: &Session, args: StatusArgs) -> Result<Exit> {
    if args.follow {
        return follow(session, &args.id).await;
    }
    let path = path(args.tenant.as_deref(), &args.id);
    let raw = session.client.get(&path).await?;
    let mut document = Document::read(raw)?;
    if let Some(wait) = args.wait {
        let patience = wait.map_or(Patience::UntilItEnds, |span| {
            Patience::For(Duration::from_secs(span.seconds()))
        });
        document = settle(&session.client, document, patience).await?;
    }
    if session.out.json {
        session.out.json(&document.raw)?;
    } else {
        show(session, &document)?;
    }
    Ok(document.exit())
}

async fn follow(session: &Session, id: &str) -> Result<Exit> {
    let mut watch = Watch::new(&session.client, id);
    loop {
        let document = tokio::select! {
            document = watch.next() => document?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot listen for SIGINT")?;
                return Ok(Exit::StillRunning);
            }
        };
        if session.out.json {
            session.out.json(&document.raw)?;
        } else {
            let when = session.out.when(document.status.updated_at);
            session
                .out
                .text(&format!("{when}  {}", document.change()))?;
        }
        if document.settled() {
            if !session.out.json {
                session.outcome(&document)?;
            }
            return Ok(document.exit());
        }
    }
}

pub(super) async fn cancel(session: &Session, args: CancelArgs) -> Result<Exit> {
    let path = path(args.tenant.as_deref(), &args.id);
    let document = Document::read(session.client.delete(&path).await?)?;
    if session.out.json {
        session.out.json(&document.raw)?;
    } else if document.settled() {
        session
            .out
            .text(&format!("the call is {}", document.status.state))?;
    } else {
        session.out.text("the tool was told to stop")?;
    }
    Ok(Exit::Done)
}

/// An operator names the tenant.
fn path(tenant: Option<&str>, id: &str) -> String {
    let id = escaped(id);
    match tenant {
        Some(tenant) => format!("/admin/calls/{}/{id}", escaped(tenant)),
        None => format!("/mcp/status/{id}"),
    }
}

fn show(session: &Session, document: &Document) -> Result<()> {
    let (out, status) = (&session.out, &document.status);
    let mut rows = vec![("id", status.id.as_str().to_owned())];
    rows.extend(
        document
            .tenant()
            .map(|tenant| ("tenant", tenant.to_owned())),
    );
    rows.extend([
        ("tool", status.tool.clone()),
        ("effect", status.effect.clone()),
        ("state", status.state.clone()),
        ("attempt", status.attempt.to_string()),
        ("created", out.when(status.created_at)),
        ("updated", out.when(status.updated_at)),
        ("deadline", out.when(status.deadline)),
        ("expires", out.when(status.expires_at)),
    ]);
    let progress = Progress::of(status);
    rows.extend(progress.amount().map(|amount| ("progress", amount)));
    rows.extend(progress.message.map(|message| ("message", message)));
    rows.extend(status.trace.clone().map(|trace| ("trace", trace)));
    let again = code(status).and_then(again);
    rows.extend(again.map(|again| ("again?", again.to_owned())));
    out.fields(rows)?;
    let (text, remark) = document.outcome();
    if let Some(text) = text {
        out.text(&format!("\n{text}"))?;
    }
    if let Some(remark) = remark.filter(|_| document.settled()) {
        note(&remark);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, routing::get};
    use serde_json::json;

    use super::{
        super::{document::tests::document, served::served},
        *,
    };

    #[tokio::test]
    async fn an_operator_names_the_tenant() {
        let told = document("cancelled", "cancelled", &json!({ "tenant": "acme" }));
        let (shown, cancelled) = (told.clone(), told);
        let one = get(async move || Json(shown)).delete(async move || Json(cancelled));
        let gateway = served(Router::new().route("/admin/calls/acme/a1", one)).await;
        let (id, tenant) = ("a1".to_owned(), Some("acme".to_owned()));
        let args = CancelArgs {
            id: id.clone(),
            tenant: tenant.clone(),
        };
        let exit = cancel(&gateway.session(), args).await.unwrap();
        assert_eq!(exit, Exit::Done);
        let args = StatusArgs {
            id,
            tenant,
            wait: None,
            follow: false,
        };
        let exit = run(&gateway.session(), args).await.unwrap();
        assert_eq!(exit, Exit::CallFailed);
        assert_eq!(path(None, "a/1"), "/mcp/status/a%2F1");
    }
}
