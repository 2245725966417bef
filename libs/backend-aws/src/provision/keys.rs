//! The master key and the bucket.

use async_trait::async_trait;
use aws_sdk_kms::{operation::describe_key::DescribeKeyError, types::KeyState};
use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    operation::{create_bucket::CreateBucketError, head_bucket::HeadBucketError},
    types::{
        BucketLifecycleConfiguration, Delete, ExpirationStatus, LifecycleExpiration, LifecycleRule,
        LifecycleRuleFilter, ObjectIdentifier,
    },
};
use waybill_messaging::{Error, Result};

use super::{Difference, Removed, Resource, State};
use crate::{Clients, KEPT_DAYS, Names, Place, error::port_error};

/// Until a removed key is gone, and all that it has sealed with it; the least that KMS takes.
const PENDING_DAYS: i32 = 7;
const ROTATION: &str = "rotation";
const LIFECYCLE: &str = "lifecycle";

/// A customer master key with rotation, behind the installation's alias.
pub(super) struct MasterKey {
    alias: String,
}

impl MasterKey {
    pub(super) fn new(names: &Names) -> Self {
        let alias = names.key_alias();
        Self { alias }
    }

    /// Its id. `None`: there is none, or only one that is about to go.
    async fn id(&self, clients: &Clients) -> Result<Option<String>> {
        match clients.kms.describe_key().key_id(&self.alias).send().await {
            Ok(there) => Ok(there
                .key_metadata
                .filter(|key| key.key_state != Some(KeyState::PendingDeletion))
                .map(|key| key.key_id)),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeKeyError::is_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(port_error(
                "KMS cannot tell whether the key is there",
                error,
            )),
        }
    }

    async fn there(&self, clients: &Clients) -> Result<String> {
        let gone = || Error::broken("the master key cannot be found", self.alias.clone());
        self.id(clients).await?.ok_or_else(gone)
    }
}

#[async_trait]
impl Resource for MasterKey {
    fn name(&self) -> String {
        format!("key {}", self.alias)
    }

    async fn state(&self, clients: &Clients) -> Result<State> {
        let Some(id) = self.id(clients).await? else {
            return Ok(State::Missing);
        };
        let status = clients.kms.get_key_rotation_status().key_id(id).send();
        let status = status.await;
        let status = status.map_err(|error| port_error("KMS cannot describe the key", error))?;
        let rotates = status.key_rotation_enabled.to_string();
        Ok(State::compared([(ROTATION, rotates, true.to_string())]))
    }

    async fn make(&self, clients: &Clients) -> Result<()> {
        let made = clients
            .kms
            .create_key()
            .description(format!("Waybill's data keys ({})", self.alias))
            .send()
            .await
            .map_err(|error| port_error("KMS cannot make a key", error))?;
        let id = made.key_metadata.map(|metadata| metadata.key_id);
        let id = id.ok_or_else(|| Error::broken("KMS cannot make a key", "its answer is empty"))?;
        // One that is about to go may still have the name.
        drop(
            clients
                .kms
                .delete_alias()
                .alias_name(&self.alias)
                .send()
                .await,
        );
        let named = clients.kms.create_alias().alias_name(&self.alias);
        let named = named.target_key_id(&id).send().await;
        named.map_err(|error| port_error("KMS cannot name the key", error))?;
        Ok(())
    }

    async fn mend(&self, clients: &Clients, _: &[Difference]) -> Result<()> {
        let id = self.there(clients).await?;
        let set = clients.kms.enable_key_rotation().key_id(id).send().await;
        set.map_err(|error| port_error("KMS cannot rotate the key", error))?;
        Ok(())
    }

    async fn remove(&self, clients: &Clients) -> Result<Removed> {
        let Some(id) = self.id(clients).await? else {
            return Ok(Removed::WasNotThere);
        };
        let scheduled = clients.kms.schedule_key_deletion().key_id(&id);
        let scheduled = scheduled.pending_window_in_days(PENDING_DAYS).send().await;
        scheduled.map_err(|error| port_error("KMS cannot remove the key", error))?;
        let unnamed = clients.kms.delete_alias().alias_name(&self.alias);
        let unnamed = unnamed.send().await;
        unnamed.map_err(|error| port_error("KMS cannot take the key's name", error))?;
        Ok(Removed::Stays(format!(
            "{PENDING_DAYS} days as {id}, disabled; until then its deletion can be cancelled"
        )))
    }
}

/// The bucket of large payloads, which forgets by itself.
pub(super) struct Bucket {
    name: String,
}

impl Bucket {
    pub(super) fn new(place: &Place, names: &Names) -> Self {
        let name = names.bucket(place.account());
        Self { name }
    }

