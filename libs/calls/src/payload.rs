//! Arguments and results: in the record, or behind a claim check.

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};
use waybill_messaging::BlobKey;

/// Payloads up to this many bytes are kept in the call's record.
pub const INLINE_LIMIT: usize = 64 * 1024;

/// JSON that may be large.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Payload {
    Inline(Box<RawValue>),
    Blob { key: BlobKey, bytes: u64 },
}

impl Payload {
    /// Size in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(json) => json.get().len() as u64,
            Self::Blob { bytes, .. } => *bytes,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// SHA-256, in hex, of the JSON with the keys of every object sorted.
pub fn digest(value: &Value) -> String {
    let mut hash = Sha256::new();
    feed(&mut hash, value);
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            hex
        })
}

fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            hash.update(b"{");
            for (key, value) in entries {
                hash.update((key.len() as u64).to_be_bytes());
                hash.update(key);
                feed(hash, value);
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            for item in items {
                feed(hash, item);
            }
            hash.update(b"]");
        }
        scalar => {
            hash.update(scalar.to_string());
            hash.update(b",");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_digest_ignores_the_order_of_keys_and_nothing_else() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":{"c":[1,2],"d":null}}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":{"d":null,"c":[1,2]},"a":1}"#).unwrap();
        assert_eq!(digest(&one), digest(&two));
        for other in [
            json!({"a": 1}),
            json!({"a": "1"}),
            json!([1, [2]]),
            json!([[1], 2]),
        ] {
            assert_ne!(digest(&one), digest(&other));
        }
        assert_ne!(digest(&json!([1, [2]])), digest(&json!([[1], 2])));
        assert_ne!(digest(&json!([1, 23])), digest(&json!([12, 3])));
    }
}
