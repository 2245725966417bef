//! `files_roots`: what can be read at all.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_toolkit::{Effect, ToolContext, ToolError, ToolSpec, TypedTool};
use waybill_workspace::Roots;

pub(crate) struct FilesRoots(pub(crate) Arc<Roots>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The first is meant when a call names no root.
    roots: Vec<RootInfo>,
}

#[derive(Serialize, JsonSchema)]
struct RootInfo {
    name: String,
    /// On the gateway's machine.
    path: String,
}

impl TypedTool for FilesRoots {
    type Input = Input;
    type Output = Output;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "files_roots",
            "Lists the directories that the files tools can read. Paths of the other tools are \
             relative to one of them; the first is the default.",
            Effect::ReadOnly,
        )
    }

    async fn run(&self, _input: Input, _cx: &ToolContext) -> Result<Output, ToolError> {
        let roots = self.0.iter().map(|root| RootInfo {
            name: root.name.clone(),
            path: root.path.to_string_lossy().into_owned(),
        });
        Ok(Output {
            roots: roots.collect(),
        })
    }

    fn render(output: &Output) -> String {
        let lines = output.roots.iter().enumerate().map(|(index, root)| {
            let default = if index == 0 { " (default)" } else { "" };
            format!("{}: {}{default}", root.name, root.path)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
