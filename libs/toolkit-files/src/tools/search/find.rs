//! Going through the files.

use std::io::{self, Read};

use cap_std::fs::{File, Metadata};
use grep::searcher::Searcher;
use waybill_toolkit::ToolError;
use waybill_workspace::{Cut, Job, Kind, Place, Walk, shown};

use super::{FileMatches, Output, Query, Show, Skipped, sink::Collected};
use crate::entry::count;

/// Largest file that is searched unless the caller names it, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Text of one answer, in bytes.
const MAX_TEXT_BYTES: usize = 256 * 1024;
/// Files between two reports of progress.
const PROGRESS_EVERY: u64 = 200;

/// Searches a file, or all below a directory.
pub(super) fn find(place: &Place, query: &Query, job: &Job) -> Result<Output, ToolError> {
    let mut finding = Finding::new(place, query, job);
    if place.metadata()?.is_dir() {
        finding.tree()?;
    } else {
        let (file, _) = place.open_file()?;
        finding.file(shown(&place.path), file)?;
    }
    Ok(finding.finish())
}

struct Finding<'a> {
    place: &'a Place,
    query: &'a Query,
    job: &'a Job,
    searcher: Searcher,
    files: Vec<FileMatches>,
    /// Results that may still be added.
    room: usize,
    text_room: usize,
    searched: u64,
    skipped: Skipped,
    cut: Option<Cut>,
}

impl<'a> Finding<'a> {
    fn new(place: &'a Place, query: &'a Query, job: &'a Job) -> Self {
        Self {
            place,
            query,
            job,
            searcher: query.searcher(),
            files: Vec::new(),
            room: query.limit,
            text_room: MAX_TEXT_BYTES,
            searched: 0,
            skipped: Skipped::default(),
            cut: None,
        }
    }

    fn tree(&mut self) -> Result<(), ToolError> {
        let mut walk = Walk::start(self.place, self.query.ignored, self.job)?;
        while self.cut.is_none() {
            let Some(visit) = walk.step()? else { break };
            let below = visit
                .path
                .strip_prefix(&self.place.path)
                .unwrap_or(&visit.path);
            if visit.kind != Kind::File || !self.query.globs.matches(below) {
                continue;
            }
            match visit.open() {
                Ok(opened) => self.sized_file(shown(&visit.path), opened)?,
                Err(_) => self.skipped.unreadable += 1,
            }
            if self.searched.is_multiple_of(PROGRESS_EVERY) {
                self.report();
            }
        }
        self.skipped.unreadable += walk.unreadable;
        self.cut = self.cut.or(walk.cut);
        Ok(())
    }

    fn report(&self) {
        let matches: u64 = self.files.iter().map(|file| file.matches).sum();
        let message = format!(
            "{} searched, {}",
            count(self.searched, "file"),
            count(matches, "match")
        );
        self.job.progress(self.searched, None, message);
    }

    fn sized_file(&mut self, path: String, opened: (File, Metadata)) -> Result<(), ToolError> {
        let (file, metadata) = opened;
        if metadata.len() > MAX_FILE_BYTES {
            self.skipped.too_large += 1;
            return Ok(());
        }
        self.file(path, file)
    }

    fn file(&mut self, path: String, file: File) -> Result<(), ToolError> {
        let room = match self.query.show {
            Show::Lines => self.room,
            Show::Files => 1,
            Show::Counts => usize::MAX,
        };
        let mut collected = Collected::new(self.query, room, self.text_room);
        let reader = Interruptible {
            file,
            job: self.job,
        };
        let read = self
            .searcher
            .search_reader(&self.query.matcher, reader, &mut collected);
        self.job.check()?;
        self.searched += 1;
        if read.is_err() {
            if self.job.out_of_time() {
                self.cut = Some(Cut::Time);
            } else {
                self.skipped.unreadable += 1;
            }
        }
        if collected.binary {
            self.skipped.binary += 1;
        } else if collected.matches > 0 || collected.full {
            self.add(path, collected);
        }
        Ok(())
    }

    fn add(&mut self, path: String, collected: Collected<'_>) {
        let shows_lines = self.query.show == Show::Lines;
        if self.room == 0 || (shows_lines && collected.full) {
            self.cut = Some(Cut::Results);
        }
        if self.room == 0 || collected.matches == 0 {
            return;
        }
        self.room -= if shows_lines {
            collected.lines_matched()
        } else {
            1
        };
        self.text_room = collected.text_room;
        self.files.push(FileMatches {
            path,
            matches: collected.matches,
            lines: collected.lines,
        });
    }

    fn finish(self) -> Output {
        Output {
            root: self.place.root.name.clone(),
            path: self.place.shown(),
            matches: self.files.iter().map(|file| file.matches).sum(),
            files: self.files,
            files_searched: self.searched,
            skipped: self.skipped,
            truncated: self.cut.is_some(),
            truncated_by: self.cut,
        }
    }
}

/// A file whose reading ends when the call does.
struct Interruptible<'a> {
    file: File,
    job: &'a Job,
}

impl Read for Interruptible<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.job.check().is_err() || self.job.out_of_time() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.file.read(buffer)
    }
}
