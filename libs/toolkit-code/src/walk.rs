//! Which files a search looks at.

use std::{ffi::OsStr, path::PathBuf};

use waybill_toolkit::ToolError;
use waybill_workspace::{Ignored, Job, Kind, Place, Walk};

use crate::{limits::FILES, unread::Unread};

/// Other people's code, in great number, whether or not it is ignored.
const VENDORED: &str = "node_modules";

/// The files under a folder, sorted, relative to the root.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<PathBuf>,
    /// Why it is not all, for the reader.
    pub(crate) cut: Option<String>,
    pub(crate) unreadable: u64,
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

impl From<ToolError> for WalkError {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Cancelled => Self::Cancelled,
            other => Self::Start(Unread::Refused(other.to_string())),
        }
    }
}

/// Lists what `wanted` accepts below a folder. Links are not followed; ignored and hidden files are
/// left out.
pub(crate) fn list(
    start: &Place,
    job: &Job,
    wanted: &dyn Fn(&std::path::Path) -> bool,
) -> Result<Listing, WalkError> {
    let mut walk = Walk::without(is_passed_over, start, Ignored::Hidden, job)?;
    let mut listing = Listing::default();
    while let Some(visit) = walk.step()? {
        if visit.kind != Kind::File || !wanted(&visit.path) {
            continue;
        }
        if listing.files.len() == FILES {
            listing.cut = Some(format!("only the first {FILES} files were looked at"));
            break;
        }
        listing.files.push(visit.path);
    }
    listing.cut = listing.cut.or(walk.cut.map(|cut| cut.advice().to_owned()));
    listing.unreadable = walk.unreadable;
    Ok(listing)
}

fn is_passed_over(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == VENDORED
}
