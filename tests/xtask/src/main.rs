//! `cargo xtask`: the developer's commands. See `CONTRIBUTING.md`.
#![expect(clippy::print_stdout, reason = "a command that people and CI read")]

mod advisories;
mod clients;
mod command;
mod emulator;
mod gate;
mod gateway;
mod infra;
mod package;
mod place;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};
use command::cargo;

const HELP: &str = "\
cargo xtask COMMAND

  test [STEP...]        the gate: every check that a change must pass, or only the steps named
  generate [--check]    write schemas/, docs/ and infra/template.yaml from the code, or compare them
  clients [NAME...]     third-party MCP clients against the binary
  conformance           the official MCP conformance suite against the binary
  deployment            the template in an emulator, a call through it, and its alarms fired
  emulator COMMAND...   a command beside AWS emulators, which AWS_EMULATOR_URL and KMS_EMULATOR_URL name
  package               each service as Lambda takes it, in target/lambda
  bench [OPTION...]     calls a second and their latency, beside the same tool called directly
  soak [CYCLES]         the binary killed by SIGKILL under load and started again, 1000 times
  capacity [OPTION...]  what an installation on AWS costs and what breaks first, by region and load
  simulate [OPTION...]  all services over a faulty backend: more seeds, or one seed again

What a command needs and the machine lacks is installed into .tools/.
";

fn generate(options: &[&str]) -> Result<()> {
    cargo(["run", "--quiet", "--package", "waybill-schemas", "--"])
        .args(options)
        .run()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["test", steps @ ..] => gate::run_steps(steps),
        // The pages of costs are compiled with the template: they follow what the first pass wrote.
        ["generate"] => generate(&[]).and_then(|()| generate(&[])),
        ["generate", rest @ ..] => generate(rest),
        ["clients", names @ ..] => clients::run_clients(names),
        ["bench", options @ ..] => bench(options),
        ["simulate", options @ ..] => cargo([
            "run",
            "--release",
            "--quiet",
            "--package",
            "waybill-simulation",
            "--",
        ])
        .args(options)
        .run(),
        ["capacity", options @ ..] => {
            cargo(["run", "--quiet", "--package", "waybill-capacity", "--"])
                .args(options)
                .run()
        }
        ["soak"] => soak("1000"),
        ["soak", cycles] => soak(cycles),
        ["deployment"] => infra::deploy(),
        ["emulator", command @ ..] => emulator::with_emulators(command),
        ["package"] => package::package(),
        ["conformance"] => clients::run_clients(&["conformance"]),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        [unknown, ..] => bail!("no command {unknown:?}\n\n{HELP}"),
    }
}

fn soak(cycles: &str) -> Result<()> {
    cargo([
        "test",
        "--package",
        "waybill",
        "--test",
        "end_to_end",
        "--",
        "--ignored",
        "--nocapture",
        "soak",
    ])
    .env("SOAK_CYCLES", cycles)
    .run()
}

fn bench(options: &[&str]) -> Result<()> {
    cargo([
        "build",
        "--release",
        "--package",
        "waybill",
        "--package",
        "waybill-benchmark",
    ])
    .run()?;
    cargo([
        "run",
        "--release",
        "--quiet",
        "--package",
        "waybill-benchmark",
        "--",
        "--waybill",
    ])
    .args([place::waybill("release")?])
    .args(options)
    .run()
}
