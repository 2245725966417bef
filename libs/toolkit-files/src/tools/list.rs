//! `files_list`: one directory.

use std::sync::Arc;

use cap_std::fs::{Dir, Metadata};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_toolkit::{Effect, ToolContext, ToolError, ToolSpec, TypedTool};
use waybill_workspace::{Children, Found, Job, Kind, MAX_DIRECTORY_NAMES, Place, Roots, children};

use super::{ROOT_ITSELF, limit};
use crate::{
    blocking,
    entry::{count, human_size, modified},
};

const DEFAULT_ENTRIES: usize = 200;
const MAX_ENTRIES: usize = 2_000;

pub(crate) struct FilesList(pub(crate) Arc<Roots>);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Input {
    /// The directory, relative to the root; the root itself by default.
    path: Option<String>,
    /// Name of the root, as `files_roots` tells; the first by default.
    root: Option<String>,
    /// How many entries to skip: the number of those already seen.
    offset: Option<u32>,
    /// How many entries to answer with: 200 by default, at most 2000.
    #[schemars(range(min = 1, max = 2_000))]
    limit: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    root: String,
    path: String,
    /// In the order of the names.
    entries: Vec<Entry>,
    /// How many the directory has; of a directory with more than 200000, that many.
    total: usize,
    offset: usize,
    /// Whether more follow these.
    truncated: bool,
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    /// `�` stands for what is not UTF-8.
    name: String,
    kind: Kind,
    /// Bytes, of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<DateTime<Utc>>,
}

impl TypedTool for FilesList {
    type Input = Input;
    type Output = Output;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "files_list",
            "Lists one directory: names with kind, size and time of the last change, hidden ones \
             too. For a whole tree use files_tree, to find files by name files_glob.",
            Effect::ReadOnly,
        )
    }

    async fn run(&self, input: Input, cx: &ToolContext) -> Result<Output, ToolError> {
        let place = self.0.place(
            input.root.as_deref(),
            input.path.as_deref().unwrap_or(ROOT_ITSELF),
        )?;
        let offset = input.offset.map_or(0, |offset| offset as usize);
        let limit = limit(input.limit, DEFAULT_ENTRIES, MAX_ENTRIES);
        blocking(cx, move |job| list(&place, offset, limit, job)).await
    }

    fn render(output: &Output) -> String {
        let total = count(output.total as u64, "entry");
        let mut lines = vec![format!("{} ({total})", output.path)];
        for Entry {
            name,
            kind,
            size,
            modified,
        } in &output.entries
        {
            let size = size.map(human_size).unwrap_or_default();
            let day = modified
                .map(|time| time.format("%F %T").to_string())
                .unwrap_or_default();
            lines.push(format!("{day:19} {size:>10} {name}{}", kind.mark()));
        }
        if output.truncated {
            let next = output.offset + output.entries.len();
            lines.push(format!("[more: continue with offset {next}]"));
        }
        lines.join("\n")
    }
}

fn list(place: &Place, offset: usize, limit: usize, job: &Job) -> Result<Output, ToolError> {
    let dir = place.open_dir()?;
    let Children { found, cut } =
        children(&dir, job, |_| true)?.map_err(|error| place.refused(error.into()))?;
    let total = if cut {
        MAX_DIRECTORY_NAMES
    } else {
        found.len()
    };
    let entries: Vec<Entry> = found
        .iter()
        .skip(offset)
        .take(limit)
        .map(|found| entry(&dir, found))
        .collect();
    Ok(Output {
        root: place.root.name.clone(),
        path: place.shown(),
        truncated: offset + entries.len() < total,
        entries,
        total,
        offset,
    })
}

/// A file that went away since its name was read keeps its name.
fn entry(dir: &Dir, found: &Found) -> Entry {
    let metadata = dir.symlink_metadata(&found.name).ok();
    let kind = metadata
        .as_ref()
        .map_or(found.kind, |metadata| metadata.file_type().into());
    let size = metadata
        .as_ref()
        .filter(|_| kind == Kind::File)
        .map(Metadata::len);
    Entry {
        name: found.name.to_string_lossy().into_owned(),
        kind,
        size,
        modified: metadata.as_ref().and_then(modified),
    }
}
