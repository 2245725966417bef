//! `docs/scaling.md`.

use super::{
    Load,
    limits::{Limit, Resource, limits},
    remedies::Kind,
    study::Study,
    world::Run,
};
use crate::{
    cost::{EVENTS, audit_batch},
    figures::{Quota, Region},
    text::{NOTE, head, number, percent, row, time},
};

/// A resource of which so much is used is short.
const SHORT: f64 = 0.9;
/// Where the page is about one region.
const REGION: Region = Region::UsEast1;

pub(crate) fn page() -> String {
    let load = Load::default();
    let study = Study::new(REGION, &load);
    format!(
        "{NOTE}# What breaks first when an installation grows\n\n{}{}{}{}{}{}{}",
        introduction(&study, &load),
        in_short(&study),
        by_arithmetic(&study),
        simulated(&study),
        in_order(&study),
        elsewhere(&study),
        method(&study),
    )
}

/// The tables for one region.
pub(crate) fn tables(region: Region, load: &Load) -> String {
    let study = Study::new(region, load);
    format!(
        "{}{}{}",
        by_arithmetic(&study),
        simulated(&study),
        in_order(&study)
    )
}

fn introduction(study: &Study, load: &Load) -> String {
    let tenants = &study.given.assumptions.tenants;
    format!(
        "An installation on Lambda, with the template's defaults, in an account with the quotas that \
         it has at first ({}), under {} calls a second and multiples of it: quick tools, records of \
         about 1 KB, {} tenants of which \
         the largest has {} of the calls. The quotas are AWS's, the units a call draws are from the \
         code, the latencies are assumptions: nothing of this has run on AWS. \
         [Cost](cost.md) has the dollars.\n\n",
        study.region,
        number(load.base),
        tenants.count,
        percent(tenants.largest_share),
    )
}

fn in_short(study: &Study) -> String {
    let limits = limits(&study.setup, &study.given);
    let mut text = String::from("In short:\n\n");
    for (times, run) in study.now.iter().filter(|(times, _)| *times > 1.0) {
        let short = short(run, &limits);
        let what = if let Some((last, others)) = short.split_last() {
            let others = others.iter().map(|(it, _)| format!("{it}, "));
            format!(
                "short are {}and {}; {} of the calls are turned away, and the audit trail falls \
                 behind by {} events a second",
                others.collect::<String>(),
                last.0,
                percent(run.refused),
                number(run.falls_behind.round()),
            )
        } else {
            let fullest = run.used.first();
            fullest.map_or_else(String::new, |(fullest, used)| {
                format!(
                    "nothing is short; the fullest is {fullest} with {}",
                    percent(*used)
                )
            })
        };
        let (times, offered) = (number(*times), number(run.offered));
        text.extend([
            "- **x",
            &times,
            "**, ",
            &offered,
            " calls a second: ",
            &what,
            ".\n",
        ]);
    }
    let codes = study.remedies.iter().filter(|it| it.kind == Kind::Code);
    let codes = codes.count();
    text + &format!(
        "- Of what is in the way of {} calls a second, {codes} limits are in our code; the other {} \
         are settings and quotas.\n\n\
         The audit sink is beside the calls: when it is short, calls go on and the trail falls \
         behind, for as long as its queue keeps messages (14 days). Other limits turn calls away, or \
         slow them down, and slow calls hold the places of others.\n\n",
        number(Load::BASE * Load::TIMES[3]),
        study.remedies.len() - codes,
    )
}

fn by_arithmetic(study: &Study) -> String {
    let mut table = head(&[
        "",
        "there is, a second",
        "a call asks for",
        "enough for calls a second",
    ]);
    for limit in limits(&study.setup, &study.given) {
        table += &row([
            limit.resource.to_string(),
            format!("{} {}", number(limit.capacity), limit.unit),
            digits(limit.demand),
            number(limit.ceiling()),
        ]);
    }
    format!(
        "## By arithmetic\n\nCalls a second = what there is / what a call asks for ({}).\n\n{table}\n",
        study.region
    )
}

