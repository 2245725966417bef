//! The operator's secrets in Secrets Manager.

use async_trait::async_trait;
use aws_sdk_secretsmanager::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        create_secret::CreateSecretError, list_secrets::ListSecretsOutput,
        put_secret_value::PutSecretValueError,
    },
    types::{Filter, FilterNameStringType, SecretListEntry, Tag},
};
use chrono::{DateTime, Utc};
use waybill_messaging::{Error, ListedSecret, Result, SecretName, SecretValue, Secrets};
use zeroize::Zeroizing;

use crate::{Clients, Names, error::port_error};

/// Until a removed secret is gone for good; the least that Secrets Manager takes.
pub(crate) const RECOVERY_DAYS: i64 = 7;
/// As in the template.
const TAG: &str = "waybill-installation";
/// A put meets another's, and each step of it another state. More is a bug.
const MAX_STEPS: usize = 8;
/// What is said of a secret that is not there, or not any more.
const GONE: &[&str] = &[NOT_FOUND, MARKED];
const NOT_FOUND: &str = "ResourceNotFoundException";
/// Also said of a secret that waits for its deletion.
const MARKED: &str = "InvalidRequestException";

/// [`Secrets`] as `PREFIX/NAME`, under the account's key for Secrets Manager. The token that the SDK
/// gives to each put is kept through its retries, so that a lost answer makes no second version.
#[derive(Clone, Debug)]
pub struct SecretsManager {
    client: aws_sdk_secretsmanager::Client,
    names: Names,
}

/// Why a value could not be put.
enum Refused {
    Missing,
    Marked,
    For(Error),
}

impl SecretsManager {
    pub fn new(clients: &Clients, names: &Names) -> Self {
        Self {
            client: clients.secretsmanager.clone(),
            names: names.clone(),
        }
    }

    async fn replace(&self, id: &str, value: &SecretValue) -> Result<(), Refused> {
        let put = self.client.put_secret_value().secret_id(id);
        let put = put.secret_string(value.expose()).send().await;
        put.map(drop)
            .map_err(|error: SdkError<PutSecretValueError>| match code(&error) {
                Some(NOT_FOUND) => Refused::Missing,
                Some(MARKED) => Refused::Marked,
                _ => Refused::For(port_error("a secret cannot be written", error)),
            })
    }

    /// It is no error that somebody else has made it.
    async fn create(&self, id: &str, value: &SecretValue) -> Result<bool> {
        let tag = Tag::builder().key(TAG).value(self.names.prefix()).build();
        let created = self.client.create_secret().name(id).tags(tag);
        match created.secret_string(value.expose()).send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error.as_service_error().is_some_and(|error| {
                    CreateSecretError::is_resource_exists_exception(error)
                        || CreateSecretError::is_invalid_request_exception(error)
                }) =>
            {
                Ok(false)
            }
            Err(error) => Err(port_error("a secret cannot be made", error)),
        }
    }

    /// It is no error that somebody else has restored it, or that it is gone by now.
    async fn restore(&self, id: &str) -> Result<()> {
        match self.client.restore_secret().secret_id(id).send().await {
            Ok(_) => Ok(()),
            Err(error) if code(&error).is_some_and(|code| GONE.contains(&code)) => Ok(()),
            Err(error) => Err(port_error("a removed secret cannot be restored", error)),
        }
    }
}

#[async_trait]
impl Secrets for SecretsManager {
    async fn get(&self, name: &SecretName) -> Result<Option<SecretValue>> {
        let get = self.client.get_secret_value();
        let got = match get.secret_id(self.names.secret(name)).send().await {
            Ok(got) => got,
            Err(error) if code(&error).is_some_and(|code| GONE.contains(&code)) => return Ok(None),
            Err(error) => return Err(port_error("a secret cannot be read", error)),
        };
        let unreadable = |cause: String| Error::broken("a secret cannot be read", cause);
        let text = got
            .secret_string
            .ok_or_else(|| unreadable("it is not text".to_owned()))?;
        let value = SecretValue::new(Zeroizing::new(text));
        value
            .map(Some)
            .map_err(|error| unreadable(error.to_string()))
    }

    /// One request for a secret that is there, two for another. Between the two of one that was
    /// removed, its old value can be read.
    async fn put(&self, name: &SecretName, value: &SecretValue) -> Result<()> {
        let id = self.names.secret(name);
        for _ in 0..MAX_STEPS {
            match self.replace(&id, value).await {
                Ok(()) => return Ok(()),
                Err(Refused::Missing) if self.create(&id, value).await? => return Ok(()),
                Err(Refused::Missing) => {}
                Err(Refused::Marked) => self.restore(&id).await?,
                Err(Refused::For(error)) => return Err(error),
            }
        }
        let cause = "others remove it, or another service owns it";
        Err(Error::unavailable("a secret cannot be written", cause))
    }

    async fn remove(&self, name: &SecretName) -> Result<bool> {
        let remove = self.client.delete_secret();
        let remove = remove.secret_id(self.names.secret(name));
        match remove.recovery_window_in_days(RECOVERY_DAYS).send().await {
            Ok(_) => Ok(true),
            Err(error) if code(&error).is_some_and(|code| GONE.contains(&code)) => Ok(false),
            Err(error) => Err(port_error("a secret cannot be removed", error)),
        }
    }

    async fn list(&self) -> Result<Vec<ListedSecret>> {
        let ours = Filter::builder()
            .key(FilterNameStringType::Name)
            .values(self.names.secrets())
            .build();
        let pages = self.client.list_secrets().filters(ours);
        let pages = pages.into_paginator().send();
        let pages = pages.collect::<Result<Vec<_>, _>>().await;
        let pages = pages.map_err(|error| port_error("secrets cannot be listed", error))?;
        let entries = pages.iter().flat_map(ListSecretsOutput::secret_list);
        let mut listed: Vec<_> = entries.filter_map(|entry| self.listing(entry)).collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }
}

impl SecretsManager {
    /// `None`: somebody else has made it, under a name that is none of ours.
    fn listing(&self, entry: &SecretListEntry) -> Option<ListedSecret> {
        let name = entry.name()?.strip_prefix(&self.names.secrets())?;
        let at = entry.last_changed_date().or(entry.created_date())?;
        Some(ListedSecret {
            name: SecretName::parse(name).ok()?,
            changed_at: DateTime::<Utc>::from_timestamp_millis(at.to_millis().ok()?)?,
        })
    }
}

fn code<E, R>(error: &SdkError<E, R>) -> Option<&str>
where
    E: ProvideErrorMetadata,
{
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
}
