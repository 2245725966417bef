//! A root with a secret beside it, and calls to the tools.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use waybill_toolkit::{Signals, Tool, ToolContext, ToolError, ToolRun, Toolkit};
use waybill_toolkit_files::FilesToolkit;
use waybill_workspace::{Root, Roots};

/// What no answer may contain.
pub(crate) const SECRET: &str = "the-secret-of-the-outside";

pub(crate) struct Bench {
    /// Holds `root`, `outside/secret.txt` and is removed at the end.
    dir: TempDir,
    toolkit: FilesToolkit,
}

/// An answer: its structured content and its text.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) data: Value,
    pub(crate) text: String,
}

pub(crate) fn over(roots: &[Root], hidden: &[PathBuf]) -> FilesToolkit {
    FilesToolkit::new(Arc::new(Roots::open(roots, hidden).unwrap()))
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/secret.txt"), SECRET).unwrap();
        let root = Root::new("work", dir.path().join("root"));
        Self {
            toolkit: over(&[root], &[]),
            dir,
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// Writes a file below the root, with the directories above it.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Makes a symlink below the root.
    pub(crate) fn link(&self, path: &str, target: impl AsRef<Path>) -> &Self {
        symlink(target, self.root().join(path)).unwrap();
        self
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Result<Answer, ToolError> {
        call(&self.toolkit, tool, arguments).await
    }

    /// The answer of a call that succeeds.
    pub(crate) async fn answer(&self, tool: &str, arguments: Value) -> Answer {
        self.call(tool, arguments).await.unwrap()
    }

    /// Why a call is refused.
    pub(crate) async fn refusal(&self, tool: &str, arguments: Value) -> String {
        match self.call(tool, arguments.clone()).await {
            Err(ToolError::Invalid(why)) => why,
            other => panic!("{tool} {arguments} was not refused: {other:?}"),
        }
    }

    pub(crate) fn tool(&self, name: &str) -> Arc<dyn Tool> {
        tool(&self.toolkit, name)
    }
}

/// Calls a tool of any toolkit.
pub(crate) async fn call(
    toolkit: &FilesToolkit,
    name: &str,
    arguments: Value,
) -> Result<Answer, ToolError> {
    let (cx, _signals) = context(CancellationToken::new(), Duration::from_mins(1));
    call_in(&*tool(toolkit, name), arguments, &cx).await
}

pub(crate) async fn call_in(
    tool: &dyn Tool,
    arguments: Value,
    cx: &ToolContext,
) -> Result<Answer, ToolError> {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object")
    };
    let result = serde_json::to_value(tool.call(arguments, cx).await?).unwrap();
    Ok(Answer {
        data: result["structuredContent"].clone(),
        text: result["content"][0]["text"].as_str().unwrap().to_owned(),
    })
}

/// What a call is given, with `time` until its deadline.
pub(crate) fn context(cancelled: CancellationToken, time: Duration) -> (ToolContext, Signals) {
    let run = ToolRun {
        deadline: Instant::now() + time,
        ..ToolRun::for_test()
    };
    ToolContext::new(run, cancelled)
}

fn tool(toolkit: &FilesToolkit, name: &str) -> Arc<dyn Tool> {
    toolkit
        .tools()
        .into_iter()
        .find(|tool| tool.spec().name == name)
        .unwrap()
}

/// The values of one field of a list of objects.
pub(crate) fn column<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|entry| entry[field].as_str().unwrap())
        .collect()
}
