//! `.gitignore` rules, read through directory handles.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::fs::Dir;
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use crate::{Place, here, place::open_entry};

/// The rule files of a directory; later ones win.
const RULE_FILES: [&str; 2] = [".gitignore", ".ignore"];
const GIT_DIR: &str = ".git";
const GIT_EXCLUDES: &str = ".git/info/exclude";
/// What is read of one rule file, in bytes.
const MAX_RULES_BYTES: u64 = 1 << 20;

/// The rules of a directory and of those above it, up to the repository or the root. Cheap to
/// clone.
#[derive(Clone, Default)]
pub struct Ignores(Option<Arc<Level>>);

struct Level {
    /// Where these rules were found, relative to the root.
    base: PathBuf,
    rules: Gitignore,
    above: Ignores,
}

impl Ignores {
    /// The rules that hold for what is in `place`, except its own.
    pub fn above(place: &Place) -> Self {
        let mut ignores = Self::default();
        let mut above: Vec<&Path> = place.path.ancestors().skip(1).collect();
        above.reverse();
        for path in above {
            if let Ok(dir) = place.root.dir.open_dir(here(path)) {
                ignores = ignores.entering(&dir, path);
            }
        }
        ignores
    }

    /// With the rules of `dir`, which is at `path`. A repository does not obey the one around it.
    #[must_use]
    pub fn entering(&self, dir: &Dir, path: &Path) -> Self {
        let repository = dir.symlink_metadata(GIT_DIR).is_ok();
        let above = if repository {
            Self::default()
        } else {
            self.clone()
        };
        let mut builder = GitignoreBuilder::new(".");
        if repository {
            add(&mut builder, dir, GIT_EXCLUDES);
        }
        for name in RULE_FILES {
            add(&mut builder, dir, name);
        }
        match builder.build() {
            Ok(rules) if !rules.is_empty() => Self(Some(Arc::new(Level {
                base: path.to_owned(),
                rules,
                above,
            }))),
            _ => above,
        }
    }

    /// Whether the rules hide `path` (relative to the root). Its directory is not hidden.
    pub fn hide(&self, path: &Path, is_dir: bool) -> bool {
        let mut ignores = self;
        while let Some(level) = &ignores.0 {
            let below = path.strip_prefix(&level.base).unwrap_or(path);
            match level.rules.matched(below, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => ignores = &level.above,
            }
        }
        path.file_name().is_some_and(|name| name == GIT_DIR)
    }
}

/// A rule that does not parse is left out, as git does.
fn add(builder: &mut GitignoreBuilder, dir: &Dir, name: &str) {
    let Ok((file, _)) = open_entry(dir, Path::new(name)) else {
        return;
    };
    let mut text = Vec::new();
    if file.take(MAX_RULES_BYTES).read_to_end(&mut text).is_err() {
        return;
    }
    for line in String::from_utf8_lossy(&text)
        .trim_start_matches('\u{feff}')
        .lines()
    {
        drop(builder.add_line(None, line));
    }
}
