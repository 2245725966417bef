//! `waybill calls`.

use anyhow::{Context as _, Result};
use chrono::SecondsFormat;
use clap::{Args, builder::PossibleValuesParser};
use serde_json::{Value, json};
use waybill_calls::{CallState, Status};

use super::{
    Session,
    client::with_query,
    document::{Progress, code},
    exit::Exit,
    span::{self, Since},
};

/// Calls asked for in one request; the gateway gives no more.
const PAGE: usize = 1_000;
/// As many as `audit tail`.
const MAX_LIST: u64 = 10_000;

#[derive(Args)]
pub(super) struct CallsArgs {
    /// Of this tenant; needs a key of the scope admin
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Of every tenant; needs a key of the scope admin
    #[arg(long, conflicts_with = "tenant")]
    all_tenants: bool,
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
    #[arg(long, short = 'n', default_value_t = 50,
          value_parser = clap::value_parser!(u64).range(1..=MAX_LIST))]
    limit: u64,
}

impl CallsArgs {
    /// Of others than the key's own tenant.
    fn as_operator(&self) -> bool {
        self.all_tenants || self.tenant.is_some()
    }
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
    let mut header = vec!["ID", "TOOL", "STATE", "CODE", "PROGRESS", "CREATED", "TOOK"];
    if args.as_operator() {
        header.insert(1, "TENANT");
    }
    let rows = calls.into_iter().map(|call| row(session, call));
    session.out.table(&header, rows.collect::<Result<_>>()?)?;
    Ok(Exit::Done)
}

async fn newest(session: &Session, args: &CallsArgs) -> Result<Vec<Value>> {
    let since = args.since.map(|since| since.moment(session.out.now));
    let since = since.map(|since| since.to_rfc3339_opts(SecondsFormat::Millis, true));
    let limit = usize::try_from(args.limit).unwrap_or(PAGE);
    let route = if args.as_operator() {
        "/admin/calls"
    } else {
        "/calls"
    };
    let (mut calls, mut after) = (Vec::new(), None);
    while calls.len() < limit {
        let path = with_query(
            route,
            &[
                ("tenant", args.tenant.clone()),
                ("tool", args.tool.clone()),
                ("status", args.status.clone()),
                ("since", since.clone()),
                ("limit", Some((limit - calls.len()).min(PAGE).to_string())),
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
    let tenant = call["tenant"].as_str().map(str::to_owned);
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
    let mut cells = vec![status.id.as_str().to_owned()];
    cells.extend(tenant);
    cells.extend([
        status.tool.clone(),
        status.state.clone(),
        code(&status).unwrap_or_default().to_owned(),
        Progress::of(&status).amount().unwrap_or_default(),
        session.out.when(status.created_at),
        took,
    ]);
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, http::Uri, routing::get};
    use clap::Parser;

    use super::{
        super::{document::tests::document, served::served},
        *,
    };

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: CallsArgs,
    }

    fn parsed(line: &[&str]) -> Result<CallsArgs, clap::Error> {
        Line::try_parse_from([&["calls"], line].concat()).map(|line| line.args)
    }

    #[tokio::test]
    async fn an_operator_sees_whose_call_failed_and_why() {
        let error = json!({ "tenant": "acme", "error": { "code": "outcome_unknown" } });
        let failed = document("failed", "failed", &error);
        let list = async move |uri: Uri| {
            assert_eq!(uri.query(), Some("status=failed&limit=50"));
            Json(json!({ "calls": [failed] }))
        };
        let gateway = served(Router::new().route("/admin/calls", get(list))).await;
        let session = gateway.session();
        let args = parsed(&["--all-tenants", "--status", "failed"]).unwrap();
        let call = newest(&session, &args).await.unwrap().remove(0);
        let row = row(&session, call).unwrap();
        assert_eq!(
            row[1..5],
            ["acme", "files_read", "failed", "outcome_unknown"]
        );
    }

    #[test]
    fn as_many_as_can_be_listed_and_of_one_choice_of_tenants() {
        for wrong in [
            &["--limit", "0"][..],
            &["--limit", "100000"],
            &["--all-tenants", "--tenant", "acme"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(parsed(&["-n", "10000"]).unwrap().limit, 10_000);
        assert!(parsed(&["--tenant", "acme"]).unwrap().as_operator());
        assert!(!parsed(&[]).unwrap().as_operator());
    }
}
