//! Why it was decided so.

use serde::Serialize;

use crate::{
    Decision, MAX_PARTS, Policy, Question, Verdict,
    pattern::{CommandPattern, Fit, PathPattern, Text},
    policy::Standing,
    question::{Part, shown},
    rule::{Condition, Rule},
};

/// What each rule has to do with a call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub decision: Decision,
    /// Each command with each path; nothing for a call with more than [`MAX_PARTS`].
    pub parts: Vec<PartExplained>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartExplained {
    /// `None` for a call without commands and paths.
    pub part: Option<String>,
    pub verdict: Verdict,
    /// `None`: the default of the effect class.
    pub rule: Option<String>,
    /// Every rule, in the order of the file.
    pub rules: Vec<RuleExplained>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleExplained {
    pub name: String,
    pub line: usize,
    pub decision: Verdict,
    /// Whether it is the one that decided this part.
    pub decides: bool,
    /// `None`: it matches, even if another rule decides.
    pub missed: Option<Missed>,
}

/// The first condition that does not hold.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Missed {
    /// Its key in the file.
    pub condition: String,
    pub why: String,
}

impl Policy {
    /// The same decision as [`Policy::decide`], and how each rule took part in it.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let decision = self.decide(question);
        let concerned = self.concerned(question);
        let parts = question.parts().filter(|_| question.size() <= MAX_PARTS);
        let explained = |part| {
            let standing = self.weigh(&concerned, question, part);
            self.explain_part(standing, question, part)
        };
        Explanation {
            decision,
            parts: parts.map(explained).collect(),
        }
    }

    fn explain_part(
        &self,
        Standing { verdict, rule, .. }: Standing<'_>,
        question: &Question<'_>,
        part: Part<'_>,
    ) -> PartExplained {
        let explained = |each: &Rule| RuleExplained {
            name: each.name.clone(),
            line: each.line,
            decision: each.decision,
            decides: rule.is_some_and(|rule| std::ptr::eq(rule, each)),
            missed: each.missed(question, part),
        };
        PartExplained {
            part: part.described(),
            verdict,
            rule: rule.map(|rule| rule.name.clone()),
            rules: self.rules.iter().map(explained).collect(),
        }
    }
}

impl Rule {
    fn missed(&self, question: &Question<'_>, part: Part<'_>) -> Option<Missed> {
        let least = match self.decision {
            Verdict::Allow => Fit::Covers,
            Verdict::Ask | Verdict::Deny => Fit::Touches,
        };
        let mut checked = self
            .conditions()
            .map(|condition| (condition, self.check(condition, question, part)));
        let (condition, fit) = checked.find(|(_, fit)| *fit < least)?;
        let (key, wanted, given) = self.compared(condition, question, part);
        let given = given.map(shown);
        let why = match (given, fit) {
            (None, _) => format!("the call has none; the rule wants {wanted}"),
            (_, Fit::Touches) if self.is_of_paths_alone(condition, part) => {
                "the call runs a command, which no rule about paths alone allows".to_owned()
            }
            (Some(given), Fit::Touches) => {
                format!("{given} is not certainly covered by {wanted}, as it must be to be allowed")
            }
            (Some(given), _) => format!("{given} is not {wanted}"),
        };
        Some(Missed {
            condition: key,
            why,
        })
    }

    fn is_of_paths_alone(&self, condition: Condition<'_>, part: Part<'_>) -> bool {
        matches!(condition, Condition::Paths) && self.most_by_paths(part) < Fit::Covers
    }

    /// The condition's key, what it wants and what the call has.
    fn compared(
        &self,
        condition: Condition<'_>,
        question: &Question<'_>,
        part: Part<'_>,
    ) -> (String, String, Option<String>) {
        let texts = |texts: &[Text]| one_of(texts.iter().map(Text::source));
        let (key, wanted, given) = match condition {
            Condition::Tools => ("tools", texts(&self.tools), Some(question.tool.to_owned())),
            Condition::Effects => (
                "effects",
                one_of(self.effects.iter().map(|effect| effect.as_str())),
                Some(question.effect.to_string()),
            ),
            Condition::Tenants => (
                "tenants",
                texts(&self.tenants),
                Some(question.tenant.to_string()),
            ),
            Condition::Users => (
                "users",
                texts(&self.users),
                question.user.map(str::to_owned),
            ),
            Condition::Scopes => {
                let given = question.scopes.join(", ");
                (
                    "scopes",
                    texts(&self.scopes),
                    Some(given).filter(|given| !given.is_empty()),
                )
            }
            Condition::When => (
                "when",
                "in its days and hours".to_owned(),
                Some(question.now.to_rfc3339()),
            ),
            Condition::Commands => (
                "commands",
                one_of(self.commands.iter().map(CommandPattern::source)),
                part.command.map(ToString::to_string),
            ),
            Condition::Paths => (
                "paths",
                one_of(self.paths.iter().map(PathPattern::source)),
                part.path.map(ToString::to_string),
            ),
            Condition::Argument(key, pattern) => {
                let given = key.of(question.arguments).map(ToString::to_string);
                let key = format!("arguments.{key}");
                return (key, pattern.source().to_owned(), given);
            }
        };
        (key.to_owned(), wanted, given)
    }
}

fn one_of<'a>(all: impl Iterator<Item = &'a str>) -> String {
    all.collect::<Vec<_>>().join(" or ")
}
