//! Events onto the topic.

use std::collections::HashSet;

use aws_sdk_sns::types::{BatchResultErrorEntry, MessageAttributeValue, PublishBatchRequestEntry};
use waybill_messaging::{Error, Result};

use super::{
    item::incomplete,
    outbox::Message,
    schema::{KIND, TENANT},
};
use crate::{
    Clients,
    coalesce::{Coalescer, Limits, for_each},
    error::port_error,
};

/// Quotas of SNS: entries of a batch, and bytes of it, names and values of attributes included.
const MAX_ENTRIES: usize = 10;
const MAX_BATCH: usize = 256 * 1024;
/// Room for an event's attributes.
const ATTRIBUTES: usize = 1024;
/// The largest event that fits a message, in bytes.
pub(super) const MAX_EVENT: usize = MAX_BATCH - ATTRIBUTES;

const LIMITS: Limits<Message> = Limits {
    entries: MAX_ENTRIES,
    bytes: MAX_BATCH,
    size: |message| message.body.len() + ATTRIBUTES,
};

#[derive(Clone, Debug)]
pub(super) struct Publisher {
    topic: Topic,
    /// For commits that are under way at the same time.
    together: Coalescer<Message, Result<()>>,
}

#[derive(Clone, Debug)]
struct Topic {
    sns: aws_sdk_sns::Client,
    arn: String,
}

#[derive(Default)]
pub(super) struct Published {
    /// Those that are on the topic.
    pub(super) messages: Vec<Message>,
    /// Why SNS did not take some, if there are such: they alone are at fault.
    pub(super) refused: Option<Error>,
    /// Why the rest was not tried to the end.
    pub(super) stopped: Option<Error>,
}

impl Publisher {
    /// `topic`: its ARN.
    pub(super) fn new(clients: &Clients, topic: String) -> Self {
        let topic = Topic {
            sns: clients.sns.clone(),
            arn: topic,
        };
        let its = topic.clone();
        let together = Coalescer::new(LIMITS, move |messages: Vec<Message>| {
            let topic = its.clone();
            async move {
                let outcome = topic.publish(&messages).await;
                outcome.unwrap_or_else(|error| for_each(error, messages.len()))
            }
        });
        Self { topic, together }
    }

    /// In the company of what other commits publish at this moment.
    pub(super) async fn announce(&self, messages: &[Message]) -> Published {
        let asked = self.together.ask_all(messages.iter().cloned()).await;
        let mut published = Published::default();
        for (message, outcome) in messages.iter().zip(asked) {
            published.tell(message, outcome.flatten());
        }
        published
    }

    /// Ends with the first batch that fails as a whole: the next would fail as well. An event may
    /// be on the topic twice, when only the answer was lost.
    pub(super) async fn publish(&self, messages: &[Message]) -> Published {
        let mut published = Published::default();
        for batch in batches(messages) {
            match self.topic.publish(batch).await {
                Ok(outcomes) => {
                    for (message, outcome) in batch.iter().zip(outcomes) {
                        published.tell(message, outcome);
                    }
                }
                Err(error) => {
                    published.stopped = Some(error);
                    break;
                }
            }
        }
        published
    }
}

impl Published {
    fn tell(&mut self, message: &Message, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.messages.push(message.clone()),
            Err(error) => {
                self.refused.get_or_insert(error);
            }
        }
    }
}

impl Topic {
    /// One request; what became of each message. [`Err`]: nobody knows.
    async fn publish(&self, batch: &[Message]) -> Result<Vec<Result<()>>> {
        let entries = batch
            .iter()
            .enumerate()
            .map(|(at, message)| entry(at, message));
        let answer = self
            .sns
            .publish_batch()
            .topic_arn(&self.arn)
            .set_publish_batch_request_entries(Some(entries.collect::<Result<_>>()?))
            .send()
            .await
            .map_err(|error| port_error("events cannot be published", error))?;
        let accepted = answer.successful().iter();
        let accepted = accepted.filter_map(|entry| entry.id()?.parse::<usize>().ok());
        let accepted: HashSet<usize> = accepted.collect();
        let outcome = |at| {
            if accepted.contains(&at) {
                Ok(())
            } else {
                Err(refused(answer.failed(), at))
            }
        };
        Ok((0..batch.len()).map(outcome).collect())
    }
}

/// Why the entry at this place is not on the topic.
fn refused(failed: &[BatchResultErrorEntry], at: usize) -> Error {
    let said = failed.iter().find(|entry| entry.id() == at.to_string());
    let said = said.map_or_else(
        || "it is not in the answer".to_owned(),
        |entry| format!("{}: {}", entry.code(), entry.message().unwrap_or_default()),
    );
    Error::unavailable("SNS refuses an event", said)
}

/// The entry's id is its place: an event's id may have characters that SNS does not take there.
fn entry(at: usize, message: &Message) -> Result<PublishBatchRequestEntry> {
    let body = str::from_utf8(&message.body)
        .map_err(|error| Error::broken("an event is not UTF-8", error))?;
    PublishBatchRequestEntry::builder()
        .id(at.to_string())
        .message(body)
        .message_attributes(KIND, attribute(&message.kind)?)
        .message_attributes(TENANT, attribute(&message.tenant)?)
        .build()
        .map_err(incomplete)
}

fn attribute(value: &str) -> Result<MessageAttributeValue> {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .map_err(incomplete)
}

/// As few as the quotas allow, in order.
fn batches(mut messages: &[Message]) -> impl Iterator<Item = &[Message]> {
    std::iter::from_fn(move || {
        let mut size = 0;
        let fits = |message: &&Message| {
            size += message.body.len() + ATTRIBUTES;
            size <= MAX_BATCH
        };
        let count = messages.iter().take(MAX_ENTRIES).take_while(fits).count();
        // One that is too large goes alone, and SNS says so.
        let (batch, rest) = messages.split_at_checked(count.max(1))?;
        messages = rest;
        Some(batch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(bodies: &[usize]) -> Vec<usize> {
        let message = |size: &usize| Message {
            id: String::new(),
            kind: String::new(),
            tenant: String::new(),
            body: vec![b'x'; *size].into(),
        };
        let messages: Vec<Message> = bodies.iter().map(message).collect();
        batches(&messages).map(<[Message]>::len).collect()
    }

    #[test]
    fn a_batch_keeps_to_both_quotas() {
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[10; 25]), [10, 10, 5]);
        assert_eq!(sizes(&[100_000; 5]), [2, 2, 1]);
        assert_eq!(sizes(&[10, MAX_EVENT, 10]), [1, 1, 1]);
        assert_eq!(sizes(&[10, MAX_EVENT + 1, 10]), [1, 1, 1]);
    }
}
