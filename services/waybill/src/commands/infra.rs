//! `waybill infra`: for emulators and development accounts. Production has the template.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use waybill_backend_aws::provision::{Found, Removed, State};

use super::print::Out;
use crate::{
    backend::aws,
    config::{Config, UpArgs},
};

/// Of `plan`, when `apply` would do something.
const CHANGES: u8 = 2;

#[derive(Args)]
pub(super) struct InfraArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Tell what apply would make and change; exit code 0: nothing, 2: something
    Plan(UpArgs),
    /// Make tables, topic, queues, bus, master key and bucket; change what differs
    Apply(UpArgs),
    /// Remove all that apply makes, and everything in it
    Destroy {
        #[command(flatten)]
        args: Box<UpArgs>,
        /// The installation's prefix, as a confirmation
        #[arg(long, value_name = "PREFIX")]
        yes: Option<String>,
    },
}

pub(super) fn run(args: InfraArgs) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match args.action {
            Action::Plan(args) => plan(&Config::load(args)?).await,
            Action::Apply(args) => apply(&Config::load(args)?).await,
            Action::Destroy { args, yes } => destroy(&Config::load(*args)?, yes.as_deref()).await,
        }
    })
}

async fn plan(config: &Config) -> Result<ExitCode> {
    let found = aws::plan(&config.aws).await?;
    let changes = changes(&found);
    tell(&found, ["is there", "to be made", "to be changed"])?;
    let prefix = &config.aws.prefix;
    if changes == 0 {
        Out::new(false).text(&format!("the installation {prefix} is complete"))?;
        return Ok(ExitCode::SUCCESS);
    }
    Out::new(false).text(&format!(
        "waybill infra apply would change {changes} of them"
    ))?;
    Ok(ExitCode::from(CHANGES))
}

async fn apply(config: &Config) -> Result<ExitCode> {
    let found = aws::apply(&config.aws).await?;
    tell(&found, ["was there", "made", "changed"])?;
    let prefix = &config.aws.prefix;
    let changes = changes(&found);
    Out::new(false).text(&format!(
        "the installation {prefix} is complete; {changes} of its resources were made or changed"
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn destroy(config: &Config, yes: Option<&str>) -> Result<ExitCode> {
    let prefix = &config.aws.prefix;
    if yes != Some(prefix) {
        bail!(
            "this removes the installation {prefix} with all its records, queues and payloads; \
             if that is meant: --yes {prefix}"
        );
    }
    let removed = aws::destroy(&config.aws).await?;
    let rows = removed.into_iter().map(|(resource, removed)| {
        let told = match removed {
            Removed::Gone => "removed".to_owned(),
            Removed::WasNotThere => "was not there".to_owned(),
            Removed::Stays(why) => format!("stays: {why}"),
        };
        vec![resource, told]
    });
    let out = Out::new(false);
    out.table(&["RESOURCE", ""], rows.collect())?;
    out.text(
        "not looked at: queues of subscriptions that this version does not know, and what others \
         have made beside it, such as alarms and logs",
    )?;
    Ok(ExitCode::SUCCESS)
}

fn changes(found: &[Found]) -> usize {
    let differs = |found: &&Found| found.state != State::AsDescribed;
    found.iter().filter(differs).count()
}

/// A row for each resource, and one for each setting that differs. `words`: for what is there, is
/// missing, and differs.
fn tell(found: &[Found], words: [&str; 3]) -> Result<()> {
    let [there, missing, differs] = words;
    let mut rows = Vec::new();
    for Found { resource, state } in found {
        let row = |word: &str| vec![resource.clone(), word.to_owned(), String::new()];
        match state {
            State::AsDescribed => rows.push(row(there)),
            State::Missing => rows.push(row(missing)),
            State::Differs(differences) => rows.extend(differences.iter().map(|difference| {
                let (from, to) = (&difference.there, &difference.described);
                let change = format!("{}: {from} -> {to}", difference.setting);
                vec![resource.clone(), differs.to_owned(), change]
            })),
        }
    }
    Out::new(false).table(&["RESOURCE", "", ""], rows)
}
