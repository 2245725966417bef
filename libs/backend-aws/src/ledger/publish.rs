//! Events onto the topic.

use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use waybill_messaging::{Error, Result};

use super::{
    item::incomplete,
    outbox::Message,
    schema::{KIND, TENANT},
};
use crate::{Clients, error::port_error};

/// Quotas of SNS: entries of a batch, and bytes of it, names and values of attributes included.
const MAX_ENTRIES: usize = 10;
const MAX_BATCH: usize = 256 * 1024;
/// Room for an event's attributes.
const ATTRIBUTES: usize = 1024;
/// The largest event that fits a message, in bytes.
pub(super) const MAX_EVENT: usize = MAX_BATCH - ATTRIBUTES;

#[derive(Clone, Debug)]
pub(super) struct Publisher {
    sns: aws_sdk_sns::Client,
    topic: String,
}

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
        Self {
            sns: clients.sns.clone(),
            topic,
        }
    }

    /// Ends with the first batch that fails as a whole: the next would fail as well. An event may
    /// be on the topic twice, when only the answer was lost.
    pub(super) async fn publish(&self, messages: &[Message]) -> Published {
        let mut published = Published {
            messages: Vec::with_capacity(messages.len()),
            refused: None,
            stopped: None,
        };
        for batch in batches(messages) {
            match self.batch(batch, &mut published.messages).await {
                Ok(refused) => published.refused = published.refused.or(refused),
                Err(error) => {
                    published.stopped = Some(error);
                    break;
                }
            }
        }
        published
    }

    /// Gives why some entries were refused, if any were.
    async fn batch(
        &self,
        batch: &[Message],
        published: &mut Vec<Message>,
    ) -> Result<Option<Error>> {
        let entries = batch
            .iter()
            .enumerate()
            .map(|(at, message)| entry(at, message));
        let answer = self
            .sns
            .publish_batch()
            .topic_arn(&self.topic)
            .set_publish_batch_request_entries(Some(entries.collect::<Result<_>>()?))
            .send()
            .await
            .map_err(|error| port_error("events cannot be published", error))?;
        let accepted = answer.successful().iter();
        let accepted = accepted.filter_map(|entry| entry.id()?.parse::<usize>().ok());
        published.extend(accepted.filter_map(|at| batch.get(at).cloned()));
        let refused = answer.failed().first().map(|first| {
            let (code, message) = (first.code(), first.message().unwrap_or_default());
            Error::unavailable("SNS refuses an event", format!("{code}: {message}"))
        });
        Ok(refused)
    }
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
