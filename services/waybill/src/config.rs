//! Configuration: flags over environment (`WAYBILL_*`, `.env`) over `waybill.toml`. The only place
//! that reads the environment.

mod environment;
mod file;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Deserialize;

#[cfg(test)]
pub(crate) use self::environment::known_variables;
use self::{
    environment::dotenv_file,
    file::{File, read},
};
pub(crate) use self::{
    environment::{load_dotenv, variable},
    file::{Aws, Calls, Http, Root},
};
#[cfg(feature = "aws")]
use crate::origin::OriginSecret;
use crate::{address::host_of, services::Service};

const FILE: &str = "waybill.toml";

/// What `waybill up` can be told on the command line and in the environment.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct UpArgs {
    /// Where everything is kept [default: .waybill]
    #[arg(long, env = "WAYBILL_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long, env = "WAYBILL_LISTEN", value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Upstream MCP servers, in the usual mcp.json form
    #[arg(long, env = "WAYBILL_MCP_CONFIG", value_name = "FILE")]
    pub(crate) mcp_config: Option<PathBuf>,
    /// Configuration file [default: waybill.toml, where it exists]
    #[arg(long, env = "WAYBILL_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The URL that clients reach this gateway by, when it is not the address
    #[arg(long, env = "WAYBILL_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// A folder that the files and code tools may read; repeat for more, the first is the default
    #[arg(
        long = "root",
        env = "WAYBILL_ROOTS",
        value_name = "NAME=PATH",
        value_delimiter = ','
    )]
    pub(crate) roots: Vec<String>,
    /// What to log: error, warn, info, debug, or a tracing filter
    #[arg(long, env = "WAYBILL_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How to log: text or json
    #[arg(long, env = "WAYBILL_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// What to keep everything in: embedded (the data directory) or aws
    #[arg(long, env = "WAYBILL_BACKEND", value_name = "KIND")]
    pub(crate) backend: Option<BackendKind>,
    /// With --backend aws: an emulator's URL in place of AWS
    #[arg(long, env = "WAYBILL_ENDPOINT_URL", value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// With --backend aws: what the names of the installation's resources begin with
    /// [default: waybill]
    #[arg(long, env = "WAYBILL_PREFIX", value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    /// With --backend aws: run only these services in this process [default: all]
    #[arg(
        long,
        env = "WAYBILL_SERVICES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(crate) services: Vec<Service>,
    /// With --endpoint-url: what of the emulator's answers goes wrong. For tests only.
    #[arg(long, env = "WAYBILL_FAULTS", value_name = "SHARES", hide = true)]
    pub(crate) faults: Option<String>,
    /// In a Lambda function: answer only whoever sends it as X-Waybill-Origin
    #[cfg(feature = "aws")]
    #[arg(long, env = "WAYBILL_ORIGIN_SECRET", value_name = "TEXT", hide = true)]
    pub(crate) origin_secret: Option<OriginSecret>,
    /// Serve the conformance suite's fixture tools, to anybody on this machine. For tests only.
    #[arg(long, env = "WAYBILL_CONFORMANCE", hide = true)]
    pub(crate) conformance: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What the records, queues, keys and payloads are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BackendKind {
    /// The data directory, for this process alone.
    #[default]
    Embedded,
    Aws,
}

/// Everything `waybill up` needs to know.
#[expect(
    clippy::struct_field_names,
    reason = "mcp.json is called a configuration everywhere"
)]
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) mcp_config: Option<PathBuf>,
    pub(crate) public_url: Option<String>,
    pub(crate) roots: Vec<Root>,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) http: Http,
    pub(crate) calls: Calls,
    pub(crate) backend: BackendKind,
    pub(crate) aws: Aws,
    /// `None`: anybody may knock.
    #[cfg(feature = "aws")]
    pub(crate) origin_secret: Option<OriginSecret>,
    /// What runs in this process.
    pub(crate) services: BTreeSet<Service>,
    pub(crate) conformance: bool,
    /// The files that all this was read from. There may be credentials in them.
    pub(crate) sources: Vec<PathBuf>,
}

impl Config {
    /// For whoever starts it by hand: its tools read the current folder, unless told otherwise.
    pub(crate) fn load(args: UpArgs) -> Result<Self> {
        let mut config = Self::read(args)?;
        if config.roots.is_empty() {
            let path = std::env::current_dir().context("the current folder is gone")?;
            config.roots.push(Root {
                name: "workspace".to_owned(),
                path,
            });
        }
        Ok(config)
    }

