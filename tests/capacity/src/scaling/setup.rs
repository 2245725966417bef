//! How an installation is set up: what the code decides, and what an account is allowed.

use waybill_calls::Calls;
use waybill_messaging::{Expect, IndexEntry, Write};

use crate::{
    assumptions::Assumptions,
    cost::audit_batch,
    figures::{Quota, Region, Table},
    items::{Items, call},
    template::Template,
};

/// `OPEN_SHARDS` of `libs/calls`.
const INDEX_SHARDS: u32 = 8;
/// `SHARDS` of the outbox in `libs/backend-aws`.
const OUTBOX_SHARDS: u32 = 16;
/// SQS gives so many in one request.
const SQS_BATCH: u32 = 10;

/// What can be turned. The rest is in the code.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setup {
    /// Chains of the audit trail, each with its own head, segments and worker.
    pub(super) audit_chains: u32,
    /// Partitions of one tenant's calls.
    pub(super) tenant_shards: u32,
    pub(super) index_shards: u32,
    pub(super) outbox_shards: u32,
    /// Reads of a key for one call: each process believes a key for a second, and on Lambda a
    /// process has few calls in a second.
    pub(super) key_reads: f64,
    pub(super) records_writes: f64,
    pub(super) inbox_writes: f64,
    pub(super) outbox_writes: f64,
    pub(super) publishes: f64,
    /// Of the account, for all functions.
    pub(super) concurrency: f64,
    /// Functions of the executor.
    pub(super) executors: f64,
    pub(super) requests: f64,
    pub(super) in_flight: f64,
}

/// What is given.
pub(super) struct Given {
    pub(super) assumptions: Assumptions,
    pub(super) template: Template,
    pub(super) items: Items,
    pub(super) partition_writes: f64,
    pub(super) partition_reads: f64,
    /// Of the index of open calls: where a call goes by the last character of its id.
    pub(super) last_characters: Vec<u32>,
}

impl Setup {
    /// As the code and the template are, in an account without raised quotas.
    pub(super) fn of(given: &Given, region: Region, quotas: &Table<Quota>) -> Self {
        let lambda = &given.assumptions.lambda;
        let quota = |quota| quotas.of(quota, region);
        let table = quota(Quota::TableWrites);
        Self {
            audit_chains: 1,
            tenant_shards: 1,
            index_shards: INDEX_SHARDS,
            outbox_shards: OUTBOX_SHARDS,
            key_reads: 1.0,
            records_writes: table,
            inbox_writes: table,
            outbox_writes: table,
            publishes: quota(Quota::Publish),
            concurrency: quota(Quota::Concurrency),
            executors: lambda.executors.min(quota(Quota::Pollers)),
            requests: lambda.requests_per_second.min(quota(Quota::ApiRequests)),
            in_flight: quota(Quota::InFlight),
        }
    }
}

impl Given {
    pub(super) fn read(region: Region, quotas: &Table<Quota>) -> Self {
        let assumptions = Assumptions::read();
        Self {
            template: Template::read(),
            items: Items::of(&assumptions.call),
            partition_writes: quotas.of(Quota::PartitionWrites, region),
            partition_reads: quotas.of(Quota::PartitionReads, region),
            last_characters: last_characters(),
            assumptions,
        }
    }

    /// Share of the calls that the busiest of so many index shards has.
    pub(super) fn busiest_index_shard(&self, shards: u32) -> f64 {
        if shards > INDEX_SHARDS {
            // Whoever makes them more spreads them by more than one character.
            return 1.0 / f64::from(shards);
        }
        let on = |shard| {
            let here = self.last_characters.iter().filter(|at| **at == shard);
            u32::try_from(here.count()).unwrap_or(u32::MAX)
        };
        let most = (0..shards).map(on).max().unwrap_or(1);
        let all = u32::try_from(self.last_characters.len()).unwrap_or(u32::MAX);
        f64::from(most) / f64::from(all)
    }

    /// What one append of the audit sink takes, in seconds, if `DynamoDB` has no limits.
    pub(super) fn append(&self) -> f64 {
        let latency = &self.assumptions.latency;
        latency.get.mean() + latency.transact_large.mean()
    }

    /// The same with a full batch that a long-poll worker receives first, one request after the
    /// other, and deletes, all requests at once.
    pub(super) fn polled_append(&self) -> f64 {
        let latency = &self.assumptions.latency;
        let receives = f64::from(audit_batch().div_ceil(SQS_BATCH));
        receives * latency.receive.mean() + self.append() + latency.delete.mean()
    }

    /// Deliveries that the executors of `setup` work on at once.
    pub(super) fn slots(&self, setup: &Setup) -> f64 {
        setup.executors * self.template.executor.batch
    }

    /// Places of the account that the other functions leave to the ingress.
    pub(super) fn doors(&self, setup: &Setup) -> f64 {
        let sinks = self.template.audit_sink.concurrency.unwrap_or(1.0);
        let sinks = sinks * f64::from(setup.audit_chains);
        (setup.concurrency - setup.executors - sinks).max(1.0)
    }
}

/// For each last character that an id can have, the shard that its calls are in.
fn last_characters() -> Vec<u32> {
    let shard = |write: &Write| match write {
        Write::Put {
            index: Some(IndexEntry { partition, .. }),
            ..
        } => partition.rsplit('/').next()?.parse().ok(),
        _ => None,
    };
    let calls = (0..32).map(|random| call(random, 0));
    let writes = calls.map(|call| Calls::write(&call, Expect::Absent));
    writes.filter_map(|write| shard(&write)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The constants are private to crates that must not be asked for them.
    #[test]
    fn shards_are_those_of_the_code() {
        let calls = include_str!("../../../../libs/calls/src/repository.rs");
        assert!(calls.contains(&format!("OPEN_SHARDS: u8 = {INDEX_SHARDS};")));
        let outbox = include_str!("../../../../libs/backend-aws/src/ledger/outbox.rs");
        assert!(outbox.contains(&format!("SHARDS: u64 = {OUTBOX_SHARDS};")));
    }

    #[test]
    fn every_last_character_has_a_shard() {
        let characters = last_characters();
        assert_eq!(characters.len(), 32);
        assert!((0..INDEX_SHARDS).all(|shard| characters.contains(&shard)));
    }
}
