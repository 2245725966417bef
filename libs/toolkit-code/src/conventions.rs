//! What file names and first lines say by convention: the language, and whether a program starts.

use std::path::Path;

use crate::language::Language;

/// Extensions by language, for counting.
const LANGUAGES: [(&str, &[&str]); 33] = [
    ("Rust", &["rs"]),
    ("Python", &["py", "pyi", "pyw"]),
    ("JavaScript", &["js", "mjs", "cjs", "jsx"]),
    ("TypeScript", &["ts", "mts", "cts", "tsx"]),
    ("Go", &["go"]),
    ("Java", &["java"]),
    ("C", &["c", "h"]),
    ("C++", &["cc", "cpp", "cxx", "hh", "hpp", "hxx"]),
    ("C#", &["cs"]),
    ("Ruby", &["rb"]),
    ("PHP", &["php"]),
    ("Kotlin", &["kt", "kts"]),
    ("Swift", &["swift"]),
    ("Scala", &["scala"]),
    ("Dart", &["dart"]),
    ("Elixir", &["ex", "exs"]),
    ("Lua", &["lua"]),
    ("Zig", &["zig"]),
    ("Shell", &["sh", "bash", "zsh"]),
    ("SQL", &["sql"]),
    ("HTML", &["html", "htm"]),
    ("CSS", &["css", "scss", "sass", "less"]),
    ("Vue", &["vue"]),
    ("Svelte", &["svelte"]),
    ("Protobuf", &["proto"]),
    ("GraphQL", &["graphql", "gql"]),
    ("Terraform", &["tf"]),
    ("Scheme", &["scm"]),
    ("Markdown", &["md", "mdx"]),
    ("JSON", &["json", "jsonc"]),
    ("YAML", &["yaml", "yml"]),
    ("TOML", &["toml"]),
    ("XML", &["xml"]),
];

/// The language that a file is counted under.
pub(crate) fn language_name(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    LANGUAGES
        .iter()
        .find(|(_, known)| known.contains(&&*extension))
        .map(|(name, _)| *name)
}

/// Whether the other code tools read a language of that name.
pub(crate) fn is_outlined(name: &str) -> bool {
    let extensions = LANGUAGES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, all)| all[0]);
    extensions.is_some_and(|one| Language::of(Path::new(&format!("x.{one}"))).is_some())
}

/// Why a program starts or a library begins in this file, by its language's conventions.
pub(crate) fn entry_point(path: &Path, bytes: &[u8]) -> Option<&'static str> {
    let language = Language::of(path)?;
    let name = path.file_name()?.to_str()?;
    let folder = path
        .parent()
        .and_then(|parent| parent.file_name())
        .and_then(|f| f.to_str());
    let has_line = |start: &str| {
        bytes
            .split(|byte| *byte == b'\n')
            .any(|line| line.starts_with(start.as_bytes()))
    };
    let has = |text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    match (language, name) {
        (Language::Rust, "main.rs") if folder == Some("src") => Some("binary"),
        (Language::Rust, "lib.rs") if folder == Some("src") => Some("library"),
        (Language::Rust, _) if folder == Some("bin") => Some("binary"),
        (Language::Rust, "build.rs") => Some("build script"),
        (Language::Python, "__main__.py") => Some("python -m"),
        (Language::Python, _) if has_line("if __name__ ==") => Some("script with a main block"),
        (Language::Go, _) if has_line("package main") && has_line("func main(") => {
            Some("func main")
        }
        (Language::Java, _) if has("public static void main(") => Some("static main"),
        (Language::JavaScript | Language::TypeScript | Language::Tsx, _)
            if bytes.starts_with(b"#!") =>
        {
            Some("script")
        }
        (Language::JavaScript | Language::TypeScript | Language::Tsx, _)
            if matches!(name.split('.').next(), Some("index" | "main"))
                && path.components().count() <= 2 =>
        {
            Some("index")
        }
        _ => None,
    }
}
