//! A file's bytes, or why there are none.

use std::io::{self, Read};

use waybill_workspace::{Kind, Place, Refusal, Refused};

use crate::{
    language::supported,
    limits::{BINARY_PROBE_BYTES, LINE_BYTES, PARSE_TIME},
};

/// Why a file gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error("does not exist")]
    Missing,
    #[error("leads outside the root")]
    Outside,
    #[error("is the gateway's own data or configuration: it is not served")]
    Hidden,
    #[error("is a folder")]
    Folder,
    #[error("is not a folder")]
    NoFolder,
    #[error("is not a regular file")]
    Special,
    #[error("is larger than {limit} bytes")]
    Large { limit: u64 },
    #[error("is binary")]
    Binary,
    #[error("is minified or generated: it has a line of more than {LINE_BYTES} bytes")]
    Minified,
    #[error("took more than {} s to parse", PARSE_TIME.as_secs())]
    Slow,
    #[error("is in no supported language; {}", supported())]
    Unsupported,
    #[error("cannot be looked into: {0}")]
    Refused(String),
    #[error("cannot be read: {0}")]
    Io(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            _ => Self::Io(error),
        }
    }
}

impl From<Refused> for Unread {
    fn from(refused: Refused) -> Self {
        match refused.why {
            Refusal::Hidden => Self::Hidden,
            Refusal::Outside => Self::Outside,
            Refusal::Kind(Kind::Directory) => Self::Folder,
            Refusal::Kind(_) => Self::Special,
            Refusal::Io(error) => error.into(),
        }
    }
}

/// A regular file's bytes, at most `limit`.
pub(crate) fn read(place: &Place, limit: u64) -> Result<Vec<u8>, Unread> {
    let (file, metadata) = place.open_file()?;
    if metadata.len() > limit {
        return Err(Unread::Large { limit });
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    // It may have grown since it was measured.
    if bytes.len() as u64 > limit {
        Err(Unread::Large { limit })
    } else {
        Ok(bytes)
    }
}

/// Refuses what no person wrote.
pub(crate) fn check_source(bytes: &[u8]) -> Result<(), Unread> {
    if is_binary(bytes) {
        return Err(Unread::Binary);
    }
    if bytes
        .split(|byte| *byte == b'\n')
        .any(|line| line.len() > LINE_BYTES)
    {
        return Err(Unread::Minified);
    }
    Ok(())
}

pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(BINARY_PROBE_BYTES)].contains(&0)
}

/// A caller's text for an error message.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 200;
    let shown: String = text.chars().take(SHOWN).collect();
    format!("{shown:?}")
}
