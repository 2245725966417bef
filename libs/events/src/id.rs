//! Identifiers. Time-ordered where rows are appended by them, unguessable where a client holds them.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Crockford base 32 in lower case: sorts like the number it encodes.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TIME_CHARS: usize = 10;

/// Why a string is not an identifier.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{kind} must be {expected}")]
pub struct IdError {
    kind: &'static str,
    expected: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(transparent)]
        pub struct $name(#[schemars(with = "String")] Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

identifier! {
    /// A tenant: 1 to 64 of `a-z 0-9 -`. Every record and event belongs to exactly one.
    TenantId
}

identifier! {
    /// A tool call, and the handle that a client polls: 36 characters, a millisecond time (48 bit)
    /// and 128 random bits. Also the MCP task id.
    CallId
}

identifier! {
    /// An event: 26 characters in ULID form. Derived from its cause, so that a replay gives the
    /// same id, and led by the cause's time, so that ids of one call lie together.
    EventId
}

impl TenantId {
    /// Owns what belongs to no customer: ticks, breakers, refused authentications.
    pub fn system() -> Self {
        Self("system".into())
    }

    pub fn parse(text: &str) -> Result<Self, IdError> {
        let fits = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(IdError {
                kind: "tenant id",
                expected: "1 to 64 of a-z, 0-9 and '-'",
            })
        }
    }
}

impl CallId {
    pub const LEN: usize = TIME_CHARS + 26;

    /// `random` must come from a cryptographic source outside tests: the id is a capability's name.
    pub fn new(now: DateTime<Utc>, random: u128) -> Self {
        let mut text = encode(millis(now), TIME_CHARS);
        text.push_str(&encode(random, 26));
        Self(text.into())
    }

    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.len() == Self::LEN && text.bytes().all(|b| ALPHABET.contains(&b)) {
            Ok(Self(text.into()))
        } else {
            Err(IdError {
                kind: "call id",
                expected: "36 characters of lower-case base 32",
            })
        }
    }
}

impl EventId {
    /// The id of the `ordinal`-th event that `emitter` emits because of `cause`.
    pub fn derived(cause: &str, emitter: &str, ordinal: usize) -> Self {
        let mut hash = Sha256::new();
        for part in [cause, emitter] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(ordinal.to_be_bytes());
        let digest = hash.finalize();
        let mut bits = [0u8; 16];
        bits[6..].copy_from_slice(&digest[..10]);
        let time = cause
            .get(..TIME_CHARS)
            .filter(|t| t.bytes().all(|b| ALPHABET.contains(&b)));
        let mut text = time.unwrap_or("0000000000").to_owned();
        text.push_str(&encode(u128::from_be_bytes(bits), 16));
        Self(text.into())
    }

    /// The id of an event that nothing caused: an API request, a timer.
    pub fn root(now: DateTime<Utc>, random: u128) -> Self {
        let mut text = encode(millis(now), TIME_CHARS);
        text.push_str(&encode(random >> 48, 16));
        Self(text.into())
    }

    /// The smallest id of an event at or after `time`: bounds range deletes.
    pub fn floor(time: DateTime<Utc>) -> Self {
        Self((encode(millis(time), TIME_CHARS) + "0000000000000000").into())
    }

    /// Accepts any CloudEvents id: 1 to 128 visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(IdError {
                kind: "event id",
                expected: "1 to 128 visible ASCII characters",
            })
        }
    }
}

fn millis(time: DateTime<Utc>) -> u128 {
    u128::try_from(time.timestamp_millis()).unwrap_or(0)
}

fn encode(mut value: u128, width: usize) -> String {
    let mut out = vec![b'0'; width];
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    String::from_utf8(out).expect("the alphabet is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_round_trip() {
        let early = DateTime::from_timestamp_millis(1_700_000_000_000).unwrap();
        let late = DateTime::from_timestamp_millis(1_700_000_000_001).unwrap();
        let (a, b) = (CallId::new(early, u128::MAX), CallId::new(late, 0));
        assert!(a < b);
        assert_eq!(CallId::parse(a.as_str()).unwrap(), a);
        assert_eq!(a.as_str().len(), CallId::LEN);
        assert!(EventId::root(early, u128::MAX) < EventId::floor(late));
    }

    #[test]
    fn derived_ids_repeat_and_keep_the_time_of_their_cause() {
        let call = CallId::new(
            DateTime::from_timestamp_millis(1_700_000_000_000).unwrap(),
            7,
        );
        let one = EventId::derived(call.as_str(), "ingress", 0);
        assert_eq!(one, EventId::derived(call.as_str(), "ingress", 0));
        assert_ne!(one, EventId::derived(call.as_str(), "ingress", 1));
        assert_ne!(one, EventId::derived(call.as_str(), "executor", 0));
        assert_eq!(one.as_str()[..10], call.as_str()[..10]);
        assert_eq!(one.as_str().len(), 26);
    }

    #[test]
    fn bad_ids_say_what_is_expected() {
        assert!(
            TenantId::parse("Acme")
                .unwrap_err()
                .to_string()
                .contains("a-z")
        );
        assert!(CallId::parse("../etc/passwd").is_err());
        assert!(EventId::parse("").is_err());
    }
}
