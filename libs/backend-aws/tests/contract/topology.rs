//! What provisioning makes of a topology, and the queue beyond its contract.

use std::{collections::HashMap, time::Duration};

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use tokio::time::Instant;
use waybill_backend_aws::{SqsQueue, provision};
use waybill_events::EventType;
use waybill_messaging::{DeadLetter, Error, Events, Queue, Settlement, Subscription};

use crate::emulator::Account;

const OPENED: Subscription = Subscription {
    lease: Duration::from_secs(7),
    ..Subscription::new("one", Events::Only(&[EventType::CircuitOpened]))
};

impl Account {
    async fn provisioned(topology: &[Subscription]) -> (Self, SqsQueue) {
        let account = Self::fresh().await;
        account.provision(topology).await;
        let queue = SqsQueue::open(&account.clients, &account.names, topology).await;
        (account, queue.unwrap())
    }

    async fn provision(&self, topology: &[Subscription]) {
        let applied = provision::apply(&self.clients, &self.names, topology).await;
        applied.unwrap();
    }

    async fn url(&self, queue: &str) -> String {
        let url = self.clients.sqs.get_queue_url().queue_name(queue).send();
        url.await.unwrap().queue_url.unwrap()
    }

    async fn attributes(&self, queue: &str) -> HashMap<QueueAttributeName, String> {
        let described = self.clients.sqs.get_queue_attributes();
        let described = described.queue_url(self.url(queue).await);
        let described = described.attribute_names(QueueAttributeName::All).send();
        described.await.unwrap().attributes.unwrap()
    }

