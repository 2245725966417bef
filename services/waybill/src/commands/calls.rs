//! `waybill calls`.

use anyhow::{Context as _, Result};
use chrono::SecondsFormat;
use clap::{Args, builder::PossibleValuesParser};
use serde_json::{Value, json};
use waybill_calls::{CallState, Status};

use super::{
    Session,
    client::with_query,
    document::Progress,
    exit::Exit,
    span::{self, Since},
};

/// Calls asked for in one request; the gateway gives no more.
const PAGE: usize = 1_000;

#[derive(Args)]
pub(super) struct CallsArgs {
    /// Only of this tool
    #[arg(long)]
    tool: Option<String>,
    /// Only in this state, or with this status of MCP: working takes in all that has not ended
    #[arg(long, value_name = "STATE", value_parser = states())]
    status: Option<String>,
    /// Only those placed since: 10m, 2h, 1d, or 2026-07-28T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    since: Option<Since>,
    /// The newest so many
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
}

fn states() -> PossibleValuesParser {
    // MCP's other three words are states too.
    let of_mcp = ["working", "input_required"];
    PossibleValuesParser::new(
        of_mcp
            .into_iter()
            .chain(CallState::ALL.map(CallState::as_str)),
    )
}

pub(super) async fn run(session: &Session, args: CallsArgs) -> Result<Exit> {
    let calls = newest(session, &args).await?;
    if session.out.json {
        session.out.json(&json!({ "calls": calls }))?;
        return Ok(Exit::Done);
    }
    let rows = calls
        .into_iter()
        .map(|call| row(session, call))
        .collect::<Result<Vec<_>>>()?;
    session.out.table(
        &["ID", "TOOL", "STATE", "PROGRESS", "CREATED", "TOOK"],
        rows,
    )?;
    Ok(Exit::Done)
}

async fn newest(session: &Session, args: &CallsArgs) -> Result<Vec<Value>> {
    let since = args.since.map(|since| since.moment(session.out.now));
    let since = since.map(|since| since.to_rfc3339_opts(SecondsFormat::Millis, true));
    let (mut calls, mut after) = (Vec::new(), None);
    while calls.len() < args.limit {
        let path = with_query(
            "/calls",
            &[
                ("tool", args.tool.clone()),
                ("status", args.status.clone()),
                ("since", since.clone()),
                (
                    "limit",
                    Some((args.limit - calls.len()).min(PAGE).to_string()),
                ),
                ("after", after),
            ],
        );
        let mut page = session.client.get(&path).await?;
        let found = page["calls"]
            .as_array_mut()
            .context("the gateway sent no list of calls")?;
        calls.append(found);
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    Ok(calls)
}

fn row(session: &Session, call: Value) -> Result<Vec<String>> {
    let status: Status =
        serde_json::from_value(call).context("the gateway listed what is no call")?;
    let ended = matches!(
        status.state.as_str(),
        "completed" | "failed" | "cancelled" | "expired"
    );
    let took_ms = (status.updated_at - status.created_at)
        .num_milliseconds()
        .unsigned_abs();
    let took = if ended {
        span::milliseconds(took_ms)
    } else {
        String::new()
    };
    Ok(vec![
        status.id.as_str().to_owned(),
        status.tool.clone(),
        status.state.clone(),
        Progress::of(&status).amount().unwrap_or_default(),
        session.out.when(status.created_at),
        took,
    ])
}
