//! `waybill tools`.

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use super::{Session, call::find, content::indented, exit::Exit};

#[derive(Args)]
pub(super) struct ToolsArgs {
    /// Show this one, with the schema of its arguments
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
}

pub(super) async fn run(session: &Session, args: ToolsArgs) -> Result<Exit> {
    let out = &session.out;
    let tools = session.client.get("/tools").await?;
    match &args.tool {
        Some(name) if out.json => out.json(find(&tools, name)?)?,
        Some(name) => show(session, find(&tools, name)?)?,
        None if out.json => out.json(&tools)?,
        None => {
            let tools = tools["tools"]
                .as_array()
                .context("the gateway sent no list of tools")?;
            out.table(
                &["NAME", "EFFECT", "DESCRIPTION"],
                tools.iter().map(row).collect(),
            )?;
        }
    }
    Ok(Exit::Done)
}

fn row(tool: &Value) -> Vec<String> {
    let description = text(tool, "description");
    let line = description.lines().next().unwrap_or_default();
    let sentence = line.split_once(". ").map_or(line, |(sentence, _)| sentence);
    vec![
        text(tool, "name"),
        text(tool, "effect"),
        sentence.to_owned(),
    ]
}

fn show(session: &Session, tool: &Value) -> Result<()> {
    let fields = ["name", "title", "effect", "upstream"].map(|name| (name, text(tool, name)));
    session
        .out
        .fields(fields.into_iter().filter(|(_, value)| !value.is_empty()))?;
    session
        .out
        .text(&format!("\n{}\n", text(tool, "description")))?;
    session
        .out
        .text(&format!("Arguments:\n{}", indented(&tool["inputSchema"])))?;
    if !tool["outputSchema"].is_null() {
        session
            .out
            .text(&format!("\nResult:\n{}", indented(&tool["outputSchema"])))?;
    }
    Ok(())
}

fn text(tool: &Value, field: &str) -> String {
    tool[field].as_str().unwrap_or_default().to_owned()
}
