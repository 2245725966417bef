//! One entry of `mcpServers`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use waybill_toolkit::Effect;

use super::{
    Error, HttpConfig, Policy, Secrets, ServerConfig, StdioConfig, Transport, expand::expand,
    invalid, object,
};

const KEYS: &[&str] = &[
    "type", "command", "args", "env", "cwd", "url", "headers", "disabled", "waybill",
];
const POLICY_KEYS: &[&str] = &["effects", "timeoutSeconds"];
/// Set by the protocol on each request; a configured value would break it.
const PROTOCOL_HEADERS: &[&str] = &[
    "accept",
    "content-type",
    "mcp-session-id",
    "mcp-protocol-version",
    "last-event-id",
];
/// As alike as this (Jaro-Winkler) and a key is a spelling mistake.
const NEARLY: f64 = 0.85;
/// 11 hours: no queue keeps a delivery with one worker for longer (SQS: 12 hours).
const MAX_TIMEOUT_SECONDS: u64 = 11 * 60 * 60;

type Object = Map<String, Value>;
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The keys that a place in the file may have.
pub(super) struct Keys<'a> {
    path: &'a str,
    known: &'static [&'static str],
}

impl<'a> Keys<'a> {
    pub(super) const fn new(path: &'a str, known: &'static [&'static str]) -> Self {
        Self { path, known }
    }

    pub(super) fn check(&self, object: &Object, warnings: &mut Vec<String>) -> Result<(), Error> {
        for key in object
            .keys()
            .filter(|key| !self.known.contains(&key.as_str()))
        {
            let alike =
                |known: &&&str| strsim::jaro_winkler(&known.to_lowercase(), &key.to_lowercase());
            let nearest = self
                .known
                .iter()
                .max_by(|a, b| alike(a).total_cmp(&alike(b)));
            match nearest.filter(|nearest| alike(nearest) >= NEARLY) {
                Some(nearest) => {
                    let (path, key) = (self.path.to_owned(), key.clone());
                    return Err(Error::UnknownKey { path, key, nearest });
                }
                None => warnings.push(format!("{}: \"{key}\" is ignored", self.path)),
            }
        }
        Ok(())
    }
}

/// `None`: disabled.
pub(super) fn parse(
    entry: &Object,
    path: &str,
    lookup: Lookup<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<ServerConfig>, Error> {
    Keys::new(path, KEYS).check(entry, warnings)?;
    let disabled = match entry.get("disabled") {
        None => false,
        Some(Value::Bool(disabled)) => *disabled,
        Some(_) => return Err(invalid(&format!("{path}.disabled"), "is not true or false")),
    };
    if disabled {
        return Ok(None);
    }
    let transport = transport(entry, path, lookup)?;
    let policy = match entry.get("waybill") {
        None => Policy::default(),
        Some(value) => policy(value, &format!("{path}.waybill"), warnings)?,
    };
    Ok(Some(ServerConfig { transport, policy }))
}

fn transport(entry: &Object, path: &str, lookup: Lookup<'_>) -> Result<Transport, Error> {
    let read = Reader {
        entry,
        path,
        lookup,
    };
    let remote = match entry
        .get("type")
        .map(|kind| kind.as_str().unwrap_or_default())
    {
        Some("stdio") => false,
        Some("http" | "streamable-http") => true,
        Some("sse") => {
            return Err(invalid(
                path,
                "HTTP+SSE is gone from the protocol; use type \"http\"",
            ));
        }
        Some(_) => {
            return Err(invalid(
                path,
                "unknown type; it is \"stdio\", \"http\" or \"streamable-http\"",
            ));
        }
        None => entry.contains_key("url"),
    };
    if entry.contains_key("command") && entry.contains_key("url") {
        return Err(invalid(path, "has both \"command\" and \"url\""));
    }
    if remote {
        let Some(url) = read.text("url")? else {
            return Err(invalid(path, "needs \"url\""));
        };
        check_url(&url, &format!("{path}.url"))?;
        return Ok(Transport::Http(HttpConfig {
            url,
            headers: read.headers()?,
        }));
    }
    let Some(command) = read.text("command")? else {
        return Err(invalid(path, "needs \"command\" or \"url\""));
    };
    Ok(Transport::Stdio(StdioConfig {
        command,
        args: read.list("args")?,
        env: Secrets(read.map("env")?),
        cwd: read.text("cwd")?.map(PathBuf::from),
    }))
}

fn check_url(url: &str, path: &str) -> Result<(), Error> {
    match reqwest::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => Ok(()),
        _ => Err(invalid(path, "is not an http or https URL")),
    }
}

fn policy(value: &Value, path: &str, warnings: &mut Vec<String>) -> Result<Policy, Error> {
    let entry = object(value, path)?;
    Keys::new(path, POLICY_KEYS).check(entry, warnings)?;
    let mut policy = Policy::default();
    if let Some(seconds) = entry.get("timeoutSeconds") {
        let Some(seconds @ 1..=MAX_TIMEOUT_SECONDS) = seconds.as_u64() else {
            let path = format!("{path}.timeoutSeconds");
            let problem =
                format!("is not a whole number from 1 to {MAX_TIMEOUT_SECONDS} (11 hours)");
            return Err(invalid(&path, problem));
        };
        policy.timeout = Duration::from_secs(seconds);
    }
    if let Some(effects) = entry.get("effects") {
        let path = format!("{path}.effects");
        for (tool, effect) in object(effects, &path)? {
            let effect: Effect = serde_json::from_value(effect.clone()).map_err(|_| {
                let path = format!("{path}.{tool}");
                invalid(&path, "is none of \"readOnly\", \"idempotent\", \"once\"")
            })?;
            policy.effects.insert(tool.clone(), effect);
        }
    }
    Ok(policy)
}

/// Reads an entry's strings, expanded.
struct Reader<'a> {
    entry: &'a Object,
    path: &'a str,
    lookup: Lookup<'a>,
}

