//! More seeds, or one seed again.

#![expect(clippy::print_stdout, reason = "a program whose output is its result")]

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 0)]
    from: u64,
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// A tracing filter; the fault log is at debug.
    #[arg(long)]
    log: Option<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(filter) = &args.log {
        tracing_subscriber::fmt().with_env_filter(filter).init();
    }
    // A simulated tool panics on purpose, in every run.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let next = AtomicU64::new(args.from);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let results: Vec<Result<BTreeMap<String, u64>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work(&next, args.from + args.seeds)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker ends"))
            .collect()
    });
    let mut totals = BTreeMap::new();
    for result in results {
        for (what, count) in result? {
            *totals.entry(what).or_insert(0) += count;
        }
    }
    for (what, count) in totals {
        println!("{count:>10}  {what}");
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{} seeds kept every promise, {seconds:.1} s", args.seeds);
    Ok(())
}

fn work(next: &AtomicU64, end: u64) -> Result<BTreeMap<String, u64>> {
    let mut totals = BTreeMap::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return Ok(totals);
        }
        let report = waybill_simulation::run(seed)?;
        let faults = report
            .injected
            .into_iter()
            .map(|(fault, count)| (format!("fault {fault}"), count));
        let ends = report
            .ended
            .into_iter()
            .map(|(end, count)| (format!("call {end}"), count));
        for (what, count) in faults.chain(ends) {
            *totals.entry(what).or_insert(0) += count;
        }
    }
}
