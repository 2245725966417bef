//! A tool made of a spec and a function.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::Value;
use waybill_toolkit::{
    CallToolResult, ContentBlock, Effect, JsonObject, Tool, ToolContext, ToolResult, ToolSpec,
};

/// Answers at once.
type Answer = fn(&JsonObject, &ToolContext) -> ToolResult;
/// Takes its time.
pub(crate) type Work = for<'a> fn(JsonObject, &'a ToolContext) -> BoxFuture<'a, ToolResult>;

enum Body {
    Answer(Answer),
    Work(Work),
}

struct Fixture {
    spec: ToolSpec,
    body: Body,
}

#[async_trait]
impl Tool for Fixture {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, arguments: JsonObject, cx: &ToolContext) -> ToolResult {
        match self.body {
            Body::Answer(answer) => answer(&arguments, cx),
            Body::Work(work) => work(arguments, cx).await,
        }
    }
}

/// The spec of a fixture without arguments. None changes anything, so all are read-only.
pub(crate) fn spec(name: &str, description: &str) -> ToolSpec {
    ToolSpec::new(name, description, Effect::ReadOnly)
}

/// The same with an input schema.
pub(crate) fn spec_with(name: &str, description: &str, input_schema: Value) -> ToolSpec {
    let mut spec = spec(name, description);
    spec.input_schema = Arc::new(object(input_schema));
    spec
}

pub(crate) fn answers(spec: ToolSpec, answer: Answer) -> Arc<dyn Tool> {
    let body = Body::Answer(answer);
    Arc::new(Fixture { spec, body })
}

pub(crate) fn works(spec: ToolSpec, work: Work) -> Arc<dyn Tool> {
    let body = Body::Work(work);
    Arc::new(Fixture { spec, body })
}

pub(crate) fn text(text: impl Into<String>) -> ToolResult {
    content(vec![ContentBlock::text(text)])
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a fixture ends with it and returns a ToolResult"
)]
pub(crate) fn content(blocks: Vec<ContentBlock>) -> ToolResult {
    Ok(CallToolResult::success(blocks))
}

pub(crate) fn argument<'a>(arguments: &'a JsonObject, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

/// For literals only.
fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}