impl Reader<'_> {
    fn string(&self, value: &Value, path: &str) -> Result<String, Error> {
        let text = value
            .as_str()
            .ok_or_else(|| invalid(path, "is not a string"))?;
        expand(text, path, self.lookup)
    }

    fn text(&self, key: &str) -> Result<Option<String>, Error> {
        let Some(value) = self.entry.get(key) else {
            return Ok(None);
        };
        let path = format!("{}.{key}", self.path);
        let text = self.string(value, &path)?;
        if text.is_empty() {
            Err(invalid(&path, "is empty"))
        } else {
            Ok(Some(text))
        }
    }

    fn list(&self, key: &str) -> Result<Vec<String>, Error> {
        let Some(value) = self.entry.get(key) else {
            return Ok(Vec::new());
        };
        let path = format!("{}.{key}", self.path);
        let values = value
            .as_array()
            .ok_or_else(|| invalid(&path, "is not a list"))?;
        let read = |(i, value)| self.string(value, &format!("{path}[{i}]"));
        values.iter().enumerate().map(read).collect()
    }

    fn map(&self, key: &str) -> Result<BTreeMap<String, String>, Error> {
        let Some(value) = self.entry.get(key) else {
            return Ok(BTreeMap::new());
        };
        let path = format!("{}.{key}", self.path);
        let read = |(name, value): (&String, &Value)| {
            Ok((name.clone(), self.string(value, &format!("{path}.{name}"))?))
        };
        object(value, &path)?.iter().map(read).collect()
    }

    fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
        let mut headers = Vec::new();
        for (name, value) in self.map("headers")? {
            let path = format!("{}.headers.{name}", self.path);
            let (Ok(key), Ok(mut value)) =
                (HeaderName::try_from(&name), HeaderValue::try_from(&value))
            else {
                return Err(invalid(&path, "is not a header"));
            };
            if PROTOCOL_HEADERS.contains(&key.as_str()) {
                return Err(invalid(&path, "is set by the protocol"));
            }
            value.set_sensitive(true);
            headers.push((key, value));
        }
        Ok(headers)
    }
}
