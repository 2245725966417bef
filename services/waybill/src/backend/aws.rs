//! One installation in an AWS account, shared by any number of processes.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use waybill_backend_aws::{
    Aspect, CacheBounds, CachedKeyRing, Clients, CloudWatchMetrics, DynamoLedger, EventRelay,
    Faults, Finding, Health, KmsKeyRing, Names, OutboxSweep, S3Blobs, SecretsManager, Settings,
    SqsQueue,
    provision::{self, Found, Removed},
};
use waybill_ingress::{Check, Verdict};
use waybill_messaging::{BatchHandler as _, Clock, Meter, Subscription};

use super::Backend;
use crate::{
    compose,
    config::{Aws, Config},
    doctor,
    observe::Exporter,
    reconciler::Reconciler,
};

/// Every subscription, and the one that only this backend has.
pub(crate) const TOPOLOGY: &[Subscription] = &{
    let mut all = [EventRelay::SUBSCRIPTION; compose::TOPOLOGY.len() + 1];
    let (ours, _) = all.split_at_mut(compose::TOPOLOGY.len());
    ours.copy_from_slice(compose::TOPOLOGY);
    all
};

/// How often it is looked for events that a crash left unpublished.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

pub(super) async fn open(
    config: &Config,
    clock: &Clock,
    topology: &[Subscription],
    meter: &Meter,
) -> Result<Backend> {
    Ok(open_pushed(config, clock, topology, meter).await?.0)
}

/// For a host that brings deliveries: with the queue that takes them.
///
/// What needs no answer of another is asked at once: a function starts as fast as its slowest.
pub(crate) async fn open_pushed(
    config: &Config,
    clock: &Clock,
    topology: &[Subscription],
    meter: &Meter,
) -> Result<(Backend, SqsQueue)> {
    let (clients, names) = connect(&config.aws).await?;
    let opening = async {
        tokio::try_join!(
            DynamoLedger::open(&clients, &names, clock.clone()),
            SqsQueue::open(&clients, &names, topology),
        )
    };
    let (ledger, queue) = opening.await.context(
        "the installation is not complete: deploy its template again, or run `waybill infra \
             apply` where that has made it",
    )?;
    let blobs = S3Blobs::new(&clients, &names, ledger.place(), clock.clone());
    let (flushed, requests) = (ledger.clone(), clients.requests().clone());
    let sent = CloudWatchMetrics::new(&clients, &config.aws.prefix, meter.clone());
    let sweep = OutboxSweep::new(ledger.clone(), meter.clone());
    let backend = Backend {
        ledger: Arc::new(ledger),
        queue: Arc::new(queue.clone()),
        keyring: Arc::new(CachedKeyRing::new(
            KmsKeyRing::new(&clients, &names),
            CacheBounds::default(),
        )),
        blobs: Arc::new(blobs),
        secrets: Arc::new(SecretsManager::new(&clients, &names)),
        checks: checks(&Health::new(&clients, &names, TOPOLOGY, clock.clone())),
        reconcilers: vec![Reconciler::new(sweep, SWEEP_EVERY)],
        exporter: Exporter::Sent(sent, clock.clone()),
        flush: Box::new(move || {
            let (ledger, requests) = (flushed.clone(), requests.clone());
            Box::pin(async move {
                ledger.drain().await;
                tracing::debug!(?requests, "requests to AWS");
            })
        }),
        relay: Some(Arc::new(EventRelay::new(&clients, &names))),
    };
    Ok((backend, queue))
}

fn checks(health: &Health) -> Vec<Check> {
    let checks = Aspect::ALL.map(|aspect| {
        let health = health.clone();
        doctor::check(aspect.name(), move || {
            let health = health.clone();
            Box::pin(async move {
                match health.look(aspect).await {
                    Finding::Good(text) => Verdict::Ok(text),
                    Finding::Doubtful(text) => Verdict::Warning(text),
                    Finding::Bad(text) => Verdict::Failed(text),
                }
            })
        })
    });
    checks.into()
}

/// What an installation has, against what it needs. Changes nothing.
pub(crate) async fn plan(aws: &Aws) -> Result<Vec<Found>> {
    let (clients, names) = connect(aws).await?;
    let found = provision::plan(&clients, &names, TOPOLOGY).await;
    found.context("the installation cannot be looked at")
}

/// Makes what an installation needs and has not yet; what it had.
pub(crate) async fn apply(aws: &Aws) -> Result<Vec<Found>> {
    let (clients, names) = connect(aws).await?;
    let found = provision::apply(&clients, &names, TOPOLOGY).await;
    found.context("the installation cannot be made")
}

/// Removes all of it, and what is in it.
pub(crate) async fn destroy(aws: &Aws) -> Result<Vec<(String, Removed)>> {
    let (clients, names) = connect(aws).await?;
    let removed = provision::destroy(&clients, &names, TOPOLOGY).await;
    removed.context("the installation cannot be removed")
}

async fn connect(aws: &Aws) -> Result<(Clients, Names)> {
    let faults = aws.faults.as_deref().map(str::parse::<Faults>);
    let settings = Settings {
        endpoint_url: aws.endpoint_url.clone(),
        region: aws.region.clone(),
        faults: faults.transpose().context("--faults")?,
    };
    let clients = Clients::connect(&settings).await?;
    Ok((clients, names(aws)))
}

pub(crate) fn names(aws: &Aws) -> Names {
    Names::new(aws.prefix.clone())
}
