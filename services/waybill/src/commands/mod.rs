//! The command line: `up`, and the operator's commands, which all ask a gateway.
//!
//! A command is a file: its arguments, the routes that it asks, what it prints. `target` finds the
//! gateway, `client` asks it, `print` is the only way to standard output.

mod arguments;
mod audit;
mod call;
mod calls;
mod client;
mod content;
mod dlq;
mod doctor;
mod document;
#[cfg(test)]
mod documented;
mod exit;
mod healthcheck;
#[cfg(feature = "aws")]
mod infra;
mod keys;
mod print;
mod queues;
mod secrets;
#[cfg(test)]
mod served;
mod span;
mod status;
mod target;
mod tenants;
mod tools;
mod watch;

#[cfg(feature = "otel")]
pub(crate) use client::tls;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use self::{
    call::CallCommand, client::Client, document::Document, exit::Exit, print::Out, target::Target,
};
use crate::{
    config::{Config, UpArgs},
    serve::runtime,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it could not be done
  2  the command line, or the arguments of a call, are wrong
  3  there is no such call, key, secret, tool or dead letter
  4  the key is not valid, or may not do this
  5  the call failed, was cancelled or expired, or its tool reports an error
  6  the call has not ended yet
  7  the audit trail is not what was written
  8  an installation on AWS is not complete
  9  it is there already, or the idempotency key was used for another call";

/// A durable gateway for MCP tools: calls wait in a queue, run, and are there to be fetched.
#[derive(Parser)]
#[command(name = "waybill", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start every service in this process
    Up(UpArgs),
    /// Make what an installation on AWS needs
    #[cfg(feature = "aws")]
    Infra(infra::InfraArgs),
    /// Call a tool, and print what it answers
    Call(CallCommand),
    /// How a call stands, and its result
    Status(With<status::StatusArgs>),
    /// The newest calls
    Calls(With<calls::CallsArgs>),
    /// End a call
    Cancel(With<status::CancelArgs>),
    /// The tools that can be called
    Tools(With<tools::ToolsArgs>),
    /// API keys
    Keys(With<keys::KeysArgs>),
    /// Tenants: whose calls are seen by whose keys
    Tenants(With<tenants::TenantsArgs>),
    /// Secrets of upstream servers and providers, for the configuration to refer to
    Secrets(With<secrets::SecretsArgs>),
    /// How full the queues are
    Queues(With<queues::QueuesArgs>),
    /// Dead letters: deliveries that were given up
    Dlq(With<dlq::DlqArgs>),
    /// The audit trail
    Audit(With<audit::AuditArgs>),
    /// Whether everything is there that the gateway needs
    Doctor(With<doctor::DoctorArgs>),
    /// Whether the process on this machine takes work: for containers
    Healthcheck(healthcheck::HealthcheckArgs),
}

/// A command's own arguments, and those of every command.
#[derive(Args)]
struct With<A: Args> {
    #[command(flatten)]
    args: A,
    #[command(flatten)]
    target: Target,
    /// Print JSON, for programs
    #[arg(long, global = true, help_heading = None)]
    json: bool,
}

/// What a command works with.
struct Session {
    client: Client,
    out: Out,
}

pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    let exit = match cli.command {
        Command::Up(args) => return crate::serve::up(&Config::load(args)?),
        #[cfg(feature = "aws")]
        Command::Infra(args) => infra::run(args),
        Command::Call(CallCommand { mut args, target }) => {
            args.find_tool();
            let json = args.prints_json();
            With { args, target, json }.run(call::run)
        }
        Command::Status(with) => with.run(status::run),
        Command::Calls(with) => with.run(calls::run),
        Command::Cancel(with) => with.run(status::cancel),
        Command::Tools(with) => with.run(tools::run),
        Command::Keys(With { args, target, json }) => keys::run(args, &target, json),
        Command::Tenants(with) => with.run(tenants::run),
        Command::Secrets(with) => with.run(secrets::run),
        Command::Queues(with) => with.run(queues::run),
        Command::Dlq(with) => with.run(dlq::run),
        Command::Audit(with) => with.run(audit::run),
        Command::Doctor(with) => with.run(doctor::run),
        Command::Healthcheck(args) => runtime()?.block_on(healthcheck::run(args)),
    };
    exit.map(ExitCode::from)
}

/// Tells an error on standard error, and what to exit with.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let (exit, text) = exit::verdict(error);
    if let Some(text) = text {
        print::note(&text);
    }
    exit.into()
}

impl<A: Args> With<A> {
    fn run(self, command: impl AsyncFnOnce(&Session, A) -> Result<Exit>) -> Result<Exit> {
        let Self { args, target, json } = self;
        asked(&target, json, async |session| command(session, args).await)
    }
}

/// Runs a command that asks a gateway.
fn asked(
    target: &Target,
    json: bool,
    command: impl AsyncFnOnce(&Session) -> Result<Exit>,
) -> Result<Exit> {
    runtime()?.block_on(async {
        let client = target::connect(target).await?;
        let session = Session {
            client,
            out: Out::new(json),
        };
        let exit = command(&session).await;
        session.client.close().await;
        exit
    })
}

impl Session {
    /// What a call came to: its answer on standard output, anything else beside it.
    fn outcome(&self, document: &Document) -> Result<()> {
        if self.out.json {
            return self.out.json(&document.raw);
        }
        let (text, remark) = document.outcome();
        if let Some(text) = text {
            self.out.text(&text)?;
        }
        if let Some(remark) = remark {
            print::note(&remark);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_flags_go_behind_any_command() {
        for line in [
            &[
                "tools",
                "--url",
                "http://gateway",
                "--key-file",
                "key",
                "--json",
            ][..],
            &["keys", "create", "ci", "--data-dir", "elsewhere", "--json"],
            &["keys", "--data-dir", "elsewhere", "list"],
            &["keys", "first", "--data-dir", "elsewhere"],
            &["tenants", "create", "acme", "--name", "Acme", "--json"],
            &["tenants", "list", "--data-dir", "elsewhere"],
            &["secrets", "set", "github/token", "--data-dir", "elsewhere"],
            &["secrets", "list", "--json"],
            &["call", "--json", "tool", "--arg", "a=b"],
            &["calls", "--status", "input_required"],
            &[
                "dlq",
                "redrive",
                "--all",
                "--dry-run",
                "--url",
                "http://gateway",
            ],
            &["call", "tool", "--arg", "a=b", "--data-dir", "elsewhere"],
            &["status", "ID", "--wait=20s", "--json"],
            &["up", "--data-dir", "elsewhere"],
            &["up", "--backend", "aws", "--services", "ingress,audit-sink"],
            &["healthcheck", "--listen", "0.0.0.0:8080"],
        ] {
            let parsed = Cli::try_parse_from([&["waybill"], line].concat());
            assert!(parsed.is_ok(), "{line:?}: {}", parsed.err().unwrap());
        }
    }
}