fn simulated(study: &Study) -> String {
    let table = |runs: &[(f64, Run)], setup| {
        let limits = limits(setup, &study.given);
        let rows = runs.iter().map(|(times, run)| {
            let name = format!("x{}", number(*times));
            cells(&name, run, &limits)
        });
        head(&RUN) + &rows.collect::<String>()
    };
    let limits = limits(&study.setup, &study.given);
    format!(
        "## Simulated\n\nAs the code is and quotas are at first:\n\n{}{}\n\
         With everything below done:\n\n{}\n\
         *Used* names what is used by {} or more, in the order in which it is short as calls become \
         more; or else the fullest. *Behind*: events a second by which the audit trail grows older. \
         Times are those of the calls that were answered; where calls wait for a quota they grow \
         with the length of the run.\n\n",
        table(&study.now, &study.setup),
        cells("the last, by Function URL", &study.open, &limits),
        table(&study.then, study.last()),
        percent(SHORT)
    )
}

const RUN: [&str; 8] = [
    "load",
    "calls/s",
    "answered/s",
    "turned away",
    "median",
    "95 %",
    "behind",
    "used",
];

/// What is short in a run, the first to be so first: `limits` are in order.
fn short(run: &Run, limits: &[Limit]) -> Vec<(Resource, f64)> {
    let order = |resource| limits.iter().position(|limit| limit.resource == resource);
    let mut short = run.used.clone();
    short.retain(|(_, used)| *used >= SHORT);
    short.sort_by_key(|(resource, _)| order(*resource));
    short
}

fn cells(name: &str, run: &Run, limits: &[Limit]) -> String {
    let short = short(run, limits);
    let fullest = run.used.iter().take(usize::from(short.is_empty()));
    let used = short.iter().chain(fullest);
    let used = used.map(|(resource, used)| format!("{resource} {}", percent(used.min(1.0))));
    let used: Vec<String> = used.collect();
    let took = |time_of: Option<f64>| time_of.map_or_else(|| "-".to_owned(), time);
    row([
        name.to_owned(),
        number(run.offered),
        number(run.answered),
        percent(run.refused),
        took(run.median),
        took(run.p95),
        number(run.falls_behind.round()),
        used.join("; "),
    ])
}

fn in_order(study: &Study) -> String {
    let mut table = head(&["", "enough until", "short", "what to do", ""]);
    for (at, remedy) in study.remedies.iter().enumerate() {
        let kind = match remedy.kind {
            Kind::Code => "code",
            Kind::Setting => "setting",
            Kind::Quota => "quota",
        };
        table += &row([
            (at + 1).to_string(),
            format!("{}/s", number(remedy.ceiling)),
            remedy.resource.to_string(),
            remedy.what.clone(),
            kind.to_owned(),
        ]);
    }
    format!(
        "## What to do, in order\n\nEach for the largest load, with a third to spare. *Code* is a \
         change of Waybill, *setting* a parameter of the template, *quota* a request to AWS. More chains make smaller batches, which cost more write units: \
         take as many as are needed.\n\n{table}\n"
    )
}

