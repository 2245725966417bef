//! Going through a directory tree by handles: no path is resolved twice, no symlink followed.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, DirEntry, File, Metadata};
use schemars::JsonSchema;
use serde::Serialize;
use waybill_toolkit::ToolError;

use crate::{Ids, Ignores, Job, Kind, Place, place::open_entry};

/// Names that are read of one directory.
pub const MAX_DIRECTORY_NAMES: usize = 200_000;
/// Entries that one walk looks at.
pub(crate) const MAX_WALK_ENTRIES: u64 = 1_000_000;
/// Directories below each other that a walk opens at the same time.
pub(crate) const MAX_WALK_DEPTH: usize = 128;

/// Whether a walk sees what `.gitignore` hides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    Hidden,
    Shown,
}

impl From<bool> for Ignored {
    fn from(include_ignored: bool) -> Self {
        if include_ignored {
            Self::Shown
        } else {
            Self::Hidden
        }
    }
}

/// Why not everything was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cut {
    /// As many results as were asked for.
    Results,
    /// The limit of entries that one call looks at.
    Entries,
    /// A directory deeper than a walk goes.
    Depth,
    /// The call's time.
    Time,
}

impl Cut {
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Results => "more exist: narrow the query or raise the limit",
            Self::Entries => "the tree is too large for one call: start in a subdirectory",
            Self::Depth => "directories lie too deep: start in a subdirectory",
            Self::Time => "out of time: start in a subdirectory or narrow the query",
        }
    }
}

/// A name and what it stands for.
pub struct Found {
    pub name: OsString,
    pub kind: Kind,
}

/// What is in one directory, in the order of the names.
pub struct Children {
    pub found: Vec<Found>,
    pub cut: bool,
}

