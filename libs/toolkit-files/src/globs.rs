//! Glob patterns of callers.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use waybill_toolkit::ToolError;

/// Patterns in one call.
const MAX_PATTERNS: usize = 32;
/// Characters of one pattern.
const MAX_PATTERN_CHARS: usize = 1_000;

/// Patterns that a path must match one of, and those that it must not (`!` before them).
pub(crate) struct Globs {
    included: GlobSet,
    excluded: GlobSet,
}

impl Globs {
    /// No pattern matches everything. `*` and `?` stay within one name, `**` crosses them; a
    /// pattern without a slash matches names at any depth.
    pub(crate) fn parse<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ToolError> {
        let (mut included, mut excluded) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for (index, pattern) in patterns.into_iter().enumerate() {
            if index == MAX_PATTERNS || pattern.chars().count() > MAX_PATTERN_CHARS {
                return Err(ToolError::Invalid(format!(
                    "too many or too long globs: at most {MAX_PATTERNS} of {MAX_PATTERN_CHARS} \
                     characters"
                )));
            }
            let (set, glob) = match pattern.strip_prefix('!') {
                Some(glob) => (&mut excluded, glob),
                None => (&mut included, pattern),
            };
            set.add(glob_of(glob)?);
        }
        Ok(Self {
            included: built(&included)?,
            excluded: built(&excluded)?,
        })
    }

    /// `path` is relative to where the caller started.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        (self.included.is_empty() || self.included.is_match(path)) && !self.excluded.is_match(path)
    }
}

fn glob_of(pattern: &str) -> Result<globset::Glob, ToolError> {
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    if pattern.is_empty() || pattern.starts_with('/') || pattern.split('/').any(|part| part == "..")
    {
        return Err(ToolError::Invalid(format!(
            "glob {pattern:?} can match nothing: it is relative to `path`, without a leading slash \
             and without `..`"
        )));
    }
    let anywhere = format!("**/{pattern}");
    GlobBuilder::new(if pattern.contains('/') {
        pattern
    } else {
        &anywhere
    })
    .literal_separator(true)
    .build()
    .map_err(|error| ToolError::Invalid(format!("glob {pattern:?}: {}", error.kind())))
}

fn built(builder: &GlobSetBuilder) -> Result<GlobSet, ToolError> {
    builder
        .build()
        .map_err(|error| ToolError::Invalid(format!("globs: {error}")))
}
