//! `docs/cost.md`.

use super::{Costs, EVENTS, Host, MARKS, MILLION, Million};
use crate::{
    assumptions::Shape,
    figures::{Price, Region},
    requests::Manner,
    text::{NOTE, dollars, head, number, row},
};

/// Calls of a month, for the comparison of hosts.
const MONTHS: [f64; 4] = [1e5, 1e6, 1e7, 1e8];

const HOSTS: [(Host, &str); 4] = [
    (Host::FunctionUrl, "Lambda, Function URL"),
    (Host::HttpApi, "Lambda, HTTP API"),
    (Host::Containers, "containers"),
    (Host::Machine, "embedded, one machine"),
];

/// The page, with its tables for each region.
pub(crate) fn page() -> String {
    let costs = Costs::read();
    let tables: String = Region::ALL
        .iter()
        .map(|region| tables(&costs, *region))
        .collect();
    format!(
        "{NOTE}# What an installation on AWS costs\n\n{}{}{tables}{}{}{}{}",
        introduction(&costs),
        in_short(&costs),
        legend(&costs),
        units(&costs),
        formula(&costs),
        prices(&costs),
    )
}

/// The tables of one region.
pub(crate) fn tables(costs: &Costs, region: Region) -> String {
    format!("{}{}", by_shape(costs, region), by_host(costs, region))
}

fn introduction(costs: &Costs) -> String {
    let counted = if costs.requests.measured {
        "counted at the SDK against an emulator"
    } else {
        "**derived from the code, not counted yet**"
    };
    format!(
        "List prices of {} without free tiers, requests {counted} \
         ([`requests-per-call.toml`](requests-per-call.toml)), write units from the records and \
         events themselves, and what is left in \
         [`assumptions.toml`](../tests/capacity/assumptions.toml). Nothing here was billed by AWS: \
         no installation has run there yet. `cargo xtask capacity` prints the tables again.\n\n",
        costs.prices.looked_up
    )
}

fn in_short(costs: &Costs) -> String {
    let region = Region::UsEast1;
    let [steady, long] = ["steady", "long"].map(|name| shape(costs, name));
    let million = costs.million(steady, Host::FunctionUrl, region);
    let writes = million.writes / million.total();
    let lambda = costs.million(long, Host::FunctionUrl, region).lambda;
    let idle = |host| dollars(costs.idle(host, region));
    format!(
        "In short (us-east-1):\n\n\
         - A million quick calls cost {}, of which {:.0} % are DynamoDB's writes: {} write units a \
         call. Smaller records and fewer transactions are the way to a lower bill.\n\
         - An idle installation costs {} a month on Lambda, {} in containers and {} on one machine \
         with SQLite, which takes some thousand calls a second ({} with two full cores, see \
         [performance](performance.md)).\n\
         - A tool that waits for a minute costs {} a million on Lambda, which bills the wait. Run \
         long tools in containers.\n\
         - The audit trail is never deleted: each million calls adds {} a month, for ever.\n\n",
        dollars(million.total()),
        writes * 100.0,
        number(costs.write_units(steady)),
        idle(Host::FunctionUrl),
        idle(Host::Containers),
        idle(Host::Machine),
        number(costs.given.cpu.embedded_per_second),
        dollars(lambda),
        dollars(costs.trail(region)),
    )
}

fn shape<'a>(costs: &'a Costs, name: &str) -> &'a Shape {
    let mut shapes = costs.given.shapes.iter();
    let found = shapes.find(|shape| shape.name == name);
    found.expect("the page's shapes are in assumptions.toml")
}

