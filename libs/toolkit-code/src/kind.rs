//! Kinds of definitions, and what the captures of a query mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tree_sitter::Query;

/// What is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Module,
    Class,
    Struct,
    Enum,
    Union,
    Interface,
    Trait,
    Impl,
    Type,
    Function,
    Method,
    Constructor,
    Macro,
    Constant,
    Variable,
    Field,
    Variant,
}

impl Kind {
    const ALL: [(&'static str, Self); 17] = [
        ("module", Self::Module),
        ("class", Self::Class),
        ("struct", Self::Struct),
        ("enum", Self::Enum),
        ("union", Self::Union),
        ("interface", Self::Interface),
        ("trait", Self::Trait),
        ("impl", Self::Impl),
        ("type", Self::Type),
        ("function", Self::Function),
        ("method", Self::Method),
        ("constructor", Self::Constructor),
        ("macro", Self::Macro),
        ("constant", Self::Constant),
        ("variable", Self::Variable),
        ("field", Self::Field),
        ("variant", Self::Variant),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(word, _)| *word == name)
            .map(|(_, kind)| *kind)
    }

    /// A data member: most outlines leave these out.
    pub(crate) fn is_member(self) -> bool {
        matches!(self, Self::Field | Self::Variant)
    }

    /// Whether a function directly inside is a method.
    pub(crate) fn has_methods(self) -> bool {
        matches!(
            self,
            Self::Class | Self::Struct | Self::Enum | Self::Interface | Self::Trait | Self::Impl
        )
    }
}

/// What a query's captures mean, by their index.
pub(crate) struct Captures(Vec<Capture>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capture {
    Name,
    Definition(Kind),
    Container,
    Binding,
    Wrapper,
    Wrapped,
}

impl Captures {
    pub(crate) fn of(query: &Query) -> Self {
        let meaning = |name: &&str| match *name {
            "name" => Capture::Name,
            "container" => Capture::Container,
            "binding" => Capture::Binding,
            "wrapper" => Capture::Wrapper,
            "wrapped" => Capture::Wrapped,
            other => other
                .strip_prefix("definition.")
                .and_then(Kind::named)
                .map(Capture::Definition)
                .expect("a query of this crate has no other captures: all are read in tests"),
        };
        Self(query.capture_names().iter().map(meaning).collect())
    }

    pub(crate) fn meaning(&self, capture: u32) -> Capture {
        self.0[capture as usize]
    }
}
