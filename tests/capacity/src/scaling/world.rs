//! An installation on Lambda as a world: ingress, partitions, topic, queue, executor, partitions
//! again, and the audit sink beside them.

use super::{
    limits::Resource,
    setup::{Given, Setup},
};
use crate::{
    assumptions::Milliseconds,
    cost::{LOOK_LAG, audit_batch},
    engine::{BatcherId, Engine, PoolId, QuotaId, Seconds, Step},
};

/// Calls of one run, and how long it may take in the simulated world.
const CALLS: f64 = 24_000.0;
const SHORTEST: Seconds = 4.0;
const LONGEST: Seconds = 60.0;
/// Of a run, what is not looked at: the world is empty at first.
const BEGINNING: f64 = 0.25;
/// What may be drawn at once of a second's quota.
const BURST: Seconds = 0.1;
/// The SDK tries a throttled request three times within about a second; then the door answers 503.
const PATIENCE: Seconds = 1.0;

/// What a run showed, from its beginning on.
#[derive(Debug)]
pub(super) struct Run {
    /// Calls a second that came, and that were answered.
    pub(super) offered: f64,
    pub(super) answered: f64,
    /// Of those that came, how many were turned away.
    pub(super) refused: f64,
    pub(super) median: Option<Seconds>,
    pub(super) p95: Option<Seconds>,
    /// Events a second by which the audit trail falls behind.
    pub(super) falls_behind: f64,
    /// Shares of what there is, the fullest first.
    pub(super) used: Vec<(Resource, f64)>,
}

/// Everything that calls share.
struct World<'a> {
    engine: Engine,
    given: &'a Given,
    /// Index shards by last character.
    index: Vec<QuotaId>,
    tenants: Vec<Vec<QuotaId>>,
    outbox: Vec<QuotaId>,
    segments: Vec<QuotaId>,
    audit: Vec<BatcherId>,
    keys: QuotaId,
    records: QuotaId,
    inbox: QuotaId,
    sent: QuotaId,
    topic: QuotaId,
    api: QuotaId,
    doors: PoolId,
    slots: PoolId,
    key_reads: f64,
}

/// Runs an installation under so many calls a second, which come at random.
pub(super) fn run(setup: &Setup, given: &Given, rate: f64, seed: u64) -> Run {
    let end = (CALLS / rate).clamp(SHORTEST, LONGEST);
    let mut world = World::new(setup, given, seed);
    let mut at = 0.0;
    let (from, mut offered) = (end * BEGINNING, 0_u32);
    loop {
        at += world.engine.random().exponential(1.0 / rate);
        if at > end {
            break;
        }
        offered += u32::from(at >= from);
        let steps = world.call();
        world.engine.begin(at, steps);
    }
    world.engine.run(from);
    let behind = world.behind();
    world.engine.run(end);
    let (engine, seconds) = (&world.engine, end - from);
    let [answered, refused] = [engine.done(from), engine.refused(from)].map(f64::from);
    Run {
        offered: f64::from(offered) / seconds,
        answered: answered / seconds,
        refused: refused / f64::from(offered.max(1)),
        median: engine.percentile(from, 50),
        p95: engine.percentile(from, 95),
        falls_behind: ((world.behind() - behind) / seconds).max(0.0),
        used: world.used(),
    }
}

impl<'a> World<'a> {
    fn new(setup: &Setup, given: &'a Given, seed: u64) -> Self {
        let mut engine = Engine::new(seed);
        let writes = given.partition_writes;
        let mut partitions = |count: u32| -> Vec<QuotaId> {
            (0..count).map(|_| engine.quota(writes, BURST)).collect()
        };
        let tenants = (0..given.assumptions.tenants.count)
            .map(|_| partitions(setup.tenant_shards))
            .collect();
        let shards = partitions(setup.index_shards);
        let index = if setup.index_shards > 8 {
            shards
        } else {
            let shard = |at: &u32| shards.get(usize::try_from(*at).ok()?).copied();
            given.last_characters.iter().filter_map(shard).collect()
        };
        let outbox = partitions(setup.outbox_shards);
        let segments = partitions(setup.audit_chains);
        let records = engine.quota(setup.records_writes, BURST);
        let inbox = engine.quota(setup.inbox_writes, BURST);
        let audit = segments.iter().map(|segments| {
            let quotas = [records, *segments, inbox];
            audit_sink(&mut engine, given, quotas)
        });
        let audit = audit.collect();
        Self {
            keys: engine.quota(given.partition_reads, BURST),
            sent: engine.quota(setup.outbox_writes, BURST),
            topic: engine.quota(setup.publishes, BURST),
            api: engine.quota(setup.requests, BURST),
            doors: engine.pool(whole(given.doors(setup))),
            slots: engine.pool(whole(given.slots(setup))),
            key_reads: setup.key_reads,
            engine,
            given,
            records,
            inbox,
            index,
            tenants,
            outbox,
            segments,
            audit,
        }
    }

