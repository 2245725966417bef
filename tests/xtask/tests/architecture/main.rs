//! The Architecture Invariants that a compiler does not hold: who may depend on whom.

#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Crates of one backend's vendor.
const VENDORS: &[&str] = &[
    "rusqlite",
    "libsqlite3-sys",
    "sqlx",
    "aws-config",
    "aws-types",
];
/// Puts the services together: it may know everything.
const COMPOSITION_ROOT: &str = "services/waybill";
/// The only service that speaks HTTP.
const DOOR: &str = "services/ingress";

struct Package {
    name: String,
    folder: String,
    /// What it is built with, tests aside.
    dependencies: BTreeSet<String>,
}

impl Package {
    /// A service, as against a library or a test.
    fn is_service(&self) -> bool {
        self.folder.starts_with("services/")
    }

    /// A service whose handlers run over any queue: every one but two.
    fn is_handler(&self) -> bool {
        self.is_service() && ![COMPOSITION_ROOT, DOOR].contains(&self.folder.as_str())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
}

/// What cargo prints, from the root and without a network.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--offline")
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn packages() -> Vec<Package> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages: Vec<_> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(package)
        .collect();
    assert!(packages.len() > 15, "the metadata lack crates");
    packages
}

fn package(metadata: &Value) -> Package {
    let manifest = Path::new(metadata["manifest_path"].as_str().unwrap());
    let folder = manifest.parent().unwrap().strip_prefix(root()).unwrap();
    let dependencies = metadata["dependencies"].as_array().unwrap().iter();
    Package {
        name: metadata["name"].as_str().unwrap().to_owned(),
        folder: folder.to_str().unwrap().to_owned(),
        dependencies: dependencies
            .filter(|each| each["kind"] != "dev")
            .map(|each| each["name"].as_str().unwrap().to_owned())
            .collect(),
    }
}

/// Asserts that no package of `among` has a dependency that `forbidden` names.
fn none(among: impl Fn(&Package) -> bool, forbidden: impl Fn(&str) -> bool, why: &str) {
    let packages = packages();
    let among: Vec<_> = packages.iter().filter(|package| among(package)).collect();
    assert!(!among.is_empty(), "this rule is about nothing: {why}");
    for package in among {
        let found: Vec<_> = package
            .dependencies
            .iter()
            .filter(|name| forbidden(name.as_str()))
            .collect();
        assert!(
            found.is_empty(),
            "{} depends on {found:?}: {why}",
            package.name
        );
    }
}

#[test]
fn only_backends_know_a_vendor() {
    none(
        |package| !package.folder.starts_with("libs/backend-"),
        |name| VENDORS.contains(&name) || name.starts_with("aws-sdk-"),
        "a vendor is known to its backend alone",
    );
}

#[test]
fn only_the_composition_root_chooses_a_backend() {
    none(
        |package| {
            let library = package.folder.starts_with("libs/");
            library || (package.is_service() && package.folder != COMPOSITION_ROOT)
        },
        |name| name.starts_with("waybill-backend-"),
        "services and libraries see ports",
    );
}

/// Whoever runs one machine builds and ships no SDK of a cloud.
#[test]
fn without_its_feature_there_is_no_aws_in_waybill() {
    let tree = "tree --package waybill --edges normal --prefix none";
    let clouds = |features: &[&str]| {
        let tree: Vec<_> = tree.split(' ').chain(features.iter().copied()).collect();
        let crates = cargo(&tree);
        let clouds = crates
            .lines()
            .filter(|name| name.contains("aws") || name.contains("lambda"));
        clouds.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(clouds(&["--no-default-features"]), BTreeSet::new());
    assert!(clouds(&[]).len() > 10, "this rule is about nothing");
}

#[test]
fn libraries_do_not_know_services() {
    let services = packages().into_iter().filter(Package::is_service);
    let services: Vec<_> = services.map(|package| package.name).collect();
    assert!(services.len() >= 4, "the services have moved");
    none(
        |package| package.folder.starts_with("libs/"),
        |name| services.iter().any(|service| service == name),
        "services stand on libraries",
    );
}

#[test]
fn the_vocabulary_is_pure() {
    none(
        |package| package.name == "waybill-events",
        |name| ["tokio", "reqwest", "axum", "tracing", "rand"].contains(&name),
        "events neither do I/O nor read a clock",
    );
}

#[test]
fn tools_do_not_know_how_they_are_called() {
    none(
        |package| package.folder.starts_with("libs/toolkit"),
        |name| {
            [
                "axum",
                "waybill-messaging",
                "waybill-calls",
                "waybill-resilience",
            ]
            .contains(&name)
        },
        "durability, retries and breakers are the executor's",
    );
}

#[test]
fn handlers_speak_no_http() {
    none(
        Package::is_handler,
        |name| ["axum", "hyper", "reqwest", "tower"].contains(&name),
        "a handler is a function from an event to effects",
    );
}

#[test]
fn errors_are_flattened_only_at_the_edge() {
    none(
        |package| package.folder.starts_with("libs/") || package.folder.ends_with("ingress"),
        |name| name == "anyhow",
        "libraries have errors that a caller can match",
    );
}

#[test]
fn handlers_never_name_a_queue() {
    let mut files = 0;
    for package in packages().into_iter().filter(Package::is_handler) {
        for path in sources(&root().join(&package.folder).join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            files += 1;
            for word in ["Queue", "Delivery", "Receipt", "Settlement"] {
                let mut code = text
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"));
                let named = code.any(|line| {
                    line.split(|c: char| !c.is_alphanumeric() && c != '_')
                        .any(|w| w == word)
                });
                assert!(!named, "{} names {word}", path.display());
            }
        }
    }
    assert!(files > 5, "the services have moved");
}

/// The files below a folder, at any depth; a service's own tests play the queue.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.file_stem().is_some_and(|stem| stem == "tests") {
                Vec::new()
            } else if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn there_is_no_drawer() {
    for package in packages() {
        for word in ["common", "utils", "core", "types", "helpers", "shared"] {
            let drawer = package.name.split('-').any(|part| part == word);
            assert!(!drawer, "{}: name it by what it is", package.name);
        }
    }
}
