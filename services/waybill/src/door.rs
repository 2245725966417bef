//! The ingress: one router.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Result;
use axum::Router;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use waybill_audit_sink::{ChainKey, Trail};
use waybill_events::TenantId;
use waybill_identity::{Principal, Scope};
use waybill_ingress::{
    Gateway, McpSettings, McpState, Readiness,
    desk::{Desk, DeskLimits},
};

use crate::{address, backend, config::Config, doctor, stores::Stores, toolbox::Toolbox};

/// Which `Host`s are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Those of the configuration: a page in a browser may reach this machine by any name.
    Named,
    /// Any: whoever brings the requests routes by it, and brings only those that are for us.
    #[cfg(feature = "aws")]
    Routed,
}

pub(crate) struct Door {
    pub(crate) router: Router,
    pub(crate) toolbox: Arc<Toolbox>,
    desk: Desk,
}

impl Door {
    /// `shutdown` ends open streams.
    pub(crate) fn open(
        config: &Config,
        stores: &mut Stores,
        toolbox: Arc<Toolbox>,
        chain_key: &ChainKey,
        readiness: &Readiness,
        shutdown: &CancellationToken,
        hosts: Hosts,
    ) -> Result<Self> {
        let settings = mcp_settings(config, hosts, chain_key.derive("request-state"));
        let desk = desk(config, stores, &toolbox);
        let checks = std::mem::take(&mut stores.checks);
        let topology = backend::topology(config.backend);
        let gateway = Gateway {
            mcp: McpState {
                desk: desk.clone(),
                content: toolbox.content.clone(),
                changes: toolbox.changes.clone(),
                settings: Arc::new(settings),
                shutdown: shutdown.clone(),
            },
            keys: stores.keys(),
            trail: Trail::new(stores.ledger.clone(), chain_key.clone()),
            secrets: stores.secrets.clone(),
            bus: stores.bus.clone(),
            subscriptions: topology.into(),
            checks: doctor::checks(checks, &stores.bus, topology, &toolbox.supervisor),
            readiness: readiness.clone(),
            rate: config.http.rate(),
            anonymous: config.conformance.then(anonymous),
        };
        let router = waybill_ingress::router(gateway)?;
        Ok(Self {
            router,
            toolbox,
            desk,
        })
    }

    /// By itself in a process, with everything that it needs beside the stores.
    #[cfg(feature = "aws")]
    pub(crate) async fn alone(
        config: &Config,
        stores: &mut Stores,
        readiness: &Readiness,
        shutdown: &CancellationToken,
        hosts: Hosts,
    ) -> Result<Self> {
        let chain_key = stores.chain_key().await?;
        let toolbox = Arc::new(Toolbox::open_settled(config, &*stores.secrets).await?);
        let chain_key = &chain_key;
        Self::open(
            config, stores, toolbox, chain_key, readiness, shutdown, hosts,
        )
    }

    /// Waits for the calls that are being accepted.
    pub(crate) fn closing(&self) -> BoxFuture<'static, ()> {
        let desk = self.desk.clone();
        Box::pin(async move { desk.drain().await })
    }
}

fn desk(config: &Config, stores: &Stores, toolbox: &Toolbox) -> Desk {
    let limits = DeskLimits {
        deadline: Duration::from_secs(config.calls.deadline_s),
        retention: Duration::from_secs(config.calls.retention_s),
        ..DeskLimits::default()
    };
    Desk::new(
        stores.calls.clone(),
        toolbox.registry.clone(),
        stores.clock.clone(),
        limits,
    )
}

fn mcp_settings(config: &Config, hosts: Hosts, state_key: Vec<u8>) -> McpSettings {
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
    if hosts != Hosts::Named {
        settings.hosts.clear();
    }
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
