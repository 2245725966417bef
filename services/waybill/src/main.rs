//! The `waybill` command: every service in one process, and the operator's tools.

mod address;
mod backend;
mod commands;
mod compose;
mod config;
mod doctor;
mod files;
mod serve;
mod shutdown;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// glibc's allocator takes a fifth of a call's time when several threads allocate.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Before any thread: the environment is read once, here and in `config`.
    let dotenv = config::load_dotenv();
    let cli = commands::Cli::parse();
    match dotenv.and_then(|()| commands::run(cli)) {
        Ok(code) => code,
        Err(error) => commands::report(&error),
    }
}
