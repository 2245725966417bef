//! The door, behind an HTTP API of API Gateway or a function URL.

use std::{convert::Infallible, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response, StatusCode},
    response::IntoResponse as _,
};
use futures::{StreamExt as _, stream};
use lambda_http::{
    RequestExt as _, Service as _, StreamAdapter,
    request::{LambdaRequest, RequestContext},
};
use lambda_runtime::{FunctionResponse, LambdaEvent, service_fn};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use waybill_ingress::Readiness;

use super::{for_work, left};
use crate::{
    backend,
    config::Config,
    door::{Door, Hosts},
    origin::OriginSecret,
    stores::Stores,
};

/// API Gateway gives an answer up after 30 s, and takes no part of one.
const LONGEST_WHOLE: Duration = Duration::from_secs(28);

pub(in crate::host) async fn run(config: &Config) -> Result<ExitCode> {
    let mut stores = Stores::open(config, backend::topology(config.backend)).await?;
    stores.log_numbers(config);
    let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
    let door = Door::alone(config, &mut stores, &readiness, &shutdown, Hosts::Routed).await?;
    let visit = Arc::new(Visit {
        router: door.router,
        stores,
        origin_secret: config.origin_secret.clone(),
    });
    let handler = service_fn(async |event: LambdaEvent<LambdaRequest>| {
        let streamed = is_streamed(&event.payload);
        let visit = visit.clone();
        let answer = tower::service_fn(move |request| {
            let visit = visit.clone();
            async move { visit.answer(request, streamed).await }
        });
        Ok::<_, Infallible>(if streamed {
            FunctionResponse::StreamingResponse(StreamAdapter::from(answer).call(event).await?)
        } else {
            FunctionResponse::BufferedResponse(
                lambda_http::Adapter::from(answer).call(event).await?,
            )
        })
    });
    let ran = lambda_runtime::run(handler).await;
    ran.map_err(|error| anyhow!(error))
        .context("the Lambda runtime ended")?;
    Ok(ExitCode::SUCCESS)
}

/// A function URL streams, when it is told to (`InvokeMode: RESPONSE_STREAM`, which the event does
/// not tell); an HTTP API cannot. Both call in the same form.
fn is_streamed(request: &LambdaRequest) -> bool {
    let LambdaRequest::ApiGatewayV2(request) = request else {
        return false;
    };
    let domain = request.request_context.domain_name.as_deref();
    domain.is_some_and(|domain| domain.contains(".lambda-url."))
}

struct Visit {
    router: Router,
    stores: Stores,
    origin_secret: Option<OriginSecret>,
}

impl Visit {
    /// The answer ends before its time does, and not before everything is done that it began.
    async fn answer(
        self: Arc<Self>,
        mut request: lambda_http::Request,
        streamed: bool,
    ) -> Result<Response<Body>, Infallible> {
        let secret = self.origin_secret.as_ref();
        if secret.is_some_and(|secret| !secret.admits(request.headers())) {
            let why = "this is not the address of the gateway";
            return Ok((StatusCode::FORBIDDEN, why).into_response());
        }
        let left = left(&request.lambda_context(), &self.stores.clock);
        let longest = if streamed {
            Duration::MAX
        } else {
            LONGEST_WHOLE
        };
        let end = Instant::now() + for_work(left).min(longest);
        if let Some(peer) = peer(&request) {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let router = self.router.clone();
        let response = router.oneshot(request.map(Body::new)).await?;
        let (parts, body) = response.into_parts();
        let flush = stream::once(async move {
            let flushed = timeout(left, self.stores.flushed()).await;
            if flushed.is_err() {
                tracing::warn!("the time is up before everything has ended that was begun");
            }
        });
        let body = body
            .into_data_stream()
            .take_until(sleep_until(end))
            .chain(flush.filter_map(async |()| None));
        Ok(Response::from_parts(parts, Body::from_stream(body)))
    }
}

/// Whom AWS has the request from: a client, or what is in front of the API.
fn peer(request: &Request<lambda_http::Body>) -> Option<SocketAddr> {
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else {
        return None;
    };
    let ip = context.http.source_ip.as_deref()?.parse().ok()?;
    Some(SocketAddr::new(ip, 0))
}
