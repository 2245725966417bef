//! A supervisor over fixture servers, and a stand-in for the executor.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use rmcp::model::{ClientCapabilities, ElicitationCapability, FormElicitationCapability};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use waybill_toolkit::{
    InputResponses, JsonObject, Registry, Signal, Tool, ToolContext, ToolResult, ToolRun,
};
use waybill_toolkit_upstream::{Health, McpConfig, Options, Supervisor};

/// For anything that should take milliseconds, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) registry: Registry,
    pub(crate) supervisor: Supervisor,
}

impl Rig {
    /// Starts the servers of `{NAME: entry}` and waits until each was tried.
    pub(crate) async fn start(servers: Value) -> Self {
        Self::start_with(servers, options()).await
    }

    pub(crate) async fn start_with(servers: Value, options: Options) -> Self {
        let rig = Self::begin(&servers, &options);
        timeout(PATIENCE, rig.supervisor.settled())
            .await
            .expect("servers settle");
        rig
    }

    pub(crate) fn begin(servers: &Value, options: &Options) -> Self {
        let text = json!({ "mcpServers": servers }).to_string();
        let config = McpConfig::parse(&text, &|_| None).unwrap();
        let registry = Registry::default();
        let supervisor = Supervisor::start(config, &registry, options);
        Self {
            registry,
            supervisor,
        }
    }

    pub(crate) fn tool(&self, name: &str) -> Arc<dyn Tool> {
        self.registry
            .get(name)
            .unwrap_or_else(|| panic!("{name} is listed: {:?}", self.names()))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.registry
            .list()
            .iter()
            .map(|tool| tool.spec().name.clone())
            .collect()
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> ToolResult {
        Call::new().run(&self.tool(tool), arguments).await
    }

    /// The text of a call that succeeds.
    pub(crate) async fn text(&self, tool: &str, arguments: Value) -> String {
        text(self.call(tool, arguments).await)
    }

    /// Calls until the answer is this one.
    pub(crate) async fn until_answers(&self, tool: &str, arguments: Value, answer: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.call(tool, arguments.clone()).await;
            if now.is_ok() && text(now) == answer {
                return;
            }
            assert!(Instant::now() < deadline, "{tool} never answers {answer}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until(&self, server: &str, what: impl Fn(&Health) -> bool) -> Health {
        eventually(|| {
            let health = self
                .supervisor
                .health()
                .remove(server)
                .expect("a configured server");
            what(&health).then_some(health)
        })
        .await
    }

    pub(crate) async fn until_ready(&self, server: &str) {
        self.until(server, |health| matches!(health, Health::Ready { .. }))
            .await;
    }

    pub(crate) async fn until_failed(&self, server: &str) -> String {
        match self
            .until(server, |health| matches!(health, Health::Failed { .. }))
            .await
        {
            Health::Failed { reason } => reason,
            health => unreachable!("{health:?}"),
        }
    }

    pub(crate) async fn stop(&self) {
        self.supervisor.shutdown(PATIENCE).await;
    }
}

/// Short waits, and nothing in the environment but what finds `sleep` and `sh`.
pub(crate) fn options() -> Options {
    Options {
        base_env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_millis(200),
        grace: Duration::from_millis(300),
        stream_resumes: 2,
        ..Options::default()
    }
}

/// The program of `examples/upstream_fixture`, which cargo builds with the tests.
pub(crate) fn fixture() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(2).unwrap();
    let program = target.join("examples/upstream_fixture");
    assert!(
        program.exists(),
        "{} is missing: cargo build --examples",
        program.display()
    );
    program
}

pub(crate) fn entry(era: &str) -> Value {
    json!({ "command": fixture(), "args": [era] })
}

pub(crate) fn text(result: ToolResult) -> String {
    let result = result.expect("the call succeeds");
    assert_ne!(result.is_error, Some(true), "{result:?}");
    result.content[0].as_text().expect("text").text.clone()
}

/// Looks until it is there.
pub(crate) async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not happen");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Progress, total, message.
pub(crate) type Update = (f64, Option<f64>, Option<String>);

/// One call with its executor: saves checkpoints and notes progress across its attempts.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) within: Duration,
    pub(crate) cancel: CancellationToken,
    pub(crate) traceparent: Option<String>,
    pub(crate) responses: InputResponses,
    pub(crate) elicits: bool,
    pub(crate) progress: Arc<Mutex<Vec<Update>>>,
    pub(crate) checkpoint: Arc<Mutex<Option<Value>>>,
}

impl Call {
    pub(crate) fn new() -> Self {
        Self {
            within: PATIENCE,
            cancel: CancellationToken::new(),
            traceparent: None,
            responses: InputResponses::new(),
            elicits: false,
            progress: Arc::default(),
            checkpoint: Arc::default(),
        }
    }

    /// One attempt.
    pub(crate) async fn run(&self, tool: &Arc<dyn Tool>, arguments: Value) -> ToolResult {
        let (cx, _executor) = self.context();
        tool.call(object(arguments), &cx).await
    }

    pub(crate) fn context(&self) -> (ToolContext, JoinSet<()>) {
        let client_capabilities = self.elicits.then(|| {
            let mut capabilities = ClientCapabilities::default();
            let form = FormElicitationCapability::new();
            capabilities.elicitation = Some(ElicitationCapability::new().with_form(form));
            capabilities
        });
        let run = ToolRun {
            deadline: Instant::now() + self.within,
            checkpoint: self.checkpoint.lock().unwrap().clone(),
            responses: self.responses.clone(),
            client_capabilities,
            traceparent: self.traceparent.clone(),
            ..ToolRun::for_test()
        };
        let (cx, mut signals) = ToolContext::new(run, self.cancel.clone());
        let (progress, checkpoint) = (self.progress.clone(), self.checkpoint.clone());
        let mut executor = JoinSet::new();
        executor.spawn(async move {
            while let Some(signal) = signals.recv().await {
                match signal {
                    Signal::Progress {
                        progress: at,
                        total,
                        message,
                    } => {
                        progress.lock().unwrap().push((at, total, message));
                    }
                    Signal::Checkpoint { value, saved } => {
                        *checkpoint.lock().unwrap() = Some(value);
                        saved.send(()).unwrap();
                    }
                    Signal::Log { .. } => {}
                }
            }
        });
        (cx, executor)
    }
}

pub(crate) fn object(value: Value) -> JsonObject {
    let Value::Object(object) = value else {
        panic!("{value} is an object")
    };
    object
}
