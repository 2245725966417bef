//! The ecosystem's `mcp.json`: which servers stand behind the queue.

mod entry;
mod expand;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use waybill_toolkit::Effect;

use entry::Keys;

/// Longest name of a server: leaves room for a tool's own name in the 128 of `NAME__TOOL`.
const MAX_NAME: usize = 64;
/// How long one attempt of a tool may run when the entry does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(5);

/// A configuration that cannot be used. `path` names the place, as in `mcpServers.git.args[0]`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("mcp.json is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("{path}: {problem}")]
    Invalid { path: String, problem: String },
    #[error("{path}: unknown key \"{key}\"; did you mean \"{nearest}\"?")]
    UnknownKey {
        path: String,
        key: String,
        nearest: &'static str,
    },
    #[error("{path}: ${{{variable}}} is not set")]
    Unset { path: String, variable: String },
    #[error("{path}: there is no secret {name}; set it: waybill secrets set {name}")]
    NoSecret { path: String, name: String },
}

/// The servers of an `mcp.json`, checked and expanded.
#[derive(Debug, Default)]
pub struct McpConfig {
    pub servers: BTreeMap<String, ServerConfig>,
    /// Entries with `"disabled": true`; not expanded.
    pub disabled: Vec<String>,
    /// Entries that lack a secret. They keep no other server from starting.
    pub unusable: BTreeMap<String, Error>,
    /// Keys of other programs that were ignored, one sentence each.
    pub warnings: Vec<String>,
}

/// One server.
#[derive(Debug)]
pub struct ServerConfig {
    pub transport: Transport,
    pub policy: Policy,
}

#[derive(Debug)]
pub enum Transport {
    Stdio(StdioConfig),
    Http(HttpConfig),
}

/// A process that speaks MCP on its stdin and stdout.
#[derive(Debug)]
pub struct StdioConfig {
    pub command: String,
    pub args: Vec<String>,
    pub env: Secrets,
    pub cwd: Option<PathBuf>,
}

