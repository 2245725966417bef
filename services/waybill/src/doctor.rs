//! What `waybill doctor` looks at.

use std::sync::Arc;

use futures::future::BoxFuture;
use waybill_ingress::{Check, Checks, Verdict};
use waybill_messaging::{Bus, Key, Subscription};
use waybill_toolkit_upstream::{Health, Supervisor};

/// Deliveries older than this mean that nobody works on them, in milliseconds.
const STALE_MS: u64 = 60_000;

/// `own`: the backend's.
pub(crate) fn checks(
    own: Vec<Check>,
    bus: &Bus,
    topology: &'static [Subscription],
    supervisor: &Arc<Supervisor>,
) -> Checks {
    let mut checks = vec![
        check("ledger", {
            let bus = bus.clone();
            move || Box::pin(ledger(bus.clone()))
        }),
        check("queues", {
            let bus = bus.clone();
            move || Box::pin(queues(bus.clone(), topology))
        }),
    ];
    checks.extend(own);
    for name in supervisor.health().into_keys() {
        let (supervisor, upstream) = (supervisor.clone(), name.clone());
        checks.push(check(&format!("upstream {name}"), move || {
            let verdict = upstream_health(&supervisor, &upstream);
            Box::pin(std::future::ready(verdict))
        }));
    }
    checks.into()
}

pub(crate) fn check(
    name: &str,
    run: impl Fn() -> BoxFuture<'static, Verdict> + Send + Sync + 'static,
) -> Check {
    Check {
        name: name.to_owned(),
        run: Arc::new(run),
    }
}

async fn ledger(bus: Bus) -> Verdict {
    match bus.ledger.get(&Key::new("health", "probe")).await {
        Ok(_) => Verdict::Ok("answers".to_owned()),
        Err(error) => Verdict::Failed(error.to_string()),
    }
}

async fn queues(bus: Bus, topology: &'static [Subscription]) -> Verdict {
    let (mut stale, mut dead) = (Vec::new(), 0);
    for subscription in topology {
        match bus.queue.depth(subscription.name).await {
            Ok(depth) => {
                dead += depth.dead;
                if depth.oldest_ms > STALE_MS {
                    stale.push(format!(
                        "{} waits for {} s",
                        subscription.name,
                        depth.oldest_ms / 1_000
                    ));
                }
            }
            Err(error) => return Verdict::Failed(error.to_string()),
        }
    }
    match (stale.is_empty(), dead) {
        (true, 0) => Verdict::Ok("they move, no dead letters".to_owned()),
        (true, dead) => Verdict::Warning(format!("{dead} dead letters; see waybill dlq list")),
        (false, _) => Verdict::Failed(stale.join("; ")),
    }
}

fn upstream_health(supervisor: &Supervisor, name: &str) -> Verdict {
    match supervisor.health().remove(name) {
        Some(Health::Ready { .. }) => Verdict::Ok("ready".to_owned()),
        Some(Health::Failed { reason, .. }) => Verdict::Failed(reason),
        Some(Health::Starting) => Verdict::Warning("starting".to_owned()),
        Some(Health::Stopped) => Verdict::Warning("stopped".to_owned()),
        None => Verdict::Warning("not configured any more".to_owned()),
    }
}
