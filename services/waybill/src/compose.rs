//! Putting the services of one process together.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;
use waybill_audit_sink::AuditSink;
use waybill_events::TenantId;
use waybill_identity::{Keys, Scope};
use waybill_ingress::Readiness;
use waybill_messaging::{BatchHandler, Driver, Handler, Limits, Subscription};
use waybill_tool_executor::ToolExecutor;

use crate::{
    backend,
    config::{BackendKind, Config},
    door::{Door, Hosts},
    executor::Executor,
    files,
    running::Running,
    services::Service,
    sink::Sink,
    stores::Stores,
    toolbox::Toolbox,
};

/// The subscriptions that every installation has.
pub(crate) const TOPOLOGY: &[Subscription] = &[ToolExecutor::SUBSCRIPTION, AuditSink::SUBSCRIPTION];

/// The services of this process, over one backend.
pub(crate) struct Local {
    pub(crate) running: Running,
    /// Of who serves, with the ingress: nothing else takes a key.
    pub(crate) key: Option<FirstKey>,
}

/// The key of whoever started the first process.
pub(crate) struct FirstKey {
    pub(crate) file: PathBuf,
    pub(crate) secret: String,
    /// Made by this start.
    pub(crate) new: bool,
}

/// What the process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes calls and runs them.
    Serve,
    /// Lets an operator look and change, while no gateway runs: calls wait until one does. They
    /// would run here with this process's folder and without its upstreams.
    Look,
}

impl Local {
    /// Opens the backend, makes what is missing in it, and starts the workers.
    pub(crate) async fn open(config: &Config, role: Role) -> Result<Self> {
        let services = match role {
            Role::Serve => config.services.clone(),
            Role::Look => looking(config.backend),
        };
        let runs = |service| services.contains(&service);
        let topology = backend::topology(config.backend);
        let mut stores = Stores::open(config, topology).await?;
        let toolbox = Arc::new(match role {
            Role::Serve if runs(Service::Ingress) || runs(Service::ToolExecutor) => {
                Toolbox::open(config, &*stores.secrets).await?
            }
            _ => Toolbox::own(config)?,
        });
        let key = if role == Role::Serve && runs(Service::Ingress) {
            Some(first_key(&config.data_dir, &stores.keys()).await?)
        } else {
            None
        };
        let chain_key = stores.chain_key().await?;
        let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
        let mut running = Running {
            router: stores.probes(topology, &readiness),
            readiness: readiness.clone(),
            shutdown: shutdown.clone(),
            driver: Driver::new(stores.bus.clone(), Limits::default()),
            before: Vec::new(),
            after: vec![toolbox.closing()],
        };
        if runs(Service::Ingress) {
            let door = Door::open(
                config,
                &mut stores,
                toolbox.clone(),
                &chain_key,
                &readiness,
                &shutdown,
                Hosts::Named,
            )?;
            running.before.push(door.closing());
            running.router = door.router;
        }
        if runs(Service::AuditSink) {
            let sink = Sink::new(&stores, chain_key);
            match role {
                Role::Serve => sink.start(&running.driver),
                Role::Look => running.driver.start_batch(sink.handler),
            }
        }
        #[cfg(feature = "aws")]
        if let Some(relay) = stores.relay.take().filter(|_| runs(Service::EventRelay)) {
            running.driver.start_batch(relay);
        }
        if runs(Service::ToolExecutor) {
            Executor::new(&mut stores, toolbox).start(&running.driver);
        }
        if role == Role::Serve {
            stores.exporter.schedule(&running.driver);
        }
        running.after.push(stores.flushed());
        Ok(Self { running, key })
    }

    pub(crate) async fn close(self) -> bool {
        self.running.close().await
    }
}

/// What an operator's command runs itself. What it does is audited by the sink that runs elsewhere,
/// or, where this process is all there is, here.
fn looking(backend: BackendKind) -> BTreeSet<Service> {
    match backend {
        BackendKind::Embedded => BTreeSet::from([Service::Ingress, Service::AuditSink]),
        BackendKind::Aws => BTreeSet::from([Service::Ingress]),
    }
}

/// Makes the first key of an installation that nobody serves from this directory.
pub(crate) async fn make_first_key(config: &Config) -> Result<FirstKey> {
    // Also while a gateway has the directory open.
    if let Some(key) = kept_key(&config.data_dir)? {
        return Ok(key);
    }
    let stores = Stores::open(config, backend::topology(config.backend)).await?;
    let key = first_key(&config.data_dir, &stores.keys()).await;
    stores.flushed().await;
    key
}

/// The key for this machine's owner. Made once; its file is his copy of the secret.
async fn first_key(data_dir: &Path, keys: &Keys) -> Result<FirstKey> {
    if let Some(key) = kept_key(data_dir)? {
        return Ok(key);
    }
    let file = files::key_file(data_dir);
    files::make_directory(data_dir)?;
    let tenant = TenantId::parse("default").context("the default tenant's name is valid")?;
    let scopes = BTreeSet::from([Scope::ToolsCall, Scope::Admin]);
    let made = keys
        .create("operator", tenant, "first key", scopes, None)
        .await?;
    files::write_private(&file, &format!("{}\n", made.secret))?;
    Ok(FirstKey {
        file,
        secret: made.secret,
        new: true,
    })
}

fn kept_key(data_dir: &Path) -> Result<Option<FirstKey>> {
    let file = files::key_file(data_dir);
    if !file.exists() {
        return Ok(None);
    }
    Ok(Some(FirstKey {
        secret: files::read_line(&file)?,
        file,
        new: false,
    }))
}
