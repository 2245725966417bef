//! Nothing outside the roots is ever read.

use std::{
    fs,
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use waybill_toolkit::ToolError;
use waybill_workspace::Root;

use crate::bench::{Bench, SECRET, call, over};

/// Calls with which a race is given up that never showed both sides.
const MAX_RACED_CALLS: usize = 20_000;
/// Calls that are raced at least.
const MIN_RACED_CALLS: usize = 1_000;

/// The tools that take a path.
const TOOLS: [&str; 6] = [
    "files_read",
    "files_list",
    "files_tree",
    "files_stat",
    "files_glob",
    "files_search",
];

fn arguments(tool: &str, path: &str) -> Value {
    match tool {
        "files_glob" => json!({ "path": path, "pattern": "**" }),
        "files_search" => json!({ "path": path, "pattern": "secret" }),
        _ => json!({ "path": path }),
    }
}

#[tokio::test]
async fn paths_that_climb_out_are_refused_by_every_tool() {
    let bench = Bench::new();
    bench.file("a/b.txt", "inside");
    let outside = bench.outside().join("secret.txt").display().to_string();
    let climbing = format!("{}/../outside/secret.txt", bench.root().display());
    let paths = [
        "..",
        "../outside/secret.txt",
        "a/../../outside/secret.txt",
        "./../outside",
        "a/b.txt/../../../outside/secret.txt",
        "/etc/passwd",
        "/",
        "/proc/self/root/etc/passwd",
        &outside,
        &climbing,
    ];
    for tool in TOOLS {
        for path in paths {
            let why = bench.refusal(tool, arguments(tool, path)).await;
            assert!(why.contains("outside"), "{tool} {path}: {why}");
            assert!(why.contains("work = "), "names the roots: {why}");
        }
    }
}

#[tokio::test]
async fn symlinks_that_lead_out_are_refused() {
    let bench = Bench::new();
    let outside = bench.outside();
    bench
        .link("absolute", outside.join("secret.txt"))
        .link("relative", "../outside/secret.txt");
    bench
        .link("dir", &outside)
        .link("chain", "dir")
        .link("proc", "/proc/self/cwd");
    for path in [
        "absolute",
        "relative",
        "dir/secret.txt",
        "chain/secret.txt",
        "proc/Cargo.toml",
    ] {
        for tool in ["files_read", "files_search"] {
            let why = bench.refusal(tool, arguments(tool, path)).await;
            assert!(
                why.contains("leads outside root work through a symlink"),
                "{path}: {why}"
            );
        }
    }
    for tool in ["files_list", "files_tree", "files_glob", "files_search"] {
        bench.refusal(tool, arguments(tool, "dir")).await;
    }
    let stat = bench
        .answer("files_stat", json!({ "path": "relative" }))
        .await;
    assert_eq!(stat.data["kind"], "symlink");
    assert!(
        stat.data["link"]["unreadable"]
            .as_str()
            .unwrap()
            .contains("outside")
    );
    assert!(stat.data["link"].get("size").is_none());
}

#[tokio::test]
async fn walks_do_not_follow_symlinks_out_or_round() {
    let bench = Bench::new();
    bench
        .file("a/inside.txt", "no secret here")
        .link("a/out", bench.outside());
    bench
        .link("a/loop", "..")
        .link("a/file", bench.outside().join("secret.txt"));
    for tool in ["files_tree", "files_glob", "files_search"] {
        let answer = bench.answer(tool, arguments(tool, "")).await;
        assert!(
            !answer.text.contains("secret.txt"),
            "{tool}: {}",
            answer.text
        );
        assert!(!answer.text.contains(SECRET), "{tool}: {}", answer.text);
        assert!(
            answer.text.contains("inside.txt"),
            "{tool}: {}",
            answer.text
        );
        assert!(!answer.text.contains("loop/"), "{tool}: {}", answer.text);
    }
}

#[tokio::test]
async fn symlinks_within_the_root_are_followed() {
    let bench = Bench::new();
    bench
        .file("real/file.txt", "hello")
        .link("near", "real/file.txt")
        .link("dir", "real");
    bench
        .link("absolute", bench.root().join("real"))
        .link("real/up", "../real/file.txt");
    for path in ["near", "dir/file.txt", "absolute/file.txt", "real/up"] {
        let answer = bench.answer("files_read", json!({ "path": path })).await;
        assert_eq!(answer.data["files"][0]["content"], "hello", "{path}");
    }
    let listed = bench
        .answer("files_list", json!({ "path": "absolute" }))
        .await;
    assert_eq!(listed.data["total"], 2);
    bench.link("self", bench.root().join("self"));
    bench.refusal("files_read", json!({ "path": "self" })).await;
}

#[tokio::test]
async fn what_is_not_a_regular_file_is_refused_and_does_not_hang() {
    let bench = Bench::new();
    let fifo = bench.root().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = UnixListener::bind(bench.root().join("socket")).unwrap();
    bench.link("to-fifo", "fifo").file("text", "needle");
    for (path, kind) in [("fifo", "fifo"), ("socket", "socket"), ("to-fifo", "fifo")] {
        for tool in ["files_read", "files_search"] {
            let why = bench.refusal(tool, arguments(tool, path)).await;
            assert!(
                why.contains(&format!("not a regular file ({kind})")),
                "{why}"
            );
        }
        bench.refusal("files_list", json!({ "path": path })).await;
    }
    let found = bench
        .answer("files_search", json!({ "pattern": "needle" }))
        .await;
    assert_eq!(found.data["filesSearched"], 1);

    let devices = over(&[Root::new("dev", "/dev")], &[]);
    for device in ["zero", "null", "tty"] {
        let error = call(&devices, "files_read", json!({ "path": device }))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("not a regular file (device)"),
            "{error}"
        );
    }
}

