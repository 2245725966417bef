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
    /// Bytes of the source that stand for themselves: most texts differ there already.
    literal: usize,
    covers: GlobMatcher,
    touches: GlobMatcher,
}

impl Text {
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        let special = source.find(['*', '?', '[', ']', '{', '}', '\\']);
        let globs = special.map(|literal| {
            Ok::<_, String>(Box::new(Globs {
                literal,
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
        let (touches, covers) = match &self.globs {
            None => {
                let touches = self.source.eq_ignore_ascii_case(text);
                (touches, touches && self.source == text)
            }
            Some(globs) => {
                let begins = text.get(..globs.literal).is_some_and(|beginning| {
                    beginning.eq_ignore_ascii_case(&self.source[..globs.literal])
                });
                let touches = begins && globs.touches.is_match(text);
                let covers = touches && globs.covers.is_match(text) && !climbs(text);
                (touches, covers)
            }
        };
        match (touches, covers) {
            (true, true) => Fit::Covers,
            (true, false) => Fit::Touches,
            (false, _) => Fit::No,
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
