//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, UpArgs};

#[derive(Parser)]
#[command(name = "waybill", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start every service in this process
    Up(UpArgs),
}

pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Up(args) => crate::serve::up(&Config::load(args)?),
    }
}

pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    tracing::error!("{error:#}");
    ExitCode::FAILURE
}
