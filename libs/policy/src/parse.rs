//! From the file as it is written to what decides.

use std::{collections::BTreeMap, ops::Range, path::Path, time::Duration};

use jiff::SignedDuration;
use toml::Spanned;

use crate::{
    Ask, Error, Policy, Verdict,
    error::{Fault, did_you_mean, line},
    file::{AskTable, File, List, RuleTable, WhenTable},
    pattern::{Argument, CommandPattern, Fit, Key, PathPattern, Text},
    rule::Rule,
    when::{self, When},
};

/// Rules of a file.
const MAX_RULES: usize = 1_000;
/// Patterns of one list.
const MAX_PATTERNS: usize = 1_000;
/// Characters of a pattern, a name.
const MAX_PATTERN_CHARS: usize = 1_000;
const MAX_NAME_CHARS: usize = 64;
/// How long a question may stand: a call lives no longer than a day.
const EXPIRES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_hours(24));

pub(crate) fn policy(text: &str, path: &Path) -> Result<Policy, Error> {
    let file: File = toml::from_str(text).map_err(|error| {
        let message = format!("{}{}", error.message(), advice(error.message()));
        Fault::new(error.span().unwrap_or_default(), message).at(path, text)
    })?;
    understood(file, text).map_err(|fault| fault.at(path, text))
}

fn understood(file: File, text: &str) -> Result<Policy, Fault> {
    let ask = asked(&file.ask)?;
    if let Some(beyond) = file.rules.get(MAX_RULES) {
        return Err(Fault::new(
            beyond.span(),
            format!("a policy has at most {MAX_RULES} rules"),
        ));
    }
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut rules = Vec::new();
    for (index, written) in file.rules.into_iter().enumerate() {
        let (span, written) = (written.span(), written.into_inner());
        let place = Place {
            index,
            line: line(text, span.start),
        };
        let rule = rule(written, place, ask)?;
        if let Some(other) = names.insert(rule.name.clone(), rule.line) {
            let message = format!(
                "line {other} has a rule {} already: names are unique",
                rule.name
            );
            return Err(Fault::new(span, message));
        }
        check_alive(&rules, &rule, &span)?;
        rules.push((rule, span));
    }
    let rules = rules.into_iter().map(|(rule, _)| rule).collect();
    Ok(Policy::new(file.defaults, ask, rules, text.as_bytes()))
}

/// Where a rule is written.
#[derive(Clone, Copy)]
struct Place {
    /// From 0.
    index: usize,
    line: usize,
}

fn rule(written: RuleTable, place: Place, ask: Ask) -> Result<Rule, Fault> {
    let name = written.name.map(name).transpose()?;
    let mut rule = Rule {
        name: name.unwrap_or_else(|| format!("#{}", place.index + 1)),
        line: place.line,
        decision: written.decision,
        reason: written.reason,
        ask,
        tools: list(Some(written.tools), unnegated(Text::parse))?,
        effects: Vec::new(),
        tenants: list(written.tenants, unnegated(Text::parse))?,
        users: list(written.users, unnegated(Text::parse))?,
        scopes: list(written.scopes, unnegated(Text::parse))?,
        arguments: Vec::new(),
        commands: list(written.commands, CommandPattern::parse)?,
        paths: list(written.paths, unnegated(PathPattern::parse))?,
        when: written.when.map(window).transpose()?,
    };
    if let Some(effects) = written.effects {
        rule.effects = filled(effects)?;
    }
    for (key, pattern) in written.arguments {
        let parsed = Key::parse(key.get_ref())
            .and_then(|key| Ok((key, Argument::parse(&pattern)?)))
            .map_err(|message| Fault::new(key.span(), format!("arguments.{key}: {message}")))?;
        rule.arguments.push(parsed);
    }
    let asks = rule.decision == Verdict::Ask;
    let second = written.second_person.as_ref().map(Spanned::span);
    let expires = written.expires.as_ref().map(Spanned::span);
    if let Some(span) = second.or(expires).filter(|_| !asks) {
        let message = format!(
            "this is for rules that ask, and this one says {}",
            rule.decision
        );
        return Err(Fault::new(span, message));
    }
    if let Some(second) = written.second_person {
        rule.ask.second_person = second.into_inner();
    }
    if let Some(expires) = written.expires {
        rule.ask.expires = duration(&expires)?;
    }
    Ok(rule)
}

fn name(name: Spanned<String>) -> Result<String, Fault> {
    let (span, name) = (name.span(), name.into_inner());
    let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count());
    if fits && !name.starts_with('#') && !name.contains(char::is_control) {
        return Ok(name);
    }
    let message = format!(
        "a name has 1 to {MAX_NAME_CHARS} characters and does not begin with #, which is for rules \
         without a name"
    );
    Err(Fault::new(span, message))
}