    /// The life of one call of a quick tool.
    fn call(&mut self) -> Vec<Step> {
        let (items, latency) = (&self.given.items, &self.given.assumptions.latency);
        let [requested, completed] = items.outbox().map(f64::from);
        let record = f64::from(items.submit_record());
        let index = f64::from(items.index()) / 2.0;
        let (tenant, shard) = (self.tenant(), self.index());
        let [work, outcome] = [latency.get, latency.transact].map(|it| self.pause(it));
        let (first, second) = (self.pick_outbox(), self.pick_outbox());
        let mut steps = vec![
            draw(self.api, 1.0, 0.0),
            Step::TakeNow(self.doors),
            draw(self.keys, self.key_reads, PATIENCE),
            self.pause(latency.get),
            // Submitted: one transaction.
            draw(self.records, record + index, PATIENCE),
            draw(tenant, record, PATIENCE),
            draw(shard, index, PATIENCE),
            draw(first, requested, PATIENCE),
            draw(self.sent, requested, PATIENCE),
            self.pause(latency.transact),
        ];
        steps.extend(self.announce());
        steps.push(self.pause(latency.hop));
        steps.extend([Step::Take(self.slots), work]);
        steps.push(self.pause(latency.tool));
        let ended = f64::from(items.end_record());
        steps.extend([
            wait(self.inbox, f64::from(items.mark())),
            wait(self.records, ended + index),
            wait(tenant, ended),
            wait(shard, index),
            wait(second, completed),
            wait(self.sent, completed),
            outcome,
        ]);
        let mut after = self.announce();
        after.push(Step::Give(self.slots));
        let look = self.engine.random().share() * 2.0 * LOOK_LAG;
        let back = self.pause(latency.get);
        steps.extend([
            Step::Start(after),
            Step::Pause(look),
            back,
            Step::Give(self.doors),
            Step::Done,
        ]);
        steps
    }

    /// An event on its way to the topic, from there to the audit sink and the relay, and out of the
    /// outbox.
    fn announce(&mut self) -> Vec<Step> {
        let latency = &self.given.assumptions.latency;
        let chain = self.engine.random().below(self.audit.len());
        let heard = vec![self.pause(latency.hop), Step::Join(self.audit[chain])];
        let mark = f64::from(self.given.items.mark());
        let relayed = vec![self.pause(latency.hop), wait(self.inbox, mark)];
        vec![
            wait(self.topic, 1.0),
            self.pause(latency.publish),
            Step::Start(heard),
            Step::Start(relayed),
            self.pause(latency.batch_write),
        ]
    }

    fn pause(&mut self, time: Milliseconds) -> Step {
        Step::Pause(self.engine.random().draw(time.spread()))
    }

    fn tenant(&mut self) -> QuotaId {
        let share = self.given.assumptions.tenants.largest_share;
        let random = self.engine.random();
        let tenant = if random.share() < share {
            0
        } else {
            1 + random.below(self.tenants.len() - 1)
        };
        let shards = &self.tenants[tenant];
        shards[self.engine.random().below(shards.len())]
    }

    fn index(&mut self) -> QuotaId {
        self.index[self.engine.random().below(self.index.len())]
    }

    fn pick_outbox(&mut self) -> QuotaId {
        self.outbox[self.engine.random().below(self.outbox.len())]
    }

    /// Events that wait for the audit sink.
    fn behind(&self) -> f64 {
        let behind = self.audit.iter().map(|sink| self.engine.behind(*sink));
        behind.map(f64::from).sum()
    }

    fn used(&self) -> Vec<(Resource, f64)> {
        let engine = &self.engine;
        let fullest = |of: &[QuotaId]| {
            let drawn = of.iter().map(|quota| engine.drawn(*quota));
            drawn.fold(0.0, f64::max)
        };
        let busiest = self.audit.iter().map(|sink| engine.busy(*sink));
        let mut used = vec![
            (Resource::AuditWorker, busiest.fold(0.0, f64::max)),
            (Resource::AuditPartition, fullest(&self.segments)),
            (Resource::TenantPartition, fullest(&self.tenants.concat())),
            (Resource::IndexPartition, fullest(&self.index)),
            (Resource::OutboxPartition, fullest(&self.outbox)),
            (Resource::KeyPartition, engine.drawn(self.keys)),
            (Resource::RecordsTable, engine.drawn(self.records)),
            (Resource::InboxTable, engine.drawn(self.inbox)),
            (Resource::OutboxTable, engine.drawn(self.sent)),
            (Resource::Topic, engine.drawn(self.topic)),
            (Resource::Doors, engine.held(self.doors)),
            (Resource::Executors, engine.held(self.slots)),
            (Resource::Api, engine.drawn(self.api)),
        ];
        used.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        used
    }
}

/// One chain of the trail, behind an event source that receives and deletes: read the head, append;
/// one batch after another.
fn audit_sink(
    engine: &mut Engine,
    given: &Given,
    [records, segments, inbox]: [QuotaId; 3],
) -> BatcherId {
    let (latency, items) = (given.assumptions.latency.clone(), given.items);
    let window = given.template.audit_sink.window;
    engine.batcher(audit_batch(), window, move |events, random| {
        let mut pause = |time: Milliseconds| Step::Pause(random.draw(time.spread()));
        let segment = items.segment(f64::from(events));
        vec![
            pause(latency.get),
            wait(records, segment + f64::from(items.head())),
            wait(segments, segment),
            wait(inbox, f64::from(events * items.mark())),
            pause(latency.transact_large),
        ]
    })
}

fn draw(quota: QuotaId, units: f64, patience: Seconds) -> Step {
    Step::Draw {
        quota,
        units,
        patience,
    }
}

/// What has begun is seen through.
fn wait(quota: QuotaId, units: f64) -> Step {
    draw(quota, units, f64::INFINITY)
}

fn whole(places: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "places are counted in thousands"
    )]
    let places = places as u32;
    places.max(1)
}
