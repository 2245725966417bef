//! One service in a process of its own, over AWS: a Lambda function where Lambda starts it,
//! otherwise a process that receives for as long as it is let.

mod worker;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser};

use crate::{
    config::{self, Config, UpArgs},
    consumer::{Consumer, Executor, Sink},
    serve,
    services::Service,
};

/// A service of Waybill in a process of its own
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    args: UpArgs,
}

/// Takes calls: HTTP.
pub fn ingress() -> ExitCode {
    ended(
        configured(Service::Ingress)
            .and_then(|config| serve::runtime()?.block_on(async { worker::door(&config).await })),
    )
}

/// Runs calls, and looks after those that nobody ends.
pub fn tool_executor() -> ExitCode {
    consumer::<Executor>(Service::ToolExecutor)
}

/// Writes the audit trail.
pub fn audit_sink() -> ExitCode {
    consumer::<Sink>(Service::AuditSink)
}

fn consumer<C: Consumer>(service: Service) -> ExitCode {
    ended(configured(service).and_then(|config| {
        serve::runtime()?.block_on(async { worker::consumer::<C>(&config).await })
    }))
}

fn configured(service: Service) -> Result<Config> {
    // Before any thread: the environment is read once, here and in `config`.
    config::load_dotenv(&Cli::command())?;
    let config = Config::for_service(Cli::parse().args, service)?;
    serve::logs(&config)?;
    Ok(config)
}

/// Everything that ends a service is an operator's business: told once, in the log's place.
fn ended(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| crate::commands::report(&error))
}
