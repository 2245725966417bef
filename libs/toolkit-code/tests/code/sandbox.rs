use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode};
use serde_json::json;
use tempfile::TempDir;
use waybill_toolkit::Toolkit;
use waybill_toolkit_code::CodeToolkit;

use crate::project::{Project, answer_of, context, toolkit};

#[tokio::test]
async fn nothing_outside_the_root_is_read() {
    let outside = TempDir::new().unwrap();
    std::fs::write(outside.path().join("secret.rs"), "fn secret() {}").unwrap();
    let project = Project::new(&[("src/a.rs", "fn a() {}")]);
    symlink(outside.path(), project.path().join("out")).unwrap();
    symlink(
        outside.path().join("secret.rs"),
        project.path().join("link.rs"),
    )
    .unwrap();
    let name = outside.path().file_name().unwrap().to_str().unwrap();
    let absolute = outside.path().join("secret.rs");
    for path in [
        "out/secret.rs",
        "out",
        "link.rs",
        &format!("../{name}/secret.rs"),
        &format!("src/../../{name}/secret.rs"),
        absolute.to_str().unwrap(),
        "/",
        "..",
    ] {
        let outline = project.call("code_outline", json!({ "path": path })).await;
        match outline {
            Err(message) => assert!(message.contains("outside"), "{path}: {message}"),
            Ok(answer) => assert!(
                answer.text.contains("leads outside the root"),
                "{path}: {}",
                answer.text
            ),
        }
        for (tool, arguments) in [
            ("code_symbols", json!({ "query": "secret", "path": path })),
            ("code_references", json!({ "name": "secret", "path": path })),
            ("code_structure", json!({ "path": path })),
        ] {
            let text = project
                .call(tool, arguments)
                .await
                .map_or_else(|e| e, |a| a.text);
            assert!(!text.contains("fn secret"), "{tool} {path}: {text}");
        }
    }
}

#[tokio::test]
async fn a_search_follows_no_links() {
    let outside = TempDir::new().unwrap();
    std::fs::write(outside.path().join("secret.rs"), "fn secret() {}").unwrap();
    let project = Project::new(&[("src/a.rs", "fn a() {}")]);
    symlink(outside.path(), project.path().join("out")).unwrap();
    symlink("src", project.path().join("again")).unwrap();
    symlink("src/a.rs", project.path().join("copy.rs")).unwrap();
    symlink(".", project.path().join("src/loop")).unwrap();
    let text = project.text("code_symbols", json!({})).await;
    assert_eq!(text, "src/a.rs:1-1 function a\n    fn a()\n");
}

#[tokio::test]
async fn a_link_inside_the_root_is_read_when_named() {
    let project = Project::new(&[("src/a.rs", "fn a() {}")]);
    symlink("src/a.rs", project.path().join("b.rs")).unwrap();
    assert_eq!(
        project.outline("b.rs").await,
        "b.rs (rust, 1 lines)\n  1: fn a()\n"
    );
}

#[tokio::test]
async fn a_fifo_does_not_hang() {
    let project = Project::new(&[]);
    let path = project.path().join("pipe.rs");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let text = project.outline("pipe.rs").await;
    assert_eq!(text, "Skipped: pipe.rs is not a regular file.\n");
}

#[tokio::test]
async fn ignored_hidden_and_vendored_files_are_left_out() {
    let project = Project::new(&[
        (
            ".gitignore",
            "target/\n*.gen.rs\n/only_top.rs\n!keep.gen.rs\n",
        ),
        (".git/info/exclude", "excluded.rs\n"),
        ("a.rs", "fn here() {}"),
        ("b.gen.rs", "fn generated() {}"),
        ("keep.gen.rs", "fn kept() {}"),
        ("only_top.rs", "fn top() {}"),
        ("excluded.rs", "fn excluded() {}"),
        ("target/t.rs", "fn built() {}"),
        (".hidden/h.rs", "fn hidden() {}"),
        ("node_modules/m/i.js", "function vendored() {}"),
        ("sub/.gitignore", "local.rs\n!b.gen.rs\n"),
        ("sub/local.rs", "fn local() {}"),
        ("sub/only_top.rs", "fn not_top() {}"),
        ("sub/b.gen.rs", "fn wanted_again() {}"),
    ]);
    let names = |json: serde_json::Value| -> Vec<String> {
        let symbols = json["symbols"].as_array().unwrap();
        symbols
            .iter()
            .map(|s| s["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = project.call("code_symbols", json!({})).await.unwrap();
    let mut all = names(all.json);
    all.sort();
    assert_eq!(all, ["here", "kept", "not_top", "wanted_again"]);
    // The rules above the folder hold in it too.
    project.file("sub/c.gen.rs", "fn generated_too() {}");
    let sub = project
        .call("code_symbols", json!({ "path": "sub" }))
        .await
        .unwrap();
    let mut sub = names(sub.json);
    sub.sort();
    assert_eq!(sub, ["not_top", "wanted_again"]);
    // Named itself, it is read.
    assert!(project.outline("target/t.rs").await.contains("fn built()"));
}

/// The gateway's own data and configuration, were they source files.
#[tokio::test]
async fn what_is_hidden_is_seen_by_no_tool() {
    let project = Project::new(&[
        ("data/key.rs", "fn secret() {}"),
        ("settings.rs", "fn secret() {}"),
        ("src/a.rs", "fn a() {}"),
    ]);
    let at = |path: &str| project.path().join(path);
    symlink("data", at("folder")).unwrap();
    symlink("settings.rs", at("soft.rs")).unwrap();
    std::fs::hard_link(at("settings.rs"), at("hard.rs")).unwrap();
    let hidden = [at("data"), at("settings.rs")];
    let without = toolkit(project.path(), &hidden);
    let open = toolkit(project.path(), &[]);
    let paths = [
        "",
        "data",
        "data/key.rs",
        "folder",
        "folder/key.rs",
        "settings.rs",
        "soft.rs",
        "hard.rs",
    ];
    for path in paths {
        for (tool, arguments) in [
            ("code_outline", json!({ "path": path })),
            ("code_symbols", json!({ "query": "secret", "path": path })),
            ("code_references", json!({ "name": "secret", "path": path })),
        ] {
            let told = async |toolkit: &CodeToolkit| {
                let mut tools = toolkit.tools().into_iter();
                let tool = tools.find(|found| found.spec().name == tool).unwrap();
                match answer_of(&*tool, arguments.clone(), &context().0).await {
                    Ok(answer) => answer.text,
                    Err(error) => error.to_string(),
                }
            };
            let text = told(&without).await;
            assert!(!text.contains("fn secret"), "{tool} {path}: {text}");
            let text = told(&open).await;
            let seen = text.contains("fn secret") || path.starts_with("folder");
            assert!(seen, "the test can fail: {tool} {path}: {text}");
        }
    }
}
