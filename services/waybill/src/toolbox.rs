//! The tools that a process knows: ours, and those of upstream servers.

#[cfg(feature = "aws")]
use std::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use waybill_ingress::mcp::Changes;
use waybill_messaging::{SecretName, SecretValue, Secrets};
use waybill_toolkit::{Content, Registry, Toolkit};
use waybill_toolkit_code::CodeToolkit;
use waybill_toolkit_files::FilesToolkit;
use waybill_toolkit_upstream::{McpConfig, Options, Supervisor};
use waybill_workspace::{Root, Roots};

use crate::{config::Config, files};

/// What a spawned upstream server inherits.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR"];

/// Lambda gives a function 10 s to start.
#[cfg(feature = "aws")]
const SETTLING: Duration = Duration::from_secs(3);

/// The door shows what is in it, and the tool executor runs it: both read the same configuration.
pub(crate) struct Toolbox {
    pub(crate) registry: Registry,
    pub(crate) content: Option<Arc<dyn Content>>,
    pub(crate) changes: Changes,
    pub(crate) supervisor: Arc<Supervisor>,
}

impl Toolbox {
    /// With the upstream servers of the configuration.
    pub(crate) async fn open(config: &Config, secrets: &dyn Secrets) -> Result<Self> {
        Self::with(config, upstreams(config, secrets).await?)
    }

    /// The same, and gives the upstream servers a moment: a function may be called as soon as it is
    /// open, and is frozen after it has answered.
    #[cfg(feature = "aws")]
    pub(crate) async fn open_settled(config: &Config, secrets: &dyn Secrets) -> Result<Self> {
        let toolbox = Self::open(config, secrets).await?;
        if tokio::time::timeout(SETTLING, toolbox.supervisor.settled())
            .await
            .is_err()
        {
            tracing::warn!("not every upstream server answers yet");
        }
        Ok(toolbox)
    }

    /// Without any upstream server.
    pub(crate) fn own(config: &Config) -> Result<Self> {
        Self::with(config, McpConfig::default())
    }

    fn with(config: &Config, upstreams: McpConfig) -> Result<Self> {
        let (registry, changes) = (Registry::default(), Changes::default());
        let content = register(config, &registry, &changes)?;
        let supervisor = Supervisor::start(upstreams, &registry, &options());
        Ok(Self {
            registry,
            content,
            changes,
            supervisor: Arc::new(supervisor),
        })
    }

    /// Ends the upstream servers.
    pub(crate) fn closing(&self) -> BoxFuture<'static, ()> {
        let supervisor = self.supervisor.clone();
        Box::pin(async move { supervisor.shutdown(Config::DRAIN).await })
    }
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
    if config.roots.is_empty() {
        return Ok(None);
    }
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
    let roots = config.roots.iter();
    let roots: Vec<_> = roots
        .map(|root| Root::new(&root.name, &root.path))
        .collect();
    let roots = Arc::new(Roots::open(&roots, &hidden)?);
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

async fn upstreams(config: &Config, secrets: &dyn Secrets) -> Result<McpConfig> {
    let Some(path) = &config.mcp_config else {
        return Ok(McpConfig::default());
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the MCP configuration {}", path.display()))?;
    let within = || format!("in the MCP configuration {}", path.display());
    let read = read(secrets, McpConfig::secrets(&text))
        .await
        .with_context(within)?;
    let lookup = |variable: &str| match variable.strip_prefix("secret:") {
        Some(name) => read.get(name).map(|value| value.expose().to_owned()),
        None => crate::config::variable(variable),
    };
    let config = McpConfig::parse(&text, &lookup).with_context(within)?;
    for warning in &config.warnings {
        tracing::warn!(file = %path.display(), warning, "in the MCP configuration");
    }
    Ok(config)
}

/// Those of `names` that are set.
async fn read<'a>(
    secrets: &dyn Secrets,
    names: BTreeSet<&'a str>,
) -> Result<BTreeMap<&'a str, SecretValue>> {
    let mut read = BTreeMap::new();
    for name in names {
        let value = secrets.get(&SecretName::parse(name)?).await;
        let value = value.with_context(|| format!("the secret {name} cannot be read"))?;
        read.extend(value.map(|value| (name, value)));
    }
    Ok(read)
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
