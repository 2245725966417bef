//! Waiting for a call: its changes as they come, a bar meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::body::Body;
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use sse_stream::SseStream;

use super::{
    client::{Client, escaped},
    document::{Document, Progress},
    exit::{Exit, Failure},
    print,
};

/// The gateway comments every 15 s on a stream that is idle; one that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// A gateway that restarts is waited for: half a minute in all.
const TRIES: u32 = 35;
/// Before the first new try; the next wait a multiple of it, up to a second.
const PAUSE: Duration = Duration::from_millis(100);
/// Steps of the bar: progress is a fraction, and the bar counts whole numbers.
const STEPS: u16 = 1_000;
const TICK: Duration = Duration::from_millis(120);

/// A call's changes.
pub(super) struct Watch<'a> {
    client: &'a Client,
    path: String,
    stream: Option<SseStream<Body>>,
    failed: u32,
}

impl<'a> Watch<'a> {
    pub(super) fn new(client: &'a Client, id: &str) -> Self {
        let path = format!("/mcp/status/{}", escaped(id));
        Self {
            client,
            path,
            stream: None,
            failed: 0,
        }
    }

    /// The document as it is, and from the second time on as it is after a change. Dropping the
    /// future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Document> {
        loop {
            match self.read().await {
                Ok(Some(document)) => {
                    self.failed = 0;
                    return Ok(document);
                }
                Ok(None) => {}
                Err(error) if is_final(&error) || self.failed >= TRIES => return Err(error),
                Err(_) => {
                    self.stream = None;
                    self.failed += 1;
                    tokio::time::sleep(PAUSE * self.failed.min(10)).await;
                }
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Document>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.stream.insert(self.client.events(&self.path).await?),
        };
        let event = tokio::time::timeout(SILENCE, stream.next()).await;
        let event = event.context("the gateway has fallen silent")?;
        let event = event
            .context("the gateway ended the stream")?
            .context("the stream broke")?;
        if event.event.as_deref() != Some("status") {
            return Ok(None);
        }
        let data = event.data.unwrap_or_default();
        let raw = serde_json::from_str(&data).context("the stream's data are not JSON")?;
        Document::read(raw).map(Some)
    }
}

/// Asking again would bring the same.
fn is_final(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Failure>()
        .is_some_and(|failure| failure.exit != Exit::Failed)
}

/// How long a command waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    UntilItEnds,
    For(Duration),
}

/// The newest document: settled, or as it is when patience ends or the operator interrupts.
pub(super) async fn settle(
    client: &Client,
    first: Document,
    patience: Patience,
) -> Result<Document> {
    let mut newest = first;
    if newest.settled() {
        return Ok(newest);
    }
    let bar = Bar::new(&newest);
    let mut watch = Watch::new(client, newest.status.id.as_str());
    let end = async {
        match patience {
            Patience::UntilItEnds => std::future::pending().await,
            Patience::For(duration) => tokio::time::sleep(duration).await,
        }
    };
    let mut end = std::pin::pin!(end);
    while !newest.settled() {
        tokio::select! {
            document = watch.next() => newest = document?,
            () = &mut end => break,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot listen for SIGINT")?;
                break;
            }
        }
        bar.show(&newest);
    }
    Ok(newest)
}

/// On standard error, where it is a terminal; else nothing. Gone when it is dropped.
struct Bar(ProgressBar);

impl Bar {
    fn new(document: &Document) -> Self {
        let bar =
            ProgressBar::new_spinner().with_style(style("{spinner} {prefix} {msg} {elapsed}"));
        bar.set_prefix(print::visible(&document.status.tool));
        bar.enable_steady_tick(TICK);
        let bar = Self(bar);
        bar.show(document);
        bar
    }

    fn show(&self, document: &Document) {
        let progress = Progress::of(&document.status);
        let message = progress.message.clone().or_else(|| {
            if progress.total.is_none() {
                progress.amount()
            } else {
                None
            }
        });
        self.0
            .set_message(message.unwrap_or_else(|| document.status.state.replace('_', " ")));
        if let Some(total) = progress.total {
            if self.0.length().is_none() {
                self.0.set_style(style(
                    "{spinner} {prefix} [{bar:30}] {percent:>3}% {msg} {elapsed}",
                ));
                self.0.set_length(STEPS.into());
            }
            self.0.set_position(steps(progress.done, total));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the templates are constants");
    style.progress_chars("=> ")
}

fn steps(done: f64, total: f64) -> u64 {
    let fraction = (done / total).clamp(0.0, 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and STEPS, and not a number becomes 0"
    )]
    let steps = (fraction * f64::from(STEPS)).round() as u64;
    steps
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{
        Router,
        http::StatusCode,
        response::{IntoResponse as _, Response},
        routing::get,
    };
    use serde_json::{Value, json};

    use super::{
        super::{document::tests::document, served::served},
        *,
    };

    fn events(documents: &[Value]) -> Response {
        let comment = ":\n\n".to_owned();
        let events = documents
            .iter()
            .map(|document| format!("event: status\ndata: {document}\n\n"));
        let body: String = std::iter::once(comment).chain(events).collect();
        ([("content-type", "text/event-stream")], body).into_response()
    }

    /// A gateway that answers each request for the stream with the next of these.
    fn gateway(answers: Vec<Result<Vec<Value>, StatusCode>>) -> (Router, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let (counted, answers) = (asked.clone(), Arc::new(answers));
        let route = get(
            async move || match &answers[counted.fetch_add(1, Ordering::SeqCst)] {
                Ok(documents) => events(documents),
                Err(status) => status.into_response(),
            },
        );
        (Router::new().route("/mcp/status/{id}", route), asked)
    }

    fn running() -> Document {
        Document::read(document("working", "running", &json!({}))).unwrap()
    }

    #[tokio::test]
    async fn a_call_is_followed_to_its_end_over_a_broken_stream() {
        let working = document("working", "running", &json!({}));
        let done = document(
            "completed",
            "completed",
            &json!({ "result": { "content": [] } }),
        );
        let (app, asked) = gateway(vec![
            Ok(vec![working]),
            Err(StatusCode::SERVICE_UNAVAILABLE),
            Ok(vec![done]),
        ]);
        let gateway = served(app).await;
        let client = gateway.client();
        let ended = settle(&client, running(), Patience::UntilItEnds)
            .await
            .unwrap();
        assert_eq!(ended.status.state, "completed");
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_call_that_is_not_there_is_not_asked_for_again() {
        let (app, asked) = gateway(vec![Err(StatusCode::NOT_FOUND)]);
        let gateway = served(app).await;
        let client = gateway.client();
        let error = settle(&client, running(), Patience::UntilItEnds)
            .await
            .unwrap_err();
        assert_eq!(
            error.downcast_ref::<Failure>().unwrap().exit,
            Exit::NotFound
        );
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn patience_ends() {
        let route = get(async || std::future::pending::<()>().await);
        let gateway = served(Router::new().route("/mcp/status/{id}", route)).await;
        let client = gateway.client();
        let patience = Patience::For(Duration::from_millis(1));
        let left = settle(&client, running(), patience).await.unwrap();
        assert_eq!(left.exit(), Exit::StillRunning);
    }

    #[test]
    fn the_bar_stays_on_its_scale() {
        assert_eq!(steps(1.0, 4.0), 250);
        assert_eq!(steps(9.0, 4.0), 1_000);
        assert_eq!(steps(f64::NAN, 4.0), 0);
    }
}
