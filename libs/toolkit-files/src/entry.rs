//! What is known of one thing in a directory.

use std::io;

use cap_std::fs::Metadata;
use chrono::{DateTime, SubsecRound, Utc};

/// Last change of the content, to the second. `None` where the file system keeps none.
pub(crate) fn modified(metadata: &Metadata) -> Option<DateTime<Utc>> {
    let modified: io::Result<_> = metadata.modified();
    modified
        .ok()
        .map(|time| DateTime::<Utc>::from(time.into_std()).trunc_subsecs(0))
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
