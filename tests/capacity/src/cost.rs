//! Dollars: what a million calls cost by traffic shape, and what an installation costs each month.

pub(crate) mod page;

use waybill_audit_sink::AuditSink;
use waybill_messaging::BatchHandler;

use crate::{
    assumptions::{Assumptions, Shape},
    figures::{Price, Region, Table},
    items::Items,
    requests::Requests,
    template::Template,
};

pub(crate) const MILLION: f64 = 1e6;
const HOURS: f64 = 730.0;
const SECONDS: f64 = HOURS * 3600.0;
/// The longest that SQS holds a receive open, in seconds.
const LONG_POLL: f64 = 20.0;
/// A tool that runs longer commits its claim (`QUIET` of the executor), in seconds.
const QUIET: f64 = 0.05;
/// Between two looks of `Ledger::changed` at the record of a call that runs, in seconds.
const LOOK: f64 = 0.5;
/// Between the commit of an outcome and the look that finds it, in seconds, on the average.
pub(crate) const LOOK_LAG: f64 = 0.06;
/// Events of a call: requested, completed.
pub(crate) const EVENTS: f64 = 2.0;
/// Inbox marks of a call: the executor's, and one of each event in the audit sink and the relay.
pub(crate) const MARKS: f64 = 1.0 + 2.0 * EVENTS;
/// Submitting and ending: what is above it in transactions is the audit sink's.
const CALL_TRANSACTIONS: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Lambda, clients at a Function URL.
    FunctionUrl,
    /// Lambda, clients at an API Gateway HTTP API.
    HttpApi,
    /// Long-poll workers on Fargate behind a load balancer.
    Containers,
    /// `waybill up` on one machine: SQLite, no service of AWS.
    Machine,
}

/// Dollars of a million calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Million {
    pub(crate) writes: f64,
    pub(crate) reads: f64,
    /// While the calls are kept, without the audit trail.
    pub(crate) storage: f64,
    pub(crate) sns: f64,
    pub(crate) sqs: f64,
    /// EventBridge.
    pub(crate) bus: f64,
    pub(crate) lambda: f64,
    pub(crate) api: f64,
    pub(crate) logs: f64,
}

/// Everything that the figures are made of.
pub(crate) struct Costs {
    pub(crate) prices: Table<Price>,
    pub(crate) requests: Requests,
    pub(crate) given: Assumptions,
    pub(crate) template: Template,
    pub(crate) items: Items,
}

impl Million {
    pub(crate) fn total(&self) -> f64 {
        self.writes
            + self.reads
            + self.storage
            + self.sns
            + self.sqs
            + self.bus
            + self.lambda
            + self.api
            + self.logs
    }
}

impl Costs {
    pub(crate) fn read() -> Self {
        let given = Assumptions::read();
        Self {
            prices: Table::prices(),
            requests: Requests::read(),
            template: Template::read(),
            items: Items::of(&given.call),
            given,
        }
    }

    pub(crate) fn million(&self, shape: &Shape, host: Host, region: Region) -> Million {
        let price = |price| self.prices.of(price, region);
        if host == Host::Machine {
            return Million::default();
        }
        let on_lambda = matches!(host, Host::FunctionUrl | Host::HttpApi);
        let counts = self.requests.of(shape.requests);
        let requests = 1.0 + shape.polls;
        let renewals = (shape.tool_s / LONG_POLL).floor();
        let log_gb = self.given.watch.log_bytes * MILLION / 1e9;
        Million {
            writes: self.write_units(shape) * price(Price::DynamodbWrite),
            reads: self.read_units(shape) * price(Price::DynamodbRead),
            storage: self.storage(region),
            sns: counts.service("SNS") * price(Price::SnsPublish),
            bus: EVENTS * price(Price::BusEvent),
            sqs: (counts.service("SQS") + renewals) * price(Price::SqsRequest),
            lambda: if on_lambda {
                self.lambda(shape, region)
            } else {
                0.0
            },
            api: if host == Host::HttpApi {
                requests * price(Price::HttpApiRequest)
            } else {
                0.0
            },
            logs: log_gb * price(Price::Log),
        }
    }

    /// Transactions of the audit sink for one call. The relay makes as many, where it was counted.
    pub(crate) fn audit_commits(&self, shape: &Shape) -> f64 {
        let counted = self.requests.of(shape.requests);
        let full = EVENTS / f64::from(audit_batch());
        let relayed = counted.operation("PutEvents") > 0.0;
        let others = counted.operation("TransactWriteItems") - CALL_TRANSACTIONS;
        (others / (1.0 + f64::from(u8::from(relayed)))).max(full)
    }

