//! One service in a process of its own, over AWS: a Lambda function where Lambda starts it,
//! otherwise a process that receives for as long as it is let.

mod consumer;
mod lambda;
mod worker;

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use clap::{CommandFactory as _, Parser};
use waybill_backend_aws::EventRelay;

use self::consumer::Consumer;
use crate::{
    config::{self, Config, UpArgs},
    executor::Executor,
    serve,
    services::Service,
    sink::Sink,
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
    run(Service::Ingress, async |config, place| match place {
        Place::Lambda => lambda::door::run(config).await,
        Place::Process => worker::door(config).await,
    })
}

/// Runs calls, and looks after those that nobody ends.
pub fn tool_executor() -> ExitCode {
    consumer::<Executor>(Service::ToolExecutor)
}

/// Writes the audit trail.
pub fn audit_sink() -> ExitCode {
    consumer::<Sink>(Service::AuditSink)
}

/// Puts events onto the installation's bus.
pub fn event_relay() -> ExitCode {
    consumer::<Arc<EventRelay>>(Service::EventRelay)
}

fn consumer<C: Consumer>(service: Service) -> ExitCode {
    run(service, async |config, place| match place {
        Place::Lambda => lambda::consumer::run::<C>(config).await,
        Place::Process => worker::consumer::<C>(config).await,
    })
}

/// Where it runs. Asked here, and nowhere else.
#[derive(Clone, Copy)]
enum Place {
    Lambda,
    Process,
}

impl Place {
    fn here() -> Self {
        match config::variable("AWS_LAMBDA_RUNTIME_API") {
            Some(_) => Self::Lambda,
            None => Self::Process,
        }
    }
}

/// Everything that ends a service is for its operator.
fn run(service: Service, host: impl AsyncFnOnce(&Config, Place) -> Result<ExitCode>) -> ExitCode {
    let ended = configured(service).and_then(|config| {
        let place = Place::here();
        serve::runtime()?.block_on(host(&config, place))
    });
    ended.unwrap_or_else(|error| crate::commands::report(&error))
}

fn configured(service: Service) -> Result<Config> {
    // Before any thread: the environment is read once, here and in `config`.
    config::load_dotenv(&Cli::command())?;
    let config = Config::for_service(Cli::parse().args, service)?;
    serve::logs(&config)?;
    Ok(config)
}
