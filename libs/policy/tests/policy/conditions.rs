//! Conditions on who, when and with which arguments.

use serde_json::{Value, json};
use waybill_policy::Verdict;
use waybill_toolkit::Effect;

use crate::{Call, at, fit, one, parse};

#[test]
fn names_fit_by_globs() {
    let call = Call::default();
    for (condition, expected) in [
        ("tenants = [\"acme\"]", "covers"),
        ("tenants = [\"ac*\"]", "covers"),
        ("tenants = [\"other\"]", "no"),
        ("users = [\"ada\", \"bob\"]", "covers"),
        ("users = [\"ADA\"]", "touches"),
        ("users = [\"bob\"]", "no"),
        ("scopes = [\"tools:*\"]", "covers"),
        ("scopes = [\"admin\"]", "no"),
        ("effects = [\"once\"]", "covers"),
        ("effects = [\"readOnly\", \"idempotent\"]", "no"),
    ] {
        assert_eq!(fit(condition, &call), expected, "{condition}");
    }
    let nobody = Call {
        user: None,
        scopes: Vec::new(),
        ..Call::default()
    };
    assert_eq!(fit("users = [\"*\"]", &nobody), "no");
    assert_eq!(fit("scopes = [\"*\"]", &nobody), "no");
}

#[test]
fn a_rule_is_about_its_tools() {
    let policy = parse("[[rules]]\ntools = [\"files_*\", \"code_find\"]\ndecision = \"deny\"\n");
    for (tool, verdict) in [
        ("files_write", Verdict::Deny),
        ("code_find", Verdict::Deny),
        ("code_find_all", Verdict::Ask),
        ("my_files_write", Verdict::Ask),
    ] {
        let call = Call {
            tool,
            ..Call::default()
        };
        assert_eq!(call.verdict(&policy), verdict, "{tool}");
    }
}

#[test]
fn all_conditions_must_hold() {
    let conditions = "tenants = [\"acme\"]\nusers = [\"ada\"]\narguments = { a = 1 }";
    let policy = one("allow", conditions);
    assert_eq!(Call::with(json!({"a": 1})).verdict(&policy), Verdict::Allow);
    assert_eq!(Call::with(json!({"a": 2})).verdict(&policy), Verdict::Ask);
    let bob = Call {
        user: Some("bob"),
        ..Call::with(json!({"a": 1}))
    };
    assert_eq!(bob.verdict(&policy), Verdict::Ask);
}

/// In rows: a pattern, a value, how it fits.
fn check(rows: &[(&str, Value, &str)]) {
    for (pattern, value, expected) in rows {
        let condition = format!("arguments = {{ a = {pattern} }}");
        let found = fit(&condition, &Call::with(json!({ "a": value, "b": 1 })));
        assert_eq!(found, *expected, "{pattern} on {value}");
    }
}

#[test]
fn arguments_that_are_texts() {
    check(&[
        ("'main'", json!("main"), "covers"),
        ("'main'", json!("Main"), "touches"),
        ("'main'", json!("maintenance"), "no"),
        ("'+49*'", json!("+4930123"), "covers"),
        ("'+49*'", json!("0049"), "no"),
        ("'a*'", json!("a/b\nc"), "covers"),
        ("'/tmp/*'", json!("/tmp/../etc"), "touches"),
        ("'/tmp/../etc'", json!("/tmp/../etc"), "covers"),
        ("'{a,b}'", json!("b"), "covers"),
        ("{ exactly = 'a*b' }", json!("a*b"), "covers"),
        ("{ exactly = 'a*b' }", json!("axb"), "no"),
        ("{ exactly = 'a*b' }", json!("A*B"), "touches"),
        ("'5'", json!(5), "touches"),
        ("'*'", json!(5), "touches"),
        ("'*'", json!({"a": 1}), "touches"),
        ("'*'", json!(null), "no"),
        ("'x'", json!(true), "no"),
    ]);
}

#[test]
fn arguments_that_are_numbers_and_flags() {
    check(&[
        ("5", json!(5), "covers"),
        ("5", json!(5.0), "covers"),
        ("5", json!(6), "no"),
        ("5", json!("5"), "touches"),
        ("5", json!("6"), "no"),
        ("5", json!("many"), "no"),
        ("{ max = 100 }", json!(100), "covers"),
        ("{ max = 100 }", json!(100.01), "no"),
        ("{ max = 100 }", json!(-3), "covers"),
        ("{ min = 100 }", json!("150"), "touches"),
        ("{ min = 100 }", json!("150 EUR"), "touches"),
        ("{ max = 100 }", json!("nan"), "touches"),
        ("{ min = 100 }", json!("50"), "no"),
        ("{ min = 100 }", json!(true), "touches"),
        ("{ min = 1, max = 2.5 }", json!(2.5), "covers"),
        ("{ min = 1, max = 2.5 }", json!(0), "no"),
        (
            "{ max = 9007199254740992 }",
            json!(9_007_199_254_740_993_u64),
            "no",
        ),
        ("{ min = 0 }", json!(u64::MAX), "covers"),
        ("true", json!(true), "covers"),
        ("true", json!(false), "no"),
        ("true", json!("true"), "touches"),
        ("true", json!("yes"), "no"),
    ]);
}

