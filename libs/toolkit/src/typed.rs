//! Tools written against their own input struct, erased once.

use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Reconciled, Tool, ToolContext, ToolError, ToolResult, ToolSpec};

/// A tool with a typed input and output. The doc comments of the input's fields reach the model.
pub trait TypedTool: Send + Sync + 'static {
    type Input: DeserializeOwned + JsonSchema + Send;
    /// Becomes `structuredContent` (an object) and, unless it is [`Text`], its output schema.
    type Output: Serialize + JsonSchema + Send;

    /// Name, description, effect, limits. The schemas are filled in.
    fn spec(&self) -> ToolSpec;

    fn run(
        &self,
        input: Self::Input,
        cx: &ToolContext,
    ) -> impl Future<Output = Result<Self::Output, ToolError>> + Send;

    /// See [`Tool::reconcile`].
    fn reconcile(
        &self,
        _input: Self::Input,
        _cx: &ToolContext,
    ) -> impl Future<Output = Result<Reconciled<Self::Output>, ToolError>> + Send {
        async { Ok(Reconciled::CannotTell) }
    }

    /// The text for models that do not read structured content; the JSON by default.
    fn render(output: &Self::Output) -> String {
        serde_json::to_string(output).unwrap_or_default()
    }
}

/// Output of a tool that answers in plain text only.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Text(pub String);

/// Erases a typed tool.
pub fn typed<T: TypedTool>(tool: T) -> Arc<dyn Tool> {
    let mut spec = tool.spec();
    spec.input_schema = Arc::new(schema_of::<T::Input>());
    let output = schema_of::<T::Output>();
    let structured = output.get("type").and_then(Value::as_str) == Some("object");
    spec.output_schema = structured.then(|| Arc::new(output));
    Arc::new(Erased {
        spec,
        structured,
        tool,
    })
}

struct Erased<T> {
    spec: ToolSpec,
    structured: bool,
    tool: T,
}

#[async_trait]
impl<T: TypedTool> Tool for Erased<T> {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, arguments: JsonObject, cx: &ToolContext) -> ToolResult {
        let output = self.tool.run(input::<T>(arguments)?, cx).await?;
        self.answer(&output)
    }

    async fn reconcile(
        &self,
        arguments: &JsonObject,
        cx: &ToolContext,
    ) -> Result<Reconciled, ToolError> {
        let input = input::<T>(arguments.clone())?;
        Ok(match self.tool.reconcile(input, cx).await? {
            Reconciled::Acted(output) => Reconciled::Acted(self.answer(&output)?),
            Reconciled::DidNotAct => Reconciled::DidNotAct,
            Reconciled::CannotTell => Reconciled::CannotTell,
        })
    }
}

impl<T: TypedTool> Erased<T> {
    fn answer(&self, output: &T::Output) -> ToolResult {
        let value = serde_json::to_value(output)
            .map_err(|error| ToolError::Invalid(format!("the output is not JSON: {error}")))?;
        if !self.structured {
            let text = match value {
                Value::String(text) => text,
                _ => T::render(output),
            };
            return Ok(CallToolResult::success(vec![ContentBlock::text(text)]));
        }
        let mut result = CallToolResult::structured(value);
        result.content = vec![ContentBlock::text(T::render(output))];
        Ok(result)
    }
}

fn input<T: TypedTool>(arguments: JsonObject) -> Result<T::Input, ToolError> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| ToolError::Invalid(format!("arguments: {error}")))
}

fn schema_of<T: JsonSchema>() -> JsonObject {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    match schema.as_object_mut() {
        Some(object) => {
            object.remove("title");
            std::mem::take(object)
        }
        None => JsonObject::new(),
    }
}
