//! What to do about each limit, in the order in which they are met.

use super::{
    limits::{Limit, Resource, limits},
    setup::{Given, Setup},
};

/// No more of the limit than this is used: what is fuller makes others wait.
const FULL: f64 = 0.7;

/// One limit put out of the way.
pub(super) struct Remedy {
    pub(super) resource: Resource,
    /// Calls a second for which the installation was enough until then.
    pub(super) ceiling: f64,
    pub(super) what: String,
    /// Who does it.
    pub(super) kind: Kind,
    /// How the installation is set up afterwards.
    pub(super) setup: Setup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A change of Waybill.
    Code,
    /// A parameter of the template.
    Setting,
    /// A request to AWS.
    Quota,
}

/// What is to be done for `target` calls a second, in order.
pub(super) fn remedies(mut setup: Setup, given: &Given, target: f64) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    loop {
        let limits = limits(&setup, given);
        let Some(least) = limits
            .first()
            .filter(|least| least.ceiling() * FULL < target)
        else {
            return remedies;
        };
        let (what, kind) = put_away(least, &mut setup, target);
        remedies.push(Remedy {
            resource: least.resource,
            ceiling: least.ceiling(),
            what,
            kind,
            setup: setup.clone(),
        });
    }
}

fn put_away(limit: &Limit, setup: &mut Setup, target: f64) -> (String, Kind) {
    let more = target / FULL / limit.ceiling();
    let quota = |value: &mut f64, what: &str| {
        *value = (*value * more / 1e3).ceil() * 1e3;
        let what = format!("raise it to {} {what}", crate::text::number(*value));
        (what, Kind::Quota)
    };
    match limit.resource {
        Resource::AuditWorker | Resource::AuditPartition => {
            setup.audit_chains = times(setup.audit_chains, more);
            let what = format!(
                "{} audit chains, by tenant or by a hash of the event, each with its head",
                setup.audit_chains
            );
            (what, Kind::Code)
        }
        Resource::TenantPartition => {
            setup.tenant_shards = times(setup.tenant_shards, more);
            let what = format!(
                "limit the tenant's rate; or its calls in {} partitions, which lists merge",
                setup.tenant_shards
            );
            (what, Kind::Code)
        }
        Resource::IndexPartition => {
            setup.index_shards = times(setup.index_shards, more);
            let what = format!(
                "`OPEN_SHARDS` = {}, by a hash of the id",
                setup.index_shards
            );
            (what, Kind::Code)
        }
        Resource::OutboxPartition => {
            setup.outbox_shards = times(setup.outbox_shards, more);
            (
                format!("`SHARDS` of the outbox = {}", setup.outbox_shards),
                Kind::Code,
            )
        }
        Resource::KeyPartition => {
            setup.key_reads /= 10.0;
            let what = "believe a key for 10 s in place of 1 s, or make each key a partition";
            (what.to_owned(), Kind::Code)
        }
        Resource::RecordsTable => quota(&mut setup.records_writes, "write units a second"),
        Resource::InboxTable => quota(&mut setup.inbox_writes, "write units a second"),
        Resource::OutboxTable => quota(&mut setup.outbox_writes, "write units a second"),
        Resource::Topic => quota(&mut setup.publishes, "messages a second"),
        Resource::Doors => quota(
            &mut setup.concurrency,
            "concurrent invocations, or use containers",
        ),
        Resource::Executors => {
            setup.executors = (setup.executors * more / 10.0).ceil() * 10.0;
            let what = format!("`MaximumConcurrency` = {}", setup.executors);
            (what, Kind::Setting)
        }
        Resource::Api => {
            setup.requests = (setup.requests * more / 1e3).ceil() * 1e3;
            let what = format!(
                "`RequestsPerSecond` = {}, above 10,000 by a quota; or a Function URL",
                crate::text::number(setup.requests)
            );
            (what, Kind::Setting)
        }
        Resource::InFlight => quota(&mut setup.in_flight, "messages"),
    }
}

/// So many times more, as a power of two.
fn times(shards: u32, more: f64) -> u32 {
    let mut enough = shards.max(1);
    while f64::from(enough) < f64::from(shards) * more {
        enough = enough.saturating_mul(2);
    }
    enough.max(shards.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Region, Table};

    #[test]
    fn every_remedy_helps_until_nothing_is_short() {
        let (region, quotas) = (Region::UsEast1, Table::quotas());
        let given = Given::read(region, &quotas);
        let target = 10_000.0;
        let remedies = remedies(Setup::of(&given, region, &quotas), &given, target);
        for pair in remedies.windows(2) {
            assert!(pair[0].ceiling <= pair[1].ceiling, "{}", pair[1].what);
            assert_ne!(pair[0].setup, pair[1].setup);
        }
        let last = &remedies.last().unwrap().setup;
        let least = limits(last, &given).remove(0);
        assert!(least.ceiling() * FULL >= target, "{}", least.resource);
    }
}
