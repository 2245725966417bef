//! `--arg NAME=VALUE` made into what the tool's input schema asks for.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::{Map, Value};

use super::exit::Failure;

/// References followed before a schema is taken for one without an end.
const MAX_DEPTH: usize = 16;
/// A name less like than this is no likely slip of the hand.
const LIKENESS: f64 = 0.6;

/// The arguments of a call: `base` (of `--json`), and `args` on top of it. The gateway checks them
/// against the whole schema; here it only tells text from numbers and lists.
pub(super) fn arguments(
    schema: &Value,
    base: Map<String, Value>,
    args: &[(String, String)],
) -> Result<Map<String, Value>> {
    let mut given: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in args {
        given.entry(name).or_default().push(value);
    }
    let mut arguments = base;
    for (name, values) in given {
        let wanted = wanted(schema, name)?;
        let value = typed(schema, wanted, &values)
            .map_err(|problem| Failure::usage(format!("--arg {name}: {problem}")))?;
        arguments.insert(name.to_owned(), value);
    }
    Ok(arguments)
}

/// The known name that somebody who wrote `wrong` most likely meant.
pub(super) fn nearest<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let likeness = known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(wrong, name), name));
    let best = likeness.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= LIKENESS)
        .map(|(_, name)| name)
}

/// The schema of the argument; `Value::Bool(true)`, any value, where the tool takes others.
fn wanted<'a>(schema: &'a Value, name: &str) -> Result<&'a Value> {
    let schema = resolved(schema, schema);
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(wanted) = properties.and_then(|properties| properties.get(name)) {
        return Ok(wanted);
    }
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => {}
        Some(other) => return Ok(other),
        None if properties.is_none_or(Map::is_empty) => return Ok(&Value::Bool(true)),
        // The schema allows it, but a slip is likelier: `--json` passes it.
        None => {}
    }
    let names: Vec<&str> = properties
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let hint = match (nearest(name, names.iter().copied()), names.is_empty()) {
        (Some(near), _) => format!("; did you mean {near}?"),
        (None, true) => "; it takes none".to_owned(),
        (None, false) => format!("; it takes {}", names.join(", ")),
    };
    Err(Failure::usage(format!("the tool has no argument {name}{hint}")).into())
}

fn typed(root: &Value, schema: &Value, values: &[&str]) -> Result<Value, String> {
    let types = Types::of(root, schema);
    match values {
        [value] if !types.only("array") || is_array(value) => types.value(value),
        _ if types.allow("array") => {
            let schema = resolved(root, schema);
            let items = schema.get("items").unwrap_or(&Value::Bool(true));
            let items = Types::of(root, items);
            values
                .iter()
                .map(|value| items.value(value))
                .collect::<Result<_, _>>()
                .map(Value::Array)
        }
        _ => Err(format!("takes one value, and was given {}", values.len())),
    }
}

/// A glob like `[ab]*.rs` is none.
fn is_array(text: &str) -> bool {
    serde_json::from_str::<Vec<Value>>(text).is_ok()
}

/// The JSON types that a schema lets through. Empty: any.
struct Types(BTreeSet<&'static str>);

const TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "array", "object", "string",
];

impl Types {
    fn of(root: &Value, schema: &Value) -> Self {
        let mut types = BTreeSet::new();
        collect(root, schema, &mut types, &mut BTreeSet::new());
        Self(types)
    }

    fn allow(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.contains(name)
    }

    /// Besides `null`.
    fn only(&self, name: &str) -> bool {
        self.0.contains(name)
            && self
                .0
                .iter()
                .all(|other| *other == name || *other == "null")
    }

    /// The narrowest allowed type that the text fits; text last, for it fits everything.
    fn value(&self, text: &str) -> Result<Value, String> {
        let parsed = serde_json::from_str::<Value>(text).ok();
        if let Some(value) = parsed.filter(|value| !value.is_string() && self.fit(value)) {
            return Ok(value);
        }
        if self.allow("string") {
            return Ok(Value::String(text.to_owned()));
        }
        let wanted: Vec<&str> = TYPES
            .into_iter()
            .filter(|name| self.0.contains(name))
            .map(described)
            .collect();
        Err(format!("takes {}, not {text:?}", wanted.join(" or ")))
    }

    fn fit(&self, value: &Value) -> bool {
        match value {
            Value::Null => self.allow("null"),
            Value::Bool(_) => self.allow("boolean"),
            Value::Number(number) => {
                self.allow("number") || (self.allow("integer") && !number.is_f64())
            }
            Value::String(_) => self.allow("string"),
            Value::Array(_) => self.allow("array"),
            Value::Object(_) => self.allow("object"),
        }
    }
}

