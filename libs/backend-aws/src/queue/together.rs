//! Deletes and lease changes of one queue, which travel together.

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};
use waybill_messaging::{Error, Result};

use super::{MOST_PER_REQUEST, settle::is_lost};
use crate::{
    coalesce::{Coalescer, Limits, for_each},
    error::port_error,
};

/// What travels is small: handles, of up to 1,024 bytes.
const fn limits<Q>() -> Limits<Q> {
    Limits {
        entries: MOST_PER_REQUEST,
        bytes: usize::MAX,
        size: |_| 0,
    }
}

/// A receipt handle, and for how many seconds from now it is to be good.
type Change = (String, i32);

#[derive(Clone)]
pub(super) struct Requests {
    deletes: Coalescer<String, Result<()>>,
    changes: Coalescer<Change, Result<()>>,
}

impl Requests {
    pub(super) fn new(sqs: &aws_sdk_sqs::Client, url: &str) -> Self {
        let of = |sqs: &aws_sdk_sqs::Client| (sqs.clone(), url.to_owned());
        let (client, queue) = of(sqs);
        let deletes = Coalescer::new(limits(), move |handles: Vec<String>| {
            let (sqs, url) = (client.clone(), queue.clone());
            async move {
                let count = handles.len();
                let deleted = delete(&sqs, &url, handles).await;
                deleted.map_or_else(
                    |error| for_each(error, count),
                    |failed| each(count, &failed),
                )
            }
        });
        let (client, queue) = of(sqs);
        let changes = Coalescer::new(limits(), move |changes: Vec<Change>| {
            let (sqs, url) = (client.clone(), queue.clone());
            async move {
                let count = changes.len();
                let changed = change(&sqs, &url, changes).await;
                changed.map_or_else(
                    |error| for_each(error, count),
                    |failed| each(count, &failed),
                )
            }
        });
        Self { deletes, changes }
    }

    pub(super) async fn delete(&self, handle: &str) -> Result<()> {
        self.deletes.ask(handle.to_owned()).await.flatten()
    }

    pub(super) async fn change(&self, handle: &str, seconds: i32) -> Result<()> {
        self.changes
            .ask((handle.to_owned(), seconds))
            .await
            .flatten()
    }
}

async fn delete(
    sqs: &aws_sdk_sqs::Client,
    url: &str,
    handles: Vec<String>,
) -> Result<Vec<BatchResultErrorEntry>> {
    let entries = handles.into_iter().enumerate().map(|(at, handle)| {
        let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
        entry.receipt_handle(handle).build()
    });
    let entries = entries.collect::<Result<_, _>>();
    let entries = entries.map_err(|error| Error::broken("a request is incomplete", error))?;
    let deleting = sqs.delete_message_batch().queue_url(url);
    let deleted = deleting.set_entries(Some(entries)).send().await;
    let deleted = deleted.map_err(|error| port_error("SQS cannot delete messages", error))?;
    Ok(deleted.failed)
}

async fn change(
    sqs: &aws_sdk_sqs::Client,
    url: &str,
    changes: Vec<Change>,
) -> Result<Vec<BatchResultErrorEntry>> {
    let entries = changes
        .into_iter()
        .enumerate()
        .map(|(at, (handle, seconds))| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string());
            let entry = entry.receipt_handle(handle).visibility_timeout(seconds);
            entry.build()
        });
    let entries = entries.collect::<Result<_, _>>();
    let entries = entries.map_err(|error| Error::broken("a request is incomplete", error))?;
    let changing = sqs.change_message_visibility_batch().queue_url(url);
    let changed = changing.set_entries(Some(entries)).send().await;
    let changed = changed.map_err(|error| port_error("SQS cannot change leases", error))?;
    Ok(changed.failed)
}

/// What became of each of so many entries.
fn each(count: usize, failed: &[BatchResultErrorEntry]) -> Vec<Result<()>> {
    let outcome = |at: usize| {
        let failed = failed.iter().find(|entry| entry.id() == at.to_string());
        failed.map_or(Ok(()), |entry| Err(error(entry)))
    };
    (0..count).map(outcome).collect()
}

fn error(entry: &BatchResultErrorEntry) -> Error {
    if is_lost(Some(entry.code()), entry.message()) {
        return Error::LeaseLost;
    }
    let said = format!("{}: {}", entry.code(), entry.message().unwrap_or_default());
    Error::unavailable("SQS refuses one of a batch", said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_has_its_own_outcome() {
        let failed = |id: &str, code: &str| {
            let entry = BatchResultErrorEntry::builder().id(id).code(code);
            entry.sender_fault(true).build().unwrap()
        };
        let failed = [
            failed("2", "ReceiptHandleIsInvalid"),
            failed("0", "InternalError"),
        ];
        let outcomes = each(4, &failed);
        assert!(matches!(outcomes[0], Err(Error::Unavailable { .. })));
        assert!(matches!(outcomes[1], Ok(())));
        assert!(matches!(outcomes[2], Err(Error::LeaseLost)));
        assert!(matches!(outcomes[3], Ok(())));
    }
}