fn by_shape(costs: &Costs, region: Region) -> String {
    let mut table = head(&[
        "calls",
        "DynamoDB writes",
        "reads",
        "kept",
        "SNS",
        "SQS",
        "EventBridge",
        "logs",
        "Lambda",
        "**Lambda, URL**",
        "with HTTP API",
        "containers",
    ]);
    for shape in &costs.given.shapes {
        let [url, api, containers] = [Host::FunctionUrl, Host::HttpApi, Host::Containers]
            .map(|host| costs.million(shape, host, region));
        let Million {
            writes,
            reads,
            storage,
            sns,
            sqs,
            bus,
            lambda,
            logs,
            api: _,
        } = url;
        let parts = [writes, reads, storage, sns, sqs, bus, logs, lambda].map(dollars);
        let totals = [
            format!("**{}**", dollars(url.total())),
            dollars(api.total()),
            dollars(containers.total()),
        ];
        table += &row([shape.name.clone()].into_iter().chain(parts).chain(totals));
    }
    format!(
        "## {region}\n\nDollars of a million calls, by how they come; what an idle installation \
         costs comes on top.\n\n{table}\n"
    )
}

/// Of quick calls.
fn by_host(costs: &Costs, region: Region) -> String {
    let names = HOSTS.map(|(_, name)| name);
    let mut table = head(&[&["calls a month", "a second"][..], &names[..]].concat());
    let idle = HOSTS.map(|(host, _)| dollars(costs.idle(host, region)));
    table += &row(["none", "0"].map(str::to_owned).into_iter().chain(idle));
    for calls in MONTHS {
        let shape = shape(costs, if calls < MILLION { "sparse" } else { "steady" });
        let total = HOSTS.map(|(host, _)| {
            let million = costs.million(shape, host, region).total();
            dollars(costs.idle(host, region) + calls / MILLION * million)
        });
        let rate = number(calls / super::SECONDS);
        table += &row([number(calls), rate].into_iter().chain(total));
    }
    format!("Dollars of a month, by host, quick calls:\n\n{table}\n")
}

/// What the rows and columns of the tables are.
fn legend(costs: &Costs) -> String {
    let given = &costs.given;
    let mut legend = String::from("## Who calls, and what runs\n\n");
    for shape in &given.shapes {
        legend.extend(["- *", &shape.name, "*: ", &shape.what, ".\n"]);
    }
    let sweeps = given.containers.sweep_read_units * super::SECONDS / MILLION;
    let machine = given.machine.cores / given.cpu.call_ms * 1e3;
    legend
        + &format!(
            "- *Containers*: {} tasks of {} vCPU and {} GB, each running all services, and a load \
             balancer. An idle task makes {} empty receives of 20 s a month on each queue that \
             it polls, {}; its sweeps read {} million units, {}.\n\
             - *One machine*: a t4g.small with {} GB of disk, in one zone. The share of its cores \
             that it may use for long is enough for about {} calls a second.\n\n",
            number(given.containers.tasks),
            number(given.containers.vcpu),
            number(given.containers.memory_gb),
            number(super::SECONDS / super::LONG_POLL),
            dollars(costs.idle_queue(Region::UsEast1)),
            number(sweeps),
            dollars(sweeps * costs.prices.of(Price::DynamodbRead, Region::UsEast1)),
            number(given.machine.disk_gb),
            number((machine / 100.0).floor() * 100.0),
        )
}

