//! A directory in a root that is not served: the gateway's own data.

use std::{fs, os::unix::fs::symlink};

use serde_json::json;
use tempfile::TempDir;
use waybill_toolkit_files::{FilesToolkit, Root};

use crate::bench::{SECRET, call};

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
    let toolkit = FilesToolkit::open_without(&roots, std::slice::from_ref(&data)).unwrap();

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
    let open = FilesToolkit::open(&roots).unwrap();
    let answer = call(&open, "files_read", json!({ "path": ".data/key.txt" })).await;
    assert!(format!("{answer:?}").contains(SECRET), "the test can fail");
}
