//! Upstreams over HTTP on loopback.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Redirect, Response},
};
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService,
    streamable_http_server::session::local::LocalSessionManager,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};
use waybill_toolkit::ToolError;
use waybill_toolkit_upstream::{Health, Options};

use crate::{
    rig::{Call, Rig, eventually, options, text},
    server::Fixture,
};

/// What stands in front of the server.
#[derive(Default)]
struct Door {
    /// `POST`s that were let in.
    posts: AtomicUsize,
    /// Answer the next request of a session with this status and an error of no request.
    lose_session: AtomicBool,
    busy: AtomicBool,
    moved: AtomicBool,
}

/// A server with a runtime of its own, so that stopping it cuts its connections.
struct Site {
    address: SocketAddr,
    door: Arc<Door>,
    runtime: Option<Runtime>,
}

impl Site {
    async fn start(fixture: &Fixture) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), fixture).await
    }

    async fn start_at(address: SocketAddr, fixture: &Fixture) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (door, fixture) = (Arc::new(Door::default()), fixture.clone());
        let service = StreamableHttpService::new(
            move || Ok(fixture.clone()),
            Arc::new(LocalSessionManager::default()),
            StreamableHttpServerConfig::default(),
        );
        let app = Router::new()
            .route_service("/mcp", service)
            .layer(from_fn_with_state(door.clone(), guard));
        // A site that was stopped leaves its address a moment later.
        let std = eventually(|| std::net::TcpListener::bind(address).ok()).await;
        std.set_nonblocking(true).unwrap();
        let address = std.local_addr().unwrap();
        runtime.spawn(async move {
            axum::serve(TcpListener::from_std(std).unwrap(), app)
                .await
                .unwrap();
        });
        Self {
            address,
            door,
            runtime: Some(runtime),
        }
    }

    fn entry(&self) -> Value {
        json!({
            "type": "http",
            "url": format!("http://{}/mcp", self.address),
            "headers": { "Authorization": "Bearer upstream-key" },
        })
    }

    /// When it returns, the listener and all connections are closed.
    fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime cannot be dropped, which waits, inside another.
            std::thread::spawn(move || drop(runtime)).join().unwrap();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    if request
        .headers()
        .get("authorization")
        .is_none_or(|key| key != "Bearer upstream-key")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if door.moved.load(Ordering::SeqCst) {
        return Redirect::temporary("http://127.0.0.1:1/elsewhere").into_response();
    }
    if request.method() == "POST" {
        if door.busy.load(Ordering::SeqCst) {
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3")]).into_response();
        }
        let of_session = request.headers().contains_key("mcp-session-id");
        if of_session && door.lose_session.swap(false, Ordering::SeqCst) {
            let body =
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#;
            return (
                StatusCode::BAD_REQUEST,
                [(CONTENT_TYPE, "application/json")],
                body,
            )
                .into_response();
        }
        door.posts.fetch_add(1, Ordering::SeqCst);
    }
    next.run(request).await
}

