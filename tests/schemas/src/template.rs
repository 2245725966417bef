//! `infra/template.yaml`: the parts in `infra/parts/`, with a block of `infra/services.toml` and a
//! `SUBSCRIPTION` for each service.

mod services;

use anyhow::{Context as _, Result};
use minijinja::{Environment, UndefinedBehavior, context, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;
use waybill_backend_aws::{KEPT_DAYS, Names};
use waybill_messaging::Subscription;

use services::Alarm;

/// CloudFormation fills it in: what [`Names`] makes of it are names of any installation.
const PREFIX: &str = "${Installation}";
/// Filled in by CloudFormation, like [`PREFIX`].
const ACCOUNT: &str = "${AWS::AccountId}";
const MAIN: &str = "template.yaml";

macro_rules! parts {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../infra/parts/", $name)))),*]
    };
}
const PARTS: &[(&str, &str)] = parts![
    "template.yaml",
    "parameters.yaml",
    "tables.yaml",
    "bus.yaml",
    "keys.yaml",
    "alarms.yaml",
    "installation.yaml",
    "service.yaml",
    "permissions.yaml",
    "api.yaml",
    "domain.yaml",
    "cost.yaml",
    "dashboard.yaml",
    "outputs.yaml",
];
/// The services of this repository.
pub(crate) const SERVICES: &str = include_str!("../../../infra/services.toml");

/// What the installation's own resources are called.
#[derive(Serialize)]
struct Called {
    records: String,
    inbox: String,
    outbox: String,
    topic: String,
    bus: String,
    bucket: String,
    key_alias: String,
    secrets: String,
}

/// The template of these services. `services`: as in `infra/services.toml`.
pub(crate) fn text(services: &str, subscriptions: &[Subscription]) -> Result<String> {
    let names = Names::new(PREFIX);
    let services = services::read(services, subscriptions, &names)?;
    let door = services.iter().find(|service| service.door);
    let own_alarms: Vec<&Alarm> = services.iter().flat_map(|each| &each.alarms).collect();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // A line with nothing but a block leaves nothing.
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()?;
    environment.set_syntax(syntax);
    for (name, part) in PARTS {
        environment.add_template(name, part)?;
    }
    let rendered = environment.get_template(MAIN)?.render(context! {
        names => Serde(called(&names)),
        kept_days => KEPT_DAYS,
        door => Serde(door.context("no service is the door")?),
        own_alarms => Serde(own_alarms),
        services => Serde(&services),
    });
    Ok(tidy(
        &rendered.context("the template cannot be put together")?,
    ))
}

fn called(names: &Names) -> Called {
    Called {
        records: names.records(),
        inbox: names.inbox(),
        outbox: names.outbox(),
        topic: names.topic(),
        bus: names.bus(),
        bucket: names.bucket(ACCOUNT),
        key_alias: names.key_alias(),
        secrets: names.secrets(),
    }
}

/// Without the empty lines that loops leave: one between resources at most, none within.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut lines = text.lines().map(str::trim_end).peekable();
    while let Some(line) = lines.next() {
        let within = lines
            .peek()
            .is_some_and(|next| next.is_empty() || next.starts_with("    "));
        if line.is_empty() && within {
            continue;
        }
        tidy.push_str(line);
        tidy.push('\n');
    }
    tidy
}

#[cfg(test)]
mod tests;