fn elsewhere(study: &Study) -> String {
    let (given, quota) = (&study.given, |quota| study.quotas.of(quota, study.region));
    let items = &given.items;
    let record = f64::from(items.submit_record() + items.end_record());
    let head = f64::from(items.head());
    let batch = f64::from(audit_batch());
    let appends = given.partition_writes / items.segment(batch);
    let bus = study.quotas.of(Quota::BusRequests, Region::EuCentral1);
    format!(
        "## Hot keys\n\n\
         - **`audit/head`** is one item for the whole installation, and `audit/segments` one \
         partition: an append takes {} write units of the head and {} of the segments when its batch \
         of {} is full. The partition is enough for {} appends a second ({} events), and its sort \
         keys grow, so that DynamoDB cannot split it for heat. Two workers on one chain do not help: \
         one of them runs again. More chains do. A long-poll worker receives by itself, ten at a \
         time: {} events a second.\n\
         - **`calls/TENANT`** takes {} write units a call, so {} calls a second of one tenant, polls \
         apart. Ids begin with the time: the newest calls are always in one partition.\n\
         - **`calls-open/0` to `7`**: the index, by the last character of the id. 32 characters do \
         not divide evenly: the busiest shard has {} of the calls. A short index holds back the \
         table's writes as well.\n\
         - **`keys/all`** is read by each process for each key once a second. On Lambda, where a \
         process has one request at a time, that can be once a call.\n\
         - **Outbox**: 16 shards by a hash of the event's id; even.\n\
         - **Inbox**: each event is a partition of its own.\n\n\
         ## Other limits\n\n\
         | | limit | when it is met |\n|---|---|---|\n\
         | new table | {} write units a second, twice its former peak each 30 minutes | on the first \
         day from {} calls a second: warm the tables before a launch |\n\
         | SQS in flight | {} messages in a queue | by slow tools: of a minute each, {} calls a second |\n\
         | SQS event source | 5 at first, 300 more a minute, {} at most | a burst that needs 1,000 \
         places waits 3 minutes; `ProvisionedPollerConfig` or containers |\n\
         | Lambda scale-up | 1,000 instances each 10 s and function | not before the account's {} |\n\
         | EventBridge | {} PutEvents a second; {} in eu-central-1, not verified | with an outward bus \
         of {} events a call, one by one: {} calls a second; ten to a request: ten times more |\n\
         | SNS | {} messages a second; fewer in other regions | see above |\n\
         | KMS | thousands of requests a second | never by calls: once when a process starts |\n\
         | S3 | 3,500 writes a second and prefix | only payloads above 64 KB; a prefix is a tenant |\n\n\
         All functions share the account's concurrency, and requests that wait for their outcome \
         hold places that the executor needs to produce it. The simulation keeps \
         `MaximumConcurrency` places free for it; on AWS `ReservedConcurrency` of the door does. A \
         tenant whose partition is short slows its calls down, and so takes more places than its \
         share: the rate limit of a tenant is what protects the others.\n\n",
        number(head),
        number(items.segment(batch)),
        audit_batch(),
        number(appends),
        number(appends * batch),
        number(batch / given.polled_append()),
        number(record),
        number(given.partition_writes / record),
        percent(given.busiest_index_shard(study.setup.index_shards)),
        number(quota(Quota::NewTableWrites)),
        number(quota(Quota::NewTableWrites) / records_demand(study)),
        number(quota(Quota::InFlight)),
        number(quota(Quota::InFlight) / 60.0),
        number(quota(Quota::Pollers)),
        number(quota(Quota::Concurrency)),
        number(quota(Quota::BusRequests)),
        number(bus),
        number(EVENTS),
        number(quota(Quota::BusRequests) / EVENTS),
        number(quota(Quota::Publish)),
    )
}

/// Write units that a call asks of the records table.
fn records_demand(study: &Study) -> f64 {
    let limits = limits(&study.setup, &study.given);
    let mut limits = limits.iter();
    let records = limits.find(|limit| limit.resource == Resource::RecordsTable);
    records.map_or(f64::INFINITY, |limit| limit.demand)
}

fn method(study: &Study) -> String {
    let mut table = head(&[
        "quota",
        "us-east-1",
        "eu-central-1",
        "can be raised",
        "found",
    ]);
    for quota in study.quotas.rows.values() {
        let figures = Region::ALL.map(|region| quota.of(region));
        let seen = figures.each_ref().map(|figure| {
            let seen = figure.seen.as_deref();
            seen.unwrap_or("not verified")
        });
        let found = if seen[0] == seen[1] {
            seen[0].to_owned()
        } else {
            seen.join(", ")
        };
        table += &row([
            format!("[{}]({})", quota.unit, quota.page),
            number(figures[0].value),
            number(figures[1].value),
            if quota.adjustable { "yes" } else { "no" }.to_owned(),
            found,
        ]);
    }
    format!(
        "## How it is simulated\n\n\
         `tests/capacity` has a discrete-event engine: jobs that hold places of pools, draw on quotas \
         and join batches, all by one seed. Its tests hold it against theory (M/M/1, M/M/k by \
         Erlang's C, M/D/1) and against the saturated row of [performance](performance.md) that has \
         256 connections, whose rate and median it finds within 15 % from the CPU that was measured.\n\n\
         - A call: API, a Lambda place, key, one transaction over its partitions, topic, queue, a \
         place for the executor, tool, one transaction, and the look that finds the outcome. Its two \
         events go to the audit sink and the relay.\n\
         - A quota is a bucket with a tenth of a second's burst. AWS refuses where the simulation \
         waits; whoever would wait for over a second at the door is turned away, as after the SDK's \
         three tries. What has begun is seen through.\n\
         - The audit sink: batches of up to {}, each read and append after the one before. Its \
         second function does not make it faster, and is left out.\n\
         - Latencies are log-normal by the medians and 90 % values of \
         [`assumptions.toml`](../tests/capacity/assumptions.toml).\n\
         - Not in it: cold starts, the ramp of tables and pollers (above), retries, polls, failures.\n\n\
         Quotas; *found*: when a copy of the page said so.\n\n{table}",
        audit_batch(),
    )
}

/// Three digits.
fn digits(value: f64) -> String {
    if value >= 1.0 {
        number(value)
    } else {
        format!("{value:.4}")
    }
}
