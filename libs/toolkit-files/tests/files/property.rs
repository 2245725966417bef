//! Whatever path is given, the secret stays outside.

use proptest::{prelude::*, sample::select};
use serde_json::json;
use tokio::runtime::Builder;

use crate::bench::{Bench, SECRET};

const PARTS: [&str; 23] = [
    "..",
    ".",
    "",
    "/",
    "//",
    "a",
    "b.txt",
    "outside",
    "root",
    "secret.txt",
    "out",
    "file",
    "up",
    "loop",
    "\0",
    "…",
    "proc",
    "self",
    "cwd",
    "%2e%2e",
    "out/secret.txt",
    "a/file",
    "../outside/secret.txt",
];

/// Paths made of parts that exist, climb, or mean something, and paths that are anything.
fn path(outside: String, root: String) -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => select(&PARTS[..]).prop_map(str::to_owned),
        1 => Just(outside),
        1 => Just(root),
        1 => any::<String>(),
    ];
    let joined = prop::collection::vec(part, 0..6).prop_map(|parts| parts.join("/"));
    prop_oneof![4 => joined, 1 => any::<String>()]
}

#[test]
fn no_path_reads_the_secret() {
    let bench = Bench::new();
    bench
        .file("a/b.txt", "inside")
        .link("out", bench.outside())
        .link("up", "..");
    bench
        .link("a/loop", "../a")
        .link("a/file", "../../outside/secret.txt");
    bench.link("proc", "/proc");
    let paths = path(
        bench.outside().display().to_string(),
        bench.root().display().to_string(),
    );
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig {
        cases: 800,
        failure_persistence: None,
        ..Default::default()
    };
    proptest!(config, |(path in paths)| {
        for (tool, arguments) in [
            ("files_read", json!({ "path": path })),
            ("files_read", json!({ "files": [{ "path": path }, { "path": "a/b.txt" }] })),
            ("files_stat", json!({ "path": path })),
            ("files_list", json!({ "path": path })),
            ("files_tree", json!({ "path": path })),
            ("files_glob", json!({ "path": path, "pattern": "**" })),
            ("files_search", json!({ "path": path, "pattern": "." })),
        ] {
            let said = match runtime.block_on(bench.call(tool, arguments)) {
                Ok(answer) => format!("{}{}", answer.data, answer.text),
                Err(error) => error.to_string(),
            };
            prop_assert!(!said.contains(SECRET), "{tool} {path:?}: {said}");
        }
    });
}
