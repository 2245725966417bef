//! Deciding, explaining, reading and watching.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod commands;
mod conditions;
mod explain;
mod file;
mod order;
mod paths;
mod properties;
mod readme;
mod watched;

use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use waybill_events::TenantId;
use waybill_policy::{Command, Decision, Explanation, Policy, Question, Target, Verdict};
use waybill_toolkit::Effect;

fn parse(text: &str) -> Policy {
    Policy::parse(text, Path::new("policy.toml")).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> String {
    let policy = Policy::parse(text, Path::new("policy.toml"));
    policy.expect_err(text).to_string()
}

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

/// A call of `shell_run`, which is a `once` tool, by `ada` of `acme`, on a Wednesday. Change what the
/// test is about.
#[derive(Clone, Debug)]
struct Call {
    tool: &'static str,
    effect: Effect,
    arguments: Map<String, Value>,
    tenant: &'static str,
    user: Option<&'static str>,
    scopes: Vec<&'static str>,
    commands: Vec<Command>,
    paths: Vec<Target>,
    now: DateTime<Utc>,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            tool: "shell_run",
            effect: Effect::Once,
            arguments: Map::new(),
            tenant: "acme",
            user: Some("ada"),
            scopes: vec!["tools:call"],
            commands: Vec::new(),
            paths: Vec::new(),
            now: at("2026-05-20T12:00:00Z"),
        }
    }
}

impl Call {
    /// Commands in words that have no blanks.
    fn running<'a>(commands: impl IntoIterator<Item = &'a str>) -> Self {
        let commands = commands.into_iter();
        Self {
            commands: commands
                .map(|command| Command::new(command.split_whitespace()))
                .collect(),
            ..Self::default()
        }
    }

    fn with(arguments: Value) -> Self {
        let Value::Object(arguments) = arguments else {
            panic!("arguments are an object");
        };
        Self {
            arguments,
            ..Self::default()
        }
    }

    fn on(paths: impl IntoIterator<Item = Target>) -> Self {
        Self {
            paths: paths.into_iter().collect(),
            ..Self::default()
        }
    }

    fn ask<T>(&self, answer: impl FnOnce(&Question<'_>) -> T) -> T {
        answer(&Question {
            tool: self.tool,
            effect: self.effect,
            arguments: &self.arguments,
            tenant: &TenantId::parse(self.tenant).unwrap(),
            user: self.user,
            scopes: &self.scopes,
            commands: &self.commands,
            paths: &self.paths,
            now: self.now,
        })
    }

    fn decided(&self, policy: &Policy) -> Decision {
        self.ask(|question| policy.decide(question))
    }

    fn verdict(&self, policy: &Policy) -> Verdict {
        self.decided(policy).verdict
    }

    fn explained(&self, policy: &Policy) -> Explanation {
        self.ask(|question| policy.explain(question))
    }
}

/// One rule for all tools, with a condition.
fn one(decision: &str, condition: &str) -> Policy {
    parse(&format!(
        "[[rules]]\nname = \"one\"\ntools = [\"*\"]\ndecision = \"{decision}\"\n{condition}\n"
    ))
}

/// Whether the condition covers the call, touches it, or does not fit it.
fn fit(condition: &str, call: &Call) -> &'static str {
    let allowed = call.verdict(&one("allow", condition)) == Verdict::Allow;
    let denied = call.verdict(&one("deny", condition)) == Verdict::Deny;
    match (allowed, denied) {
        (true, true) => "covers",
        (false, true) => "touches",
        (false, false) => "no",
        (true, false) => panic!("{condition} covers {call:?} and does not touch it"),
    }
}

#[test]
fn without_rules_the_effect_class_decides() {
    let call = |effect| Call {
        effect,
        ..Call::with(json!({}))
    };
    let policy = Policy::default();
    for (effect, verdict) in [
        (Effect::ReadOnly, Verdict::Allow),
        (Effect::Idempotent, Verdict::Ask),
        (Effect::Once, Verdict::Ask),
    ] {
        let decision = call(effect).decided(&policy);
        assert_eq!(decision.verdict, verdict);
        assert_eq!(decision.rule, None);
        assert_eq!(decision.ask.is_some(), verdict == Verdict::Ask);
    }
    let policy = parse("[defaults]\nreadOnly = \"deny\"\nonce = \"allow\"\n");
    for (effect, verdict) in [
        (Effect::ReadOnly, Verdict::Deny),
        (Effect::Idempotent, Verdict::Ask),
        (Effect::Once, Verdict::Allow),
    ] {
        assert_eq!(call(effect).verdict(&policy), verdict);
    }
}
