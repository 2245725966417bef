//! Taking matches from the searcher.

use std::io;

use grep::{
    matcher::Matcher,
    regex::RegexMatcher,
    searcher::{Searcher, Sink, SinkContext, SinkMatch},
};

use super::{Line, Query, Show};

/// Characters of a line that are shown.
const MAX_LINE_CHARS: usize = 500;
/// Characters before the match, when a long line has to be cut before it.
const LEAD_CHARS: usize = 100;

/// What was found in one file.
pub(super) struct Collected<'a> {
    matcher: &'a RegexMatcher,
    keeps_lines: bool,
    room: usize,
    pub(super) text_room: usize,
    pub(super) matches: u64,
    pub(super) lines: Vec<Line>,
    /// There was no room for a match.
    pub(super) full: bool,
    pub(super) binary: bool,
}

impl<'a> Collected<'a> {
    pub(super) fn new(query: &'a Query, room: usize, text_room: usize) -> Self {
        Self {
            matcher: &query.matcher,
            keeps_lines: query.show == Show::Lines,
            room,
            text_room,
            matches: 0,
            lines: Vec::new(),
            full: false,
            binary: false,
        }
    }

    pub(super) fn lines_matched(&self) -> usize {
        self.lines
            .iter()
            .filter(|line| line.column.is_some())
            .count()
    }

    /// False when the text does not fit.
    fn keep(&mut self, number: Option<u64>, column: Option<u64>, text: String) -> bool {
        if text.len() > self.text_room {
            self.full = true;
            return false;
        }
        self.text_room -= text.len();
        self.lines.push(Line {
            number: number.unwrap_or_default(),
            column,
            text,
        });
        true
    }
}

impl Sink for Collected<'_> {
    type Error = io::Error;

    fn matched(&mut self, _searcher: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        if self.room == 0 {
            // Only seen when there is one more than fits: the answer is known to be incomplete.
            self.full = true;
            return Ok(false);
        }
        self.room -= 1;
        self.matches += 1;
        if !self.keeps_lines {
            return Ok(true);
        }
        let start = self.matcher.find(found.bytes())?.map_or(0, |it| it.start());
        let before = String::from_utf8_lossy(&found.bytes()[..start])
            .chars()
            .count();
        let kept = self.keep(
            found.line_number(),
            Some(before as u64 + 1),
            line(found.bytes(), before),
        );
        self.matches -= u64::from(!kept);
        Ok(kept)
    }

    fn context(&mut self, _searcher: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        Ok(self.keep(context.line_number(), None, line(context.bytes(), 0)))
    }

    fn binary_data(&mut self, _searcher: &Searcher, _offset: u64) -> io::Result<bool> {
        self.binary = true;
        Ok(false)
    }
}

/// A line without its end, cut around the match if it is long. `column` counts from 0.
fn line(bytes: &[u8], column: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    let skipped = if column < MAX_LINE_CHARS {
        0
    } else {
        column - LEAD_CHARS
    };
    let mut rest = text.chars().skip(skipped);
    let shown: String = rest.by_ref().take(MAX_LINE_CHARS).collect();
    let before = if skipped > 0 { "…" } else { "" };
    let after = if rest.next().is_some() { "…" } else { "" };
    format!("{before}{shown}{after}")
}
