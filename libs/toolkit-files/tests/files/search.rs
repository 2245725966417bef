//! `files_search`.

use std::fs::File;

use serde_json::{Value, json};

use crate::bench::{Bench, column};

async fn search(bench: &Bench, arguments: Value) -> Value {
    bench.answer("files_search", arguments).await.data
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.file("src/a.rs", "fn main() {\n    let x = a.b();\n}\n");
    bench.file("src/b.rs", "// MAIN\nfn other() {}\r\nfn main_two() {}\n");
    bench.file("notes.md", "main\n");
    bench
}

#[tokio::test]
async fn matches_have_line_and_column() {
    let found = bench()
        .answer("files_search", json!({ "pattern": r"fn \w+\(" }))
        .await;
    assert_eq!(
        column(&found.data["files"], "path"),
        ["src/a.rs", "src/b.rs"]
    );
    assert_eq!(
        (&found.data["matches"], &found.data["filesSearched"]),
        (&json!(3), &json!(3))
    );
    let line = json!({ "number": 2, "column": 1, "text": "fn other() {}" });
    assert_eq!(found.data["files"][1]["lines"][0], line);
    assert!(
        found
            .text
            .contains("src/b.rs\n2: fn other() {}\n3: fn main_two() {}\n")
    );
    assert!(
        found
            .text
            .ends_with("[3 matches in 2 files; 3 files searched]"),
        "{}",
        found.text
    );
}

#[tokio::test]
async fn options_narrow_and_widen() {
    let bench = bench();
    for (arguments, matches) in [
        (json!({ "pattern": "main" }), 3),
        (json!({ "pattern": "main", "case": "insensitive" }), 4),
        (json!({ "pattern": "main", "case": "smart" }), 4),
        (json!({ "pattern": "Main", "case": "smart" }), 0),
        (json!({ "pattern": "main", "word": true }), 2),
        (json!({ "pattern": "a.b()", "literal": true }), 1),
        (json!({ "pattern": "a+b", "literal": true }), 0),
        (json!({ "pattern": "main", "globs": ["*.rs"] }), 2),
        (
            json!({ "pattern": "main", "globs": ["!*.md", "!src/b.rs"] }),
            1,
        ),
        (json!({ "pattern": "main", "path": "src/b.rs" }), 1),
        (
            json!({ "pattern": "main", "path": "src", "globs": ["b.*"] }),
            1,
        ),
        (json!({ "pattern": r"\}$" }), 3),
        (json!({ "pattern": "^fn" }), 3),
        (json!({ "pattern": r"\{$" }), 1),
    ] {
        assert_eq!(
            search(&bench, arguments.clone()).await["matches"],
            matches,
            "{arguments}"
        );
    }
}

#[tokio::test]
async fn context_is_shown_around_matches() {
    let bench = Bench::new();
    bench.file("f", "1\n2\nhit\n4\n5\n6\n7\nhit\n9\n");
    let found = bench
        .answer("files_search", json!({ "pattern": "hit", "context": 1 }))
        .await;
    let numbers: Vec<_> = found.data["files"][0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(numbers.len(), 6);
    assert!(numbers[0].get("column").is_none());
    assert_eq!(
        found.text.split("\n\n").next().unwrap(),
        "f\n2- 2\n3: hit\n4- 4\n--\n7- 7\n8: hit\n9- 9"
    );
}

#[tokio::test]
async fn answers_can_be_files_or_counts() {
    let bench = bench();
    let files = bench
        .answer("files_search", json!({ "pattern": "fn", "show": "files" }))
        .await;
    assert_eq!(
        column(&files.data["files"], "path"),
        ["src/a.rs", "src/b.rs"]
    );
    assert!(files.data["files"][0].get("lines").is_none());
    assert_eq!(files.data["truncated"], false);
    let counts = bench
        .answer("files_search", json!({ "pattern": "fn", "show": "counts" }))
        .await;
    assert_eq!(counts.data["files"][1]["matches"], 2);
    assert!(counts.text.contains("src/b.rs: 2\n"));
}

#[tokio::test]
async fn results_are_limited_and_the_limit_is_told() {
    let bench = Bench::new();
    bench
        .file("a", "hit\n".repeat(5))
        .file("b", "hit\n".repeat(5));
    for (show, limit, files, matches, truncated) in [
        ("lines", 3, 1, 3, true),
        ("lines", 5, 1, 5, true),
        ("lines", 7, 2, 7, true),
        ("lines", 10, 2, 10, false),
        ("files", 1, 1, 1, true),
        ("files", 2, 2, 2, false),
        ("counts", 1, 1, 5, true),
    ] {
        let arguments = json!({ "pattern": "hit", "show": show, "maxResults": limit });
        let found = search(&bench, arguments.clone()).await;
        assert_eq!(
            found["files"].as_array().unwrap().len(),
            files,
            "{arguments}"
        );
        assert_eq!(found["matches"], matches, "{arguments}");
        assert_eq!(found["truncated"], truncated, "{arguments}");
    }
}

#[tokio::test]
async fn long_lines_are_cut_around_the_match() {
    let bench = Bench::new();
    bench.file(
        "wide",
        format!("{}hit{}", "ä".repeat(2_000), "b".repeat(2_000)),
    );
    let found = search(&bench, json!({ "pattern": "hit" })).await;
    let line = &found["files"][0]["lines"][0];
    assert_eq!(line["column"], 2_001);
    let text = line["text"].as_str().unwrap();
    assert!(
        text.starts_with("…ä") && text.contains("hit") && text.ends_with("b…"),
        "{text}"
    );
    assert!(text.chars().count() < 600);
}

#[tokio::test]
async fn what_cannot_be_searched_is_counted() {
    let bench = Bench::new();
    bench
        .file("binary", b"hit\0")
        .file("text", "hit")
        .file("latin1", b"hit \xe9\n");
    bench.file("utf16", b"\xff\xfeh\0i\0t\0");
    let huge = File::create(bench.root().join("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let found = search(&bench, json!({ "pattern": "hit" })).await;
    assert_eq!(column(&found["files"], "path"), ["latin1", "text", "utf16"]);
    assert_eq!(
        found["skipped"],
        json!({ "binary": 1, "tooLarge": 1, "unreadable": 0 })
    );
}

#[tokio::test]
async fn ignored_files_are_searched_on_demand() {
    let bench = Bench::new();
    bench
        .file(".gitignore", "out\n")
        .file("out/a", "hit")
        .file("b", "hit");
    assert_eq!(
        search(&bench, json!({ "pattern": "hit" })).await["matches"],
        1
    );
    let all = json!({ "pattern": "hit", "includeIgnored": true });
    assert_eq!(search(&bench, all).await["matches"], 2);
    assert_eq!(
        search(&bench, json!({ "pattern": "hit", "path": "out" })).await["matches"],
        1
    );
}

#[tokio::test]
async fn patterns_that_do_not_parse_are_refused() {
    let bench = bench();
    for pattern in ["(", "a\\nb", "(?=a)", "", "a{999}{999}{999}"] {
        let why = bench
            .refusal("files_search", json!({ "pattern": pattern }))
            .await;
        assert!(why.starts_with("pattern:"), "{why}");
    }
    let why = bench
        .refusal("files_search", json!({ "pattern": "a", "globs": ["["] }))
        .await;
    assert!(why.contains("glob"), "{why}");
    bench
        .refusal("files_search", json!({ "pattern": "a", "path": "none" }))
        .await;
}
