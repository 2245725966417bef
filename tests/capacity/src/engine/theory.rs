//! The engine against what queueing theory knows.

use super::*;

const CALLS: u32 = 60_000;

/// What happens in a station of `servers` at which so many jobs a second arrive, each served for one
/// second on the average.
fn station(rate: f64, servers: u32) -> Station {
    let mut engine = Engine::new(7);
    let pool = engine.pool(servers);
    let mut at = 0.0;
    for _ in 0..CALLS {
        at += engine.random().exponential(1.0 / rate);
        let served = engine.random().exponential(1.0);
        let steps = [
            Step::Take(pool),
            Step::Pause(served),
            Step::Give(pool),
            Step::Done,
        ];
        engine.begin(at, steps.to_vec());
    }
    engine.run(at);
    Station {
        time: engine.mean(0.0),
        p95: engine.percentile(0.0, 95).unwrap(),
        held: engine.held(pool),
    }
}

struct Station {
    time: Seconds,
    p95: Seconds,
    held: f64,
}

/// The probability that a job of M/M/k has to wait; `load` is in servers.
fn erlang_c(load: f64, servers: u32) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..servers {
        term *= load / f64::from(k);
        sum += term;
    }
    let servers = f64::from(servers);
    let last = term * load / servers * servers / (servers - load);
    last / (sum + last)
}

#[track_caller]
fn close(what: &str, simulated: f64, exact: f64, tolerance: f64) {
    let off = (simulated - exact).abs() / exact;
    assert!(off < tolerance, "{what}: {simulated} is not {exact}");
}

#[test]
fn one_server_waits_as_theory_says() {
    for load in [0.3, 0.6, 0.8] {
        let Station { time, p95, held } = station(load, 1);
        close("utilisation", held, load, 0.03);
        close("M/M/1", time, 1.0 / (1.0 - load), 0.06);
        // Times are exponential only where it is first come, first served.
        close("M/M/1, 95 %", p95, 20.0_f64.ln() / (1.0 - load), 0.08);
    }
}

#[test]
fn several_servers_wait_as_theory_says() {
    for (servers, share) in [(2, 0.7), (10, 0.8), (50, 0.9)] {
        let load = f64::from(servers) * share;
        let Station { time, held, .. } = station(load, servers);
        close("utilisation", held, share, 0.03);
        let waits = erlang_c(load, servers) / (f64::from(servers) - load);
        close("M/M/k", time, 1.0 + waits, 0.05);
    }
}

/// A quota without a burst is a server that takes the same time for all: M/D/1.
#[test]
fn a_quota_waits_as_theory_says() {
    for load in [0.4, 0.7] {
        let mut engine = Engine::new(11);
        let quota = engine.quota(1.0, 0.0);
        let mut at = 0.0;
        for _ in 0..CALLS {
            at += engine.random().exponential(1.0 / load);
            let draw = Step::Draw {
                quota,
                units: 1.0,
                patience: f64::INFINITY,
            };
            engine.begin(at, vec![draw, Step::Done]);
        }
        engine.run(at);
        close("utilisation", engine.drawn(quota), load, 0.03);
        close("M/D/1", engine.mean(0.0), load / (2.0 * (1.0 - load)), 0.06);
    }
}

#[test]
fn who_has_no_patience_is_refused_and_draws_nothing() {
    let mut engine = Engine::new(1);
    let quota = engine.quota(1.0, 0.0);
    let place = engine.pool(1);
    let draw = Step::Draw {
        quota,
        units: 1.0,
        patience: 0.5,
    };
    for at in [0.0, 0.2, 0.6] {
        let held = [Step::TakeNow(place), draw.clone(), Step::Give(place)];
        engine.begin(at, [held.to_vec(), vec![Step::Done]].concat());
    }
    engine.run(10.0);
    // The second would have waited for 0.8 s. Its place is free again for the third.
    assert_eq!((engine.done(0.0), engine.refused(0.0)), (2, 1));
    close("drawn", engine.drawn(quota), 0.2, 1e-9);
}

#[test]
fn batches_fill_while_the_worker_is_busy() {
    let mut engine = Engine::new(1);
    let sizes = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = sizes.clone();
    let batcher = engine.batcher(4, 0.1, move |size, _| {
        seen.borrow_mut().push(size);
        vec![Step::Pause(1.0)]
    });
    for n in 0..10 {
        engine.begin(f64::from(n) * 0.04, vec![Step::Join(batcher)]);
    }
    engine.run(10.0);
    // The window of the first is over before it is full, that of the last before others come.
    assert_eq!(*sizes.borrow(), [3, 4, 3]);
    close("busy", engine.busy(batcher), 0.3, 1e-9);
}

#[test]
fn a_full_batch_does_not_wait_for_its_window() {
    let mut engine = Engine::new(1);
    let batcher = engine.batcher(4, 100.0, |_, _| vec![Step::Pause(1.0)]);
    for n in 0..8 {
        engine.begin(f64::from(n) * 0.1, vec![Step::Join(batcher)]);
    }
    engine.run(4.0);
    assert_eq!(engine.behind(batcher), 0);
    close("busy", engine.busy(batcher), 0.5, 1e-9);
}

/// One saturated row of `docs/performance.md` (November 2026): 256 connections over two cores,
/// where the gateway takes 258 us of CPU for a call. What the load generator takes is known from
/// the echo of the same run: 15,631 calls a second at 88 us leave it 40 us a call of two cores.
#[test]
fn two_cores_give_what_was_measured_on_them() {
    let (connections, seconds) = (256, 10.0);
    let (measured_rate, measured_median) = (6_159.0, 0.039_81);
    let generator = 2.0 / 15_631.0 - 88e-6;
    let mut engine = Engine::new(3);
    let cores = engine.pool(2);
    let mean = 258e-6 + generator;
    let rate = closed(&mut engine, cores, connections, mean, seconds);
    close("calls a second", rate, measured_rate, 0.15);
    // All wait about equally long: by Little's law, the connections over the rate.
    close(
        "median",
        f64::from(connections) / rate,
        measured_median,
        0.15,
    );
}

/// Jobs of a closed loop that end up to `seconds`, a second: each connection has a chain of calls,
/// long enough for the time.
fn closed(engine: &mut Engine, cores: PoolId, connections: u32, mean: f64, seconds: f64) -> f64 {
    const CALLS_EACH: u32 = 400;
    for _ in 0..connections {
        let mut steps = Vec::new();
        for _ in 0..CALLS_EACH {
            let served = engine.random().exponential(mean);
            steps.extend([
                Step::Take(cores),
                Step::Pause(served),
                Step::Give(cores),
                Step::Done,
            ]);
        }
        engine.begin(0.0, steps);
    }
    engine.run(seconds);
    f64::from(engine.done(0.0)) / seconds
}
