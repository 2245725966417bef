//! The topic, and each subscription's queue and dead-letter queue.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use serde_json::{Value, json};
use waybill_messaging::{Error, Events, Result, Subscription};

use crate::{
    Clients, Names,
    error::port_error,
    queue::{find, most_receives, seconds},
};

/// The longest that SQS keeps a message, in seconds. What SQS itself puts aside is kept so long
/// from its first sending, not from its death.
pub const RETENTION: u32 = 14 * 24 * 60 * 60;
/// Of a consumer that names no other wait, in seconds.
const WAIT: u32 = 20;
/// SNS takes this for no policy at all.
const NO_FILTER: &str = "{}";

/// Makes what is missing and changes what differs. Queues of subscriptions that are no longer in
/// `topology` are left alone. SNS may take 15 minutes to follow a changed filter.
pub(super) async fn queues(
    clients: &Clients,
    names: &Names,
    topology: &[Subscription],
) -> Result<()> {
    let topic = topic(clients, &names.topic()).await?;
    let subscribed = subscribed(clients, &topic).await?;
    for subscription in topology {
        let dead = names.dead_letter_queue(subscription.name);
        let dead = Made::ensure(&clients.sqs, &dead).await?;
        dead.set(&clients.sqs, vec![]).await?;
        let queue = names.queue(subscription.name);
        let queue = Made::ensure(&clients.sqs, &queue).await?;
        let own = own_attributes(subscription, &topic, &queue.arn, &dead.arn);
        queue.set(&clients.sqs, own).await?;
        let there = subscribed.get(&queue.arn);
        subscribe(clients, subscription, &topic, &queue.arn, there).await?;
    }
    Ok(())
}

/// What a subscription's queue has that its dead-letter queue has not.
fn own_attributes(
    subscription: &Subscription,
    topic: &str,
    arn: &str,
    dead_arn: &str,
) -> Vec<(Attribute, String)> {
    let redrive = json!({
        "deadLetterTargetArn": dead_arn,
        "maxReceiveCount": most_receives(subscription),
    });
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "OnlyTheTopic",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }],
    });
    let lease = seconds(subscription.lease);
    vec![
        (Attribute::VisibilityTimeout, lease.to_string()),
        (Attribute::ReceiveMessageWaitTimeSeconds, WAIT.to_string()),
        (Attribute::RedrivePolicy, redrive.to_string()),
        (Attribute::Policy, policy.to_string()),
    ]
}

/// A subscription's filter policy: by the message attribute `type`, which every published event
/// carries. `None`: everything.
pub fn filter(subscription: &Subscription) -> Option<Value> {
    match subscription.events {
        Events::All => None,
        Events::Only(kinds) => {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            Some(json!({ "type": kinds }))
        }
    }
}

/// A queue that is there, and how.
struct Made {
    url: String,
    arn: String,
    attributes: HashMap<Attribute, String>,
}

impl Made {
    async fn ensure(sqs: &aws_sdk_sqs::Client, name: &str) -> Result<Self> {
        let url = match find(sqs, name).await? {
            Some(url) => url,
            None => create(sqs, name).await?,
        };
        let known = sqs
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(Attribute::All)
            .send()
            .await
            .map_err(|error| port_error("SQS cannot describe a queue", error))?;
        let attributes = known.attributes.unwrap_or_default();
        let arn = attributes.get(&Attribute::QueueArn).cloned();
        Ok(Self {
            arn: arn.ok_or_else(|| empty("SQS cannot describe a queue"))?,
            url,
            attributes,
        })
    }

    /// What every queue has, and what this one has of its own.
    async fn set(&self, sqs: &aws_sdk_sqs::Client, own: Vec<(Attribute, String)>) -> Result<()> {
        let mut wanted = own;
        wanted.extend([
            (Attribute::MessageRetentionPeriod, RETENTION.to_string()),
            (Attribute::SqsManagedSseEnabled, true.to_string()),
        ]);
        wanted.retain(|(name, value)| {
            let there = self.attributes.get(name);
            !there.is_some_and(|there| same(there, value))
        });
        if wanted.is_empty() {
            return Ok(());
        }
        sqs.set_queue_attributes()
            .queue_url(&self.url)
            .set_attributes(Some(wanted.into_iter().collect()))
            .send()
            .await
            .map_err(|error| port_error("SQS does not take a queue's attributes", error))?;
        Ok(())
    }
}

