//! `code_structure`: what a project is made of.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_toolkit::{Effect, ToolContext, ToolError, ToolSpec, TypedTool};
use waybill_workspace::{Job, Place, Stop, shown};

use crate::{
    Shared,
    conventions::{entry_point, is_outlined, language_name},
    job,
    limits::{COUNTED_BYTES, MANIFEST_BYTES, STRUCTURE_ITEMS},
    manifest,
    scope::{Coverage, Narrowing, Scope, line},
    source::count_lines,
    unread::{self, is_binary},
};

pub(crate) struct Structure(pub(crate) Arc<Shared>);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct StructureInput {
    /// A folder, relative to the root; the root itself when absent.
    path: Option<String>,
    /// The root to look at; the default root when absent.
    root: Option<String>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StructureOutput {
    root: String,
    path: String,
    /// By their lines, most first.
    languages: Vec<Counted>,
    /// Files in no known language.
    other_files: usize,
    /// Build manifests, nearest first.
    manifests: Vec<Manifest>,
    /// The folders directly inside, with everything below them.
    folders: Vec<Folder>,
    /// Where programs start and libraries begin.
    entry_points: Vec<EntryPoint>,
    coverage: Coverage,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Counted {
    language: String,
    files: usize,
    lines: usize,
    /// Whether the other code tools read it.
    outlined: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    path: String,
    system: String,
    /// The package's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Folder {
    path: String,
    files: usize,
    lines: usize,
    /// The language with the most lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EntryPoint {
    /// The file, or the manifest that declares it.
    path: String,
    /// What makes it one.
    why: String,
}

impl TypedTool for Structure {
    type Input = StructureInput;
    type Output = StructureOutput;

    fn spec(&self) -> ToolSpec {
        let mut spec = ToolSpec::new(
            "code_structure",
            "Shows what a project is made of: languages with file and line counts, build manifests, \
             top-level folders and entry points. A good first look at an unknown project.",
            Effect::ReadOnly,
        );
        spec.title = Some("Project structure".into());
        spec
    }

    async fn run(
        &self,
        input: StructureInput,
        cx: &ToolContext,
    ) -> Result<StructureOutput, ToolError> {
        let shared = Arc::clone(&self.0);
        job::run(cx, move |job| structure(&shared, &input, job)).await
    }

    fn render(output: &StructureOutput) -> String {
        let mut text = String::new();
        line(
            &mut text,
            format_args!("{} of root {}", output.path, output.root),
        );
        line(&mut text, format_args!("Languages:"));
        for Counted {
            language,
            files,
            lines,
            ..
        } in &output.languages
        {
            line(
                &mut text,
                format_args!("  {language}: {files} files, {lines} lines"),
            );
        }
        if output.other_files > 0 {
            line(
                &mut text,
                format_args!("  other: {} files", output.other_files),
            );
        }
        heading(&mut text, "Folders:", output.folders.is_empty());
        for Folder {
            path,
            files,
            lines,
            language,
        } in &output.folders
        {
            let language = language
                .as_ref()
                .map(|l| format!(", {l}"))
                .unwrap_or_default();
            line(
                &mut text,
                format_args!("  {path}: {files} files, {lines} lines{language}"),
            );
        }
        heading(&mut text, "Build manifests:", output.manifests.is_empty());
        for Manifest { path, system, name } in &output.manifests {
            let name = name
                .as_ref()
                .map(|name| format!(" {name}"))
                .unwrap_or_default();
            line(&mut text, format_args!("  {path} ({system}){name}"));
        }
        heading(&mut text, "Entry points:", output.entry_points.is_empty());
        for EntryPoint { path, why } in &output.entry_points {
            line(&mut text, format_args!("  {path}: {why}"));
        }
        output.coverage.render(&mut text);
        text
    }
}

fn heading(text: &mut String, heading: &str, empty: bool) {
    if !empty {
        line(text, format_args!("{heading}"));
    }
}

fn structure(
    shared: &Shared,
    input: &StructureInput,
    job: &Job,
) -> Result<StructureOutput, ToolError> {
    let narrow = Narrowing {
        root: input.root.as_deref(),
        path: input.path.as_deref(),
        ..Narrowing::default()
    };
    let scope = Scope::new(&shared.roots, narrow)?;
    let listing = scope.all(job).map_err(|error| scope.refused(&error))?;
    let mut survey = Survey {
        coverage: Coverage::of(&listing),
        ..Survey::default()
    };
    for (done, path) in listing.files.iter().enumerate() {
        job::step(job, done, listing.files.len());
        match job.go_on() {
            Ok(()) => survey.add(&scope, path),
            Err(Stop::Cancelled) => return Err(ToolError::Cancelled),
            Err(Stop::TimeUp) => {
                survey.coverage.time_up(done, listing.files.len());
                break;
            }
        }
    }
    Ok(survey.finish(&scope))
}

/// Files and lines.
#[derive(Clone, Copy, Default)]
struct Size {
    files: usize,
    lines: usize,
}

/// What was seen so far.
#[derive(Default)]
struct Survey {
    languages: BTreeMap<&'static str, Size>,
    /// By folder: everything, and each language's lines.
    folders: BTreeMap<PathBuf, (Size, BTreeMap<&'static str, usize>)>,
    other_files: usize,
    manifests: Vec<(usize, Manifest)>,
    entry_points: Vec<EntryPoint>,
    coverage: Coverage,
}

impl Survey {
    fn add(&mut self, scope: &Scope, path: &Path) {
        let (place, start) = (scope.beside(path), scope.start());
        self.coverage.files += 1;
        if let Some(system) = manifest::system(path) {
            self.manifest(&place, system);
        }
        let language = language_name(path);
        let mut lines = 0;
        if let Some(language) = language {
            match unread::read(&place, COUNTED_BYTES) {
                Ok(bytes) if is_binary(&bytes) => {}
                Ok(bytes) => {
                    lines = count_lines(&bytes);
                    if let Some(why) = entry_point(path, &bytes) {
                        self.entry_points.push(EntryPoint {
                            path: shown(path),
                            why: why.to_owned(),
                        });
                    }
                }
                Err(unread) => self.coverage.skip(path, &unread),
            }
            let size = self.languages.entry(language).or_default();
            *size = Size {
                files: size.files + 1,
                lines: size.lines + lines,
            };
        } else {
            self.other_files += 1;
        }
        let below = path.strip_prefix(start).unwrap_or(path);
        let mut parts = below.components();
        if let (Some(first), Some(_)) = (parts.next(), parts.next()) {
            let (size, languages) = self.folders.entry(start.join(first)).or_default();
            *size = Size {
                files: size.files + 1,
                lines: size.lines + lines,
            };
            if let Some(language) = language {
                *languages.entry(language).or_default() += lines;
            }
        }
    }

    fn manifest(&mut self, place: &Place, system: &str) {
        let path = &place.path;
        let declared = match unread::read(place, MANIFEST_BYTES) {
            Ok(bytes) => manifest::read(path, &bytes),
            Err(_) => manifest::Declared::default(),
        };
        let shown = shown(path);
        for (what, target) in declared.entries {
            self.entry_points.push(EntryPoint {
                path: shown.clone(),
                why: format!("{what}: {target}"),
            });
        }
        let manifest = Manifest {
            path: shown,
            system: system.to_owned(),
            name: declared.name,
        };
        self.manifests.push((path.components().count(), manifest));
    }

    fn finish(mut self, scope: &Scope) -> StructureOutput {
        self.manifests
            .sort_by(|(a, x), (b, y)| (a, &x.path).cmp(&(b, &y.path)));
        let mut languages: Vec<_> = self.languages.into_iter().map(counted).collect();
        languages.sort_by(|a, b| {
            b.lines
                .cmp(&a.lines)
                .then_with(|| a.language.cmp(&b.language))
        });
        let mut output = StructureOutput {
            root: scope.root_name().to_owned(),
            path: shown(scope.start()),
            languages,
            other_files: self.other_files,
            manifests: self
                .manifests
                .into_iter()
                .map(|(_, manifest)| manifest)
                .collect(),
            folders: self.folders.into_iter().map(folder).collect(),
            entry_points: self.entry_points,
            coverage: self.coverage,
        };
        let coverage = &mut output.coverage;
        shorten(&mut output.manifests, "manifests", coverage);
        shorten(&mut output.folders, "folders", coverage);
        shorten(&mut output.entry_points, "entry points", coverage);
        output
    }
}

fn counted((language, size): (&'static str, Size)) -> Counted {
    Counted {
        language: language.to_owned(),
        files: size.files,
        lines: size.lines,
        outlined: is_outlined(language),
    }
}

fn folder((path, (size, lines)): (PathBuf, (Size, BTreeMap<&'static str, usize>))) -> Folder {
    let language = lines.into_iter().max_by_key(|(_, lines)| *lines);
    let language = language.map(|(language, _)| language.to_owned());
    Folder {
        path: shown(&path),
        files: size.files,
        lines: size.lines,
        language,
    }
}

fn shorten<T>(items: &mut Vec<T>, what: &str, coverage: &mut Coverage) {
    if items.len() > STRUCTURE_ITEMS {
        coverage.cut(format!(
            "{} of {} {what} are shown",
            STRUCTURE_ITEMS,
            items.len()
        ));
        items.truncate(STRUCTURE_ITEMS);
    }
}
