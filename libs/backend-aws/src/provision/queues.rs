//! The topic, and each subscription's queue and dead-letter queue.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_sns::operation::{
    get_topic_attributes::GetTopicAttributesError,
    list_subscriptions_by_topic::ListSubscriptionsByTopicError,
};
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use serde_json::{Value, json};
use waybill_messaging::{Error, Events, Result, Subscription};

use super::{Difference, Removed, Resource, State};
use crate::{
    Clients, Names, Place,
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
/// Settings of SNS's subscriptions.
const RAW: &str = "RawMessageDelivery";
const FILTER: &str = "FilterPolicy";
const REDRIVE: &str = "RedrivePolicy";

/// Every event goes through it.
pub(super) struct Topic {
    name: String,
    arn: String,
}

impl Topic {
    pub(super) fn new(place: &Place, names: &Names) -> Self {
        let name = names.topic();
        Self {
            arn: place.arn("sns", &name),
            name,
        }
    }
}

#[async_trait]
impl Resource for Topic {
    fn name(&self) -> String {
        format!("topic {}", self.name)
    }

    async fn state(&self, clients: &Clients) -> Result<State> {
        let there = clients.sns.get_topic_attributes().topic_arn(&self.arn);
        match there.send().await {
            Ok(_) => Ok(State::AsDescribed),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetTopicAttributesError::is_not_found_exception) =>
            {
                Ok(State::Missing)
            }
            Err(error) => Err(port_error("SNS cannot describe the topic", error)),
        }
    }

    async fn make(&self, clients: &Clients) -> Result<()> {
        let made = clients.sns.create_topic().name(&self.name).send().await;
        made.map_err(|error| port_error("SNS cannot make the topic", error))?;
        Ok(())
    }

    async fn mend(&self, _: &Clients, _: &[Difference]) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, clients: &Clients) -> Result<Removed> {
        if self.state(clients).await? == State::Missing {
            return Ok(Removed::WasNotThere);
        }
        let gone = clients.sns.delete_topic().topic_arn(&self.arn).send().await;
        gone.map_err(|error| port_error("SNS cannot remove the topic", error))?;
        Ok(Removed::Gone)
    }
}

/// A queue, and what it is to have of settings.
pub(super) struct Queue {
    name: String,
    settings: Vec<(Attribute, String)>,
}

impl Queue {
    /// The topic puts there what it cannot deliver.
    pub(super) fn of_dead_letters(
        place: &Place,
        names: &Names,
        subscription: &Subscription,
    ) -> Self {
        let name = names.dead_letter_queue(subscription.name);
        let mut settings = kept();
        settings.push((Attribute::Policy, only_the_topic(place, names, &name)));
        Self { name, settings }
    }

    pub(super) fn of(place: &Place, names: &Names, subscription: &Subscription) -> Self {
        let name = names.queue(subscription.name);
        let redrive = json!({
            "deadLetterTargetArn": place.arn("sqs", &names.dead_letter_queue(subscription.name)),
            "maxReceiveCount": most_receives(subscription),
        });
        let lease = seconds(subscription.lease);
        let mut settings = kept();
        settings.extend([
            (Attribute::VisibilityTimeout, lease.to_string()),
            (Attribute::ReceiveMessageWaitTimeSeconds, WAIT.to_string()),
            (Attribute::RedrivePolicy, redrive.to_string()),
            (Attribute::Policy, only_the_topic(place, names, &name)),
        ]);
        Self { name, settings }
    }

    async fn url(&self, clients: &Clients) -> Result<String> {
        let unknown = || Error::Unknown(format!("SQS queue {}", self.name));
        find(&clients.sqs, &self.name).await?.ok_or_else(unknown)
    }
}

/// Who may send to a queue, besides whoever IAM allows it.
fn only_the_topic(place: &Place, names: &Names, queue: &str) -> String {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "OnlyTheTopic",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": place.arn("sqs", queue),
            "Condition": {"ArnEquals": {"aws:SourceArn": place.arn("sns", &names.topic())}},
        }],
    });
    policy.to_string()
}