async fn create(sqs: &aws_sdk_sqs::Client, name: &str) -> Result<String> {
    let made = sqs.create_queue().queue_name(name).send().await;
    let made = made.map_err(|error| port_error("SQS cannot make a queue", error))?;
    made.queue_url
        .ok_or_else(|| empty("SQS cannot make a queue"))
}

/// The topic's name in full. Making one that is there answers the same.
async fn topic(clients: &Clients, name: &str) -> Result<String> {
    let made = clients.sns.create_topic().name(name).send().await;
    let made = made.map_err(|error| port_error("SNS cannot make the topic", error))?;
    made.topic_arn
        .ok_or_else(|| empty("SNS cannot make the topic"))
}

/// The topic's subscriptions, by the queue that they lead to.
async fn subscribed(clients: &Clients, topic: &str) -> Result<HashMap<String, String>> {
    let list = clients.sns.list_subscriptions_by_topic().topic_arn(topic);
    let mut pages = list.into_paginator().items().send();
    let mut subscribed = HashMap::new();
    while let Some(one) = pages.next().await {
        let one = one.map_err(|error| port_error("SNS cannot list subscriptions", error))?;
        if let (Some(endpoint), Some(arn)) = (one.endpoint, one.subscription_arn) {
            subscribed.insert(endpoint, arn);
        }
    }
    Ok(subscribed)
}

/// `there`: the subscription as it was made before.
async fn subscribe(
    clients: &Clients,
    subscription: &Subscription,
    topic: &str,
    queue: &str,
    there: Option<&String>,
) -> Result<()> {
    let filter = filter(subscription).map_or_else(|| NO_FILTER.to_owned(), |f| f.to_string());
    let wanted = [
        ("RawMessageDelivery", true.to_string()),
        ("FilterPolicy", filter),
    ];
    let Some(arn) = there else {
        let wanted = wanted.into_iter().filter(|(_, value)| value != NO_FILTER);
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value));
        let subscribe = clients.sns.subscribe().topic_arn(topic).protocol("sqs");
        let subscribe = subscribe
            .endpoint(queue)
            .set_attributes(Some(wanted.collect()));
        subscribe
            .send()
            .await
            .map_err(|error| port_error("SNS cannot subscribe a queue", error))?;
        return Ok(());
    };
    let known = clients.sns.get_subscription_attributes();
    let known = known.subscription_arn(arn).send().await;
    let known = known.map_err(|error| port_error("SNS cannot describe a subscription", error))?;
    let known = known.attributes.unwrap_or_default();
    for (name, value) in wanted {
        let there = known.get(name).map_or(NO_FILTER, String::as_str);
        if same(there, &value) {
            continue;
        }
        let set = clients.sns.set_subscription_attributes();
        let set = set.subscription_arn(arn).attribute_name(name);
        set.attribute_value(value)
            .send()
            .await
            .map_err(|error| port_error("SNS does not take a subscription's attributes", error))?;
    }
    Ok(())
}

/// Policies come back with other spaces than they were sent with.
fn same(there: &str, wanted: &str) -> bool {
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    there == wanted || json(there).is_some_and(|there| Some(there) == json(wanted))
}

fn empty(what: &'static str) -> Error {
    Error::broken(what, "its answer is empty")
}

#[cfg(test)]
mod tests {
    use waybill_events::EventType;

    use super::*;

    #[test]
    fn the_filter_is_what_the_subscription_wants() {
        const SOME: &[EventType] = &[EventType::CircuitOpened, EventType::CircuitClosed];
        let some = Subscription::new("some", Events::Only(SOME));
        let types = json!([
            "dev.waybill.circuit.opened.v1",
            "dev.waybill.circuit.closed.v1"
        ]);
        assert_eq!(filter(&some), Some(json!({ "type": types })));
        assert_eq!(filter(&Subscription::new("all", Events::All)), None);
    }

    #[test]
    fn policies_are_compared_by_what_they_say() {
        assert!(same("60", "60"));
        assert!(same(r#"{"b": 1, "a": [2]}"#, r#"{"a":[2],"b":1}"#));
        assert!(!same(r#"{"a":[2]}"#, r#"{"a":[3]}"#));
        assert!(!same("not json", "nor this"));
    }
}
