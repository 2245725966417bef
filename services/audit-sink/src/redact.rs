//! A second line of defence: no secret enters an event, and if one did it does not enter the trail.

use serde_json::Value;

/// Characters of one string that are kept.
const MAX_STRING: usize = 1_024;
const REDACTED: &str = "[redacted]";
/// Parts of field names whose values are never kept.
const SECRET_NAMES: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "authorization",
    "apikey",
    "credential",
    "cookie",
];
/// Beginnings of strings that are secrets whatever their field is called.
const SECRET_PREFIXES: &[&str] = &["wbk_", "Bearer ", "sk-", "ghp_", "xox", "AKIA", "eyJ"];

/// Replaces what looks like a secret, and cuts what is too long to be a fact.
pub(crate) fn redact(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                if is_secret_name(name) {
                    *value = Value::String(REDACTED.to_owned());
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) => {
            let secret = |word: &str| {
                SECRET_PREFIXES
                    .iter()
                    .any(|prefix| word.starts_with(prefix))
            };
            if secret(text) || text.split_whitespace().any(secret) {
                REDACTED.clone_into(text);
            } else if text.len() > MAX_STRING {
                let end = (0..=MAX_STRING).rev().find(|at| text.is_char_boundary(*at));
                text.truncate(end.unwrap_or(0));
                text.push_str(" [cut]");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_secret_name(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    SECRET_NAMES.iter().any(|secret| plain.contains(secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_go_and_facts_stay() {
        let mut value = json!({
            "tool": "files_read", "accessToken": "abc", "nested": [{"API-Key": 1}],
            "detail": "used wbk_1234_abcd today", "arguments_sha256": "9f86",
        });
        redact(&mut value);
        let expected = json!({
            "tool": "files_read", "accessToken": REDACTED, "nested": [{"API-Key": REDACTED}],
            "detail": REDACTED, "arguments_sha256": "9f86",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn long_strings_are_cut_between_characters() {
        let mut value = json!("ä".repeat(MAX_STRING));
        redact(&mut value);
        assert!(value.as_str().unwrap().ends_with("ä [cut]"));
    }
}
