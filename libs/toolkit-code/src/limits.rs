//! Every bound of this crate, in one place.

use std::time::Duration;

/// How long one call works before it answers with what it has. The attempt's own deadline wins
/// when it is sooner.
pub(crate) const SCAN_TIME: Duration = Duration::from_secs(45);
/// How long one file may take to parse and to query.
pub(crate) const PARSE_TIME: Duration = Duration::from_secs(2);

/// The largest file that is parsed.
pub(crate) const FILE_BYTES: u64 = 1024 * 1024;
/// A longer line is not written by hand.
pub(crate) const LINE_BYTES: usize = 20_000;
/// Looked at for a NUL byte, which marks a binary file.
pub(crate) const BINARY_PROBE_BYTES: usize = 8 * 1024;
/// The largest file whose lines `code_structure` counts.
pub(crate) const COUNTED_BYTES: u64 = 8 * 1024 * 1024;
/// The largest build manifest that is read for its name.
pub(crate) const MANIFEST_BYTES: u64 = 1024 * 1024;

/// Files that one call looks at.
pub(crate) const FILES: usize = 20_000;
/// Files between two progress reports.
pub(crate) const PROGRESS_EVERY: usize = 50;

/// Paths in one request of `code_outline`.
pub(crate) const OUTLINE_PATHS: usize = 100;
/// Files in one answer of `code_outline`.
pub(crate) const OUTLINE_FILES: usize = 200;
/// Definitions in one answer of `code_outline`.
pub(crate) const OUTLINE_DEFINITIONS: usize = 3_000;
/// Definitions taken from one file.
pub(crate) const FILE_DEFINITIONS: usize = 20_000;
/// Definitions inside each other in an answer; deeper ones are left out.
pub(crate) const OUTLINE_DEPTH: usize = 12;
/// Outer names that an answer gives for a definition.
pub(crate) const CONTAINER_NAMES: usize = 8;
/// Lines with broken syntax that are named for one file.
pub(crate) const ERROR_LINES: usize = 5;
/// Nodes looked at to find them.
pub(crate) const ERROR_NODES: usize = 10_000;

/// Results of a search when the caller names no limit, and the most that one may ask for.
pub(crate) const RESULTS: usize = 50;
pub(crate) const MAX_RESULTS: usize = 500;
/// Matches kept while searching, before the best are chosen.
pub(crate) const CANDIDATES: usize = 20_000;
/// Folders, manifests and entry points in one answer of `code_structure`, each.
pub(crate) const STRUCTURE_ITEMS: usize = 100;
/// Files that an answer names as skipped; the rest is counted.
pub(crate) const SKIPPED: usize = 10;

/// Characters of a signature or a line in an answer.
pub(crate) const TEXT_CHARS: usize = 240;
/// Bytes of a definition that are read to make its signature.
pub(crate) const SIGNATURE_BYTES: usize = 2_000;
/// Bytes of a glob or a name in a request.
pub(crate) const GLOB_BYTES: usize = 4_096;
pub(crate) const NAME_BYTES: usize = 256;
