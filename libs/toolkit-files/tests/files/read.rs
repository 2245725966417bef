//! `files_read` and `files_stat`.

use std::fs::File;

use serde_json::{Value, json};

use crate::bench::Bench;

async fn read(bench: &Bench, arguments: Value) -> Value {
    bench.answer("files_read", arguments).await.data["files"][0].clone()
}

#[tokio::test]
async fn ranges_are_lines_from_one() {
    let bench = Bench::new();
    bench
        .file("five", "1\n2\n3\n4\n5")
        .file("crlf", "a\r\nb\r\n");
    for (start, end, content, first, last) in [
        (None, None, "1\n2\n3\n4\n5", 1, 5),
        (Some(2), Some(3), "2\n3\n", 2, 3),
        (Some(5), None, "5", 5, 5),
        (None, Some(1), "1\n", 1, 1),
        (Some(4), Some(99), "4\n5", 4, 5),
    ] {
        let file = read(
            &bench,
            json!({ "path": "five", "startLine": start, "endLine": end }),
        )
        .await;
        assert_eq!(file["content"], content);
        assert_eq!(
            (&file["startLine"], &file["endLine"]),
            (&json!(first), &json!(last))
        );
        assert_eq!(
            (&file["totalLines"], &file["totalBytes"]),
            (&json!(5), &json!(9))
        );
        assert_eq!(file["truncated"], false);
    }
    let crlf = read(&bench, json!({ "path": "crlf", "startLine": 2 })).await;
    assert_eq!(
        (&crlf["content"], &crlf["totalLines"]),
        (&json!("b\r\n"), &json!(2))
    );
}

#[tokio::test]
async fn ranges_that_make_no_sense_are_refused() {
    let bench = Bench::new();
    bench.file("two", "1\n2\n");
    for (start, end, why) in [
        (0, 1, "lines count from 1"),
        (3, 2, "must not be after endLine"),
        (3, 9, "has 2 lines: startLine 3 is after its end"),
    ] {
        let arguments = json!({ "path": "two", "startLine": start, "endLine": end });
        let said = bench.refusal("files_read", arguments).await;
        assert!(said.contains(why), "{said}");
    }
    for arguments in [
        json!({}),
        json!({ "path": "two", "files": [{ "path": "two" }] }),
        json!({ "startLine": 1, "files": [{ "path": "two" }] }),
        json!({ "files": vec![json!({ "path": "two" }); 51] }),
        json!({ "path": "two", "lines": 3 }),
    ] {
        bench.refusal("files_read", arguments).await;
    }
}

#[tokio::test]
async fn an_empty_file_has_no_lines() {
    let bench = Bench::new();
    bench.file("empty", "");
    let file = read(&bench, json!({ "path": "empty" })).await;
    assert_eq!(
        (&file["content"], &file["totalLines"]),
        (&json!(""), &json!(0))
    );
    assert!(file.get("startLine").is_none());
    let text = bench
        .answer("files_read", json!({ "path": "empty", "startLine": 1 }))
        .await
        .text;
    assert_eq!(text, "[empty]\n");
}

#[tokio::test]
async fn line_numbers_start_where_the_range_does() {
    let bench = Bench::new();
    bench.file("three", "a\nb\nc\n");
    let arguments = json!({ "path": "three", "startLine": 2, "lineNumbers": true });
    let answer = bench.answer("files_read", arguments).await;
    assert_eq!(answer.text, "     2\tb\n     3\tc\n[lines 2 to 3 of 3]\n");
}