#[test]
fn arguments_that_are_one_of_some_or_lists() {
    check(&[
        ("['a', 5, true]", json!(5), "covers"),
        ("['a', 5, true]", json!("a"), "covers"),
        ("['a', 5, true]", json!("5"), "touches"),
        ("['a', { min = 10 }]", json!(12), "covers"),
        ("['a', 5]", json!("b"), "no"),
        ("'a*'", json!(["a1", "a2"]), "covers"),
        ("'a*'", json!(["a1", "b"]), "touches"),
        ("'a*'", json!(["a1", ["a2"]]), "touches"),
        ("'a*'", json!(["b", ["c"]]), "touches"),
        ("'a*'", json!(["a1", null]), "touches"),
        ("'a*'", Value::from(vec!["a"; 10_000]), "covers"),
        ("'a*'", Value::from(vec!["a"; 10_001]), "touches"),
        ("'a*'", json!([]), "no"),
        ("'a*'", json!(["b"]), "no"),
        ("['a', 'b']", json!(["a", "b"]), "covers"),
        ("['a', 'b']", json!(["a", "c"]), "touches"),
    ]);
}

#[test]
fn arguments_by_pointer() {
    let call = Call::with(json!({ "a": { "b": [1, { "c/d": "x" }] }, "/a": "slash", "~": 1 }));
    for (key, pattern, expected) in [
        ("/a/b/0", "1", "covers"),
        ("/a/b/1/c~1d", "'x'", "covers"),
        ("/a/b/2", "1", "no"),
        ("/a/b", "1", "touches"),
        ("/~1a", "'slash'", "covers"),
        ("/~0", "1", "covers"),
        ("missing", "'*'", "no"),
    ] {
        let condition = format!("arguments = {{ {key:?} = {pattern} }}");
        assert_eq!(fit(&condition, &call), expected, "{condition}");
    }
}

#[test]
fn days_and_hours_are_those_of_the_zone() {
    let berlin =
        "when = { days = [\"mon-fri\"], hours = [\"08:00-18:00\"], zone = \"Europe/Berlin\" }";
    let night =
        "when = { days = [\"fri\"], hours = [\"22:00-06:00\"], zone = \"America/New_York\" }";
    let weekend = "when = { days = [\"sat-mon\"], zone = \"UTC\" }";
    let halves = "when = { hours = [\"00:00-01:00\", \"23:00-24:00\"], zone = \"Asia/Kolkata\" }";
    for (window, time, expected) in [
        // Berlin is at +2 in May and at +1 in January.
        (berlin, "2026-05-20T06:00:00Z", "covers"),
        (berlin, "2026-05-20T05:59:59Z", "no"),
        (berlin, "2026-05-20T15:59:59Z", "covers"),
        (berlin, "2026-05-20T16:00:00Z", "no"),
        (berlin, "2026-01-21T06:30:00Z", "no"),
        (berlin, "2026-01-21T07:00:00Z", "covers"),
        (berlin, "2026-05-23T12:00:00Z", "no"),
        // Friday the 22nd, 22:00 to Saturday, 06:00, at -4.
        (night, "2026-05-23T01:59:00Z", "no"),
        (night, "2026-05-23T02:00:00Z", "covers"),
        (night, "2026-05-23T09:59:00Z", "covers"),
        (night, "2026-05-23T10:00:00Z", "no"),
        (night, "2026-05-22T05:00:00Z", "no"),
        (weekend, "2026-05-23T00:00:00Z", "covers"),
        (weekend, "2026-05-25T23:59:59Z", "covers"),
        (weekend, "2026-05-26T00:00:00Z", "no"),
        (halves, "2026-05-20T17:30:00Z", "covers"),
        (halves, "2026-05-20T19:29:00Z", "covers"),
        (halves, "2026-05-20T19:30:00Z", "no"),
    ] {
        let call = Call {
            now: at(time),
            ..Call::default()
        };
        assert_eq!(fit(window, &call), expected, "{window} at {time}");
    }
}

#[test]
fn effects_are_those_of_the_tool() {
    let policy = one("deny", "effects = [\"idempotent\"]");
    let call = Call {
        effect: Effect::Idempotent,
        ..Call::default()
    };
    assert_eq!(call.verdict(&policy), Verdict::Deny);
}
