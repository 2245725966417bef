#![doc = include_str!("../README.md")]

mod call;
mod config;
mod connection;
mod http;
mod outcome;
mod process;
mod session;
mod supervisor;
mod task;
mod tool;
mod upstream;

pub use config::{
    Error, HttpConfig, McpConfig, Policy, Secrets, ServerConfig, StdioConfig, Transport,
};
pub use supervisor::{Options, Supervisor};
pub use upstream::Health;
