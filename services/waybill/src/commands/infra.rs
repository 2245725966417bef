//! `waybill infra`: for emulators and development accounts. Production has the template.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use waybill_backend_aws::provision::{Found, Removed, State};

use super::{
    exit::{Exit, Failure},
    print::Out,
};
use crate::{
    backend::aws,
    config::{Config, UpArgs},
    serve::runtime,
};

#[derive(Args)]
pub(super) struct InfraArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Tell what apply would make and change; exit code 0: nothing, 8: something
    Plan(Installation),
    /// Make tables, topic, queues, bus, master key and bucket; change what differs
    Apply(Installation),
    /// Remove all that apply makes, and everything in it
    Destroy {
        #[command(flatten)]
        installation: Installation,
        /// The installation's prefix, as a confirmation
        #[arg(long, value_name = "PREFIX")]
        yes: Option<String>,
    },
}

/// Which one, and where.
#[derive(Args)]
struct Installation {
    /// What the names of its resources begin with [default: waybill]
    #[arg(long, env = "WAYBILL_PREFIX", value_name = "PREFIX")]
    prefix: Option<String>,
    /// An emulator's URL in place of AWS
    #[arg(long, env = "WAYBILL_ENDPOINT_URL", value_name = "URL")]
    endpoint_url: Option<String>,
    /// Configuration file [default: waybill.toml, where it exists]
    #[arg(long, env = "WAYBILL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Installation {
    fn load(self) -> Result<Config> {
        Config::load(UpArgs {
            prefix: self.prefix,
            endpoint_url: self.endpoint_url,
            config: self.config,
            ..UpArgs::default()
        })
    }
}

pub(super) fn run(args: InfraArgs) -> Result<Exit> {
    runtime()?.block_on(async {
        match args.action {
            Action::Plan(installation) => plan(&installation.load()?).await,
            Action::Apply(installation) => apply(&installation.load()?).await,
            Action::Destroy { installation, yes } => {
                destroy(&installation.load()?, yes.as_deref()).await
            }
        }
    })
}

async fn plan(config: &Config) -> Result<Exit> {
    let found = aws::plan(&config.aws).await?;
    let changes = changes(&found);
    tell(&found, ["is there", "to be made", "to be changed"])?;
    let prefix = &config.aws.prefix;
    if changes == 0 {
        Out::new(false).text(&format!("the installation {prefix} is complete"))?;
        return Ok(Exit::Done);
    }
    Out::new(false).text(&format!(
        "waybill infra apply would change {changes} of them"
    ))?;
    Ok(Exit::Differs)
}

async fn apply(config: &Config) -> Result<Exit> {
    let found = aws::apply(&config.aws).await?;
    tell(&found, ["was there", "made", "changed"])?;
    let prefix = &config.aws.prefix;
    let changes = changes(&found);
    Out::new(false).text(&format!(
        "the installation {prefix} is complete; {changes} of its resources were made or changed"
    ))?;
    Ok(Exit::Done)
}

async fn destroy(config: &Config, yes: Option<&str>) -> Result<Exit> {
    let prefix = &config.aws.prefix;
    if yes != Some(prefix) {
        let message = format!(
            "this removes the installation {prefix} with all its records, queues and payloads; \
             if that is meant: --yes {prefix}"
        );
        return Err(Failure::usage(message).into());
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
    Ok(Exit::Done)
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
