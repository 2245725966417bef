//! What the log tells of a call.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing_subscriber::fmt::MakeWriter;
use waybill_events::CallId;
use waybill_toolkit::{Effect, ToolError};

use super::world::{Fake, World, question, text, unavailable, unclear};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// The lines that are about the call itself.
    fn of(&self, id: &CallId) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let about = |line: &Value| line["fields"]["call.id"] == id.as_str();
        lines.filter(about).collect()
    }
}

/// Listens to this thread, where a test's whole world runs.
fn listen() -> (Log, impl Drop) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_writer(log.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());
    (log, guard)
}

fn refuses(error: impl Fn() -> ToolError + Send + Sync + 'static, effect: Effect) -> Fake {
    Fake::new(effect, move |_, _| {
        let error = error();
        async move { Err(error) }.boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_has_one_line_that_says_why() {
    let once = refuses(unclear, Effect::Once);
    let down = refuses(|| unavailable(None), Effect::ReadOnly);
    for (tool, code) in [(once, "outcome_unknown"), (down, "upstream_unavailable")] {
        let (log, _listening) = listen();
        let world = World::new(tool);
        let id = world.submit().await;
        world.drain().await;
        let lines = log.of(&id);
        let [line] = &lines[..] else {
            panic!("{code}: {lines:#?}");
        };
        let fields = &line["fields"];
        assert_eq!(
            (&line["level"], &fields["code"]),
            (&json!("WARN"), &json!(code))
        );
        assert_eq!(
            (&fields["call.tool"], &fields["tenant.id"]),
            (&json!("fake"), &json!("acme"))
        );
        assert!(fields["attempt"].as_u64() >= Some(1), "{line}");
        assert!(fields["duration_ms"].is_i64(), "{line}");
        // What an upstream says may hold anything.
        assert!(!line.to_string().contains("connection refused"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_has_one_that_the_sweep_ends() {
    let (log, _listening) = listen();
    let world = World::new(refuses(question, Effect::ReadOnly));
    let id = world.submit_for(Duration::from_secs(30)).await;
    world.drain().await;
    sleep(Duration::from_secs(31)).await;
    world.swept().await;
    world.swept().await;
    let lines = log.of(&id);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!(lines[0]["fields"]["code"], "expired");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_went_well_has_none() {
    let (log, _listening) = listen();
    let world = World::new(Fake::new(Effect::ReadOnly, |_, _| {
        async { Ok(text("fine")) }.boxed()
    }));
    let id = world.submit().await;
    world.drain().await;
    assert_eq!(log.of(&id), Vec::<Value>::new());
}
