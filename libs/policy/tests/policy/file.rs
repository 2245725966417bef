//! What a file may say, and what is told when it says something else.

use crate::{parse, refused};

/// Text after a rule's `tools`, on line 4.
fn rule(text: &str) -> String {
    format!("[[rules]]\ntools = [\"*\"]\ndecision = \"ask\"\n{text}\n")
}

#[test]
fn an_error_has_its_line_and_what_to_do() {
    for (text, line, told) in [
        (rule("command = [\"ls\"]"), 4, "did you mean commands?"),
        (
            rule("second_person = true"),
            4,
            "did you mean second-person?",
        ),
        ("[default]\n".to_owned(), 1, "did you mean defaults?"),
        (
            "[defaults]\nread-only = \"ask\"\n".to_owned(),
            2,
            "did you mean readOnly?",
        ),
        (
            "\n[defaults]\nonce = \"aks\"\n".to_owned(),
            3,
            "did you mean ask?",
        ),
        (
            "[[rules]]\ndecision = \"ask\"\n".to_owned(),
            1,
            "tools = [\"*\"] for every tool",
        ),
        (
            "[[rules]]\ntools = [\"*\"]\n".to_owned(),
            1,
            "decision = \"allow\"",
        ),
        (rule("effects = [\"onse\"]"), 4, "did you mean once?"),
        (rule("commands = []"), 4, "leave the key out"),
        (rule("effects = []"), 4, "leave the key out"),
        (
            rule("users = [\"!bob\"]"),
            4,
            "a rule of its own about \"bob\"",
        ),
        (rule("paths = [\n\"ok\",\n\"!a\"]"), 6, "not negated"),
        (rule("paths = [\"/etc/**\"]"), 4, "relative to a root"),
        (rule("paths = [\"a/../b\"]"), 4, "\"..\""),
        (rule("paths = [\"a//b\"]"), 4, "\"\""),
        (rule("paths = [\":a\"]"), 4, "no root before"),
        (rule("paths = [\"{a/b,c}\"]"), 4, "is no pattern"),
        (rule("users = [\"[a\"]"), 4, "is no pattern"),
        (rule("users = [\"\"]"), 4, "1 to 1000 characters"),
        (rule("commands = [\" \"]"), 4, "write \"*\" for all"),
        (
            rule("commands = [\"ls && rm x\"]"),
            4,
            "more than one command",
        ),
        (
            rule("commands = [\"echo 'a b'\"]"),
            4,
            "write ? for a blank",
        ),
        (rule("arguments = { a = {} }"), 4, "{ min = 0, max = 10 }"),
        (
            rule("arguments = { a = { mins = 1 } }"),
            4,
            "did you mean min?",
        ),
        (
            rule("arguments = { a = { min = 2, max = 1 } }"),
            4,
            "min is above max",
        ),
        (rule("arguments = { a = nan }"), 4, "no number"),
        (rule("arguments = { a = { max = \"1\" } }"), 4, "no number"),
        (rule("arguments = { a = [] }"), 4, "arguments.a: "),
        (rule("arguments = { a = 2026-01-01 }"), 4, "is no pattern"),
        (rule("arguments = { \"/a~2\" = 1 }"), 4, "JSON pointer"),
        (
            rule("when = { days = [\"mon\"] }"),
            4,
            "zone = \"Europe/Berlin\"",
        ),
        (
            rule("when = { zone = \"Europe/Berlim\" }"),
            4,
            "did you mean Europe/Berlin?",
        ),
        (
            rule("when = { zone = \"Etc/Unknown\" }"),
            4,
            "is no IANA time zone",
        ),
        (
            rule("when = { days = [\"monday\"], zone = \"UTC\" }"),
            4,
            "\"mon-fri\"",
        ),
        (
            rule("when = { hours = [\"9:00-17:00\"], zone = \"UTC\" }"),
            4,
            "\"09:00-17:30\"",
        ),
        (
            rule("when = { hours = [\"+9:00-17:00\"], zone = \"UTC\" }"),
            4,
            "\"09:00-17:30\"",
        ),
        (
            rule("when = { hours = [\"09:00-24:01\"], zone = \"UTC\" }"),
            4,
            "\"09:00-17:30\"",
        ),
        (
            rule("when = { hours = [\"09:00-09:00\"], zone = \"UTC\" }"),
            4,
            "whole days",
        ),
        (rule("expires = \"soon\""), 4, "4: \"soon\" is no time"),
        (rule("expires = \"1s\""), 4, "from 10s to 24h"),
        (rule("expires = \"-1h\""), 4, "from 10s to 24h"),
        (rule("expires = \"25h\""), 4, "from 10s to 24h"),
        (rule("name = \"\""), 4, "1 to 64 characters"),
        (rule("name = \"#1\""), 4, "begin with #"),
        (rule("name = \"a\"\n[[rules]\n"), 5, ""),
    ] {
        let error = refused(&text);
        let place = format!("policy.toml:{line}: ");
        assert!(
            error.starts_with(&place) && error.contains(told),
            "{text}\n{error}"
        );
    }
}

