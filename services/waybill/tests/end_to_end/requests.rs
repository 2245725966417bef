//! What a call costs on AWS: requests by operation, as the process itself has counted them.

use std::{
    collections::BTreeMap,
    fs::File,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    gateway::{BINARY, Gateway, free_address},
    installation::Installation,
};

const CALLS: u32 = 200;
const CLIENTS: u32 = 32;
/// For the trail, which is written behind.
const AFTERWARDS: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);
/// What a call may cost at most, by the start of an operation's name. The call itself has two events
/// to publish and two transactions; the trail and the relay add their share, in batches of whatever
/// has come, which is a batch for each call where calls come one by one.
const BUDGET: [(&str, f64); 3] = [
    ("SNS.Publish", 2.1),
    ("SQS.", 7.0),
    ("DynamoDB.TransactWriteItems", 4.0),
];

type Counts = BTreeMap<String, f64>;

/// One process that does nothing but `load`, and what it had asked for when it had ended.
async fn counted(
    installation: &Installation,
    folder: &Path,
    load: impl AsyncFnOnce(&Gateway),
) -> Counts {
    let (log, address) = (folder.join("log"), free_address());
    let data_dir = folder.join("data");
    let mut command = Command::new(BINARY);
    command
        .args(["up", "--conformance", "--log-format", "json"])
        .args(["--log", "error,waybill::backend=debug"])
        .args(["--listen", &address.to_string(), "--data-dir"])
        .arg(&data_dir)
        .current_dir(folder)
        .stderr(File::create(&log).unwrap());
    installation.reached_by(&mut command);
    let gateway = Gateway::run(&data_dir, address, command).await;
    load(&gateway).await;
    sleep(AFTERWARDS).await;
    let process = rustix::process::Pid::from_raw(gateway.pid().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(counts) = last_words(&log) {
            return counts;
        }
        assert!(Instant::now() < until, "it does not end");
        sleep(Duration::from_millis(50)).await;
    }
}

fn last_words(log: &Path) -> Option<Counts> {
    let log = std::fs::read_to_string(log).unwrap();
    let lines = log.lines().map(serde_json::from_str::<Value>);
    let mut told = lines.filter_map(|line| Some(line.ok()?["requests"].as_str()?.to_owned()));
    serde_json::from_str(&told.next_back()?).unwrap()
}

async fn call(gateway: &Gateway) {
    let body = json!({ "tool": "test_simple_text", "arguments": {} });
    let answer = gateway.post("/calls").body(body.to_string()).send().await;
    let status: Value = answer.unwrap().json().await.unwrap();
    if status["status"] == "working" {
        // A slow machine answers with the handle.
        let ended = gateway.ended(status["id"].as_str().unwrap()).await;
        assert_eq!(ended["state"], "completed", "{ended}");
    } else {
        assert_eq!(status["state"], "completed", "{status}");
    }
}

/// What a call adds to what an idle process asks for in the same time.
async fn per_call(installation: &Installation, clients: u32) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let mut took = Duration::ZERO;
    let load = async |gateway: &Gateway| {
        let began = Instant::now();
        let each = (0..clients).map(async |_| {
            for _ in 0..CALLS / clients {
                call(gateway).await;
            }
        });
        futures::future::join_all(each).await;
        took = began.elapsed();
    };
    let counts = counted(installation, folder.path(), load).await;
    let idle = counted(installation, folder.path(), async |_| sleep(took).await).await;
    let calls = f64::from(CALLS / clients * clients);
    let added = counts.into_iter().map(|(operation, count)| {
        let idle = idle.get(&operation).copied().unwrap_or_default();
        (operation, (count - idle).max(0.0) / calls)
    });
    added.filter(|(_, each)| *each >= 0.005).collect()
}

fn print(shape: &str, counts: &Counts) {
    println!("[{shape}]");
    for (operation, each) in counts {
        println!("\"{operation}\" = {each:.2}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_keeps_to_its_budget() {
    let installation = Installation::new();
    for (shape, clients) in [("sequential", 1), ("concurrent", CLIENTS)] {
        let counts = per_call(&installation, clients).await;
        print(shape, &counts);
        for (start, most) in BUDGET {
            let some = counts.iter().filter(|(name, _)| name.starts_with(start));
            let each: f64 = some.map(|(_, each)| each).sum();
            assert!(
                each > 0.0 && each <= most,
                "{each} of {start} in a {shape} call"
            );
        }
    }
}
