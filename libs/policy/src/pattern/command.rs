//! Patterns of commands, word by word.

use super::{Fit, Text};
use crate::{Command, Word};

/// `git diff *`: words with a glob each; a `*` at the end stands for any further words, or none.
///
/// It covers a command whose words it names one by one. It touches a command that begins so, by
/// whatever path the program is called (`/usr/bin/git`), with whatever assignments in front and
/// whatever options between the words (`git -C dir push`).
#[derive(Clone, Debug)]
pub(crate) struct CommandPattern {
    source: String,
    words: Vec<Text>,
    /// It ended with `*`.
    open: bool,
}

impl CommandPattern {
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        let mut words: Vec<_> = source.split_whitespace().collect();
        if words.is_empty() {
            return Err("an empty pattern matches no command: write \"*\" for all".to_owned());
        }
        let joins = |word: &&&str| ["&&", "||", "|", ";", "&"].contains(*word);
        if let Some(joint) = words.iter().find(joins) {
            return Err(format!(
                "{source:?} is more than one command: each is matched alone, so write one pattern \
                 for what is before {joint} and one for what is after"
            ));
        }
        if source.contains(['"', '\'']) {
            return Err(format!(
                "{source:?} has quotes, which words do not have: write ? for a blank in a word"
            ));
        }
        let open = words.last() == Some(&"*");
        if open {
            words.pop();
        }
        let words = words.into_iter().map(Text::parse);
        Ok(Self {
            source: source.to_owned(),
            words: words.collect::<Result<_, _>>()?,
            open,
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn fit(&self, command: &Command) -> Fit {
        if self.covers(&command.0) {
            Fit::Covers
        } else if self.touches(&command.0) {
            Fit::Touches
        } else {
            Fit::No
        }
    }

    fn covers(&self, words: &[Word]) -> bool {
        let named = |(pattern, word): (&Text, &Word)| match word {
            Word::Is(word) => pattern.fit(word) == Fit::Covers,
            Word::Unknown => false,
        };
        let long_enough = words.len() >= self.words.len();
        let all_named = self.open || words.len() == self.words.len();
        long_enough && all_named && self.words.iter().zip(words).all(named)
    }

    /// Follows every way in which the words so far can have matched at the same time.
    fn touches(&self, words: &[Word]) -> bool {
        let mut reached = vec![false; words.len() + 1];
        reached[0] = true;
        for (index, pattern) in self.words.iter().enumerate() {
            let mut next = vec![false; words.len() + 1];
            for at in 0..words.len() {
                if !reached[at] {
                    continue;
                }
                let Word::Is(word) = &words[at] else {
                    // It may stand for all that is missing.
                    return true;
                };
                let program = index == 0;
                next[at + 1] |= pattern.fit(word) > Fit::No
                    || (program && pattern.fit(file_name(word)) > Fit::No);
                if program {
                    reached[at + 1] |= is_assignment(word);
                } else if word.starts_with('-') {
                    // An option, and perhaps its value.
                    reached[at + 1] = true;
                    if let Some(after) = reached.get_mut(at + 2) {
                        *after = true;
                    }
                }
            }
            if !next.contains(&true) {
                return false;
            }
            reached = next;
        }
        true
    }
}

fn file_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// `NAME=value`.
fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    let name = name.strip_suffix('+').unwrap_or(name);
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(fits)
}
