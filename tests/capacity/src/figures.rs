//! Tables of figures that others publish, by region: prices and quotas.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, de::DeserializeOwned};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Region {
    #[value(name = "us-east-1")]
    UsEast1,
    #[value(name = "eu-central-1")]
    EuCentral1,
}

/// What AWS charges for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Price {
    DynamodbWrite,
    DynamodbRead,
    DynamodbStorage,
    DynamodbRecovery,
    SnsPublish,
    SqsRequest,
    LambdaRequest,
    LambdaGbSecond,
    HttpApiRequest,
    Metric,
    Alarm,
    Log,
    KmsKey,
    KmsRequest,
    Schedule,
    BusEvent,
    ContainerVcpu,
    ContainerGb,
    LoadBalancer,
    Machine,
    Disk,
    Address,
}

/// What AWS limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Quota {
    PartitionWrites,
    PartitionReads,
    TableWrites,
    NewTableWrites,
    Publish,
    InFlight,
    Concurrency,
    Pollers,
    ApiRequests,
    BusRequests,
}

#[derive(Debug, Deserialize)]
#[serde(bound = "K: DeserializeOwned + Ord")]
pub(crate) struct Table<K> {
    /// The day on which the table was made.
    pub(crate) looked_up: String,
    #[serde(flatten)]
    pub(crate) rows: BTreeMap<K, Row>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) unit: String,
    pub(crate) page: String,
    us_east_1: Figure,
    eu_central_1: Figure,
    /// Of a quota: whether AWS raises it when asked.
    #[serde(default)]
    pub(crate) adjustable: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figure {
    #[serde(alias = "usd")]
    pub(crate) value: f64,
    /// The date of the newest copy in which it was found.
    pub(crate) seen: Option<String>,
}

impl Table<Price> {
    pub(crate) fn prices() -> Self {
        toml::from_str(include_str!("../prices.toml")).expect("prices.toml is a table of prices")
    }
}

impl Table<Quota> {
    pub(crate) fn quotas() -> Self {
        toml::from_str(include_str!("../quotas.toml")).expect("quotas.toml is a table of quotas")
    }
}

impl<K: Copy + Ord> Table<K> {
    pub(crate) fn of(&self, key: K, region: Region) -> f64 {
        let row = self.rows.get(&key).expect("every figure is in its table");
        row.of(region).value
    }
}

impl Row {
    pub(crate) fn of(&self, region: Region) -> &Figure {
        match region {
            Region::UsEast1 => &self.us_east_1,
            Region::EuCentral1 => &self.eu_central_1,
        }
    }
}

impl Region {
    pub(crate) const ALL: [Self; 2] = [Self::UsEast1, Self::EuCentral1];
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UsEast1 => "us-east-1",
            Self::EuCentral1 => "eu-central-1",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_there() {
        let (first, last) = (Price::DynamodbWrite as usize, Price::Address as usize);
        assert_eq!(Table::prices().rows.len(), last - first + 1);
        let (first, last) = (Quota::PartitionWrites as usize, Quota::BusRequests as usize);
        assert_eq!(Table::quotas().rows.len(), last - first + 1);
    }
}