    /// Days after which it forgets everything, as text; empty where it never does.
    async fn forgets(&self, clients: &Clients) -> Result<String> {
        let rules = clients.s3.get_bucket_lifecycle_configuration();
        let rules = match rules.bucket(&self.name).send().await {
            Ok(rules) => rules,
            Err(error) if is(&error, "NoSuchLifecycleConfiguration") => return Ok(String::new()),
            Err(error) => return Err(port_error("S3 cannot tell the bucket's rule", error)),
        };
        let days = |rule: &LifecycleRule| {
            let everything = rule
                .filter()
                .is_none_or(|f| f.prefix().is_none_or(str::is_empty));
            let on = everything && *rule.status() == ExpirationStatus::Enabled;
            rule.expiration()
                .and_then(LifecycleExpiration::days)
                .filter(|_| on)
        };
        let first = rules.rules().iter().find_map(days);
        Ok(first.map(|days| days.to_string()).unwrap_or_default())
    }

    async fn empty(&self, clients: &Clients) -> Result<()> {
        loop {
            let some = clients.s3.list_objects_v2().bucket(&self.name).send().await;
            let some = some.map_err(|error| port_error("S3 cannot list the bucket", error))?;
            let keys = some.contents().iter().filter_map(|object| object.key());
            let keys = keys.map(|key| ObjectIdentifier::builder().key(key).build());
            let incomplete = |error| Error::broken("a removal is incomplete", error);
            let keys: Vec<_> = keys.collect::<Result<_, _>>().map_err(incomplete)?;
            if keys.is_empty() {
                return Ok(());
            }
            let delete = Delete::builder()
                .set_objects(Some(keys))
                .quiet(true)
                .build();
            let delete = delete.map_err(incomplete)?;
            let gone = clients
                .s3
                .delete_objects()
                .bucket(&self.name)
                .delete(delete);
            let gone = gone.send().await;
            let gone = gone.map_err(|error| port_error("S3 cannot empty the bucket", error))?;
            if let Some(first) = gone.errors().first() {
                let said = first.message().unwrap_or("no reason was given").to_owned();
                return Err(Error::broken("S3 cannot empty the bucket", said));
            }
        }
    }
}

#[async_trait]
impl Resource for Bucket {
    fn name(&self) -> String {
        format!("bucket {}", self.name)
    }

    async fn state(&self, clients: &Clients) -> Result<State> {
        match clients.s3.head_bucket().bucket(&self.name).send().await {
            Ok(_) => {}
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(HeadBucketError::is_not_found) =>
            {
                return Ok(State::Missing);
            }
            // The names of buckets are those of all accounts.
            Err(error) if status(&error) == Some(403) => {
                let what = "the bucket is another account's, or may not be looked at";
                return Err(Error::broken(what, error));
            }
            Err(error) => {
                return Err(port_error(
                    "S3 cannot tell whether the bucket is there",
                    error,
                ));
            }
        }
        let forgets = self.forgets(clients).await?;
        Ok(State::compared([(
            LIFECYCLE,
            forgets,
            KEPT_DAYS.to_string(),
        )]))
    }

    async fn make(&self, clients: &Clients) -> Result<()> {
        let region = clients.s3.config().region().map(ToString::to_string);
        let place = region.filter(|region| region != "us-east-1").map(|region| {
            aws_sdk_s3::types::CreateBucketConfiguration::builder()
                .location_constraint(region.as_str().into())
                .build()
        });
        let made = clients
            .s3
            .create_bucket()
            .bucket(&self.name)
            .set_create_bucket_configuration(place)
            .send()
            .await;
        match made {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateBucketError::is_bucket_already_owned_by_you) =>
            {
                Ok(())
            }
            Err(error) => Err(port_error("S3 cannot make the bucket", error)),
        }
    }

    async fn mend(&self, clients: &Clients, _: &[Difference]) -> Result<()> {
        let broken = |error| Error::broken("the bucket's rule is incomplete", error);
        let rule = LifecycleRule::builder()
            .id("forget")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .expiration(
                LifecycleExpiration::builder()
                    .days(KEPT_DAYS.into())
                    .build(),
            )
            .build()
            .map_err(broken)?;
        let rules = BucketLifecycleConfiguration::builder()
            .rules(rule)
            .build()
            .map_err(broken)?;
        clients
            .s3
            .put_bucket_lifecycle_configuration()
            .bucket(&self.name)
            .lifecycle_configuration(rules)
            .send()
            .await
            .map_err(|error| port_error("S3 does not take the bucket's rule", error))?;
        Ok(())
    }

    async fn remove(&self, clients: &Clients) -> Result<Removed> {
        if self.state(clients).await? == State::Missing {
            return Ok(Removed::WasNotThere);
        }
        self.empty(clients).await?;
        let gone = clients.s3.delete_bucket().bucket(&self.name).send().await;
        gone.map_err(|error| port_error("S3 cannot remove the bucket", error))?;
        Ok(Removed::Gone)
    }
}

fn status<E>(error: &aws_sdk_s3::error::SdkError<E>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

fn is<E: ProvideErrorMetadata, R>(error: &aws_sdk_s3::error::SdkError<E, R>, code: &str) -> bool {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        == Some(code)
}
