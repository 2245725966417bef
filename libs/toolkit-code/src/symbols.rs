//! `code_symbols`: definitions found by name.

use std::{path::Path, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_toolkit::{Effect, ToolContext, ToolError, ToolSpec, TypedTool};
use waybill_workspace::{Job, shown};

use crate::{
    Shared,
    definitions::Definitions,
    job,
    kind::Kind,
    language::Language,
    limits::{CANDIDATES, NAME_BYTES},
    scope::{Coverage, Narrowing, Scope, Visited, line, results},
    source::{Failed, Sources},
    unread::quoted,
};

pub(crate) struct Symbols(pub(crate) Arc<Shared>);

/// How a name must agree with the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Matching {
    /// The same, upper and lower case included.
    Exact,
    /// It begins with the query, whatever the case.
    Prefix,
    /// It holds the query, whatever the case.
    #[default]
    Substring,
    /// It holds the query's characters in their order, whatever the case.
    Fuzzy,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SymbolsInput {
    /// The name, or a part of it. `Outer.name` or `Outer::name` also asks for what it is inside of.
    /// Empty lists everything that the filters let through.
    #[serde(default)]
    query: String,
    /// How the name must agree; the best matches come first.
    #[serde(default, rename = "match")]
    matching: Matching,
    /// Only definitions of this kind.
    kind: Option<Kind>,
    /// Only rust, python, javascript, typescript (with tsx), tsx, go or java.
    language: Option<String>,
    /// Only files that this glob matches: "src/**/*.rs", "*_test.go".
    glob: Option<String>,
    /// Only this folder or file, relative to the root.
    path: Option<String>,
    /// The root to search; the default root when absent.
    root: Option<String>,
    /// The most results: 50 when absent, at most 500.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SymbolsOutput {
    symbols: Vec<Symbol>,
    /// How many definitions match; `symbols` holds the best.
    total: usize,
    coverage: Coverage,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Symbol {
    kind: Kind,
    name: String,
    /// What it is inside of: `Outer.Inner`.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    path: String,
    language: Language,
    line: usize,
    end_line: usize,
    signature: String,
}

/// Lower is better.
type Rank = (u32, usize);

impl TypedTool for Symbols {
    type Input = SymbolsInput;
    type Output = SymbolsOutput;

    fn spec(&self) -> ToolSpec {
        let mut spec = ToolSpec::new(
            "code_symbols",
            "Finds where something is defined: searches the definitions (types, functions, methods, \
             constants, fields) of a whole project by name. Rust, Python, JavaScript, TypeScript, \
             Go, Java.",
            Effect::ReadOnly,
        );
        spec.title = Some("Search definitions".into());
        spec
    }

    async fn run(&self, input: SymbolsInput, cx: &ToolContext) -> Result<SymbolsOutput, ToolError> {
        let shared = Arc::clone(&self.0);
        job::run(cx, move |job| search(&shared, &input, job)).await
    }

    fn render(output: &SymbolsOutput) -> String {
        let mut text = String::new();
        for symbol in &output.symbols {
            let Symbol {
                kind,
                name,
                path,
                line: start,
                end_line,
                signature,
                ..
            } = symbol;
            let inside = symbol
                .container
                .as_ref()
                .map(|c| format!("{c}."))
                .unwrap_or_default();
            let kind = kind.as_str();
            line(
                &mut text,
                format_args!("{path}:{start}-{end_line} {kind} {inside}{name}\n    {signature}"),
            );
        }
        match output.total - output.symbols.len() {
            0 if output.total == 0 => line(
                &mut text,
                format_args!("No definition matches in {} files.", output.coverage.files),
            ),
            0 => {}
            more => line(&mut text, format_args!("{more} more: narrow the search.")),
        }
        output.coverage.render(&mut text);
        text
    }
}

/// What is looked for.
struct Wanted<'a> {
    matching: Matching,
    kind: Option<Kind>,
    container: Option<&'a str>,
    name: &'a str,
    lowercase: String,
}

fn search(shared: &Shared, input: &SymbolsInput, job: &Job) -> Result<SymbolsOutput, ToolError> {
    let wanted = Wanted::of(input)?;
    let scope = Scope::new(
        &shared.roots,
        Narrowing {
            root: input.root.as_deref(),
            path: input.path.as_deref(),
            glob: input.glob.as_deref(),
            language: input.language.as_deref(),
        },
    )?;
    let listing = scope.sources(job).map_err(|error| scope.refused(&error))?;
    let mut found: Vec<(Rank, Symbol)> = Vec::new();
    let coverage = scope.visit(
        &listing,
        &shared.grammars,
        job,
        &mut |sources, path, language| {
            if found.len() >= CANDIDATES {
                return Err(Failed::Full(format!(
                    "more than {CANDIDATES} definitions match"
                )));
            }
            file(sources, path, language, &wanted, &mut found)
        },
    )?;
    let total = found.len();
    found.sort_by(|(a, x), (b, y)| (a, &x.path, x.line).cmp(&(b, &y.path, y.line)));
    found.truncate(results(input.limit));
    Ok(SymbolsOutput {
        symbols: found.into_iter().map(|(_, s)| s).collect(),
        total,
        coverage,
    })
}

fn file(
    sources: &mut Sources<'_>,
    path: &Path,
    language: Language,
    wanted: &Wanted<'_>,
    found: &mut Vec<(Rank, Symbol)>,
) -> Result<Visited, Failed> {
    let text = sources.read(path)?;
    if !wanted.may_be_in(&text.0) {
        return Ok(Visited::Whole);
    }
    let tree = sources.parse(language, &text)?;
    let definitions = Definitions::find(sources.grammar(language), &tree, &text, sources.job());
    for (index, definition) in definitions.list.iter().enumerate() {
        if wanted.kind.is_some_and(|kind| kind != definition.kind) {
            continue;
        }
        let Some(rank) = wanted.rank(&definition.name) else {
            continue;
        };
        let container = definitions.container(index);
        if !wanted.is_inside(container.as_deref()) {
            continue;
        }
        found.push((
            rank,
            Symbol {
                kind: definition.kind,
                name: definition.name.clone(),
                container,
                path: shown(path),
                language,
                line: definition.line(),
                end_line: definition.end_line(),
                signature: definition.signature(&text),
            },
        ));
    }
    Ok(definitions.visited())
}

impl<'a> Wanted<'a> {
    fn of(input: &'a SymbolsInput) -> Result<Self, ToolError> {
        let query = input.query.trim();
        if query.len() > NAME_BYTES {
            let why = format!("query {} is longer than {NAME_BYTES} bytes", quoted(query));
            return Err(ToolError::Invalid(why));
        }
        let split = query.rsplit_once("::").or_else(|| query.rsplit_once('.'));
        let (container, name) = split.map_or((None, query), |(outer, name)| (Some(outer), name));
        let lowercase = name.to_lowercase();
        Ok(Self {
            matching: input.matching,
            kind: input.kind,
            container,
            name,
            lowercase,
        })
    }

    /// Whether a file is worth parsing. Errs on the side of yes.
    fn may_be_in(&self, bytes: &[u8]) -> bool {
        if self.name.is_empty() || self.matching == Matching::Fuzzy || !self.name.is_ascii() {
            return true;
        }
        let name = self.name.as_bytes();
        if self.matching == Matching::Exact {
            return memchr::memmem::find(bytes, name).is_some();
        }
        let (lower, upper) = (name[0].to_ascii_lowercase(), name[0].to_ascii_uppercase());
        memchr::memchr2_iter(lower, upper, bytes).any(|at| {
            bytes
                .get(at..at + name.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(name))
        })
    }

    fn rank(&self, name: &str) -> Option<Rank> {
        let length = name.len();
        if name == self.name {
            return Some((0, length));
        }
        if self.matching == Matching::Exact {
            return None;
        }
        let name = name.to_lowercase();
        if name == self.lowercase {
            return Some((1, length));
        }
        if name.starts_with(&self.lowercase) {
            return Some((2, length));
        }
        match self.matching {
            Matching::Exact | Matching::Prefix => None,
            _ if name.contains(&self.lowercase) => Some((3, length)),
            Matching::Substring => None,
            Matching::Fuzzy => scattered(&name, &self.lowercase).map(|gaps| (4 + gaps, length)),
        }
    }

    /// Whether the last of the outer names agree with the asked one.
    fn is_inside(&self, container: Option<&str>) -> bool {
        let Some(wanted) = self.container else {
            return true;
        };
        let names = |text: &str| {
            let text = text.replace("::", ".").to_lowercase();
            text.split('.').rev().map(str::to_owned).collect::<Vec<_>>()
        };
        container.is_some_and(|container| names(container).starts_with(&names(wanted)))
    }
}

/// How many pieces of `name` the characters of `query` fall into, in their order.
fn scattered(name: &str, query: &str) -> Option<u32> {
    let mut pieces = 0;
    let mut adjoining = false;
    let mut letters = name.chars();
    for wanted in query.chars() {
        loop {
            let letter = letters.next()?;
            if letter == wanted {
                pieces += u32::from(!adjoining);
                adjoining = true;
                break;
            }
            adjoining = false;
        }
    }
    Some(pieces)
}
