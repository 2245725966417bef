//! `files_list`, `files_tree` and `files_glob`.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use serde_json::json;

use crate::bench::{Bench, column};

#[tokio::test]
async fn a_directory_is_listed_page_by_page() {
    let bench = Bench::new();
    bench
        .file("b", "12")
        .file("a/x", "")
        .file(".hidden", "")
        .link("c", "b");
    let all = bench.answer("files_list", json!({})).await;
    assert_eq!(
        column(&all.data["entries"], "name"),
        [".hidden", "a", "b", "c"]
    );
    let kinds = column(&all.data["entries"], "kind");
    assert_eq!(kinds, ["file", "directory", "file", "symlink"]);
    assert_eq!(all.data["entries"][2]["size"], 2);
    assert!(all.data["entries"][1].get("size").is_none());
    assert!(
        all.text.contains(" a/\n") && all.text.contains(" c@"),
        "{}",
        all.text
    );

    let page = bench
        .answer("files_list", json!({ "offset": 1, "limit": 2 }))
        .await;
    assert_eq!(column(&page.data["entries"], "name"), ["a", "b"]);
    assert_eq!(
        (&page.data["total"], &page.data["truncated"]),
        (&json!(4), &json!(true))
    );
    assert!(page.text.contains("continue with offset 3"));
    let end = bench
        .answer("files_list", json!({ "offset": 9 }))
        .await
        .data;
    assert_eq!(
        (&end["entries"], &end["truncated"]),
        (&json!([]), &json!(false))
    );
}

#[tokio::test]
async fn a_huge_directory_is_cut() {
    let bench = Bench::new();
    for number in 0..3_000 {
        bench.file(&format!("many/{number:04}"), "");
    }
    let list = bench
        .answer("files_list", json!({ "path": "many", "limit": 4_000_000 }))
        .await
        .data;
    assert_eq!(list["entries"].as_array().unwrap().len(), 2_000);
    assert_eq!(
        (&list["total"], &list["truncated"]),
        (&json!(3_000), &json!(true))
    );
    let tree = bench.answer("files_tree", json!({})).await;
    assert_eq!(tree.data["entries"].as_array().unwrap().len(), 500);
    assert_eq!(tree.data["truncatedBy"], "results");
    assert!(tree.text.contains("many/ ..."), "{}", &tree.text[..100]);
    let glob = bench
        .answer("files_glob", json!({ "pattern": "*", "limit": 10 }))
        .await
        .data;
    assert_eq!(glob["found"].as_array().unwrap().len(), 10);
    assert_eq!(glob["truncated"], true);
}

#[tokio::test]
async fn a_deep_tree_ends() {
    let bench = Bench::new();
    let mut deep = bench.root();
    for _ in 0..300 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "needle").unwrap();
    let glob = bench
        .answer("files_glob", json!({ "pattern": "bottom" }))
        .await
        .data;
    assert_eq!(
        (&glob["found"], &glob["truncatedBy"]),
        (&json!([]), &json!("depth"))
    );
    let below = ["d"; 250].join("/");
    let glob = bench
        .answer("files_glob", json!({ "pattern": "bottom", "path": below }))
        .await
        .data;
    assert_eq!(glob["found"].as_array().unwrap().len(), 1);
    let tree = bench
        .answer("files_tree", json!({ "depth": 32 }))
        .await
        .data;
    assert_eq!(tree["entries"].as_array().unwrap().len(), 32);
    assert_eq!(
        (&tree["entries"][31]["more"], &tree["truncated"]),
        (&json!(true), &json!(false))
    );
    let bottom = format!("{}/bottom", ["d"; 300].join("/"));
    let read = bench.answer("files_read", json!({ "path": bottom })).await;
    assert!(read.text.contains("needle"));
}

#[tokio::test]
async fn a_tree_shows_upper_levels_first() {
    let bench = Bench::new();
    bench.file("a/b/c/d", "").file("a/1", "xyz").file("z", "");
    let tree = bench.answer("files_tree", json!({ "depth": 2 })).await;
    assert_eq!(
        column(&tree.data["entries"], "path"),
        ["a", "a/1", "a/b", "z"]
    );
    assert_eq!(
        tree.text,
        "./\n  a/\n    1 (3 B)\n    b/ ...\n  z (0 B)\n[4 entries]"
    );
    let tree = bench.answer("files_tree", json!({ "limit": 2 })).await.data;
    assert_eq!(column(&tree["entries"], "path"), ["a", "z"]);
    assert_eq!(tree["truncatedBy"], "results");
    let tree = bench
        .answer("files_tree", json!({ "path": "a/b" }))
        .await
        .data;
    assert_eq!(column(&tree["entries"], "path"), ["a/b/c", "a/b/c/d"]);
}

