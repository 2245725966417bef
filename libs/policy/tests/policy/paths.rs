//! What a pattern of paths covers and touches.

use waybill_policy::{Command, MAX_PARTS, Target, Verdict};

use crate::{Call, fit, one, parse};

fn fits(pattern: &str, target: Target) -> &'static str {
    fit(&format!("paths = [{pattern:?}]"), &Call::on([target]))
}

#[test]
fn name_by_name() {
    for (pattern, path, expected) in [
        ("project:src/main.rs", "src/main.rs", "covers"),
        ("src/main.rs", "src/main.rs", "covers"),
        ("proj*:src/main.rs", "src/main.rs", "covers"),
        ("other:src/main.rs", "src/main.rs", "no"),
        ("project:src/*.rs", "src/main.rs", "covers"),
        ("project:src/*.rs", "src/a/main.rs", "no"),
        ("project:src/*", "src/a", "covers"),
        ("project:src/*", "src/a/b", "touches"),
        ("project:src/**", "src/a/b", "covers"),
        ("project:src/**", "src/a", "covers"),
        ("project:src/**", "src", "no"),
        ("project:src/**/**", "src", "no"),
        ("project:src/**/*.rs", "src/main.rs", "covers"),
        ("project:src/**/*.rs", "src/a/b/main.rs", "covers"),
        ("project:src/**/*.rs", "src/a/b/main.go", "no"),
        ("**", "", "covers"),
        ("**", "a/b", "covers"),
        ("project:**", "a", "covers"),
        ("project:", "", "covers"),
        ("project:", "a", "touches"),
        ("**/.env", ".env", "covers"),
        ("**/.env", "a/b/.env", "covers"),
        ("**/.env", "a/.ENV", "touches"),
        ("**/.env", "a/.env.local", "no"),
        ("**/.env*", "a/.env.local", "covers"),
        ("keys", "keys/id_rsa", "touches"),
        ("keys", "a/keys", "no"),
        ("KEYS", "keys", "touches"),
        ("a/**/b/**/c", "a/b/x/b/y/c", "covers"),
        ("{a,b}/c", "b/c", "covers"),
    ] {
        let target = Target::new("project", path);
        assert_eq!(fits(pattern, target), expected, "{pattern:?} on {path:?}");
    }
}

/// Deleting a directory deletes what is in it.
#[test]
fn a_directory_as_a_whole() {
    for (pattern, path, expected) in [
        ("project:src/**", "src/a", "covers"),
        ("project:src/**", "src", "touches"),
        ("project:src/**", "", "touches"),
        ("project:src/*", "src/a", "touches"),
        ("project:src/a", "src/a", "touches"),
        ("project:src/**/*.rs", "src/a", "touches"),
        ("project:src/keys/**", "src", "touches"),
        ("project:src/keys/**", "lib", "no"),
        ("project:**", "", "covers"),
        ("**/.env", "a", "touches"),
    ] {
        let target = Target::tree("project", path);
        assert_eq!(
            fits(pattern, target),
            expected,
            "{pattern:?} on all of {path:?}"
        );
    }
}

#[test]
fn a_path_that_is_not_plain_is_covered_by_nothing_and_touched_by_all() {
    for path in [
        "src/../etc",
        "..",
        "/etc/passwd",
        "src//a",
        "src/./a",
        "src/a/",
        "a\0b",
    ] {
        for pattern in ["project:src/**", "project:**", "**", "keys"] {
            let target = Target::new("project", path);
            assert_eq!(fits(pattern, target), "touches", "{pattern:?} on {path:?}");
        }
        assert_eq!(fits("other:**", Target::new("project", path)), "no");
    }
}

#[test]
fn every_path_must_be_allowed() {
    let allow = one("allow", "paths = [\"project:src/**\"]");
    let paths = |paths: &[&str]| Call::on(paths.iter().map(|path| Target::new("project", *path)));
    assert_eq!(paths(&["src/a", "src/b"]).verdict(&allow), Verdict::Allow);
    assert_eq!(paths(&["src/a", "etc"]).verdict(&allow), Verdict::Ask);
    assert_eq!(paths(&["etc", "src/a"]).verdict(&allow), Verdict::Ask);
    assert_eq!(Call::default().verdict(&allow), Verdict::Ask);
}

/// Which command acts on which path is not known.
#[test]
fn each_command_is_held_to_act_on_each_path() {
    let policy = parse(
        r#"
        [[rules]]
        tools = ["*"]
        commands = ["cp *"]
        paths = ["project:src/**"]
        decision = "allow"
        [[rules]]
        tools = ["*"]
        commands = ["ls *"]
        paths = ["project:docs/**"]
        decision = "allow"
        [[rules]]
        name = "no"
        tools = ["*"]
        commands = ["rm"]
        paths = ["project:docs"]
        decision = "deny"
        "#,
    );
    let call = |commands: &[&str], paths: &[&str]| Call {
        paths: paths
            .iter()
            .map(|path| Target::new("project", *path))
            .collect(),
        ..Call::running(commands.iter().copied())
    };
    let verdict = |commands: &[&str], paths: &[&str]| call(commands, paths).verdict(&policy);
    assert_eq!(verdict(&["cp a b"], &["src/a", "src/b"]), Verdict::Allow);
    assert_eq!(verdict(&["ls"], &["docs/a"]), Verdict::Allow);
    assert_eq!(
        verdict(&["cp a b", "ls"], &["src/a", "docs/a"]),
        Verdict::Ask
    );
    assert_eq!(
        verdict(&["ls", "rm x"], &["src/x", "docs/a"]),
        Verdict::Deny
    );
    assert_eq!(verdict(&["rm x"], &["src/x"]), Verdict::Ask);
}

/// `rm -rf ~` can be run in `src`.
#[test]
fn paths_alone_allow_no_commands() {
    let call = Call {
        paths: vec![Target::new("project", "src")],
        ..Call::running(["rm x"])
    };
    assert_eq!(fit("paths = [\"**\"]", &call), "touches");
    assert_eq!(fit("paths = [\"**\"]\ncommands = [\"*\"]", &call), "covers");
    assert_eq!(fit("commands = [\"rm x\"]", &call), "covers");
    let told = call.explained(&one("allow", "paths = [\"**\"]")).parts;
    let missed = told[0].rules[0].missed.as_ref().unwrap();
    assert!(missed.why.contains("paths alone"), "{}", missed.why);
}

#[test]
fn more_parts_than_are_looked_at_are_denied() {
    let allow = parse("[defaults]\nonce = \"allow\"\n");
    let call = |commands: usize, paths: usize| Call {
        commands: vec![Command::new(["ls"]); commands],
        ..Call::on(vec![Target::new("project", "a"); paths])
    };
    assert_eq!(call(64, MAX_PARTS / 64).verdict(&allow), Verdict::Allow);
    let decision = call(65, MAX_PARTS / 64).decided(&allow);
    assert_eq!(decision.verdict, Verdict::Deny);
    assert!(decision.reason.contains("several calls"), "{decision}");
    assert!(call(65, MAX_PARTS / 64).explained(&allow).parts.is_empty());
}
