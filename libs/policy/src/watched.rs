//! A policy file that may change while it is used.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::{Error, Policy};

/// A policy file may have so many bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The policy of a file as it was when it was last good. [`Watched::reload_if_changed`] looks at it.
#[derive(Debug)]
pub struct Watched {
    /// `None`: there is none, and never will be.
    path: Option<PathBuf>,
    policy: ArcSwap<Policy>,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    /// What the last look saw.
    seen: Seen,
    /// What the policy was made from, or failed to be made from.
    judged: Seen,
    problem: Option<Problem>,
}

/// The content of the file by its digest; what kept it from being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Bytes([u8; 32]),
    Unreadable(io::ErrorKind),
}

/// Why the file that is there now is not what holds.
#[derive(Clone, Debug)]
pub struct Problem {
    pub since: DateTime<Utc>,
    pub error: Arc<Error>,
}

/// What a look at the file led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// What holds is what the file says, or its problem was told before.
    Unchanged,
    /// It is another file than at the last look: the next one judges it, unless it changes again.
    /// So a file that is half written is not taken for a short one.
    Settling,
    /// The new one holds from now on.
    Changed,
}

impl Watched {
    /// The file must be there and good.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let text = read(path).map_err(|source| unreadable(path, source))?;
        let policy = parse(&text, path)?;
        Ok(Self::new(Some(path), policy, Seen::of(&text)))
    }

    /// A file that is not there is one without rules, until it is.
    pub fn open_if_present(path: &Path) -> Result<Self, Error> {
        match Self::open(path) {
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let seen = Seen::Unreadable(io::ErrorKind::NotFound);
                Ok(Self::new(Some(path), Policy::default(), seen))
            }
            opened => opened,
        }
    }

    /// One that never changes.
    pub fn fixed(policy: Policy) -> Self {
        Self::new(None, policy, Seen::Unreadable(io::ErrorKind::NotFound))
    }

    fn new(path: Option<&Path>, policy: Policy, seen: Seen) -> Self {
        Self {
            path: path.map(Path::to_owned),
            policy: ArcSwap::from_pointee(policy),
            last: Mutex::new(Last {
                seen,
                judged: seen,
                problem: None,
            }),
        }
    }

    /// What holds now. One call is decided by one of them.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Why the file that is there now is not what holds, if it is not.
    pub fn problem(&self) -> Option<Problem> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.problem.clone()
    }

    /// Looks at the file: to be called each second or so. It reads the whole file, a few KB: two
    /// versions of a second may have one time of change and one length.
    ///
    /// A file that is bad, or gone, changes nothing: its error is returned once, and is then
    /// [`Watched::problem`] until the file is good again.
    pub fn reload_if_changed(&self, now: DateTime<Utc>) -> Result<Reload, Arc<Error>> {
        let Some(path) = &self.path else {
            return Ok(Reload::Unchanged);
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let found = read(path);
        let seen = found.as_ref().map_or_else(
            |error| Seen::Unreadable(error.kind()),
            |text| Seen::of(text),
        );
        if seen != last.seen {
            last.seen = seen;
            return Ok(Reload::Settling);
        }
        if seen == last.judged {
            return Ok(Reload::Unchanged);
        }
        last.judged = seen;
        let parsed = found
            .map_err(|source| unreadable(path, source))
            .and_then(|text| parse(&text, path));
        match parsed {
            Ok(policy) => {
                last.problem = None;
                self.policy.store(Arc::new(policy));
                Ok(Reload::Changed)
            }
            Err(error) => {
                let error = Arc::new(error);
                last.problem = Some(Problem {
                    since: now,
                    error: Arc::clone(&error),
                });
                Err(error)
            }
        }
    }
}

impl Seen {
    fn of(text: &[u8]) -> Self {
        Self::Bytes(Sha256::digest(text).into())
    }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Read {
        path: path.to_owned(),
        source,
    }
}

/// A regular file only: another may have no end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    let mut text = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let message = format!("it is larger than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

fn parse(text: &[u8], path: &Path) -> Result<Policy, Error> {
    match str::from_utf8(text) {
        Ok(text) => Policy::parse(text, path),
        Err(error) => Err(unreadable(
            path,
            io::Error::new(io::ErrorKind::InvalidData, error),
        )),
    }
}
