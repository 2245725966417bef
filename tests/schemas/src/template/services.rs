//! `infra/services.toml`, and what follows from it and from the subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use waybill_backend_aws::{Names, provision};
use waybill_messaging::Subscription;

/// A queue hides a message for at least so many timeouts of its function, which may be refused
/// several times before it runs (the manual of Lambda, "Using Lambda with Amazon SQS").
const HIDDEN_TIMEOUTS: u32 = 6;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    service: Vec<Block>,
}

/// As it is written; the file itself tells what each field means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    name: String,
    #[serde(default)]
    subscribes: bool,
    #[serde(default)]
    door: bool,
    timeout: u32,
    memory: u32,
    #[serde(default = "one")]
    batch: u32,
    #[serde(default)]
    window: u32,
    concurrency: Option<u32>,
    #[serde(default = "minutes")]
    max_age: u32,
    #[serde(default = "thousand")]
    max_depth: u32,
    permissions: BTreeSet<Permission>,
    #[serde(default)]
    partitions: BTreeSet<String>,
    #[serde(default)]
    ticks: BTreeMap<String, String>,
    #[serde(default)]
    alarms: Vec<AlarmBlock>,
}

/// A group of statements in `infra/parts/permissions.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Permission {
    Records,
    Marks,
    Publish,
    OutboxSweep,
    Keyring,
    Secrets,
    KeepSecrets,
    Blobs,
    Consume,
    Operate,
    Relay,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AlarmBlock {
    name: String,
    about: String,
    metric: String,
    label: Option<[String; 2]>,
    statistic: String,
    threshold: Number,
}

/// A service as the parts see it. `id`s are names of CloudFormation.
#[derive(Serialize)]
pub(crate) struct Service {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) door: bool,
    timeout: u32,
    memory: u32,
    batch: u32,
    window: u32,
    concurrency: Option<u32>,
    max_age: u32,
    max_depth: u32,
    /// Seconds.
    visibility: u32,
    permissions: BTreeSet<Permission>,
    partitions: BTreeSet<String>,
    ticks: Vec<Tick>,
    pub(crate) alarms: Vec<Alarm>,
    subscription: Option<Subscribed>,
}

#[derive(Serialize)]
struct Tick {
    id: String,
    name: String,
    /// As EventBridge Scheduler takes it: `15 minutes`.
    rate: String,
}

/// A block as the parts see it.
#[derive(Serialize)]
pub(crate) struct Alarm {
    id: String,
    #[serde(flatten)]
    block: AlarmBlock,
}

/// What a subscription needs, as `provision` would make it.
#[derive(Serialize)]
struct Subscribed {
    queue: String,
    dead_letters: String,
    receives: u32,
    /// Seconds.
    retention: u32,
    filter: Option<Value>,
}

/// The services of a `services.toml`. Every subscription must belong to one, and the other way round.
pub(crate) fn read(
    text: &str,
    subscriptions: &[Subscription],
    names: &Names,
) -> Result<Vec<Service>> {
    let file: File = toml::from_str(text).context("infra/services.toml")?;
    for subscription in subscriptions {
        let has = |block: &Block| block.subscribes && block.name == subscription.name;
        ensure!(
            file.service.iter().any(has),
            "infra/services.toml has no block for the subscription {}",
            subscription.name
        );
    }
    let services = file.service.into_iter();
    services
        .map(|block| service(block, subscriptions, names))
        .collect()
}

fn service(block: Block, subscriptions: &[Subscription], names: &Names) -> Result<Service> {
    let mut found = subscriptions.iter().filter(|each| each.name == block.name);
    let subscription = if block.subscribes {
        let found = found.next();
        let found = found.with_context(|| format!("no subscription is called {}", block.name))?;
        Some(subscribed(found, names))
    } else {
        None
    };
    let records = block.permissions.contains(&Permission::Records);
    ensure!(
        records != block.partitions.is_empty(),
        "{}: the permission records and partitions belong together",
        block.name
    );
    let ticks = block.ticks.into_iter();
    Ok(Service {
        id: identifier(&block.name),
        visibility: block.timeout * HIDDEN_TIMEOUTS + block.window,
        ticks: ticks
            .map(|(name, rate)| Tick {
                id: identifier(&name),
                name,
                rate,
            })
            .collect(),
        alarms: block.alarms.into_iter().map(alarm).collect(),
        name: block.name,
        door: block.door,
        timeout: block.timeout,
        memory: block.memory,
        batch: block.batch,
        window: block.window,
        concurrency: block.concurrency,
        max_age: block.max_age,
        max_depth: block.max_depth,
        permissions: block.permissions,
        partitions: block.partitions,
        subscription,
    })
}

fn subscribed(subscription: &Subscription, names: &Names) -> Subscribed {
    Subscribed {
        queue: names.queue(subscription.name),
        dead_letters: names.dead_letter_queue(subscription.name),
        receives: provision::most_receives(subscription),
        retention: provision::RETENTION,
        filter: provision::filter(subscription),
    }
}

fn alarm(block: AlarmBlock) -> Alarm {
    Alarm {
        id: identifier(&block.name),
        block,
    }
}

/// `tool-executor` is `ToolExecutor` in CloudFormation.
pub(crate) fn identifier(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}

const fn one() -> u32 {
    1
}

const fn minutes() -> u32 {
    300
}

const fn thousand() -> u32 {
    1_000
}
