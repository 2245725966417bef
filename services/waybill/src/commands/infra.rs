//! `waybill infra`: for emulators and development accounts. Production has the template.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use super::print::Out;
use crate::{
    backend::aws,
    config::{Config, UpArgs},
};

#[derive(Args)]
pub(super) struct InfraArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make tables, topic, queues, master key and bucket, where they are not there yet
    Apply(UpArgs),
}

pub(super) fn run(args: InfraArgs) -> Result<ExitCode> {
    let Action::Apply(args) = args.action;
    let config = Config::load(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(aws::apply(&config.aws))?;
    Out::new(false).text(&format!(
        "the installation {} is complete",
        config.aws.prefix
    ))?;
    Ok(ExitCode::SUCCESS)
}
