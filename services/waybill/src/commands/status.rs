//! `waybill status` and `waybill cancel`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use super::{
    Session,
    client::escaped,
    document::{Document, Progress},
    exit::Exit,
    print::note,
    span::Span,
    watch::{Patience, Watch, settle},
};

#[derive(Args)]
pub(super) struct StatusArgs {
    /// The call's id
    id: String,
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
}

pub(super) async fn run(session: &Session, args: StatusArgs) -> Result<Exit> {
    if args.follow {
        return follow(session, &args.id).await;
    }
    let raw = session.client.get(&path(&args.id)).await?;
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
    let document = Document::read(session.client.delete(&path(&args.id)).await?)?;
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

fn path(id: &str) -> String {
    format!("/mcp/status/{}", escaped(id))
}

fn show(session: &Session, document: &Document) -> Result<()> {
    let (out, status) = (&session.out, &document.status);
    let mut rows = vec![
        ("id", status.id.as_str().to_owned()),
        ("tool", status.tool.clone()),
        ("state", status.state.clone()),
        ("attempt", status.attempt.to_string()),
        ("created", out.when(status.created_at)),
        ("updated", out.when(status.updated_at)),
        ("expires", out.when(status.expires_at)),
    ];
    let progress = Progress::of(status);
    rows.extend(progress.amount().map(|amount| ("progress", amount)));
    rows.extend(progress.message.map(|message| ("message", message)));
    rows.extend(status.trace.clone().map(|trace| ("trace", trace)));
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
