//! `waybill queues`.

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Deserialize;

use super::{Session, exit::Exit, span};

#[derive(Deserialize)]
struct Queue {
    subscription: String,
    depth: Depth,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Depth {
    ready: u64,
    delayed: u64,
    leased: u64,
    dead: u64,
    oldest_ms: u64,
}

#[derive(Args)]
pub(super) struct QueuesArgs {}

pub(super) async fn run(session: &Session, _: QueuesArgs) -> Result<Exit> {
    let mut document = session.client.get("/admin/queues").await?;
    if session.out.json {
        session.out.json(&document)?;
        return Ok(Exit::Done);
    }
    let queues: Vec<Queue> = serde_json::from_value(document["queues"].take())
        .context("the gateway sent no list of queues")?;
    let rows = queues.into_iter().map(
        |Queue {
             subscription,
             depth,
         }| {
            let oldest = if depth.ready == 0 {
                String::new()
            } else {
                span::milliseconds(depth.oldest_ms)
            };
            let counts =
                [depth.ready, depth.delayed, depth.leased, depth.dead].map(|n| n.to_string());
            [vec![subscription], counts.to_vec(), vec![oldest]].concat()
        },
    );
    let header = [
        "SUBSCRIPTION",
        "READY",
        "DELAYED",
        "LEASED",
        "DEAD",
        "OLDEST",
    ];
    session.out.table(&header, rows.collect())?;
    Ok(Exit::Done)
}
