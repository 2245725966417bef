//! Dead letters: put aside, listed.

use std::{cmp::Reverse, collections::HashSet};

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName as Known,
};
use chrono::DateTime;
use waybill_events::Event;
use waybill_messaging::{DeadLetter, DeadLetterId, Error, Result, Subscription};

use super::{MOST_PER_REQUEST, Shared, Subscribed, lease::Lease, most_receives, number};
use crate::error::port_error;

/// Message attributes of a dead letter that Waybill itself has sent. Its body is the delivery's,
/// so that SQS's own redrive works on it too.
const REASON: &str = "reason";
const RECEIVES: &str = "receives";
/// Of a reason, in bytes. A message holds 1 MiB, its attributes included.
const LONGEST_REASON: usize = 4 * 1024;
/// Dead letters that are looked at. A queue gives them in no order, and hides what it gave.
pub(super) const MOST_READ: usize = 1_000;
/// How long they are hidden from others meanwhile, in seconds: longer than reading them all takes.
const HIDDEN: i32 = 30;
/// A short poll would ask a part of SQS's hosts only.
const POLL: i32 = 1;

impl Shared {
    pub(super) async fn bury(&self, queue: &Subscribed, lease: &Lease, reason: &str) -> Result<()> {
        let receives = lease.receives.to_string();
        self.sqs
            .send_message()
            .queue_url(&queue.dead_url)
            .message_body(&*lease.body)
            .message_attributes(REASON, attribute("String", sendable(reason))?)
            .message_attributes(RECEIVES, attribute("Number", receives)?)
            .send()
            .await
            .map_err(|error| port_error("SQS does not take a dead letter", error))?;
        Ok(())
    }

    pub(super) async fn dead_letters(
        &self,
        queue: &Subscribed,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        let mut read = Vec::new();
        let outcome = self.read(queue, &mut read, |_| false).await;
        self.show_again(queue, &read).await;
        outcome?;
        let letters = read.into_iter();
        let mut letters: Vec<_> = letters
            .map(|message| letter(&queue.subscription, message))
            .collect();
        letters.sort_by_key(|letter| Reverse(letter.died_at));
        letters.truncate(limit);
        Ok(letters)
    }

