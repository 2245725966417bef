//! Build manifests: which build system a folder belongs to, its name and its declared programs.

use std::path::Path;

use serde_json::Value as Json;

/// File names of build manifests and the system that reads them.
const MANIFESTS: [(&str, &str); 27] = [
    ("Cargo.toml", "cargo"),
    ("package.json", "npm"),
    ("deno.json", "deno"),
    ("pyproject.toml", "python"),
    ("setup.py", "python"),
    ("setup.cfg", "python"),
    ("requirements.txt", "pip"),
    ("Pipfile", "pipenv"),
    ("go.mod", "go"),
    ("go.work", "go"),
    ("pom.xml", "maven"),
    ("build.gradle", "gradle"),
    ("build.gradle.kts", "gradle"),
    ("settings.gradle", "gradle"),
    ("settings.gradle.kts", "gradle"),
    ("Makefile", "make"),
    ("GNUmakefile", "make"),
    ("justfile", "just"),
    ("Taskfile.yml", "task"),
    ("CMakeLists.txt", "cmake"),
    ("meson.build", "meson"),
    ("BUILD.bazel", "bazel"),
    ("MODULE.bazel", "bazel"),
    ("Gemfile", "bundler"),
    ("composer.json", "composer"),
    ("mix.exs", "mix"),
    ("Dockerfile", "docker"),
];

/// The build system that reads this file.
pub(crate) fn system(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    MANIFESTS
        .iter()
        .find(|(file, _)| *file == name)
        .map(|(_, system)| *system)
}

/// What a manifest says about itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) name: Option<String>,
    /// Programs and modules that others start or import: what declares them, and the target.
    pub(crate) entries: Vec<(String, String)>,
}

/// Reads the manifests whose format is simple. A broken one declares nothing.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Declared {
    let text = String::from_utf8_lossy(bytes);
    match path.file_name().and_then(|name| name.to_str()) {
        Some("Cargo.toml") => toml(&text).map(|manifest| cargo(&manifest)),
        Some("pyproject.toml") => toml(&text).map(|manifest| pyproject(&manifest)),
        Some("package.json" | "composer.json") => serde_json::from_str(&text)
            .ok()
            .map(|manifest| npm(&manifest)),
        Some("go.mod") => Some(go(&text)),
        _ => None,
    }
    .unwrap_or_default()
}

fn toml(text: &str) -> Option<toml::Table> {
    text.parse().ok()
}

fn cargo(manifest: &toml::Table) -> Declared {
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name")?.as_str());
    let bins = manifest
        .get("bin")
        .and_then(|bins| bins.as_array())
        .into_iter()
        .flatten();
    let entries = bins
        .filter_map(|bin| Some((bin.get("name")?.as_str()?, bin.get("path")?.as_str()?)))
        .map(|(name, path)| (format!("binary {name}"), path.to_owned()))
        .collect();
    Declared {
        name: name.map(str::to_owned),
        entries,
    }
}

fn pyproject(manifest: &toml::Table) -> Declared {
    let poetry = manifest.get("tool").and_then(|tool| tool.get("poetry"));
    let project = manifest.get("project").or(poetry);
    let name = project.and_then(|project| project.get("name")?.as_str());
    let scripts = project.and_then(|project| project.get("scripts")?.as_table());
    let entries = scripts
        .into_iter()
        .flatten()
        .filter_map(|(name, target)| Some((format!("script {name}"), target.as_str()?.to_owned())))
        .collect();
    Declared {
        name: name.map(str::to_owned),
        entries,
    }
}

fn npm(manifest: &Json) -> Declared {
    let mut entries = Vec::new();
    for field in ["main", "module"] {
        if let Some(target) = manifest[field].as_str() {
            entries.push((field.to_owned(), target.to_owned()));
        }
    }
    match &manifest["bin"] {
        Json::String(target) => entries.push(("binary".to_owned(), target.clone())),
        Json::Object(bins) => entries
            .extend(bins.iter().filter_map(|(name, to)| {
                Some((format!("binary {name}"), to.as_str()?.to_owned()))
            })),
        _ => {}
    }
    Declared {
        name: manifest["name"].as_str().map(str::to_owned),
        entries,
    }
}

fn go(text: &str) -> Declared {
    let name = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("module "));
    Declared {
        name: name.map(|name| name.trim().to_owned()),
        entries: Vec::new(),
    }
}