/// A Streamable HTTP endpoint, `https` or, because the operator said so, plain `http`.
#[derive(Debug)]
pub struct HttpConfig {
    pub url: String,
    /// Sent with every request; marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What the operator says about a server's tools: the entry's `waybill` object.
#[derive(Debug)]
pub struct Policy {
    /// By the upstream's own tool name; wins over its annotations, which are hints.
    pub effects: BTreeMap<String, Effect>,
    /// `timeoutSeconds`: one attempt of one tool.
    pub timeout: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            effects: BTreeMap::new(),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// Names and values whose values stay out of logs.
#[derive(Clone, Default)]
pub struct Secrets(pub BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl McpConfig {
    /// Reads `{"mcpServers": {NAME: {...}}}`. `lookup` answers `${VAR}`, and `${secret:NAME}` as
    /// `secret:NAME`; `${VAR:-default}` works without it. A key that is nearly one of ours is an error, any other unknown key a warning:
    /// the file is shared with other programs.
    pub fn parse(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let root: Value = serde_json::from_str(text)?;
        let root = object(&root, "mcp.json")?;
        let mut config = Self::default();
        Keys::new("mcp.json", &["mcpServers"]).check(root, &mut config.warnings)?;
        let Some(servers) = root.get("mcpServers") else {
            return Err(invalid("mcp.json", "has no \"mcpServers\""));
        };
        for (name, entry) in object(servers, "mcpServers")? {
            let path = format!("mcpServers.{name}");
            check_name(name, &path)?;
            let entry = object(entry, &path)?;
            match entry::parse(entry, &path, lookup, &mut config.warnings) {
                Ok(Some(server)) => drop(config.servers.insert(name.clone(), server)),
                Ok(None) => config.disabled.push(name.clone()),
                Err(error @ Error::NoSecret { .. }) => {
                    config.unusable.insert(name.clone(), error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(config)
    }

    /// The secrets that the file refers to, to be read before it is parsed.
    pub fn secrets(text: &str) -> BTreeSet<&str> {
        expand::secrets(text).collect()
    }
}

/// `__` separates a server's name from its tool's, so a name has none.
fn check_name(name: &str, path: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        return Err(invalid(
            path,
            "a name has 1 to 64 of A-Z a-z 0-9 _ -, because its tools are called NAME__TOOL",
        ));
    }
    if name.contains("__") {
        return Err(invalid(
            path,
            "a name has no \"__\", because its tools are called NAME__TOOL",
        ));
    }
    Ok(())
}

fn invalid(path: &str, problem: impl Into<String>) -> Error {
    Error::Invalid {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>, Error> {
    value
        .as_object()
        .ok_or_else(|| invalid(path, "is not an object"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<McpConfig, Error> {
        McpConfig::parse(text, &|name| (name == "TOKEN").then(|| "s3cret".to_owned()))
    }

    fn error(entry: &str) -> String {
        parse(&format!(r#"{{"mcpServers":{{"a":{entry}}}}}"#))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn both_kinds_with_expansion() {
        let config = parse(
            r#"{"mcpServers": {
              "files": {"command": "npx", "args": ["-y", "${DIR:-/tmp}"], "env": {"T": "${TOKEN}"},
                        "cwd": "/srv",
                        "waybill": {"effects": {"read": "readOnly"}, "timeoutSeconds": 7}},
              "web": {"type": "streamable-http", "url": "https://example.org/mcp",
                      "headers": {"Authorization": "Bearer ${TOKEN}"}},
              "off": {"command": "x", "args": ["${UNSET}"], "disabled": true}
            }}"#,
        )
        .unwrap();
        let files = &config.servers["files"];
        let Transport::Stdio(stdio) = &files.transport else {
            panic!("{files:?}")
        };
        assert_eq!(stdio.args, ["-y", "/tmp"]);
        assert_eq!(stdio.env.0["T"], "s3cret");
        assert_eq!(files.policy.effects["read"], Effect::ReadOnly);
        assert_eq!(files.policy.timeout, Duration::from_secs(7));
        let Transport::Http(http) = &config.servers["web"].transport else {
            panic!()
        };
        assert_eq!(http.headers[0].1, "Bearer s3cret");
        assert_eq!(config.disabled, ["off"]);
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_server_that_lacks_a_secret_is_left_out_alone() {
        let text = r#"{"mcpServers": {
              "here": {"url": "http://y", "headers": {"A": "Bearer ${secret:web/key}"}},
              "lacks": {"command": "x", "env": {"T": "${secret:web/key}", "K": "${secret:no-key}"}},
              "default": {"command": "x", "env": {"K": "${secret:none:-d}"}},
              "off": {"command": "x", "env": {"K": "${secret:off}"}, "disabled": true}
            }}"#;
        let known = |name: &str| (name == "secret:web/key").then(|| "s3cret".to_owned());
        let config = McpConfig::parse(text, &known).unwrap();
        let names: Vec<_> = config.servers.keys().collect();
        assert_eq!(names, ["default", "here"]);
        let Transport::Http(http) = &config.servers["here"].transport else {
            panic!()
        };
        assert_eq!(http.headers[0].1, "Bearer s3cret");
        assert_eq!(
            config.unusable["lacks"].to_string(),
            "mcpServers.lacks.env.K: there is no secret no-key; set it: waybill secrets set no-key"
        );
        let referred: Vec<_> = McpConfig::secrets(text).into_iter().collect();
        assert_eq!(referred, ["no-key", "none", "off", "web/key"]);
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_near_miss_is_an_error_and_a_stranger_a_warning() {
        let message = error(r#"{"comand": "x"}"#);
        assert_eq!(
            message,
            "mcpServers.a: unknown key \"comand\"; did you mean \"command\"?"
        );
        assert!(error(r#"{"command": "x", "waybill": {"effect": {}}}"#).contains("\"effects\""));
        assert!(
            parse(r#"{"mcpservers": {}}"#)
                .unwrap_err()
                .to_string()
                .contains("\"mcpServers\"")
        );
        let config = parse(
            r#"{"mcpServers": {"a": {"command": "x", "alwaysAllow": []}}, "globalShortcut": ""}"#,
        )
        .unwrap();
        assert_eq!(config.warnings.len(), 2);
        assert!(
            config
                .warnings
                .iter()
                .any(|w| w.contains("mcpServers.a: \"alwaysAllow\""))
        );
    }

    #[test]
    fn what_cannot_be_used_says_where_and_why() {
        for (entry, part) in [
            ("[]", "mcpServers.a: is not an object"),
            ("{}", "needs \"command\" or \"url\""),
            (r#"{"command": "x", "url": "http://y"}"#, "has both"),
            (r#"{"command": ""}"#, "mcpServers.a.command: is empty"),
            (
                r#"{"command": "x", "args": [1]}"#,
                "mcpServers.a.args[0]: is not a string",
            ),
            (
                r#"{"command": "x", "env": {"K": "${NOPE}"}}"#,
                "a.env.K: ${NOPE} is not set",
            ),
            (r#"{"command": "x", "args": ["${A"]}"#, "no closing brace"),
            (r#"{"type": "sse", "url": "http://y"}"#, "HTTP+SSE"),
            (
                r#"{"type": "carrier-pigeon", "url": "http://y"}"#,
                "unknown type",
            ),
            (r#"{"type": "http", "command": "x"}"#, "needs \"url\""),
            (
                r#"{"url": "ftp://y"}"#,
                "mcpServers.a.url: is not an http or https URL",
            ),
            (
                r#"{"url": "http://y", "headers": {"a b": "c"}}"#,
                "a.headers.a b: is not a header",
            ),
            (
                r#"{"url": "http://y", "headers": {"Accept": "c"}}"#,
                "is set by the protocol",
            ),
            (
                r#"{"command": "x", "waybill": {"effects": {"t": "never"}}}"#,
                "effects.t: is none of",
            ),
            (
                r#"{"command": "x", "waybill": {"timeoutSeconds": 0}}"#,
                "timeoutSeconds: is not",
            ),
            (
                r#"{"command": "x", "waybill": {"timeoutSeconds": 39601}}"#,
                "a.waybill.timeoutSeconds: is not a whole number from 1 to 39600 (11 hours)",
            ),
            (
                r#"{"command": "x", "disabled": "yes"}"#,
                "a.disabled: is not true or false",
            ),
        ] {
            let message = error(entry);
            assert!(message.contains(part), "{entry}: {message}");
        }
        for name in ["", "a b", "a__b", "é", &"x".repeat(65)] {
            let text = format!(r#"{{"mcpServers":{{"{name}":{{"command":"x"}}}}}}"#);
            assert!(
                parse(&text).unwrap_err().to_string().contains("NAME__TOOL"),
                "{name}"
            );
        }
        assert!(matches!(parse("{"), Err(Error::Json(_))));
        assert!(
            parse("{}")
                .unwrap_err()
                .to_string()
                .contains("has no \"mcpServers\"")
        );
    }
}
