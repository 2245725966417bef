//! `files_glob`: files by name.

use std::sync::Arc;

use cap_std::fs::Metadata;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_toolkit::{Effect, ToolContext, ToolError, ToolSpec, TypedTool};
use waybill_workspace::{Cut, Ignored, Job, Kind, Place, Roots, Visit, Walk, shown};

use super::{ROOT_ITSELF, limit};
use crate::{
    blocking,
    entry::{count, modified},
    globs::Globs,
};

const DEFAULT_FOUND: usize = 500;
const MAX_FOUND: usize = 5_000;

pub(crate) struct FilesGlob(pub(crate) Arc<Roots>);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Input {
    /// `*.rs` (at any depth), `src/**/*.{ts,tsx}`, `docs/*`. `*` stays within one name, `**` crosses
    /// directories. Relative to `path`.
    pattern: String,
    /// Patterns of what to leave out.
    #[serde(default)]
    exclude: Vec<String>,
    /// The directory to start in, relative to the root; the root itself by default.
    path: Option<String>,
    /// Name of the root, as `files_roots` tells; the first by default.
    root: Option<String>,
    /// What to find: `file` (also symlinks) by default.
    #[serde(default)]
    kind: Wanted,
    /// Find what `.gitignore` hides and what is in `.git`, too.
    #[serde(default)]
    include_ignored: bool,
    /// How many to answer with: 500 by default, at most 5000.
    #[schemars(range(min = 1, max = 5_000))]
    limit: Option<u32>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Wanted {
    #[default]
    File,
    Directory,
    Any,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    root: String,
    /// Where it started.
    path: String,
    found: Vec<Entry>,
    /// Whether there may be more than was found.
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated_by: Option<Cut>,
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    /// Relative to the root.
    path: String,
    kind: Kind,
    /// Bytes, of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<DateTime<Utc>>,
}

impl TypedTool for FilesGlob {
    type Input = Input;
    type Output = Output;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "files_glob",
            "Finds files by a glob pattern over their path, in the order of the paths. What \
             .gitignore hides is left out. To find by content use files_search.",
            Effect::ReadOnly,
        )
    }

    async fn run(&self, input: Input, cx: &ToolContext) -> Result<Output, ToolError> {
        let place = self.0.place(
            input.root.as_deref(),
            input.path.as_deref().unwrap_or(ROOT_ITSELF),
        )?;
        let excluded = input.exclude.iter().map(|pattern| format!("!{pattern}"));
        let patterns: Vec<String> = std::iter::once(input.pattern.clone())
            .chain(excluded)
            .collect();
        let query = Query {
            globs: Globs::parse(patterns.iter().map(String::as_str))?,
            wanted: input.kind,
            ignored: input.include_ignored.into(),
            limit: limit(input.limit, DEFAULT_FOUND, MAX_FOUND),
        };
        blocking(cx, move |job| find(&place, &query, job)).await
    }

    fn render(output: &Output) -> String {
        let entries = output.found.iter();
        let mut lines: Vec<String> = entries
            .map(|entry| format!("{}{}", entry.path, entry.kind.mark()))
            .collect();
        if output.found.is_empty() {
            lines.push(format!("nothing found in {}", output.path));
        } else {
            lines.push(format!("[{}]", count(output.found.len() as u64, "path")));
        }
        if let Some(cut) = output.truncated_by {
            lines.push(format!("[truncated; {}]", cut.advice()));
        }
        lines.join("\n")
    }
}

struct Query {
    globs: Globs,
    wanted: Wanted,
    ignored: Ignored,
    limit: usize,
}

impl Query {
    fn matches(&self, visit: &Visit, place: &Place) -> bool {
        let kind = match self.wanted {
            Wanted::File => visit.kind != Kind::Directory,
            Wanted::Directory => visit.kind == Kind::Directory,
            Wanted::Any => true,
        };
        kind && self
            .globs
            .matches(visit.path.strip_prefix(&place.path).unwrap_or(&visit.path))
    }
}

fn find(place: &Place, query: &Query, job: &Job) -> Result<Output, ToolError> {
    let mut walk = Walk::start(place, query.ignored, job)?;
    let mut found = Vec::new();
    while let Some(visit) = walk.step()? {
        if !query.matches(&visit, place) {
            continue;
        }
        if found.len() == query.limit {
            walk.cut = Some(Cut::Results);
            break;
        }
        let metadata = visit.metadata().ok();
        found.push(Entry {
            path: shown(&visit.path),
            kind: visit.kind,
            size: metadata
                .as_ref()
                .filter(|_| visit.kind == Kind::File)
                .map(Metadata::len),
            modified: metadata.as_ref().and_then(modified),
        });
    }
    Ok(Output {
        root: place.root.name.clone(),
        path: place.shown(),
        found,
        truncated: walk.cut.is_some(),
        truncated_by: walk.cut,
    })
}
