#![doc = include_str!("../README.md")]

mod admin;
mod auth;
mod calls;
pub mod desk;
mod guard;
mod health;
mod limit;
pub mod mcp;
mod metrics;
mod problem;
mod status;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use waybill_audit_sink::Trail;
use waybill_identity::{Keys, Principal};
use waybill_messaging::{Bus, Subscription};

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

/// Every route. See the crate's README for the list.
pub fn router(gateway: Gateway) -> Result<Router, StateKeyTooShort> {
    let settings = gateway.mcp.settings.clone();
    let desk = gateway.mcp.desk.clone();
    let metrics = metrics::Metrics::new(&gateway.bus, &gateway.subscriptions);
    let door = Arc::new(auth::Door {
        keys: gateway.keys.clone(),
        rate: limit::Limiter::new(gateway.rate, gateway.bus.clock.clone()),
        anonymous: gateway.anonymous.clone(),
        metrics: metrics.clone(),
    });
    let admin = admin::router(&gateway).layer(middleware::from_fn(auth::only_admin));
    let known = Router::new()
        .merge(mcp::router(gateway.mcp.clone())?)
        .merge(status::router(desk.clone()))
        .merge(calls::router(desk, settings.clone()))
        .nest("/admin", admin)
        .layer(middleware::from_fn_with_state(door, auth::enter));
    let guard = Arc::new(Guard::new(&settings.hosts, &settings.origins));
    Ok(known
        .merge(health::router(
            gateway.readiness.clone(),
            gateway.bus.clone(),
        ))
        .merge(metrics::router(metrics.clone()))
        .fallback(problem::no_such_route)
        .layer(DefaultBodyLimit::max(settings.body_bytes))
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .layer(middleware::from_fn_with_state(metrics, metrics::count)))
}
