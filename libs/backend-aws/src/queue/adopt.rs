//! Deliveries that came by another way than a receive of ours: Lambda receives, and calls with what
//! it has.

use waybill_events::Event;
use waybill_messaging::{Delivery, Result};

use super::SqsQueue;

/// A message as Lambda hands it on.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// SQS's id of the message.
    pub id: String,
    pub receipt_handle: String,
    pub body: String,
    /// 1 at the first receive.
    pub receives: u32,
}

impl SqsQueue {
    /// A delivery that this process may extend and settle like its own, except that whoever received
    /// it deletes it: [`Settlement::Done`] asks nothing of SQS, and [`Settlement::DeadLetter`] only
    /// puts it aside. Until it is extended for the first time it is hidden for as long as whoever
    /// received it asked for. `None`: it was no event and is put aside.
    ///
    /// # Errors
    ///
    /// It could be neither read nor put aside, or too many are held. It is to come again.
    pub async fn adopt(&self, subscription: &str, arrived: Arrived) -> Result<Option<Delivery>> {
        let queue = self.0.queue(subscription)?;
        queue.leases.room()?;
        let Arrived {
            id,
            receipt_handle,
            body,
            receives,
        } = arrived;
        let event = Event::from_json(body.as_bytes());
        let receipt = queue
            .leases
            .adopt(&queue.subscription, &id, &receipt_handle, body, receives);
        self.0.hand_over(event, &id, receives, receipt).await
    }
}
