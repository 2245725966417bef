//! `waybill audit`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use super::{
    Session,
    client::with_query,
    exit::Exit,
    print::{line, note},
};

/// Entries that `tail` may be asked for; the gateway gives no more.
const MAX_TAIL: u64 = 10_000;
/// Characters that a line shows of an entry's data, and of one value in it; `--json` shows all.
const MAX_FACTS: usize = 160;
const MAX_FACT: usize = 36;
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
        /// Only entries about it: a call's id for what happened to the call
        #[arg(long, value_name = "ID", conflicts_with = "follow")]
        subject: Option<String>,
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

/// Entries as they were written, for their hashes are over bytes.
#[derive(Deserialize, Serialize)]
struct Page {
    entries: Vec<Box<RawValue>>,
    /// Of a tail: the first entry that was looked at.
    #[serde(default, skip_serializing)]
    since: u64,
    #[serde(skip_serializing)]
    next: Option<u64>,
}

/// What a person reads of an entry.
#[derive(Deserialize)]
struct Entry {
    seq: u64,
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    subject: Option<String>,
    time: DateTime<Utc>,
    #[serde(default)]
    data: Map<String, Value>,
}

pub(super) async fn run(session: &Session, args: AuditArgs) -> Result<Exit> {
    match args.action {
        Action::Tail {
            limit,
            subject,
            follow,
        } => tail(session, limit, subject, follow).await,
        Action::Verify => verify(session).await,
        Action::Export { from } => {
            export(session, from, line).await?;
            Ok(Exit::Done)
        }
    }
}

async fn tail(
    session: &Session,
    limit: u64,
    subject: Option<String>,
    follow: bool,
) -> Result<Exit> {
    let searched = subject.is_some();
    let pairs = [("limit", Some(limit.to_string())), ("subject", subject)];
    let path = with_query("/admin/audit", &pairs);
    let page: Page = session.client.read(&path).await?;
    if follow {
        return follow_from(session, page).await;
    }
    if session.out.json {
        session.out.json(&page)?;
        return Ok(Exit::Done);
    }
    let rows = page
        .entries
        .iter()
        .map(|entry| Ok(row(session, &read(entry)?)));
    let header = ["SEQ", "TIME", "TYPE", "SUBJECT", "DATA"];
    session.out.table(&header, rows.collect::<Result<_>>()?)?;
    if searched && page.since > 1 {
        let since = page.since;
        note(&format!(
            "older entries than {since} were not looked at; waybill audit export has all"
        ));
    }
    Ok(Exit::Done)
}

/// Until the operator interrupts.
async fn follow_from(session: &Session, page: Page) -> Result<Exit> {
    let print = |entry: &RawValue| {
        if session.out.json {
            return line(entry);
        }
        session.out.text(&row(session, &read(entry)?).join("  "))
    };
    let mut next = 1;
    for entry in &page.entries {
        print(entry)?;
        next = read(entry)?.seq + 1;
    }
    loop {
        next = export(session, next, print).await?;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn read(entry: &RawValue) -> Result<Entry> {
    serde_json::from_str(entry.get()).context("the gateway sent what is no entry of the trail")
}

fn row(session: &Session, entry: &Entry) -> Vec<String> {
    vec![
        entry.seq.to_string(),
        session.out.when(entry.event.time),
        entry.event.kind.clone(),
        entry.event.subject.clone().unwrap_or_default(),
        facts(&entry.event.data),
    ]
}

/// `tool=files_read attempt=1`, cut where it gets long.
fn facts(data: &Map<String, Value>) -> String {
    let facts = data.iter().map(|(name, value)| {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        format!("{name}={}", cut(&value, MAX_FACT))
    });
    cut(&facts.collect::<Vec<_>>().join(" "), MAX_FACTS)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Hands on every entry from number `from` to the newest; the number that will follow.
async fn export(
    session: &Session,
    from: u64,
    each: impl Fn(&RawValue) -> Result<()>,
) -> Result<u64> {
    let mut from = from;
    loop {
        let path = with_query("/admin/audit/export", &[("from", Some(from.to_string()))]);
        let page: Page = session.client.read(&path).await?;
        page.entries.iter().try_for_each(|entry| each(entry))?;
        match page.next {
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use axum::{Router, http::Uri, routing::get};

    use super::{super::served::served, *};

    #[test]
    fn a_line_tells_what_happened() {
        let entry = r#"{"seq":7,"event":{"type":"dev.waybill.circuit.opened.v1","subject":"maps",
            "time":"1970-01-01T00:00:00Z","data":{"calls":10,"failures":6,"upstream":"maps"}}}"#;
        let entry = read(&RawValue::from_string(entry.to_owned()).unwrap()).unwrap();
        assert_eq!(
            facts(&entry.event.data),
            "calls=10 failures=6 upstream=maps"
        );
        let long = Value::from("ä".repeat(200));
        let long = Map::from_iter([("detail".to_owned(), long), ("tool".to_owned(), "t".into())]);
        let cut = "ä".repeat(MAX_FACT);
        assert_eq!(facts(&long), format!("detail={cut}... tool=t"));
    }

    #[tokio::test]
    async fn entries_are_exported_byte_for_byte_to_the_last() {
        let app = Router::new().route(
            "/admin/audit/export",
            get(async |uri: Uri| match uri.query().unwrap() {
                "from=1" => r#"{"entries":[{"seq":1,"event":{"b":1.0,"a":2}}],"next":2}"#,
                "from=2" => r#"{"entries":[{"seq":2,"event":{}}],"next":3}"#,
                _ => r#"{"entries":[],"next":null}"#,
            }),
        );
        let gateway = served(app).await;
        let seen = RefCell::new(Vec::new());
        let each = |entry: &RawValue| {
            seen.borrow_mut().push(entry.get().to_owned());
            Ok(())
        };
        let next = export(&gateway.session(), 1, each).await.unwrap();
        assert_eq!(next, 3);
        let wanted = [
            r#"{"seq":1,"event":{"b":1.0,"a":2}}"#,
            r#"{"seq":2,"event":{}}"#,
        ];
        assert_eq!(seen.into_inner(), wanted);
    }
}