/// Reads a directory's names. Stops when the call does, and at the limit of names.
pub fn children(
    dir: &Dir,
    job: &Job,
    shown: impl Fn(&Found) -> bool,
) -> Result<io::Result<Children>, ToolError> {
    let entries = match dir.entries() {
        Ok(entries) => entries,
        Err(error) => return Ok(Err(error)),
    };
    let (mut found, mut cut) = (Vec::new(), false);
    for (index, entry) in entries.enumerate() {
        if index % 1024 == 0 {
            job.check()?;
        }
        if index == MAX_DIRECTORY_NAMES {
            cut = true;
            break;
        }
        match entry {
            Ok(entry) => {
                let one = Found {
                    kind: kind(&entry),
                    name: entry.file_name(),
                };
                if shown(&one) {
                    found.push(one);
                }
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(Ok(Children { found, cut }))
}

/// Some file systems tell the kind only of the file, not with its name.
fn kind(entry: &DirEntry) -> Kind {
    match entry.file_type().map(Kind::from) {
        Ok(Kind::Other) | Err(_) => entry
            .metadata()
            .map_or(Kind::Other, |metadata| metadata.file_type().into()),
        Ok(kind) => kind,
    }
}

/// One thing that a walk came by.
pub struct Visit {
    hidden: Arc<Ids>,
    dir: Arc<Dir>,
    name: OsString,
    /// Relative to the root.
    pub path: PathBuf,
    pub kind: Kind,
}

impl Visit {
    /// Opens it if it still is a regular file, and a served one.
    pub fn open(&self) -> io::Result<(File, Metadata)> {
        let (file, metadata) = open_entry(&self.dir, Path::new(&self.name))?;
        if self.hidden.hold(&metadata) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok((file, metadata))
    }

    /// Of itself, if it is a symlink.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.dir.symlink_metadata(&self.name)
    }
}

/// Depth first, in the order of the names, each directory before what is in it.
pub struct Walk<'a> {
    job: &'a Job,
    hidden: Arc<Ids>,
    ignored: Ignored,
    passed_over: fn(&OsStr) -> bool,
    open: Vec<Level>,
    seen: u64,
    /// Directories that could not be read.
    pub unreadable: u64,
    pub cut: Option<Cut>,
}

struct Level {
    dir: Arc<Dir>,
    path: PathBuf,
    ignores: Ignores,
    found: std::vec::IntoIter<Found>,
}

impl<'a> Walk<'a> {
    /// Starts in a directory. Rules above it hold; that it is hidden itself does not matter.
    pub fn start(place: &Place, ignored: Ignored, job: &'a Job) -> Result<Self, ToolError> {
        Self::without(|_| false, place, ignored, job)
    }

    /// The same; what has a name that is `passed_over` is neither seen nor entered.
    pub fn without(
        passed_over: fn(&OsStr) -> bool,
        place: &Place,
        ignored: Ignored,
        job: &'a Job,
    ) -> Result<Self, ToolError> {
        let dir = place.open_dir()?;
        let above = match ignored {
            Ignored::Hidden => Ignores::above(place),
            Ignored::Shown => Ignores::default(),
        };
        let mut walk = Self {
            job,
            hidden: Arc::new(place.root.hidden.now()),
            ignored,
            passed_over,
            open: Vec::new(),
            seen: 0,
            unreadable: 0,
            cut: None,
        };
        walk.enter(dir, place.path.clone(), &above)?;
        Ok(walk)
    }

    /// The next thing, or `None` at the end or at a limit ([`Self::cut`]).
    pub fn step(&mut self) -> Result<Option<Visit>, ToolError> {
        loop {
            self.job.check()?;
            if self.job.out_of_time() {
                self.cut = Some(Cut::Time);
                return Ok(None);
            }
            let Some(level) = self.open.last_mut() else {
                return Ok(None);
            };
            let Some(Found { name, kind }) = level.found.next() else {
                self.open.pop();
                continue;
            };
            if self.seen == MAX_WALK_ENTRIES {
                self.cut = Some(Cut::Entries);
                return Ok(None);
            }
            self.seen += 1;
            let visit = Visit {
                hidden: self.hidden.clone(),
                dir: level.dir.clone(),
                path: level.path.join(&name),
                name,
                kind,
            };
            if kind == Kind::Directory {
                let ignores = level.ignores.clone();
                self.descend(&visit, &ignores)?;
            }
            return Ok(Some(visit));
        }
    }

    fn descend(&mut self, visit: &Visit, ignores: &Ignores) -> Result<(), ToolError> {
        if self.open.len() == MAX_WALK_DEPTH {
            self.cut = Some(Cut::Depth);
            return Ok(());
        }
        // A directory that became a symlink since its name was read is not followed.
        let Ok(dir) = visit.dir.open_dir_nofollow(&visit.name) else {
            self.unreadable += 1;
            return Ok(());
        };
        let metadata = dir.dir_metadata();
        if metadata.is_ok_and(|found| self.hidden.hold(&found)) {
            return Ok(());
        }
        self.enter(dir, visit.path.clone(), ignores)
    }

    fn enter(&mut self, dir: Dir, path: PathBuf, above: &Ignores) -> Result<(), ToolError> {
        let ignores = match self.ignored {
            Ignored::Hidden => above.entering(&dir, &path),
            Ignored::Shown => Ignores::default(),
        };
        let all = self.ignored == Ignored::Shown;
        let visible = |found: &Found| {
            !(self.passed_over)(&found.name) && (all || is_visible(&ignores, &path, found))
        };
        match children(&dir, self.job, visible)? {
            Ok(Children { found, cut }) => {
                if cut {
                    self.cut = Some(Cut::Entries);
                }
                let found = found.into_iter();
                self.open.push(Level {
                    dir: Arc::new(dir),
                    path,
                    ignores,
                    found,
                });
            }
            Err(_) => self.unreadable += 1,
        }
        Ok(())
    }
}

/// Whether `.gitignore` rules leave a name in `path` visible.
pub fn is_visible(ignores: &Ignores, path: &Path, found: &Found) -> bool {
    !ignores.hide(&path.join(&found.name), found.kind == Kind::Directory)
}