#[test]
fn only_an_ask_is_asked_in_some_way() {
    for decision in ["allow", "deny"] {
        for key in ["second-person = false", "expires = \"1m\""] {
            let text = format!("[[rules]]\ntools = [\"*\"]\ndecision = \"{decision}\"\n{key}\n");
            let error = refused(&text);
            assert!(
                error.starts_with("policy.toml:4: this is for rules that ask"),
                "{error}"
            );
        }
    }
}

#[test]
fn names_are_unique() {
    let one = rule("name = \"a\"\nusers = [\"x\"]");
    let error = refused(&format!("{one}\n{one}"));
    assert!(
        error.starts_with("policy.toml:7: line 1 has a rule a already"),
        "{error}"
    );
}

#[test]
fn a_rule_that_can_never_decide_is_an_error() {
    let rule = |decision: &str, tools: &str, more: &str| {
        format!("[[rules]]\ntools = [{tools:?}]\ndecision = {decision:?}\n{more}\n")
    };
    let narrow = |decision| rule(decision, "files_read", "users = [\"ada\"]");
    for (first, second, line) in [
        // The general rule at the end.
        (narrow("ask"), rule("allow", "*", ""), 1),
        (narrow("allow"), rule("ask", "files_*", ""), 1),
        (rule("allow", "files_*", ""), rule("ask", "files_*", ""), 1),
        // What is denied anyway.
        (narrow("allow"), rule("deny", "*", ""), 1),
        (rule("deny", "files_*", ""), narrow("allow"), 5),
    ] {
        let error = refused(&format!("{first}{second}"));
        let place = format!("policy.toml:{line}: ");
        assert!(
            error.starts_with(&place) && error.contains("never decides"),
            "{error}"
        );
    }
    for (first, second) in [
        (rule("ask", "*", ""), narrow("allow")),
        (narrow("deny"), rule("allow", "*", "")),
        (rule("deny", "code_*", ""), narrow("allow")),
        (rule("allow", "files_*", ""), rule("ask", "files_read", "")),
        (narrow("ask"), rule("allow", "*", "users = [\"bob\"]")),
        (rule("deny", "*", ""), narrow("deny")),
    ] {
        parse(&format!("{first}{second}"));
    }
}

#[test]
fn limits_are_told() {
    let many = |count| {
        let rules = (0..count).map(|user| {
            format!("[[rules]]\ntools = [\"*\"]\ndecision = \"ask\"\nusers = [\"u{user}\"]\n")
        });
        rules.collect::<String>()
    };
    assert_eq!(parse(&many(1_000)).rule_count(), 1_000);
    let error = refused(&many(1_001));
    assert!(error.contains("at most 1000 rules"), "{error}");
    let patterns = vec!["\"a\""; 1_001].join(",");
    let error = refused(&rule(&format!("users = [{patterns}]")));
    assert!(error.contains("at most 1000 patterns"), "{error}");
}

/// What the schema lets through, an editor does not underline: both must know the same keys.
#[test]
fn the_schema_knows_the_same_keys() {
    let validator = jsonschema::validator_for(&waybill_policy::schema().to_value()).unwrap();
    let valid = |text: &str| {
        let value: toml::Value = toml::from_str(text).unwrap();
        validator.is_valid(&serde_json::to_value(value).unwrap())
    };
    let full = rule(
        "name = \"a\"\nreason = \"b\"\nsecond-person = true\nexpires = \"1m\"\neffects = [\"once\"]\n\
         tenants = [\"*\"]\nusers = [\"*\"]\nscopes = [\"*\"]\ncommands = [\"ls\"]\npaths = [\"a\"]\n\
         arguments = { a = [1, \"x\", true, { min = 1.5 }, { exactly = \"y\" }] }\n\
         when = { days = [\"mon\"], hours = [\"00:00-01:00\"], zone = \"UTC\" }",
    );
    assert!(valid(&full));
    parse(&full);
    for wrong in [
        rule("command = [\"ls\"]"),
        rule("arguments = { a = { mins = 1 } }"),
        rule("effects = [\"onse\"]"),
        "[[rules]]\ndecision = \"ask\"\n".to_owned(),
        "[[rules]]\ntools = [\"*\"]\n".to_owned(),
        "[defaults]\nread-only = \"ask\"\n".to_owned(),
    ] {
        assert!(!valid(&wrong), "{wrong}");
        refused(&wrong);
    }
}