    pub(crate) fn write_units(&self, shape: &Shape) -> f64 {
        let items = &self.items;
        let trail = self.trail_units(self.audit_commits(shape));
        let claim = if shape.tool_s > QUIET {
            items.claim()
        } else {
            0
        };
        let marks = MARKS * f64::from(items.mark());
        let record = items.submit_record() + items.end_record() + items.index() + claim;
        f64::from(record + items.outbox().iter().sum::<u32>()) + marks + trail
    }

    /// Of both events of a call, where it makes so many commits of the audit sink.
    fn trail_units(&self, commits: f64) -> f64 {
        commits * (self.items.segment(EVENTS / commits) + f64::from(self.items.head()))
    }

    fn read_units(&self, shape: &Shape) -> f64 {
        let counts = self.requests.of(shape.requests);
        let watching = (shape.tool_s - QUIET).max(0.0) / LOOK;
        // The call and the key.
        let polls = 2.0 * shape.polls;
        counts.operation("GetItem") + counts.operation("Query") + watching + polls
    }

    fn storage(&self, region: Region) -> f64 {
        let [record, marks, _] = self.items.stored_gb();
        let call = &self.given.call;
        let gb_months = record * call.kept_hours + marks * call.marks_kept_hours;
        gb_months / HOURS * MILLION * self.kept(region)
    }

    /// Of the audit trail of a million calls, each month for ever.
    pub(crate) fn trail(&self, region: Region) -> f64 {
        let [_, _, trail] = self.items.stored_gb();
        trail * MILLION * self.kept(region)
    }

    /// A GB for a month, and its recovery.
    fn kept(&self, region: Region) -> f64 {
        let price = |price| self.prices.of(price, region);
        price(Price::DynamodbStorage) + price(Price::DynamodbRecovery)
    }

    fn lambda(&self, shape: &Shape, region: Region) -> f64 {
        let given = &self.given;
        let executor = 1.0 / shape.messages_per_invocation;
        let audit = self.audit_commits(shape);
        // The relay's batches are like the audit sink's.
        let invocations = 1.0 + shape.polls + executor + 2.0 * audit;
        let (times, started) = (
            self.times(shape),
            given.lambda.init_ms / 1e3 * shape.cold_share,
        );
        let ingress = times.ingress + shape.polls * times.poll + (1.0 + shape.polls) * started;
        let template = &self.template;
        let gb_seconds = template.ingress.memory_gb() * ingress
            + template.executor.memory_gb() * executor * (times.executor + started)
            + template.audit_sink.memory_gb() * audit * (times.audit + started)
            + template.event_relay.memory_gb() * audit * (times.relay + started)
            // A core's second takes as many GB-seconds as a core comes with GB.
            + given.cpu.call_ms / 1e3 * given.lambda.gb_per_vcpu;
        let price = |price| self.prices.of(price, region);
        invocations * price(Price::LambdaRequest) + gb_seconds * price(Price::LambdaGbSecond)
    }

    /// How long invocations wait for others, which is most of what is billed.
    fn times(&self, shape: &Shape) -> Times {
        let latency = &self.given.latency;
        let announce = latency.publish.mean() + latency.batch_write.mean();
        let commit = latency.transact.mean();
        let work = latency.get.mean() + shape.tool_s + commit;
        let outcome = latency.hop.mean() + work + LOOK_LAG;
        Times {
            ingress: latency.get.mean() + commit + announce + outcome.min(shape.wait_s),
            poll: 2.0 * latency.get.mean(),
            executor: work + announce,
            audit: latency.get.mean() + latency.transact_large.mean(),
            relay: latency.publish.mean() + latency.transact_large.mean(),
        }
    }

    /// Dollars of a month in which nobody calls.
    pub(crate) fn idle(&self, host: Host, region: Region) -> f64 {
        let price = |price| self.prices.of(price, region);
        let (given, queues) = (&self.given, self.template.queues);
        let polls = SECONDS / LONG_POLL * queues / MILLION * price(Price::SqsRequest);
        match host {
            Host::FunctionUrl | Host::HttpApi => {
                let ticks = given.watch.ticks_per_minute * SECONDS / 60.0 / MILLION;
                let tick = price(Price::Schedule) + price(Price::LambdaRequest);
                self.watched(region) + given.lambda.idle_pollers * polls + ticks * tick
            }
            Host::Containers => {
                let sweeps = given.containers.sweep_read_units * SECONDS / MILLION;
                let idle = polls + sweeps * price(Price::DynamodbRead);
                self.watched(region) + self.tasks(region) + given.containers.tasks * idle
            }
            Host::Machine => {
                let hourly = price(Price::Machine) + price(Price::Address);
                hourly * HOURS + given.machine.disk_gb * price(Price::Disk)
            }
        }
    }

