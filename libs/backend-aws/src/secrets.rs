//! The operator's secrets in Secrets Manager.

use async_trait::async_trait;
use aws_sdk_secretsmanager::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{list_secrets::ListSecretsOutput, put_secret_value::PutSecretValueError},
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
const NOT_FOUND: &str = "ResourceNotFoundException";
const EXISTS: &str = "ResourceExistsException";
/// Said of a secret that waits for its deletion.
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
            Err(error) if matches!(code(&error), Some(EXISTS | MARKED)) => Ok(false),
            Err(error) => Err(port_error("a secret cannot be made", error)),
        }
    }

    /// It is no error that somebody else has restored it, or that it is gone by now.
    async fn restore(&self, id: &str) -> Result<()> {
        match self.client.restore_secret().secret_id(id).send().await {
            Ok(_) => Ok(()),
            Err(error) if gone(&error) => Ok(()),
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
            Err(error) if gone(&error) => return Ok(None),
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
            Err(error) if gone(&error) => Ok(false),
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

/// It is not there, or not any more.
fn gone<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    matches!(code(error), Some(NOT_FOUND | MARKED))
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    let said = error.as_service_error();
    said.and_then(ProvideErrorMetadata::code)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::script::Script;

    fn said(status: u16, kind: &str) -> (u16, String) {
        (status, json!({ "__type": kind }).to_string())
    }

    fn refused(kind: &str) -> (u16, String) {
        said(400, kind)
    }

    fn done() -> (u16, String) {
        (200, "{}".to_owned())
    }

    async fn put(answers: Vec<(u16, String)>) -> (Result<()>, Vec<Value>) {
        let (clients, script) = Script::clients(answers).await;
        let secrets = SecretsManager::new(&clients, &Names::new("test"));
        let name = SecretName::parse("a").unwrap();
        let value = SecretValue::new("x".to_owned()).unwrap();
        (secrets.put(&name, &value).await, script.asked_json())
    }

    fn operation(request: &Value) -> &'static str {
        match (request.get("Name"), request.get("SecretString")) {
            (Some(_), _) => "create",
            (None, Some(_)) => "put",
            (None, None) => "restore",
        }
    }

    #[tokio::test]
    async fn a_put_goes_on_from_whatever_it_meets() {
        for (answers, wanted) in [
            (vec![done()], &["put"][..]),
            (vec![refused(NOT_FOUND), done()], &["put", "create"]),
            (
                vec![refused(NOT_FOUND), refused(EXISTS), done()],
                &["put", "create", "put"],
            ),
            (
                vec![refused(MARKED), done(), done()],
                &["put", "restore", "put"],
            ),
            (
                vec![refused(MARKED), refused(MARKED), done()],
                &["put", "restore", "put"],
            ),
        ] {
            let (ended, asked) = put(answers).await;
            ended.unwrap();
            let operations: Vec<_> = asked.iter().map(operation).collect();
            assert_eq!(operations, wanted);
        }
    }

    #[tokio::test]
    async fn a_put_ends_where_others_always_remove_it() {
        let answers = (0..MAX_STEPS).flat_map(|_| [refused(MARKED), done()]);
        let (ended, asked) = put(answers.collect()).await;
        assert!(matches!(ended, Err(Error::Unavailable { .. })), "{ended:?}");
        assert_eq!(asked.len(), 2 * MAX_STEPS);
    }

    #[tokio::test]
    async fn a_retry_makes_no_second_version() {
        let (ended, asked) = put(vec![said(500, "InternalServiceError"), done()]).await;
        ended.unwrap();
        let token = |request: &Value| request["ClientRequestToken"].as_str().unwrap().to_owned();
        assert_eq!(token(&asked[0]), token(&asked[1]));
    }

    #[tokio::test]
    async fn a_denial_is_for_a_person_and_throttling_passes() {
        let (denied, _) = put(vec![refused("AccessDeniedException")]).await;
        assert!(matches!(denied, Err(Error::Refused { .. })), "{denied:?}");
        let (slowed, _) = put(vec![refused("ThrottlingException"); 3]).await;
        assert!(
            matches!(slowed, Err(Error::Unavailable { .. })),
            "{slowed:?}"
        );
    }
}
