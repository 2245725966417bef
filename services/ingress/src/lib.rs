#![doc = include_str!("../README.md")]

mod admin;
mod auth;
mod calls;
mod cors;
pub mod desk;
mod guard;
mod health;
mod limit;
pub mod mcp;
mod metrics;
pub mod openapi;
mod problem;
mod span;
mod status;
mod vitals;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use waybill_audit_sink::Trail;
use waybill_identity::{Keys, Principal};
use waybill_messaging::{Bus, Secrets, Subscription};

pub use admin::doctor::{Check, Checks, Verdict};
pub use guard::Guard;
pub use health::Readiness;
pub use limit::RateLimit;
pub use mcp::{McpSettings, McpState, StateKeyTooShort};

/// What the door is made of.
#[derive(Clone)]
pub struct Gateway {
    pub mcp: McpState,
    pub keys: Keys,
    pub trail: Trail,
    /// The operator's.
    pub secrets: Arc<dyn Secrets>,
    pub bus: Bus,
    /// The queues that operators see.
    pub subscriptions: Arc<[Subscription]>,
    pub checks: Checks,
    pub readiness: Readiness,
    /// What one tenant may ask for.
    pub rate: RateLimit,
    /// Let in without a key. For the conformance suite on a loopback address; `None` otherwise.
    pub anonymous: Option<Principal>,
}

/// Every route; see the crate's README for the list. `/metrics` tells what the bus's meter has
/// counted.
///
/// Serve it with [`ConnectInfo`](axum::extract::ConnectInfo) of the peer's `SocketAddr`, so that
/// refused authentications are counted by source.
pub fn router(gateway: Gateway) -> Result<Router, StateKeyTooShort> {
    let settings = gateway.mcp.settings.clone();
    let vitals = vitals::Vitals::new(&gateway.bus, &gateway.subscriptions);
    let metrics = metrics::Metrics::new(vitals.clone(), gateway.bus.meter.clone());
    let guard = Arc::new(Guard::new(&settings.hosts, &settings.origins));
    let health = health::router(gateway.readiness.clone(), vitals);
    Ok(keyed(gateway, &metrics)?
        .merge(health)
        .merge(metrics::router(metrics.clone()))
        .merge(openapi::router())
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(settings.body_bytes))
        .layer(cors::layer(&guard))
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .layer(middleware::from_fn_with_state(metrics, metrics::count))
        .layer(middleware::from_fn(span::enter)))
}

/// `/healthz`, `/readyz` and `/metrics` alone: for a process without the door. Let only load
/// balancers and Prometheus reach it.
pub fn probes(bus: &Bus, subscriptions: &[Subscription], readiness: &Readiness) -> Router {
    let vitals = vitals::Vitals::new(bus, &subscriptions.into());
    let metrics = metrics::Metrics::new(vitals.clone(), bus.meter.clone());
    health::router(readiness.clone(), vitals)
        .merge(metrics::router(metrics))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
}

/// The routes that take a key.
fn keyed(gateway: Gateway, metrics: &metrics::Metrics) -> Result<Router, StateKeyTooShort> {
    let (desk, settings) = (gateway.mcp.desk.clone(), gateway.mcp.settings.clone());
    let shutdown = gateway.mcp.shutdown.clone();
    let admin = admin::router(&gateway).layer(middleware::from_fn(auth::only_admin));
    let door = Arc::new(auth::Door {
        keys: gateway.keys,
        rate: limit::Limiter::new(gateway.rate),
        anonymous: gateway.anonymous,
        metrics: metrics.clone(),
    });
    let mcp = mcp::router(gateway.mcp)?.layer(middleware::from_fn(auth::only_callers));
    Ok(Router::new()
        .merge(mcp)
        .merge(status::router(desk.clone(), shutdown))
        .merge(calls::router(desk, settings))
        .nest("/admin", admin)
        .layer(middleware::from_fn_with_state(door, auth::enter)))
}
