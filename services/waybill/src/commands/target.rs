//! Which gateway a command talks to.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::{Args, FromArgMatches as _};
use tokio::net::TcpStream;
use waybill_backend_sqlite::SqliteBackend;

use super::{
    client::Client,
    exit::{Exit, Failure},
};
use crate::{
    compose::{FirstKey, Local, Role, make_first_key},
    config::{BackendKind, Config, UpArgs},
    files,
};

/// The backend's file: the directory was made by `waybill up`.
const DATABASE: &str = "waybill.db";
/// A process that starts says where it listens only after it has opened its data.
const STARTING: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which gateway")]
pub(super) struct Target {
    /// Data directory of a gateway on this machine, running or not [default: .waybill]
    #[arg(long, env = "WAYBILL_DATA_DIR", value_name = "DIR", global = true)]
    pub(super) data_dir: Option<PathBuf>,
    /// URL of a gateway anywhere; needs --key-file, wins over --data-dir
    #[arg(long, env = "WAYBILL_URL", value_name = "URL", global = true)]
    pub(super) url: Option<String>,
    /// File with the API key [default: api-key in the data directory]
    #[arg(long, env = "WAYBILL_KEY_FILE", value_name = "FILE", global = true)]
    pub(super) key_file: Option<PathBuf>,
}

/// The process that serves the data directory, or the services in this process where none does.
pub(super) async fn connect(target: &Target) -> Result<Client> {
    if let Some(url) = &target.url {
        let Some(file) = &target.key_file else {
            let message = "--url needs --key-file: the key that the other gateway gave out";
            return Err(Failure::usage(message).into());
        };
        return Client::http(url, &read_key(file)?);
    }
    let config = local_config(target.data_dir.clone())?;
    let data_dir = &config.data_dir;
    let own_key = files::key_file(data_dir);
    let key = || read_key(target.key_file.as_ref().unwrap_or(&own_key));
    let embedded = data_dir.join(DATABASE).exists();
    if config.backend == BackendKind::Embedded && SqliteBackend::in_use(data_dir) {
        return Client::http(&announced(data_dir).await?, &key()?);
    }
    // `waybill up --backend aws` leaves no database, and this command may not know of its flags.
    if (config.backend == BackendKind::Aws || !embedded)
        && let Some(url) = listening(data_dir).await
    {
        return Client::http(&url, &key()?);
    }
    if config.backend == BackendKind::Embedded && !embedded {
        return Err(Failure::new(Exit::Failed, nothing_at(data_dir)).into());
    }
    // The operator's side of the gateway, in this process.
    if target.key_file.is_none() && !own_key.exists() {
        let message = format!(
            "there is no API key at {}; name one with --key-file, or make an installation's first \
             with waybill keys first",
            own_key.display()
        );
        return Err(Failure::new(Exit::Failed, message).into());
    }
    Client::local(Local::open(&config, Role::Look).await?, &key()?)
}

/// For `waybill keys first`, which has no key to ask a gateway with.
pub(super) async fn first_key(target: &Target) -> Result<FirstKey> {
    let config = local_config(target.data_dir.clone())?;
    if config.backend == BackendKind::Embedded && !config.data_dir.join(DATABASE).exists() {
        return Err(Failure::new(Exit::Failed, nothing_at(&config.data_dir)).into());
    }
    make_first_key(&config).await
}

fn nothing_at(data_dir: &Path) -> String {
    let shown = data_dir.display();
    format!(
        "there is no data directory at {shown}; start one with waybill up, or set \
         WAYBILL_BACKEND=aws and WAYBILL_PREFIX for an installation on AWS"
    )
}

/// What `waybill up` would be configured with here, flags aside.
fn local_config(data_dir: Option<PathBuf>) -> Result<Config> {
    let command = UpArgs::augment_args(clap::Command::new("up").no_binary_name(true));
    let environment = command
        .try_get_matches_from(std::iter::empty::<OsString>())
        .and_then(|matches| UpArgs::from_arg_matches(&matches))
        .context("in the environment")?;
    let data_dir = data_dir.or_else(|| environment.data_dir.clone());
    Config::load(UpArgs {
        data_dir,
        conformance: false,
        ..environment
    })
}

fn read_key(file: &Path) -> Result<String> {
    let key = files::read_line(file)?;
    anyhow::ensure!(!key.is_empty(), "the key file {} is empty", file.display());
    Ok(key)
}

/// Where the process that has the directory open listens.
async fn announced(data_dir: &Path) -> Result<String> {
    let file = files::url_file(data_dir);
    let read = async {
        while !file.exists() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(STARTING, read).await.map_err(|_| {
        let shown = data_dir.display();
        anyhow::anyhow!("another command is using {shown}, and it is no gateway; try again")
    })?;
    files::read_line(&file)
}

/// The gateway that was started with the directory, if it still runs: nobody locks the directory
/// where the records are far away, and one that was killed leaves its address behind.
async fn listening(data_dir: &Path) -> Option<String> {
    let url = files::read_line(&files::url_file(data_dir)).ok()?;
    let address = url.strip_prefix("http://")?;
    TcpStream::connect(address).await.ok()?;
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(target: Target) -> (Option<Exit>, String) {
        let error = connect(&target).await.err().unwrap();
        let exit = error.downcast_ref::<Failure>().map(|failure| failure.exit);
        (exit, format!("{error:#}"))
    }

    #[tokio::test]
    async fn a_url_needs_a_key() {
        let url = Some("http://127.0.0.1:1".to_owned());
        let (exit, text) = refusal(Target {
            url,
            ..Target::default()
        })
        .await;
        assert_eq!(exit, Some(Exit::Usage));
        assert!(text.contains("--key-file"), "{text}");
    }

    #[tokio::test]
    async fn nothing_is_made_where_nothing_is() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let (_, text) = refusal(Target {
            data_dir: Some(data_dir.clone()),
            ..Target::default()
        })
        .await;
        assert!(text.contains("start one with waybill up"), "{text}");
        assert!(!data_dir.exists());
    }

    #[tokio::test]
    async fn an_empty_key_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let key_file = Some(file.path().to_owned());
        let url = Some("http://127.0.0.1:1".to_owned());
        let (_, text) = refusal(Target {
            url,
            key_file,
            ..Target::default()
        })
        .await;
        assert!(text.contains("is empty"), "{text}");
    }
}
