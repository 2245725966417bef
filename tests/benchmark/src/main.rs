//! `cargo xtask bench`: durable calls a second and their latency, beside the same tool called
//! directly, in one run on one machine. Prints ratios; asserts nothing.

#![expect(clippy::print_stdout, reason = "a program whose output is its result")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::unchecked_time_subtraction,
    reason = "figures for people: counts far below 2^52, clocks that only move on"
)]

mod client;
mod direct;
mod gateway;
mod load;
mod process;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Parser;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{
    gateway::Gateway,
    load::{Figures, Shape, run},
    process::Process,
};

#[derive(Parser)]
struct Args {
    /// The release binary under test.
    #[arg(long, default_value = "target/release/waybill")]
    waybill: PathBuf,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Connections.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    connections: Vec<usize>,
    /// Stored calls at which the cost of a call, and a start, are measured again; it takes long.
    #[arg(long, value_delimiter = ',')]
    growth: Vec<u64>,
    /// Only serve the echo tool there: what the benchmark starts for its comparison.
    #[arg(long, hide = true)]
    serve_direct: Option<SocketAddr>,
}

/// One measured row.
struct Row {
    figures: Figures,
    /// Of the server's process, per call, in microseconds.
    cpu_us: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(address) = args.serve_direct {
        return direct::serve(address).await;
    }
    println!(
        "{:<36} {:>5} {:>9} {:>9} {:>9} {:>12}",
        "", "conns", "calls/s", "p50 ms", "p99 ms", "CPU us/call"
    );
    let (address, echo) = direct::start().await?;
    let direct = rows(
        "echo called directly",
        &args,
        &Shape::direct(address),
        &echo,
    )
    .await?;
    drop(echo);

    let directory = tempfile::tempdir()?;
    let gateway = Gateway::start(&args.waybill, &directory).await?;
    println!(
        "start to first answer: {:.1} ms",
        gateway.start.as_secs_f64() * 1e3
    );
    println!("idle memory: {:.1} MB", gateway.process.resident_mb()?);
    let (inline, detached) = (Shape::inline(&gateway), Shape::detached(&gateway));
    let name = "waybill, durable, inline";
    compare(
        &direct,
        &rows(name, &args, &inline, &gateway.process).await?,
        &args,
    );
    let name = "waybill, durable, submit and poll";
    compare(
        &direct,
        &rows(name, &args, &detached, &gateway.process).await?,
        &args,
    );
    println!("memory after it: {:.1} MB", gateway.process.resident_mb()?);
    settle(&gateway).await?;
    growth(gateway, &directory, &args).await
}

async fn rows(name: &str, args: &Args, shape: &Shape, server: &Process) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &connections in &args.connections {
        rows.push(row(name, shape, connections, args, server).await?);
    }
    Ok(rows)
}

async fn row(
    name: &str,
    shape: &Shape,
    connections: usize,
    args: &Args,
    server: &Process,
) -> Result<Row> {
    let before = server.cpu()?;
    let figures = run(shape, connections, Duration::from_secs_f64(args.seconds)).await?;
    let cpu = server.cpu()? - before;
    let cpu_us = cpu.as_secs_f64() * 1e6 / figures.calls.max(1) as f64;
    println!(
        "{name:<36} {connections:>5} {:>9.0} {:>9.2} {:>9.2} {cpu_us:>12.0}",
        figures.per_second(),
        figures.p50_ms(),
        figures.p99_ms(),
    );
    Ok(Row { figures, cpu_us })
}

fn compare(direct: &[Row], gateway: &[Row], args: &Args) {
    for ((direct, gateway), connections) in direct.iter().zip(gateway).zip(&args.connections) {
        println!(
            "    {connections:>3} conns: {:.3} of direct in calls/s, {:.1} times its CPU, {:+.2} ms at p50",
            gateway.figures.per_second() / direct.figures.per_second(),
            gateway.cpu_us / direct.cpu_us,
            gateway.figures.p50_ms() - direct.figures.p50_ms(),
        );
    }
}

/// What the load has left for later is part of its cost: how long until every event is consumed.
async fn settle(gateway: &Gateway) -> Result<()> {
    let began = Instant::now();
    let left = gateway.waiting().await?;
    while gateway.waiting().await? > 0 {
        sleep(Duration::from_millis(200)).await;
    }
    let took = began.elapsed().as_secs_f64();
    println!("events left when the load ended: {left}, consumed {took:.1} s later");
    Ok(())
}

/// The cost of a call, and of a start, with more and more calls stored.
async fn growth(mut gateway: Gateway, directory: &TempDir, args: &Args) -> Result<()> {
    let mut first = None;
    let mut before = 0;
    for &target in &args.growth {
        let stored = loop {
            let stored = before + gateway.taken().await?;
            if stored >= target {
                break stored;
            }
            run(&Shape::detached(&gateway), 256, Duration::from_secs(2)).await?;
        };
        before = stored;
        settle(&gateway).await?;
        gateway.process.kill().await?;
        gateway = Gateway::start(&args.waybill, directory).await?;
        let start = gateway.start.as_secs_f64() * 1e3;
        let name = format!("with {stored} stored calls");
        let shape = Shape::detached(&gateway);
        let row = row(&name, &shape, 64, args, &gateway.process).await?;
        let first = *first.get_or_insert(row.cpu_us);
        println!(
            "    {:.2} times the first; start {start:.1} ms",
            row.cpu_us / first
        );
    }
    Ok(())
}
