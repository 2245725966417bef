//! Putting the services together.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::Router;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use waybill_audit_sink::{AuditSink, ChainKey, Trail};
use waybill_calls::Calls;
use waybill_events::TenantId;
use waybill_identity::{Keys, Principal, Scope};
use waybill_ingress::{
    Gateway, McpSettings, McpState, Meter, Readiness,
    desk::{Desk, DeskLimits},
    mcp::Changes,
};
use waybill_messaging::{
    BatchHandler, Blobs, Bus, Clock, Driver, Handler, Ledger, Limits, Queue, Subscription,
};
use waybill_resilience::{Breakers, Settings};
use waybill_tool_executor::{DeadlineSweep, ToolExecutor};
use waybill_toolkit::{Content, Registry, Toolkit};
use waybill_toolkit_code::CodeToolkit;
use waybill_toolkit_files::FilesToolkit;
use waybill_toolkit_upstream::{McpConfig, Options, Supervisor};
use waybill_workspace::{Root, Roots};

use crate::{
    address,
    backend::{Backend, Chore},
    config::Config,
    doctor, files,
};

/// Every subscription of this process.
pub(crate) const TOPOLOGY: &[Subscription] = &[ToolExecutor::SUBSCRIPTION, AuditSink::SUBSCRIPTION];

const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// What a spawned upstream server inherits.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR"];

/// Everything that runs in this process, over one backend.
pub(crate) struct Local {
    pub(crate) router: Router,
    /// The first API key's secret.
    pub(crate) key: String,
    /// The first key was made by this start.
    pub(crate) first_start: bool,
    pub(crate) readiness: Readiness,
    /// Ends open streams.
    pub(crate) shutdown: CancellationToken,
    desk: Desk,
    driver: Driver,
    supervisor: Arc<Supervisor>,
    closing: BoxFuture<'static, ()>,
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

/// What the services share.
struct Stores {
    clock: Clock,
    ledger: Arc<dyn Ledger>,
    blobs: Arc<dyn Blobs>,
    bus: Bus,
    calls: Calls,
    registry: Registry,
}

impl Local {
    /// Opens the backend, makes what is missing in it, and starts the workers.
    pub(crate) async fn open(config: &Config, role: Role) -> Result<Self> {
        let clock = Clock::system();
        let Backend {
            ledger,
            queue,
            keyring,
            blobs,
            checks,
            chores,
            closing,
        } = Backend::open(config, &clock).await?;
        let meter = Meter::default();
        let stores = Stores::new(meter.over(ledger), queue, blobs, clock);
        let keys = Keys::new(stores.ledger.clone(), stores.clock.clone());
        let (key, first_start) = first_key(&config.data_dir, &keys).await?;
        let chain_key = ChainKey::open(&*stores.ledger, &*keyring).await?;

        let changes = Changes::default();
        let content = register(config, &stores.registry, &changes)?;
        let upstreams = match role {
            Role::Serve => upstreams(config)?,
            Role::Look => McpConfig::default(),
        };
        let supervisor = Arc::new(Supervisor::start(upstreams, &stores.registry, &options()));

        let desk = stores.desk(config);
        let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
        let gateway = Gateway {
            mcp: McpState {
                desk: desk.clone(),
                content,
                changes,
                settings: Arc::new(mcp_settings(config, chain_key.derive("request-state"))),
                shutdown: shutdown.clone(),
            },
            keys,
            trail: Trail::new(stores.ledger.clone(), chain_key.clone()),
            bus: stores.bus.clone(),
            subscriptions: TOPOLOGY.into(),
            checks: doctor::checks(checks, &stores.bus, &supervisor),
            readiness: readiness.clone(),
            rate: config.http.rate(),
            anonymous: config.conformance.then(anonymous),
        };
        let router = waybill_ingress::metered_router(gateway, &meter)?;
        let driver = stores.start(role, chain_key, chores);
        Ok(Self {
            router,
            key,
            first_start,
            readiness,
            shutdown,
            desk,
            driver,
            supervisor,
            closing,
        })
    }

    /// Lets running work finish within [`Config::DRAIN`]. False: some of it goes on after the next
    /// start.
    pub(crate) async fn close(self) -> bool {
        self.shutdown.cancel();
        self.desk.drain().await;
        let finished = self.driver.drain(Config::DRAIN).await;
        self.supervisor.shutdown(Config::DRAIN).await;
        self.closing.await;
        finished
    }
}

impl Stores {
    fn new(
        ledger: Arc<dyn Ledger>,
        queue: Arc<dyn Queue>,
        blobs: Arc<dyn Blobs>,
        clock: Clock,
    ) -> Self {
        let bus = Bus {
            ledger: ledger.clone(),
            queue,
            clock: clock.clone(),
        };
        let calls = Calls::new(ledger.clone(), blobs.clone(), clock.clone());
        Self {
            clock,
            ledger,
            blobs,
            bus,
            calls,
            registry: Registry::default(),
        }
    }

    fn desk(&self, config: &Config) -> Desk {
        let limits = DeskLimits {
            deadline: Duration::from_secs(config.calls.deadline_s),
            retention: Duration::from_secs(config.calls.retention_s),
            ..DeskLimits::default()
        };
        Desk::new(
            self.calls.clone(),
            self.registry.clone(),
            self.clock.clone(),
            limits,
        )
    }

