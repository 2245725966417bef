//! The queue, on SNS and SQS.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_sqs::{
    operation::get_queue_url::GetQueueUrlError,
    types::{Message, MessageSystemAttributeName as Known},
};
use futures::future::try_join_all;
use tokio::{
    time::{Instant, sleep},
    try_join,
};
use waybill_events::Event;
use waybill_messaging::{
    Clock, DeadLetter, DeadLetterId, Delivery, Depth, Error, Queue, Receipt, Result, Settlement,
    Subscription,
};

pub use self::adopt::Arrived;
pub(crate) use self::lease::seconds;
use self::{age::Oldest, lease::Leases, together::Requests};
use crate::{Clients, Names, error::port_error};

mod adopt;
mod age;
mod lease;
mod letters;
mod redrive;
mod settle;
mod together;

/// One request gives no more; a limit of SQS.
const MOST_PER_REQUEST: usize = 10;
/// The longest that SQS holds a request open.
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// SQS waits whole seconds. A wait of less asks again so often.
const SHORT_POLL: Duration = Duration::from_millis(100);

/// [`Queue`] over one SQS queue and one dead-letter queue per subscription. Cheap to clone.
///
/// - Timeouts and retries of requests: those of [`Clients`]. A request that was repeated because
///   its answer was lost does no harm: receives come again, and settling twice answers
///   [`Error::LeaseLost`].
/// - Leases are known to the process that received the delivery, and to no other: SQS alone would
///   let a consumer delete what is no longer its own.
/// - A retry or lease lasts at most 12 hours from the receive, a limit of SQS.
/// - `wait` is served in whole seconds by long polls; of less than one, by short polls, which may
///   overlook what is there.
#[derive(Clone)]
pub struct SqsQueue(Arc<Shared>);

struct Shared {
    sqs: aws_sdk_sqs::Client,
    queues: HashMap<&'static str, Subscribed>,
    clock: Clock,
}

/// A subscription and what belongs to it.
struct Subscribed {
    subscription: Subscription,
    url: String,
    dead_url: String,
    requests: Requests,
    leases: Leases,
    oldest: Oldest,
}

impl SqsQueue {
    /// Finds the queues of `topology`. [`Error::Unknown`] where one was never made.
    pub async fn open(clients: &Clients, names: &Names, topology: &[Subscription]) -> Result<Self> {
        let sqs = clients.sqs.clone();
        let queues = topology.iter().map(|subscription| {
            let sqs = &sqs;
            async move {
                let name = subscription.name;
                let (queue, dead) = (names.queue(name), names.dead_letter_queue(name));
                let (url, dead_url) = try_join!(known(sqs, &queue), known(sqs, &dead))?;
                let subscribed = Subscribed {
                    subscription: *subscription,
                    requests: Requests::new(sqs, &url),
                    url,
                    dead_url,
                    leases: Leases::default(),
                    oldest: Oldest::default(),
                };
                Ok::<_, Error>((name, subscribed))
            }
        });
        let queues = try_join_all(queues).await?.into_iter().collect();
        let clock = Clock::system();
        Ok(Self(Arc::new(Shared { sqs, queues, clock })))
    }

    /// Sends a body that is perhaps no event to one subscription, past the ports: for tests.
    #[doc(hidden)]
    pub async fn inject(&self, subscription: &str, body: String) -> Result<()> {
        let queue = self.0.queue(subscription)?;
        self.0.send(&queue.url, body).await
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn receive(
        &self,
        subscription: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let queue = self.0.queue(subscription)?;
        let end = Instant::now() + wait;
        let mut left = wait;
        loop {
            let poll = left.min(LONGEST_POLL).as_secs();
            let deliveries = self.0.deliveries(queue, max.max(1), poll).await?;
            left = end.saturating_duration_since(Instant::now());
            // After a long poll, what is left of a second is not worth a request.
            if !deliveries.is_empty() || left.is_zero() || (poll > 0 && left.as_secs() == 0) {
                return Ok(deliveries);
            }
            if poll == 0 {
                sleep(left.min(SHORT_POLL)).await;
            }
        }
    }

    async fn extend(&self, receipt: &Receipt) -> Result<()> {
        self.0.extend(receipt).await
    }

    async fn settle(&self, receipt: &Receipt, settlement: Settlement) -> Result<()> {
        self.0.settle(receipt, settlement).await
    }

    /// As SQS counts, which may be a minute behind. A delivery that waits for its retry counts as
    /// leased. `oldest_ms` is what this process has seen (see the crate's page), 0 where it has
    /// seen nothing.
    async fn depth(&self, subscription: &str) -> Result<Depth> {
        self.0.depth(self.0.queue(subscription)?).await
    }

    /// Of the first 1,000 that SQS gives. Takes a second: only a long poll sees all of them.
    async fn dead_letters(&self, subscription: &str, limit: usize) -> Result<Vec<DeadLetter>> {
        let queue = self.0.queue(subscription)?;
        self.0.dead_letters(queue, limit).await
    }

    async fn redrive(&self, subscription: &str, id: &DeadLetterId) -> Result<()> {
        let queue = self.0.queue(subscription)?;
        self.0.redrive(queue, id).await
    }

    /// `StartMessageMoveTask`, which goes on after this returns. Counted as SQS counts.
    async fn redrive_all(&self, subscription: &str) -> Result<u64> {
        self.0.redrive_all(self.0.queue(subscription)?).await
    }
}

impl Shared {
    fn queue(&self, subscription: &str) -> Result<&Subscribed> {
        let unknown = || Error::Unknown(format!("subscription {subscription}"));
        self.queues.get(subscription).ok_or_else(unknown)
    }

