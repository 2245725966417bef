//! `code_references`: where an identifier is used, comments and strings aside.

use std::{path::Path, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tree_sitter::{Node, Tree};
use waybill_toolkit::{Effect, ToolContext, ToolError, ToolSpec, TypedTool};
use waybill_workspace::{Job, shown};

use crate::{
    Shared,
    definitions::Definitions,
    job,
    language::Language,
    limits::{CANDIDATES, NAME_BYTES},
    scope::{Coverage, Narrowing, Scope, Visited, line, results},
    source::{Failed, Sources, Text, advance, line_of},
    unread::quoted,
};

pub(crate) struct References(pub(crate) Arc<Shared>);

/// What an occurrence does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    /// It names a definition.
    Definition,
    /// It names something local: a parameter, a variable, an import's alias.
    Binding,
    /// It uses the name.
    Reference,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ReferencesInput {
    /// One identifier, exactly: `parse_config`, not `config::parse_config`.
    name: String,
    /// Only occurrences of this role.
    role: Option<Role>,
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
pub(crate) struct ReferencesOutput {
    /// In the order of paths and lines.
    references: Vec<Reference>,
    /// How many there are; `references` holds the first.
    total: usize,
    /// How many files they are in.
    files: usize,
    coverage: Coverage,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Reference {
    path: String,
    line: usize,
    /// In characters, from 1.
    column: usize,
    role: Role,
    /// The definition around it: `Outer.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<String>,
    /// The line's text.
    text: String,
}

impl TypedTool for References {
    type Input = ReferencesInput;
    type Output = ReferencesOutput;

    fn spec(&self) -> ToolSpec {
        let mut spec = ToolSpec::new(
            "code_references",
            "Finds every use of an identifier in code, not in comments or strings, marked as \
             definition, local binding or reference, with its line. Goes by the name alone: the \
             same name of another type is found too. Rust, Python, JavaScript, TypeScript, Go, \
             Java.",
            Effect::ReadOnly,
        );
        spec.title = Some("Find references".into());
        spec
    }

    async fn run(
        &self,
        input: ReferencesInput,
        cx: &ToolContext,
    ) -> Result<ReferencesOutput, ToolError> {
        let shared = Arc::clone(&self.0);
        job::run(cx, move |job| search(&shared, &input, job)).await
    }

    fn render(output: &ReferencesOutput) -> String {
        let mut text = String::new();
        let mut path = "";
        for reference in &output.references {
            if reference.path != path {
                path = &reference.path;
                line(&mut text, format_args!("{path}"));
            }
            let Reference {
                line: row,
                column,
                text: code,
                ..
            } = reference;
            let mark = match reference.role {
                Role::Definition => "def ",
                Role::Binding => "bind",
                Role::Reference => "ref ",
            };
            line(&mut text, format_args!("  {row}:{column} {mark} {code}"));
        }
        let ReferencesOutput {
            total,
            files,
            coverage,
            ..
        } = output;
        let shown = output.references.len();
        let first = if shown < *total {
            format!(", the first {shown} shown")
        } else {
            String::new()
        };
        line(
            &mut text,
            format_args!(
                "{total} in {files} files{first} ({} files searched).",
                coverage.files
            ),
        );
        coverage.render(&mut text);
        text
    }
}

fn search(
    shared: &Shared,
    input: &ReferencesInput,
    job: &Job,
) -> Result<ReferencesOutput, ToolError> {
    let name = identifier(&input.name)?;
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
    let limit = results(input.limit);
    let mut found = Found {
        references: Vec::new(),
        total: 0,
        files: 0,
    };
    let coverage = scope.visit(
        &listing,
        &shared.grammars,
        job,
        &mut |sources, path, language| {
            if found.total >= CANDIDATES {
                return Err(Failed::Full(format!("counting stopped at {CANDIDATES}")));
            }
            file(
                sources,
                (path, language),
                name,
                input.role,
                limit,
                &mut found,
            )
        },
    )?;
    let Found {
        references,
        total,
        files,
    } = found;
    Ok(ReferencesOutput {
        references,
        total,
        files,
        coverage,
    })
}

struct Found {
    references: Vec<Reference>,
    total: usize,
    files: usize,
}

fn file(
    sources: &mut Sources<'_>,
    (path, language): (&Path, Language),
    name: &str,
    role: Option<Role>,
    limit: usize,
    found: &mut Found,
) -> Result<Visited, Failed> {
    let text = sources.read(path)?;
    let offsets = occurrences(&text.0, name.as_bytes());
    if offsets.is_empty() {
        return Ok(Visited::Whole);
    }
    let tree = sources.parse(language, &text)?;
    let nodes = identifiers(&tree, &text, name, &offsets);
    if nodes.is_empty() {
        return Ok(Visited::Whole);
    }
    let definitions = Definitions::find(sources.grammar(language), &tree, &text, sources.job());
    let before = found.total;
    for node in nodes {
        let this = role_of(&definitions, node);
        if role.is_some_and(|role| role != this) {
            continue;
        }
        found.total += 1;
        if found.references.len() < limit {
            found.references.push(Reference {
                path: shown(path),
                line: line_of(node),
                column: text.column(node.start_byte()),
                role: this,
                within: definitions.around(node),
                text: text.line_at(node.start_byte()),
            });
        }
    }
    found.files += usize::from(found.total > before);
    Ok(definitions.visited())
}

fn role_of(definitions: &Definitions<'_>, node: Node<'_>) -> Role {
    if definitions.defines(node) {
        Role::Definition
    } else if definitions.binds(node) {
        Role::Binding
    } else {
        Role::Reference
    }
}

/// The identifier without its sigil: `r#type` and `#secret` are found by `type` and `secret`.
fn identifier(name: &str) -> Result<&str, ToolError> {
    let bare = name.trim();
    let bare = bare
        .strip_prefix("r#")
        .or_else(|| bare.strip_prefix('#'))
        .unwrap_or(bare);
    let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    if bare.is_empty() || bare.len() > NAME_BYTES || !bare.chars().all(fits) {
        let name = quoted(name);
        return Err(ToolError::Invalid(format!(
            "name {name} must be one identifier"
        )));
    }
    Ok(bare)
}

/// Where the name stands in the text, as no part of a longer ASCII word.
fn occurrences(text: &[u8], name: &[u8]) -> Vec<usize> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let alone = |start: &usize| {
        let before = start.checked_sub(1).and_then(|at| text.get(at));
        !before.is_some_and(is_word) && !text.get(start + name.len()).is_some_and(is_word)
    };
    memchr::memmem::find_iter(text, name)
        .filter(alone)
        .collect()
}

/// The identifier nodes with this name. Only the branches of the tree with an occurrence are
/// visited.
fn identifiers<'t>(tree: &'t Tree, text: &Text, name: &str, offsets: &[usize]) -> Vec<Node<'t>> {
    let mut found = Vec::new();
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        let next = offsets[offsets.partition_point(|at| *at < node.start_byte())..].first();
        let holds = next.is_some_and(|at| *at < node.end_byte());
        if holds && node.child_count() == 0 && is_identifier(node) {
            let written = &text.0[node.byte_range()];
            let bare = written
                .strip_prefix(b"r#")
                .or_else(|| written.strip_prefix(b"#"));
            if bare.unwrap_or(written) == name.as_bytes() {
                found.push(node);
            }
        }
        let went_inside = holds && cursor.goto_first_child();
        if !went_inside && !advance(&mut cursor) {
            return found;
        }
    }
}

/// The grammars name them `identifier`, `type_identifier`, `property_identifier` and so on.
fn is_identifier(node: Node<'_>) -> bool {
    node.is_named()
        && (node.kind().ends_with("identifier")
            || matches!(
                node.kind(),
                "label_name" | "shorthand_property_identifier_pattern"
            ))
}