    /// Of each of the topic's subscriptions.
    async fn subscriptions(&self) -> Vec<HashMap<String, String>> {
        let sns = &self.clients.sns;
        let listed = sns.list_subscriptions().send().await.unwrap();
        let mut all = Vec::new();
        for one in listed.subscriptions() {
            let arn = one.subscription_arn().unwrap();
            let known = sns.get_subscription_attributes().subscription_arn(arn);
            all.push(known.send().await.unwrap().attributes.unwrap());
        }
        all
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_queue_is_as_its_subscription_says() {
    use QueueAttributeName as Name;
    let (account, _) = Account::provisioned(&[OPENED]).await;
    let queue = account.attributes(&account.names.queue("one")).await;
    let dead = account.names.dead_letter_queue("one");
    let dead = account.attributes(&dead).await;
    assert_eq!(queue[&Name::VisibilityTimeout], "7");
    let redrive = parsed(&queue[&Name::RedrivePolicy]);
    let expected = json!({ "deadLetterTargetArn": dead[&Name::QueueArn], "maxReceiveCount": 901 });
    assert_eq!(redrive, expected);
    let subscription = &account.subscriptions().await[0];
    let undelivered = json!({ "deadLetterTargetArn": dead[&Name::QueueArn] });
    assert_eq!(parsed(&subscription["RedrivePolicy"]), undelivered);
    let only = json!({ "ArnEquals": { "aws:SourceArn": subscription["TopicArn"] } });
    for attributes in [&queue, &dead] {
        let allowed = &parsed(&attributes[&Name::Policy])["Statement"];
        assert_eq!(allowed.as_array().unwrap().len(), 1);
        assert_eq!(allowed[0]["Condition"], only);
        assert_eq!(allowed[0]["Resource"], attributes[&Name::QueueArn]);
        assert_eq!(attributes[&Name::MessageRetentionPeriod], "1209600");
        assert_eq!(attributes[&Name::SqsManagedSseEnabled], "true");
    }
}

/// The emulator stamps a queue with every change, in whole seconds.
#[tokio::test]
async fn applying_again_changes_nothing() {
    let (account, _) = Account::provisioned(&[OPENED]).await;
    let name = account.names.queue("one");
    let before = (
        account.attributes(&name).await,
        account.subscriptions().await,
    );
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    account.provision(&[OPENED]).await;
    let after = (
        account.attributes(&name).await,
        account.subscriptions().await,
    );
    assert_eq!(after, before);
}

#[tokio::test]
async fn applying_a_changed_topology_changes_what_differs() {
    let (account, _) = Account::provisioned(&[OPENED]).await;
    let changed = [
        (
            Events::Only(&[EventType::CircuitClosed]),
            json!({ "type": ["dev.waybill.circuit.closed.v1"] }),
        ),
        (Events::All, json!({})),
        (
            Events::Only(&[EventType::CircuitOpened]),
            json!({ "type": ["dev.waybill.circuit.opened.v1"] }),
        ),
    ];
    for (events, filter) in changed {
        let lease = Duration::from_secs(9);
        account
            .provision(&[Subscription {
                events,
                lease,
                ..OPENED
            }])
            .await;
        let subscriptions = account.subscriptions().await;
        assert_eq!(subscriptions.len(), 1);
        assert_eq!(parsed(&subscriptions[0]["FilterPolicy"]), filter);
        assert_eq!(subscriptions[0]["RawMessageDelivery"], "true");
        let queue = account.attributes(&account.names.queue("one")).await;
        assert_eq!(queue[&QueueAttributeName::VisibilityTimeout], "9");
    }
}

#[tokio::test]
async fn a_queue_that_was_never_made_is_unknown() {
    let Account { clients, names, .. } = Account::fresh().await;
    let opened = SqsQueue::open(&clients, &names, &[OPENED]).await;
    assert!(matches!(opened.err(), Some(Error::Unknown(_))));
}

fn event() -> String {
    let event = waybill_testkit::event(EventType::CircuitOpened).build();
    String::from_utf8(event.to_json()).unwrap()
}

#[tokio::test]
async fn a_receipt_is_good_in_its_process_only() {
    let (account, queue) = Account::provisioned(&[OPENED]).await;
    let Account { clients, names, .. } = account;
    let other = SqsQueue::open(&clients, &names, &[OPENED]).await.unwrap();
    queue.inject("one", event()).await.unwrap();
    let delivery = queue
        .receive("one", 1, Duration::from_secs(5))
        .await
        .unwrap()
        .remove(0);
    let settled = other.settle(&delivery.receipt, Settlement::Done).await;
    assert!(matches!(settled, Err(Error::LeaseLost)), "{settled:?}");
    queue
        .settle(&delivery.receipt, Settlement::Done)
        .await
        .unwrap();
}

/// More than one request gives, and the longest wait that a worker asks for.
#[tokio::test]
async fn many_are_received_at_once_and_then_none_for_twenty_seconds() {
    let (_account, queue) = Account::provisioned(&[OPENED]).await;
    for _ in 0..25 {
        queue.inject("one", event()).await.unwrap();
    }
    let wait = Duration::from_secs(20);
    let received = queue.receive("one", 64, wait).await.unwrap();
    assert_eq!(received.len(), 25);
    for delivery in &received {
        queue
            .settle(&delivery.receipt, Settlement::Done)
            .await
            .unwrap();
    }
    let began = Instant::now();
    assert!(queue.receive("one", 64, wait).await.unwrap().is_empty());
    assert!(began.elapsed() > wait * 9 / 10);
}

#[tokio::test]
async fn dead_letters_of_both_makings_are_told_and_redriven() {
    const DYING: Subscription = Subscription {
        max_receives: 1,
        ..OPENED
    };
    let (_account, queue) = Account::provisioned(&[DYING]).await;
    let short = Duration::from_secs(2);
    for _ in 0..12 {
        queue.inject("one", event()).await.unwrap();
    }
    let mut left = queue.receive("one", 12, short).await.unwrap();
    let by_sqs = left.split_off(11);
    for delivery in &left {
        let reason = "poison\0".to_owned();
        let buried = queue.settle(&delivery.receipt, Settlement::DeadLetter { reason });
        buried.await.unwrap();
    }
    let at_once = || Settlement::Retry {
        after: Duration::ZERO,
    };
    queue.settle(&by_sqs[0].receipt, at_once()).await.unwrap();
    let again = queue.receive("one", 1, short).await.unwrap().remove(0);
    queue.settle(&again.receipt, at_once()).await.unwrap();
    assert!(queue.receive("one", 1, short).await.unwrap().is_empty());

    let letters = queue.dead_letters("one", 100).await.unwrap();
    let native = |letter: &&DeadLetter| letter.event.as_ref() == Some(&*again.event);
    let told = letters.iter().find(native).unwrap();
    assert_eq!(
        (told.reason.as_str(), told.receives),
        ("received 2 times without an end", 2)
    );
    let told = letters.iter().filter(|letter| !native(letter));
    let told: Vec<_> = told
        .map(|letter| (letter.reason.as_str(), letter.receives))
        .collect();
    assert_eq!(told, [("poison\u{fffd}", 1); 11]);

    for letter in &letters {
        queue.redrive("one", &letter.id).await.unwrap();
    }
    let redriven = queue.receive("one", 64, short).await.unwrap();
    assert_eq!(redriven.len(), 12);
    assert!(redriven.iter().all(|delivery| delivery.receives == 1));
    assert_eq!(queue.depth("one").await.unwrap().dead, 0);
}
