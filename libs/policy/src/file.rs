//! `policy.toml` as it is written.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use toml::Spanned;
use waybill_toolkit::Effect;

use crate::Verdict;

/// A list of patterns.
pub(crate) type List = Spanned<Vec<Spanned<String>>>;

/// Which calls are allowed, asked or denied.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(title = "policy.toml")]
pub(crate) struct File {
    /// The verdict where no rule matches, by what happens when a tool runs twice.
    pub(crate) defaults: Defaults,
    /// How it is asked, where a rule does not say.
    pub(crate) ask: AskTable,
    /// In order: the last that matches decides, except that any deny wins.
    #[schemars(with = "Vec<RuleTable>")]
    pub(crate) rules: Vec<Spanned<RuleTable>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct Defaults {
    /// Nothing happens.
    pub(crate) read_only: Verdict,
    /// The same happens as once.
    pub(crate) idempotent: Verdict,
    /// It happens twice.
    pub(crate) once: Verdict,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            read_only: Verdict::Allow,
            idempotent: Verdict::Ask,
            once: Verdict::Ask,
        }
    }
}

impl Defaults {
    pub(crate) fn of(&self, effect: Effect) -> Verdict {
        match effect {
            Effect::ReadOnly => self.read_only,
            Effect::Idempotent => self.idempotent,
            Effect::Once => self.once,
        }
    }
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct AskTable {
    /// Whoever made the call may not approve it.
    pub(crate) second_person: bool,
    /// How long the question stands, such as "15m", from 10s to 24h. Unanswered, it is a denial.
    #[schemars(with = "Option<String>")]
    pub(crate) expires: Option<Spanned<String>>,
}

/// Which calls it is about (every condition must hold), and what becomes of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RuleTable {
    /// Unique; by default its place, such as "#3".
    #[schemars(with = "Option<String>")]
    pub(crate) name: Option<Spanned<String>>,
    /// What becomes of the call.
    pub(crate) decision: Verdict,
    /// Shown to whoever makes the call, and to whoever is asked.
    pub(crate) reason: Option<String>,
    /// For ask: whoever made the call may not approve it.
    #[schemars(with = "Option<bool>")]
    pub(crate) second_person: Option<Spanned<bool>>,
    /// For ask: how long the question stands, such as "15m", from 10s to 24h.
    #[schemars(with = "Option<String>")]
    pub(crate) expires: Option<Spanned<String>>,
    /// Globs over the names of tools; "*" for all.
    #[schemars(with = "Vec<String>")]
    pub(crate) tools: List,
    /// Classes of effect, any of them.
    #[schemars(with = "Option<Vec<EffectName>>")]
    pub(crate) effects: Option<Spanned<Vec<Effect>>>,
    /// Globs over the tenant.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) tenants: Option<List>,
    /// Globs over the user.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) users: Option<List>,
    /// Globs over the scopes of the key, any of them.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) scopes: Option<List>,
    /// What arguments must be, by key or JSON pointer: a glob, a number, true or false, a list of
    /// them, { min = 0, max = 10 }, or { exactly = "text" }.
    #[schemars(with = "BTreeMap<String, ArgumentPattern>")]
    #[serde(default)]
    pub(crate) arguments: BTreeMap<Spanned<String>, toml::Value>,
    /// Patterns of commands, word by word: "git diff *".
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) commands: Option<List>,
    /// Patterns of paths in roots: "project:src/**".
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) paths: Option<List>,
    /// Days and hours.
    #[schemars(with = "Option<WhenTable>")]
    pub(crate) when: Option<WhenTable>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct WhenTable {
    /// "mon", or "mon-fri"; by default every day.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) days: Option<List>,
    /// "09:00-17:30". Hours that pass midnight belong to the day on which they begin.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) hours: Option<List>,
    /// An IANA time zone, such as Europe/Berlin.
    #[schemars(with = "String")]
    pub(crate) zone: Spanned<String>,
}

/// What happens when a tool runs twice.
// For the schema: `Effect` has none.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
enum EffectName {
    ReadOnly,
    Idempotent,
    Once,
}

/// For the schema: what `Argument::parse` takes.
struct ArgumentPattern;

impl JsonSchema for ArgumentPattern {
    fn schema_name() -> Cow<'static, str> {
        "ArgumentPattern".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let this = generator.subschema_for::<Self>();
        json_schema!({
            "description": "A glob, a number, true or false, a list of them, or a table.",
            "anyOf": [
                { "type": ["string", "number", "boolean"] },
                { "type": "array", "minItems": 1, "items": this },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "minProperties": 1,
                    "properties": {
                        "min": { "type": "number" },
                        "max": { "type": "number" },
                        "exactly": { "type": "string" },
                    },
                },
            ],
        })
    }
}

/// The JSON Schema of `policy.toml`, for editors.
pub fn schema() -> Schema {
    schemars::schema_for!(File)
}
