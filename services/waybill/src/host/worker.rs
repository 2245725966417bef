//! A process that stays: receives, or serves HTTP, until it is told to end.

use std::process::ExitCode;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use waybill_ingress::Readiness;
use waybill_messaging::{Driver, Limits};

use super::consumer::Consumer;
use crate::{
    backend,
    config::Config,
    door::{Door, Hosts},
    running::Running,
    serve::Listening,
    stores::Stores,
};

pub(super) async fn consumer<C: Consumer>(config: &Config) -> Result<ExitCode> {
    let listening = Listening::on(config.listen).await?;
    let topology = [C::SUBSCRIPTION];
    let mut stores = Stores::open(config, &topology).await?;
    let consumer = C::open(config, &mut stores).await?;
    let readiness = Readiness::default();
    let driver = Driver::new(stores.bus.clone(), Limits::default());
    consumer.start(&driver);
    stores.exporter.schedule(&driver);
    let running = Running {
        router: stores.probes(&topology, &readiness),
        readiness,
        shutdown: CancellationToken::new(),
        driver,
        before: Vec::new(),
        after: consumer
            .closing()
            .into_iter()
            .chain([stores.flushed()])
            .collect(),
    };
    ready(config, &listening);
    listening.serve(running).await
}

pub(super) async fn door(config: &Config) -> Result<ExitCode> {
    let listening = Listening::on(config.listen).await?;
    let mut stores = Stores::open(config, backend::topology(config.backend)).await?;
    let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
    let door = Door::alone(config, &mut stores, &readiness, &shutdown, Hosts::Named).await?;
    let driver = Driver::new(stores.bus.clone(), Limits::default());
    stores.exporter.schedule(&driver);
    let running = Running {
        router: door.router.clone(),
        readiness,
        shutdown,
        driver,
        before: vec![door.closing()],
        after: vec![door.toolbox.closing(), stores.flushed()],
    };
    ready(config, &listening);
    listening.serve(running).await
}

fn ready(config: &Config, listening: &Listening) {
    let url = &listening.url;
    tracing::info!(services = ?config.services, url, prefix = config.aws.prefix, "ready");
}
