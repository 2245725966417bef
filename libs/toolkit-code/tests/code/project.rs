//! A project on disk and the toolkit over it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use waybill_toolkit::{JsonObject, Signals, Tool, ToolContext, ToolError, ToolRun, Toolkit};
use waybill_toolkit_code::CodeToolkit;
use waybill_workspace::{Root, Roots};

pub(crate) struct Project {
    folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let project = Self {
            folder: TempDir::new().unwrap(),
        };
        for (path, content) in files {
            project.file(path, content);
        }
        project
    }

    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The answer, or the message of the refusal.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Result<Answer, String> {
        match call_in(self.path(), tool, arguments, &context().0).await {
            Ok(answer) => Ok(answer),
            Err(ToolError::Invalid(message)) => Err(message),
            Err(other) => panic!("{tool} fails otherwise: {other}"),
        }
    }

    pub(crate) async fn text(&self, tool: &str, arguments: Value) -> String {
        self.call(tool, arguments).await.unwrap().text
    }

    /// The outline of one file, as text.
    pub(crate) async fn outline(&self, path: &str) -> String {
        self.text("code_outline", json!({ "path": path })).await
    }
}

pub(crate) async fn call_in(
    root: &Path,
    tool: &str,
    arguments: Value,
    cx: &ToolContext,
) -> Result<Answer, ToolError> {
    answer_of(&*tool_in(root, tool), arguments, cx).await
}

pub(crate) async fn answer_of(
    tool: &dyn Tool,
    arguments: Value,
    cx: &ToolContext,
) -> Result<Answer, ToolError> {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object")
    };
    let result = tool.call(arguments, cx).await?;
    let json = result.structured_content.unwrap();
    // Clients refuse an answer that its own schema does not allow.
    let schema = Value::Object(JsonObject::clone(
        tool.spec().output_schema.as_ref().unwrap(),
    ));
    jsonschema::validate(&schema, &json).unwrap();
    let content = serde_json::to_value(&result.content).unwrap();
    let text = content[0]["text"].as_str().unwrap().to_owned();
    Ok(Answer { text, json })
}

pub(crate) fn toolkit(root: &Path, hidden: &[PathBuf]) -> CodeToolkit {
    let roots = Roots::open(&[Root::new("project", root)], hidden);
    CodeToolkit::new(Arc::new(roots.unwrap()))
}

pub(crate) fn tool_in(root: &Path, name: &str) -> Arc<dyn Tool> {
    toolkit(root, &[])
        .tools()
        .into_iter()
        .find(|tool| tool.spec().name == name)
        .unwrap()
}

pub(crate) fn context() -> (ToolContext, Signals, CancellationToken) {
    let cancelled = CancellationToken::new();
    let (cx, signals) = ToolContext::new(ToolRun::for_test(), cancelled.clone());
    (cx, signals, cancelled)
}
