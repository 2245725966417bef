//! Tools that say something before they answer: progress, log lines, changed lists.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;
use tokio::time::sleep;
use waybill_toolkit::{JsonObject, LogLevel, Tool, ToolContext, ToolResult, ToolSpec};

use crate::fixture::{answers, spec, text, works};

/// The pause that the suite asks for between two signals.
const PAUSE: Duration = Duration::from_millis(50);
const LOGGER: &str = "conformance";

/// Which list the trigger tools say has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Tools,
    Prompts,
}

/// Called by the trigger tools. It must not block.
pub type OnChange = Arc<dyn Fn(Change) + Send + Sync>;

pub(crate) fn tools(on_change: Option<OnChange>) -> Vec<Arc<dyn Tool>> {
    let mut tools = vec![
        works(
            spec("test_tool_with_progress", "Reports 0, 50 and 100 of 100"),
            progress,
        ),
        works(
            spec("test_tool_with_logging", "Writes three lines to the log"),
            logging,
        ),
        answers(
            spec("test_logging_tool", "Writes a line to the log"),
            |_, cx| {
                log(cx, "the tool ran");
                text("Logged, where a log was asked for")
            },
        ),
        works(
            spec("test_reconnection", "Answers after 100 ms"),
            slow_answer,
        ),
    ];
    if let Some(on_change) = on_change {
        let trigger = |name, description, change| {
            let (spec, on_change) = (spec(name, description), Arc::clone(&on_change));
            Arc::new(Trigger {
                spec,
                change,
                on_change,
            }) as Arc<dyn Tool>
        };
        tools.push(trigger(
            "test_trigger_tool_change",
            "Says that the tools changed",
            Change::Tools,
        ));
        tools.push(trigger(
            "test_trigger_prompt_change",
            "Says that the prompts changed",
            Change::Prompts,
        ));
    }
    tools
}

fn progress(_: JsonObject, cx: &ToolContext) -> BoxFuture<'_, ToolResult> {
    async move {
        for (progress, message) in [(0.0, "started"), (50.0, "half"), (100.0, "done")] {
            cx.progress(progress, Some(100.0), Some(message.to_owned()));
            sleep(PAUSE).await;
        }
        text("Reported three times")
    }
    .boxed()
}

fn logging(_: JsonObject, cx: &ToolContext) -> BoxFuture<'_, ToolResult> {
    async move {
        log(cx, "Tool execution started");
        sleep(PAUSE).await;
        log(cx, "Tool processing data");
        sleep(PAUSE).await;
        log(cx, "Tool execution completed");
        text("Logged three lines")
    }
    .boxed()
}

fn slow_answer(_: JsonObject, _: &ToolContext) -> BoxFuture<'_, ToolResult> {
    async move {
        sleep(2 * PAUSE).await;
        text("Answered after 100 ms")
    }
    .boxed()
}

fn log(cx: &ToolContext, line: &str) {
    cx.log(LogLevel::Info, Some(LOGGER.to_owned()), json!(line));
}

struct Trigger {
    spec: ToolSpec,
    change: Change,
    on_change: OnChange,
}

#[async_trait]
impl Tool for Trigger {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, _: JsonObject, _: &ToolContext) -> ToolResult {
        (self.on_change)(self.change);
        text("Said so")
    }
}
