//! Limits by arithmetic: what a resource can do, what a call asks of it, and so how many calls a
//! second it is enough for.

use std::fmt;

use super::setup::{Given, Setup};
use crate::cost::{EVENTS, LOOK_LAG, MARKS, audit_batch};

/// A part of the installation that can be used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    AuditWorker,
    AuditPartition,
    TenantPartition,
    IndexPartition,
    OutboxPartition,
    KeyPartition,
    RecordsTable,
    InboxTable,
    OutboxTable,
    Topic,
    Doors,
    Executors,
    Api,
    InFlight,
}

pub(super) struct Limit {
    pub(super) resource: Resource,
    /// Units (a second), all of its kind together.
    pub(super) capacity: f64,
    /// Units that one call asks of it, on the average over all calls.
    pub(super) demand: f64,
    pub(super) unit: &'static str,
}

impl Limit {
    /// Calls a second for which it is enough.
    pub(super) fn ceiling(&self) -> f64 {
        self.capacity / self.demand
    }
}

/// The least first.
pub(super) fn limits(setup: &Setup, given: &Given) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Resource::ALL
        .iter()
        .map(|resource| resource.limit(setup, given))
        .collect();
    limits.sort_by(|a, b| a.ceiling().total_cmp(&b.ceiling()));
    limits
}

impl Resource {
    const ALL: [Self; 14] = [
        Self::AuditWorker,
        Self::AuditPartition,
        Self::TenantPartition,
        Self::IndexPartition,
        Self::OutboxPartition,
        Self::KeyPartition,
        Self::RecordsTable,
        Self::InboxTable,
        Self::OutboxTable,
        Self::Topic,
        Self::Doors,
        Self::Executors,
        Self::Api,
        Self::InFlight,
    ];

    fn limit(self, setup: &Setup, given: &Given) -> Limit {
        let (items, tenants) = (&given.items, &given.assumptions.tenants);
        let batch = f64::from(audit_batch());
        let record = f64::from(items.submit_record() + items.end_record());
        let index = f64::from(items.index());
        let outbox = f64::from(items.outbox().iter().sum::<u32>());
        let segment = items.segment(batch) / batch * EVENTS;
        let audit = segment + f64::from(items.head()) / batch * EVENTS;
        let marks = MARKS * f64::from(items.mark());
        let (writes, shards) = (given.partition_writes, f64::from);
        let (capacity, demand, unit) = match self {
            Self::AuditWorker => (
                shards(setup.audit_chains),
                given.append() / batch * EVENTS,
                "s of work",
            ),
            Self::AuditPartition => (writes * shards(setup.audit_chains), segment, WRITES),
            Self::TenantPartition => {
                let capacity = writes * shards(setup.tenant_shards);
                (capacity, tenants.largest_share * record, WRITES)
            }
            Self::IndexPartition => {
                let busiest = given.busiest_index_shard(setup.index_shards);
                (writes, busiest * index, WRITES)
            }
            Self::OutboxPartition => (writes, outbox / shards(setup.outbox_shards), WRITES),
            Self::KeyPartition => (given.partition_reads, setup.key_reads, "read units"),
            Self::RecordsTable => (setup.records_writes, record + index + audit, WRITES),
            Self::InboxTable => (setup.inbox_writes, marks, WRITES),
            Self::OutboxTable => (setup.outbox_writes, outbox, WRITES),
            Self::Topic => (setup.publishes, EVENTS, "messages"),
            Self::Doors => (given.doors(setup), given.waited(), "s of a place"),
            Self::Executors => (given.slots(setup), given.worked(), "s of a slot"),
            Self::Api => (setup.requests, 1.0, "requests"),
            Self::InFlight => (setup.in_flight, given.worked(), "s in flight"),
        };
        Limit {
            resource: self,
            capacity,
            demand,
            unit,
        }
    }
}

const WRITES: &str = "write units";

impl Given {
    /// How long the executor has a delivery of a quick tool, in seconds.
    pub(super) fn worked(&self) -> f64 {
        let latency = &self.assumptions.latency;
        latency.get.mean() + latency.tool.mean() + latency.transact.mean() + self.announced()
    }

    /// How long a request waits for its outcome, in seconds, its own work included.
    pub(super) fn waited(&self) -> f64 {
        let latency = &self.assumptions.latency;
        let outcome = latency.get.mean() + latency.tool.mean() + latency.transact.mean();
        latency.get.mean()
            + latency.transact.mean()
            + self.announced()
            + latency.hop.mean()
            + outcome
            + LOOK_LAG
    }

    fn announced(&self) -> f64 {
        let latency = &self.assumptions.latency;
        latency.publish.mean() + latency.batch_write.mean()
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuditWorker => "the one chain of the audit sink",
            Self::AuditPartition => "the partition `audit/segments`",
            Self::TenantPartition => "`calls/TENANT` of the largest tenant",
            Self::IndexPartition => "the busiest shard of `calls-open`",
            Self::OutboxPartition => "a shard of the outbox",
            Self::KeyPartition => "the partition `keys/all`",
            Self::RecordsTable => "the records table and its index",
            Self::InboxTable => "the inbox table",
            Self::OutboxTable => "the outbox table",
            Self::Topic => "the SNS topic",
            Self::Doors => "Lambda concurrency for the ingress",
            Self::Executors => "`MaximumConcurrency` of the executor",
            Self::Api => "`RequestsPerSecond` of the HTTP API",
            Self::InFlight => "SQS messages in flight",
        })
    }
}
