//! `AsyncAPI` 3.0: the bus as one channel, and an operation for each subscription.

use serde_json::{Map, Value, json};
use waybill_events::EventType;
use waybill_messaging::Subscription;

use crate::{
    event::short,
    topology::{SUBSCRIPTIONS, is_on_the_bus},
};

pub(crate) fn document() -> Value {
    let all = EventType::ALL.iter().filter(|kind| is_on_the_bus(**kind));
    let channel: Map<_, _> = all
        .clone()
        .map(|&kind| (short(kind).to_owned(), reference("components", kind)))
        .collect();
    let messages: Map<_, _> = all
        .map(|&kind| (short(kind).to_owned(), message(kind)))
        .collect();
    let operations: Map<_, _> = SUBSCRIPTIONS
        .iter()
        .map(|each| (each.name.to_owned(), operation(each)))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Waybill",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The events of the bus, and who consumes them.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            "bus": { "address": null, "messages": channel },
        },
        "operations": operations,
        "components": { "messages": messages },
    })
}

fn message(kind: EventType) -> Value {
    json!({
        "name": kind.as_str(),
        "summary": kind.summary(),
        "contentType": "application/cloudevents+json",
        "payload": { "$ref": format!("events/{}.json", kind.as_str()) },
    })
}

fn operation(subscription: &Subscription) -> Value {
    let wanted = EventType::ALL
        .iter()
        .filter(|kind| subscription.wants(**kind));
    let messages: Vec<_> = wanted
        .map(|&kind| reference("channels/bus", kind))
        .collect();
    json!({
        "action": "receive",
        "channel": { "$ref": "#/channels/bus" },
        "messages": messages,
    })
}

fn reference(of: &str, kind: EventType) -> Value {
    json!({ "$ref": format!("#/{of}/messages/{}", short(kind)) })
}
