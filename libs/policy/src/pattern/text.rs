//! A glob over a name, a word or a text.

use globset::{GlobBuilder, GlobMatcher};

use super::Fit;

/// `*`: any characters, `/` too; `?`: one byte; `[a-z]`, `{a,b}`; `\` before one of them: itself.
///
/// Touching does not tell `A` from `a` (file systems and mail servers do not either). A text with
/// the path component `..` may be anywhere, so that wildcards do not cover it.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    source: String,
    globs: Option<Box<Globs>>,
}

#[derive(Clone, Debug)]
struct Globs {
    covers: GlobMatcher,
    touches: GlobMatcher,
}

impl Text {
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        let globs = source
            .contains(['*', '?', '[', ']', '{', '}', '\\'])
            .then(|| {
                Ok::<_, String>(Box::new(Globs {
                    covers: glob(source, false)?,
                    touches: glob(source, true)?,
                }))
            });
        Ok(Self {
            source: source.to_owned(),
            globs: globs.transpose()?,
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The text, when it stands for nothing but itself.
    pub(crate) fn literal(&self) -> Option<&str> {
        self.globs.is_none().then_some(&*self.source)
    }

    pub(crate) fn fit(&self, text: &str) -> Fit {
        let (covers, touches) = match &self.globs {
            None => (self.source == text, self.source.eq_ignore_ascii_case(text)),
            Some(globs) => (
                globs.covers.is_match(text) && !climbs(text),
                globs.touches.is_match(text),
            ),
        };
        match (covers, touches) {
            (true, _) => Fit::Covers,
            (false, true) => Fit::Touches,
            (false, false) => Fit::No,
        }
    }
}

fn glob(source: &str, case_insensitive: bool) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(source)
        .case_insensitive(case_insensitive)
        .literal_separator(false)
        .backslash_escape(true)
        .empty_alternates(true)
        .build();
    match glob {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(format!("{source:?} is no pattern: {}", error.kind())),
    }
}

fn climbs(text: &str) -> bool {
    text.split(['/', '\\']).any(|part| part == "..")
}
