//! Where an installation is: what names in full begin with.

use waybill_messaging::{Error, Result};

use crate::{Clients, error::port_error};

/// An account, in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `aws`, or that of another set of regions.
    partition: String,
    region: String,
    account: String,
}

impl Place {
    /// Of whoever these credentials belong to.
    pub async fn find(clients: &Clients) -> Result<Self> {
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

    /// Of a resource, by its ARN: `arn:PARTITION:SERVICE:REGION:ACCOUNT:...`.
    pub(crate) fn of(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", partition, _, region, account, _] = parts[..] else {
            return None;
        };
        Some(Self {
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
        })
    }

    pub(crate) fn arn(&self, service: &str, name: &str) -> String {
        let Self {
            partition,
            region,
            account,
        } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{name}")
    }

    /// 12 digits.
    pub fn account(&self) -> &str {
        &self.account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_in_the_account_and_region_of_a_table() {
        let table = "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/waybill-records";
        let topic = "arn:aws-cn:sns:cn-north-1:123456789012:waybill-events";
        let place = Place::of(table).unwrap();
        assert_eq!(place.arn("sns", "waybill-events"), topic);
        assert_eq!(place.account(), "123456789012");
        assert_eq!(Place::of("waybill-records"), None);
    }
}
