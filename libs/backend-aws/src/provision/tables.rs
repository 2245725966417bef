//! The ledger's tables: on demand, with expiry and point-in-time recovery.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    client::Waiters,
    error::BuildError,
    operation::{create_table::CreateTableError, describe_table::DescribeTableError},
    types::{
        AttributeDefinition, BillingMode, ContinuousBackupsDescription, GlobalSecondaryIndex,
        KeySchemaElement, KeyType, PointInTimeRecoverySpecification, PointInTimeRecoveryStatus,
        Projection, ProjectionType,
        ScalarAttributeType::{self, N, S},
        TableDescription, TimeToLiveSpecification, TimeToLiveStatus,
    },
};
use tokio::time::sleep;
use waybill_messaging::{Error, Result};

use super::{Difference, Removed, Resource, State};
use crate::{
    Clients, Names,
    error::port_error,
    ledger::schema::{
        EVENT, INDEX, INDEX_PARTITION, INDEX_SORT, PARTITION, SHARD, SORT, SUBSCRIPTION, TTL,
    },
};

/// A table is there after some seconds; with an index after some more.
const CREATION: Duration = Duration::from_mins(3);
/// Backups of a table that has just been made are not available at once.
const BACKUP_ATTEMPTS: u32 = 10;
const BACKUP_PAUSE: Duration = Duration::from_secs(1);
/// Settings, as they are told.
const KEYS: &str = "keys";
const INDEXED: &str = "index";
const BILLING: &str = "billing";
const EXPIRY: &str = "expiry";
const RECOVERY: &str = "point-in-time recovery";
const ON: &str = "on";
const OFF: &str = "off";

