//! Leases extended, deliveries settled and counted.

use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;
use waybill_messaging::{Depth, Error, Receipt, Result, Settlement};

use super::{Shared, Subscribed, lease};
use crate::error::port_error;

/// What SQS says of a receipt handle that is no longer good. A retired one may also be called an
/// invalid parameter.
const LOST: &[&str] = &[
    "ReceiptHandleIsInvalid",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
];

impl Shared {
    pub(super) async fn extend(&self, receipt: &Receipt) -> Result<()> {
        let queue = self.queue(receipt.subscription)?;
        let lease = queue.leases.held(receipt)?;
        let began = Instant::now();
        let seconds = lease.at_most(queue.subscription.lease);
        queue
            .requests
            .change(&lease.handle, seconds)
            .await
            .inspect_err(|error| forget_lost(queue, receipt, error))?;
        queue
            .leases
            .extended(receipt, began + lease::whole(seconds));
        Ok(())
    }

    /// A dead letter is sent before its delivery is deleted: a crash between leaves both.
    pub(super) async fn settle(&self, receipt: &Receipt, settlement: Settlement) -> Result<()> {
        let queue = self.queue(receipt.subscription)?;
        let lease = queue.leases.held(receipt)?;
        let settled = match settlement {
            Settlement::Done if lease.adopted => Ok(()),
            Settlement::Done => queue.requests.delete(&lease.handle).await,
            Settlement::Retry { after } => {
                let seconds = lease.at_most(after);
                queue.requests.change(&lease.handle, seconds).await
            }
            Settlement::DeadLetter { reason } => {
                self.bury(queue, &lease, &reason).await?;
                if lease.adopted {
                    queue.leases.forget(receipt);
                    return Ok(());
                }
                queue.requests.delete(&lease.handle).await
            }
        };
        match &settled {
            Ok(()) => queue.leases.forget(receipt),
            Err(error) => forget_lost(queue, receipt, error),
        }
        settled
    }

    /// One of a dead-letter queue.
    pub(super) async fn delete(&self, url: &str, handle: &str) -> Result<()> {
        let delete = self
            .sqs
            .delete_message()
            .queue_url(url)
            .receipt_handle(handle);
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(lost_or("SQS cannot delete a message", error)),
        }
    }

    pub(super) async fn depth(&self, queue: &Subscribed) -> Result<Depth> {
        let live = self.counts(&queue.url);
        let (live, dead) = tokio::try_join!(live, self.counts(&queue.dead_url))?;
        let now = self.clock.now();
        if live.ready == 0 {
            queue.oldest.none(now);
        }
        Ok(Depth {
            dead: dead.ready + dead.leased,
            oldest_ms: if live.ready == 0 {
                0
            } else {
                queue.oldest.age_ms(now)
            },
            ..live
        })
    }

    pub(super) async fn counts(&self, url: &str) -> Result<Depth> {
        let counted = self
            .sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            .send()
            .await
            .map_err(|error| port_error("SQS cannot count", error))?;
        let count = |name| {
            let text = counted.attributes()?.get(&name)?;
            text.parse::<u64>().ok()
        };
        let count = |name| count(name).unwrap_or(0);
        Ok(Depth {
            ready: count(QueueAttributeName::ApproximateNumberOfMessages),
            delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
            leased: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            ..Depth::default()
        })
    }
}

fn forget_lost(queue: &Subscribed, receipt: &Receipt, error: &Error) {
    if matches!(error, Error::LeaseLost) {
        queue.leases.forget(receipt);
    }
}

fn lost_or<E, R>(what: &'static str, error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let said = error.as_service_error();
    let code = said.and_then(ProvideErrorMetadata::code);
    let message = said.and_then(ProvideErrorMetadata::message);
    if is_lost(code, message) {
        Error::LeaseLost
    } else {
        port_error(what, error)
    }
}

/// Whether SQS says of a receipt handle that it is no longer good.
pub(super) fn is_lost(code: Option<&str>, message: Option<&str>) -> bool {
    code.is_some_and(|code| LOST.contains(&code))
        || message.is_some_and(|text| text.contains("for parameter ReceiptHandle is invalid"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::{
        error::ErrorMetadata, operation::change_message_visibility::ChangeMessageVisibilityError,
    };

    use super::*;

    /// As SQS words them; the emulator knows the first only.
    #[test]
    fn a_refused_handle_is_a_lost_lease_and_nothing_else_is() {
        let cases = [
            (
                "ReceiptHandleIsInvalid",
                "The input receipt handle is invalid.",
                true,
            ),
            ("AWS.SimpleQueueService.MessageNotInflight", "", true),
            (
                "InvalidParameterValue",
                "Value AQEB for parameter ReceiptHandle is invalid. Reason: Message does not \
                 exist or is not available for visibility timeout change.",
                true,
            ),
            (
                "InvalidParameterValue",
                "Value 43201 for parameter VisibilityTimeout is invalid.",
                false,
            ),
            ("RequestThrottled", "", false),
        ];
        for (code, message, lost) in cases {
            let said = ErrorMetadata::builder().code(code).message(message).build();
            let said = ChangeMessageVisibilityError::generic(said);
            let error = lost_or("refused", SdkError::service_error(said, ()));
            assert_eq!(matches!(error, Error::LeaseLost), lost, "{code} {message}");
        }
    }
}
