//! `files_tree`: what lies below a directory, the upper levels first.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, Metadata};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_toolkit::{Effect, ToolContext, ToolError, ToolSpec, TypedTool};
use waybill_workspace::{
    Children, Cut, Found, Ignored, Ignores, Job, Kind, Place, Roots, children, here, is_visible,
    shown,
};

use super::{ROOT_ITSELF, limit};
use crate::{
    blocking,
    entry::{count, human_size},
};

const DEFAULT_DEPTH: usize = 3;
const MAX_DEPTH: usize = 32;
const DEFAULT_ENTRIES: usize = 500;
const MAX_ENTRIES: usize = 5_000;

pub(crate) struct FilesTree(pub(crate) Arc<Roots>);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Input {
    /// The directory, relative to the root; the root itself by default.
    path: Option<String>,
    /// Name of the root, as `files_roots` tells; the first by default.
    root: Option<String>,
    /// Levels below `path`: 3 by default, at most 32.
    #[schemars(range(min = 1, max = 32))]
    depth: Option<u32>,
    /// How many entries to answer with, the upper levels first: 500 by default, at most 5000.
    #[schemars(range(min = 1, max = 5_000))]
    limit: Option<u32>,
    /// Show what `.gitignore` hides and what is in `.git`, too.
    #[serde(default)]
    include_ignored: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    root: String,
    path: String,
    /// Each directory before what is in it.
    entries: Vec<Entry>,
    /// Whether entries were left out because of the limit or the time, not the depth.
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated_by: Option<Cut>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Entry {
    /// Relative to the root.
    path: String,
    kind: Kind,
    /// 1 for what is in the directory itself.
    depth: usize,
    /// Bytes, of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Of a directory whose content is not (all) shown: true.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

impl TypedTool for FilesTree {
    type Input = Input;
    type Output = Output;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "files_tree",
            "Shows the tree below a directory, a few levels deep; what .gitignore hides is left \
             out, symlinks are not followed. A good first look at a project.",
            Effect::ReadOnly,
        )
    }

    async fn run(&self, input: Input, cx: &ToolContext) -> Result<Output, ToolError> {
        let place = self.0.place(
            input.root.as_deref(),
            input.path.as_deref().unwrap_or(ROOT_ITSELF),
        )?;
        let bounds = Bounds {
            depth: limit(input.depth, DEFAULT_DEPTH, MAX_DEPTH),
            entries: limit(input.limit, DEFAULT_ENTRIES, MAX_ENTRIES),
            ignored: input.include_ignored.into(),
        };
        blocking(cx, move |job| Growing::new(&place, &bounds)?.grow(job)).await
    }

    fn render(output: &Output) -> String {
        let mut lines = vec![format!("{}/", output.path)];
        for Entry {
            path,
            kind,
            depth,
            size,
            more,
        } in &output.entries
        {
            let name = path.rsplit('/').next().unwrap_or(path);
            let size = size
                .map(|size| format!(" ({})", human_size(size)))
                .unwrap_or_default();
            let more = if *more { " ..." } else { "" };
            let indent = "  ".repeat(*depth);
            lines.push(format!("{indent}{name}{}{size}{more}", kind.mark()));
        }
        lines.push(format!("[{}]", count(output.entries.len() as u64, "entry")));
        if let Some(cut) = output.truncated_by {
            lines.push(format!("[truncated; {}]", cut.advice()));
        }
        lines.join("\n")
    }
}

struct Bounds {
    depth: usize,
    entries: usize,
    ignored: Ignored,
}

/// A directory whose content is not read yet.
struct Bud {
    path: PathBuf,
    depth: usize,
    ignores: Ignores,
    /// Its place among the entries; none for where the tree starts.
    entry: Option<usize>,
}

/// Level by level, so that a limit cuts the deepest and not the last.
struct Growing<'a> {
    start: &'a Place,
    bounds: &'a Bounds,
    dir: Dir,
    buds: VecDeque<Bud>,
    entries: Vec<(PathBuf, Entry)>,
    cut: Option<Cut>,
}

impl<'a> Growing<'a> {
    fn new(start: &'a Place, bounds: &'a Bounds) -> Result<Self, ToolError> {
        let dir = start.open_dir()?;
        let ignores = match bounds.ignored {
            Ignored::Hidden => Ignores::above(start),
            Ignored::Shown => Ignores::default(),
        };
        let first = Bud {
            path: start.path.clone(),
            depth: 0,
            ignores,
            entry: None,
        };
        let buds = VecDeque::from([first]);
        Ok(Self {
            start,
            bounds,
            dir,
            buds,
            entries: Vec::new(),
            cut: None,
        })
    }

    fn grow(mut self, job: &Job) -> Result<Output, ToolError> {
        while let Some(bud) = self.buds.pop_front() {
            job.check()?;
            if job.out_of_time() {
                self.cut = Some(Cut::Time);
            }
            if self.cut.is_some() || bud.depth == self.bounds.depth || !self.open(&bud, job)? {
                self.leave_closed(&bud);
            }
        }
        self.entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Output {
            root: self.start.root.name.clone(),
            path: self.start.shown(),
            entries: self.entries.into_iter().map(|(_, entry)| entry).collect(),
            truncated: self.cut.is_some(),
            truncated_by: self.cut,
        })
    }

    fn leave_closed(&mut self, bud: &Bud) {
        if let Some(index) = bud.entry {
            self.entries[index].1.more = true;
        }
    }

    /// Adds what is in a directory. False when not all of it is shown.
    fn open(&mut self, bud: &Bud, job: &Job) -> Result<bool, ToolError> {
        let below = bud.path.strip_prefix(&self.start.path).unwrap_or(&bud.path);
        // Below the handle of the start: whatever a part of the path became meanwhile, it is inside.
        let Ok(dir) = self.dir.open_dir_nofollow(here(below)) else {
            return Ok(false);
        };
        let metadata = dir.dir_metadata();
        if metadata.is_ok_and(|found| self.start.root.hidden.now().hold(&found)) {
            return Ok(false);
        }
        let ignores = match self.bounds.ignored {
            Ignored::Hidden => bud.ignores.entering(&dir, &bud.path),
            Ignored::Shown => Ignores::default(),
        };
        let all = self.bounds.ignored == Ignored::Shown;
        let visible = |found: &Found| all || is_visible(&ignores, &bud.path, found);
        let Ok(Children { found, cut }) = children(&dir, job, visible)? else {
            return Ok(false);
        };
        if cut {
            self.cut = Some(Cut::Entries);
        }
        for found in found {
            if self.entries.len() == self.bounds.entries {
                self.cut = Some(Cut::Results);
                return Ok(false);
            }
            self.add(&dir, bud, Path::new(&found.name), found.kind, &ignores);
        }
        Ok(!cut)
    }

    fn add(&mut self, dir: &Dir, bud: &Bud, name: &Path, kind: Kind, ignores: &Ignores) {
        let (path, depth) = (bud.path.join(name), bud.depth + 1);
        if kind == Kind::Directory {
            let entry = Some(self.entries.len());
            self.buds.push_back(Bud {
                path: path.clone(),
                depth,
                ignores: ignores.clone(),
                entry,
            });
        }
        let metadata = if kind == Kind::File {
            dir.symlink_metadata(name).ok()
        } else {
            None
        };
        let size = metadata.as_ref().map(Metadata::len);
        self.entries.push((
            path.clone(),
            Entry {
                path: shown(&path),
                kind,
                depth,
                size,
                more: false,
            },
        ));
    }
}
