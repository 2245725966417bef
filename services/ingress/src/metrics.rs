//! `/metrics`, for Prometheus.

use std::time::Duration;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::time::Instant;
use waybill_telemetry::metrics::{
    AUTH_REFUSED, HTTP_REQUEST_DURATION, HTTP_REQUESTS, Meter, QUEUE_DEPTH, QUEUE_OLDEST,
};

use crate::vitals::Vitals;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics {
    meter: Meter,
    vitals: Vitals,
}

impl Metrics {
    pub(crate) fn new(vitals: Vitals, meter: Meter) -> Self {
        Self { meter, vitals }
    }

    pub(crate) fn refused(&self) {
        self.meter.add(&AUTH_REFUSED, &[], 1);
    }

    fn answered(&self, route: &str, method: &'static str, status: StatusCode, took: Duration) {
        let labels = [route, method, status.as_str()];
        self.meter.add(&HTTP_REQUESTS, &labels, 1);
        self.meter.observe(&HTTP_REQUEST_DURATION, &[route], took);
    }

    async fn sample_queues(&self) {
        for (name, depth) in &self.vitals.look().await.depths {
            let states = [
                ("ready", depth.ready),
                ("delayed", depth.delayed),
                ("leased", depth.leased),
                ("dead", depth.dead),
            ];
            for (state, count) in states {
                let count = count.cast_signed();
                self.meter.set(&QUEUE_DEPTH, &[name, state], count);
            }
            let oldest = (depth.oldest_ms / 1_000).cast_signed();
            self.meter.set(&QUEUE_OLDEST, &[name], oldest);
        }
    }
}

pub(crate) fn router(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(scrape).with_state(metrics))
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    metrics.sample_queues().await;
    let Ok(text) = metrics.meter.open_metrics() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
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