#[tokio::test]
async fn many_files_come_in_order_and_one_failure_stays_with_its_file() {
    let bench = Bench::new();
    bench.file("a", "A\n").file("b", "1\n2\n3\n");
    let files =
        json!([{ "path": "b", "startLine": 2, "endLine": 2 }, { "path": "c" }, { "path": "a" }]);
    let answer = bench.answer("files_read", json!({ "files": files })).await;
    assert_eq!(answer.data["files"][0]["content"], "2\n");
    assert!(
        answer.data["files"][1]["error"]
            .as_str()
            .unwrap()
            .contains("does not exist")
    );
    assert_eq!(answer.data["files"][2]["content"], "A\n");
    assert!(
        answer.text.contains("==> b <==\n2\n[lines 2 to 2 of 3]\n"),
        "{}",
        answer.text
    );

    let none = json!({ "files": [{ "path": "x" }, { "path": "../y" }] });
    let why = bench.refusal("files_read", none).await;
    assert!(
        why.contains("does not exist") && why.contains("outside"),
        "{why}"
    );
}

#[tokio::test]
async fn binary_files_are_named_and_not_shown() {
    let bench = Bench::new();
    let late = [b"text\n".repeat(4_000), b"\0".to_vec()].concat();
    bench
        .file("image", b"\x89PNG\r\n\x1a\n\0\0")
        .file("data", b"a\0b")
        .file("late", late);
    bench.file("utf16", b"\xff\xfea\0");
    for (path, format) in [
        ("image", "PNG image"),
        ("data", ""),
        ("late", ""),
        ("utf16", "UTF-16 text"),
    ] {
        let file = read(&bench, json!({ "path": path })).await;
        assert_eq!(file["binary"], true, "{path}");
        assert!(file.get("content").is_none(), "{path}");
        assert_eq!(file["format"].as_str().unwrap_or_default(), format);
    }
    let text = bench
        .answer("files_read", json!({ "path": "image" }))
        .await
        .text;
    assert_eq!(text, "[binary file, PNG image, 10 B: not shown]\n");
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_replaced_and_told() {
    let bench = Bench::new();
    bench.file("latin1", b"caf\xe9\n");
    let file = read(&bench, json!({ "path": "latin1" })).await;
    assert_eq!(
        (&file["content"], &file["invalidUtf8"]),
        (&json!("caf\u{fffd}\n"), &json!(true))
    );
}

#[tokio::test]
async fn a_long_text_is_cut_at_a_line_and_can_be_continued() {
    let bench = Bench::new();
    let lines: Vec<_> = (1..=40_000)
        .map(|number| {
            format!(
                "line {number} äöü
"
            )
        })
        .collect();
    let lines = lines.concat();
    bench.file("long", &lines);
    let (mut got, mut next, mut calls) = (String::new(), 1, 0);
    loop {
        let file = read(&bench, json!({ "path": "long", "startLine": next })).await;
        got.push_str(file["content"].as_str().unwrap());
        assert_eq!(file["totalLines"], 40_000);
        assert!(file["content"].as_str().unwrap().len() <= 256 * 1024);
        calls += 1;
        match file["nextLine"].as_u64() {
            Some(line) => next = line,
            None => break,
        }
    }
    assert_eq!(got, lines);
    assert!(calls > 1);
    let text = bench
        .answer("files_read", json!({ "path": "long" }))
        .await
        .text;
    assert!(text.contains("truncated: continue with startLine"));
}

#[tokio::test]
async fn many_files_share_one_answer() {
    let bench = Bench::new();
    bench
        .file("big", "x".repeat(99).add_newlines(4_000))
        .file("small", "small\n");
    let files = json!([{ "path": "big" }, { "path": "small" }]);
    let answer = bench
        .answer("files_read", json!({ "files": files }))
        .await
        .data;
    assert_eq!(answer["files"][0]["truncated"], true);
    assert_eq!(
        answer["files"][1]["content"], "small\n",
        "what is left of the room is used"
    );
    let files = vec![json!({ "path": "big" }); 3];
    let answer = bench
        .answer("files_read", json!({ "files": files }))
        .await
        .data;
    let shown: usize = (0..3)
        .map(|i| answer["files"][i]["content"].as_str().unwrap().len())
        .sum();
    assert!(shown <= 256 * 1024);
    assert_eq!(answer["files"][2]["nextLine"], 1);
}

trait AddNewlines {
    fn add_newlines(&self, lines: usize) -> String;
}

impl AddNewlines for String {
    fn add_newlines(&self, lines: usize) -> String {
        format!("{self}\n").repeat(lines)
    }
}

#[tokio::test]
async fn a_line_longer_than_an_answer_is_cut_between_characters() {
    let bench = Bench::new();
    bench.file("wide", format!("a{}", "ä".repeat(300_000)));
    let file = read(&bench, json!({ "path": "wide" })).await;
    assert_eq!(
        (&file["truncated"], &file["partialLine"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (&file["invalidUtf8"], &file["totalLines"]),
        (&json!(false), &json!(1))
    );
    assert!(file["content"].as_str().unwrap().ends_with('ä'));
}

#[tokio::test]
async fn a_huge_file_is_not_read_to_its_end() {
    let bench = Bench::new();
    bench.file(
        "huge",
        "first\nsecond\n".to_owned() + &"filler\n".repeat(2_000),
    );
    // A hole: it takes no space, and is binary only where nobody looks.
    let huge = File::options()
        .write(true)
        .open(bench.root().join("huge"))
        .unwrap();
    huge.set_len(1 << 40).unwrap();
    let file = read(&bench, json!({ "path": "huge", "endLine": 2 })).await;
    assert_eq!(file["content"], "first\nsecond\n");
    assert_eq!(
        (&file["totalBytes"], &file["truncated"]),
        (&json!(1_u64 << 40), &json!(false))
    );
    assert!(file.get("totalLines").is_none());
    let why = bench
        .refusal("files_read", json!({ "path": "huge", "startLine": 9_999 }))
        .await;
    assert!(why.contains("as far as lines are counted"), "{why}");
}

#[tokio::test]
async fn a_missing_file_is_named_with_those_like_it() {
    let bench = Bench::new();
    bench
        .file("src/main.rs", "")
        .file("src/lib.rs", "")
        .link("broken", "nowhere");
    for (path, said) in [
        ("src/mian.rs", "did you mean \"src/main.rs\""),
        ("srv/main.rs", "did you mean \"src\""),
        ("src/zzz", "files_list shows what is in \"src\""),
        ("broken", "is a broken symlink"),
        ("src/main.rs/x", "is not a directory"),
        ("src", "is a directory: list it with files_list"),
        ("a\0b", "no file can have this name"),
    ] {
        let why = bench.refusal("files_read", json!({ "path": path })).await;
        assert!(why.contains(said), "{path}: {why}");
    }
    let why = bench
        .refusal("files_list", json!({ "path": "src/lib.rs" }))
        .await;
    assert!(why.contains("is not a directory"), "{why}");
    bench
        .refusal("files_read", json!({ "path": "n".repeat(300) }))
        .await;
    bench
        .refusal("files_read", json!({ "path": "n".repeat(5_000) }))
        .await;
}

#[tokio::test]
async fn stat_tells_what_a_path_is() {
    let bench = Bench::new();
    bench
        .file("dir/file", "12345")
        .link("link", "dir/file")
        .link("broken", "nowhere");
    let stat = async |path: &str| {
        bench
            .answer("files_stat", json!({ "path": path }))
            .await
            .data
    };
    let file = stat("dir/file").await;
    assert_eq!((&file["kind"], &file["size"]), (&json!("file"), &json!(5)));
    assert!(file["modified"].as_str().unwrap().ends_with('Z'));
    assert!(file["mode"].as_str().unwrap().starts_with("06"));
    assert_eq!(stat("dir").await["kind"], "directory");
    assert_eq!(stat("").await["path"], ".");
    let link = stat("link").await;
    assert_eq!(
        link["link"],
        json!({ "target": "dir/file", "kind": "file", "size": 5 })
    );
    assert!(
        stat("broken").await["link"]["unreadable"]
            .as_str()
            .unwrap()
            .contains("broken")
    );
}
