#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, reason = "a command that people read")]

mod asyncapi;
mod event;
mod files;
mod json;
mod pages;
mod template;
mod topology;

use std::process::ExitCode;

use anyhow::{Result, bail};
use files::Files;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let files = published()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let changed = files.write()?;
            println!("{changed} files changed");
            Ok(ExitCode::SUCCESS)
        }
        ["--check"] => {
            let stale = files.stale()?;
            for path in &stale {
                println!("{path} differs from the code: run `cargo xtask generate`");
            }
            Ok(if stale.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        _ => bail!("the only argument is --check"),
    }
}

/// Every generated file.
fn published() -> Result<Files> {
    let mut files = Files::default();
    for &kind in waybill_events::EventType::ALL {
        let name = kind.as_str();
        files.add(
            format!("schemas/events/{name}.json"),
            json::text(event::schema(kind)),
        );
        files.add(
            format!("schemas/events/{name}.example.json"),
            json::text(event::example(kind)),
        );
    }
    let policy = waybill_policy::schema().to_value();
    files.add("schemas/policy.json", json::text(policy));
    files.add("schemas/asyncapi.json", json::text(asyncapi::document()));
    files.add("schemas/README.md", pages::index());
    files.add("docs/events.md", pages::events());
    files.add("docs/topology.md", pages::topology());
    files.add("docs/cost.md", waybill_capacity::cost_page());
    files.add("docs/scaling.md", waybill_capacity::scaling_page());
    let template = template::text(template::SERVICES, topology::SUBSCRIPTIONS)?;
    files.add("infra/template.yaml", template);
    Ok(files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn committed_files_say_what_the_code_says() {
        let stale = super::published().unwrap().stale().unwrap();
        assert!(stale.is_empty(), "run `cargo xtask generate`: {stale:?}");
    }
}
