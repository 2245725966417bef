//! `files_read`: the text of files.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_toolkit::{Effect, ToolContext, ToolError, ToolSpec, TypedTool};
use waybill_workspace::{Job, Place, Roots};

use crate::{
    blocking,
    entry::human_size,
    text::{Content, Excerpt, Lines, MAX_SCANNED_BYTES, read},
};

/// Files in one call.
const MAX_FILES: usize = 50;
/// Text in one answer, over all its files.
const MAX_TEXT_BYTES: usize = 256 * 1024;

pub(crate) struct FilesRead(pub(crate) Arc<Roots>);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Input {
    /// The file, relative to the root. Give this or `files`.
    path: Option<String>,
    /// First line to read, from 1.
    #[schemars(range(min = 1))]
    start_line: Option<u64>,
    /// Last line to read.
    #[schemars(range(min = 1))]
    end_line: Option<u64>,
    /// Many files in one call, at most 50, each with its own lines.
    #[serde(default)]
    #[schemars(length(max = 50))]
    files: Vec<FileRequest>,
    /// Name of the root, as `files_roots` tells; the first by default.
    root: Option<String>,
    /// Put its number before each line of `content`.
    #[serde(default)]
    line_numbers: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileRequest {
    /// The file, relative to the root.
    path: String,
    /// First line to read, from 1.
    #[schemars(range(min = 1))]
    start_line: Option<u64>,
    /// Last line to read.
    #[schemars(range(min = 1))]
    end_line: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// In the order they were asked for.
    files: Vec<FileContent>,
}

#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own that the caller reads"
)]
struct FileContent {
    root: String,
    path: String,
    /// Missing when the file is binary or could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// The first line in `content`.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_line: Option<u64>,
    /// The last line in `content`.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_line: Option<u64>,
    /// Of the whole file; missing when it is too large to count.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_lines: Option<u64>,
    /// Of the whole file.
    total_bytes: u64,
    /// Whether lines that were asked for are missing, because an answer holds 256 KiB.
    truncated: bool,
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_line: Option<u64>,
    /// Whether a single line was longer than an answer: `content` is its beginning.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial_line: bool,
    /// Whether it is not text; its content is not shown.
    binary: bool,
    /// What a binary file seems to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    /// Whether some bytes were not UTF-8 and are shown as `�`.
    invalid_utf8: bool,
    /// Why it could not be read, when others could.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl TypedTool for FilesRead {
    type Input = Input;
    type Output = Output;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "files_read",
            "Reads one text file or many, whole or a range of lines. One answer holds up to 256 \
             KiB of text; `truncated` and `nextLine` tell how to go on. Binary files are named, \
             not shown.",
            Effect::ReadOnly,
        )
    }

    async fn run(&self, input: Input, cx: &ToolContext) -> Result<Output, ToolError> {
        let line_numbers = input.line_numbers;
        let root = input.root.clone();
        let requests = requests(input)?;
        let roots = self.0.clone();
        blocking(cx, move |job| {
            let reading = Reading {
                roots: &roots,
                root: root.as_deref(),
                line_numbers,
                job,
            };
            reading.all(&requests)
        })
        .await
    }

    fn render(output: &Output) -> String {
        match output.files.as_slice() {
            [file] => render_file(file),
            files => {
                let parts = files
                    .iter()
                    .map(|it| format!("==> {} <==\n{}", it.path, render_file(it)));
                parts.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

fn requests(input: Input) -> Result<Vec<FileRequest>, ToolError> {
    let Input {
        path,
        start_line,
        end_line,
        files,
        ..
    } = input;
    match path {
        Some(path) if files.is_empty() => Ok(vec![FileRequest {
            path,
            start_line,
            end_line,
        }]),
        None if start_line.is_some() || end_line.is_some() => Err(ToolError::Invalid(
            "startLine and endLine go with `path`, or inside each of `files`".to_owned(),
        )),
        None if (1..=MAX_FILES).contains(&files.len()) => Ok(files),
        _ => Err(ToolError::Invalid(format!(
            "give either `path`, or 1 to {MAX_FILES} `files`, each with a `path`"
        ))),
    }
}

struct Reading<'a> {
    roots: &'a Roots,
    root: Option<&'a str>,
    line_numbers: bool,
    job: &'a Job,
}

impl Reading<'_> {
    /// One file's failure fails the call only if no file could be read.
    fn all(&self, requests: &[FileRequest]) -> Result<Output, ToolError> {
        let mut room = MAX_TEXT_BYTES;
        let mut files = Vec::with_capacity(requests.len());
        for request in requests {
            let file = match self.one(request, room) {
                Ok(file) => file,
                Err(ToolError::Invalid(error)) if requests.len() > 1 => FileContent {
                    path: request.path.clone(),
                    error: Some(error),
                    ..FileContent::default()
                },
                Err(error) => return Err(error),
            };
            room -= file.content.as_ref().map_or(0, String::len).min(room);
            files.push(file);
        }
        if files.iter().all(|file| file.error.is_some()) {
            let errors: Vec<String> = files.into_iter().filter_map(|file| file.error).collect();
            return Err(ToolError::Invalid(errors.join("\n")));
        }
        Ok(Output { files })
    }

    fn one(&self, request: &FileRequest, room: usize) -> Result<FileContent, ToolError> {
        let place = self.roots.place(self.root, &request.path)?;
        let lines = lines(request)?;
        let (file, metadata) = place.open_file()?;
        let described = FileContent {
            root: place.root.name.clone(),
            path: place.shown(),
            total_bytes: metadata.len(),
            ..FileContent::default()
        };
        match read(file, lines, room, self.job)? {
            Content::Binary(format) => Ok(FileContent {
                binary: true,
                format,
                ..described
            }),
            Content::Text(excerpt) => {
                in_range(&place, lines, &excerpt)?;
                Ok(self.text(described, lines, excerpt))
            }
        }
    }

    fn text(&self, file: FileContent, lines: Lines, excerpt: Excerpt) -> FileContent {
        let shown = excerpt.last >= lines.first;
        let content = if self.line_numbers {
            numbered(&excerpt.text, lines.first)
        } else {
            excerpt.text
        };
        FileContent {
            content: Some(content),
            start_line: shown.then_some(lines.first),
            end_line: shown.then_some(excerpt.last),
            total_lines: excerpt.total,
            truncated: excerpt.cut,
            next_line: excerpt.cut.then_some(excerpt.last + 1),
            partial_line: excerpt.partial_line && shown,
            invalid_utf8: excerpt.invalid_utf8,
            ..file
        }
    }
}

fn lines(request: &FileRequest) -> Result<Lines, ToolError> {
    let (first, last) = (
        request.start_line.unwrap_or(1),
        request.end_line.unwrap_or(u64::MAX),
    );
    if first == 0 || last < first {
        return Err(ToolError::Invalid(format!(
            "{:?}: lines count from 1, and startLine ({first}) must not be after endLine ({last})",
            request.path
        )));
    }
    Ok(Lines { first, last })
}

/// Fails when the file has no line `lines.first`.
fn in_range(place: &Place, lines: Lines, excerpt: &Excerpt) -> Result<(), ToolError> {
    let (path, first) = (place.shown(), lines.first);
    match excerpt.total {
        Some(total) if first > total.max(1) => Err(ToolError::Invalid(format!(
            "{path:?} has {total} lines: startLine {first} is after its end"
        ))),
        None if first > 1 && excerpt.last < first && !excerpt.partial_line => {
            Err(ToolError::Invalid(format!(
                "{path:?}: startLine {first} is not within the first {} of the file, which is as \
                 far as lines are counted; find the place with files_search",
                human_size(MAX_SCANNED_BYTES)
            )))
        }
        _ => Ok(()),
    }
}

fn numbered(text: &str, first: u64) -> String {
    let numbered = text.split_inclusive('\n').zip(first..);
    numbered
        .map(|(line, number)| format!("{number:>6}\t{line}"))
        .collect::<Vec<_>>()
        .concat()
}

fn render_file(file: &FileContent) -> String {
    if let Some(error) = &file.error {
        return format!("[{error}]\n");
    }
    let size = human_size(file.total_bytes);
    let Some(content) = &file.content else {
        return format!(
            "[binary file, {}, {size}: not shown]\n",
            file.format.unwrap_or("unknown format")
        );
    };
    let mut text = content.clone();
    let notes = notes(file, &size);
    if !notes.is_empty() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text += "[";
        text += &notes.join("; ");
        text += "]\n";
    }
    text
}

fn notes(file: &FileContent, size: &str) -> Vec<String> {
    let mut notes = Vec::new();
    match (file.start_line, file.end_line, file.total_lines) {
        (Some(1), Some(last), Some(total)) if last == total => {}
        (Some(first), Some(last), Some(total)) => {
            notes.push(format!("lines {first} to {last} of {total}"));
        }
        (Some(first), Some(last), None) => {
            notes.push(format!("lines {first} to {last} of a file of {size}"));
        }
        _ if file.truncated => notes.push("no room left in this answer".to_owned()),
        _ => notes.push("empty".to_owned()),
    }
    if file.partial_line {
        notes.push("this line is longer than an answer: only its beginning is shown".to_owned());
    }
    if let Some(next) = file.next_line {
        notes.push(format!("truncated: continue with startLine {next}"));
    }
    if file.invalid_utf8 {
        notes.push("not all of it is UTF-8".to_owned());
    }
    notes
}
