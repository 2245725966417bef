//! One event type: the schema of the whole `CloudEvent`, and an example.

use chrono::DateTime;
use serde_json::{Value, json};
use waybill_events::{CallId, Draft, Event, EventId, EventType, Stamp, TenantId};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// JSON Schema 2020-12 of the structured JSON form.
pub(crate) fn schema(kind: EventType) -> Value {
    let mut data = kind.data_schema().to_value();
    let definitions = data.as_object_mut().and_then(|data| {
        data.remove("$schema");
        data.remove("$defs")
    });
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.as_str(),
        "description": kind.summary(),
        "type": "object",
        "required": [
            "specversion", "id", "type", "source", "subject", "time", "datacontenttype", "data",
            "tenantid", "correlationid",
        ],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": identifier("Derived from the cause: a replay gives the same id."),
            "type": { "const": kind.as_str() },
            "source": {
                "type": "string",
                "pattern": "^/waybill/[a-z-]+$",
                "description": "The service that emitted it.",
            },
            "subject": { "type": "string", "minLength": 1, "description": "What it is about." },
            "time": { "type": "string", "format": "date-time" },
            "datacontenttype": { "const": "application/json" },
            "data": data,
            "tenantid": { "type": "string", "pattern": "^[a-z0-9-]{1,64}$" },
            "correlationid": identifier("The event that began the story."),
            "causationid": identifier("The event that caused this one."),
            "traceparent": { "type": "string", "description": "W3C Trace Context." },
        },
    });
    if let (Some(definitions), Some(schema)) = (definitions, schema.as_object_mut()) {
        schema.insert("$defs".to_owned(), definitions);
    }
    schema
}

/// Its data are the type's own example.
pub(crate) fn example(kind: EventType) -> Value {
    let now = DateTime::from_timestamp_millis(1_780_000_000_000).expect("a valid time");
    let call = CallId::new(now, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    let began = EventId::derived(call.as_str(), "ingress", 0);
    let begins = kind == EventType::ToolCallRequested;
    let stamp = Stamp {
        service: if begins { "ingress" } else { "tool-executor" },
        now,
        cause: if begins {
            call.as_str()
        } else {
            began.as_str()
        },
        correlation: (!begins).then_some(&began),
        causation: (!begins).then_some(&began),
        traceparent: Some(TRACEPARENT),
    };
    let draft = Draft {
        kind,
        tenant: TenantId::parse("acme").expect("a valid name"),
        subject: subject(kind, &call),
        data: kind.data_example(),
        story: None,
    };
    envelope(&draft.stamp(&stamp, 0))
}

/// The name of one of its parts, without the common prefix.
pub(crate) fn short(kind: EventType) -> &'static str {
    kind.as_str().trim_start_matches("dev.waybill.")
}

fn subject(kind: EventType, call: &CallId) -> String {
    match short(kind).split('.').next() {
        Some("circuit") => "everything",
        Some("schedule") => "every-second",
        Some("audit") => "key_2f9k",
        _ => call.as_str(),
    }
    .to_owned()
}

fn envelope(event: &Event) -> Value {
    serde_json::to_value(event.to_cloud_event()).expect("a CloudEvent is plain JSON")
}

fn identifier(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 128, "description": description })
}

#[cfg(test)]
mod tests {
    use jsonschema::Validator;

    use super::*;

    fn validator(kind: EventType) -> Validator {
        let mut options = jsonschema::options();
        options = options.should_validate_formats(true);
        options.build(&schema(kind)).unwrap()
    }

    #[test]
    fn every_example_fits_its_schema_and_is_an_event() {
        for &kind in EventType::ALL {
            let example = example(kind);
            if let Err(error) = validator(kind).validate(&example) {
                panic!("{}: {error}", kind.as_str());
            }
            let event = Event::from_json(example.to_string().as_bytes()).unwrap();
            assert_eq!(event.kind, kind);
        }
    }

    #[test]
    fn what_is_missing_or_of_another_type_does_not_fit() {
        for &kind in EventType::ALL {
            let (validator, example) = (validator(kind), example(kind));
            for name in ["id", "source", "time", "tenantid", "correlationid", "data"] {
                let mut broken = example.clone();
                broken.as_object_mut().unwrap().remove(name);
                assert!(
                    !validator.is_valid(&broken),
                    "{} without {name}",
                    kind.as_str()
                );
            }
            let mut broken = example.clone();
            broken["data"] = json!({});
            assert!(
                !validator.is_valid(&broken),
                "{} without data",
                kind.as_str()
            );
            let mut broken = example.clone();
            broken["type"] = "dev.waybill.other.v1".into();
            assert!(!validator.is_valid(&broken), "{}", kind.as_str());
        }
    }

    /// An object of any shape would let arguments and results in.
    #[test]
    fn data_are_scalars_and_lists_of_names() {
        let scalar = |field: &Value| match &field["type"] {
            Value::String(name) => ["string", "integer", "number", "boolean"].contains(&&**name),
            Value::Array(names) => !names.contains(&json!("object")) && !names.is_empty(),
            _ => false,
        };
        for &kind in EventType::ALL {
            let schema = schema(kind);
            let fields = schema["properties"]["data"]["properties"]
                .as_object()
                .unwrap();
            for (name, field) in fields {
                let names = field["type"] == "array" && field["items"]["type"] == "string";
                assert!(
                    scalar(field) || names,
                    "{}: {name} is {field}",
                    kind.as_str()
                );
            }
        }
    }
}
