use serde_json::json;

use crate::project::Project;

const MIXED: &str = "\
. of root project
Languages:
  TOML: 2 files, 9 lines
  Rust: 3 files, 4 lines
  Go: 1 files, 3 lines
  Java: 1 files, 3 lines
  JSON: 2 files, 2 lines
  Python: 1 files, 2 lines
  TypeScript: 1 files, 1 lines
  other: 2 files
Folders:
  broken: 1 files, 1 lines, JSON
  go: 2 files, 3 lines, Go
  java: 1 files, 3 lines, Java
  py: 2 files, 6 lines, TOML
  src: 3 files, 4 lines, Rust
  web: 2 files, 2 lines, TypeScript
Build manifests:
  Cargo.toml (cargo) box
  broken/package.json (npm)
  go/go.mod (go) example.com/x
  py/pyproject.toml (python) snake
  web/package.json (npm) ui
Entry points:
  Cargo.toml: binary crate: src/cli.rs
  go/main.go: func main
  java/App.java: static main
  py/pyproject.toml: script snake: snake:main
  py/run.py: script with a main block
  src/bin/tool.rs: binary
  src/lib.rs: library
  src/main.rs: binary
  web/index.ts: index
  web/package.json: main: dist/i.js
  web/package.json: binary ui: cli.js
";

#[tokio::test]
async fn a_mixed_project() {
    let project = Project::new(&[
        (
            "Cargo.toml",
            "[package]\nname = \"box\"\n[[bin]]\nname = \"crate\"\npath = \"src/cli.rs\"\n",
        ),
        ("src/main.rs", "fn main() {\n}\n"),
        ("src/lib.rs", "pub mod x;\n"),
        ("src/bin/tool.rs", "fn main() {}"),
        (
            "web/package.json",
            "{\"name\": \"ui\", \"main\": \"dist/i.js\", \"bin\": {\"ui\": \"cli.js\"}}",
        ),
        ("web/index.ts", "export {};\n"),
        (
            "py/pyproject.toml",
            "[project]\nname = \"snake\"\n[project.scripts]\nsnake = \"snake:main\"\n",
        ),
        ("py/run.py", "if __name__ == '__main__':\n    pass\n"),
        ("go/go.mod", "module example.com/x\n"),
        ("go/main.go", "package main\n\nfunc main() {}\n"),
        (
            "java/App.java",
            "class App {\n  public static void main(String[] a) {}\n}\n",
        ),
        ("broken/package.json", "{"),
        ("logo.png", "\0\0"),
    ]);
    let answer = project.call("code_structure", json!({})).await.unwrap();
    assert_eq!(answer.text, MIXED, "\n{}", answer.text);
    let rust = &answer.json["languages"][1];
    assert_eq!(
        *rust,
        json!({ "language": "Rust", "files": 3, "lines": 4, "outlined": true })
    );
    assert_eq!(answer.json["languages"][0]["outlined"], false);
}

#[tokio::test]
async fn a_folder_of_it() {
    let project = Project::new(&[("a/b/c.rs", "x\n"), ("a/d.rs", "y\n"), ("e.rs", "z\n")]);
    let answer = project
        .call("code_structure", json!({ "path": "a" }))
        .await
        .unwrap();
    assert_eq!(
        answer.text,
        "a of root project\nLanguages:\n  Rust: 2 files, 2 lines\nFolders:\n  a/b: 1 files, 1 lines, Rust\n"
    );
    let message = project
        .call("code_structure", json!({ "path": "e.rs" }))
        .await
        .err()
        .unwrap();
    assert_eq!(message, "e.rs is not a folder");
}
