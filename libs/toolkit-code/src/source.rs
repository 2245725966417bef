//! A source file, read and parsed within the limits.

use std::{path::Path, sync::Arc, time::Instant};

use tree_sitter::{Node, ParseOptions, Parser, Tree};

use waybill_workspace::{Job, OpenRoot, Place, Stop};

use crate::{
    job,
    language::{Grammar, Grammars, Language},
    limits::{ERROR_LINES, ERROR_NODES, FILE_BYTES, PARSE_TIME, TEXT_CHARS},
    unread::{self, Unread, check_source},
};

/// Reads and parses one file after the other.
pub(crate) struct Sources<'a> {
    root: Arc<OpenRoot>,
    grammars: &'a Grammars,
    job: &'a Job,
    parser: Parser,
}

/// Bytes that passed the checks.
pub(crate) struct Text(pub(crate) Vec<u8>);

/// Why a file gave nothing.
#[derive(Debug)]
pub(crate) enum Failed {
    File(Unread),
    Stop(Stop),
    /// The answer takes no more, for this reason.
    Full(String),
}

impl From<Unread> for Failed {
    fn from(unread: Unread) -> Self {
        Self::File(unread)
    }
}

impl<'a> Sources<'a> {
    pub(crate) fn new(root: Arc<OpenRoot>, grammars: &'a Grammars, job: &'a Job) -> Self {
        Self {
            root,
            grammars,
            job,
            parser: Parser::new(),
        }
    }

    pub(crate) fn read(&self, path: &Path) -> Result<Text, Unread> {
        let place = Place::new(self.root.clone(), path.to_owned());
        let bytes = unread::read(&place, FILE_BYTES)?;
        check_source(&bytes)?;
        Ok(Text(bytes))
    }

    /// The syntax tree; where the syntax is broken it holds error nodes.
    pub(crate) fn parse(&mut self, language: Language, text: &Text) -> Result<Tree, Failed> {
        self.job.go_on().map_err(Failed::Stop)?;
        self.parser
            .set_language(&self.grammar(language).language)
            .expect("the grammars' ABI is supported: every one is loaded in tests");
        let bytes = text.0.as_slice();
        let until = Instant::now() + PARSE_TIME;
        let mut flow = |_: &tree_sitter::ParseState| job::flow(self.job, until);
        let options = ParseOptions::new().progress_callback(&mut flow);
        let mut rest = |at: usize, _| bytes.get(at..).unwrap_or_default();
        let tree = self
            .parser
            .parse_with_options(&mut rest, None, Some(options));
        tree.ok_or_else(|| {
            self.parser.reset();
            self.job
                .go_on()
                .map_or_else(Failed::Stop, |()| Failed::File(Unread::Slow))
        })
    }

    pub(crate) fn grammar(&self, language: Language) -> &'a Grammar {
        self.grammars.get(language)
    }

    pub(crate) fn job(&self) -> &'a Job {
        self.job
    }
}

impl Text {
    pub(crate) fn lines(&self) -> usize {
        count_lines(&self.0)
    }

    /// The line that holds this byte, trimmed and cut.
    pub(crate) fn line_at(&self, byte: usize) -> String {
        let start = self.line_start(byte);
        let end = self.0[byte..]
            .iter()
            .position(|b| *b == b'\n')
            .map_or(self.0.len(), |n| byte + n);
        cut(String::from_utf8_lossy(&self.0[start..end]).trim())
    }

    /// The column of this byte in characters, from 1.
    pub(crate) fn column(&self, byte: usize) -> usize {
        String::from_utf8_lossy(&self.0[self.line_start(byte)..byte])
            .chars()
            .count()
            + 1
    }

    pub(crate) fn of(&self, node: Node<'_>) -> String {
        String::from_utf8_lossy(&self.0[node.byte_range()]).into_owned()
    }

    fn line_start(&self, byte: usize) -> usize {
        self.0[..byte]
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |newline| newline + 1)
    }
}

pub(crate) fn count_lines(bytes: &[u8]) -> usize {
    let newlines = memchr::memchr_iter(b'\n', bytes).count();
    newlines + usize::from(bytes.last().is_some_and(|last| *last != b'\n'))
}

/// A node's line, from 1.
pub(crate) fn line_of(node: Node<'_>) -> usize {
    node.start_position().row + 1
}

/// At most [`TEXT_CHARS`] characters.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The first lines with broken syntax.
pub(crate) fn broken_lines(tree: &Tree) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut cursor = tree.walk();
    for _ in 0..ERROR_NODES {
        let node = cursor.node();
        if node.is_error() || node.is_missing() {
            let line = line_of(node);
            if lines.last() != Some(&line) {
                lines.push(line);
            }
            if lines.len() == ERROR_LINES {
                break;
            }
        }
        let inside = node.has_error() && !node.is_error() && cursor.goto_first_child();
        if !inside && !advance(&mut cursor) {
            break;
        }
    }
    lines
}

/// To the next node that is not inside this one.
pub(crate) fn advance(cursor: &mut tree_sitter::TreeCursor<'_>) -> bool {
    loop {
        if cursor.goto_next_sibling() {
            return true;
        }
        if !cursor.goto_parent() {
            return false;
        }
    }
}
