//! What is delivered, and to whom.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use waybill_events::EventType;
use waybill_messaging::Error;

use super::{Fixture, event};
use crate::contract::{ALPHA, BETA, SHORT_LEASE, STURDY, TOPOLOGY, assert_err, eventually};

pub async fn events_fan_out_by_type(f: Fixture) {
    let cases = [
        (EventType::ToolCallRequested, vec![ALPHA.name, BETA.name]),
        (EventType::ToolCallCompleted, vec![ALPHA.name, BETA.name]),
        (
            EventType::ToolCallProgressed,
            vec![SHORT_LEASE.name, BETA.name],
        ),
        (EventType::CircuitOpened, vec![STURDY.name, BETA.name]),
        (EventType::AuditRecorded, vec![BETA.name]),
    ];
    for (kind, wanting) in cases {
        let sent = event(kind);
        f.publish([sent.clone()]).await;
        for subscription in &wanting {
            let delivery = f.one(subscription).await;
            assert_eq!(delivery.event.id, sent.id, "{subscription}");
            assert_eq!(delivery.receives, 1);
            assert_eq!(delivery.receipt.subscription, *subscription);
            f.settle(&delivery, waybill_messaging::Settlement::Done)
                .await;
        }
    }
    for subscription in TOPOLOGY {
        let name = subscription.name;
        assert!(f.none(name).await, "{name} got what it does not want");
    }
}

pub async fn a_commit_delivers_all_its_events(f: Fixture) {
    let sent: Vec<_> = (0..25).map(|_| event(EventType::ScheduleTicked)).collect();
    let expected: BTreeSet<_> = sent.iter().map(|event| event.id.clone()).collect();
    f.publish(sent).await;
    let mut arrived = BTreeSet::new();
    eventually("every event", async || {
        for delivery in f.some(BETA.name).await {
            arrived.insert(delivery.event.id.clone());
        }
        (arrived.len() >= expected.len()).then_some(())
    })
    .await;
    assert_eq!(arrived, expected);
}

pub async fn an_event_arrives_as_it_was_committed(f: Fixture) {
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let cause = crate::event(EventType::ToolCallRequested)
        .traced(traceparent)
        .build();
    let effect = crate::event(EventType::ToolCallCompleted)
        .caused_by(&cause)
        .subject("01k-call")
        .build();
    for sent in [cause, effect] {
        f.publish([sent.clone()]).await;
        let delivery = f.one(ALPHA.name).await;
        assert_eq!(*delivery.event, sent);
    }
}

pub async fn unicode_and_large_data_arrive(f: Fixture) {
    let texts = [
        "žluťoučký kůň 🐎 \0 \u{202e} \u{2028} </script> \"'\\".to_owned(),
        "🐎".repeat(25_000),
        "\u{1}".repeat(10_000),
    ];
    for text in texts {
        let sent = crate::event(EventType::ScheduleTicked)
            .data(json!({ "text": text, "nested": [null, 1.5, true, {"": []}] }))
            .build();
        f.publish([sent.clone()]).await;
        let delivery = f.one(BETA.name).await;
        assert!(
            *delivery.event == sent,
            "{} bytes came back changed",
            text.len()
        );
    }
}

pub async fn an_unknown_subscription_is_said(f: Fixture) {
    let received = f.queue.receive("nobody", 1, Duration::ZERO).await;
    assert_err!(received, Error::Unknown(_));
    assert_err!(f.queue.depth("nobody").await, Error::Unknown(_));
    assert_err!(f.queue.dead_letters("nobody", 1).await, Error::Unknown(_));
}
