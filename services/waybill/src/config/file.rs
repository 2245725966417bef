//! `waybill.toml`, and the range of each number in it.

use std::{
    fmt::Display,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use waybill_ingress::RateLimit;

use super::{BackendKind, LogFormat, nearest};
use crate::services::Service;

pub(super) const DAY_S: u64 = 24 * 3_600;

/// An installation in an AWS account. Credentials come by the SDK's default chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Aws {
    /// `None`: by the environment or the profile.
    pub(crate) region: Option<String>,
    /// Of every resource's name: two installations of an account have two.
    pub(crate) prefix: String,
    pub(crate) endpoint_url: Option<String>,
    #[serde(skip)]
    pub(crate) faults: Option<String>,
}

impl Default for Aws {
    fn default() -> Self {
        Self {
            region: None,
            prefix: "waybill".to_owned(),
            endpoint_url: None,
            faults: None,
        }
    }
}

impl Aws {
    pub(super) fn check(&self) -> Result<()> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let prefix = &self.prefix;
        if (1..=20).contains(&prefix.len()) && prefix.bytes().all(plain) {
            return Ok(());
        }
        bail!("aws.prefix takes 1 to 20 of a-z, 0-9 and '-', not {prefix:?}")
    }
}

/// `waybill.toml`. Every key is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct File {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) mcp_config: Option<PathBuf>,
    pub(super) public_url: Option<String>,
    pub(super) log: Option<String>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) roots: Vec<Root>,
    pub(super) http: Http,
    pub(super) calls: Calls,
    pub(super) backend: Option<BackendKind>,
    pub(super) services: Vec<Service>,
    pub(super) aws: Aws,
}

/// A folder that the files and code tools may read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Root {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// The door.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Http {
    /// Names that clients may address this gateway by, besides the loopback ones.
    pub(crate) allowed_hosts: Vec<String>,
    /// Web origins that may call it.
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) max_body_bytes: usize,
    /// Requests a second that a tenant may make for long, and at once.
    pub(crate) rate_per_second: f64,
    pub(crate) burst: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body_bytes: 4 * 1024 * 1024,
            rate_per_second: 50_000.0,
            burst: 100_000,
        }
    }
}

impl Http {
    pub(super) fn check(&self) -> Result<()> {
        let bytes = 1_024..=1024 * 1024 * 1024;
        within("http.max-body-bytes", &self.max_body_bytes, &bytes)?;
        within(
            "http.rate-per-second",
            &self.rate_per_second,
            &(0.001..=1e9),
        )?;
        within("http.burst", &self.burst, &(1..=u32::MAX))
    }

    pub(crate) fn rate(&self) -> RateLimit {
        RateLimit {
            per_second: self.rate_per_second,
            burst: self.burst,
        }
    }
}

/// How long calls may take.
#[expect(clippy::struct_field_names, reason = "the unit is in the name")]
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Calls {
    /// How long a request waits for its call's outcome before it answers with the handle.
    pub(crate) inline_wait_s: u64,
    /// The same for clients that take a task.
    pub(crate) task_wait_s: f64,
    /// How long a call may take, waiting included.
    pub(crate) deadline_s: u64,
    /// How long its outcome is kept after that.
    pub(crate) retention_s: u64,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            inline_wait_s: 20,
            task_wait_s: 0.5,
            deadline_s: 3_600,
            retention_s: 24 * 3_600,
        }
    }
}

impl Calls {
    pub(super) fn check(&self) -> Result<()> {
        within("calls.inline-wait-s", &self.inline_wait_s, &(0..=28))?;
        within("calls.task-wait-s", &self.task_wait_s, &(0.0..=28.0))?;
        within("calls.deadline-s", &self.deadline_s, &(1..=DAY_S))?;
        let longest = 10 * 365 * DAY_S;
        within("calls.retention-s", &self.retention_s, &(1..=longest))
    }

    /// What is large lies in a bucket, which forgets by itself.
    #[cfg(feature = "aws")]
    pub(super) fn check_kept(&self) -> Result<()> {
        let (days, sum) = (
            waybill_backend_aws::KEPT_DAYS,
            self.deadline_s + self.retention_s,
        );
        let most = u64::from(days) * DAY_S;
        if sum <= most {
            return Ok(());
        }
        bail!(
            "calls.deadline-s + calls.retention-s = {sum} is out of range: with the backend on AWS \
             it takes {most} at most, as the bucket of large results keeps them for {days} days"
        )
    }
}

/// What is no number is not within anything.
fn within<T>(key: &str, value: &T, range: &RangeInclusive<T>) -> Result<()>
where
    T: PartialOrd + Display,
{
    if range.contains(value) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    bail!("{key} = {value} is out of range: it takes {least} to {most}")
}

pub(super) fn read(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let hint = unknown_field(error.message()).unwrap_or_default();
        anyhow::anyhow!("{}: {}{hint}", path.display(), error.to_string().trim_end())
    })
}

/// serde says "unknown field `x`, expected one of `a`, `b`": name the nearest.
fn unknown_field(message: &str) -> Option<String> {
    let mut quoted = message
        .strip_prefix("unknown field ")?
        .split('`')
        .skip(1)
        .step_by(2);
    let wrong = quoted.next()?;
    Some(nearest(wrong, quoted))
}
