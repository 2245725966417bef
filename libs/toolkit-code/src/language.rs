//! The languages that the tools understand, and their grammars.

use std::{path::Path, sync::OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tree_sitter::Query;
use waybill_toolkit::ToolError;

use crate::kind::Captures;

const RUST: &str = include_str!("../queries/rust.scm");
const PYTHON: &str = include_str!("../queries/python.scm");
const JAVASCRIPT: &str = concat!(
    include_str!("../queries/ecmascript.scm"),
    include_str!("../queries/javascript.scm")
);
const TYPESCRIPT: &str = concat!(
    include_str!("../queries/ecmascript.scm"),
    include_str!("../queries/typescript.scm")
);
const GO: &str = include_str!("../queries/go.scm");
const JAVA: &str = include_str!("../queries/java.scm");

/// A language with a grammar.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    Rust,
    Python,
    JavaScript,
    TypeScript,
    Tsx,
    Go,
    Java,
}

impl Language {
    pub(crate) const ALL: [Self; 7] = [
        Self::Rust,
        Self::Python,
        Self::JavaScript,
        Self::TypeScript,
        Self::Tsx,
        Self::Go,
        Self::Java,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Tsx => "tsx",
            Self::Go => "go",
            Self::Java => "java",
        }
    }

    const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["rs"],
            Self::Python => &["py", "pyi", "pyw"],
            Self::JavaScript => &["js", "mjs", "cjs", "jsx"],
            Self::TypeScript => &["ts", "mts", "cts"],
            Self::Tsx => &["tsx"],
            Self::Go => &["go"],
            Self::Java => &["java"],
        }
    }

    /// By the file's extension.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|language| language.extensions().contains(&&*extension))
    }

    /// Whether a request for this language means that one too: `typescript` includes `.tsx`.
    pub(crate) fn covers(self, other: Self) -> bool {
        self == other || (self == Self::TypeScript && other == Self::Tsx)
    }

    /// A caller's word for a language.
    pub(crate) fn parse(text: &str) -> Result<Self, ToolError> {
        let word = text.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|language| {
                language.as_str() == word || language.extensions().contains(&word.as_str())
            })
            .ok_or_else(|| {
                let text = crate::unread::quoted(text);
                ToolError::Invalid(format!("language {text} is not supported; {}", supported()))
            })
    }

    fn grammar(self) -> tree_sitter::Language {
        match self {
            Self::Rust => tree_sitter_rust::LANGUAGE.into(),
            Self::Python => tree_sitter_python::LANGUAGE.into(),
            Self::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
            Self::Go => tree_sitter_go::LANGUAGE.into(),
            Self::Java => tree_sitter_java::LANGUAGE.into(),
        }
    }

    const fn query(self) -> &'static str {
        match self {
            Self::Rust => RUST,
            Self::Python => PYTHON,
            Self::JavaScript => JAVASCRIPT,
            Self::TypeScript | Self::Tsx => TYPESCRIPT,
            Self::Go => GO,
            Self::Java => JAVA,
        }
    }
}

/// For error messages: every supported language with its extensions.
pub(crate) fn supported() -> String {
    let names: Vec<_> = Language::ALL
        .into_iter()
        .map(|language| {
            format!(
                "{} (.{})",
                language.as_str(),
                language.extensions().join(", .")
            )
        })
        .collect();
    format!("supported: {}", names.join(", "))
}

/// A grammar with its compiled query.
pub(crate) struct Grammar {
    pub(crate) language: tree_sitter::Language,
    pub(crate) query: Query,
    pub(crate) captures: Captures,
}

/// The grammars, each prepared when it is first used.
#[derive(Default)]
pub(crate) struct Grammars([OnceLock<Grammar>; Language::ALL.len()]);

impl Grammars {
    pub(crate) fn get(&self, language: Language) -> &Grammar {
        self.0[language as usize].get_or_init(|| {
            let grammar = language.grammar();
            let query = Query::new(&grammar, language.query())
                .expect("a query of this crate fits its grammar: every one is compiled in tests");
            let captures = Captures::of(&query);
            Grammar {
                language: grammar,
                query,
                captures,
            }
        })
    }
}
