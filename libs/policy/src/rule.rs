//! One rule: what it is about.

use waybill_toolkit::Effect;

use crate::{
    Ask, Question, Verdict,
    pattern::{Argument, CommandPattern, Fit, Key, PathPattern, Text},
    question::Part,
    when::When,
};

/// A list without anything in it is no condition.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// Where it begins in the file.
    pub(crate) line: usize,
    pub(crate) decision: Verdict,
    pub(crate) reason: Option<String>,
    /// Only of use to an ask.
    pub(crate) ask: Ask,
    /// Never without anything.
    pub(crate) tools: Vec<Text>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) tenants: Vec<Text>,
    pub(crate) users: Vec<Text>,
    pub(crate) scopes: Vec<Text>,
    pub(crate) arguments: Vec<(Key, Argument)>,
    pub(crate) commands: Vec<CommandPattern>,
    pub(crate) paths: Vec<PathPattern>,
    pub(crate) when: Option<When>,
}

/// One of a rule's conditions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Condition<'r> {
    Tools,
    Effects,
    Tenants,
    Users,
    Scopes,
    When,
    Argument(&'r Key, &'r Argument),
    Commands,
    Paths,
}

impl Condition<'_> {
    fn is_of_part(&self) -> bool {
        matches!(self, Self::Commands | Self::Paths)
    }
}

impl Rule {
    /// How far the conditions fit that are the same for all parts.
    pub(crate) fn fit_call(&self, question: &Question<'_>) -> Fit {
        let conditions = self.conditions();
        let of_call = conditions.filter(|condition| !condition.is_of_part());
        self.least(of_call, question, Part::default())
    }

    /// How far the others fit.
    pub(crate) fn fit_part(&self, question: &Question<'_>, part: Part<'_>) -> Fit {
        let of_part = self.conditions().filter(Condition::is_of_part);
        self.least(of_part, question, part)
    }

    fn least<'r>(
        &'r self,
        conditions: impl Iterator<Item = Condition<'r>>,
        question: &Question<'_>,
        part: Part<'_>,
    ) -> Fit {
        let mut least = Fit::Covers;
        for condition in conditions {
            least = least.min(self.check(condition, question, part));
            if least == Fit::No {
                break;
            }
        }
        least
    }

    /// The conditions that it has, the cheap ones first.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = Condition<'_>> {
        let listed = [
            (Condition::Tools, true),
            (Condition::Effects, !self.effects.is_empty()),
            (Condition::Tenants, !self.tenants.is_empty()),
            (Condition::Users, !self.users.is_empty()),
            (Condition::Scopes, !self.scopes.is_empty()),
            (Condition::When, self.when.is_some()),
            (Condition::Commands, !self.commands.is_empty()),
            (Condition::Paths, !self.paths.is_empty()),
        ];
        let listed = listed.into_iter().filter(|(_, has)| *has);
        let arguments = self.arguments.iter();
        listed
            .map(|(condition, _)| condition)
            .chain(arguments.map(|(key, pattern)| Condition::Argument(key, pattern)))
    }

    /// How far one condition fits. What a call does not have, no condition fits.
    pub(crate) fn check(
        &self,
        condition: Condition<'_>,
        question: &Question<'_>,
        part: Part<'_>,
    ) -> Fit {
        let fit = match condition {
            Condition::Tools => Some(any(&self.tools, question.tool)),
            Condition::Effects => Some(Fit::from(self.effects.contains(&question.effect))),
            Condition::Tenants => Some(any(&self.tenants, question.tenant.as_str())),
            Condition::Users => question.user.map(|user| any(&self.users, user)),
            Condition::Scopes => {
                let scopes = question.scopes.iter();
                Some(Fit::any(scopes.map(|scope| any(&self.scopes, scope))))
            }
            Condition::When => self.when.as_ref().map(|when| when.fit(question.now)),
            Condition::Argument(key, pattern) => {
                let value = key.of(question.arguments);
                value.map(|value| pattern.fit(value))
            }
            Condition::Commands => part.command.map(|command| {
                let patterns = self.commands.iter();
                Fit::any(patterns.map(|pattern| pattern.fit(command)))
            }),
            Condition::Paths => part.path.map(|path| {
                let patterns = self.paths.iter();
                let fit = Fit::any(patterns.map(|pattern| pattern.fit(path)));
                fit.min(self.most_by_paths(part))
            }),
        };
        fit.unwrap_or(Fit::No)
    }

    /// What a command does is not in the paths that are stated with it: paths alone cover none.
    pub(crate) fn most_by_paths(&self, part: Part<'_>) -> Fit {
        if self.commands.is_empty() && part.command.is_some() {
            Fit::Touches
        } else {
            Fit::Covers
        }
    }

    /// Whether it is about every call of these tools.
    pub(crate) fn is_unconditional(&self) -> bool {
        self.conditions().count() == 1
    }
}

fn any(patterns: &[Text], name: &str) -> Fit {
    Fit::any(patterns.iter().map(|pattern| pattern.fit(name)))
}
