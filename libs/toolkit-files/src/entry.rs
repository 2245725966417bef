//! What is known of one thing in a directory.

use std::{io, path::Path};

use cap_std::fs::{FileType, FileTypeExt, Metadata};
use chrono::{DateTime, SubsecRound, Utc};
use schemars::JsonSchema;
use serde::Serialize;

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    Device,
    Other,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Device => "device",
            Self::Other => "other",
        }
    }

    /// What `ls -F` appends to a name.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::File => "",
            Self::Directory => "/",
            Self::Symlink => "@",
            Self::Fifo => "|",
            Self::Socket => "=",
            Self::Device | Self::Other => "?",
        }
    }
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            _ if kind.is_file() => Self::File,
            _ if kind.is_dir() => Self::Directory,
            _ if kind.is_symlink() => Self::Symlink,
            _ if kind.is_fifo() => Self::Fifo,
            _ if kind.is_socket() => Self::Socket,
            _ if kind.is_block_device() || kind.is_char_device() => Self::Device,
            _ => Self::Other,
        }
    }
}

/// Last change of the content, to the second. `None` where the file system keeps none.
pub(crate) fn modified(metadata: &Metadata) -> Option<DateTime<Utc>> {
    let modified: io::Result<_> = metadata.modified();
    modified
        .ok()
        .map(|time| DateTime::<Utc>::from(time.into_std()).trunc_subsecs(0))
}

/// A path as callers write it: `/` between the parts, `.` for the root itself, lossy where a name
/// is not UTF-8.
pub(crate) fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        return ".".to_owned();
    }
    path.components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

/// `12 B`, `3.4 KiB`, `5.6 MiB`.
pub(crate) fn human_size(bytes: u64) -> String {
    const STEPS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match STEPS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => {
            let tenths = bytes / (size / 10);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    match (number, noun) {
        (1, _) => format!("1 {noun}"),
        (_, "match") => format!("{number} matches"),
        (_, "entry") => format!("{number} entries"),
        _ => format!("{number} {noun}s"),
    }
}
