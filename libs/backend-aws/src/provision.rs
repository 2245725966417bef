//! Making what an installation needs, idempotently: for emulators and development accounts.
//! Production is made by the template in `infra/`, with the same names.

mod keys;
mod queues;
mod tables;

use waybill_messaging::{Result, Subscription};

use crate::{Clients, Names};

pub use crate::queue::most_receives;
pub use keys::{bucket, keys};
pub use queues::{RETENTION, filter};

/// Makes tables, topic, queues, the master key and the bucket, where they are not there yet.
pub async fn apply(clients: &Clients, names: &Names, topology: &[Subscription]) -> Result<()> {
    tables::tables(clients, names).await?;
    queues::queues(clients, names, topology).await?;
    keys(clients, names).await?;
    bucket(clients, names).await
}