    fn start(self, role: Role, chain_key: ChainKey, chores: Vec<Chore>) -> Driver {
        let Self {
            clock,
            ledger,
            blobs,
            bus,
            calls,
            registry,
        } = self;
        let driver = Driver::new(bus, Limits::default());
        driver.start_batch(Arc::new(AuditSink::new(ledger.clone(), chain_key)));
        if role == Role::Serve {
            for chore in chores {
                chore(&driver);
            }
            let breakers = Breakers::new(ledger.clone(), clock.clone(), Settings::default());
            let breakers = Arc::new(breakers);
            let executor =
                ToolExecutor::new(calls.clone(), ledger.clone(), registry, breakers, clock);
            driver.start(Arc::new(executor));
            driver.schedule(
                Arc::new(DeadlineSweep::new(calls, ledger, blobs)),
                SWEEP_EVERY,
            );
        }
        driver
    }
}

/// The key for this machine's owner. Made once; its file is his copy of the secret.
async fn first_key(data_dir: &Path, keys: &Keys) -> Result<(String, bool)> {
    let path = files::key_file(data_dir);
    if path.exists() {
        return Ok((files::read_line(&path)?, false));
    }
    let tenant = TenantId::parse("default").context("the default tenant's name is valid")?;
    let scopes = BTreeSet::from([Scope::ToolsCall, Scope::Admin]);
    let new = keys
        .create("operator", tenant, "first key", scopes, None)
        .await?;
    files::write_private(&path, &format!("{}\n", new.secret))?;
    Ok((new.secret, true))
}

/// Our own toolkits; in the test configuration the suite's fixtures, and nothing else.
fn register(
    config: &Config,
    registry: &Registry,
    changes: &Changes,
) -> Result<Option<Arc<dyn Content>>> {
    if config.conformance {
        #[cfg(feature = "conformance")]
        return conformance(registry, changes).map(Some);
        #[cfg(not(feature = "conformance"))]
        anyhow::bail!("this waybill was built without the conformance fixtures");
    }
    let _ = changes;
    // Whoever may call a tool must not learn the operator's credentials by it.
    let own = [
        config.data_dir.clone(),
        files::key_file(&config.data_dir),
        files::master_key(&config.data_dir),
    ];
    let hidden: Vec<_> = own
        .into_iter()
        .chain(config.sources.iter().cloned())
        .filter(|path| path.exists())
        .collect();
    let roots = config
        .roots
        .iter()
        .map(|root| Root::new(&root.name, &root.path));
    let roots = Arc::new(Roots::open(&roots.collect::<Vec<_>>(), &hidden)?);
    let toolkits: [Box<dyn Toolkit>; 2] = [
        Box::new(FilesToolkit::new(roots.clone())),
        Box::new(CodeToolkit::new(roots)),
    ];
    for toolkit in &toolkits {
        registry.set(&**toolkit)?;
    }
    Ok(None)
}

#[cfg(feature = "conformance")]
fn conformance(registry: &Registry, changes: &Changes) -> Result<Arc<dyn Content>> {
    use waybill_toolkit_conformance::{Change, Fixtures, OnChange, toolkits};

    let changes = changes.clone();
    let on_change: OnChange = Arc::new(move |change| match change {
        Change::Tools => changes.tools_changed(),
        Change::Prompts => changes.prompts_changed(),
    });
    for toolkit in toolkits(Some(on_change)) {
        registry.set(&*toolkit)?;
    }
    Ok(Arc::new(Fixtures))
}

fn upstreams(config: &Config) -> Result<McpConfig> {
    let Some(path) = &config.mcp_config else {
        return Ok(McpConfig::default());
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the MCP configuration {}", path.display()))?;
    let config = McpConfig::parse(&text, &crate::config::variable)
        .with_context(|| format!("in the MCP configuration {}", path.display()))?;
    for warning in &config.warnings {
        tracing::warn!(file = %path.display(), warning, "in the MCP configuration");
    }
    Ok(config)
}

fn options() -> Options {
    let inherited = INHERITED
        .iter()
        .filter_map(|name| crate::config::variable(name).map(|value| ((*name).to_owned(), value)));
    let base_env: BTreeMap<String, String> = inherited.collect();
    Options {
        base_env,
        ..Options::default()
    }
}

fn mcp_settings(config: &Config, state_key: Vec<u8>) -> McpSettings {
    let mut settings = McpSettings::new(state_key);
    settings
        .hosts
        .extend(config.http.allowed_hosts.iter().cloned());
    settings
        .origins
        .extend(config.http.allowed_origins.iter().cloned());
    if !config.listen.ip().is_loopback() && !config.listen.ip().is_unspecified() {
        settings.hosts.push(address::host(config.listen.ip()));
    }
    let public = config.public_url.as_deref();
    settings.hosts.extend(public.and_then(address::host_of));
    settings.public_url.clone_from(&config.public_url);
    settings.body_bytes = config.http.max_body_bytes;
    settings.wait = Duration::from_secs(config.calls.inline_wait_s).min(settings.max_wait);
    settings.task_wait = Duration::from_secs_f64(config.calls.task_wait_s.clamp(0.0, 28.0));
    settings
}

/// Who calls without a key in the test configuration.
fn anonymous() -> Principal {
    Principal {
        key_id: "anonymous".to_owned(),
        tenant: TenantId::parse("conformance").expect("a valid tenant"),
        scopes: BTreeSet::from([Scope::ToolsCall]),
    }
}
