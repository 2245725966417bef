//! Several processes over one installation.

use std::{collections::HashSet, path::Path};

use serde_json::{Value, json};

use crate::{
    crash::finish,
    gateway::{Gateway, command, free_address},
    installation::Installation,
};

const CALLS: usize = 40;
#[tokio::test(flavor = "multi_thread")]
async fn another_process_finishes_what_a_killed_one_has_begun() {
    let directory = tempfile::tempdir().unwrap();
    let installation = Installation::new();
    let one = gateway(&installation, &directory.path().join("one")).await;
    let two = gateway(&installation, &directory.path().join("two")).await;
    let mut accepted = HashSet::new();
    for call in 0..CALLS {
        let door = if call % 2 == 0 { &one } else { &two };
        let answer = door.submit("slow_compute", json!({ "seconds": 1 })).await;
        let status: Value = answer.unwrap().json().await.unwrap();
        accepted.insert(status["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(accepted.len(), CALLS);
    one.kill();
    finish(&two, &accepted).await;
}

async fn gateway(installation: &Installation, data_dir: &Path) -> Gateway {
    let address = free_address();
    let mut command = command(data_dir, address);
    installation.reached_by(&mut command);
    Gateway::run(data_dir, address, command).await
}
