//! What a name in a directory stands for, and how a path is written.

use std::path::Path;

use cap_std::fs::{FileType, FileTypeExt};
use schemars::JsonSchema;
use serde::Serialize;

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    Device,
    Other,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
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
    pub const fn mark(self) -> &'static str {
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

/// A path as callers write it: `/` between the parts, `.` for the root itself, lossy where a name
/// is not UTF-8.
pub fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        return ".".to_owned();
    }
    path.components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}