/// What every queue has.
fn kept() -> Vec<(Attribute, String)> {
    vec![
        (Attribute::MessageRetentionPeriod, RETENTION.to_string()),
        (Attribute::SqsManagedSseEnabled, true.to_string()),
    ]
}

#[async_trait]
impl Resource for Queue {
    fn name(&self) -> String {
        format!("queue {}", self.name)
    }

    async fn state(&self, clients: &Clients) -> Result<State> {
        let Some(url) = find(&clients.sqs, &self.name).await? else {
            return Ok(State::Missing);
        };
        let there = clients.sqs.get_queue_attributes().queue_url(url);
        let there = there.attribute_names(Attribute::All).send().await;
        let there = there.map_err(|error| port_error("SQS cannot describe a queue", error))?;
        let there = there.attributes.unwrap_or_default();
        let settings = self.settings.iter().map(|(name, described)| {
            let there = there.get(name).map_or("", String::as_str);
            let there = if *name == Attribute::VisibilityTimeout {
                at_least(there, described)
            } else {
                there
            };
            (known(name), there.to_owned(), described.clone())
        });
        Ok(State::compared(settings))
    }

    async fn make(&self, clients: &Clients) -> Result<()> {
        let made = clients.sqs.create_queue().queue_name(&self.name);
        let made = made.set_attributes(Some(self.settings.iter().cloned().collect()));
        let made = made.send().await;
        made.map_err(|error| port_error("SQS cannot make a queue", error))?;
        Ok(())
    }

    async fn mend(&self, clients: &Clients, differences: &[Difference]) -> Result<()> {
        let wanted = differences.iter();
        let wanted = wanted.map(|d| (Attribute::from(d.setting), d.described.clone()));
        clients
            .sqs
            .set_queue_attributes()
            .queue_url(self.url(clients).await?)
            .set_attributes(Some(wanted.collect()))
            .send()
            .await
            .map_err(|error| port_error("SQS does not take a queue's attributes", error))?;
        Ok(())
    }

    async fn remove(&self, clients: &Clients) -> Result<Removed> {
        let Some(url) = find(&clients.sqs, &self.name).await? else {
            return Ok(Removed::WasNotThere);
        };
        let gone = clients.sqs.delete_queue().queue_url(url).send().await;
        gone.map_err(|error| port_error("SQS cannot remove a queue", error))?;
        Ok(Removed::Gone)
    }
}

/// A consumer asks for its own lease; that of a queue may be longer, as a function's must be.
fn at_least<'a>(there: &'a str, described: &'a str) -> &'a str {
    match (there.parse::<u32>(), described.parse::<u32>()) {
        (Ok(is), Ok(least)) if is >= least => described,
        _ => there,
    }
}

/// The names that are used here live as long as the program.
fn known(name: &Attribute) -> &'static str {
    match name {
        Attribute::MessageRetentionPeriod => "MessageRetentionPeriod",
        Attribute::SqsManagedSseEnabled => "SqsManagedSseEnabled",
        Attribute::VisibilityTimeout => "VisibilityTimeout",
        Attribute::ReceiveMessageWaitTimeSeconds => "ReceiveMessageWaitTimeSeconds",
        Attribute::RedrivePolicy => "RedrivePolicy",
        _ => "Policy",
    }
}

/// A queue's subscription to the topic.
pub(super) struct Subscribed {
    name: String,
    topic: String,
    queue: String,
    filter: String,
    /// Where SNS puts what it cannot deliver: at once where the queue is not there or refuses it,
    /// after 23 days of tries otherwise (the manual of SNS, "Message delivery retries").
    redrive: String,
}

