//! Where an installation is: what names in full begin with.

use waybill_messaging::{Error, Result};

use crate::{Clients, error::port_error};

#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `aws`, or that of another set of regions.
    partition: String,
    region: String,
    account: String,
}

impl Place {
    /// Of whoever these credentials belong to.
    pub(super) async fn find(clients: &Clients) -> Result<Self> {
        let unknown = || Error::broken("the account is unknown", "AWS did not tell all of it");
        let who = clients.sts.get_caller_identity().send().await;
        let who = who.map_err(|error| port_error("AWS does not know these credentials", error))?;
        let partition = who.arn().and_then(|arn| arn.split(':').nth(1));
        let region = clients.sqs.config().region();
        Ok(Self {
            partition: partition.ok_or_else(unknown)?.to_owned(),
            region: region.ok_or_else(unknown)?.to_string(),
            account: who.account().ok_or_else(unknown)?.to_owned(),
        })
    }

    pub(super) fn arn(&self, service: &str, name: &str) -> String {
        let Self {
            partition,
            region,
            account,
        } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{name}")
    }
}
