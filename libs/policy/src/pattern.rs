//! Patterns, and how far one of them fits.

mod argument;
mod command;
mod path;
mod text;

pub(crate) use argument::{Argument, Key};
pub(crate) use command::CommandPattern;
pub(crate) use path::PathPattern;
pub(crate) use text::Text;

/// How far something fits. `allow` needs [`Fit::Covers`]; for `ask` and `deny` [`Fit::Touches`] is
/// enough. What cannot be known or compared touches, and never covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    No,
    /// It fits a part, or perhaps.
    Touches,
    /// It certainly fits the whole.
    Covers,
}

impl Fit {
    /// Of several patterns, any may fit.
    pub(crate) fn any(fits: impl IntoIterator<Item = Self>) -> Self {
        let mut best = Self::No;
        for fit in fits {
            best = best.max(fit);
            if best == Self::Covers {
                break;
            }
        }
        best
    }

    /// Of several things, each must be covered, and one suffices to touch. Nothing covers nothing.
    pub(crate) fn each(fits: impl IntoIterator<Item = Self>) -> Self {
        let (mut touched, mut covered) = (false, true);
        for fit in fits {
            touched |= fit > Self::No;
            covered &= fit == Self::Covers;
        }
        match (touched, covered) {
            (true, true) => Self::Covers,
            (true, false) => Self::Touches,
            (false, _) => Self::No,
        }
    }
}

impl From<bool> for Fit {
    fn from(fits: bool) -> Self {
        if fits { Self::Covers } else { Self::No }
    }
}
