use serde_json::{Value, json};

use crate::project::Project;

/// `line:column role` of each.
async fn found(project: &Project, name: &str) -> Vec<String> {
    let json = project
        .call("code_references", json!({ "name": name }))
        .await
        .unwrap()
        .json;
    let shown = |r: &Value| {
        format!(
            "{}:{} {}",
            r["line"],
            r["column"],
            r["role"].as_str().unwrap()
        )
    };
    json["references"]
        .as_array()
        .unwrap()
        .iter()
        .map(shown)
        .collect()
}

#[tokio::test]
async fn comments_and_strings_are_not_code() {
    let cases = [
        (
            "a.rs",
            "// load\nfn load() {}\nfn f() { load(); g!(load, \"load\"); let x = \"load\"; }\n/* load */\nfn preload() {}\n",
            vec!["2:4 definition", "3:10 reference", "3:21 reference"],
        ),
        (
            "a.py",
            "# load\ndef load(): \"\"\"load\"\"\"\nx = f\"{load()} load\" + 'load'\n",
            vec!["2:5 definition", "3:8 reference"],
        ),
        (
            "a.js",
            "// load\nfunction load() {}\nconst s = `load ${load()}`; load; /load/; ({ load });\n",
            vec![
                "2:10 definition",
                "3:19 reference",
                "3:29 reference",
                "3:46 reference",
            ],
        ),
        (
            "a.tsx",
            "type load = 1;\nconst e = <b title=\"load\">load {load}</b>;\n",
            vec!["1:6 definition", "2:33 reference"],
        ),
        (
            "a.go",
            "package a\n// load\nfunc load() { load(); _ = \"load\"; _ = `load` }\n",
            vec!["3:6 definition", "3:15 reference"],
        ),
        (
            "A.java",
            "class A { /** load */ void load() { this.load(); String s = \"load\"; } }\n",
            vec!["1:28 definition", "1:42 reference"],
        ),
    ];
    for (path, content, expected) in cases {
        let project = Project::new(&[(path, content)]);
        assert_eq!(found(&project, "load").await, expected, "{path}");
    }
}

#[tokio::test]
async fn local_names_are_bindings() {
    let project = Project::new(&[(
        "a.rs",
        "fn f(count: u8) -> u8 {\n    let total = count;\n    total\n}\n",
    )]);
    assert_eq!(
        found(&project, "count").await,
        ["1:6 binding", "2:17 reference"]
    );
    assert_eq!(
        found(&project, "total").await,
        ["2:9 binding", "3:5 reference"]
    );
}

#[tokio::test]
async fn sigils_do_not_hide_a_name() {
    let project = Project::new(&[
        ("a.js", "class A { #key = 1; get() { return this.#key; } }"),
        ("b.rs", "fn r#key() {}"),
    ]);
    assert_eq!(
        found(&project, "key").await,
        ["1:11 definition", "1:41 reference", "1:4 definition"]
    );
    assert_eq!(found(&project, "#key").await.len(), 3);
}

#[tokio::test]
async fn columns_count_characters() {
    let project = Project::new(&[("a.py", "é = 'ü'; été = é\n")]);
    assert_eq!(found(&project, "été").await, ["1:10 definition"]);
    assert_eq!(
        found(&project, "é").await,
        ["1:1 definition", "1:16 reference"]
    );
}

#[tokio::test]
async fn the_text_and_what_is_around() {
    let project = Project::new(&[
        (
            "a.rs",
            "struct S;\nimpl S {\n    fn load(&self) {}\n    fn go(&self) {\n        self.load();\n    }\n}\n",
        ),
        ("b.rs", "fn b(s: S) { s.load() }\n"),
    ]);
    let answer = project
        .call("code_references", json!({ "name": "load" }))
        .await
        .unwrap();
    assert_eq!(
        answer.text,
        "a.rs\n  3:8 def  fn load(&self) {}\n  5:14 ref  self.load();\nb.rs\n  1:16 ref  fn b(s: S) { s.load() }\n3 in 2 files (2 files searched).\n"
    );
    let within: Vec<_> = answer.json["references"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["within"].clone())
        .collect();
    assert_eq!(within, [json!("S"), json!("S.go"), json!("b")]);
    let arguments = json!({ "name": "load", "role": "reference", "limit": 1 });
    let answer = project.call("code_references", arguments).await.unwrap();
    assert!(
        answer
            .text
            .ends_with("2 in 2 files, the first 1 shown (2 files searched).\n"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_path_is_not_an_identifier() {
    let project = Project::new(&[]);
    for name in ["a::b", "a.b", "", "a b"] {
        let message = project
            .call("code_references", json!({ "name": name }))
            .await
            .err()
            .unwrap();
        assert!(message.contains("must be one identifier"), "{message}");
    }
}