/// A table's keys: partition and sort, with their types.
pub(super) struct Table {
    name: String,
    keys: [(&'static str, ScalarAttributeType); 2],
    index: Option<[&'static str; 2]>,
}

impl Table {
    pub(super) fn all(names: &Names) -> [Self; 3] {
        [
            Self {
                name: names.records(),
                keys: [(PARTITION, S), (SORT, S)],
                index: Some([INDEX_PARTITION, INDEX_SORT]),
            },
            Self {
                name: names.inbox(),
                keys: [(EVENT, S), (SUBSCRIPTION, S)],
                index: None,
            },
            Self {
                name: names.outbox(),
                keys: [(SHARD, N), (EVENT, S)],
                index: None,
            },
        ]
    }

    fn key_names(&self) -> [&'static str; 2] {
        self.keys.each_ref().map(|(name, _)| *name)
    }

    async fn described(&self, clients: &Clients) -> Result<Option<TableDescription>> {
        let there = clients.dynamodb.describe_table().table_name(&self.name);
        match there.send().await {
            Ok(there) => Ok(there.table),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeTableError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(port_error("a table cannot be described", error)),
        }
    }

    async fn expiry(&self, clients: &Clients) -> Result<String> {
        let there = clients.dynamodb.describe_time_to_live();
        let there = there.table_name(&self.name).send().await;
        let there = there.map_err(|error| port_error("a table's expiry cannot be read", error))?;
        let there = there.time_to_live_description;
        let on = there.filter(|there| {
            let status = there.time_to_live_status();
            matches!(
                status,
                Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
            )
        });
        Ok(on.and_then(|on| on.attribute_name).unwrap_or_default())
    }

    async fn recovery(&self, clients: &Clients) -> Result<String> {
        let there = clients.dynamodb.describe_continuous_backups();
        let there = there.table_name(&self.name).send().await;
        let what = "a table's recovery cannot be read";
        let there = there.map_err(|error| port_error(what, error))?;
        let there = there.continuous_backups_description;
        let status = there
            .as_ref()
            .and_then(ContinuousBackupsDescription::point_in_time_recovery_description)
            .and_then(|recovery| recovery.point_in_time_recovery_status());
        let on = status == Some(&PointInTimeRecoveryStatus::Enabled);
        Ok(if on { ON } else { OFF }.to_owned())
    }

    async fn expire(&self, clients: &Clients) -> Result<()> {
        let expiry = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(TTL)
            .build()
            .map_err(|error| Error::broken("a table's expiry is incomplete", error))?;
        let set = clients.dynamodb.update_time_to_live();
        let set = set
            .table_name(&self.name)
            .time_to_live_specification(expiry);
        let set = set.send().await;
        set.map_err(|error| port_error("a table does not expire", error))?;
        Ok(())
    }

    async fn recover(&self, clients: &Clients) -> Result<()> {
        let recovery = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(true)
            .build()
            .map_err(|error| Error::broken("a table's recovery is incomplete", error))?;
        let mut attempt = 1;
        loop {
            let setting = clients.dynamodb.update_continuous_backups();
            let setting = setting
                .table_name(&self.name)
                .point_in_time_recovery_specification(recovery.clone());
            match setting.send().await {
                Ok(_) => return Ok(()),
                Err(error)
                    if attempt < BACKUP_ATTEMPTS
                        && error.as_service_error().is_some_and(|error| {
                            error.is_continuous_backups_unavailable_exception()
                        }) =>
                {
                    attempt += 1;
                    sleep(BACKUP_PAUSE).await;
                }
                Err(error) => return Err(port_error("a table cannot be recovered", error)),
            }
        }
    }
}

#[async_trait]
impl Resource for Table {
    fn name(&self) -> String {
        format!("table {}", self.name)
    }

    async fn state(&self, clients: &Clients) -> Result<State> {
        let Some(there) = self.described(clients).await? else {
            return Ok(State::Missing);
        };
        let mut indexes = there.global_secondary_indexes().iter();
        let index = indexes.find(|index| index.index_name() == Some(INDEX));
        let indexed = index.map_or(String::new(), |index| told(index.key_schema()));
        let billing = there
            .billing_mode_summary()
            .and_then(|mode| mode.billing_mode());
        // Absent: provisioned, from the days before there was another.
        let billing = billing.unwrap_or(&BillingMode::Provisioned).to_string();
        let on_demand = BillingMode::PayPerRequest.to_string();
        let described = self.index.map_or(String::new(), |names| names.join(", "));
        Ok(State::compared([
            (KEYS, told(there.key_schema()), self.key_names().join(", ")),
            (INDEXED, indexed, described),
            (BILLING, billing, on_demand),
            (EXPIRY, self.expiry(clients).await?, TTL.to_owned()),
            (RECOVERY, self.recovery(clients).await?, ON.to_owned()),
        ]))
    }

    async fn make(&self, clients: &Clients) -> Result<()> {
        create(clients, self).await?;
        clients
            .dynamodb
            .wait_until_table_exists()
            .table_name(&self.name)
            .wait(CREATION)
            .await
            .map_err(|error| Error::unavailable("a table does not come to be", error))?;
        Ok(())
    }

    async fn mend(&self, clients: &Clients, differences: &[Difference]) -> Result<()> {
        for difference in differences {
            match difference.setting {
                EXPIRY => self.expire(clients).await?,
                RECOVERY => self.recover(clients).await?,
                BILLING => bill(clients, &self.name).await?,
                fixed => {
                    let why = format!("the {fixed} of {}: made anew, by hand", self.name);
                    return Err(Error::broken("a table cannot be changed", why));
                }
            }
        }
        Ok(())
    }

    async fn remove(&self, clients: &Clients) -> Result<Removed> {
        if self.described(clients).await?.is_none() {
            return Ok(Removed::WasNotThere);
        }
        let gone = clients.dynamodb.delete_table().table_name(&self.name);
        let gone = gone.send().await;
        gone.map_err(|error| port_error("a table cannot be removed", error))?;
        clients
            .dynamodb
            .wait_until_table_not_exists()
            .table_name(&self.name)
            .wait(CREATION)
            .await
            .map_err(|error| Error::unavailable("a table does not go", error))?;
        Ok(Removed::Gone)
    }
}

/// `PARTITION, SORT`.
fn told(keys: &[KeySchemaElement]) -> String {
    let names: Vec<&str> = keys.iter().map(KeySchemaElement::attribute_name).collect();
    names.join(", ")
}

async fn bill(clients: &Clients, table: &str) -> Result<()> {
    let set = clients.dynamodb.update_table().table_name(table);
    let set = set.billing_mode(BillingMode::PayPerRequest).send().await;
    set.map_err(|error| port_error("a table is not billed on demand", error))?;
    Ok(())
}

async fn create(clients: &Clients, table: &Table) -> Result<()> {
    let incomplete = |error: BuildError| Error::broken("a table is incomplete", error);
    let mut making = clients
        .dynamodb
        .create_table()
        .table_name(&table.name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(keys(table.key_names()).map_err(incomplete)?));
    for (name, kind) in &table.keys {
        making = making.attribute_definitions(attribute(name, kind).map_err(incomplete)?);
    }
    if let Some(names) = table.index {
        for name in names {
            making = making.attribute_definitions(attribute(name, &S).map_err(incomplete)?);
        }
        let all = Projection::builder().projection_type(ProjectionType::All);
        let index = GlobalSecondaryIndex::builder()
            .index_name(INDEX)
            .set_key_schema(Some(keys(names).map_err(incomplete)?))
            .projection(all.build())
            .build();
        making = making.global_secondary_indexes(index.map_err(incomplete)?);
    }
    match making.send().await {
        Ok(_) => Ok(()),
        // Somebody else makes it at this moment.
        Err(error)
            if error
                .as_service_error()
                .is_some_and(CreateTableError::is_resource_in_use_exception) =>
        {
            Ok(())
        }
        Err(error) => Err(port_error("a table cannot be made", error)),
    }
}

fn keys(names: [&str; 2]) -> Result<Vec<KeySchemaElement>, BuildError> {
    let kinds = [KeyType::Hash, KeyType::Range];
    let keys = names.into_iter().zip(kinds).map(|(name, kind)| {
        let key = KeySchemaElement::builder().attribute_name(name);
        key.key_type(kind).build()
    });
    keys.collect()
}

fn attribute(name: &str, kind: &ScalarAttributeType) -> Result<AttributeDefinition, BuildError> {
    let attribute = AttributeDefinition::builder().attribute_name(name);
    attribute.attribute_type(kind.clone()).build()
}
