//! Tools whose input schema is what the suite looks at.

use std::sync::Arc;

use serde_json::{Value, json};
use waybill_toolkit::Tool;

use crate::fixture::{answers, argument, spec_with, text};

pub(crate) fn tools() -> Vec<Arc<dyn Tool>> {
    let header = json!({
        "type": "object",
        "properties": { "value": { "type": "string", "x-mcp-header": "Value" } },
        "required": ["value"],
    });
    vec![
        answers(
            spec_with(
                "json_schema_2020_12_tool",
                "Tool with JSON Schema 2020-12 features",
                wide(),
            ),
            |arguments, _| {
                let name = argument(arguments, "name").unwrap_or("nobody");
                text(format!("The contact is {name}"))
            },
        ),
        answers(
            spec_with(
                "test_custom_header",
                "Echoes a value that a header repeats",
                header,
            ),
            |arguments, _| text(argument(arguments, "value").unwrap_or_default()),
        ),
    ]
}

/// The vocabulary that a gateway must not strip (SEP-1613, SEP-2106). A person with an address and
/// one way to be reached.
fn wide() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": {
            "properties": { "contactMethod": { "const": "phone" } },
            "required": ["contactMethod"],
        },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}
