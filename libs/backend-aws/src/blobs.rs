//! Blobs in a bucket.

use async_trait::async_trait;
use aws_sdk_s3::{error::ProvideErrorMetadata, primitives::ByteStream};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use waybill_messaging::{BlobKey, Blobs, Clock, Error, Result};

use crate::{Clients, Names, Place, error::port_error};

/// The object's own expiry, in milliseconds since 1970: the bucket's rule knows days only.
const EXPIRES_AT: &str = "waybill-expires-at";

/// The bucket's rule forgets an object after so many days, and not before.
pub const KEPT_DAYS: u16 = 30;

/// [`Blobs`] as objects `TENANT/NAME`. A `put` is one request, which S3 makes visible whole.
#[derive(Clone, Debug)]
pub struct S3Blobs {
    s3: aws_sdk_s3::Client,
    bucket: String,
    clock: Clock,
}

impl S3Blobs {
    pub fn new(clients: &Clients, names: &Names, place: &Place, clock: Clock) -> Self {
        Self {
            s3: clients.s3.clone(),
            bucket: names.bucket(place.account()),
            clock,
        }
    }
}

#[async_trait]
impl Blobs for S3Blobs {
    async fn put(&self, key: &BlobKey, body: Bytes, expires_at: DateTime<Utc>) -> Result<()> {
        let put = self
            .s3
            .put_object()
            .bucket(&self.bucket)
            .key(object(key)?)
            .metadata(EXPIRES_AT, expires_at.timestamp_millis().to_string())
            .body(ByteStream::from(body))
            .send();
        put.await
            .map_err(|error| port_error("a blob cannot be written", error))?;
        Ok(())
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>> {
        let got = self
            .s3
            .get_object()
            .bucket(&self.bucket)
            .key(object(key)?)
            .send();
        let got = match got.await {
            Ok(got) => got,
            Err(error) if error.as_service_error().and_then(|e| e.code()) == Some("NoSuchKey") => {
                return Ok(None);
            }
            Err(error) => return Err(port_error("a blob cannot be read", error)),
        };
        let expiry = got.metadata().and_then(|pairs| pairs.get(EXPIRES_AT));
        let expiry = expiry.and_then(|text| text.parse().ok());
        let expiry: i64 =
            expiry.ok_or_else(|| Error::broken("a blob cannot be read", "it tells no expiry"))?;
        if expiry <= self.clock.now().timestamp_millis() {
            return Ok(None);
        }
        let body = got.body.collect().await;
        let body = body.map_err(|error| Error::unavailable("a blob cannot be read", error))?;
        Ok(Some(body.into_bytes()))
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        let delete = self
            .s3
            .delete_object()
            .bucket(&self.bucket)
            .key(object(key)?)
            .send();
        delete
            .await
            .map_err(|error| port_error("a blob cannot be removed", error))?;
        Ok(())
    }

    /// The bucket's own rule removes; nothing is left to do.
    async fn expire(&self, _limit: usize) -> Result<usize> {
        Ok(0)
    }
}

fn object(key: &BlobKey) -> Result<String> {
    key.check()?;
    Ok(format!("{}/{}", key.tenant, key.name))
}
