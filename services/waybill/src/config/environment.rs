//! The environment: `.env`, and the names that are read.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::nearest;

/// Reads `.env` of this folder or one above into the environment; refuses `WAYBILL_*` names that
/// nothing of `command` reads.
pub(crate) fn load_dotenv(command: &clap::Command) -> Result<()> {
    if let Some(path) = dotenv_file() {
        dotenvy::from_path(&path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    let known = known_variables(command);
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in set.filter(|name| name.starts_with("WAYBILL_")) {
        if !known.contains(&name) {
            let hint = nearest(&name, known.iter().map(String::as_str));
            bail!("the environment sets {name}, which nothing reads{hint}");
        }
    }
    Ok(())
}

/// The `.env` that counts here.
pub(super) fn dotenv_file() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let mut files = here.ancestors().map(|folder| folder.join(".env"));
    files.find(|path| path.is_file())
}

/// One variable of the environment, for `mcp.json`'s `${NAME}` and the base of child processes.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the environment is read"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What `command` and its subcommands read from the environment.
pub(crate) fn known_variables(command: &clap::Command) -> Vec<String> {
    let own = command
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned));
    own.chain(command.get_subcommands().flat_map(known_variables))
        .collect()
}
