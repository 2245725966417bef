//! `waybill call`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{ArgAction, Args};
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::{
    Session,
    arguments::{arguments, nearest},
    client::put,
    document::Document,
    exit::{Exit, Failure},
    print::note,
    span::Span,
    target::Target,
    watch::{Patience, settle},
};

/// A quick call is answered in one request; of a slower one the progress is wanted soon.
const FIRST_WAIT: &str = "wait=1";

#[derive(Args)]
pub(super) struct CallCommand {
    #[command(flatten)]
    pub(super) args: CallArgs,
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(Args)]
pub(super) struct CallArgs {
    /// Name of the tool, as in `waybill tools`
    #[arg(required_unless_present = "json")]
    tool: Option<String>,
    /// An argument; repeat the name for a list. The tool's schema says whether it is text
    #[arg(long = "arg", short, value_name = "NAME=VALUE", value_parser = pair)]
    args: Vec<(String, String)>,
    /// All arguments as a JSON object, which begins with {; --arg goes above it. Without one: print
    /// JSON
    #[arg(long, value_name = "OBJECT", num_args = 0..=1, default_missing_value = "",
          action = ArgAction::Append)]
    json: Vec<String>,
    /// Wait for the end, which is the default, or no longer than SPAN (20s, 5m)
    #[arg(long, value_name = "SPAN", num_args = 0..=1, require_equals = true,
          value_parser = Span::parse, conflicts_with = "detach")]
    #[expect(
        clippy::option_option,
        reason = "absent, without a value, with one: clap's own form"
    )]
    wait: Option<Option<Span>>,
    /// Print the call's id and leave
    #[arg(long, short)]
    detach: bool,
    /// Seconds that the call may take, waiting included
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    deadline: Option<u64>,
    /// The same key and arguments are the same call, however often it is placed
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl CallArgs {
    /// `--json TOOL`: what is no object was never meant as the option's value.
    pub(super) fn find_tool(&mut self) {
        let is_name = |text: &&mut String| !text.is_empty() && !text.trim_start().starts_with('{');
        if self.tool.is_none()
            && let Some(name) = self.json.iter_mut().find(is_name)
        {
            self.tool = Some(std::mem::take(name));
        }
    }

    /// `--json` without a value.
    pub(super) fn prints_json(&self) -> bool {
        self.json.iter().any(String::is_empty)
    }

    fn base(&self) -> Result<Map<String, Value>> {
        let mut objects = self.json.iter().filter(|text| !text.is_empty());
        let Some(text) = objects.next() else {
            return Ok(Map::new());
        };
        if objects.next().is_some() {
            return Err(Failure::usage("--json takes the arguments once").into());
        }
        Ok(serde_json::from_str(text).map_err(|error| {
            Failure::usage(format!(
                "--json takes a JSON object as the arguments: {error}"
            ))
        })?)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

pub(super) async fn run(session: &Session, args: CallArgs) -> Result<Exit> {
    let Some(tool) = &args.tool else {
        return Err(Failure::usage("the name of the tool is missing: see waybill tools").into());
    };
    let schema = input_schema(session, tool).await?;
    let arguments = arguments(&schema, args.base()?, &args.args)?;
    let mut body = json!({ "tool": tool, "arguments": arguments });
    if let Some(seconds) = args.deadline {
        body["deadlineS"] = json!(seconds);
    }
    let mut headers = HeaderMap::new();
    put(
        &mut headers,
        "prefer",
        if args.detach {
            "respond-async"
        } else {
            FIRST_WAIT
        },
    )?;
    if let Some(key) = &args.idempotency_key {
        put(&mut headers, "idempotency-key", key)?;
    }
    if session.client.is_local() && !args.detach {
        let message = "no gateway runs here that would run the call: start one with waybill up, \
                       or leave the call for it with --detach";
        return Err(Failure::new(Exit::Failed, message).into());
    }
    let placed = Document::read(session.client.post("/calls", headers, &body).await?)?;
    if args.detach {
        return detached(session, &placed);
    }
    let patience = match args.wait.flatten() {
        Some(span) => Patience::For(Duration::from_secs(span.seconds())),
        None => Patience::UntilItEnds,
    };
    let document = settle(&session.client, placed, patience).await?;
    session.outcome(&document)?;
    Ok(document.exit())
}

fn detached(session: &Session, placed: &Document) -> Result<Exit> {
    if session.out.json {
        session.out.json(&placed.raw)?;
    } else {
        session.out.text(placed.status.id.as_str())?;
    }
    if session.client.is_local() && !placed.settled() {
        note("nothing serves this data directory: the call goes on when waybill up starts");
    }
    Ok(Exit::Done)
}

async fn input_schema(session: &Session, tool: &str) -> Result<Value> {
    let tools = session.client.get("/tools").await?;
    let unknown = match find(&tools, tool) {
        Ok(tool) => return Ok(tool["inputSchema"].clone()),
        Err(unknown) => unknown,
    };
    // `SERVER__TOOL` is an upstream server's.
    let Some((server, _)) = tool.split_once("__") else {
        return Err(unknown);
    };
    if session.client.is_local() {
        let message = format!(
            "no gateway runs here that knows the tools of {server}: start one with waybill up"
        );
        return Err(Failure::new(Exit::Failed, message).into());
    }
    match trouble(session, server).await {
        Some(trouble) => {
            let message =
                format!("{tool} is not there yet: {server} is {trouble}; see waybill doctor");
            Err(Failure::new(Exit::Failed, message).into())
        }
        None => Err(unknown),
    }
}

/// What keeps a configured upstream server from being ready, where the key may know.
async fn trouble(session: &Session, server: &str) -> Option<String> {
    let found = session.client.get("/admin/doctor").await.ok()?;
    let name = format!("upstream {server}");
    let checks = found["checks"].as_array()?;
    let check = checks
        .iter()
        .find(|check| check["check"] == name.as_str())?;
    let message = check["result"]["message"].as_str()?;
    match check["result"]["verdict"].as_str()? {
        "ok" => None,
        "failed" => Some(format!("down ({message})")),
        _ => Some(message.to_owned()),
    }
}

/// The tool of `GET /tools` with this name.
pub(super) fn find<'a>(tools: &'a Value, name: &str) -> Result<&'a Value> {
    let tools = tools["tools"]
        .as_array()
        .context("the gateway sent no list of tools")?;
    let names = || tools.iter().filter_map(|tool| tool["name"].as_str());
    tools
        .iter()
        .find(|tool| tool["name"] == name)
        .ok_or_else(|| {
            let hint = nearest(name, names()).map(|near| format!("; did you mean {near}?"));
            let message = format!("there is no tool {name}{}", hint.unwrap_or_default());
            Failure::new(Exit::NotFound, message).into()
        })
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, routing::get};
    use clap::Parser;

    use super::{super::served::served, *};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: CallArgs,
    }

    fn parsed(line: &[&str]) -> CallArgs {
        let line = Line::try_parse_from([&["call"], line].concat());
        let mut args = line.unwrap().args;
        args.find_tool();
        args
    }

    #[test]
    fn the_tool_may_stand_behind_json() {
        for line in [
            &["--json", "tool"][..],
            &["--json", "tool", "--arg", "a=b"],
            &["--json", "tool", "--json", "{\"a\":1}"],
            &["tool", "--json"],
        ] {
            let args = parsed(line);
            assert_eq!(args.tool.as_deref(), Some("tool"), "{line:?}");
            assert!(args.prints_json(), "{line:?}");
        }
        let args = parsed(&["--json", " {\"a\":1}", "tool"]);
        assert_eq!(args.tool.as_deref(), Some("tool"));
        assert!(!args.prints_json());
        assert_eq!(parsed(&["--json", "{}"]).tool, None);
        assert!(Line::try_parse_from(["call"]).is_err());
    }

    #[test]
    fn json_is_the_arguments_or_the_form_of_the_answer() {
        let both = parsed(&["tool", "--json", "{\"a\":1}", "--json"]);
        assert!(both.prints_json());
        assert_eq!(both.base().unwrap()["a"], json!(1));
        let arguments = parsed(&["tool", "--json", "{\"a\":1}"]);
        assert!(!arguments.prints_json());
        assert!(parsed(&["tool", "--json"]).base().unwrap().is_empty());
        let swallowed = parsed(&["tool", "--json", "[1]"])
            .base()
            .unwrap_err()
            .to_string();
        assert!(swallowed.contains("takes a JSON object"), "{swallowed}");
        assert!(parsed(&["tool", "--json={}", "--json={}"]).base().is_err());
    }

    #[test]
    fn an_argument_may_hold_an_equals_sign() {
        let args = parsed(&["tool", "--arg", "query=a=b", "-a", "empty="]).args;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(args, [pair("query", "a=b"), pair("empty", "")]);
        assert!(Line::try_parse_from(["call", "tool", "--arg", "query"]).is_err());
    }

    #[test]
    fn waiting_and_detaching_exclude_each_other() {
        assert_eq!(parsed(&["tool"]).wait, None);
        assert_eq!(parsed(&["tool", "--wait"]).wait, Some(None));
        assert_eq!(
            parsed(&["tool", "--wait=2m"]).wait,
            Some(Some(Span::parse("2m").unwrap()))
        );
        assert!(Line::try_parse_from(["call", "tool", "--wait", "--detach"]).is_err());
    }

    #[tokio::test]
    async fn a_tool_whose_server_is_not_ready_is_not_unknown() {
        let app = |verdict: &'static str, message: &'static str| {
            let result = json!({ "verdict": verdict, "message": message });
            let checks = json!({ "checks": [{ "check": "upstream s", "result": result }] });
            Router::new()
                .route("/tools", get(async || Json(json!({ "tools": [] }))))
                .route("/admin/doctor", get(async move || Json(checks)))
        };
        for (verdict, message, tool, exit, told) in [
            (
                "warning",
                "starting",
                "s__boom",
                Exit::Failed,
                "s is starting; see waybill doctor",
            ),
            (
                "failed",
                "it ended",
                "s__boom",
                Exit::Failed,
                "s is down (it ended)",
            ),
            (
                "ok",
                "ready",
                "s__boom",
                Exit::NotFound,
                "there is no tool s__boom",
            ),
            (
                "failed",
                "it ended",
                "t__boom",
                Exit::NotFound,
                "there is no tool t__boom",
            ),
        ] {
            let gateway = served(app(verdict, message)).await;
            let error = input_schema(&gateway.session(), tool).await.unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
            assert_eq!(
                error.downcast_ref::<Failure>().unwrap().exit,
                exit,
                "{error}"
            );
        }
    }

    #[test]
    fn an_unknown_tool_names_the_nearest() {
        let tools = json!({ "tools": [{ "name": "files_read" }, { "name": "files_tree" }] });
        let error = find(&tools, "files_reed").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no tool files_reed; did you mean files_read?"
        );
        assert_eq!(
            error.downcast_ref::<Failure>().unwrap().exit,
            Exit::NotFound
        );
        assert_eq!(
            find(&tools, "zzz").unwrap_err().to_string(),
            "there is no tool zzz"
        );
    }
}
