//! One installation in an AWS account, shared by any number of processes.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use waybill_backend_aws::{
    Clients, DynamoLedger, Faults, KmsKeyRing, Names, OutboxSweep, S3Blobs, Settings, SqsQueue,
    provision,
};
use waybill_messaging::{Clock, Subscription};

use super::Backend;
use crate::{
    compose::TOPOLOGY,
    config::{Aws, Config},
    reconciler::Reconciler,
};

/// How often it is looked for events that a crash left unpublished.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// What needs no answer of another is asked at once: a function starts as fast as its slowest.
pub(super) async fn open(
    config: &Config,
    clock: &Clock,
    topology: &[Subscription],
) -> Result<Backend> {
    let (clients, names) = connect(&config.aws).await?;
    let opening = async {
        tokio::try_join!(
            DynamoLedger::open(&clients, &names, clock.clone()),
            SqsQueue::open(&clients, &names, topology),
        )
    };
    let (ledger, queue) = opening
        .await
        .context("the installation is not complete; `waybill infra apply` makes what is missing")?;
    let (flushed, requests) = (ledger.clone(), clients.requests().clone());
    let sweep = OutboxSweep::new(ledger.clone());
    Ok(Backend {
        ledger: Arc::new(ledger),
        queue: Arc::new(queue),
        keyring: Arc::new(KmsKeyRing::new(&clients, &names)),
        blobs: Arc::new(S3Blobs::new(&clients, &names, clock.clone())),
        checks: Vec::new(),
        reconcilers: vec![Reconciler::new(sweep, SWEEP_EVERY)],
        flush: Box::new(move || {
            let (ledger, requests) = (flushed.clone(), requests.clone());
            Box::pin(async move {
                ledger.drain().await;
                tracing::debug!(?requests, "requests to AWS");
            })
        }),
    })
}

/// Makes what an installation needs and has not yet.
pub(crate) async fn apply(aws: &Aws) -> Result<()> {
    let (clients, names) = connect(aws).await?;
    provision::apply(&clients, &names, TOPOLOGY)
        .await
        .context("the installation cannot be made")
}

async fn connect(aws: &Aws) -> Result<(Clients, Names)> {
    let faults = aws.faults.as_deref().map(str::parse::<Faults>);
    let settings = Settings {
        endpoint_url: aws.endpoint_url.clone(),
        region: aws.region.clone(),
        faults: faults.transpose().context("--faults")?,
    };
    let clients = Clients::connect(&settings).await?;
    Ok((clients, Names::new(aws.prefix.clone())))
}
