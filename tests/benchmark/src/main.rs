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

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Parser;

use crate::{
    gateway::Gateway,
    load::{Figures, Shape, run},
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
    /// Stored calls at which the cost of a call is measured again; none by default, it takes long.
    #[arg(long, value_delimiter = ',')]
    growth: Vec<u64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let time = Duration::from_secs_f64(args.seconds);
    println!(
        "{:<34} {:>5} {:>10} {:>9} {:>9} {:>12}",
        "", "conns", "calls/s", "p50 ms", "p99 ms", "CPU us/call"
    );

    let direct = direct::serve().await?;
    let mut baseline = Vec::new();
    for &connections in &args.connections {
        let figures = run(&Shape::direct(direct), connections, time).await?;
        print_row("echo called directly", connections, &figures, None);
        baseline.push(figures);
    }

    let gateway = Gateway::start(&args.waybill).await?;
    println!(
        "start to first answer: {:.1} ms",
        gateway.cold_start.as_secs_f64() * 1e3
    );
    println!("idle memory: {:.1} MB", gateway.resident_mb()?);
    for (index, &connections) in args.connections.iter().enumerate() {
        let before = gateway.cpu()?;
        let figures = run(&Shape::inline(&gateway), connections, time).await?;
        let cpu = (gateway.cpu()? - before).as_secs_f64() * 1e6 / figures.calls.max(1) as f64;
        print_row("waybill, durable, inline", connections, &figures, Some(cpu));
        let ratio = figures.per_second() / baseline[index].per_second();
        let added = figures.p50_ms() - baseline[index].p50_ms();
        println!("    {ratio:.3} of direct; {added:+.2} ms at p50");
    }
    for &connections in &args.connections {
        let before = gateway.cpu()?;
        let figures = run(&Shape::detached(&gateway), connections, time).await?;
        let cpu = (gateway.cpu()? - before).as_secs_f64() * 1e6 / figures.calls.max(1) as f64;
        print_row(
            "waybill, durable, submit and poll",
            connections,
            &figures,
            Some(cpu),
        );
    }
    println!("memory after it: {:.1} MB", gateway.resident_mb()?);
    growth(&gateway, &args, time).await
}

/// The cost of a call with more and more of them stored.
async fn growth(gateway: &Gateway, args: &Args, time: Duration) -> Result<()> {
    let mut first = None;
    for &target in &args.growth {
        let mut stored = gateway.stored().await?;
        while stored < target {
            run(&Shape::detached(gateway), 256, Duration::from_secs(2)).await?;
            stored = gateway.stored().await?;
        }
        let before = gateway.cpu()?;
        let figures = run(&Shape::detached(gateway), 64, time).await?;
        let cpu = (gateway.cpu()? - before).as_secs_f64() * 1e6 / figures.calls.max(1) as f64;
        print_row(
            &format!("with {stored} stored calls"),
            64,
            &figures,
            Some(cpu),
        );
        let first = *first.get_or_insert(cpu);
        println!("    {:.2} times the first", cpu / first);
    }
    Ok(())
}

fn print_row(name: &str, connections: usize, figures: &Figures, cpu: Option<f64>) {
    let cpu = cpu.map(|cpu| format!("{cpu:.0}")).unwrap_or_default();
    println!(
        "{name:<34} {connections:>5} {:>10.0} {:>9.2} {:>9.2} {cpu:>12}",
        figures.per_second(),
        figures.p50_ms(),
        figures.p99_ms(),
    );
}
