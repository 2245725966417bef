//! What a pattern of commands covers and touches.

use waybill_policy::{Command, Verdict, Word};

use crate::{Call, fit, one, parse};

fn fits(pattern: &str, command: Command) -> &'static str {
    let call = Call {
        commands: vec![command],
        ..Call::default()
    };
    fit(&format!("commands = [{pattern:?}]"), &call)
}

/// `?` is a word that is not known.
fn words(command: &str) -> Command {
    let word = |word: &str| match word {
        "?" => Word::Unknown,
        word => Word::Is(word.to_owned()),
    };
    Command(command.split_whitespace().map(word).collect())
}

#[test]
fn word_by_word() {
    for (pattern, command, expected) in [
        ("git status", "git status", "covers"),
        ("git status", "git status -s", "touches"),
        ("git status", "git", "no"),
        ("git status", "git stash", "no"),
        ("git status", "ls git status", "no"),
        ("git status", "gitk status", "no"),
        ("git diff *", "git diff", "covers"),
        ("git diff *", "git diff --stat HEAD", "covers"),
        ("git diff *", "git difftool", "no"),
        ("git d*", "git difftool", "covers"),
        ("git d*", "git difftool -y", "touches"),
        ("git * main", "git push main", "covers"),
        ("git * main", "git push origin main", "no"),
        ("cargo {test,check} *", "cargo check -p x", "covers"),
        ("*", "rm -rf /", "covers"),
        ("*", "", "covers"),
        ("git", "", "no"),
        ("git *", "", "no"),
        ("> target/*", "> target/log", "covers"),
        ("> target/*", "> src/main.rs", "no"),
    ] {
        assert_eq!(
            fits(pattern, words(command)),
            expected,
            "{pattern:?} on {command:?}"
        );
    }
}

/// An allow is not widened by these, and a deny is not evaded.
#[test]
fn what_only_touches() {
    for (pattern, command) in [
        ("git push", "git push --force"),
        ("git push", "/usr/bin/git push"),
        ("git push", "./git push"),
        ("git push", "GIT push"),
        ("git push", "GIT_SSH_COMMAND=evil git push"),
        ("git push", "A=1 B+=2 git push"),
        ("git push", "git -C dir push"),
        ("git push", "git --no-pager -c a.b=c push origin"),
        ("git push", "git -P push"),
        ("git push *", "/bin/git push"),
        ("rm *", "/bin/rm"),
        ("cat /tmp/*", "cat /tmp/../etc/passwd"),
        ("cat /tmp/*", "cat /tmp/.."),
    ] {
        assert_eq!(
            fits(pattern, words(command)),
            "touches",
            "{pattern:?} on {command:?}"
        );
    }
}

#[test]
fn what_does_not_touch() {
    for (pattern, command) in [
        ("git push", "git commit -m push"),
        ("git push", "git stash push"),
        ("git push", "echo git push"),
        ("rm", "grep rm notes"),
        ("git push", "1A=x git push"),
    ] {
        assert_eq!(
            fits(pattern, words(command)),
            "no",
            "{pattern:?} on {command:?}"
        );
    }
}

#[test]
fn words_that_are_not_known() {
    for (pattern, command, expected) in [
        ("git diff *", "git diff ?", "covers"),
        ("git diff *", "git diff -- ? x", "covers"),
        ("git diff", "git diff ?", "touches"),
        ("git diff *", "git ?", "touches"),
        ("git *", "?", "touches"),
        ("git push", "git ? origin", "touches"),
        ("git * main", "git ? main", "touches"),
        ("git push", "ls ?", "no"),
        ("*", "?", "covers"),
    ] {
        assert_eq!(
            fits(pattern, words(command)),
            expected,
            "{pattern:?} on {command:?}"
        );
    }
    assert_eq!(fits("rm *", Command::unknown()), "touches");
}

#[test]
fn a_word_is_one_word_whatever_is_in_it() {
    let told = |word: &str| Command::new(["echo", word]);
    assert_eq!(fits("echo hello", told("hello; rm -rf /")), "no");
    assert_eq!(fits("echo *", told("hello; rm -rf /")), "covers");
    assert_eq!(fits("echo *rm*", told("line\nrm\nline")), "covers");
    assert_eq!(fits("echo a?b", told("a b")), "covers");
    assert_eq!(fits("echo", Command::new(["echo", ""])), "touches");
}

#[test]
fn every_command_must_be_allowed_and_one_denied_is_enough() {
    let policy = parse(
        r#"
        [[rules]]
        name = "look"
        tools = ["shell_run"]
        commands = ["git status"]
        decision = "allow"
        [[rules]]
        name = "list"
        tools = ["shell_run"]
        commands = ["ls *"]
        decision = "allow"
        [[rules]]
        name = "no-push"
        tools = ["*"]
        commands = ["git push"]
        decision = "deny"
        "#,
    );
    for (commands, verdict, rule) in [
        (&["git status"][..], Verdict::Allow, Some("look")),
        (&["git status", "ls -l"], Verdict::Allow, Some("look")),
        (&["git status", "make"], Verdict::Ask, None),
        (&["make", "git status"], Verdict::Ask, None),
        (&["git status", "git push"], Verdict::Deny, Some("no-push")),
        (&["make", "git push", "ls"], Verdict::Deny, Some("no-push")),
    ] {
        let decision = Call::running(commands.iter().copied()).decided(&policy);
        let decided = (decision.verdict, decision.rule.as_deref());
        assert_eq!(decided, (verdict, rule), "{commands:?}");
    }
    let decision = Call::running(["ls", "make all", "git status"]).decided(&policy);
    assert_eq!(decision.part.as_deref(), Some("make all"));
}

#[test]
fn a_tool_that_states_no_commands_is_allowed_none() {
    let call = Call::default();
    assert_eq!(fit("commands = [\"*\"]", &call), "no");
    assert_eq!(
        call.verdict(&one("allow", "commands = [\"*\"]")),
        Verdict::Ask
    );
}
