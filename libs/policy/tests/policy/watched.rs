//! A policy file that changes.

use std::{fs, path::PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;
use waybill_policy::{Error, Policy, Reload, Verdict, Watched};

use crate::{Call, at};

const DENY: &str = "[[rules]]\nname = \"no\"\ntools = [\"*\"]\ndecision = \"deny\"\n";
const ALLOW: &str = "[[rules]]\nname = \"go\"\ntools = [\"*\"]\ndecision = \"allow\"\n";

struct Bench {
    _folder: TempDir,
    path: PathBuf,
    now: DateTime<Utc>,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self {
            path: folder.path().join("policy.toml"),
            _folder: folder,
            now: at("2026-05-20T12:00:00Z"),
        }
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
    }

    /// The next second.
    fn look(&mut self, watched: &Watched) -> Result<Reload, String> {
        self.now += TimeDelta::seconds(1);
        watched
            .reload_if_changed(self.now)
            .map_err(|error| error.to_string())
    }
}

fn verdict(watched: &Watched) -> Verdict {
    Call::default().verdict(&watched.policy())
}

#[test]
fn a_changed_file_holds_once_it_has_settled() {
    let mut bench = Bench::new();
    bench.write(DENY);
    let watched = Watched::open(&bench.path).unwrap();
    let first = watched.policy();
    assert_eq!(bench.look(&watched), Ok(Reload::Unchanged));
    bench.write(ALLOW);
    assert_eq!(bench.look(&watched), Ok(Reload::Settling));
    assert_eq!(verdict(&watched), Verdict::Deny);
    assert_eq!(bench.look(&watched), Ok(Reload::Changed));
    assert_eq!(verdict(&watched), Verdict::Allow);
    assert_eq!(bench.look(&watched), Ok(Reload::Unchanged));
    assert_ne!(watched.policy().digest(), first.digest());
    // Whoever holds the old one goes on with it.
    assert_eq!(Call::default().verdict(&first), Verdict::Deny);
}

/// An editor that truncates and then writes would have all denials gone for a moment.
#[test]
fn a_file_that_is_being_written_is_not_taken() {
    let mut bench = Bench::new();
    bench.write(DENY);
    let watched = Watched::open(&bench.path).unwrap();
    for half in ["", "# a comment\n", "[[rules]]\n"] {
        bench.write(half);
        assert_eq!(bench.look(&watched), Ok(Reload::Settling));
        assert_eq!(verdict(&watched), Verdict::Deny);
    }
    bench.write(DENY);
    assert_eq!(bench.look(&watched), Ok(Reload::Settling));
    assert_eq!(bench.look(&watched), Ok(Reload::Unchanged));
    assert!(watched.problem().is_none());
}

#[test]
fn a_bad_file_keeps_the_old_one_and_is_told_once() {
    let mut bench = Bench::new();
    bench.write(DENY);
    let watched = Watched::open(&bench.path).unwrap();
    bench.write("[[rules]]\ntools = [\"*\"]\ndecision = \"alow\"\n");
    assert_eq!(bench.look(&watched), Ok(Reload::Settling));
    let error = bench.look(&watched).unwrap_err();
    assert!(
        error.contains("policy.toml:3: ") && error.contains("did you mean allow?"),
        "{error}"
    );
    let since = bench.now;
    assert_eq!(bench.look(&watched), Ok(Reload::Unchanged));
    assert_eq!(verdict(&watched), Verdict::Deny);
    let problem = watched.problem().unwrap();
    assert_eq!((problem.since, problem.error.to_string()), (since, error));
    // The file that holds comes back.
    bench.write(DENY);
    assert_eq!(bench.look(&watched), Ok(Reload::Settling));
    assert_eq!(bench.look(&watched), Ok(Reload::Changed));
    assert!(watched.problem().is_none());
}

#[test]
fn a_file_that_is_gone_keeps_the_old_one() {
    let mut bench = Bench::new();
    bench.write(DENY);
    let watched = Watched::open(&bench.path).unwrap();
    fs::remove_file(&bench.path).unwrap();
    assert_eq!(bench.look(&watched), Ok(Reload::Settling));
    let error = bench.look(&watched).unwrap_err();
    assert!(error.contains("cannot read the policy"), "{error}");
    assert_eq!(verdict(&watched), Verdict::Deny);
    assert!(watched.problem().is_some());
}

#[test]
fn a_file_that_was_never_there_is_one_without_rules() {
    let mut bench = Bench::new();
    assert!(matches!(
        Watched::open(&bench.path),
        Err(Error::Read { .. })
    ));
    let watched = Watched::open_if_present(&bench.path).unwrap();
    assert_eq!(verdict(&watched), Verdict::Ask);
    assert_eq!(bench.look(&watched), Ok(Reload::Unchanged));
    assert!(watched.problem().is_none());
    bench.write(DENY);
    assert_eq!(bench.look(&watched), Ok(Reload::Settling));
    assert_eq!(bench.look(&watched), Ok(Reload::Changed));
    assert_eq!(verdict(&watched), Verdict::Deny);
}

#[test]
fn what_is_no_text_or_has_no_end_is_refused() {
    let bench = Bench::new();
    fs::write(&bench.path, [0xff, 0xfe]).unwrap();
    assert!(matches!(
        Watched::open_if_present(&bench.path),
        Err(Error::Read { .. })
    ));
    bench.write(&"# much\n".repeat(200_000));
    assert!(matches!(
        Watched::open_if_present(&bench.path),
        Err(Error::Read { .. })
    ));
    fs::remove_file(&bench.path).unwrap();
    fs::create_dir(&bench.path).unwrap();
    assert!(matches!(
        Watched::open_if_present(&bench.path),
        Err(Error::Read { .. })
    ));
}

#[test]
fn one_that_is_fixed_stays() {
    let mut bench = Bench::new();
    let watched = Watched::fixed(Policy::default());
    assert_eq!(bench.look(&watched), Ok(Reload::Unchanged));
    assert!(watched.problem().is_none());
}