fn list<T>(
    written: Option<List>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Fault> {
    let Some(written) = written else {
        return Ok(Vec::new());
    };
    let span = written.span();
    let written = filled(written)?;
    if written.len() > MAX_PATTERNS {
        return Err(Fault::new(
            span,
            format!("a list has at most {MAX_PATTERNS} patterns"),
        ));
    }
    let parsed = written.into_iter().map(|pattern| {
        let (span, pattern) = (pattern.span(), pattern.into_inner());
        if !(1..=MAX_PATTERN_CHARS).contains(&pattern.chars().count()) {
            let message = format!("a pattern has 1 to {MAX_PATTERN_CHARS} characters");
            return Err(Fault::new(span, message));
        }
        parse(&pattern).map_err(|message| Fault::new(span, message))
    });
    parsed.collect()
}

fn filled<T>(list: Spanned<Vec<T>>) -> Result<Vec<T>, Fault> {
    if list.get_ref().is_empty() {
        let message = "an empty list matches nothing: leave the key out to match everything \
                       (for tools, write \"*\")";
        return Err(Fault::new(list.span(), message));
    }
    Ok(list.into_inner())
}

/// Whoever knows `.gitignore` may try to negate.
fn unnegated<T>(parse: impl Fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<T, String> {
    move |pattern| match pattern.strip_prefix('!') {
        None => parse(pattern),
        Some(rest) => Err(format!(
            "patterns are not negated: write an exception as a rule of its own about {rest:?}, \
             further down"
        )),
    }
}

fn asked(table: &AskTable) -> Result<Ask, Fault> {
    let expires = table.expires.as_ref().map(duration).transpose()?;
    Ok(Ask {
        second_person: table.second_person,
        expires: expires.unwrap_or(Ask::default().expires),
    })
}

fn duration(written: &Spanned<String>) -> Result<Duration, Fault> {
    let (least, most) = EXPIRES;
    let parsed = written.get_ref().parse::<SignedDuration>().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| (least..=most).contains(duration))
        .ok_or_else(|| {
            let text = written.get_ref();
            let message = format!("{text:?} is no time from 10s to 24h, such as \"15m\"");
            Fault::new(written.span(), message)
        })
}

fn window(table: WhenTable) -> Result<When, Fault> {
    let days = list(table.days, when::days)?;
    let hours = list(table.hours, when::hours)?;
    let zone = table.zone;
    let found = when::zone(zone.get_ref()).map_err(|message| Fault::new(zone.span(), message))?;
    Ok(When::new(days, hours, found))
}

/// A rule that can never decide is a mistake, such as the general rule at the end of the file.
fn check_alive(
    before: &[(Rule, Range<usize>)],
    new: &Rule,
    span: &Range<usize>,
) -> Result<(), Fault> {
    for (old, old_span) in before {
        let why = if old.decision != Verdict::Deny && buries(new, old) {
            Some((old, old_span, new))
        } else if old.decision == Verdict::Deny && new.decision != Verdict::Deny && buries(old, new)
        {
            Some((new, span, old))
        } else {
            None
        };
        if let Some((dead, span, by)) = why {
            let because = match by.decision {
                Verdict::Deny => "denies, which always wins",
                Verdict::Ask | Verdict::Allow => "comes later: general rules go first",
            };
            let message = format!(
                "rule {} never decides: rule {} (line {}) matches whatever it matches, and {because}",
                dead.name, by.name, by.line,
            );
            return Err(Fault::new(span.clone(), message));
        }
    }
    Ok(())
}

/// Whether `by` matches every call that `rule` does. Not every such case is found.
fn buries(by: &Rule, rule: &Rule) -> bool {
    let covers = |by: &Text, tool: &Text| {
        let named = tool
            .literal()
            .is_some_and(|tool| by.fit(tool) == Fit::Covers);
        by.source() == "*" || by.source() == tool.source() || named
    };
    let every = |tool| by.tools.iter().any(|by| covers(by, tool));
    by.is_unconditional() && rule.tools.iter().all(every)
}

/// What to do about an error of serde's.
fn advice(message: &str) -> String {
    // "unknown field `x`, expected one of `a`, `b`", the same for variants.
    if message.starts_with("unknown ") {
        let mut quoted = message.split('`').skip(1).step_by(2);
        return match quoted.next() {
            Some(wrong) => did_you_mean(wrong, quoted),
            None => String::new(),
        };
    }
    let advice = match message {
        "missing field `tools`" => ": write tools = [\"*\"] for every tool",
        "missing field `decision`" => ": write decision = \"allow\", \"ask\" or \"deny\"",
        "missing field `zone`" => ": write zone = \"Europe/Berlin\", or another IANA time zone",
        _ => "",
    };
    advice.to_owned()
}
