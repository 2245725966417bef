//! The generated pages of documentation.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;
use waybill_events::EventType;
use waybill_messaging::Subscription;

use crate::{
    event::{schema, short},
    topology::{SUBSCRIPTIONS, TIMED, consumers, named, title},
};

const NOTE: &str = "<!-- Written by `cargo xtask generate`. Do not edit. -->\n";

/// `schemas/README.md`.
pub(crate) fn index() -> String {
    let mut page = format!(
        "{NOTE}# Schemas\n\n\
         One JSON Schema (2020-12) of the whole CloudEvent and one example for each event type, and \
         [`asyncapi.json`](asyncapi.json) with the consumers. A type that was released only grows by \
         optional fields; any other change is a new version of the type.\n\n\
         [`policy.json`](policy.json) is for editors of `policy.toml`.\n\n\
         | type | |\n|---|---|\n"
    );
    for &kind in EventType::ALL {
        let name = kind.as_str();
        let line = format!(
            "| `{name}` | [schema](events/{name}.json), [example](events/{name}.example.json) |\n"
        );
        page.push_str(&line);
    }
    page
}

/// `docs/events.md`.
pub(crate) fn events() -> String {
    let mut page = format!(
        "{NOTE}# Events\n\n\
         CloudEvents 1.0 in structured JSON. Every type begins with `dev.waybill.`. Extensions: \
         `tenantid`, `correlationid` (the event that began the story), `causationid` (the event that \
         caused this one), `traceparent`. Events carry facts and digests, never arguments, results, \
         tokens or personal data ([why](adr/0003-arguments-stay-in-the-ledger.md)). Schemas and \
         examples are in [`schemas/`](../schemas/README.md).\n\n\
         | type | what has happened | consumers |\n|---|---|---|\n"
    );
    for &kind in EventType::ALL {
        let line = format!(
            "| [`{}`](#{}) | {} | {} |\n",
            short(kind),
            anchor(kind),
            kind.summary(),
            consumers(kind)
        );
        page.push_str(&line);
    }
    for &kind in EventType::ALL {
        page.push_str(&section(kind));
    }
    page
}

/// `docs/topology.md`.
pub(crate) fn topology() -> String {
    let mut picture = String::new();
    for each in SUBSCRIPTIONS {
        let label = named(each).map_or_else(
            || "every event".to_owned(),
            |kinds| {
                kinds
                    .iter()
                    .map(|&kind| short(kind))
                    .collect::<Vec<_>>()
                    .join("<br/>")
            },
        );
        line(
            &mut picture,
            &format!("    bus -- \"{label}\" --> {}", node(each)),
        );
    }
    for each in TIMED {
        line(
            &mut picture,
            &format!("    timer -- tick --> {}", node(each)),
        );
    }
    let mut table = String::new();
    for each in SUBSCRIPTIONS.iter().chain(TIMED) {
        line(&mut table, &limits(each));
    }
    format!(
        "{NOTE}# Topology\n\n\
         Who consumes what, from the `SUBSCRIPTION` constant of each handler.\n\n\
         ```mermaid\nflowchart LR\n    bus([bus])\n    timer([timer])\n{picture}```\n\n\
         | subscription | one attempt | lease | receives | at once | batch |\n\
         |---|---|---|---|---|---|\n{table}\n\
         After that many receives a delivery is a dead letter. A batch is closed when it is full or \
         after its window. What a timer drives has no deliveries \
         ([why](adr/0005-no-ticks-on-the-bus.md)).\n"
    )
}

fn section(kind: EventType) -> String {
    let schema = schema(kind);
    let data = &schema["properties"]["data"];
    let mut text = format!("\n## {}\n\n{}", short(kind), kind.summary());
    if let Some(description) = data["description"].as_str() {
        let _infallible = write!(text, " {description}");
    }
    text.push_str("\n\n| data | type | |\n|---|---|---|\n");
    let required: Vec<_> = data["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in data["properties"].as_object().into_iter().flatten() {
        let optional = if required.contains(&name.as_str()) {
            ""
        } else {
            ", optional"
        };
        let description = field["description"].as_str().unwrap_or_default();
        line(
            &mut text,
            &format!(
                "| `{name}` | {}{optional} | {description} |",
                type_of(field)
            ),
        );
    }
    text
}

fn type_of(field: &Value) -> String {
    let plain = match &field["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names = names
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| *name != "null");
            names.collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    };
    match field["format"].as_str() {
        Some("date-time") => "date-time".to_owned(),
        _ if plain == "array" => format!("list of {}", type_of(&field["items"])),
        _ => plain,
    }
}

/// Of the picture. Its name is its id there.
fn node(subscription: &Subscription) -> String {
    format!("{}[\"{}\"]", subscription.name, title(subscription))
}

fn limits(subscription: &Subscription) -> String {
    let batching = subscription.batching;
    let batch = if batching.max > 1 {
        format!("{}, {}", batching.max, span(batching.window))
    } else {
        "one by one".to_owned()
    };
    format!(
        "| {} | {} | {} | {} | {} | {batch} |",
        title(subscription),
        span(subscription.timeout),
        span(subscription.lease),
        subscription.max_receives,
        subscription.concurrency,
    )
}

fn span(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        ms => format!("{ms} ms"),
    }
}

/// As GitHub makes it from a heading.
fn anchor(kind: EventType) -> String {
    short(kind).replace('.', "")
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}
