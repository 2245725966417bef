//! Killed in the middle of many running calls, it finishes each accepted call exactly once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::gateway::{Door, Gateway};

const CALLS: usize = 1_000;
/// The events that end a call.
const ENDS: [&str; 4] = [
    "dev.waybill.tool-call.completed.v1",
    "dev.waybill.tool-call.failed.v1",
    "dev.waybill.tool-call.cancelled.v1",
    "dev.waybill.tool-call.expired.v1",
];
/// Cycles of a soak after which all that was accepted is looked at.
const CHECKED_EVERY: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_running_calls_survive_sigkill() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&directory.path().join("data")).await;
    let (gateway, ids) = submit(gateway, CALLS).await;
    assert_eq!(ids.len(), CALLS);
    // Some run, some wait, some have ended.
    sleep(Duration::from_millis(700)).await;
    let gateway = Gateway::start(&gateway.kill()).await;
    finish(&gateway, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_while_it_accepts() {
    let accepted = kill_and_start(5).await;
    assert!(accepted > 100, "only {accepted} calls were accepted");
}

/// For hours if wanted: `cargo xtask soak CYCLES`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told to"]
async fn soak() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how a test is told how long to run"
    )]
    let cycles = std::env::var("SOAK_CYCLES").unwrap();
    let cycles = cycles.parse().unwrap();
    let began = Instant::now();
    let accepted = kill_and_start(cycles).await;
    let took = began.elapsed().as_secs();
    println!("{cycles} kills, {accepted} calls accepted and each ended once, in {took} s");
}

/// Starts, accepts and is killed, so many times. Each accepted call has ended once; how many.
async fn kill_and_start(cycles: u64) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let (mut accepted, mut total) = (HashSet::new(), 0);
    for cycle in 1..=cycles {
        let gateway = Arc::new(Gateway::start(&data_dir).await);
        let mut clients = JoinSet::new();
        for client in 0..16 {
            let label = format!("{cycle}-{client}");
            clients.spawn(call_until_it_is_gone(gateway.clone(), label));
        }
        // Now early, now late: different moments of different work.
        sleep(Duration::from_millis(100 + cycle * 137 % 500)).await;
        gateway.kill();
        for ids in clients.join_all().await {
            accepted.extend(ids);
        }
        if cycle % CHECKED_EVERY == 0 || cycle == cycles {
            let gateway = Gateway::start(&data_dir).await;
            finish(&gateway, &accepted).await;
            total += std::mem::take(&mut accepted).len();
        }
    }
    total
}

/// A call counts when its handle was received.
async fn call_until_it_is_gone(gateway: Arc<Gateway>, label: String) -> Vec<String> {
    let mut ids = Vec::new();
    for call in 0.. {
        let arguments = json!({ "seconds": 0.02, "label": format!("{label}-{call}") });
        let Ok(answer) = gateway.submit("slow_compute", arguments).await else {
            break;
        };
        let Ok(status) = answer.json::<Value>().await else {
            break;
        };
        ids.push(status["id"].as_str().unwrap().to_owned());
    }
    ids
}

async fn submit(gateway: Gateway, calls: usize) -> (Gateway, HashSet<String>) {
    let gateway = Arc::new(gateway);
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let gateway = gateway.clone();
        clients.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..calls / 20 {
                let answer = gateway
                    .submit("slow_compute", json!({ "seconds": 1 }))
                    .await
                    .unwrap();
                let status: Value = answer.json().await.unwrap();
                ids.push(status["id"].as_str().unwrap().to_owned());
            }
            ids
        });
    }
    let ids = clients.join_all().await.into_iter().flatten().collect();
    (Arc::into_inner(gateway).unwrap(), ids)
}

/// Every accepted call has ended, once, and the trail says so too.
pub(crate) async fn finish(gateway: &Door, ids: &HashSet<String>) {
    for id in ids {
        let status = gateway.ended(id).await;
        assert_eq!(status["state"], "completed", "{status}");
    }
    let ends = ends(gateway, ids).await;
    for id in ids {
        assert_eq!(ends.get(id.as_str()), Some(&1), "{id} ended so often");
    }
    let verified = gateway.json("/admin/audit/verify").await;
    assert_eq!(verified["sound"], true, "{verified}");
}

/// How often the trail says that each call has ended, once all ends are in it.
pub(crate) async fn ends(gateway: &Door, ids: &HashSet<String>) -> HashMap<String, usize> {
    loop {
        let mut ends = HashMap::new();
        let mut from = Some(1);
        while let Some(next) = from {
            let page = gateway
                .json(&format!("/admin/audit/export?from={next}"))
                .await;
            from = page["next"].as_u64();
            for entry in page["entries"].as_array().unwrap() {
                let event = &entry["event"];
                if ENDS.contains(&event["type"].as_str().unwrap()) {
                    *ends
                        .entry(event["subject"].as_str().unwrap().to_owned())
                        .or_default() += 1;
                }
            }
        }
        if ids.iter().all(|id| ends.contains_key(id)) {
            return ends;
        }
        sleep(Duration::from_millis(100)).await;
    }
}