    /// Adds what is in the dead-letter queue to `read`, until all is, or `enough` is found.
    pub(super) async fn read(
        &self,
        queue: &Subscribed,
        read: &mut Vec<Message>,
        enough: impl Fn(&Message) -> bool,
    ) -> Result<()> {
        let mut seen = HashSet::new();
        while read.len() < MOST_READ {
            let some = self.some_letters(queue).await?;
            let news = some.len();
            // SQS may give one twice, and then only the later handle is good.
            for message in some {
                if let Some(id) = message.message_id()
                    && !seen.insert(id.to_owned())
                {
                    read.retain(|other| other.message_id() != Some(id));
                }
                read.push(message);
            }
            if news == 0 || read.iter().rev().take(news).any(&enough) {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn some_letters(&self, queue: &Subscribed) -> Result<Vec<Message>> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(&queue.dead_url)
            .max_number_of_messages(i32::try_from(MOST_PER_REQUEST).unwrap_or(1))
            .wait_time_seconds(POLL)
            .visibility_timeout(HIDDEN)
            .message_system_attribute_names(Known::SentTimestamp)
            .message_system_attribute_names(Known::DeadLetterQueueSourceArn)
            .message_attribute_names(REASON)
            .message_attribute_names(RECEIVES)
            .send()
            .await
            .map_err(|error| port_error("SQS cannot give the dead letters", error))?;
        Ok(received.messages.unwrap_or_default())
    }

    /// What is not shown again by this shows itself soon.
    pub(super) async fn show_again(&self, queue: &Subscribed, messages: &[Message]) {
        for some in messages.chunks(MOST_PER_REQUEST) {
            let entries = some.iter().enumerate().map(|(at, message)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(at.to_string())
                    .set_receipt_handle(message.receipt_handle.clone())
                    .visibility_timeout(0)
                    .build()
            });
            let Ok(entries) = entries.collect::<Result<Vec<_>, _>>() else {
                continue;
            };
            let shown = self
                .sqs
                .change_message_visibility_batch()
                .queue_url(&queue.dead_url)
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(|error| port_error("SQS cannot show dead letters again", error));
            let (failed, error) = match shown {
                Ok(shown) => (shown.failed.len(), None),
                Err(error) => (some.len(), Some(error)),
            };
            if failed > 0 {
                tracing::warn!(
                    subscription = queue.subscription.name,
                    letters = failed,
                    hidden_s = HIDDEN,
                    error = error.as_ref().map(|error| error as &dyn std::error::Error),
                    "dead letters stay hidden for a while"
                );
            }
        }
    }
}

/// SQS keeps neither the reason nor the time of what it put aside itself, and counts the reads of
/// dead letters as receives: the time is when the event was sent. What the topic put aside was
/// never in the queue.
fn letter(subscription: &Subscription, message: Message) -> DeadLetter {
    let by_sqs = message
        .attributes()
        .is_some_and(|known| known.contains_key(&Known::DeadLetterQueueSourceArn));
    let told = |name: &str| {
        let value = message.message_attributes()?.get(name)?;
        value.string_value().filter(|_| !by_sqs)
    };
    let receives = told(RECEIVES).and_then(|text| text.parse().ok());
    let most = if by_sqs {
        most_receives(subscription)
    } else {
        0
    };
    let receives = receives.unwrap_or(most);
    let reason = match told(REASON) {
        Some(reason) => reason.to_owned(),
        None if by_sqs => format!("received {receives} times without an end"),
        None => "the topic could not deliver it".to_owned(),
    };
    let sent = number(&message, &Known::SentTimestamp);
    let body = message.body.unwrap_or_default();
    DeadLetter {
        id: DeadLetterId(message.message_id.unwrap_or_default()),
        event: Event::from_json(body.as_bytes()).ok(),
        body,
        reason,
        receives,
        died_at: sent
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or_default(),
    }
}

fn attribute(kind: &str, value: String) -> Result<MessageAttributeValue> {
    MessageAttributeValue::builder()
        .data_type(kind)
        .string_value(value)
        .build()
        .map_err(|error| Error::broken("a message attribute is incomplete", error))
}

/// A reason that SQS takes: not empty, not long, and of the characters that XML 1.0 knows.
fn sendable(reason: &str) -> String {
    let plain = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    let mut text = String::new();
    for c in reason.chars() {
        let c = if plain(c) {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        };
        if text.len() + c.len_utf8() > LONGEST_REASON {
            break;
        }
        text.push(c);
    }
    if text.is_empty() {
        "no reason was given".clone_into(&mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use waybill_messaging::Events;

    use super::*;

    /// SQS's own tools redrive a letter with the attributes of its first death.
    #[test]
    fn the_reason_of_an_earlier_death_is_not_told() {
        let subscription = Subscription::new("one", Events::All);
        let ours = Message::builder()
            .body("{")
            .attributes(Known::SentTimestamp, "1780000000123")
            .message_attributes(REASON, attribute("String", "poison".to_owned()).unwrap())
            .message_attributes(RECEIVES, attribute("Number", "3".to_owned()).unwrap());
        let told = letter(&subscription, ours.clone().build());
        assert_eq!((told.reason.as_str(), told.receives), ("poison", 3));
        assert_eq!(told.died_at.timestamp_millis(), 1_780_000_000_123);
        let again = ours.attributes(Known::DeadLetterQueueSourceArn, "arn");
        let told = letter(&subscription, again.build());
        let expected = ("received 901 times without an end", 901);
        assert_eq!((told.reason.as_str(), told.receives), expected);
    }

    /// Raw, with the attributes of its publication.
    #[test]
    fn what_was_never_delivered_says_so() {
        let subscription = Subscription::new("one", Events::All);
        let body = Message::builder().body("{");
        let kind = attribute("String", "dev.waybill.circuit.opened.v1".to_owned());
        let told = letter(
            &subscription,
            body.message_attributes("type", kind.unwrap()).build(),
        );
        let expected = ("the topic could not deliver it", 0);
        assert_eq!((told.reason.as_str(), told.receives), expected);
    }

    #[test]
    fn a_reason_is_made_sendable() {
        assert_eq!(
            sendable("žádný\tdůvod: 'none' 🐎"),
            "žádný\tdůvod: 'none' 🐎"
        );
        assert_eq!(
            sendable("a\0b\u{b}c\u{ffff}"),
            "a\u{fffd}b\u{fffd}c\u{fffd}"
        );
        assert_eq!(sendable(""), "no reason was given");
        let long = sendable(&"ž".repeat(LONGEST_REASON));
        assert_eq!(long.len(), LONGEST_REASON);
    }
}
