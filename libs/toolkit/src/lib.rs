#![doc = include_str!("../README.md")]

mod content;
mod context;
mod registry;
mod tool;
mod typed;

pub use content::Content;
pub use context::{LogLevel, Signal, Signals, ToolContext, ToolRun};
pub use registry::{DuplicateTool, Registry, Toolkit};
pub use rmcp::model::{
    CallToolResult, ContentBlock, InputRequest, InputRequests, InputResponses, JsonObject,
};
pub use tool::{Effect, Reconciled, TaskSupport, Tool, ToolError, ToolResult, ToolSpec};
pub use typed::{Text, TypedTool, typed};

/// The example that newcomers copy compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../CONTRIBUTING.md")]
struct Contributing;