    /// For a service in a process of its own. It reads no folder that was not named: where a host
    /// starts it there may be anything.
    #[cfg(feature = "aws")]
    pub(crate) fn for_service(args: UpArgs, service: Service) -> Result<Self> {
        let mut config = Self::read(args)?;
        if config.backend != BackendKind::Aws {
            bail!(
                "{service} in a process of its own needs a backend that processes share: set \
                 WAYBILL_BACKEND=aws"
            );
        }
        config.services = BTreeSet::from([service]);
        Ok(config)
    }

    fn read(args: UpArgs) -> Result<Self> {
        let default = || Some(PathBuf::from(FILE)).filter(|path| path.exists());
        let path = args.config.clone().or_else(default);
        let file = path.as_deref().map_or_else(|| Ok(File::default()), read)?;
        file.http.check()?;
        file.calls.check()?;
        let mut aws = file.aws;
        aws.endpoint_url = args.endpoint_url.or(aws.endpoint_url);
        aws.prefix = args.prefix.unwrap_or(aws.prefix);
        aws.faults = args.faults;
        aws.check()?;
        let mut roots = args
            .roots
            .iter()
            .map(|text| parse_root(text))
            .collect::<Result<Vec<_>>>()?;
        if roots.is_empty() {
            roots = file.roots;
        }
        let backend = args.backend.or(file.backend).unwrap_or_default();
        #[cfg(feature = "aws")]
        if backend == BackendKind::Aws {
            file.calls.check_kept()?;
        }
        let services = chosen([args.services, file.services], backend)?;
        let default = SocketAddr::from(([127, 0, 0, 1], 8080));
        let mcp_config = args.mcp_config.or(file.mcp_config);
        let public_url = args.public_url.or(file.public_url);
        if let Some(url) = public_url.as_deref().filter(|url| host_of(url).is_none()) {
            bail!("public-url takes a URL such as https://gateway.example.com, not {url:?}");
        }
        let sources = path
            .into_iter()
            .chain(dotenv_file())
            .chain(mcp_config.clone());
        Ok(Self {
            sources: sources.collect(),
            data_dir: data_dir(args.data_dir.or(file.data_dir)),
            listen: args.listen.or(file.listen).unwrap_or(default),
            mcp_config,
            public_url,
            roots,
            log: args
                .log
                .or(file.log)
                .unwrap_or_else(|| "info,rmcp=warn".to_owned()),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
            http: file.http,
            calls: file.calls,
            backend,
            aws,
            #[cfg(feature = "aws")]
            origin_secret: args.origin_secret,
            services,
            conformance: args.conformance,
        })
    }

    /// The longest wait for running work when the process is told to end.
    pub(crate) const DRAIN: Duration = Duration::from_secs(10);
}

/// The first that names any; all where none does.
fn chosen(told: [Vec<Service>; 2], backend: BackendKind) -> Result<BTreeSet<Service>> {
    let told = told.into_iter().find(|services| !services.is_empty());
    let all = Service::of(backend);
    let services = told.map_or_else(|| all.clone(), BTreeSet::from_iter);
    if backend == BackendKind::Embedded && services != all {
        bail!(
            "the embedded backend runs every service in one process, because its data directory \
             is for one process alone: leave services out, or take --backend aws"
        );
    }
    Ok(services)
}

/// Where everything is kept, unless told otherwise.
pub(crate) fn data_dir(told: Option<PathBuf>) -> PathBuf {
    told.unwrap_or_else(|| PathBuf::from(".waybill"))
}

fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let best = known
        .max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)));
    best.map(|best| format!("; did you mean {best}?"))
        .unwrap_or_default()
}

