//! Lists a root's files: no symbolic link is followed, ignored and hidden files are left out.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use crate::{
    hidden::Ids,
    job::{Stop, Watch},
    limits::{ENTRIES, FILES, FOLDER_DEPTH, IGNORE_BYTES},
    root::{OpenRoot, Unread, read_in},
};

/// Read in every folder; later ones win.
const IGNORE_FILES: [&str; 2] = [".gitignore", ".ignore"];
/// Other people's code, in great number, whether or not it is ignored.
const VENDORED: &str = "node_modules";
/// Read in the root only.
const EXCLUDE_FILE: &str = ".git/info/exclude";

/// The files under a folder, sorted, relative to the root.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<PathBuf>,
    /// Why it is not all, for the reader.
    pub(crate) cut: Option<String>,
    pub(crate) unreadable: usize,
}

struct Folder {
    dir: Dir,
    path: PathBuf,
    ignores: Vec<Gitignore>,
    /// Not visited yet, in reverse order.
    entries: Vec<(OsString, bool)>,
}

/// Lists what `wanted` accepts under `start` (a folder; empty is the root).
pub(crate) fn list(
    root: &OpenRoot,
    start: &Path,
    watch: &Watch,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<Listing, WalkError> {
    let mut listing = Listing::default();
    let mut open = descend(root, start)?;
    let hidden = root.hidden();
    let mut seen = 0;
    if let Some(last) = open.last_mut() {
        last.entries = entries(&last.dir)?;
    }
    while let Some(folder) = open.last_mut() {
        let Some((name, is_dir)) = folder.entries.pop() else {
            open.pop();
            continue;
        };
        match watch.check() {
            Ok(()) => {}
            Err(Stop::Cancelled) => return Err(WalkError::Cancelled),
            Err(Stop::TimeUp) => return Ok(listing.cut_by("the time ran out while listing files")),
        }
        seen += 1;
        if seen > ENTRIES {
            return Ok(listing.cut_by(&format!("only the first {ENTRIES} entries were looked at")));
        }
        let path = folder.path.join(&name);
        if is_ignored(&open, &path, is_dir) {
            continue;
        }
        if is_dir {
            enter(&mut open, &mut listing, &name, path, &hidden);
        } else if wanted(&path) {
            if listing.files.len() == FILES {
                return Ok(listing.cut_by(&format!("only the first {FILES} files were looked at")));
            }
            listing.files.push(path);
        }
    }
    Ok(listing)
}

#[derive(Debug)]
pub(crate) enum WalkError {
    Cancelled,
    /// The folder to start in cannot be listed.
    Start(Unread),
}

impl<E: Into<Unread>> From<E> for WalkError {
    fn from(error: E) -> Self {
        Self::Start(error.into())
    }
}

impl Listing {
    fn cut_by(mut self, why: &str) -> Self {
        self.cut = Some(why.to_owned());
        self
    }
}

/// The folders from the root down to `start`, for their ignore files.
fn descend(root: &OpenRoot, start: &Path) -> Result<Vec<Folder>, WalkError> {
    let mut top = folder(root.dir.try_clone()?, PathBuf::new());
    top.ignores.insert(0, ignore_file(&root.dir, EXCLUDE_FILE));
    let mut open = vec![top];
    let mut path = PathBuf::new();
    for name in start {
        path.push(name);
        let dir = root.dir.open_dir(&path)?;
        open.push(folder(dir, path.clone()));
    }
    Ok(open)
}

fn enter(
    open: &mut Vec<Folder>,
    listing: &mut Listing,
    name: &OsString,
    path: PathBuf,
    hidden: &Ids,
) {
    let Some(parent) = open.last() else { return };
    if open.len() > FOLDER_DEPTH {
        listing.cut = Some(format!("folders deeper than {FOLDER_DEPTH} were left out"));
        return;
    }
    // Nofollow: it may have become a link since its entry was read.
    let opened = parent
        .dir
        .open_dir_nofollow(name)
        .and_then(|dir| Ok((entries(&dir)?, dir)));
    match opened {
        Ok((_, dir)) if dir.dir_metadata().is_ok_and(|found| hidden.hold(&found)) => {}
        Ok((entries, dir)) => open.push(Folder {
            entries,
            ..folder(dir, path)
        }),
        Err(_) => listing.unreadable += 1,
    }
}

fn folder(dir: Dir, path: PathBuf) -> Folder {
    let ignores = IGNORE_FILES
        .iter()
        .map(|name| ignore_file(&dir, name))
        .collect();
    Folder {
        dir,
        path,
        ignores,
        entries: Vec::new(),
    }
}

/// Files and folders, by name, last first. Hidden ones, links and special files are left out.
fn entries(dir: &Dir) -> std::io::Result<Vec<(OsString, bool)>> {
    let mut found = Vec::new();
    for entry in dir.entries()?.take(ENTRIES) {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".") || name == VENDORED;
        if !hidden && (kind.is_dir() || kind.is_file()) {
            found.push((name, kind.is_dir()));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// The deepest folder that says something about the path decides.
fn is_ignored(open: &[Folder], path: &Path, is_dir: bool) -> bool {
    for folder in open.iter().rev() {
        let Ok(below) = path.strip_prefix(&folder.path) else {
            continue;
        };
        for ignores in folder.ignores.iter().rev() {
            match ignores.matched(below, is_dir) {
                Match::None => {}
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
    }
    false
}

/// An ignore file's rules; none when it is absent or cannot be read.
fn ignore_file(dir: &Dir, name: &str) -> Gitignore {
    // A hidden file may say what is ignored: its words are not shown.
    let Ok(bytes) = read_in(dir, Path::new(name), IGNORE_BYTES, &Ids::default()) else {
        return Gitignore::empty();
    };
    let mut builder = GitignoreBuilder::new("");
    for line in String::from_utf8_lossy(&bytes).lines() {
        // As git does: a pattern that makes no sense is passed over.
        drop(builder.add_line(None, line).map(drop));
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}
