//! What an installation's resources are called. Templates and code use the same.

use std::sync::Arc;

use waybill_messaging::SecretName;

/// Names under one prefix: two installations share an account under two prefixes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Names(Arc<str>);

impl Names {
    /// `prefix`: 1 to 20 of `a-z 0-9 -`, such as `waybill-dev`.
    pub fn new(prefix: impl Into<Arc<str>>) -> Self {
        Self(prefix.into())
    }

    pub fn prefix(&self) -> &str {
        &self.0
    }

    /// The ledger's records, and its index.
    pub fn records(&self) -> String {
        self.under("records")
    }

    /// Which subscription has handled which event.
    pub fn inbox(&self) -> String {
        self.under("inbox")
    }

    /// Events that are committed and perhaps not yet published.
    pub fn outbox(&self) -> String {
        self.under("outbox")
    }

    /// Every event goes through this topic.
    pub fn topic(&self) -> String {
        self.under("events")
    }

    /// The bus that carries every event outward.
    pub fn bus(&self) -> String {
        self.under("events")
    }

    pub fn queue(&self, subscription: &str) -> String {
        self.under(subscription)
    }

    pub fn dead_letter_queue(&self, subscription: &str) -> String {
        format!("{}-{subscription}-dlq", self.0)
    }

    /// Names of buckets are shared by all accounts: it has its own account's at its end.
    pub fn bucket(&self, account: &str) -> String {
        format!("{}-blobs-{account}", self.0)
    }

    /// What the names of its secrets begin with.
    pub fn secrets(&self) -> String {
        format!("{}/", self.0)
    }

    pub fn secret(&self, name: &SecretName) -> String {
        format!("{}/{name}", self.0)
    }

    /// The master key's alias.
    pub fn key_alias(&self) -> String {
        format!("alias/{}", self.0)
    }

    /// What the names of its alarms begin with.
    pub fn alarms(&self) -> String {
        self.under("")
    }

    fn under(&self, name: &str) -> String {
        format!("{}-{name}", self.0)
    }
}
