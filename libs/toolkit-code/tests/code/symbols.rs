use serde_json::{Value, json};

use crate::project::Project;

fn project() -> Project {
    Project::new(&[
        (
            "src/registry.rs",
            "pub struct Registry;\nimpl Registry {\n    pub fn set(&self) {}\n    fn set_all(&self) {}\n}\nfn reset() {}\n",
        ),
        (
            "src/offset.py",
            "class Offset:\n    def set(self): pass\nOFFSET = 1\n",
        ),
        (
            "store.go",
            "package s\ntype Store struct{ set int }\nfunc (s *Store) Set() {}\n",
        ),
        ("README.md", "set"),
    ])
}

async fn names(arguments: Value) -> Vec<String> {
    let json = project()
        .call("code_symbols", arguments)
        .await
        .unwrap()
        .json;
    let symbols = json["symbols"].as_array().unwrap();
    let name = |symbol: &Value| match symbol["container"].as_str() {
        Some(container) => format!("{container}.{}", symbol["name"].as_str().unwrap()),
        None => symbol["name"].as_str().unwrap().to_owned(),
    };
    symbols.iter().map(name).collect()
}

#[tokio::test]
async fn the_kinds_of_match() {
    let exact = names(json!({ "query": "set", "match": "exact" })).await;
    assert_eq!(exact, ["Offset.set", "Registry.set", "Store.set"]);
    let prefix = names(json!({ "query": "SET", "match": "prefix" })).await;
    assert_eq!(
        prefix,
        [
            "Offset.set",
            "Registry.set",
            "Store.set",
            "Store.Set",
            "Registry.set_all"
        ]
    );
    let substring = names(json!({ "query": "offs" })).await;
    assert_eq!(substring, ["Offset", "OFFSET"]);
    let fuzzy = names(json!({ "query": "rgst", "match": "fuzzy" })).await;
    assert_eq!(fuzzy, ["Registry", "Registry"]);
}

#[tokio::test]
async fn the_best_come_first() {
    let found = names(json!({ "query": "set", "match": "fuzzy" })).await;
    assert_eq!(found[..3], ["Offset.set", "Registry.set", "Store.set"]);
    let last = found.iter().position(|name| name == "reset").unwrap();
    assert!(
        found
            .iter()
            .position(|name| name == "Registry.set_all")
            .unwrap()
            < last
    );
}

#[tokio::test]
async fn the_filters() {
    let kind = names(json!({ "query": "set", "match": "exact", "kind": "field" })).await;
    assert_eq!(kind, ["Store.set"]);
    let language = names(json!({ "query": "set", "match": "exact", "language": "python" })).await;
    assert_eq!(language, ["Offset.set"]);
    let glob = names(json!({ "query": "set", "glob": "*.go", "kind": "method" })).await;
    assert_eq!(glob, ["Store.Set"]);
    let deep = names(json!({ "query": "set", "match": "exact", "glob": "src/*.py" })).await;
    assert_eq!(deep, ["Offset.set"]);
    let path = names(json!({ "path": "src/offset.py", "kind": "constant" })).await;
    assert_eq!(path, ["OFFSET"]);
    for query in ["Registry::set", "registry.set"] {
        let container = names(json!({ "query": query, "match": "prefix" })).await;
        assert_eq!(container, ["Registry.set", "Registry.set_all"]);
    }
}

#[tokio::test]
async fn the_limit_says_how_many_more() {
    let answer = project()
        .call("code_symbols", json!({ "query": "set", "limit": 1 }))
        .await
        .unwrap();
    assert_eq!(answer.json["symbols"].as_array().unwrap().len(), 1);
    assert_eq!(answer.json["total"], 8);
    assert_eq!(
        answer.text,
        "src/offset.py:2-2 method Offset.set\n    def set(self)\n7 more: narrow the search.\n"
    );
}

#[tokio::test]
async fn an_unknown_language_and_a_bad_glob_are_refused() {
    let refused = |arguments| async {
        project()
            .call("code_symbols", arguments)
            .await
            .err()
            .expect("it is refused")
    };
    let message = refused(json!({ "query": "x", "language": "cobol" })).await;
    assert!(
        message.starts_with("language \"cobol\" is not supported; supported: rust"),
        "{message}"
    );
    assert!(
        refused(json!({ "query": "x", "glob": "a[" }))
            .await
            .starts_with("glob \"a[\":")
    );
    assert!(
        refused(json!({ "query": "x".repeat(300) }))
            .await
            .contains("longer than")
    );
}