fn described(name: &'static str) -> &'static str {
    match name {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "array" => "a JSON array",
        "object" => "a JSON object",
        other => other,
    }
}

/// `seen`: where it has been. Schemas go in circles.
fn collect(
    root: &Value,
    schema: &Value,
    types: &mut BTreeSet<&'static str>,
    seen: &mut BTreeSet<*const Value>,
) {
    let schema = resolved(root, schema);
    if !seen.insert(std::ptr::from_ref(schema)) {
        return;
    }
    let mut add = |name: &str| types.extend(TYPES.into_iter().find(|known| *known == name));
    match schema.get("type") {
        Some(Value::String(name)) => add(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).for_each(add),
        _ => {
            let constants = schema
                .get("enum")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            constants
                .chain(schema.get("const"))
                .map(type_of)
                .for_each(&mut add);
            for word in ["anyOf", "oneOf", "allOf"] {
                let branches = schema
                    .get(word)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten();
                branches.for_each(|branch| collect(root, branch, types, seen));
            }
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Follows `$ref` within the document (`#/$defs/NAME`).
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..MAX_DEPTH {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
        match pointer.and_then(|pointer| root.pointer(pointer)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "path": { "type": "string" },
                "limit": { "type": ["integer", "null"] },
                "ratio": { "type": "number" },
                "deep": { "type": "boolean" },
                "globs": { "type": "array", "items": { "type": "string" } },
                "lines": { "type": "array", "items": { "$ref": "#/$defs/Line" } },
                "order": { "anyOf": [{ "$ref": "#/$defs/Order" }, { "type": "null" }] },
                "range": { "$ref": "#/$defs/Range" },
                "loose": {},
                "id": { "type": ["string", "integer"] },
            },
            "$defs": {
                "Line": { "type": "integer" },
                "Order": { "enum": ["name", "size"] },
                "Range": { "type": "object" },
                "Loop": { "$ref": "#/$defs/Loop" },
            },
            "additionalProperties": false,
        })
    }

    fn given(args: &[(&str, &str)]) -> Result<Value> {
        let args: Vec<_> = args
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        arguments(&schema(), Map::new(), &args).map(Value::Object)
    }

    #[test]
    fn values_take_the_types_of_the_schema() {
        for (name, text, wanted) in [
            ("path", "12", json!("12")),
            ("path", "true", json!("true")),
            ("path", "\"a\"", json!("\"a\"")),
            ("path", "", json!("")),
            ("limit", "12", json!(12)),
            ("limit", "null", json!(null)),
            ("ratio", "1", json!(1)),
            ("ratio", "-0.5", json!(-0.5)),
            ("deep", "true", json!(true)),
            ("globs", "*.rs", json!(["*.rs"])),
            ("globs", "[ab]*.rs", json!(["[ab]*.rs"])),
            ("globs", "[\"a\", \"b\"]", json!(["a", "b"])),
            ("lines", "7", json!([7])),
            ("order", "size", json!("size")),
            ("order", "null", json!(null)),
            ("range", "{\"from\": 1}", json!({ "from": 1 })),
            ("loose", "word", json!("word")),
            ("loose", "[1]", json!([1])),
            ("id", "7", json!(7)),
            ("id", "seven", json!("seven")),
        ] {
            let arguments = given(&[(name, text)]).unwrap();
            assert_eq!(arguments, json!({ name: wanted }), "{name}={text}");
        }
    }

    #[test]
    fn a_repeated_argument_is_a_list() {
        let arguments = given(&[
            ("lines", "1"),
            ("lines", "2"),
            ("globs", "[a]"),
            ("globs", "7"),
        ]);
        assert_eq!(
            arguments.unwrap(),
            json!({ "lines": [1, 2], "globs": ["[a]", "7"] })
        );
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for (args, told) in [
            (
                vec![("limit", "many")],
                "--arg limit: takes null or a whole number, not \"many\"",
            ),
            (vec![("limit", "1.5")], "a whole number"),
            (vec![("deep", "yes")], "takes true or false"),
            (vec![("range", "1-2")], "takes a JSON object"),
            (
                vec![("path", "a"), ("path", "b")],
                "takes one value, and was given 2",
            ),
            (
                vec![("paht", "a")],
                "the tool has no argument paht; did you mean path?",
            ),
            (vec![("zzz", "a")], "; it takes deep, globs"),
        ] {
            let error = given(&args).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn arguments_stand_above_the_json() {
        let base = json!({ "path": "a", "limit": 1 })
            .as_object()
            .unwrap()
            .clone();
        let args = [("path".to_owned(), "b".to_owned())];
        let arguments = arguments(&schema(), base, &args).unwrap();
        assert_eq!(Value::Object(arguments), json!({ "path": "b", "limit": 1 }));
    }

    #[test]
    fn a_schema_may_say_little_or_go_in_circles() {
        let args = [("a".to_owned(), "1".to_owned())];
        let open = arguments(&json!({ "type": "object" }), Map::new(), &args).unwrap();
        assert_eq!(open["a"], json!(1));
        let closed = json!({ "type": "object", "additionalProperties": false });
        let error = arguments(&closed, Map::new(), &args)
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("it takes none"), "{error}");
        let mut circular = schema();
        circular["properties"]["a"] = json!({ "$ref": "#/$defs/Loop" });
        assert!(arguments(&circular, Map::new(), &args).is_ok());
        circular["$defs"]["Loop"] = json!({ "anyOf": [{ "$ref": "#/$defs/Loop" }] });
        assert!(arguments(&circular, Map::new(), &args).is_ok());
    }
}
