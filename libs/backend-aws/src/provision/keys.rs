//! The master key and the bucket.

use aws_sdk_kms::operation::describe_key::DescribeKeyError;
use aws_sdk_s3::operation::create_bucket::CreateBucketError;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter,
};
use waybill_messaging::{Error, Result};

use crate::{Clients, Names, error::port_error};

/// Blobs are gone by then at the latest; each has an expiry of its own that is earlier.
const LONGEST_DAYS: i32 = 30;

/// A customer master key with rotation, behind the installation's alias.
pub async fn keys(clients: &Clients, names: &Names) -> Result<()> {
    let (kms, alias) = (&clients.kms, names.key_alias());
    let there = kms.describe_key().key_id(&alias).send().await;
    match there {
        Ok(_) => return Ok(()),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(DescribeKeyError::is_not_found_exception) => {}
        Err(error) => {
            return Err(port_error(
                "KMS cannot tell whether the key is there",
                error,
            ));
        }
    }
    let made = kms
        .create_key()
        .description(format!("Waybill's data keys ({alias})"))
        .send()
        .await
        .map_err(|error| port_error("KMS cannot make a key", error))?;
    let id = made.key_metadata.map(|metadata| metadata.key_id);
    let id = id.ok_or_else(|| Error::broken("KMS cannot make a key", "its answer is empty"))?;
    kms.enable_key_rotation()
        .key_id(&id)
        .send()
        .await
        .map_err(|error| port_error("KMS cannot rotate the key", error))?;
    kms.create_alias()
        .alias_name(&alias)
        .target_key_id(&id)
        .send()
        .await
        .map_err(|error| port_error("KMS cannot name the key", error))?;
    Ok(())
}

/// The bucket of large payloads, which forgets by itself.
pub async fn bucket(clients: &Clients, names: &Names) -> Result<()> {
    let (s3, bucket) = (&clients.s3, names.bucket());
    let region = s3.config().region().map(ToString::to_string);
    let place = region.filter(|region| region != "us-east-1").map(|region| {
        aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(region.as_str().into())
            .build()
    });
    let made = s3
        .create_bucket()
        .bucket(&bucket)
        .set_create_bucket_configuration(place)
        .send()
        .await;
    match made {
        Ok(_) => {}
        Err(error)
            if error
                .as_service_error()
                .is_some_and(CreateBucketError::is_bucket_already_owned_by_you) => {}
        Err(error) => return Err(port_error("S3 cannot make the bucket", error)),
    }
    let broken = |error| Error::broken("the bucket's rule is incomplete", error);
    let rule = LifecycleRule::builder()
        .id("forget")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .expiration(LifecycleExpiration::builder().days(LONGEST_DAYS).build())
        .build()
        .map_err(broken)?;
    let rules = BucketLifecycleConfiguration::builder()
        .rules(rule)
        .build()
        .map_err(broken)?;
    s3.put_bucket_lifecycle_configuration()
        .bucket(&bucket)
        .lifecycle_configuration(rules)
        .send()
        .await
        .map_err(|error| port_error("S3 does not take the bucket's rule", error))?;
    Ok(())
}
