//! The small files of the data directory: the first key, and where the gateway listens.

use std::{
    fs::DirBuilder,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The first API key's secret.
pub(crate) fn key_file(data_dir: &Path) -> PathBuf {
    data_dir.join("api-key")
}

/// What wraps data keys where there is no key service.
pub(crate) fn master_key(data_dir: &Path) -> PathBuf {
    data_dir.join("master-key")
}

/// The URL of the process that serves this data directory.
pub(crate) fn url_file(data_dir: &Path) -> PathBuf {
    data_dir.join("url")
}

/// For its owner only.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make {}", path.display()))
}

/// Replaces the file whole; readable by its owner only.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The first line, trimmed.
pub(crate) fn read_line(path: &Path) -> Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
