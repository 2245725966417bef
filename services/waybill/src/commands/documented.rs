//! What README and `docs/` tell to type is what this command understands.

use std::{fs, path::Path};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

use super::Cli;
use crate::config::known_variables;

/// Name and text of every page.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    let page = |path: &Path| {
        (
            path.display().to_string(),
            fs::read_to_string(path).unwrap(),
        )
    };
    pages.iter().map(|path| page(path)).collect()
}

/// The lines of its blocks, and its spans of code, which may go over the end of a line.
fn code(page: &str) -> Vec<String> {
    let (mut code, mut prose) = (Vec::new(), String::new());
    for (nth, part) in page.split("```").enumerate() {
        if nth % 2 == 1 {
            let block = part.replace("\\\n", " ");
            code.extend(block.lines().skip(1).map(str::to_owned));
        } else {
            prose.push_str(part);
        }
    }
    let spans = prose.split('`').skip(1).step_by(2);
    code.extend(spans.map(|span| span.replace('\n', " ")));
    code
}

/// The words of a command line of ours, as a shell hands them on.
fn command(line: &str) -> Option<Vec<String>> {
    let shells = [" | ", " # ", " < ", " > "];
    let line = shells
        .iter()
        .fold(line, |line, mark| line.split(mark).next().unwrap_or(line));
    let is_assignment = |word: &&str| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
    };
    let words: Vec<_> = line.split_whitespace().skip_while(is_assignment).collect();
    let ours = words.len() > 1 && words[0] == "waybill";
    ours.then(|| {
        words
            .iter()
            .map(|word| word.replace(['\'', '"'], ""))
            .map(named)
            .collect()
    })
}

/// `NAME` stands for a name, which may have to be in lower case.
fn named(word: String) -> String {
    if word.bytes().all(|b| b.is_ascii_uppercase()) {
        word.to_ascii_lowercase()
    } else {
        word
    }
}

#[test]
fn every_command_line_of_the_pages_is_understood() {
    let mut found = 0;
    for (page, text) in pages() {
        for words in code(&text).iter().filter_map(|line| command(line)) {
            found += 1;
            if words[1] == "infra" && cfg!(not(feature = "aws")) {
                continue;
            }
            let Err(error) = Cli::try_parse_from(&words) else {
                continue;
            };
            // A name such as `waybill dlq redrive`, with nothing behind it.
            let mentioned = words.len() <= 3
                && matches!(
                    error.kind(),
                    ErrorKind::DisplayHelp
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                        | ErrorKind::MissingRequiredArgument
                        | ErrorKind::MissingSubcommand
                );
            assert!(mentioned, "{page}: {}\n{error}", words.join(" "));
        }
    }
    assert!(found > 40, "only {found} command lines were found");
}

#[test]
fn every_variable_of_the_pages_is_read() {
    let known = known_variables(&Cli::command());
    for (page, text) in pages() {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        for name in words.filter(|word| word.len() > 8 && word.starts_with("WAYBILL_")) {
            assert!(known.iter().any(|known| known == name), "{page}: {name}");
        }
    }
}

#[test]
fn a_command_line_is_found_wherever_it_stands() {
    let page = "Say `waybill\ncalls` or `A=b waybill up --x`.\n```console\nwaybill call t \\\n  --json '{}' | jq\n```\n`waybill`";
    let found: Vec<_> = code(page).iter().filter_map(|line| command(line)).collect();
    let lines: Vec<_> = found.iter().map(|words| words.join(" ")).collect();
    assert_eq!(
        lines,
        [
            "waybill call t --json {}",
            "waybill calls",
            "waybill up --x"
        ]
    );
}
