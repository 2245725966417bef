//! Deciding.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{
    Ask, Decision, Error, Question, Verdict,
    file::{Defaults, File},
    parse,
    pattern::Fit,
    question::Part,
    rule::Rule,
};

/// Parts (commands times paths) that one call may have. One with more is denied.
pub const MAX_PARTS: usize = 4_096;

/// A policy file, understood.
#[derive(Debug)]
pub struct Policy {
    pub(crate) defaults: Defaults,
    /// Where a default asks.
    pub(crate) ask: Ask,
    pub(crate) rules: Vec<Rule>,
    digest: String,
}

impl Default for Policy {
    /// The policy of an empty file: the defaults of the effect classes.
    fn default() -> Self {
        let file = File::default();
        Self::new(file.defaults, Ask::default(), Vec::new(), b"")
    }
}

/// How it stands with one part after some rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'p> {
    pub(crate) verdict: Verdict,
    pub(crate) rule: Option<&'p Rule>,
    pub(crate) ask: Ask,
}

impl Policy {
    /// `path` is only for errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        parse::policy(text, path)
    }

    pub(crate) fn new(defaults: Defaults, ask: Ask, rules: Vec<Rule>, text: &[u8]) -> Self {
        let digest = Sha256::digest(text);
        let hex = digest.iter().map(|byte| format!("{byte:02x}"));
        Self {
            defaults,
            ask,
            rules,
            digest: hex.collect(),
        }
    }

    /// SHA-256 of the file, in hex: which policy decided.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// The strictest answer that any part of the call gets.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        if question.size() > MAX_PARTS {
            return too_large(question);
        }
        let concerned = self.concerned(question);
        let judged = question
            .parts()
            .map(|part| (part, self.weigh(&concerned, question, part)));
        strictest(question, judged).expect("a call has at least one part")
    }

    /// The rules that may match a part of the call, with how far they fit before it is looked at.
    pub(crate) fn concerned(&self, question: &Question<'_>) -> Vec<(&Rule, Fit)> {
        let fits = self
            .rules
            .iter()
            .map(|rule| (rule, rule.fit_call(question)));
        fits.filter(|(_, fit)| *fit > Fit::No).collect()
    }

    /// From the first rule to the last: what covers the part replaces the verdict, what only
    /// touches it can only tighten it, and a deny ends it.
    pub(crate) fn weigh<'p>(
        &self,
        concerned: &[(&'p Rule, Fit)],
        question: &Question<'_>,
        part: Part<'_>,
    ) -> Standing<'p> {
        let mut standing = Standing {
            verdict: self.defaults.of(question.effect),
            rule: None,
            ask: self.ask,
        };
        for &(rule, fit) in concerned {
            match (rule.decision, fit.min(rule.fit_part(question, part))) {
                (_, Fit::No) | (Verdict::Allow, Fit::Touches) => {}
                (Verdict::Deny, _) => return Standing::of(rule),
                (_, Fit::Covers) => standing = Standing::of(rule),
                (Verdict::Ask, Fit::Touches) => standing = standing.asked_by(rule),
            }
        }
        standing
    }
}

/// The first part with the strictest verdict. `None` where there is no part.
fn strictest<'p>(
    question: &Question<'_>,
    judged: impl Iterator<Item = (Part<'p>, Standing<'p>)>,
) -> Option<Decision> {
    let worst = judged.reduce(|worst, next| {
        if worst.1.verdict < next.1.verdict {
            next
        } else {
            (worst.0, worst.1.with(next.1))
        }
    });
    worst.map(|(part, standing)| standing.decision(question, part))
}

impl<'p> Standing<'p> {
    fn of(rule: &'p Rule) -> Self {
        Self {
            verdict: rule.decision,
            rule: Some(rule),
            ask: rule.ask,
        }
    }

    /// By an ask that touches.
    fn asked_by(self, rule: &'p Rule) -> Self {
        match self.verdict {
            Verdict::Allow => Self::of(rule),
            Verdict::Ask => Self {
                ask: self.ask.and(rule.ask),
                ..Self::of(rule)
            },
            Verdict::Deny => self,
        }
    }

    /// Where two parts are asked for, whoever answers must be fit for both.
    fn with(self, other: Self) -> Self {
        if self.verdict == Verdict::Ask && other.verdict == Verdict::Ask {
            Self {
                ask: self.ask.and(other.ask),
                ..self
            }
        } else {
            self
        }
    }

    fn decision(self, question: &Question<'_>, part: Part<'_>) -> Decision {
        let reason = self.rule.and_then(|rule| rule.reason.clone());
        Decision {
            verdict: self.verdict,
            rule: self.rule.map(|rule| rule.name.clone()),
            reason: reason.unwrap_or_else(|| self.why(question)),
            part: part.described(),
            ask: (self.verdict == Verdict::Ask).then_some(self.ask),
        }
    }

    /// Where the file gives no reason.
    fn why(self, question: &Question<'_>) -> String {
        let Question { tool, effect, .. } = question;
        match (self.rule, self.verdict) {
            (None, _) => format!(
                "no rule matches, and the default for {effect} tools is {}",
                self.verdict
            ),
            (_, Verdict::Allow) => format!("{tool} is allowed"),
            (_, Verdict::Ask) => format!("{tool} needs an approval"),
            (_, Verdict::Deny) => format!("{tool} is not allowed"),
        }
    }
}

fn too_large(question: &Question<'_>) -> Decision {
    let (commands, paths) = (question.commands.len(), question.paths.len());
    Decision {
        verdict: Verdict::Deny,
        rule: None,
        reason: format!(
            "{commands} commands and {paths} paths are too much for one call: at most {MAX_PARTS} \
             combinations are looked at, so make several calls"
        ),
        part: None,
        ask: None,
    }
}
