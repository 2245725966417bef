//! An installation under several loads, as it is and as it could be.

use super::{
    Load,
    remedies::{Remedy, remedies},
    setup::{Given, Setup},
    world::{self, Run},
};
use crate::figures::{Quota, Region, Table};

/// Everything that the page says.
pub(super) struct Study {
    pub(super) quotas: Table<Quota>,
    pub(super) region: Region,
    pub(super) given: Given,
    pub(super) setup: Setup,
    /// For the largest of the loads.
    pub(super) remedies: Vec<Remedy>,
    /// As the installation is, and with all remedies: multiples of the base load.
    pub(super) now: Vec<(f64, Run)>,
    pub(super) then: Vec<(f64, Run)>,
    /// The largest load as the installation is, but through a Function URL, which has no rate.
    pub(super) open: Run,
}

impl Study {
    pub(super) fn new(region: Region, load: &Load) -> Self {
        let quotas = Table::quotas();
        let given = Given::read(region, &quotas);
        let setup = Setup::of(&given, region, &quotas);
        let most = load.times.iter().copied().fold(1.0, f64::max) * load.base;
        let remedies = remedies(setup.clone(), &given, most);
        let runs = |setup: &Setup| {
            let run = |times: &f64| {
                let run = world::run(setup, &given, load.base * times, load.seed);
                (*times, run)
            };
            load.times.iter().map(run).collect()
        };
        let open = Setup {
            requests: f64::INFINITY,
            ..setup.clone()
        };
        Self {
            open: world::run(&open, &given, most, load.seed),
            now: runs(&setup),
            then: runs(remedies.last().map_or(&setup, |last| &last.setup)),
            remedies,
            quotas,
            region,
            given,
            setup,
        }
    }

    /// With all remedies.
    pub(super) fn last(&self) -> &Setup {
        self.remedies.last().map_or(&self.setup, |last| &last.setup)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::limits::{Resource, limits},
        *,
    };

    const REGION: Region = Region::UsEast1;

    fn one() -> Load {
        Load {
            times: vec![1_000.0],
            ..Load::default()
        }
    }

    /// The utilisation law: what is used is what a call asks for, times the calls.
    #[test]
    fn the_world_uses_what_arithmetic_says() {
        let study = Study::new(REGION, &one());
        let last = study.last();
        let run = world::run(last, &study.given, 500.0, 5);
        for limit in limits(last, &study.given) {
            let used = run
                .used
                .iter()
                .find(|(resource, _)| *resource == limit.resource);
            let Some((_, used)) = used else { continue };
            let by_law = run.offered / limit.ceiling();
            // The fullest of many partitions is above their average; batches are not full.
            let fits = match limit.resource {
                Resource::AuditWorker | Resource::AuditPartition | Resource::RecordsTable => {
                    *used > by_law * 0.8
                }
                Resource::TenantPartition
                | Resource::IndexPartition
                | Resource::OutboxPartition => (0.9..2.0).contains(&(used / by_law)),
                _ => (0.85..1.15).contains(&(used / by_law)),
            };
            assert!(fits, "{}: {used} is not {by_law}", limit.resource);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_another_one_nearly() {
        let study = Study::new(REGION, &one());
        let run = |seed| format!("{:?}", world::run(&study.setup, &study.given, 50.0, seed));
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