fn parse_root(text: &str) -> Result<Root> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok(Root {
            name: name.to_owned(),
            path: PathBuf::from(path),
        }),
        _ => bail!("--root takes NAME=PATH, not {text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("waybill.toml");
        std::fs::write(&path, "[http]\nmax-body-byte = 1\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("did you mean max-body-bytes?"), "{error}");
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_number_out_of_range_is_named_with_its_range() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("waybill.toml");
        for (table, line, range) in [
            ("calls", "task-wait-s = nan", "0 to 28"),
            ("calls", "task-wait-s = -0.5", "0 to 28"),
            (
                "calls",
                "retention-s = 9223372036854775807",
                "1 to 315360000",
            ),
            ("calls", "deadline-s = 0", "1 to 86400"),
            ("http", "rate-per-second = inf", "0.001 to 1000000000"),
        ] {
            std::fs::write(&path, format!("[{table}]\n{line}\n")).unwrap();
            let args = UpArgs {
                config: Some(path.clone()),
                ..UpArgs::default()
            };
            let error = Config::load(args).unwrap_err().to_string();
            let key = format!("{table}.{}", line.split(' ').next().unwrap());
            assert!(
                error.contains(&key) && error.contains(range),
                "{line}: {error}"
            );
        }
    }

    #[cfg(feature = "aws")]
    #[test]
    fn a_call_is_not_kept_longer_than_its_large_result() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("waybill.toml");
        let told = |backend, deadline_s: u64, retention_s: u64| {
            let calls = format!("deadline-s = {deadline_s}\nretention-s = {retention_s}\n");
            std::fs::write(&path, format!("[calls]\n{calls}")).unwrap();
            Config::load(UpArgs {
                config: Some(path.clone()),
                backend: Some(backend),
                ..UpArgs::default()
            })
        };
        let kept = u64::from(waybill_backend_aws::KEPT_DAYS) * file::DAY_S;
        assert!(told(BackendKind::Aws, 60, kept - 60).is_ok());
        assert!(told(BackendKind::Embedded, 60, kept).is_ok());
        let error = told(BackendKind::Aws, 60, kept - 59)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("calls.retention-s") && error.contains("2592000 at most"),
            "{error}"
        );
    }

    /// What the README shows can be copied, and tells the truth about the defaults.
    #[test]
    fn the_file_in_the_readme_is_the_default() {
        let readme = include_str!("../../../README.md");
        let (_, file) = readme.split_once("```toml\n").unwrap();
        let (file, _) = file.split_once("```").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("waybill.toml");
        std::fs::write(&path, file).unwrap();
        let told = |config: Option<PathBuf>| {
            let args = UpArgs {
                config,
                ..UpArgs::default()
            };
            let config = Config::load(args).unwrap();
            let Config {
                data_dir,
                listen,
                mcp_config,
                public_url,
                log,
                log_format,
                http,
                calls,
                ..
            } = config;
            let files = (data_dir, listen, mcp_config, public_url);
            format!("{files:?} {log} {log_format:?} {http:?} {calls:?}")
        };
        assert_eq!(told(Some(path)), told(None));
    }

    #[test]
    fn services_apart_need_a_backend_that_processes_share() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("waybill.toml");
        std::fs::write(&path, "services = [\"audit-sink\"]\n").unwrap();
        let told = |backend, services: &[Service]| {
            Config::load(UpArgs {
                config: Some(path.clone()),
                backend: Some(backend),
                services: services.to_vec(),
                ..UpArgs::default()
            })
        };
        let aws = told(BackendKind::Aws, &[]).unwrap();
        assert_eq!(aws.services, BTreeSet::from([Service::AuditSink]));
        let flag = told(BackendKind::Aws, &[Service::Ingress]).unwrap();
        assert_eq!(flag.services, BTreeSet::from([Service::Ingress]));
        let error = told(BackendKind::Embedded, &[]).unwrap_err().to_string();
        assert!(error.contains("--backend aws"), "{error}");
        let all = Vec::from_iter(Service::of(BackendKind::Embedded));
        assert!(told(BackendKind::Embedded, &all).is_ok());
    }

    #[test]
    fn an_unknown_service_is_an_error_that_names_the_known() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("waybill.toml");
        std::fs::write(&path, "services = [\"audit\"]\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        for known in Service::of(BackendKind::Aws) {
            assert!(error.contains(&known.to_string()), "{error}");
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("waybill.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:9000\"\nlog = \"debug\"\n").unwrap();
        let args = UpArgs {
            config: Some(path),
            listen: Some("127.0.0.1:9001".parse().unwrap()),
            ..UpArgs::default()
        };
        let config = Config::load(args).unwrap();
        assert_eq!(config.listen.port(), 9001);
        assert_eq!(config.log, "debug");
    }
}