#[tokio::test]
async fn gitignore_is_honoured() {
    let bench = Bench::new();
    bench.file(
        ".gitignore",
        "\u{feff}# build\ntarget/\n*.log\n!keep.log\n/only-top\n[bad\n",
    );
    bench
        .file("target/out", "")
        .file("a.log", "")
        .file("keep.log", "")
        .file("only-top", "");
    bench
        .file("sub/only-top", "")
        .file("sub/b.log", "")
        .file("sub/c.tmp", "");
    bench
        .file("sub/.gitignore", "*.tmp\n!b.log\n")
        .file("sub/deep/target/x", "");
    bench
        .file(".git/config", "")
        .file(".git/info/exclude", "private\n")
        .file("private", "");
    bench
        .file("other/.git/config", "")
        .file("other/d.log", "")
        .file(".ignore", "scratch\n");
    bench.file("scratch", "").file("target-not", "");
    let expected = [
        ".gitignore",
        ".ignore",
        "keep.log",
        "other/d.log",
        "sub/.gitignore",
        "sub/b.log",
        "sub/only-top",
        "target-not",
    ];
    let glob = bench
        .answer("files_glob", json!({ "pattern": "**" }))
        .await
        .data;
    assert_eq!(column(&glob["found"], "path"), expected);
    let tree = bench.answer("files_tree", json!({ "depth": 9 })).await.data;
    let mut files = column(&tree["entries"], "path");
    files.retain(|path| expected.contains(path));
    assert_eq!(files, expected);
    assert!(!column(&tree["entries"], "path").contains(&"target"));

    let inner = bench
        .answer("files_glob", json!({ "path": "sub", "pattern": "**" }))
        .await
        .data;
    assert_eq!(
        column(&inner["found"], "path"),
        ["sub/.gitignore", "sub/b.log", "sub/only-top"]
    );
    let named = bench
        .answer("files_tree", json!({ "path": "target" }))
        .await
        .data;
    assert_eq!(
        column(&named["entries"], "path"),
        ["target/out"],
        "a named directory is shown"
    );
    let all = json!({ "pattern": "**", "includeIgnored": true });
    let all = bench.answer("files_glob", all).await.data;
    assert_eq!(all["found"].as_array().unwrap().len(), 18);
}

#[tokio::test]
async fn globs_match_paths() {
    let bench = Bench::new();
    bench
        .file("a.rs", "")
        .file("src/b.rs", "")
        .file("src/deep/c.rs", "")
        .file("src/d.ts", "");
    bench.file("docs/e.md", "").link("link.rs", "a.rs");
    for (arguments, expected) in [
        (
            json!({ "pattern": "*.rs" }),
            vec!["a.rs", "link.rs", "src/b.rs", "src/deep/c.rs"],
        ),
        (json!({ "pattern": "src/*.rs" }), vec!["src/b.rs"]),
        (
            json!({ "pattern": "./src/**/*.{rs,ts}" }),
            vec!["src/b.rs", "src/d.ts", "src/deep/c.rs"],
        ),
        (
            json!({ "pattern": "*.rs", "path": "src" }),
            vec!["src/b.rs", "src/deep/c.rs"],
        ),
        (
            json!({ "pattern": "deep/*", "path": "src" }),
            vec!["src/deep/c.rs"],
        ),
        (
            json!({ "pattern": "*.rs", "exclude": ["src/**", "link*"] }),
            vec!["a.rs"],
        ),
        (
            json!({ "pattern": "*e*", "kind": "directory" }),
            vec!["src/deep"],
        ),
        (
            json!({ "pattern": "d*", "kind": "any" }),
            vec!["docs", "src/d.ts", "src/deep"],
        ),
        (json!({ "pattern": "*.none" }), vec![]),
    ] {
        let found = bench.answer("files_glob", arguments.clone()).await.data;
        assert_eq!(column(&found["found"], "path"), expected, "{arguments}");
    }
    for pattern in ["", "/etc/*", "../*", "a{", "a[", "!"] {
        let why = bench
            .refusal("files_glob", json!({ "pattern": pattern }))
            .await;
        assert!(why.contains("glob"), "{why}");
    }
}

#[tokio::test]
async fn names_that_are_not_utf8_are_shown_as_far_as_they_can_be() {
    let bench = Bench::new();
    let name = OsStr::from_bytes(b"caf\xe9.txt");
    if fs::write(bench.root().join(name), "needle").is_err() {
        return; // This file system takes no such name.
    }
    for tool in ["files_list", "files_tree", "files_glob", "files_search"] {
        let arguments = match tool {
            "files_glob" => json!({ "pattern": "*.txt" }),
            "files_search" => json!({ "pattern": "needle" }),
            _ => json!({}),
        };
        let answer = bench.answer(tool, arguments).await;
        assert!(
            answer.text.contains("caf\u{fffd}.txt"),
            "{tool}: {}",
            answer.text
        );
    }
}
