//! One installation in an AWS account, shared by any number of processes.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use waybill_backend_aws::{
    Clients, DynamoLedger, Faults, KmsKeyRing, Names, OutboxSweep, S3Blobs, Settings, SqsQueue,
    provision,
};
use waybill_messaging::{Clock, Driver};

use super::{Backend, Chore};
use crate::{
    compose::TOPOLOGY,
    config::{Aws, Config},
    files,
};

/// How often it is looked for events that a crash left unpublished.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

pub(super) async fn open(config: &Config, clock: &Clock) -> Result<Backend> {
    // The first key's file is here also where the records are far away.
    files::make_directory(&config.data_dir)?;
    let (clients, names) = connect(&config.aws).await?;
    let missing = "the installation is not complete; `waybill infra apply` makes what is missing";
    let ledger = DynamoLedger::open(&clients, &names, clock.clone())
        .await
        .context(missing)?;
    let queue = SqsQueue::open(&clients, &names, TOPOLOGY)
        .await
        .context(missing)?;
    let (drained, requests) = (ledger.clone(), clients.requests().clone());
    let sweep = Arc::new(OutboxSweep::new(ledger.clone()));
    let chore: Chore = Box::new(move |driver: &Driver| driver.schedule(sweep, SWEEP_EVERY));
    Ok(Backend {
        ledger: Arc::new(ledger),
        queue: Arc::new(queue),
        keyring: Arc::new(KmsKeyRing::new(&clients, &names)),
        blobs: Arc::new(S3Blobs::new(&clients, &names, clock.clone())),
        checks: Vec::new(),
        chores: vec![chore],
        closing: Box::pin(async move {
            drained.drain().await;
            tracing::debug!(?requests, "requests to AWS");
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
