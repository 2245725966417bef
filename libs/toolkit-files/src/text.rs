//! Lines of a file that may be of any size and hold anything.

use std::io::{BufRead, BufReader, Read};

use waybill_toolkit::ToolError;
use waybill_workspace::Job;

/// Where a NUL byte makes a file binary, as git and grep decide.
const SNIFFED_BYTES: usize = 8 * 1024;
/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// How far into a file lines are counted.
pub(crate) const MAX_SCANNED_BYTES: u64 = 256 << 20;

/// What the first bytes of well-known binary formats are.
const MAGIC: [(&[u8], &str); 14] = [
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"%PDF", "PDF document"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"\xfd7zXZ", "xz data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"\x7fELF", "ELF program"),
    (b"\0asm", "WebAssembly module"),
    (b"SQLite format 3", "SQLite database"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"RIFF", "RIFF media"),
];

/// Lines `first..=last`, counted from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// What a file holds.
pub(crate) enum Content {
    Text(Excerpt),
    /// And what it seems to be.
    Binary(Option<&'static str>),
}

/// The asked lines of a text.
pub(crate) struct Excerpt {
    pub(crate) text: String,
    /// Whether some of it was not UTF-8, and is `�` now.
    pub(crate) invalid_utf8: bool,
    /// The last line in `text`; one less than the first asked when there is none.
    pub(crate) last: u64,
    /// How many the file has; unknown beyond [`MAX_SCANNED_BYTES`].
    pub(crate) total: Option<u64>,
    /// The asked lines did not fit.
    pub(crate) cut: bool,
    /// Not even the first of them did: its beginning is in `text`.
    pub(crate) partial_line: bool,
}

/// Reads `lines`, at most `room` bytes of them, and counts the rest.
pub(crate) fn read(
    file: impl Read,
    lines: Lines,
    room: usize,
    job: &Job,
) -> Result<Content, ToolError> {
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, file);
    let head = reader.fill_buf().map_err(|error| unreadable(&error))?;
    let head = &head[..head.len().min(SNIFFED_BYTES)];
    let known = MAGIC
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, what)| *what);
    if memchr::memchr(0, head).is_some() || known == Some("UTF-16 text") {
        return Ok(Content::Binary(known));
    }
    let mut scan = Scan::new(lines, room);
    scan.run(&mut reader, job)?;
    if memchr::memchr(0, &scan.kept).is_some() {
        return Ok(Content::Binary(known));
    }
    Ok(Content::Text(scan.finish()))
}

/// A pass over the file.
struct Scan {
    lines: Lines,
    room: usize,
    kept: Vec<u8>,
    /// The line that the next byte belongs to.
    line: u64,
    at_line_start: bool,
    scanned: u64,
    ended: bool,
    full: bool,
}

impl Scan {
    fn new(lines: Lines, room: usize) -> Self {
        Self {
            lines,
            room,
            kept: Vec::new(),
            line: 1,
            at_line_start: true,
            scanned: 0,
            ended: false,
            full: false,
        }
    }

    fn run(&mut self, reader: &mut impl BufRead, job: &Job) -> Result<(), ToolError> {
        while self.scanned < MAX_SCANNED_BYTES && !job.out_of_time() {
            job.check()?;
            let chunk = reader.fill_buf().map_err(|error| unreadable(&error))?;
            if chunk.is_empty() {
                self.ended = true;
                break;
            }
            let length = chunk.len();
            self.take(chunk);
            self.scanned += length as u64;
            reader.consume(length);
        }
        Ok(())
    }

    fn take(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            let newline = memchr::memchr(b'\n', chunk);
            let (piece, rest) = chunk.split_at(newline.map_or(chunk.len(), |at| at + 1));
            self.keep(piece);
            if newline.is_some() {
                self.line += 1;
            }
            self.at_line_start = newline.is_some();
            chunk = rest;
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.full || !(self.lines.first..=self.lines.last).contains(&self.line) {
            return;
        }
        let fits = piece.len().min(self.room - self.kept.len());
        self.kept.extend_from_slice(&piece[..fits]);
        self.full = fits < piece.len();
    }

    fn finish(mut self) -> Excerpt {
        let before_last = self.line - u64::from(self.at_line_start);
        let total = self.ended.then_some(before_last);
        let mut partial_line = false;
        if self.full {
            // Whole lines, so that the caller goes on with the next one.
            match memchr::memrchr(b'\n', &self.kept) {
                Some(at) => self.kept.truncate(at + 1),
                None => partial_line = true,
            }
        }
        if partial_line {
            drop_split_character(&mut self.kept);
        }
        let unfinished = !self.kept.is_empty() && !self.kept.ends_with(b"\n");
        let newlines = memchr::memchr_iter(b'\n', &self.kept).count() as u64;
        let last = self.lines.first - 1 + newlines + u64::from(unfinished);
        let stopped_short = !self.ended && self.line <= self.lines.last;
        let (text, invalid_utf8) = match String::from_utf8(self.kept) {
            Ok(text) => (text, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        let cut = self.full || stopped_short;
        Excerpt {
            text,
            invalid_utf8,
            last,
            total,
            cut,
            partial_line,
        }
    }
}

/// Takes the first bytes of a character away whose rest did not fit.
fn drop_split_character(bytes: &mut Vec<u8>) {
    if let Err(error) = std::str::from_utf8(bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
}

fn unreadable(error: &std::io::Error) -> ToolError {
    ToolError::Invalid(format!("the file cannot be read: {error}"))
}
