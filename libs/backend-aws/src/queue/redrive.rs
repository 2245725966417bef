//! Dead letters, delivered again.

use aws_sdk_sqs::{
    error::ProvideErrorMetadata,
    types::{Message, QueueAttributeName},
};
use tokio::try_join;
use waybill_messaging::{DeadLetterId, Error, Result};

use super::{Shared, Subscribed, letters::MOST_READ};
use crate::error::port_error;

/// What those say that have no `StartMessageMoveTask`, and SQS where one is under way.
const NO_MOVES: &[&str] = &[
    "InvalidAction",
    "UnsupportedOperation",
    "AWS.SimpleQueueService.UnsupportedOperation",
];

impl Shared {
    pub(super) async fn redrive(&self, queue: &Subscribed, id: &DeadLetterId) -> Result<()> {
        let wanted = |message: &Message| message.message_id() == Some(&id.0);
        let mut read = Vec::new();
        let outcome = self.read(queue, &mut read, wanted).await;
        let found = read.iter().position(wanted).map(|at| read.swap_remove(at));
        self.show_again(queue, &read).await;
        let Some(found) = found else {
            outcome?;
            return Err(self.why_missing(queue, id, read.len()).await?);
        };
        let moved = self.move_back(queue, &found).await;
        if moved.is_err() {
            self.show_again(queue, std::slice::from_ref(&found)).await;
        }
        moved
    }

    /// By SQS itself, which goes on after this returns; one by one where it does not know how.
    pub(super) async fn redrive_all(&self, queue: &Subscribed) -> Result<u64> {
        let (from, to) = try_join!(self.arn(&queue.dead_url), self.arn(&queue.url))?;
        let letters = self.counts(&queue.dead_url).await?.ready;
        if letters == 0 {
            return Ok(0);
        }
        let started = self
            .sqs
            .start_message_move_task()
            .source_arn(from)
            .destination_arn(to)
            .send()
            .await;
        match started {
            Ok(_) => Ok(letters),
            Err(error) if error.code().is_some_and(|code| NO_MOVES.contains(&code)) => {
                self.move_all(queue, letters).await
            }
            Err(error) => Err(port_error("SQS cannot move the dead letters", error)),
        }
    }

    /// Up to `letters`: what dies again meanwhile does not keep this going.
    async fn move_all(&self, queue: &Subscribed, letters: u64) -> Result<u64> {
        let mut moved = 0;
        while moved < letters {
            let mut read = Vec::new();
            let outcome = self.read(queue, &mut read, |_| false).await;
            if read.is_empty() {
                outcome?;
                break;
            }
            while let Some(letter) = read.pop() {
                if let Err(error) = self.move_back(queue, &letter).await {
                    read.push(letter);
                    self.show_again(queue, &read).await;
                    return Err(error);
                }
                moved += 1;
            }
        }
        Ok(moved)
    }

    /// Where the deletion fails it may be delivered twice, and never not at all.
    async fn move_back(&self, queue: &Subscribed, letter: &Message) -> Result<()> {
        let body = letter.body().unwrap_or_default();
        self.send(&queue.url, body.to_owned()).await?;
        let handle = letter.receipt_handle().unwrap_or_default();
        self.delete(&queue.dead_url, handle).await
    }

    async fn arn(&self, url: &str) -> Result<String> {
        let name = QueueAttributeName::QueueArn;
        let told = self.sqs.get_queue_attributes().queue_url(url);
        let told = told.attribute_names(name.clone()).send().await;
        let told = told.map_err(|error| port_error("SQS cannot tell a queue's ARN", error))?;
        let arn = told
            .attributes()
            .and_then(|known| known.get(&name))
            .cloned();
        arn.ok_or_else(|| Error::broken("SQS cannot tell a queue's ARN", "it is not in the answer"))
    }

    /// Unknown, or with another reader, or behind more than are looked at.
    async fn why_missing(
        &self,
        queue: &Subscribed,
        id: &DeadLetterId,
        read: usize,
    ) -> Result<Error> {
        let what = "the dead letter was not found";
        if read >= MOST_READ {
            let first = format!("it is not among the first {MOST_READ}");
            return Ok(Error::unavailable(what, first));
        }
        Ok(match self.counts(&queue.dead_url).await?.leased {
            0 => Error::Unknown(format!("dead letter {}", id.0)),
            _ => Error::unavailable(what, "somebody else reads the dead letters now"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waybill_events::EventType;
    use waybill_messaging::{Events, Queue, Subscription};

    use crate::{Names, SqsQueue, script::Script};

    const ONE: Subscription =
        Subscription::new("one", Events::Only(&[EventType::ToolCallRequested]));

    async fn over(answers: &[(u16, serde_json::Value)]) -> (SqsQueue, Script) {
        let url = |name: &str| (200, json!({ "QueueUrl": format!("https://sqs/{name}") }));
        let opened = [url("one"), url("one-dlq")];
        let all = opened.iter().chain(answers);
        let answers = all
            .map(|(status, body)| (*status, body.to_string()))
            .collect();
        let (clients, script) = Script::clients(answers).await;
        let queue = SqsQueue::open(&clients, &Names::new("p"), &[ONE])
            .await
            .unwrap();
        (queue, script)
    }

    fn known(name: &str, letters: u32) -> [(u16, serde_json::Value); 3] {
        let arn = |name: String| (200, json!({ "Attributes": { "QueueArn": name } }));
        let count = json!({ "Attributes": { "ApproximateNumberOfMessages": letters.to_string() } });
        [
            arn(format!("arn:{name}-dlq")),
            arn(format!("arn:{name}")),
            (200, count),
        ]
    }

    /// No emulator of ours has the operation.
    #[tokio::test]
    async fn sqs_itself_moves_all_letters() {
        let started = (200, json!({ "TaskHandle": "task" }));
        let answers: Vec<_> = known("one", 7).into_iter().chain([started]).collect();
        let (queue, script) = over(&answers).await;
        assert_eq!(queue.redrive_all("one").await.unwrap(), 7);
        let asked = script.asked_json();
        let expected = json!({ "SourceArn": "arn:one-dlq", "DestinationArn": "arn:one" });
        assert_eq!(asked.last(), Some(&expected));
    }

    #[tokio::test]
    async fn a_refusal_is_told() {
        let refused = json!({ "__type": "AccessDenied", "message": "no" });
        let answers: Vec<_> = known("one", 7)
            .into_iter()
            .chain([(403, refused)])
            .collect();
        let (queue, _) = over(&answers).await;
        let refusal = queue.redrive_all("one").await.unwrap_err();
        assert!(
            matches!(refusal, waybill_messaging::Error::Refused { .. }),
            "{refusal:?}"
        );
    }
}
