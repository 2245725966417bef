//! What is not served although it lies in a root: the gateway's own data and configuration.

use std::{fs, os::unix::fs::symlink};

use serde_json::json;
use tempfile::TempDir;
use waybill_workspace::Root;

use crate::bench::{SECRET, call, over};

#[tokio::test]
async fn a_hidden_directory_is_seen_by_no_tool_and_through_no_link() {
    let root = TempDir::new().unwrap();
    let data = root.path().join(".data");
    fs::create_dir_all(data.join("deep")).unwrap();
    fs::write(data.join("key.txt"), SECRET).unwrap();
    fs::write(data.join("deep/key.txt"), SECRET).unwrap();
    symlink(".data", root.path().join("folder")).unwrap();
    symlink(".data/key.txt", root.path().join("file.txt")).unwrap();
    symlink(&data, root.path().join("absolute")).unwrap();
    let roots = [Root::new("work", root.path())];
    let toolkit = over(&roots, std::slice::from_ref(&data));

    let absolute = data.join("key.txt");
    for path in [
        ".data/key.txt",
        ".data/deep/key.txt",
        "x/../.data/key.txt",
        "folder/key.txt",
        "folder/deep/key.txt",
        "file.txt",
        "absolute/key.txt",
        absolute.to_str().unwrap(),
    ] {
        let answer = call(&toolkit, "files_read", json!({ "path": path })).await;
        assert!(
            !format!("{answer:?}").contains(SECRET),
            "{path}: {answer:?}"
        );
    }
    for (tool, arguments) in [
        ("files_list", json!({ "path": ".data" })),
        (
            "files_tree",
            json!({ "path": "", "hidden": true, "ignored": true }),
        ),
        ("files_tree", json!({ "path": "folder" })),
        ("files_glob", json!({ "pattern": "**/key.txt" })),
        ("files_search", json!({ "pattern": SECRET })),
        (
            "files_search",
            json!({ "pattern": SECRET, "path": ".data" }),
        ),
    ] {
        let answer = call(&toolkit, tool, arguments.clone()).await;
        let shown = format!("{answer:?}");
        assert!(!shown.contains("key.txt\""), "{tool} {arguments}: {shown}");
    }
    let open = over(&roots, &[]);
    let answer = call(&open, "files_read", json!({ "path": ".data/key.txt" })).await;
    assert!(format!("{answer:?}").contains(SECRET), "the test can fail");
}

#[tokio::test]
async fn a_hidden_file_is_read_by_no_tool_and_through_no_link_also_when_it_was_replaced() {
    let root = TempDir::new().unwrap();
    let file = root.path().join(".env");
    fs::write(&file, SECRET).unwrap();
    symlink(".env", root.path().join("soft.txt")).unwrap();
    fs::hard_link(&file, root.path().join("hard.txt")).unwrap();
    let roots = [Root::new("work", root.path())];
    let toolkit = over(&roots, std::slice::from_ref(&file));

    // As editors save: the old one is still there under its other name.
    let outside = TempDir::new().unwrap();
    let replaced = outside.path().join("new");
    fs::write(&replaced, format!("{SECRET} again")).unwrap();
    for round in ["first", "replaced"] {
        for path in [".env", "soft.txt", "hard.txt"] {
            for (tool, arguments) in [
                ("files_read", json!({ "path": path })),
                ("files_search", json!({ "pattern": "e", "path": path })),
            ] {
                let answer = format!("{:?}", call(&toolkit, tool, arguments).await);
                assert!(!answer.contains(SECRET), "{round} {tool} {path}: {answer}");
                assert!(
                    answer.contains("own data"),
                    "{round} {tool} {path}: {answer}"
                );
            }
        }
        let all = json!({ "pattern": ".", "includeIgnored": true });
        let answer = format!("{:?}", call(&toolkit, "files_search", all).await);
        assert!(!answer.contains(SECRET), "{round}: {answer}");
        if replaced.exists() {
            fs::rename(&replaced, &file).unwrap();
        }
    }
    let open = over(&roots, &[]);
    let all = json!({ "pattern": ".", "includeIgnored": true });
    let answer = format!("{:?}", call(&open, "files_search", all).await);
    assert!(answer.contains(SECRET), "the test can fail: {answer}");
}
