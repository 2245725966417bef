//! What a policy is asked.

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use waybill_events::TenantId;
use waybill_toolkit::Effect;

/// Characters of a command or a value that are told.
const MAX_SHOWN_CHARS: usize = 1_000;

/// One call, as far as it matters.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    pub tool: &'a str,
    pub effect: Effect,
    pub arguments: &'a Map<String, Value>,
    pub tenant: &'a TenantId,
    /// `None`: the call is made for nobody in particular. No rule that names users matches it.
    pub user: Option<&'a str>,
    pub scopes: &'a [&'a str],
    /// Every command that the call would run. What it does besides, such as a redirection into a
    /// file, is a command of its own (`> FILE`), so that nothing is allowed along with another.
    pub commands: &'a [Command],
    /// Every file and directory that the call would act on.
    pub paths: &'a [Target],
    pub now: DateTime<Utc>,
}

/// A simple command: its words after expansion and without quotes, assignments in front included.
/// A command that another one runs (`sudo`, `env`, `xargs`, `sh -c`) is given in addition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub Vec<Word>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Is(String),
    /// Any number of words, none included, that are only known when it runs: `$X`, `$(...)`.
    Unknown,
}

impl Command {
    pub fn new<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        let words = words.into_iter();
        Self(words.map(|word| Word::Is(word.into())).collect())
    }

    /// One of which nothing is known, such as text that no parser understood.
    pub fn unknown() -> Self {
        Self(vec![Word::Unknown])
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            match word {
                Word::Is(word) if plain(word) => write!(f, "{space}{word}")?,
                Word::Is(word) => write!(f, "{space}{word:?}")?,
                Word::Unknown => write!(f, "{space}<unknown>")?,
            }
        }
        Ok(())
    }
}

/// Whether a word can be shown as it is: what hides in it must be seen.
fn plain(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_graphic() && !"\"'<\\".contains(c) || c.is_alphanumeric())
}

/// A file or directory inside a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The root's name.
    pub root: String,
    /// Relative to it, without `.` and `..`, parts between `/`; empty: the root itself.
    pub path: String,
    /// Whether the call acts on everything below it too, as deleting or moving a directory does.
    pub below: bool,
}

impl Target {
    pub fn new(root: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            root: root.into(),
            path: path.into(),
            below: false,
        }
    }

    /// With everything below it.
    pub fn tree(root: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            below: true,
            ..Self::new(root, path)
        }
    }

    /// The names on the way to it; `None` when the path is not in its plain form.
    pub(crate) fn names(&self) -> Option<Vec<&str>> {
        if self.path.is_empty() {
            return Some(Vec::new());
        }
        let names: Vec<_> = self.path.split('/').collect();
        let plain = |name: &&str| !["", ".", ".."].contains(name) && !name.contains('\0');
        names.iter().all(plain).then_some(names)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.below { ", and all below" } else { "" };
        write!(f, "{}:{}{below}", self.root, self.path.escape_debug())
    }
}

/// What is decided at a time: one command with one path, where the call has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) command: Option<&'a Command>,
    pub(crate) path: Option<&'a Target>,
}

impl<'a> Question<'a> {
    /// How many parts there are.
    pub(crate) fn size(&self) -> usize {
        let paths = self.paths.len().max(1);
        self.commands.len().max(1).saturating_mul(paths)
    }

    /// Which command acts on which path is not known: each may act on each.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'a>> {
        let paths = self.paths;
        all_or_none(self.commands)
            .flat_map(move |command| all_or_none(paths).map(move |path| Part { command, path }))
    }
}

/// Each of them; `None`, once, when there is none.
fn all_or_none<T>(all: &[T]) -> impl Iterator<Item = Option<&T>> {
    let none = all.is_empty().then_some(None);
    all.iter().map(Some).chain(none)
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.command, self.path) {
            (Some(command), Some(path)) => write!(f, "{command}, on {path}"),
            (Some(command), None) => write!(f, "{command}"),
            (None, Some(path)) => write!(f, "{path}"),
            (None, None) => Ok(()),
        }
    }
}

impl Part<'_> {
    /// `None` for a call that has neither commands nor paths.
    pub(crate) fn described(&self) -> Option<String> {
        (self.command.is_some() || self.path.is_some()).then(|| shown(self.to_string()))
    }
}

/// What is told of a text that may have megabytes.
pub(crate) fn shown(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(MAX_SHOWN_CHARS) {
        text.truncate(at);
        text.push('…');
    }
    text
}
