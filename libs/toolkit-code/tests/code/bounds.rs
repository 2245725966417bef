use std::path::Path;

use serde_json::{Value, json};
use waybill_toolkit::{Effect, Signal, ToolError, Toolkit};

use crate::project::{Project, call_in, context, toolkit};

#[tokio::test]
async fn huge_minified_and_binary_files_are_skipped_and_named() {
    let project = Project::new(&[("ok.js", "function fine() {}")]);
    project.file("huge.js", "function f() {}\n".repeat(70_000));
    project.file("min.js", format!("var a={};", "1+".repeat(15_000)));
    project.file("bin.js", b"function b() {}\0");
    let answer = project.call("code_symbols", json!({})).await.unwrap();
    assert_eq!(
        answer.text,
        "ok.js:1-1 function fine\n    function fine()\nSkipped: bin.js is binary.\nSkipped: huge.js is larger than 1048576 bytes.\nSkipped: min.js is minified or generated: it has a line of more than 20000 bytes.\n"
    );
    assert_eq!(answer.json["coverage"]["skippedCount"], 3);
}

#[tokio::test]
async fn bytes_that_are_not_utf8_do_no_harm() {
    let project = Project::new(&[]);
    project.file("a.py", b"x = '\xff'\ndef f(): return '\xfe' # \xc3\n");
    let text = project.outline("a.py").await;
    assert!(text.contains("2: def f()"), "{text}");
}

/// Deep nesting must not exhaust the stack of whoever walks the answer.
#[tokio::test]
async fn deep_nesting_is_cut() {
    let deep = 5_000;
    let project = Project::new(&[]);
    project.file(
        "deep.js",
        format!("{}{}", "function f(){\n".repeat(deep), "}".repeat(deep)),
    );
    let answer = project
        .call("code_outline", json!({ "path": "deep.js" }))
        .await
        .unwrap();
    let mut levels = 0;
    let mut inside: &Value = &answer.json["files"][0]["definitions"];
    while let Some(first) = inside.get(0) {
        levels += 1;
        inside = &first["children"];
    }
    assert_eq!(levels, 12);
    let symbols = json!({ "query": "f", "limit": 500 });
    let found = project.call("code_symbols", symbols).await.unwrap();
    assert_eq!(found.json["total"], deep);
    assert!(found.text.len() < 2_000_000, "{}", found.text.len());
}

#[tokio::test]
async fn an_answer_is_limited() {
    let project = Project::new(&[]);
    for file in 0..3 {
        let functions: Vec<_> = (0..1_500).map(|n| format!("fn f{n}() {{}}")).collect();
        project.file(&format!("{file}.rs"), functions.join("\n"));
    }
    let answer = project
        .call("code_outline", json!({ "path": "" }))
        .await
        .unwrap();
    assert_eq!(answer.json["files"].as_array().unwrap().len(), 2);
    assert!(
        answer.text.contains("Incomplete: an answer holds"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_cancelled_call_stops() {
    let project = Project::new(&[("a.rs", "fn a() {}")]);
    for (tool, arguments) in [
        ("code_outline", json!({ "path": "a.rs" })),
        ("code_symbols", json!({ "query": "a" })),
        ("code_structure", json!({})),
        ("code_references", json!({ "name": "a" })),
    ] {
        let (cx, _signals, cancelled) = context();
        cancelled.cancel();
        let result = call_in(project.path(), tool, arguments, &cx).await;
        assert!(matches!(result, Err(ToolError::Cancelled)), "{tool}");
    }
}

#[tokio::test]
async fn a_big_tree_reports_progress() {
    let project = Project::new(&[]);
    for file in 0..120 {
        project.file(&format!("{file}.rs"), "fn f() {}");
    }
    let (cx, mut signals, _cancelled) = context();
    call_in(project.path(), "code_symbols", json!({ "query": "f" }), &cx)
        .await
        .unwrap();
    let Ok(Signal::Progress {
        progress,
        total,
        message,
    }) = signals.try_recv()
    else {
        panic!("progress is expected")
    };
    assert!(
        progress >= 50.0 && total == Some(120.0),
        "{progress} {total:?}"
    );
    assert_eq!(message, Some(format!("{progress} of 120 files")));
}

#[test]
fn the_specifications() {
    let toolkit = toolkit(Path::new("."), &[]);
    assert_eq!(toolkit.name(), "code");
    let names = [
        "code_outline",
        "code_symbols",
        "code_structure",
        "code_references",
    ];
    for (tool, name) in toolkit.tools().iter().zip(names) {
        let spec = tool.spec();
        assert_eq!((spec.name.as_str(), spec.effect), (name, Effect::ReadOnly));
        assert_eq!(spec.input_schema["additionalProperties"], json!(false));
        assert_eq!(spec.output_schema.as_ref().unwrap()["type"], "object");
    }
}

/// The tools on this repository itself.
#[tokio::test]
async fn this_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .parent()
        .unwrap();
    let (cx, _signals, _cancelled) = context();
    let arguments = json!({ "query": "CodeToolkit.new", "match": "exact" });
    let symbols = call_in(root, "code_symbols", arguments, &cx).await.unwrap();
    assert_eq!(symbols.json["total"], 1, "{}", symbols.text);
    assert_eq!(
        symbols.json["symbols"][0]["path"],
        "libs/toolkit-code/src/lib.rs"
    );
    let structure = call_in(root, "code_structure", json!({}), &cx)
        .await
        .unwrap();
    assert_eq!(structure.json["manifests"][0]["path"], "Cargo.toml");
    let arguments = json!({ "path": "libs/toolkit-code/src" });
    let outline = call_in(root, "code_outline", arguments, &cx).await.unwrap();
    assert!(
        outline
            .text
            .contains("pub fn new(roots: Arc<Roots>) -> Self")
    );
    assert!(!outline.text.contains("Broken syntax"), "{}", outline.text);
}