fn units(costs: &Costs) -> String {
    let items = &costs.items;
    let [requested, completed] = items.outbox();
    let trail = costs.trail_units(EVENTS / f64::from(super::audit_batch()));
    let once = "one put";
    let lines = [
        (
            "record, submitted",
            items.accepted,
            items.submit_record().into(),
            once,
        ),
        (
            "record, ended",
            items.completed,
            items.end_record().into(),
            once,
        ),
        (
            "index of open calls",
            items.accepted,
            items.index().into(),
            "put and delete, outside the transaction",
        ),
        (
            "outbox, requested",
            items.events[0],
            requested.into(),
            "put, and deleted alone",
        ),
        (
            "outbox, completed",
            items.events[1],
            completed.into(),
            "the same",
        ),
        (
            "inbox marks",
            items.mark,
            MARKS * f64::from(items.mark()),
            "executor, two in the audit sink, two in the relay",
        ),
        (
            "audit trail",
            items.entry,
            trail,
            "two entries of a full batch, its head",
        ),
    ];
    let mut table = head(&["item", "bytes", "write units of a call", ""]);
    for (name, bytes, units, what) in lines {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        table += &row([name, &number(bytes.into()), &number(units), what]);
    }
    format!(
        "## What a call writes\n\nWith {} bytes of arguments and {} of result. A unit is 1 KB; \
         within a transaction it counts twice.\n\n{table}\nTwo events that are audited one by one \
         cost {} units in place of {}. A tool that takes over 50 ms commits its claim: {} units \
         more.\n\n",
        costs.given.call.arguments_bytes,
        costs.given.call.result_bytes,
        number(costs.trail_units(EVENTS)),
        number(trail),
        items.claim(),
    )
}

fn formula(costs: &Costs) -> String {
    let given = &costs.given;
    let counts = |manner| {
        let count = costs.requests.of(manner);
        let named = ["TransactWriteItems", "GetItem", "PublishBatch"];
        let named = named.map(|name| format!("{} {name}", number(count.operation(name))));
        let sqs = number(count.service("SQS"));
        format!("{}, {sqs} to SQS", named.join(", "))
    };
    format!(
        "## How it is computed\n\n\
         ```text\n\
         a call  = write units x price + read units x price + GB x months kept x (storage + recovery)\n\
         \u{20}       + SNS requests x price + SQS requests x price + GB of logs x price\n\
         \u{20}       + Lambda: invocations x price + seconds x GB x price (+ HTTP API)\n\
         idle    = {} metrics + {} alarms + key + empty receives + Scheduler, or tasks, balancer, sweeps\n\
         a month = idle + calls x a call\n\
         ```\n\n\
         - Requests of a call, one at a time: {}. Many at a time: {}.\n\
         - Reads are of less than 4 KB and consistent: one unit. A running call is looked at each \
         0.5 s; a poll reads the call and the key.\n\
         - A batch of events is below 64 KB: one billed request. SNS delivers to SQS for nothing.\n\
         - Lambda bills the time in which a function waits for others, by the latencies in \
         `assumptions.toml`; the first request of a call waits for its outcome.\n\
         - An index is written once, after the table and outside its transaction.\n\
         - KMS: one request when a process starts, and DynamoDB's own, which it keeps for minutes. S3: only arguments and results above 64 KB.\n\
         - The event relay puts both events of a call on the bus. {}\n\
         - Not in it: free tiers, taxes, data to the internet (about $0.09 a GB), the dashboard, \
         CloudFront and WAF, a domain, NAT gateways, X-Ray, retries, and what the tools cost.\n\n",
        number(given.watch.metrics),
        number(costs.template.alarms),
        counts(Manner::Sequential),
        counts(Manner::Concurrent),
        if costs.requests.of(Manner::Sequential).operation("PutEvents") > 0.0 {
            "Its requests are among those counted."
        } else {
            "Its requests to its own queue are not among those counted yet."
        },
    )
}

fn prices(costs: &Costs) -> String {
    let mut table = head(&["for", "us-east-1", "found", "eu-central-1", "found"]);
    for price in costs.prices.rows.values() {
        let figures = Region::ALL.map(|region| price.of(region));
        let cells = figures.iter().flat_map(|figure| {
            let seen = figure.seen.as_deref().unwrap_or("not verified");
            [format!("${}", figure.value), seen.to_owned()]
        });
        let name = format!("[{}]({})", price.unit, price.page);
        table += &row([name].into_iter().chain(cells));
    }
    format!(
        "## Prices\n\nThe provider's pages could not be asked when this table was made on {}: *found* \
         is the date of the newest copy of a page or price list in which the figure stood. What is \
         not verified is the best that was known; check it before you rely on it.\n\n{table}",
        costs.prices.looked_up
    )
}
