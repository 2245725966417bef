//! Which files a search looks at, and what became of them.

use std::{fmt::Write, path::Path};

use globset::{GlobBuilder, GlobMatcher};
use schemars::JsonSchema;
use serde::Serialize;
use waybill_toolkit::ToolError;
use waybill_workspace::{Job, Place, Roots, Stop, shown};

use crate::{
    job,
    language::{Grammars, Language},
    limits::{GLOB_BYTES, SKIPPED},
    source::{Failed, Sources},
    unread::{Unread, quoted},
    walk::{self, Listing, WalkError},
};

/// A folder or a file of a root, narrowed by glob and language.
pub(crate) struct Scope {
    place: Place,
    glob: Option<GlobMatcher>,
    language: Option<Language>,
}

/// The same words in the input of every search.
#[derive(Clone, Copy, Default)]
pub(crate) struct Narrowing<'a> {
    pub(crate) root: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
    pub(crate) glob: Option<&'a str>,
    pub(crate) language: Option<&'a str>,
}

/// A file that was not looked into.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Skipped {
    path: String,
    reason: String,
}

/// How much of a file was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visited {
    Whole,
    Partly,
}

/// How much was looked at.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Coverage {
    /// Files that were looked at.
    pub(crate) files: usize,
    /// Files that were not looked into, and why: the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) skipped: Vec<Skipped>,
    /// How many were not looked into.
    pub(crate) skipped_count: usize,
    /// Why the answer does not cover everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incomplete: Option<String>,
}

impl Scope {
    pub(crate) fn new(roots: &Roots, narrow: Narrowing<'_>) -> Result<Self, ToolError> {
        Ok(Self {
            place: roots.place(narrow.root, narrow.path.unwrap_or_default())?,
            glob: narrow.glob.map(glob).transpose()?,
            language: narrow.language.map(Language::parse).transpose()?,
        })
    }

    /// The supported files in the scope. A file that is named itself must be supported.
    pub(crate) fn sources(&self, job: &Job) -> Result<Listing, WalkError> {
        if !self.place.metadata()?.is_dir() {
            if Language::of(self.start()).is_none() {
                return Err(WalkError::Start(Unread::Unsupported));
            }
            return Ok(Listing {
                files: vec![self.place.path.clone()],
                ..Listing::default()
            });
        }
        walk::list(&self.place, job, &|path| {
            let Some(found) = Language::of(path) else {
                return false;
            };
            self.language.is_none_or(|wanted| wanted.covers(found))
                && self.glob.as_ref().is_none_or(|glob| glob.is_match(path))
        })
    }

    /// Every file in the scope, which must be a folder.
    pub(crate) fn all(&self, job: &Job) -> Result<Listing, WalkError> {
        if !self.place.metadata()?.is_dir() {
            return Err(WalkError::Start(Unread::NoFolder));
        }
        walk::list(&self.place, job, &|_| true)
    }

    pub(crate) fn start(&self) -> &Path {
        &self.place.path
    }

    pub(crate) fn root_name(&self) -> &str {
        &self.place.root.name
    }

    /// A path of the same root.
    pub(crate) fn beside(&self, path: &Path) -> Place {
        Place::new(self.place.root.clone(), path.to_owned())
    }

    /// The same failure for the caller.
    pub(crate) fn refused(&self, error: &WalkError) -> ToolError {
        match error {
            WalkError::Cancelled => ToolError::Cancelled,
            WalkError::Start(why) => ToolError::Invalid(format!("{} {why}", self.place.shown())),
        }
    }

    /// Reads the files one by one. What `visit` cannot use is noted, not an error.
    pub(crate) fn visit(
        &self,
        listing: &Listing,
        grammars: &Grammars,
        job: &Job,
        visit: &mut dyn FnMut(&mut Sources<'_>, &Path, Language) -> Result<Visited, Failed>,
    ) -> Result<Coverage, ToolError> {
        let mut coverage = Coverage::of(listing);
        let mut sources = Sources::new(self.place.root.clone(), grammars, job);
        for (done, path) in listing.files.iter().enumerate() {
            job::step(job, done, listing.files.len());
            let Some(language) = Language::of(path) else {
                continue;
            };
            let result = job.go_on().map_err(Failed::Stop);
            match result.and_then(|()| visit(&mut sources, path, language)) {
                Ok(Visited::Whole) => coverage.files += 1,
                Ok(Visited::Partly) => {
                    coverage.files += 1;
                    match job.go_on() {
                        Ok(()) => coverage.cut(format!("{} is too large to finish", shown(path))),
                        Err(_) => coverage.time_up(done, listing.files.len()),
                    }
                }
                Err(Failed::File(unread)) => coverage.skip(path, &unread),
                Err(Failed::Stop(Stop::Cancelled)) => return Err(ToolError::Cancelled),
                Err(Failed::Stop(Stop::TimeUp)) => {
                    coverage.time_up(done, listing.files.len());
                    break;
                }
                Err(Failed::Full(why)) => {
                    coverage.cut(why);
                    break;
                }
            }
        }
        Ok(coverage)
    }
}

impl Coverage {
    pub(crate) fn of(listing: &Listing) -> Self {
        let unreadable = listing.unreadable;
        let folders = (unreadable > 0).then(|| format!("{unreadable} folders cannot be read"));
        let incomplete = listing.cut.clone().or(folders);
        Self {
            incomplete,
            ..Self::default()
        }
    }

    pub(crate) fn skip(&mut self, path: &Path, why: &Unread) {
        self.skipped_count += 1;
        if self.skipped.len() < SKIPPED {
            self.skipped.push(Skipped {
                path: shown(path),
                reason: why.to_string(),
            });
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.skipped_count += other.skipped_count;
        self.skipped.extend(other.skipped);
        self.skipped.truncate(SKIPPED);
        self.incomplete = self.incomplete.take().or(other.incomplete);
    }

    pub(crate) fn time_up(&mut self, done: usize, total: usize) {
        self.cut(format!("the time ran out after {done} of {total} files"));
    }

    pub(crate) fn cut(&mut self, why: String) {
        self.incomplete.get_or_insert(why);
    }

    /// The end of an answer's text; nothing when all went well.
    pub(crate) fn render(&self, text: &mut String) {
        if let Some(why) = &self.incomplete {
            line(text, format_args!("Incomplete: {why}."));
        }
        for Skipped { path, reason } in &self.skipped {
            line(text, format_args!("Skipped: {path} {reason}."));
        }
        let more = self.skipped_count - self.skipped.len();
        if more > 0 {
            line(text, format_args!("Skipped: {more} more files."));
        }
    }
}

/// Appends a line to an answer's text.
pub(crate) fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("a String takes every write");
    text.push('\n');
}

/// Without a `/` a glob means file names in every folder, as in `.gitignore`.
fn glob(text: &str) -> Result<GlobMatcher, ToolError> {
    let invalid =
        |why: &dyn std::fmt::Display| ToolError::Invalid(format!("glob {}: {why}", quoted(text)));
    if text.len() > GLOB_BYTES {
        return Err(invalid(&"is too long"));
    }
    let text = text.strip_prefix("./").unwrap_or(text);
    let anywhere = if text.contains('/') {
        text.to_owned()
    } else {
        format!("**/{text}")
    };
    let glob = GlobBuilder::new(&anywhere).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|error| invalid(error.kind()))
}

/// The caller's limit within the bounds.
pub(crate) fn results(limit: Option<usize>) -> usize {
    use crate::limits::{MAX_RESULTS, RESULTS};
    limit.unwrap_or(RESULTS).clamp(1, MAX_RESULTS)
}
