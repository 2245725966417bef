//! Closed-loop load: each connection sends the next call when the last one is done.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{client::Client, gateway::Gateway};

/// How one call is made.
#[derive(Clone)]
pub(crate) struct Shape {
    address: SocketAddr,
    key: Option<String>,
    detached: bool,
}

pub(crate) struct Figures {
    pub(crate) calls: u64,
    took: Duration,
    /// Sorted.
    latencies: Vec<Duration>,
}

impl Shape {
    pub(crate) fn direct(address: SocketAddr) -> Self {
        Self {
            address,
            key: None,
            detached: false,
        }
    }

    /// The outcome in the same response.
    pub(crate) fn inline(gateway: &Gateway) -> Self {
        Self {
            address: gateway.address,
            key: Some(gateway.key.clone()),
            detached: false,
        }
    }

    /// The handle at once, then a long poll until the outcome.
    pub(crate) fn detached(gateway: &Gateway) -> Self {
        Self {
            detached: true,
            ..Self::inline(gateway)
        }
    }

    async fn call(&self, client: &mut Client) -> Result<()> {
        const BODY: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"test_simple_text","arguments":{}}}"#;
        let prefer = self.detached.then_some("respond-async");
        let answer = client
            .post("/mcp", prefer, Bytes::from_static(BODY))
            .await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        if !self.detached {
            let text = &answer["result"]["content"][0]["text"];
            return text
                .is_string()
                .then_some(())
                .with_context(|| answer.to_string());
        }
        let id = answer["result"]["structuredContent"]["callId"].as_str();
        let path = format!(
            "/mcp/status/{}?wait=20",
            id.with_context(|| answer.to_string())?
        );
        let status: Value = serde_json::from_slice(&client.get(&path).await?)?;
        (status["status"] == "completed")
            .then_some(())
            .with_context(|| status.to_string())
    }
}

impl Figures {
    pub(crate) fn per_second(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn p50_ms(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        self.at(0.99)
    }

    fn at(&self, share: f64) -> f64 {
        let index = (self.latencies.len() as f64 * share) as usize;
        self.latencies
            .get(index)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

pub(crate) async fn run(shape: &Shape, connections: usize, time: Duration) -> Result<Figures> {
    let mut clients = JoinSet::new();
    let began = Instant::now();
    for _ in 0..connections {
        let shape = shape.clone();
        clients.spawn(async move {
            let mut client = Client::connect(shape.address, shape.key.as_deref()).await?;
            let mut latencies = Vec::new();
            while began.elapsed() < time {
                let sent = Instant::now();
                shape.call(&mut client).await?;
                latencies.push(sent.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(client) = clients.join_next().await {
        latencies.extend(client??);
    }
    let took = began.elapsed();
    latencies.sort_unstable();
    Ok(Figures {
        calls: latencies.len() as u64,
        took,
        latencies,
    })
}
