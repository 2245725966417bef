#![doc = include_str!("../README.md")]

mod context;
mod registry;
mod tool;
mod typed;

pub use context::{Signal, Signals, ToolContext, ToolRun};
pub use registry::{DuplicateTool, Registry, Toolkit};
pub use rmcp::model::{
    CallToolResult, ContentBlock, InputRequest, InputRequests, InputResponses, JsonObject,
};
pub use tool::{Effect, Tool, ToolError, ToolResult, ToolSpec};
pub use typed::{Text, TypedTool, typed};
