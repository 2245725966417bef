//! What the tables' attributes are called. The template in `infra/` uses the same.

/// Of a record: the key.
pub(crate) const PARTITION: &str = "partition";
pub(crate) const SORT: &str = "sort";
pub(super) const VERSION: &str = "version";
pub(super) const BODY: &str = "body";
/// Milliseconds since 1970: what the ledger goes by.
pub(super) const EXPIRES_AT: &str = "expires_at";
/// Of a record that has an index entry: its key in [`INDEX`].
pub(crate) const INDEX_PARTITION: &str = "index_partition";
pub(crate) const INDEX_SORT: &str = "index_sort";
/// The global secondary index, with all attributes.
pub(crate) const INDEX: &str = "index";

/// Of every table: seconds since 1970, after which `DynamoDB` removes the item, in days rather
/// than at once. An event in the outbox has none: it stays until it is published.
pub(crate) const TTL: &str = "ttl";

/// Of an inbox mark: the key.
pub(crate) const EVENT: &str = "event";
pub(crate) const SUBSCRIPTION: &str = "subscription";

/// Of an event in the outbox: the key, its `EVENT` behind it.
pub(crate) const SHARD: &str = "shard";
/// Of an event in the outbox: what goes along as a message's attributes.
pub(super) const KIND: &str = "type";
pub(super) const TENANT: &str = "tenantid";
/// Of an event in the outbox: milliseconds since 1970.
pub(super) const COMMITTED_AT: &str = "committed_at";

/// Of a shard's claim in the outbox: by which process, and until when in milliseconds since 1970.
pub(super) const CLAIMED_BY: &str = "claimed_by";
pub(super) const CLAIMED_UNTIL: &str = "claimed_until";
