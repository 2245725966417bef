//! `/metrics`, for Prometheus.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::time::Instant;

use crate::{meter::Meter, vitals::Vitals};

/// Seconds. Up to the longest wait for an outcome.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0,
];

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    refused: Counter,
    depth: Family<DepthLabels, Gauge>,
    oldest: Family<QueueLabels, Gauge>,
    vitals: Vitals,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    subscription: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DepthLabels {
    subscription: String,
    state: String,
}

impl Metrics {
    pub(crate) fn new(vitals: Vitals, meter: &Meter) -> Self {
        let mut registry = Registry::with_prefix("waybill");
        meter.register(&mut registry);
        let requests = Family::default();
        let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> _);
        let (refused, depth, oldest) = (Counter::default(), Family::default(), Family::default());
        registry.register(
            "http_requests",
            "HTTP requests answered",
            Family::clone(&requests),
        );
        let help = "Time to the first byte of the answer";
        registry.register_with_unit(
            "http_request_duration",
            help,
            Unit::Seconds,
            Family::clone(&durations),
        );
        registry.register(
            "auth_refused",
            "Requests without a valid key",
            Counter::clone(&refused),
        );
        registry.register("queue_depth", "Deliveries by state", Family::clone(&depth));
        let help = "Age of the oldest delivery that waits";
        registry.register_with_unit("queue_oldest", help, Unit::Seconds, Family::clone(&oldest));
        let inner = Inner {
            registry,
            requests,
            durations,
            refused,
            depth,
            oldest,
            vitals,
        };
        Self(Arc::new(inner))
    }

    pub(crate) fn refused(&self) {
        self.0.refused.inc();
    }

    fn answered(&self, route: &str, method: &'static str, status: StatusCode, took: Duration) {
        let labels = RequestLabels {
            route: route.to_owned(),
            method,
            status: status.as_u16(),
        };
        self.0.requests.get_or_create(&labels).inc();
        let labels = RouteLabels {
            route: route.to_owned(),
        };
        self.0
            .durations
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    async fn sample_queues(&self) {
        for (name, depth) in &self.0.vitals.look().await.depths {
            let name = (*name).to_owned();
            let states = [
                ("ready", depth.ready),
                ("delayed", depth.delayed),
                ("leased", depth.leased),
                ("dead", depth.dead),
            ];
            for (state, count) in states {
                let labels = DepthLabels {
                    subscription: name.clone(),
                    state: state.to_owned(),
                };
                self.0.depth.get_or_create(&labels).set(count.cast_signed());
            }
            let labels = QueueLabels { subscription: name };
            self.0
                .oldest
                .get_or_create(&labels)
                .set((depth.oldest_ms / 1_000).cast_signed());
        }
    }
}

pub(crate) fn router(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(scrape).with_state(metrics))
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    metrics.sample_queues().await;
    let mut text = String::new();
    if encode(&mut text, &metrics.0.registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Counts every answer under the route's pattern, never under its path.
pub(crate) async fn count(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let method = label(request.method());
    let began = Instant::now();
    let response = next.run(request).await;
    metrics.answered(&route, method, response.status(), began.elapsed());
    response
}

/// Any token is a method, from anybody: only the known ones may make a series each.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
