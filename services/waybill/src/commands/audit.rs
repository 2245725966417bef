//! `waybill audit`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use super::{Session, client::with_query, exit::Exit, print::note};

/// Entries that `tail` may be asked for; the gateway gives no more.
const MAX_TAIL: u64 = 10_000;
/// Between two looks for new entries.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// The newest entries
    Tail {
        /// So many
        #[arg(long, short = 'n', default_value_t = 50,
              value_parser = clap::value_parser!(u64).range(1..=MAX_TAIL))]
        limit: u64,
        /// Go on with new ones as they come
        #[arg(long, short)]
        follow: bool,
    },
    /// Walk the chain; says the first entry that was edited, lost or moved
    Verify,
    /// Every entry on a line of JSON, the oldest first
    Export {
        /// Number of the first entry wanted
        #[arg(long, value_name = "SEQ", default_value_t = 1)]
        from: u64,
    },
}

/// What a person reads of an entry's event.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    subject: Option<String>,
    time: DateTime<Utc>,
}

pub(super) async fn run(session: &Session, args: AuditArgs) -> Result<Exit> {
    match args.action {
        Action::Tail { limit, follow } => tail(session, limit, follow).await,
        Action::Verify => verify(session).await,
        Action::Export { from } => {
            export(session, from, |entry| session.out.line(entry)).await?;
            Ok(Exit::Done)
        }
    }
}

async fn tail(session: &Session, limit: u64, follow: bool) -> Result<Exit> {
    let path = with_query("/admin/audit", &[("limit", Some(limit.to_string()))]);
    let document = session.client.get(&path).await?;
    if session.out.json && !follow {
        session.out.json(&document)?;
        return Ok(Exit::Done);
    }
    let entries = document["entries"]
        .as_array()
        .context("the gateway sent no entries")?;
    if !follow {
        let rows = entries
            .iter()
            .map(|entry| row(session, entry))
            .collect::<Result<_>>()?;
        session
            .out
            .table(&["SEQ", "TIME", "TYPE", "SUBJECT"], rows)?;
        return Ok(Exit::Done);
    }
    let print = |entry: &Value| {
        if session.out.json {
            return session.out.line(entry);
        }
        session.out.text(&row(session, entry)?.join("  "))
    };
    entries.iter().try_for_each(print)?;
    let mut next = entries
        .last()
        .map_or(1, |entry| entry["seq"].as_u64().unwrap_or(0) + 1);
    loop {
        next = export(session, next, print).await?;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn row(session: &Session, entry: &Value) -> Result<Vec<String>> {
    let event = Event::deserialize(&entry["event"]).context("an entry without an event")?;
    Ok(vec![
        entry["seq"].to_string(),
        session.out.when(event.time),
        event.kind,
        event.subject.unwrap_or_default(),
    ])
}

/// Hands on every entry from number `from` to the newest; the number that will follow.
async fn export(session: &Session, from: u64, each: impl Fn(&Value) -> Result<()>) -> Result<u64> {
    let mut from = from;
    loop {
        let path = with_query("/admin/audit/export", &[("from", Some(from.to_string()))]);
        let document = session.client.get(&path).await?;
        let entries = document["entries"]
            .as_array()
            .context("the gateway sent no entries")?;
        entries.iter().try_for_each(&each)?;
        match document["next"].as_u64() {
            Some(next) if next > from => from = next,
            _ => return Ok(from),
        }
    }
}

async fn verify(session: &Session) -> Result<Exit> {
    let found = session.client.get_long("/admin/audit/verify").await?;
    let sound = found["sound"]
        .as_bool()
        .context("the gateway sent no verdict")?;
    if session.out.json {
        session.out.json(&found)?;
    } else {
        let head = found["head"].as_str().unwrap_or_default();
        session.out.text(&format!(
            "{} entries are sound; the last is {head}",
            found["entries"]
        ))?;
        if !sound {
            let flaw = found["message"]
                .as_str()
                .unwrap_or("the trail is not what was written");
            note(&format!("error: {flaw}"));
        }
    }
    Ok(if sound { Exit::Done } else { Exit::AuditFlaw })
}
