//! What `waybill doctor` looks at.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use futures::future::BoxFuture;
use waybill_backend_sqlite::SqliteBackend;
use waybill_ingress::{Check, Checks, Verdict};
use waybill_messaging::{Bus, Key};
use waybill_toolkit_upstream::{Health, Supervisor};

use crate::{compose::TOPOLOGY, config::Config, files};

/// Deliveries older than this mean that nobody works on them, in milliseconds.
const STALE_MS: u64 = 60_000;

pub(crate) fn checks(
    config: &Config,
    store: &SqliteBackend,
    bus: &Bus,
    supervisor: &Arc<Supervisor>,
) -> Checks {
    let mut checks = vec![
        check("ledger", {
            let bus = bus.clone();
            move || Box::pin(ledger(bus.clone()))
        }),
        check("database", {
            let store = store.clone();
            move || Box::pin(database(store.clone()))
        }),
        check("queues", {
            let bus = bus.clone();
            move || Box::pin(queues(bus.clone()))
        }),
    ];
    for path in [
        config.data_dir.join("master-key"),
        files::key_file(&config.data_dir),
    ] {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        checks.push(check(&name, move || {
            Box::pin(std::future::ready(private(&path)))
        }));
    }
    for name in supervisor.health().into_keys() {
        let (supervisor, upstream) = (supervisor.clone(), name.clone());
        checks.push(check(&format!("upstream {name}"), move || {
            let verdict = upstream_health(&supervisor, &upstream);
            Box::pin(std::future::ready(verdict))
        }));
    }
    checks.into()
}

fn check(
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

async fn database(store: SqliteBackend) -> Verdict {
    match store.check().await {
        Ok(problems) if problems.is_empty() => Verdict::Ok("every page is sound".to_owned()),
        Ok(problems) => Verdict::Failed(problems.join("; ")),
        Err(error) => Verdict::Failed(error.to_string()),
    }
}

async fn queues(bus: Bus) -> Verdict {
    let (mut stale, mut dead) = (Vec::new(), 0);
    for subscription in TOPOLOGY {
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

fn private(path: &Path) -> Verdict {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode().trailing_zeros() >= 6 => {
            Verdict::Ok("only its owner can read it".to_owned())
        }
        Ok(_) => Verdict::Failed(format!("others can read it: chmod 600 {}", path.display())),
        Err(error) => Verdict::Failed(error.to_string()),
    }
}

fn upstream_health(supervisor: &Supervisor, name: &str) -> Verdict {
    match supervisor.health().remove(name) {
        Some(Health::Ready { .. }) => Verdict::Ok("ready".to_owned()),
        Some(Health::Failed { reason, .. }) => Verdict::Failed(reason),
        Some(other) => Verdict::Warning(format!("{other:?}")),
        None => Verdict::Warning("not configured any more".to_owned()),
    }
}
