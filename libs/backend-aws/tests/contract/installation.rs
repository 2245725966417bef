//! An installation planned, made, looked at and removed; and its bus.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_backend_aws::{
    Aspect, EventRelay, Finding, Health, Place, S3Blobs, SecretsManager,
    provision::{self, Removed, State},
};
use waybill_events::{Event, EventType, TenantId};
use waybill_messaging::{
    BatchHandler, BlobKey, Blobs, Clock, Context, SecretName, SecretValue, Secrets as _,
};
use waybill_testkit::contract::{ALPHA, TOPOLOGY, eventually};

use crate::emulator::Account;

impl Account {
    async fn plan(&self) -> HashMap<String, State> {
        let found = provision::plan(&self.clients, &self.names, TOPOLOGY).await;
        let found = found.unwrap().into_iter();
        found.map(|found| (found.resource, found.state)).collect()
    }

    async fn look(&self, aspect: Aspect) -> Finding {
        let clock = Clock::system();
        let health = Health::new(&self.clients, &self.names, TOPOLOGY, clock);
        health.look(aspect).await
    }

    async fn queue_url(&self, name: &str) -> String {
        let url = self.clients.sqs.get_queue_url().queue_name(name).send();
        url.await.unwrap().queue_url.unwrap()
    }
}

fn all(states: &HashMap<String, State>, wanted: &State) -> bool {
    states.values().all(|state| state == wanted)
}

#[tokio::test]
async fn a_plan_is_what_apply_does_and_nothing_after_it() {
    let account = Account::fresh().await;
    let planned = account.plan().await;
    // Tables, topic, bus, key, bucket, and for each subscription two queues and itself.
    assert_eq!(planned.len(), 3 + 1 + 3 + 3 * TOPOLOGY.len());
    assert!(all(&planned, &State::Missing), "{planned:?}");
    let applied = provision::apply(&account.clients, &account.names, TOPOLOGY).await;
    for found in applied.unwrap() {
        assert_eq!(planned[&found.resource], found.state);
    }
    let planned = account.plan().await;
    assert!(all(&planned, &State::AsDescribed), "{planned:?}");
}

#[tokio::test]
async fn what_drifts_is_told_and_mended() {
    let account = Account::fresh().await;
    let (clients, names) = (&account.clients, &account.names);
    provision::apply(clients, names, TOPOLOGY).await.unwrap();
    let name = names.queue(ALPHA.name);
    let url = account.queue_url(&name).await;
    let drift = clients.sqs.set_queue_attributes().queue_url(url);
    let drift = drift.attributes(QueueAttributeName::VisibilityTimeout, "7");
    drift.send().await.unwrap();
    let topic = clients.sns.list_topics().send().await.unwrap();
    let topic = topic.topics()[0].topic_arn().unwrap();
    let list = clients.sns.list_subscriptions_by_topic().topic_arn(topic);
    let list = list.send().await.unwrap();
    let of_alpha = |s: &&aws_sdk_sns::types::Subscription| s.endpoint().unwrap().ends_with(&name);
    let subscription = list.subscriptions().iter().find(of_alpha).unwrap();
    let drift = clients.sns.set_subscription_attributes();
    let drift = drift
        .subscription_arn(subscription.subscription_arn().unwrap())
        .attribute_name("FilterPolicy")
        .attribute_value(json!({ "type": ["nothing"] }).to_string());
    drift.send().await.unwrap();

    let planned = account.plan().await;
    let differing = |resource: &str| match &planned[resource] {
        State::Differs(differences) => differences.clone(),
        other => panic!("{resource}: {other:?}"),
    };
    let queue = differing(&format!("queue {name}"));
    assert_eq!(
        (queue[0].setting, &*queue[0].there),
        ("VisibilityTimeout", "7")
    );
    let subscription = differing(&format!("subscription {}", ALPHA.name));
    assert_eq!(subscription[0].setting, "FilterPolicy");
    let Finding::Bad(found) = account.look(Aspect::Resources).await else {
        panic!("the drift is not seen");
    };
    assert!(
        found.contains("FilterPolicy") && found.contains("VisibilityTimeout"),
        "{found}"
    );

    provision::apply(clients, names, TOPOLOGY).await.unwrap();
    let planned = account.plan().await;
    assert!(all(&planned, &State::AsDescribed), "{planned:?}");
}

