//! An event source mapping: receives from a queue, calls a function with it, deletes what the
//! function does not give back.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use waybill_backend_aws::Clients;

use super::runtime::Function;
use crate::installation::Installation;

const PATIENCE: Duration = Duration::from_secs(30);
const MOST: i32 = 10;
/// Six times a function's time, in seconds.
const HIDDEN: i32 = 360;

pub(crate) struct Source {
    clients: Clients,
    url: String,
    arn: String,
}

impl Source {
    /// `name`: what follows the installation's prefix.
    pub(crate) async fn of(installation: &Installation, name: &str) -> Self {
        let clients = installation.clients().await;
        let queue = format!("{}-{name}", installation.prefix);
        let found = clients.sqs.get_queue_url().queue_name(&queue).send().await;
        Self {
            clients,
            url: found.unwrap().queue_url.unwrap(),
            arn: format!("arn:aws:sqs:eu-central-1:{}:{queue}", installation.account),
        }
    }

    /// So many records of an event, as Lambda has them.
    pub(crate) async fn take(&self, count: usize) -> Vec<Value> {
        let mut records = Vec::new();
        let until = Instant::now() + PATIENCE;
        while records.len() < count {
            assert!(Instant::now() < until, "{} of {count}", records.len());
            let room = i32::try_from(count - records.len()).unwrap();
            records.extend(self.receive(room.min(MOST)).await);
        }
        records
    }

    async fn receive(&self, most: i32) -> Vec<Value> {
        let receive = self.clients.sqs.receive_message().queue_url(&self.url);
        let received = receive
            .max_number_of_messages(most)
            .wait_time_seconds(1)
            .visibility_timeout(HIDDEN)
            .message_system_attribute_names("All".into())
            .send()
            .await
            .unwrap();
        let messages = received.messages.unwrap_or_default().into_iter();
        messages
            .map(|message| {
                let attributes = message.attributes().cloned().unwrap_or_default();
                let attributes: serde_json::Map<_, _> = attributes
                    .into_iter()
                    .map(|(name, value)| (name.as_str().to_owned(), json!(value)))
                    .collect();
                json!({
                    "messageId": message.message_id,
                    "receiptHandle": message.receipt_handle,
                    "body": message.body,
                    "attributes": attributes,
                    "messageAttributes": {},
                    "md5OfBody": message.md5_of_body,
                    "eventSource": "aws:sqs",
                    "eventSourceARN": self.arn,
                    "awsRegion": "eu-central-1",
                })
            })
            .collect()
    }

    /// Calls the function, and does what Lambda does after its answer. The places in the batch of
    /// what it gave back.
    pub(crate) async fn call(
        &self,
        function: &Function,
        records: &[Value],
        time: Duration,
    ) -> Vec<usize> {
        let answer = function.answer(&json!({ "Records": records }), time).await;
        let failures = answer["batchItemFailures"].as_array().unwrap();
        let failed: HashSet<&Value> = failures
            .iter()
            .map(|each| &each["itemIdentifier"])
            .collect();
        let (mut back, all) = (Vec::new(), records.iter().enumerate());
        for (place, record) in all {
            if failed.contains(&record["messageId"]) {
                back.push(place);
            } else {
                self.delete(record).await;
            }
        }
        assert_eq!(failed.len(), back.len(), "{answer}");
        back
    }

    async fn delete(&self, record: &Value) {
        let handle = record["receiptHandle"].as_str().unwrap();
        let delete = self.clients.sqs.delete_message().queue_url(&self.url);
        // What is deleted already is as good.
        drop(delete.receipt_handle(handle).send().await);
    }

    pub(crate) async fn send(&self, body: &str) {
        let send = self.clients.sqs.send_message().queue_url(&self.url);
        send.message_body(body).send().await.unwrap();
    }

    /// Waits until nothing is left, hidden or not.
    pub(crate) async fn empty(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let ask = self.clients.sqs.get_queue_attributes().queue_url(&self.url);
            let counts = ask.attribute_names("All".into()).send().await.unwrap();
            let left: u32 = counts
                .attributes()
                .unwrap()
                .iter()
                .filter(|(name, _)| name.as_str().starts_with("ApproximateNumberOfMessages"))
                .map(|(_, count)| count.parse::<u32>().unwrap())
                .sum();
            if left == 0 {
                return;
            }
            assert!(Instant::now() < until, "messages are left: {counts:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}
