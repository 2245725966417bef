//! What is told about a decision.

use serde_json::json;
use waybill_policy::{Known, Verdict};

use crate::{Call, one, parse};

#[test]
fn each_rule_tells_whether_it_matched_or_what_it_lacked() {
    let policy = parse(
        r#"
        [[rules]]
        tools = ["files_*"]
        decision = "deny"
        [[rules]]
        name = "small"
        tools = ["shell_run"]
        decision = "allow"
        arguments = { amount = { max = 10 } }
        [[rules]]
        name = "look"
        tools = ["shell_run"]
        decision = "allow"
        commands = ["git status", "ls"]
        [[rules]]
        name = "git"
        tools = ["shell_run"]
        decision = "ask"
        commands = ["git *"]
        "#,
    );
    let call = Call {
        arguments: json!({"amount": 5}).as_object().unwrap().clone(),
        ..Call::running(["git status -s"])
    };
    let explanation = call.explained(&policy);
    assert_eq!(explanation.decision, call.decided(&policy));
    let [part] = &explanation.parts[..] else {
        panic!("one command, one part");
    };
    assert_eq!(part.part.as_deref(), Some("git status -s"));
    assert_eq!(
        (part.verdict, part.rule.as_deref()),
        (Verdict::Ask, Some("git"))
    );
    let told: Vec<_> = part
        .rules
        .iter()
        .map(|rule| {
            let missed = rule.missed.as_ref();
            let missed = missed.map(|missed| format!("{}: {}", missed.condition, missed.why));
            format!(
                "{} {} {} {}",
                rule.name,
                rule.line,
                rule.decides,
                missed.unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "#1 2 false tools: shell_run is not files_*",
            "small 5 false ",
            "look 10 false commands: git status -s is not certainly covered by git status or ls, \
             as it must be to be allowed",
            "git 15 true ",
        ]
    );
}

#[test]
fn what_the_call_lacks_is_told() {
    let told = |condition: &str, call: &Call| {
        let explanation = call.explained(&one("deny", condition));
        let missed = explanation.parts[0].rules[0].missed.clone().unwrap();
        format!("{}: {}", missed.condition, missed.why)
    };
    let call = Call {
        user: None,
        ..Call::with(json!({"a": {"b": 1}}))
    };
    assert_eq!(
        told("users = [\"bob\"]", &call),
        "users: the call has none; the rule wants bob"
    );
    assert_eq!(
        told("arguments = { to = \"x\" }", &call),
        "arguments.to: the call has none; the rule wants \"x\""
    );
    assert_eq!(
        told("arguments = { \"/a/b\" = 2 }", &call),
        "arguments./a/b: 1 is not 2"
    );
    assert_eq!(
        told("commands = [\"ls\"]", &call),
        "commands: the call has none; the rule wants ls"
    );
}

/// Nobody is shown less than what would run.
#[test]
fn a_part_shows_what_hides_in_its_words() {
    let call = Call {
        commands: vec![waybill_policy::Command::new([
            "echo",
            "a b",
            "\u{1b}[2K",
            "",
            "x\ny",
        ])],
        paths: vec![waybill_policy::Target::tree("project", "a\nb")],
        ..Call::default()
    };
    let decision = call.decided(&one("ask", ""));
    assert_eq!(
        decision.part.unwrap(),
        r#"echo "a b" "\u{1b}[2K" "" "x\ny", on project:a\nb, and all below"#
    );
}

#[test]
fn it_is_data_for_programs() {
    let explanation = Call::running(["ls"]).explained(&one("ask", "users = [\"bob\"]"));
    assert_eq!(
        serde_json::to_value(&explanation).unwrap(),
        json!({
            "decision": {
                "verdict": "ask",
                "rule": null,
                "reason": "no rule matches, and the default for once tools is ask",
                "part": "ls",
                "ask": { "secondPerson": false, "expiresS": 900 },
            },
            "parts": [{
                "part": "ls",
                "verdict": "ask",
                "rule": null,
                "rules": [{
                    "name": "one",
                    "line": 1,
                    "decision": "ask",
                    "decides": false,
                    "missed": { "condition": "users", "why": "ada is not bob" },
                }],
            }],
        })
    );
}

#[test]
fn names_that_mean_nothing_here_are_doubted() {
    let policy = parse(
        "[[rules]]\nname = \"typo\"\ntools = [\"shel_run\", \"files_*\"]\ndecision = \"deny\"\n\
         scopes = [\"admim\"]\npaths = [\"projct:src\", \"**/.env\"]\n",
    );
    let known = Known {
        tools: &["shell_run", "files_read"],
        scopes: &["admin", "tools:call"],
        roots: &["project"],
    };
    let told: Vec<_> = policy
        .doubts(known)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "line 1, rule typo: no tool here is called shel_run; did you mean shell_run?",
            "line 1, rule typo: no scope here is called admim; did you mean admin?",
            "line 1, rule typo: no root here is called projct; did you mean project?",
        ]
    );
    assert_eq!(policy.doubts(Known::default()), []);
}

#[test]
fn what_is_very_long_is_cut() {
    let call = Call {
        commands: vec![waybill_policy::Command::new(["echo", &"ä".repeat(5_000)])],
        ..Call::default()
    };
    let explanation = call.explained(&one("allow", "commands = [\"ls\"]"));
    let part = explanation.decision.part.unwrap();
    assert_eq!(part.chars().count(), 1_001);
    let missed = explanation.parts[0].rules[0].missed.clone().unwrap();
    assert!(missed.why.chars().count() < 1_100, "{}", missed.why.len());
}
