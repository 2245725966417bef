//! Lambda on this machine: the Runtime API (2018-06-01) that a function asks for its invocations,
//! and the function's process.

use std::{
    collections::HashMap,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{AppendHeaders, IntoResponse},
    routing::{get, post},
};
use futures::StreamExt as _;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex as Queue, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, timeout},
};
use waybill_messaging::Clock;

use crate::installation::Installation;

const PATIENCE: Duration = Duration::from_mins(1);

/// A function in its own process.
pub(crate) struct Function {
    process: Child,
    api: Arc<Api>,
    invocations: mpsc::Sender<Invocation>,
    /// From the start of the process to its first request for an invocation.
    pub(crate) init: Duration,
    _serving: JoinSet<()>,
}

/// What a function said.
#[derive(Debug)]
pub(crate) enum Answer {
    Whole(Value),
    /// In the parts that were sent, the prelude and its delimiter among them.
    Streamed(Vec<Vec<u8>>),
    Error(Value),
}

struct Invocation {
    id: String,
    payload: String,
    deadline_ms: i64,
}

struct Api {
    invocations: Queue<mpsc::Receiver<Invocation>>,
    running: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    /// Fires at the first request for an invocation.
    ready: Mutex<Option<oneshot::Sender<()>>>,
}

impl Function {
    pub(crate) async fn start(binary: &str, installation: &Installation) -> Self {
        Self::start_with(binary, installation, &[]).await
    }

    /// With more in its environment.
    pub(crate) async fn start_with(
        binary: &str,
        installation: &Installation,
        environment: &[(&str, &str)],
    ) -> Self {
        let (invocations, waiting) = mpsc::channel(1);
        let (ready, is_ready) = oneshot::channel();
        let api = Arc::new(Api {
            invocations: Queue::new(waiting),
            running: Mutex::default(),
            ready: Mutex::new(Some(ready)),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answer))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failure))
            .with_state(api.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });

        let mut command = Command::new(binary);
        installation
            .reached_by(&mut command)
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "function")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
            .env("WAYBILL_CONFORMANCE", "true")
            .env("WAYBILL_LOG", "error")
            .envs(environment.iter().copied())
            .stdin(Stdio::null());
        let began = Instant::now();
        let process = command.spawn().unwrap();
        let started = timeout(PATIENCE, is_ready).await;
        started.expect("the function does not start").unwrap();
        let function = Self {
            process,
            api,
            invocations,
            init: began.elapsed(),
            _serving: serving,
        };
        let name = binary.rsplit('/').next().unwrap_or_default();
        println!("{name}: ready after {} ms", function.init.as_millis());
        function
    }

    /// With so much time to answer. Nothing is done to it when the time is up, as Lambda would: the
    /// answer must have come by then.
    pub(crate) async fn invoke(&self, payload: &Value, time: Duration) -> Answer {
        let id = uuid(self.api.running.lock().unwrap().len());
        let (send, answered) = oneshot::channel();
        self.api.running.lock().unwrap().insert(id.clone(), send);
        let left = i64::try_from(time.as_millis()).unwrap();
        let invocation = Invocation {
            id,
            payload: payload.to_string(),
            deadline_ms: Clock::system().now().timestamp_millis() + left,
        };
        self.invocations.send(invocation).await.unwrap();
        let answer = timeout(time, answered).await;
        answer.expect("the function's time is up").unwrap()
    }

    /// Its answer as JSON, which must not be an error.
    pub(crate) async fn answer(&self, payload: &Value, time: Duration) -> Value {
        match self.invoke(payload, time).await {
            Answer::Whole(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Its error's message, which it must answer with.
    pub(crate) async fn refusal(&self, payload: &Value) -> String {
        match self.invoke(payload, PATIENCE).await {
            Answer::Error(error) => error["errorMessage"].as_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

async fn next(State(api): State<Arc<Api>>) -> impl IntoResponse {
    if let Some(ready) = api.ready.lock().unwrap().take() {
        ready.send(()).expect("somebody waits for the start");
    }
    let invocation = api.invocations.lock().await.recv().await;
    let Some(invocation) = invocation else {
        return StatusCode::GONE.into_response();
    };
    let arn = "arn:aws:lambda:eu-central-1:123456789012:function:function";
    let headers = AppendHeaders([
        ("Lambda-Runtime-Aws-Request-Id", invocation.id),
        (
            "Lambda-Runtime-Deadline-Ms",
            invocation.deadline_ms.to_string(),
        ),
        ("Lambda-Runtime-Invoked-Function-Arn", arn.to_owned()),
        (
            "Lambda-Runtime-Trace-Id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1".to_owned(),
        ),
        ("Content-Type", "application/json".to_owned()),
    ]);
    (headers, invocation.payload).into_response()
}

async fn answer(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let mut parts = Vec::new();
    let mut body = body.into_data_stream();
    while let Some(part) = body.next().await {
        parts.push(part.unwrap().to_vec());
    }
    let mode = headers.get("Lambda-Runtime-Function-Response-Mode");
    let answer = if mode.is_some_and(|mode| mode == "streaming") {
        Answer::Streamed(parts)
    } else {
        Answer::Whole(serde_json::from_slice(&parts.concat()).unwrap())
    };
    api.answered(&id, answer)
}

async fn failure(State(api): State<Arc<Api>>, Path(id): Path<String>, body: String) -> StatusCode {
    let error = serde_json::from_str(&body).unwrap();
    api.answered(&id, Answer::Error(error))
}

impl Api {
    fn answered(&self, id: &str, answer: Answer) -> StatusCode {
        let waiting = self.running.lock().unwrap().remove(id);
        // Lambda, too, takes one answer to one request.
        let waiting = waiting.expect("an answer to no request");
        drop(waiting.send(answer));
        StatusCode::ACCEPTED
    }
}

fn uuid(n: usize) -> String {
    format!("8476a536-e9f4-11e8-9739-{n:012}")
}