#[tokio::test]
async fn a_destroyed_installation_leaves_only_key_and_secrets_for_a_week() {
    let account = Account::fresh().await;
    let (clients, names) = (&account.clients, &account.names);
    provision::apply(clients, names, TOPOLOGY).await.unwrap();
    let place = Place::find(clients).await.unwrap();
    let blobs = S3Blobs::new(clients, names, &place, Clock::system());
    for name in ["a", "b"] {
        let key = BlobKey {
            tenant: TenantId::parse("acme").unwrap(),
            name: name.to_owned(),
        };
        let hour = Clock::system().now() + chrono::TimeDelta::hours(1);
        blobs.put(&key, "x".into(), hour).await.unwrap();
    }
    let secrets = SecretsManager::new(clients, names);
    let (name, value) = (SecretName::parse("a/b"), SecretValue::new("x".to_owned()));
    secrets.put(&name.unwrap(), &value.unwrap()).await.unwrap();
    let removed = provision::destroy(clients, names, TOPOLOGY).await.unwrap();
    for (resource, removed) in &removed {
        let stays = resource.starts_with("key ") || resource.starts_with("secret ");
        assert_eq!(*removed == Removed::Gone, !stays, "{resource}: {removed:?}");
        assert_eq!(matches!(removed, Removed::Stays(_)), stays, "{resource}");
    }
    assert_eq!(removed[0].0, format!("secret {}/a/b", names.prefix()));
    let planned = account.plan().await;
    assert!(all(&planned, &State::Missing), "{planned:?}");
    let again = provision::destroy(clients, names, TOPOLOGY).await.unwrap();
    assert!(
        again
            .iter()
            .all(|(_, removed)| *removed == Removed::WasNotThere),
        "{again:?}"
    );
    provision::apply(clients, names, TOPOLOGY).await.unwrap();
    assert!(all(&account.plan().await, &State::AsDescribed));
}

#[tokio::test]
async fn a_whole_installation_is_found_healthy_and_a_missing_one_is_not() {
    let account = Account::fresh().await;
    for aspect in [Aspect::Resources, Aspect::MasterKey, Aspect::Bucket] {
        let found = account.look(aspect).await;
        assert!(matches!(found, Finding::Bad(_)), "{aspect:?}: {found:?}");
    }
    provision::apply(&account.clients, &account.names, TOPOLOGY)
        .await
        .unwrap();
    for aspect in Aspect::ALL {
        let found = account.look(aspect).await;
        match aspect {
            // An emulator has none, until somebody makes one.
            Aspect::Alarms => assert!(matches!(found, Finding::Doubtful(_)), "{found:?}"),
            _ => assert!(matches!(found, Finding::Good(_)), "{aspect:?}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn the_bus_carries_every_event_to_whoever_has_a_rule() {
    let account = Account::fresh().await;
    let (clients, names) = (&account.clients, &account.names);
    provision::apply(clients, names, TOPOLOGY).await.unwrap();
    let sink = clients.sqs.create_queue().queue_name("sink").send().await;
    let sink = sink.unwrap().queue_url.unwrap();
    let known = clients.sqs.get_queue_attributes().queue_url(&sink);
    let known = known
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await;
    let arn = known.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let rule = clients.eventbridge.put_rule().name("all");
    let rule = rule.event_bus_name(names.bus());
    let rule = rule.event_pattern(json!({ "source": ["dev.waybill"] }).to_string());
    rule.send().await.unwrap();
    let target = aws_sdk_eventbridge::types::Target::builder()
        .id("sink")
        .arn(arn);
    let targets = clients.eventbridge.put_targets().rule("all");
    let targets = targets.event_bus_name(names.bus());
    let targets = targets.targets(target.build().unwrap());
    targets.send().await.unwrap();

    let events: Vec<Event> = (0..12)
        .map(|_| waybill_testkit::event(EventType::CircuitOpened).build())
        .collect();
    let cx = Context {
        now: Clock::system().now(),
        receives: 1,
        shutdown: CancellationToken::new(),
    };
    let relay = EventRelay::new(clients, names);
    relay
        .handle(&events.iter().collect::<Vec<_>>(), &cx)
        .await
        .unwrap();

    let mut arrived = HashMap::new();
    eventually("all of them", async || {
        let some = clients.sqs.receive_message().queue_url(&sink);
        let some = some.max_number_of_messages(10).send().await.unwrap();
        for message in some.messages() {
            let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            let id = body["detail"]["id"].as_str().unwrap().to_owned();
            arrived.insert(id, body);
        }
        (arrived.len() == events.len()).then_some(())
    })
    .await;
    for event in &events {
        let body = &arrived[event.id.as_str()];
        assert_eq!(body["source"], "dev.waybill");
        assert_eq!(body["detail-type"], event.kind.as_str());
        let detail = serde_json::to_vec(&body["detail"]).unwrap();
        assert_eq!(Event::from_json(&detail).unwrap(), *event);
    }
    let removed = provision::destroy(clients, names, TOPOLOGY).await.unwrap();
    let bus = removed
        .iter()
        .find(|(name, _)| name.starts_with("event bus"));
    assert!(matches!(bus.unwrap().1, Removed::Stays(_)), "others listen");
}