/// Makes `root/door` by turns what is at `inside` and what is at `outside`, until told to stop.
fn flip(bench: &Bench, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (root, stop) = (bench.root(), stop.clone());
    let door = root.join("door");
    let sides: [PathBuf; 2] = [root.join("inside"), root.join("outside")];
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            for side in &sides {
                fs::rename(side, &door).unwrap();
                fs::rename(&door, side).unwrap();
            }
        }
    })
}

/// Calls until the door was seen open and shut, and often enough.
async fn race(bench: &Bench, tool: &str, arguments: Value, open: &str) {
    let stop = Arc::new(AtomicBool::new(false));
    let flipping = flip(bench, &stop);
    let (mut opened, mut refused) = (0, 0);
    for calls in 0..MAX_RACED_CALLS {
        match bench.call(tool, arguments.clone()).await {
            Ok(answer) => {
                let all = format!("{}{}", answer.data, answer.text);
                assert!(!all.contains(SECRET), "{tool} escaped: {all}");
                if all.contains(open) {
                    opened += 1;
                } else {
                    refused += 1;
                }
            }
            Err(ToolError::Invalid(_)) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
        if calls >= MIN_RACED_CALLS && opened > 0 && refused > 0 {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    flipping.join().unwrap();
    assert!(
        opened > 0 && refused > 0,
        "{tool}: no race, {opened} open and {refused} shut"
    );
}

#[tokio::test]
async fn a_directory_that_becomes_a_symlink_does_not_let_a_call_out() {
    let bench = Bench::new();
    bench
        .file("inside/secret.txt", "harmless")
        .link("outside", bench.outside());
    race(
        &bench,
        "files_read",
        json!({ "path": "door/secret.txt" }),
        "harmless",
    )
    .await;
    race(
        &bench,
        "files_list",
        json!({ "path": "door" }),
        "secret.txt",
    )
    .await;
    race(
        &bench,
        "files_search",
        json!({ "path": "door", "pattern": "." }),
        "harmless",
    )
    .await;
}

#[tokio::test]
async fn a_file_that_becomes_a_symlink_does_not_let_a_call_out() {
    let bench = Bench::new();
    bench
        .file("inside", "harmless")
        .link("outside", "../outside/secret.txt");
    race(&bench, "files_read", json!({ "path": "door" }), "harmless").await;
    let all = json!({ "pattern": "secret|harmless", "globs": ["door"] });
    race(&bench, "files_search", all, "harmless").await;
}

#[tokio::test]
async fn a_root_that_is_replaced_is_still_the_one_that_was_opened() {
    let bench = Bench::new();
    bench.file("a.txt", "mine");
    fs::rename(bench.root(), bench.root().with_extension("moved")).unwrap();
    std::os::unix::fs::symlink(bench.outside(), bench.root()).unwrap();
    let mine = bench.answer("files_read", json!({ "path": "a.txt" })).await;
    assert_eq!(mine.data["files"][0]["content"], "mine");
    bench
        .refusal("files_read", json!({ "path": "secret.txt" }))
        .await;
}

#[tokio::test]
async fn a_gitignore_that_leads_out_is_not_read() {
    let bench = Bench::new();
    fs::write(bench.outside().join("rules"), "*.txt\n").unwrap();
    bench
        .file("a.txt", "")
        .link(".gitignore", bench.outside().join("rules"));
    let found = bench
        .answer("files_glob", json!({ "pattern": "*.txt" }))
        .await;
    assert_eq!(found.data["found"][0]["path"], "a.txt");
}

#[tokio::test]
async fn roots_are_told_apart() {
    let (one, two) = (Bench::new(), Bench::new());
    one.file("which", "one");
    two.file("which", "two").file("deep/which", "three");
    let roots = [Root::new("one", one.root()), Root::new("two", two.root())];
    let toolkit = over(&roots, &[]);
    let read = async |arguments: Value| {
        let answer = call(&toolkit, "files_read", arguments).await;
        answer.map(|answer| answer.data["files"][0]["content"].clone())
    };
    assert_eq!(read(json!({ "path": "which" })).await.unwrap(), "one");
    assert_eq!(
        read(json!({ "path": "which", "root": "two" }))
            .await
            .unwrap(),
        "two"
    );
    let absolute = two.root().join("deep/../which").display().to_string();
    assert_eq!(read(json!({ "path": absolute })).await.unwrap(), "two");
    assert_eq!(
        read(json!({ "path": absolute, "root": "two" }))
            .await
            .unwrap(),
        "two"
    );
    read(json!({ "path": absolute, "root": "one" }))
        .await
        .unwrap_err();
    let error = read(json!({ "path": "which", "root": "three" }))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("one = ") && error.contains("two = "),
        "{error}"
    );

    let listed = call(&toolkit, "files_roots", json!({})).await.unwrap();
    assert_eq!(listed.data["roots"][1]["name"], "two");
    assert!(listed.text.starts_with("one: ") && listed.text.contains("(default)"));
}
