//! The `waybill` command, and the services in processes of their own: everything that chooses a
//! backend, reads the environment and decides what runs where. `docs/hosts.md` is the operator's
//! side of it.

mod address;
mod backend;
mod commands;
mod compose;
mod config;
mod doctor;
mod door;
mod executor;
mod files;
#[cfg(feature = "aws")]
pub mod host;
mod observe;
#[cfg(feature = "aws")]
mod origin;
mod reconciler;
mod running;
mod serve;
mod services;
mod shutdown;
mod sink;
mod stores;
mod toolbox;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use mimalloc::MiMalloc;

/// glibc's allocator takes a fifth of a call's time when several threads allocate.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Every service in one process, and the operator's tools.
pub fn command() -> ExitCode {
    // Before any thread: the environment is read once, here and in `config`.
    let dotenv = config::load_dotenv(&commands::Cli::command());
    let cli = commands::Cli::parse();
    match dotenv.and_then(|()| commands::run(cli)) {
        Ok(code) => code,
        Err(error) => commands::report(&error),
    }
}