fn both() -> [(&'static str, Fixture); 2] {
    [
        ("2026-07-28", Fixture::modern()),
        ("2025-11-25", Fixture::legacy()),
    ]
}

#[tokio::test]
async fn both_eras_are_served() {
    for (protocol, fixture) in both() {
        let site = Site::start(&fixture).await;
        let rig = Rig::start(json!({ "web": site.entry() })).await;
        let ready = Health::Ready {
            tools: 15,
            protocol: protocol.to_owned(),
        };
        assert_eq!(rig.supervisor.health()["web"], ready);
        assert_eq!(rig.text("web__echo", json!({"text": "hé"})).await, "hé");
        let call = Call::new();
        text(
            call.run(&rig.tool("web__slow"), json!({"steps": 3, "ms": 50}))
                .await,
        );
        let progress = call.progress.lock().unwrap().clone();
        assert!(
            progress.iter().any(|at| at.1 == Some(3.0)),
            "{protocol}: {progress:?}"
        );
        rig.stop().await;
    }
}

#[tokio::test]
async fn cancellation_and_changes_cross_http() {
    for (protocol, fixture) in both() {
        let site = Site::start(&fixture).await;
        let rig = Rig::start(json!({ "web": site.entry() })).await;
        let call = Call {
            within: Duration::from_millis(100),
            ..Call::new()
        };
        let late = call.run(&rig.tool("web__hang"), json!({})).await;
        assert!(
            matches!(late, Err(ToolError::Unknown { .. })),
            "{protocol}: {late:?}"
        );
        rig.until_answers("web__cancelled", json!({}), "1").await;
        rig.text("web__grow", json!({})).await;
        eventually(|| rig.registry.get("web__extra")).await;
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_lost_session_is_made_anew_under_the_call() {
    let mut site = Site::start(&Fixture::legacy()).await;
    let rig = Rig::start(json!({ "web": site.entry() })).await;
    // 400 with an error of no request, as older SDKs answer.
    site.door.lose_session.store(true, Ordering::SeqCst);
    assert_eq!(rig.text("web__echo", json!({"text": "a"})).await, "a");
    assert!(!site.door.lose_session.load(Ordering::SeqCst));
    // 404, after a restart.
    site.stop();
    let _site = Site::start_at(site.address, &Fixture::legacy()).await;
    rig.until_answers("web__echo", json!({"text": "b"}), "b")
        .await;
    rig.stop().await;
}

#[tokio::test]
async fn what_was_not_sent_is_unavailable_and_what_was_cut_unknown() {
    for (protocol, fixture) in both() {
        let mut site = Site::start(&fixture).await;
        let rig = Rig::start(json!({ "web": site.entry() })).await;
        site.door.busy.store(true, Ordering::SeqCst);
        let busy = rig.call("web__echo", json!({})).await.unwrap_err();
        let ToolError::Unavailable { retry_after, .. } = busy else {
            panic!("{busy:?}")
        };
        assert_eq!(retry_after, Some(Duration::from_secs(3)));
        site.door.busy.store(false, Ordering::SeqCst);
        rig.until_ready("web").await;

        let posts = site.door.posts.load(Ordering::SeqCst);
        let hang = rig.tool("web__hang");
        let call = Call::new();
        let (cut, ()) = tokio::join!(call.run(&hang, json!({})), async {
            eventually(|| (site.door.posts.load(Ordering::SeqCst) > posts).then_some(())).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            site.stop();
        });
        assert!(
            matches!(cut, Err(ToolError::Unknown { .. })),
            "{protocol}: {cut:?}"
        );

        rig.until_failed("web").await;
        let refused = rig.call("web__echo", json!({})).await.unwrap_err();
        assert!(
            matches!(refused, ToolError::Unavailable { .. }),
            "{protocol}: {refused:?}"
        );
        assert!(rig.registry.get("web__echo").is_some());
        let _site = Site::start_at(site.address, &fixture).await;
        rig.until_answers("web__echo", json!({"text": "back"}), "back")
            .await;
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_wrong_key_is_told() {
    let site = Site::start(&Fixture::modern()).await;
    site.door.moved.store(true, Ordering::SeqCst);
    let mut keyless = site.entry();
    keyless["headers"] = json!({});
    let rig = Rig::start(json!({ "moved": site.entry(), "keyless": keyless })).await;
    for (server, part) in [("moved", "307"), ("keyless", "401")] {
        let reason = rig.until_failed(server).await;
        assert!(reason.contains(part), "{server}: {reason}");
        assert!(!reason.contains("upstream-key"), "{reason}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_silent_redeployment_is_noticed() {
    let mut site = Site::start(&Fixture::modern()).await;
    let options = Options {
        refresh: Duration::from_millis(50),
        ..options()
    };
    let rig = Rig::start_with(json!({ "web": site.entry() }), options).await;
    site.stop();
    rig.until_failed("web").await;
    let _site = Site::start_at(site.address, &Fixture::modern()).await;
    rig.until_ready("web").await;
    rig.stop().await;
}

#[tokio::test]
async fn many_calls_share_a_session() {
    let site = Site::start(&Fixture::modern()).await;
    let rig = Rig::start(json!({ "web": site.entry() })).await;
    let slow = rig.tool("web__slow");
    let started = tokio::time::Instant::now();
    let calls = (0..40).map(|_| {
        let slow = slow.clone();
        async move { text(Call::new().run(&slow, json!({"steps": 1, "ms": 300})).await) }
    });
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer == "done"));
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    rig.stop().await;
}
