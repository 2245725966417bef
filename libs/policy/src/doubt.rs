//! Names in a policy that mean nothing here: a `deny` with a typing error denies nothing.

use std::fmt;

use crate::{Policy, error::did_you_mean, pattern::Fit, pattern::Text, rule::Rule};

/// What there is. What a list does not say (an empty one) is not doubted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    pub tools: &'a [&'a str],
    pub scopes: &'a [&'a str],
    pub roots: &'a [&'a str],
}

/// A pattern that fits nothing there is. No error: tools of an upstream come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub rule: String,
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, rule {}: {}",
            self.line, self.rule, self.message
        )
    }
}

impl Policy {
    /// For `doctor` and `policy check`: what the parser cannot know.
    pub fn doubts(&self, known: Known<'_>) -> Vec<Doubt> {
        let doubts = self.rules.iter().flat_map(|rule| {
            let doubt = |message| Doubt {
                rule: rule.name.clone(),
                line: rule.line,
                message,
            };
            rule.strangers(known).into_iter().map(doubt)
        });
        doubts.collect()
    }
}

impl Rule {
    fn strangers(&self, known: Known<'_>) -> Vec<String> {
        let named = |what: &'static str, patterns: &[Text], known: &[&str]| {
            let strange = patterns.iter().filter(|pattern| {
                !known.is_empty() && known.iter().all(|name| pattern.fit(name) == Fit::No)
            });
            let told = strange.map(|pattern| message(what, pattern.source(), known));
            told.collect::<Vec<_>>()
        };
        let mut all = named("tool", &self.tools, known.tools);
        all.extend(named("scope", &self.scopes, known.scopes));
        let strange = self.paths.iter().filter(|path| {
            !known.roots.is_empty() && known.roots.iter().all(|root| !path.names_root(root))
        });
        all.extend(strange.map(|path| message("root", path.root(), known.roots)));
        all
    }
}

fn message(what: &str, pattern: &str, known: &[&str]) -> String {
    let hint = did_you_mean(pattern, known.iter().copied());
    format!("no {what} here is called {pattern}{hint}")
}
