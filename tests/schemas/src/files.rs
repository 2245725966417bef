//! The generated files: their paths from the root of the workspace, and their text.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Folders in which every file is generated: others there are left over.
const OWNED: &[&str] = &["schemas/events"];

#[derive(Default)]
pub(crate) struct Files(BTreeMap<String, String>);

impl Files {
    pub(crate) fn add(&mut self, path: impl Into<String>, text: String) {
        self.0.insert(path.into(), text);
    }

    /// Writes what differs and removes what is left over; how many files were touched.
    pub(crate) fn write(&self) -> Result<usize> {
        let stale = self.stale()?;
        for path in &stale {
            let full = root().join(path);
            let Some(text) = self.0.get(path) else {
                fs::remove_file(&full).with_context(|| format!("cannot remove {path}"))?;
                continue;
            };
            let folder = full.parent().context("every file is in a folder")?;
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&full, text))
                .with_context(|| format!("cannot write {path}"))?;
        }
        Ok(stale.len())
    }

    /// Paths whose content differs, is missing or is left over.
    pub(crate) fn stale(&self) -> Result<Vec<String>> {
        let mut stale = Vec::new();
        for (path, text) in &self.0 {
            if read(&root().join(path))?.as_ref() != Some(text) {
                stale.push(path.clone());
            }
        }
        for folder in OWNED {
            stale.extend(self.left_over(folder)?);
        }
        Ok(stale)
    }

    fn left_over(&self, folder: &str) -> Result<Vec<String>> {
        let entries = match fs::read_dir(root().join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot list {folder}")),
        };
        let mut left_over = Vec::new();
        for entry in entries {
            let name = entry.context("cannot list a folder")?.file_name();
            let path = format!("{folder}/{}", name.to_string_lossy());
            if !self.0.contains_key(&path) {
                left_over.push(path);
            }
        }
        Ok(left_over)
    }
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../..")
}

/// `None` when there is none.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
