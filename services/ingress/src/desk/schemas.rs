//! Checking arguments against a tool's JSON Schema.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;
use waybill_toolkit::{JsonObject, ToolSpec};

use super::Refusal;

/// Violations that are told at once.
const MAX_VIOLATIONS: usize = 8;

/// Where arguments do not fit. Says what was expected and what kind of value came instead, never
/// the value: it may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON Pointer into the arguments; empty for the whole.
    pub pointer: String,
    pub expected: String,
    /// `null`, `boolean`, `number`, `string`, `array` or `object`.
    pub received: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pointer,
            expected,
            received,
        } = self;
        let place = if pointer.is_empty() {
            "the arguments"
        } else {
            pointer
        };
        write!(f, "{place}: {expected}, received {received}")
    }
}

/// Compiled schemas by tool. A tool whose schema is another object is compiled again.
#[derive(Default)]
pub(super) struct Schemas {
    compiled: RwLock<HashMap<String, Compiled>>,
}

#[derive(Clone)]
struct Compiled {
    /// Kept, so that its address stays taken while it is compared.
    schema: Arc<JsonObject>,
    validator: Arc<Validator>,
}

impl Schemas {
    pub(super) fn check(&self, spec: &ToolSpec, arguments: &Value) -> Result<(), Refusal> {
        let validator = self.validator(spec)?;
        if validator.is_valid(arguments) {
            return Ok(());
        }
        let violations = validator
            .iter_errors(arguments)
            .take(MAX_VIOLATIONS)
            .map(|error| violation(&error))
            .collect();
        Err(Refusal::Invalid {
            tool: spec.name.clone(),
            violations,
        })
    }

    fn validator(&self, spec: &ToolSpec) -> Result<Arc<Validator>, Refusal> {
        let known = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = known.get(&spec.name)
            && Arc::ptr_eq(&compiled.schema, &spec.input_schema)
        {
            return Ok(Arc::clone(&compiled.validator));
        }
        drop(known);
        // References to other documents are not followed: nothing is fetched for a schema.
        let schema = Value::Object(JsonObject::clone(&spec.input_schema));
        let validator = jsonschema::validator_for(&schema).map_err(|source| Refusal::Schema {
            tool: spec.name.clone(),
            source: Box::new(source),
        })?;
        let compiled = Compiled {
            schema: Arc::clone(&spec.input_schema),
            validator: Arc::new(validator),
        };
        let validator = Arc::clone(&compiled.validator);
        self.compiled
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(spec.name.clone(), compiled);
        Ok(validator)
    }
}

fn violation(error: &ValidationError<'_>) -> Violation {
    let expected = match error.kind() {
        ValidationErrorKind::Required { property } => format!("expected a property {property}"),
        _ => error.masked_with("the value").to_string(),
    };
    Violation {
        pointer: error.instance_path().as_str().to_owned(),
        expected,
        received: kind(error.instance()),
    }
}

/// The JSON name of a value's type.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waybill_toolkit::Effect;

    use super::*;

    fn spec(schema: Value) -> ToolSpec {
        let mut spec = ToolSpec::new("greet", "Greets", Effect::ReadOnly);
        if let Value::Object(schema) = schema {
            spec.input_schema = Arc::new(schema);
        }
        spec
    }

    fn refusal(schema: Value, arguments: &Value) -> String {
        let refusal = Schemas::default().check(&spec(schema), arguments);
        refusal.unwrap_err().to_string()
    }

    #[test]
    fn a_violation_names_place_expectation_and_kind_but_not_the_value() {
        let schema = json!({
            "type": "object",
            "properties": { "pin": { "type": "string" }, "n": { "type": "integer", "minimum": 3 } },
            "required": ["pin"],
            "additionalProperties": false,
        });
        let text = refusal(schema.clone(), &json!({ "pin": 987_654, "n": 2 }));
        assert!(text.contains("/pin: "), "{text}");
        assert!(text.contains("\"string\", received number"), "{text}");
        assert!(text.contains("/n: "), "{text}");
        assert!(!text.contains("987654"), "{text}");
        let text = refusal(schema, &json!({ "secret": 1 }));
        assert!(
            text.contains("the arguments: expected a property \"pin\""),
            "{text}"
        );
    }

    #[test]
    fn a_replaced_schema_is_compiled_again() {
        let schemas = Schemas::default();
        let (text, number) = (json!({ "a": "x" }), json!({ "a": 1 }));
        let of = |kind: &str| spec(json!({ "properties": { "a": { "type": kind } } }));
        assert!(schemas.check(&of("string"), &text).is_ok());
        assert!(schemas.check(&of("number"), &text).is_err());
        assert!(schemas.check(&of("number"), &number).is_ok());
    }

    #[test]
    fn nothing_is_fetched_for_a_schema() {
        let schema = json!({ "$ref": "https://example.com/schema.json" });
        assert!(refusal(schema, &json!({})).contains("cannot be used"));
    }
}
