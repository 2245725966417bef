//! Patterns of paths inside roots.

use super::{Fit, Text};
use crate::Target;

/// `project:src/**/*.rs`: a glob for the root's name and one for each name on the way; `**` is any
/// number of names. Without a root: in all of them.
///
/// It touches what it names, what lies below that, and a directory that is acted on as a whole and
/// may contain it.
#[derive(Clone, Debug)]
pub(crate) struct PathPattern {
    source: String,
    root: Text,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    One(Text),
    /// `**`
    Any,
}

impl PathPattern {
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        let named = source
            .split_once(':')
            .filter(|(root, _)| !root.contains('/'));
        let (root, path) = named.unwrap_or(("*", source));
        if root.is_empty() {
            return Err(format!("{source:?} has no root before the colon"));
        }
        if path.starts_with('/') {
            return Err(format!(
                "{source:?} begins at the root of the machine: paths are relative to a root, as in \
                 \"project:src/**\""
            ));
        }
        let names = path.split('/').filter(|_| !path.is_empty());
        let mut pieces = Vec::new();
        for name in names {
            if ["", ".", ".."].contains(&name) {
                return Err(format!("{source:?} has a part {name:?}, which no path has"));
            }
            match (name, pieces.last()) {
                ("**", Some(Piece::Any)) => {}
                ("**", _) => pieces.push(Piece::Any),
                _ => pieces.push(Piece::One(Text::parse(name)?)),
            }
        }
        // `src/**` is what lies in src, not src itself.
        if let [.., Piece::One(_), last @ Piece::Any] = &mut pieces[..] {
            *last = Piece::One(Text::parse("*")?);
            pieces.push(Piece::Any);
        }
        Ok(Self {
            source: source.to_owned(),
            root: Text::parse(root)?,
            pieces,
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether it can be about the root of this name.
    pub(crate) fn names_root(&self, root: &str) -> bool {
        self.root.fit(root) > Fit::No
    }

    pub(crate) fn root(&self) -> &str {
        self.root.source()
    }

    pub(crate) fn fit(&self, target: &Target) -> Fit {
        let fit = match target.names() {
            Some(names) if self.covers(&names, target.below) => Fit::Covers,
            Some(names) => Fit::from(self.touches(&names, target.below)).min(Fit::Touches),
            None => Fit::Touches,
        };
        fit.min(self.root.fit(&target.root))
    }

    fn covers(&self, names: &[&str], below: bool) -> bool {
        let mut reached = self.start();
        for name in names {
            reached = self.step(&reached, name, Fit::Covers);
        }
        let end = self.pieces.len();
        if below {
            // Everything below is covered where nothing but `**` is left.
            matches!(self.pieces.last(), Some(Piece::Any)) && reached[end - 1]
        } else {
            reached[end]
        }
    }

    fn touches(&self, names: &[&str], below: bool) -> bool {
        let end = self.pieces.len();
        let mut reached = self.start();
        for name in names {
            if reached[end] {
                return true;
            }
            reached = self.step(&reached, name, Fit::Touches);
        }
        reached[end] || (below && reached.contains(&true))
    }

    /// How many pieces may have matched before the first name.
    fn start(&self) -> Vec<bool> {
        let mut reached = vec![false; self.pieces.len() + 1];
        reached[0] = true;
        self.pass_any(&mut reached);
        reached
    }

    /// The same after one more name.
    fn step(&self, reached: &[bool], name: &str, least: Fit) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        for (at, piece) in self.pieces.iter().enumerate() {
            match piece {
                _ if !reached[at] => {}
                Piece::Any => next[at] = true,
                Piece::One(text) => next[at + 1] |= text.fit(name) >= least,
            }
        }
        self.pass_any(&mut next);
        next
    }

    /// `**` may stand for nothing.
    fn pass_any(&self, reached: &mut [bool]) {
        for (at, piece) in self.pieces.iter().enumerate() {
            if matches!(piece, Piece::Any) {
                reached[at + 1] |= reached[at];
            }
        }
    }
}
