//! `cargo xtask test`: every check that a change must pass, and one summary at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{
    advisories, clients,
    command::cargo,
    emulator::Emulators,
    infra,
    tools::{self, nextest},
};

/// What a step has to say in the summary.
type Note = Option<String>;

struct Step {
    name: &'static str,
    check: fn() -> Result<Note>,
}

/// In order: what fails soonest comes first.
const STEPS: &[Step] = &[
    Step {
        name: "format",
        check: format,
    },
    Step {
        name: "dependencies",
        check: dependencies,
    },
    Step {
        name: "lint",
        check: lint,
    },
    Step {
        name: "tests",
        check: tests,
    },
    Step {
        name: "doc-tests",
        check: doc_tests,
    },
    Step {
        name: "embedded",
        check: embedded,
    },
    Step {
        name: "infra",
        check: lint_infra,
    },
    Step {
        name: "deployment",
        check: deployment,
    },
    Step {
        name: "upstream-servers",
        check: upstream_servers,
    },
    Step {
        name: "clients",
        check: third_party_clients,
    },
];

/// Runs all steps, or those named. A failed step does not keep the others from running.
pub(crate) fn run_steps(names: &[&str]) -> Result<()> {
    if let Some(unknown) = names
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        let known: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("no step {unknown:?}; the steps are {}", known.join(", "));
    }
    let mut summary = Vec::new();
    let mut failed = Vec::new();
    for step in STEPS
        .iter()
        .filter(|step| names.is_empty() || names.contains(&step.name))
    {
        println!("\n==> {}", step.name);
        let start = Instant::now();
        let result = (step.check)();
        let took = start.elapsed();
        if let Err(error) = &result {
            println!("{} failed: {error:#}", step.name);
            failed.push(step.name);
        }
        summary.push(line(step.name, took, &result));
    }
    println!("\n{}", summary.join("\n"));
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    println!("\nall {} steps passed", summary.len());
    Ok(())
}

fn line(name: &str, took: Duration, result: &Result<Note>) -> String {
    let (word, note) = match result {
        Ok(note) => ("ok    ", note.as_deref().unwrap_or_default()),
        Err(_) => ("FAILED", ""),
    };
    format!("{word}  {name:<17} {:>6.1} s  {note}", took.as_secs_f64())
        .trim_end()
        .to_owned()
}

fn format() -> Result<Note> {
    cargo(["fmt", "--all", "--check"]).run()?;
    Ok(None)
}

fn dependencies() -> Result<Note> {
    advisories::check()?;
    Ok(None)
}

fn lint() -> Result<Note> {
    cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])
    .run()?;
    Ok(None)
}

/// Also compares the generated files with the code (`waybill-schemas`).
fn tests() -> Result<Note> {
    let emulators = Emulators::start()?;
    emulators.reached_by(nextest()?).run_and_find("Summary [")
}

fn doc_tests() -> Result<Note> {
    cargo(["test", "--doc", "--workspace", "--locked"]).run()?;
    Ok(None)
}

/// The tests that need the official MCP servers from npm.
fn upstream_servers() -> Result<Note> {
    let clients = tools::install_clients()?;
    let servers = tools::install_servers(&clients)?;
    let nextest = nextest()?
        .args([
            "--run-ignored",
            "only",
            "-E",
            "package(waybill-toolkit-upstream) & test(npm::)",
        ])
        .env("WAYBILL_NPM_SERVERS", servers);
    tools::with_node(nextest, &clients)?.run_and_find("Summary [")
}

/// `waybill` for one machine, without the SDK of a cloud.
fn embedded() -> Result<Note> {
    cargo([
        "check",
        "--package",
        "waybill",
        "--no-default-features",
        "--locked",
    ])
    .run()?;
    Ok(None)
}

fn lint_infra() -> Result<Note> {
    infra::lint()?;
    Ok(None)
}

fn deployment() -> Result<Note> {
    infra::deploy()?;
    Ok(None)
}

fn third_party_clients() -> Result<Note> {
    clients::run_clients(&[])?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_those_of_the_page() {
        let page = include_str!("../../../CONTRIBUTING.md");
        let (_, page) = page.split_once("Steps can be run alone: ").unwrap();
        let (told, _) = page.split_once(".\n").unwrap();
        let told: Vec<_> = told.split('`').skip(1).step_by(2).collect();
        let steps: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(told, steps);
    }
}
