//! What the README says.

use waybill_policy::{Policy, Target, Verdict};

use crate::{Call, parse};

fn policy() -> Policy {
    let readme = include_str!("../../README.md");
    let (_, file) = readme.split_once("```toml\n").unwrap();
    let (file, _) = file.split_once("```").unwrap();
    let schema = waybill_policy::schema().to_value();
    let written: toml::Value = toml::from_str(file).unwrap();
    let written = serde_json::to_value(written).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    if let Err(error) = validator.validate(&written) {
        panic!("{error}");
    }
    parse(file)
}

#[test]
fn its_example_does_what_it_says() {
    let policy = policy();
    for (commands, verdict) in [
        (["git status", "ls"], Verdict::Allow),
        (["git status", "git push"], Verdict::Deny),
        (["git status", "make"], Verdict::Ask),
    ] {
        assert_eq!(
            Call::running(commands).verdict(&policy),
            verdict,
            "{commands:?}"
        );
    }
    let write = |path: &str| Call {
        tool: "files_write",
        ..Call::on([Target::new("project", path)])
    };
    assert_eq!(write("src/main.rs").verdict(&policy), Verdict::Allow);
    assert_eq!(write("src/.env.local").verdict(&policy), Verdict::Deny);
    assert_eq!(write("keys/id").verdict(&policy), Verdict::Deny);
    assert_eq!(write("Cargo.toml").verdict(&policy), Verdict::Ask);
}

#[test]
fn what_it_shows_as_the_default_is() {
    let policy = policy();
    let shown = Call::default().decided(&policy);
    assert_eq!(shown, Call::default().decided(&Policy::default()));
}
