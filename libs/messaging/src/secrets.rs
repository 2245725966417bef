//! The port to the operator's secrets.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::Result;

/// Names a secret: 1 to 64 of `a-z 0-9 - _ /`, such as `github/token`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(String);

/// The text of a secret, wiped from memory when it is dropped. Not printable.
pub struct SecretValue(Zeroizing<String>);

/// What cannot be a secret, or name one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSecret {
    #[error("{0:?} is no name of a secret: 1 to 64 of a-z 0-9 - _ / are expected")]
    Name(String),
    #[error("a secret has 1 to {max} bytes, and this has {0}", max = SecretValue::MAX_BYTES)]
    Size(usize),
}

/// A secret as it is listed: never with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSecret {
    pub name: SecretName,
    pub changed_at: DateTime<Utc>,
}

/// Secrets of the operator's, not of a tenant's: an upstream's API key, a provider's token.
/// Configuration refers to them by name.
///
/// # Contract
///
/// - When `put` returns `Ok` the secret survives a crash. It makes the secret or replaces its value
///   whole; of puts at once, one stays.
/// - `get` gives the text byte for byte. What was altered where it is kept, or moved there from
///   another name, is [`Error::Broken`](crate::Error::Broken).
/// - `remove` tells whether there was one. A later `put` makes it anew.
/// - `list` is in the order of the names, complete, and has no value in it.
/// - Reading may trail a change by a moment, `list` by minutes: Secrets Manager promises no more.
/// - Timeouts and retries: a backend's own, short; nothing here is on a call's path.
#[async_trait]
pub trait Secrets: Send + Sync + 'static {
    async fn get(&self, name: &SecretName) -> Result<Option<SecretValue>>;

    async fn put(&self, name: &SecretName, value: &SecretValue) -> Result<()>;

    async fn remove(&self, name: &SecretName) -> Result<bool>;

    async fn list(&self) -> Result<Vec<ListedSecret>>;
}

impl SecretName {
    const MAX_BYTES: usize = 64;

    pub fn parse(text: &str) -> Result<Self, NoSecret> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_/".contains(&b);
        if (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoSecret::Name(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SecretValue {
    /// What Secrets Manager takes (its quotas, "Secret value size").
    pub const MAX_BYTES: usize = 65_536;

    pub fn new(text: impl Into<Zeroizing<String>>) -> Result<Self, NoSecret> {
        let text = text.into();
        match text.len() {
            1..=Self::MAX_BYTES => Ok(Self(text)),
            size => Err(NoSecret::Size(size)),
        }
    }

    /// For whoever sends it to where it is the key to.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_alphabet_and_length() {
        let longest = "a".repeat(64);
        for name in ["a", "github/token", "a-b_c/0", "/", &longest] {
            assert_eq!(SecretName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "A", "a b", "a.b", "é", "a\n", "a}", &"a".repeat(65)] {
            assert_eq!(SecretName::parse(name), Err(NoSecret::Name(name.into())));
        }
    }

    #[test]
    fn values_have_a_length_and_are_not_shown() {
        let value = |text: String| SecretValue::new(text);
        assert_eq!(value("x".repeat(65_536)).unwrap().expose().len(), 65_536);
        for size in [0, 65_537] {
            assert_eq!(value("x".repeat(size)).unwrap_err(), NoSecret::Size(size));
        }
        let shown = format!("{:?}", value("s3cret".to_owned()));
        assert_eq!(shown, "Ok(SecretValue(..))");
    }
}
