//! `files_search`: lines by content.

mod find;
mod sink;

use std::sync::Arc;

use grep::{
    regex::{RegexMatcher, RegexMatcherBuilder},
    searcher::{BinaryDetection, Searcher, SearcherBuilder},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_toolkit::{Effect, ToolContext, ToolError, ToolSpec, TypedTool};
use waybill_workspace::{Cut, Ignored, Roots};

use super::{ROOT_ITSELF, limit};
use crate::{blocking, entry::count, globs::Globs};

const DEFAULT_RESULTS: usize = 100;
const MAX_RESULTS: usize = 2_000;
const MAX_CONTEXT_LINES: usize = 20;
const MAX_PATTERN_BYTES: usize = 10_000;
/// Memory of one compiled pattern, in bytes.
const MAX_REGEX_BYTES: usize = 10 << 20;
/// The longest line that is searched, in bytes.
const MAX_LINE_BYTES: usize = 16 << 20;

pub(crate) struct FilesSearch(pub(crate) Arc<Roots>);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Input {
    /// A regular expression in Rust's syntax (no look-around, no back-references), matched within
    /// one line; or plain text with `literal`.
    pattern: String,
    /// Take the pattern as plain text.
    #[serde(default)]
    literal: bool,
    /// `sensitive` by default; `smart`: only if the pattern has a capital letter.
    #[serde(default)]
    case: Case,
    /// Match whole words only.
    #[serde(default)]
    word: bool,
    /// A directory to search in or a single file, relative to the root; the root itself by default.
    path: Option<String>,
    /// Name of the root, as `files_roots` tells; the first by default.
    root: Option<String>,
    /// Search only in files that match one of these: `*.rs` (at any depth), `src/**/*.ts`; `!*.min.js`
    /// leaves out. Relative to `path`.
    #[serde(default)]
    globs: Vec<String>,
    /// Search what `.gitignore` hides and what is in `.git`, too.
    #[serde(default)]
    include_ignored: bool,
    /// Lines to show before and after each match: 0 by default, at most 20.
    #[schemars(range(max = 20))]
    context: Option<u32>,
    /// `lines` by default; `files`: only which files match; `counts`: how many lines match in each.
    #[serde(default)]
    show: Show,
    /// How many matching lines (or files) to answer with: 100 by default, at most 2000.
    #[schemars(range(min = 1, max = 2_000))]
    max_results: Option<u32>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Case {
    #[default]
    Sensitive,
    Insensitive,
    Smart,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Show {
    #[default]
    Lines,
    Files,
    Counts,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    root: String,
    /// Where it searched.
    path: String,
    /// Those with a match, in the order of their paths.
    files: Vec<FileMatches>,
    /// Matching lines in `files`.
    matches: u64,
    files_searched: u64,
    skipped: Skipped,
    /// Whether there may be more than was found.
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated_by: Option<Cut>,
}

#[derive(Serialize, JsonSchema)]
struct FileMatches {
    /// Relative to the root.
    path: String,
    /// Matching lines; with `show: files` 1, whatever there are.
    matches: u64,
    /// With `show: lines`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<Line>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Line {
    number: u64,
    /// Where the first match starts, in characters from 1; missing on a line of context.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    /// Without its line end; `…` where a long line was cut.
    text: String,
}

/// Files that were not searched.
#[derive(Clone, Copy, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Skipped {
    binary: u64,
    too_large: u64,
    /// Files and directories.
    unreadable: u64,
}

impl TypedTool for FilesSearch {
    type Input = Input;
    type Output = Output;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "files_search",
            "Searches the content of files for a regular expression or plain text, like ripgrep: \
             what .gitignore hides, binary files and symlinks are left out. Answers with the \
             matching lines and their numbers.",
            Effect::ReadOnly,
        )
    }

    async fn run(&self, input: Input, cx: &ToolContext) -> Result<Output, ToolError> {
        let place = self.0.place(
            input.root.as_deref(),
            input.path.as_deref().unwrap_or(ROOT_ITSELF),
        )?;
        let query = Query::of(&input)?;
        blocking(cx, move |job| find::find(&place, &query, job)).await
    }

    fn render(output: &Output) -> String {
        let mut parts: Vec<String> = output.files.iter().map(render_file).collect();
        parts.push(format!(
            "[{} in {}; {} searched{}]",
            count(output.matches, "match"),
            count(output.files.len() as u64, "file"),
            count(output.files_searched, "file"),
            left_out(output.skipped),
        ));
        if let Some(cut) = output.truncated_by {
            parts.push(format!("[truncated; {}]", cut.advice()));
        }
        parts.join("\n")
    }
}

/// Matches as ripgrep shows them under a heading: `12:` matches, `13-` is context.
fn render_file(file: &FileMatches) -> String {
    if file.lines.is_empty() {
        return format!("{}: {}", file.path, file.matches);
    }
    let mut text = vec![file.path.clone()];
    let mut last = None;
    for line in &file.lines {
        if last.is_some_and(|last| line.number > last + 1) && file.lines.iter().any(is_context) {
            text.push("--".to_owned());
        }
        let mark = if is_context(line) { '-' } else { ':' };
        text.push(format!("{}{mark} {}", line.number, line.text));
        last = Some(line.number);
    }
    text.push(String::new());
    text.join("\n")
}

fn is_context(line: &Line) -> bool {
    line.column.is_none()
}

fn left_out(skipped: Skipped) -> String {
    let Skipped {
        binary,
        too_large,
        unreadable,
    } = skipped;
    let parts = [
        (binary, "binary"),
        (too_large, "too large"),
        (unreadable, "unreadable"),
    ];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    parts
        .map(|(number, why)| format!(", {number} {why}"))
        .collect::<Vec<_>>()
        .concat()
}

/// A checked request.
struct Query {
    matcher: RegexMatcher,
    globs: Globs,
    ignored: Ignored,
    context: usize,
    show: Show,
    limit: usize,
}

impl Query {
    fn of(input: &Input) -> Result<Self, ToolError> {
        Ok(Self {
            matcher: matcher(input)?,
            globs: Globs::parse(input.globs.iter().map(String::as_str))?,
            ignored: input.include_ignored.into(),
            context: input
                .context
                .map_or(0, |lines| limit(Some(lines), 0, MAX_CONTEXT_LINES)),
            show: input.show,
            limit: limit(input.max_results, DEFAULT_RESULTS, MAX_RESULTS),
        })
    }

    fn searcher(&self) -> Searcher {
        let context = if self.show == Show::Lines {
            self.context
        } else {
            0
        };
        SearcherBuilder::new()
            .binary_detection(BinaryDetection::quit(0))
            .heap_limit(Some(MAX_LINE_BYTES))
            .before_context(context)
            .after_context(context)
            .build()
    }
}

fn matcher(input: &Input) -> Result<RegexMatcher, ToolError> {
    if input.pattern.is_empty() || input.pattern.len() > MAX_PATTERN_BYTES {
        return Err(ToolError::Invalid(format!(
            "pattern: give 1 to {MAX_PATTERN_BYTES} bytes"
        )));
    }
    RegexMatcherBuilder::new()
        .fixed_strings(input.literal)
        .case_insensitive(input.case == Case::Insensitive)
        .case_smart(input.case == Case::Smart)
        .word(input.word)
        .multi_line(true)
        // `$` matches before `\r\n` as well; `crlf` would also set the terminator, so it is first.
        .crlf(true)
        .line_terminator(Some(b'\n'))
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .build(&input.pattern)
        .map_err(|error| {
            ToolError::Invalid(format!(
                "pattern: {error}. It is matched within single lines; for plain text set `literal`"
            ))
        })
}