impl Subscribed {
    pub(super) fn new(place: &Place, names: &Names, subscription: &Subscription) -> Self {
        let filter = filter(subscription);
        let dead_letters = place.arn("sqs", &names.dead_letter_queue(subscription.name));
        Self {
            name: subscription.name.to_owned(),
            topic: place.arn("sns", &names.topic()),
            queue: place.arn("sqs", &names.queue(subscription.name)),
            filter: filter.map_or_else(|| NO_FILTER.to_owned(), |filter| filter.to_string()),
            redrive: json!({ "deadLetterTargetArn": dead_letters }).to_string(),
        }
    }

    /// SNS's name of it. `None`: the queue is not subscribed.
    async fn arn(&self, clients: &Clients) -> Result<Option<String>> {
        let list = clients
            .sns
            .list_subscriptions_by_topic()
            .topic_arn(&self.topic);
        let mut pages = list.into_paginator().items().send();
        while let Some(one) = pages.next().await {
            let one = match one {
                Ok(one) => one,
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(ListSubscriptionsByTopicError::is_not_found_exception) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(port_error("SNS cannot list subscriptions", error)),
            };
            if one.endpoint.as_ref() == Some(&self.queue) {
                return Ok(one.subscription_arn);
            }
        }
        Ok(None)
    }

    async fn there(&self, clients: &Clients) -> Result<String> {
        let unknown = || Error::Unknown(format!("the subscription of {}", self.name));
        self.arn(clients).await?.ok_or_else(unknown)
    }
}

#[async_trait]
impl Resource for Subscribed {
    fn name(&self) -> String {
        format!("subscription {}", self.name)
    }

    async fn state(&self, clients: &Clients) -> Result<State> {
        let Some(arn) = self.arn(clients).await? else {
            return Ok(State::Missing);
        };
        let there = clients.sns.get_subscription_attributes();
        let there = there.subscription_arn(arn).send().await;
        let what = "SNS cannot describe a subscription";
        let there = there.map_err(|error| port_error(what, error))?;
        let there = there.attributes.unwrap_or_default();
        let value = |name, none: &str| there.get(name).map_or(none, String::as_str).to_owned();
        Ok(State::compared([
            (RAW, value(RAW, "false"), true.to_string()),
            (FILTER, value(FILTER, NO_FILTER), self.filter.clone()),
            (REDRIVE, value(REDRIVE, ""), self.redrive.clone()),
        ]))
    }

    /// With all of it from the first event on.
    async fn make(&self, clients: &Clients) -> Result<()> {
        let mut wanted = HashMap::from([
            (RAW.to_owned(), true.to_string()),
            (REDRIVE.to_owned(), self.redrive.clone()),
        ]);
        if self.filter != NO_FILTER {
            wanted.insert(FILTER.to_owned(), self.filter.clone());
        }
        let made = clients
            .sns
            .subscribe()
            .topic_arn(&self.topic)
            .protocol("sqs");
        let made = made.endpoint(&self.queue).set_attributes(Some(wanted));
        let made = made.send().await;
        made.map_err(|error| port_error("SNS cannot subscribe a queue", error))?;
        Ok(())
    }

    async fn mend(&self, clients: &Clients, differences: &[Difference]) -> Result<()> {
        let arn = self.there(clients).await?;
        for difference in differences {
            let set = clients.sns.set_subscription_attributes();
            let set = set
                .subscription_arn(&arn)
                .attribute_name(difference.setting);
            let set = set.attribute_value(&difference.described).send().await;
            let what = "SNS does not take a subscription's attributes";
            set.map_err(|error| port_error(what, error))?;
        }
        Ok(())
    }

    async fn remove(&self, clients: &Clients) -> Result<Removed> {
        let Some(arn) = self.arn(clients).await? else {
            return Ok(Removed::WasNotThere);
        };
        let gone = clients.sns.unsubscribe().subscription_arn(arn).send().await;
        gone.map_err(|error| port_error("SNS cannot remove a subscription", error))?;
        Ok(Removed::Gone)
    }
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
    fn a_longer_lease_is_as_good() {
        assert_eq!(at_least("360", "60"), "60");
        assert_eq!(at_least("7", "60"), "7");
        assert_eq!(at_least("", "60"), "");
    }
}