    /// Up to `max`, after a poll of so many seconds. A request that came back full is followed by
    /// another; one that did not has emptied the queue, or nearly.
    async fn deliveries(
        &self,
        queue: &Subscribed,
        max: usize,
        mut poll: u64,
    ) -> Result<Vec<Delivery>> {
        let max = max.min(queue.leases.room()?);
        let mut deliveries = Vec::new();
        loop {
            let asked = (max - deliveries.len()).min(MOST_PER_REQUEST);
            let messages = match self.messages(queue, asked, poll).await {
                Ok(messages) => messages,
                Err(error) if deliveries.is_empty() => return Err(error),
                // Those that are here are leased to us, and are worked on.
                Err(error) => {
                    tracing::warn!(
                        subscription = queue.subscription.name,
                        error = &error as &dyn std::error::Error,
                        "cannot receive more"
                    );
                    return Ok(deliveries);
                }
            };
            if messages.is_empty() && poll > 0 {
                queue.oldest.none(self.clock.now());
            }
            let full = messages.len() == asked;
            for message in messages {
                deliveries.extend(self.delivery(queue, message).await);
            }
            // Where all were put aside, the caller's wait bounds how long that goes on.
            if !full || deliveries.is_empty() || deliveries.len() >= max {
                return Ok(deliveries);
            }
            poll = 0;
        }
    }

    async fn messages(&self, queue: &Subscribed, asked: usize, poll: u64) -> Result<Vec<Message>> {
        let lease = lease::seconds(queue.subscription.lease);
        let received = self
            .sqs
            .receive_message()
            .queue_url(&queue.url)
            .max_number_of_messages(i32::try_from(asked).unwrap_or(1))
            .wait_time_seconds(i32::try_from(poll).unwrap_or(0))
            .visibility_timeout(lease)
            .message_system_attribute_names(Known::ApproximateReceiveCount)
            .message_system_attribute_names(Known::SentTimestamp)
            .send()
            .await
            .map_err(|error| port_error("SQS cannot receive", error))?;
        Ok(received.messages.unwrap_or_default())
    }

    /// `None`: it was no event and is put aside.
    async fn delivery(&self, queue: &Subscribed, message: Message) -> Option<Delivery> {
        let name = queue.subscription.name;
        let receives = number(&message, &Known::ApproximateReceiveCount);
        let receives = receives
            .and_then(|count| count.try_into().ok())
            .unwrap_or(1);
        let sent = number(&message, &Known::SentTimestamp);
        queue.oldest.received(receives, sent);
        let (Some(id), Some(handle), Some(body)) =
            (message.message_id, message.receipt_handle, message.body)
        else {
            tracing::error!(subscription = name, "SQS gave a message without its parts");
            return None;
        };
        let event = Event::from_json(body.as_bytes());
        let receipt = queue
            .leases
            .hold(&queue.subscription, &id, &handle, body, receives);
        let read = self.hand_over(event, &id, receives, receipt).await;
        read.unwrap_or_else(|error| {
            tracing::warn!(
                subscription = name,
                error = &error as &dyn std::error::Error,
                "cannot put aside what is no event; it comes again"
            );
            None
        })
    }

    /// What is held, as a delivery. `None`: it was no event and is put aside; the error is of that.
    async fn hand_over(
        &self,
        event: Result<Event, impl std::fmt::Display>,
        id: &str,
        receives: u32,
        receipt: Receipt,
    ) -> Result<Option<Delivery>> {
        match event {
            Ok(event) => Ok(Some(Delivery {
                event: Arc::new(event),
                receives,
                receipt,
            })),
            Err(error) => {
                let (subscription, reason) = (receipt.subscription, error.to_string());
                tracing::error!(subscription, message.id = id, reason, "dead letter");
                let buried = Settlement::DeadLetter { reason };
                self.settle(&receipt, buried).await?;
                Ok(None)
            }
        }
    }

    async fn send(&self, url: &str, body: String) -> Result<()> {
        let sent = self.sqs.send_message().queue_url(url).message_body(body);
        sent.send()
            .await
            .map_err(|error| port_error("SQS does not take a message", error))?;
        Ok(())
    }
}

/// Receives before SQS itself puts a delivery aside: one more than `dispatch` uses, and no more than
/// SQS counts to.
pub fn most_receives(subscription: &Subscription) -> u32 {
    subscription.max_receives.saturating_add(1).min(1_000)
}

/// The URL of the queue with this name, where there is one.
pub(crate) async fn find(sqs: &aws_sdk_sqs::Client, name: &str) -> Result<Option<String>> {
    match sqs.get_queue_url().queue_name(name).send().await {
        Ok(found) => Ok(found.queue_url),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(GetQueueUrlError::is_queue_does_not_exist) =>
        {
            Ok(None)
        }
        Err(error) => Err(port_error("SQS cannot tell where a queue is", error)),
    }
}

async fn known(sqs: &aws_sdk_sqs::Client, name: &str) -> Result<String> {
    let unknown = || Error::Unknown(format!("SQS queue {name}"));
    find(sqs, name).await?.ok_or_else(unknown)
}

/// Of what SQS tells about a message.
fn number(message: &Message, name: &Known) -> Option<i64> {
    message.attributes()?.get(name)?.parse().ok()
}
