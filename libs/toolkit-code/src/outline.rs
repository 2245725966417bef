//! `code_outline`: what a file defines, as a tree.

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
    limits::{OUTLINE_DEFINITIONS, OUTLINE_DEPTH, OUTLINE_FILES, OUTLINE_PATHS},
    scope::{Coverage, Narrowing, Scope, Visited, line},
    source::{Failed, Sources, Text, broken_lines},
    walk::WalkError,
};

pub(crate) struct Outline(pub(crate) Arc<Shared>);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct OutlineInput {
    /// A file or a folder, relative to the root: "src/main.rs". A folder means the source files in
    /// it, without the ignored ones.
    path: Option<String>,
    /// Several files or folders.
    #[serde(default)]
    paths: Vec<String>,
    /// The root that the paths are in; the default root when absent.
    root: Option<String>,
    /// Also list fields and enum variants.
    #[serde(default)]
    members: bool,
    /// How many levels to show: 1 is the top level only. All when absent.
    #[schemars(range(min = 1))]
    depth: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OutlineOutput {
    files: Vec<FileOutline>,
    coverage: Coverage,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct FileOutline {
    path: String,
    language: Language,
    lines: usize,
    definitions: Vec<Outlined>,
    /// Lines with broken syntax (the first few). The rest of the file is outlined all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    syntax_errors: Vec<usize>,
}

/// A definition.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Definition")]
struct Outlined {
    kind: Kind,
    name: String,
    /// The definition without its body, on one line.
    signature: String,
    line: usize,
    end_line: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<Outlined>,
}

impl TypedTool for Outline {
    type Input = OutlineInput;
    type Output = OutlineOutput;

    fn spec(&self) -> ToolSpec {
        let mut spec = ToolSpec::new(
            "code_outline",
            "Lists what source files define (types, functions, methods, constants) as a tree, with \
             signatures and line ranges. Much shorter than reading the files. Rust, Python, \
             JavaScript, TypeScript, Go, Java.",
            Effect::ReadOnly,
        );
        spec.title = Some("Outline source files".into());
        spec
    }

    async fn run(&self, input: OutlineInput, cx: &ToolContext) -> Result<OutlineOutput, ToolError> {
        let shared = Arc::clone(&self.0);
        job::run(cx, move |job| outline(&shared, &input, job)).await
    }

    fn render(output: &OutlineOutput) -> String {
        let mut text = String::new();
        for file in &output.files {
            let FileOutline {
                path,
                language,
                lines,
                ..
            } = file;
            line(
                &mut text,
                format_args!("{path} ({}, {lines} lines)", language.as_str()),
            );
            if file.definitions.is_empty() {
                line(&mut text, format_args!("  (no definitions)"));
            }
            render(&mut text, &file.definitions, 1);
            if !file.syntax_errors.is_empty() {
                let lines: Vec<_> = file.syntax_errors.iter().map(ToString::to_string).collect();
                line(
                    &mut text,
                    format_args!("  Broken syntax at line {}.", lines.join(", ")),
                );
            }
        }
        if output.files.is_empty() && output.coverage.skipped_count == 0 {
            line(&mut text, format_args!("No source files."));
        }
        output.coverage.render(&mut text);
        text
    }
}

fn render(text: &mut String, definitions: &[Outlined], level: usize) {
    for definition in definitions {
        let Outlined {
            signature,
            line: start,
            end_line,
            ..
        } = definition;
        let indent = "  ".repeat(level);
        let end = if start == end_line {
            String::new()
        } else {
            format!("-{end_line}")
        };
        line(text, format_args!("{indent}{start}{end}: {signature}"));
        render(text, &definition.children, level + 1);
    }
}

fn outline(shared: &Shared, input: &OutlineInput, job: &Job) -> Result<OutlineOutput, ToolError> {
    let paths: Vec<&String> = input.path.iter().chain(&input.paths).collect();
    if paths.is_empty() || paths.len() > OUTLINE_PATHS {
        let why = format!("give a path, or paths with 1 to {OUTLINE_PATHS} of them");
        return Err(ToolError::Invalid(why));
    }
    let mut output = OutlineOutput {
        files: Vec::new(),
        coverage: Coverage::default(),
    };
    let mut room = Room {
        files: OUTLINE_FILES,
        definitions: OUTLINE_DEFINITIONS,
    };
    for path in &paths {
        let narrow = Narrowing {
            root: input.root.as_deref(),
            path: Some(path.as_str()),
            ..Narrowing::default()
        };
        let scope = Scope::new(&shared.roots, narrow)?;
        let listing = match scope.sources(job) {
            Ok(listing) => listing,
            Err(WalkError::Start(why)) if paths.len() > 1 => {
                output.coverage.skip(scope.start(), &why);
                continue;
            }
            Err(error) => return Err(scope.refused(&error)),
        };
        let coverage = scope.visit(
            &listing,
            &shared.grammars,
            job,
            &mut |sources, path, language| {
                room.check()?;
                let (outline, visited) = file(sources, path, language, input, &mut room)?;
                output.files.push(outline);
                Ok(visited)
            },
        )?;
        output.coverage.add(coverage);
    }
    Ok(output)
}

/// What still fits into the answer.
struct Room {
    files: usize,
    definitions: usize,
}

impl Room {
    fn check(&mut self) -> Result<(), Failed> {
        if self.files == 0 || self.definitions == 0 {
            let why = format!(
                "an answer holds {OUTLINE_FILES} files and {OUTLINE_DEFINITIONS} definitions; ask \
                 for fewer files, or for depth 1"
            );
            return Err(Failed::Full(why));
        }
        self.files -= 1;
        Ok(())
    }
}

fn file(
    sources: &mut Sources<'_>,
    path: &Path,
    language: Language,
    input: &OutlineInput,
    room: &mut Room,
) -> Result<(FileOutline, Visited), Failed> {
    let text = sources.read(path)?;
    let tree = sources.parse(language, &text)?;
    let found = Definitions::find(sources.grammar(language), &tree, &text, sources.job());
    let outline = FileOutline {
        path: shown(path),
        language,
        lines: text.lines(),
        definitions: tree_of(&found, &text, input, room),
        syntax_errors: broken_lines(&tree),
    };
    Ok((outline, found.visited()))
}

fn tree_of(
    found: &Definitions<'_>,
    text: &Text,
    input: &OutlineInput,
    room: &mut Room,
) -> Vec<Outlined> {
    let depth = input.depth.unwrap_or(OUTLINE_DEPTH).clamp(1, OUTLINE_DEPTH);
    let mut levels = vec![0; found.list.len()];
    let mut kept: Vec<Option<Outlined>> = Vec::with_capacity(found.list.len());
    for (index, definition) in found.list.iter().enumerate() {
        // Zero: left out, and everything inside with it.
        let outer = definition.parent.map_or(1, |parent| match levels[parent] {
            0 => 0,
            level => level + 1,
        });
        let wanted = input.members || !definition.kind.is_member();
        if outer == 0 || outer > depth || !wanted || room.definitions == 0 {
            kept.push(None);
            continue;
        }
        levels[index] = outer;
        room.definitions -= 1;
        kept.push(Some(Outlined {
            kind: definition.kind,
            name: definition.name.clone(),
            signature: definition.signature(text),
            line: definition.line(),
            end_line: definition.end_line(),
            children: Vec::new(),
        }));
    }
    let mut top = Vec::new();
    // Backwards: whatever is inside a definition comes after it.
    for index in (0..kept.len()).rev() {
        let Some(mut outlined) = kept[index].take() else {
            continue;
        };
        outlined.children.reverse();
        match found.list[index]
            .parent
            .and_then(|parent| kept[parent].as_mut())
        {
            Some(outer) => outer.children.push(outlined),
            None => top.push(outlined),
        }
    }
    top.reverse();
    top
}
