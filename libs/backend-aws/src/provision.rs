//! What an installation consists of, written once: compared with what is there, made, and removed.
//! For emulators and development accounts; production is made by the template in `infra/`, with the
//! same names.

mod bus;
mod keys;
mod queues;
mod tables;

use async_trait::async_trait;
use waybill_messaging::{ListedSecret, Result, Secrets as _, Subscription};

pub use self::queues::{RETENTION, filter};
use self::{
    bus::Bus,
    keys::{Bucket, MasterKey},
    queues::{Queue, Subscribed, Topic},
    tables::Table,
};
pub use crate::queue::most_receives;
use crate::{Clients, Names, Place, SecretsManager, secrets::RECOVERY_DAYS};

/// What a comparison of the description with an account has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Such as `queue waybill-audit-sink`.
    pub resource: String,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    AsDescribed,
    Missing,
    Differs(Vec<Difference>),
}

/// One setting of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In the service's own words, such as `VisibilityTimeout`.
    pub setting: &'static str,
    pub there: String,
    pub described: String,
}

/// What became of a resource that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    Gone,
    WasNotThere,
    /// For this reason, and how long.
    Stays(String),
}

/// A part of an installation.
#[async_trait]
trait Resource: Send + Sync {
    fn name(&self) -> String;

    async fn state(&self, clients: &Clients) -> Result<State>;

    /// Where it is missing. What it has of settings may differ still.
    async fn make(&self, clients: &Clients) -> Result<()>;

    /// [`Error::Broken`](waybill_messaging::Error::Broken): it would have to be made anew.
    async fn mend(&self, clients: &Clients, differences: &[Difference]) -> Result<()>;

    /// With all that is in it.
    async fn remove(&self, clients: &Clients) -> Result<Removed>;
}

/// Everything, each after what it refers to.
async fn description(
    clients: &Clients,
    names: &Names,
    topology: &[Subscription],
) -> Result<Vec<Box<dyn Resource>>> {
    let place = Place::find(clients).await?;
    let mut all: Vec<Box<dyn Resource>> = Vec::new();
    for table in Table::all(names) {
        all.push(Box::new(table));
    }
    all.push(Box::new(Topic::new(&place, names)));
    for subscription in topology {
        all.push(Box::new(Queue::of_dead_letters(
            &place,
            names,
            subscription,
        )));
        all.push(Box::new(Queue::of(&place, names, subscription)));
        all.push(Box::new(Subscribed::new(&place, names, subscription)));
    }
    all.push(Box::new(Bus::new(names)));
    all.push(Box::new(MasterKey::new(names)));
    all.push(Box::new(Bucket::new(&place, names)));
    Ok(all)
}

/// What [`apply`] would find, and then do. Changes nothing.
pub async fn plan(
    clients: &Clients,
    names: &Names,
    topology: &[Subscription],
) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for resource in description(clients, names, topology).await? {
        found.push(Found {
            resource: resource.name(),
            state: resource.state(clients).await?,
        });
    }
    Ok(found)
}

/// Makes what is missing and changes what differs; what it has found. Queues of subscriptions that
/// are no longer in `topology` are left alone. SNS may take 15 minutes to follow a changed filter.
pub async fn apply(
    clients: &Clients,
    names: &Names,
    topology: &[Subscription],
) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for resource in description(clients, names, topology).await? {
        found.push(Found {
            resource: resource.name(),
            state: bring(&*resource, clients).await?,
        });
    }
    Ok(found)
}

/// The master key alone.
pub async fn keys(clients: &Clients, names: &Names) -> Result<State> {
    bring(&MasterKey::new(names), clients).await
}

/// The bucket alone.
pub async fn bucket(clients: &Clients, names: &Names) -> Result<State> {
    let place = Place::find(clients).await?;
    bring(&Bucket::new(&place, names), clients).await
}

/// The state before.
async fn bring(resource: &dyn Resource, clients: &Clients) -> Result<State> {
    let before = resource.state(clients).await?;
    let mut now = before.clone();
    if now == State::Missing {
        resource.make(clients).await?;
        now = resource.state(clients).await?;
    }
    if let State::Differs(differences) = now {
        resource.mend(clients, &differences).await?;
    }
    Ok(before)
}

/// Removes all that [`apply`] makes, and what is in it, in the reverse order; before it the secrets.
pub async fn destroy(
    clients: &Clients,
    names: &Names,
    topology: &[Subscription],
) -> Result<Vec<(String, Removed)>> {
    let mut removed = secrets(clients, names).await?;
    for resource in description(clients, names, topology).await?.iter().rev() {
        removed.push((resource.name(), resource.remove(clients).await?));
    }
    Ok(removed)
}

/// Removes those that operators have put there: nothing describes them.
async fn secrets(clients: &Clients, names: &Names) -> Result<Vec<(String, Removed)>> {
    let secrets = SecretsManager::new(clients, names);
    let mut removed = Vec::new();
    for ListedSecret { name, .. } in secrets.list().await? {
        let became = if secrets.remove(&name).await? {
            Removed::Stays(format!(
                "{RECOVERY_DAYS} days, unreadable; until then it can be restored"
            ))
        } else {
            Removed::WasNotThere
        };
        removed.push((format!("secret {}", names.secret(&name)), became));
    }
    Ok(removed)
}

impl State {
    /// Of settings, each with what is there and what is described.
    fn compared(settings: impl IntoIterator<Item = (&'static str, String, String)>) -> Self {
        let differs = settings
            .into_iter()
            .filter(|(_, there, described)| !same(there, described));
        let differences: Vec<_> = differs
            .map(|(setting, there, described)| Difference {
                setting,
                there,
                described,
            })
            .collect();
        if differences.is_empty() {
            Self::AsDescribed
        } else {
            Self::Differs(differences)
        }
    }
}

/// Policies come back with other spaces than they were sent with.
fn same(there: &str, described: &str) -> bool {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    there == described || json(there).is_some_and(|there| Some(there) == json(described))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_compared_by_what_they_say() {
        assert!(same("60", "60"));
        assert!(same(r#"{"b": 1, "a": [2]}"#, r#"{"a":[2],"b":1}"#));
        assert!(!same(r#"{"a":[2]}"#, r#"{"a":[3]}"#));
        assert!(!same("not json", "nor this"));
    }
}
