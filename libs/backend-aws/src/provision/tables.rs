//! The ledger's tables: on demand, with expiry and point-in-time recovery.

use std::time::Duration;

use aws_sdk_dynamodb::{
    client::Waiters,
    error::BuildError,
    operation::create_table::CreateTableError,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        PointInTimeRecoverySpecification, Projection, ProjectionType,
        ScalarAttributeType::{self, N, S},
        TimeToLiveSpecification, TimeToLiveStatus,
    },
};
use tokio::time::sleep;
use waybill_messaging::{Error, Result};

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

/// A table's keys: partition and sort, with their types.
struct Table {
    name: String,
    keys: [(&'static str, ScalarAttributeType); 2],
    index: Option<[&'static str; 2]>,
}

/// Makes the three tables where they are not there yet. Does not look at tables that are there,
/// but for their expiry and recovery.
pub(super) async fn tables(clients: &Clients, names: &Names) -> Result<()> {
    let tables = [
        Table {
            name: names.records(),
            keys: [(PARTITION, S), (SORT, S)],
            index: Some([INDEX_PARTITION, INDEX_SORT]),
        },
        Table {
            name: names.inbox(),
            keys: [(EVENT, S), (SUBSCRIPTION, S)],
            index: None,
        },
        Table {
            name: names.outbox(),
            keys: [(SHARD, N), (EVENT, S)],
            index: None,
        },
    ];
    for table in &tables {
        create(clients, table).await?;
    }
    for Table { name, .. } in &tables {
        clients
            .dynamodb
            .wait_until_table_exists()
            .table_name(name)
            .wait(CREATION)
            .await
            .map_err(|error| Error::unavailable("a table does not come to be", error))?;
        expire(clients, name).await?;
        recover(clients, name).await?;
    }
    Ok(())
}

async fn create(clients: &Clients, table: &Table) -> Result<()> {
    let incomplete = |error: BuildError| Error::broken("a table is incomplete", error);
    let mut making = clients
        .dynamodb
        .create_table()
        .table_name(&table.name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(
            keys(table.keys.each_ref().map(|(name, _)| *name)).map_err(incomplete)?,
        ));
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

/// `DynamoDB` refuses to switch on what is on.
async fn expire(clients: &Clients, table: &str) -> Result<()> {
    let now = clients.dynamodb.describe_time_to_live().table_name(table);
    let now = now.send().await;
    let now = now.map_err(|error| port_error("a table's expiry cannot be read", error))?;
    let now = now.time_to_live_description;
    let status = now.and_then(|now| now.time_to_live_status);
    if let Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) = status {
        return Ok(());
    }
    let expiry = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name(TTL)
        .build()
        .map_err(|error| Error::broken("a table's expiry is incomplete", error))?;
    let setting = clients.dynamodb.update_time_to_live();
    let set = setting.table_name(table).time_to_live_specification(expiry);
    let set = set.send().await;
    set.map_err(|error| port_error("a table does not expire", error))?;
    Ok(())
}

async fn recover(clients: &Clients, table: &str) -> Result<()> {
    let recovery = PointInTimeRecoverySpecification::builder()
        .point_in_time_recovery_enabled(true)
        .build()
        .map_err(|error| Error::broken("a table's recovery is incomplete", error))?;
    let mut attempt = 1;
    loop {
        let setting = clients.dynamodb.update_continuous_backups();
        let setting = setting
            .table_name(table)
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