    /// Metrics, alarms and the key.
    fn watched(&self, region: Region) -> f64 {
        let (price, watch) = (|price| self.prices.of(price, region), &self.given.watch);
        watch.metrics * price(Price::Metric)
            + self.template.alarms * price(Price::Alarm)
            + watch.kms_keys * price(Price::KmsKey)
    }

    fn tasks(&self, region: Region) -> f64 {
        let (price, tasks) = (
            |price| self.prices.of(price, region),
            &self.given.containers,
        );
        let task =
            tasks.vcpu * price(Price::ContainerVcpu) + tasks.memory_gb * price(Price::ContainerGb);
        let doors = price(Price::LoadBalancer) + tasks.addresses * price(Price::Address);
        HOURS * (tasks.tasks * task + doors)
    }

    /// Dollars of one worker's empty receives for a month, from one queue.
    pub(crate) fn idle_queue(&self, region: Region) -> f64 {
        SECONDS / LONG_POLL / MILLION * self.prices.of(Price::SqsRequest, region)
    }
}

/// Of one invocation, in seconds.
struct Times {
    ingress: f64,
    poll: f64,
    executor: f64,
    audit: f64,
    relay: f64,
}

/// Events of a full batch of the audit sink.
pub(crate) fn audit_batch() -> u32 {
    u32::try_from(AuditSink::SUBSCRIPTION.batching.max).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: Region = Region::UsEast1;

    fn close(what: f64, by_hand: f64) {
        assert!(
            (what - by_hand).abs() < by_hand * 1e-6,
            "{what} is not {by_hand}"
        );
    }

    #[test]
    fn a_bill_is_what_one_makes_by_hand() {
        let costs = Costs::read();
        let shape = Shape {
            requests: crate::requests::Manner::Concurrent,
            ..costs.given.shapes[0].clone()
        };
        let counts = costs.requests.of(shape.requests);
        let million = costs.million(&shape, Host::HttpApi, REGION);
        close(million.sns, counts.operation("PublishBatch") * 0.5);
        close(million.api, 1.0);
        close(million.logs, 1.0);
        close(million.writes, costs.write_units(&shape) * 0.625);
        let Items {
            accepted,
            completed,
            ..
        } = costs.items;
        let kilobytes = |bytes: usize| f64::from(u32::try_from(bytes.div_ceil(1024)).unwrap());
        // Two puts, an index entry that comes and goes, two events that do, and five marks.
        let by_hand =
            4.0 * kilobytes(accepted) + 2.0 * kilobytes(completed) + 2.0 * 3.0 + 5.0 * 2.0;
        let trail = costs.trail_units(costs.audit_commits(&shape));
        close(costs.write_units(&shape), by_hand + trail);
        let bare = costs.million(&shape, Host::Containers, REGION);
        close(million.total() - bare.total(), million.lambda + million.api);
        // 131,400 receives of 20 s a month.
        close(costs.idle_queue(REGION), 0.131_4 * 0.4);
        let machine = costs.idle(Host::Machine, REGION);
        close(machine, 730.0 * (0.0168 + 0.005) + 30.0 * 0.08);
    }

    #[test]
    fn long_tools_cost_by_their_seconds_on_lambda_only() {
        let costs = Costs::read();
        let long = costs.given.shapes.iter().find(|shape| shape.tool_s > 30.0);
        let long = long.unwrap();
        let longer = Shape {
            tool_s: long.tool_s + 100.0,
            ..long.clone()
        };
        let more = |host| {
            let million = |shape| costs.million(shape, host, REGION);
            (
                million(&longer).lambda - million(long).lambda,
                million(&longer).reads - million(long).reads,
            )
        };
        close(more(Host::FunctionUrl).0, 100.0 * 13.3334);
        close(more(Host::Containers).1, 200.0 * 0.125);
        assert!(more(Host::Containers).0.abs() < 1e-9);
    }
}
