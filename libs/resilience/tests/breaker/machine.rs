//! The state machine, without a ledger.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use waybill_resilience::{
    Admission, Change, CircuitBreaker, Permit, Sample, Settings, Span, State, Tally,
};

use super::{bad, good, settings, slow};

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).unwrap()
}

fn permit(breaker: &mut CircuitBreaker, now: DateTime<Utc>) -> Permit {
    match breaker.admit(now).0 {
        Admission::Permitted(permit) => permit,
        Admission::Refused { retry_at } => panic!("refused until {retry_at}"),
    }
}

fn calls(breaker: &mut CircuitBreaker, samples: &[Sample], now: DateTime<Utc>) -> Vec<Change> {
    let mut changes = Vec::new();
    for sample in samples {
        let permit = permit(breaker, now);
        changes.extend(breaker.report(&permit, *sample, now));
    }
    changes
}

fn opened(settings: Settings) -> CircuitBreaker {
    let mut breaker = CircuitBreaker::new(settings);
    assert_eq!(calls(&mut breaker, &[bad(); 4], start()).len(), 1);
    breaker
}

#[test]
fn it_opens_at_the_rate_and_not_below_the_minimum() {
    let mut breaker = CircuitBreaker::new(settings());
    assert_eq!(calls(&mut breaker, &[bad(), good(), good()], start()), []);
    let tally = Tally {
        calls: 4,
        failures: 2,
        slow: 0,
    };
    assert_eq!(
        calls(&mut breaker, &[bad()], start()),
        [Change::Opened(tally)]
    );
    let until = start() + TimeDelta::seconds(5);
    let refused = Admission::Refused { retry_at: until };
    assert_eq!(breaker.admit(start()), (refused, None));
}

#[test]
fn slow_calls_open_it_too() {
    let mut breaker = CircuitBreaker::new(settings());
    assert_eq!(calls(&mut breaker, &[good(), slow(), slow()], start()), []);
    assert_eq!(calls(&mut breaker, &[slow()], start()).len(), 1);
}

#[test]
fn a_run_of_failures_opens_it_before_the_minimum() {
    let run = Settings {
        minimum_calls: 100,
        consecutive_failures: 3,
        ..settings()
    };
    let mut breaker = CircuitBreaker::new(run);
    let broken_run = [bad(), bad(), good(), bad(), bad()];
    assert_eq!(calls(&mut breaker, &broken_run, start()), []);
    assert_eq!(calls(&mut breaker, &[bad()], start()).len(), 1);
}

#[test]
fn old_calls_leave_a_window_of_calls_and_one_of_seconds() {
    let mut breaker = CircuitBreaker::new(settings());
    calls(&mut breaker, &[bad(), good(), good()], start());
    calls(&mut breaker, &[good(); 10], start());
    let more = [bad(), bad(), bad(), bad()];
    assert_eq!(calls(&mut breaker, &more, start()), []);

    let seconds = Settings {
        span: Span::Seconds(10),
        ..settings()
    };
    let mut breaker = CircuitBreaker::new(seconds);
    calls(&mut breaker, &[bad(), bad(), bad()], start());
    let later = start() + TimeDelta::seconds(10);
    assert_eq!(calls(&mut breaker, &[bad()], later), []);
    assert_eq!(calls(&mut breaker, &[bad(), bad(), bad()], later).len(), 1);
}

#[test]
fn good_probes_close_it_and_bad_ones_open_it_for_longer() {
    let mut breaker = opened(settings());
    let later = start() + TimeDelta::seconds(5);
    let changes = calls(&mut breaker, &[bad(), bad(), good()], later);
    assert!(matches!(changes[..], [Change::Opened(_)]));
    let twice = later + TimeDelta::seconds(10);
    let refused = Admission::Refused { retry_at: twice };
    assert_eq!(breaker.admit(later), (refused, None));
    assert_eq!(
        calls(&mut breaker, &[good(), bad(), good()], twice),
        [Change::Closed]
    );
    // A fresh start: what was counted before is forgotten, and so is the doubling.
    assert_eq!(calls(&mut breaker, &[bad(), bad(), bad()], twice), []);
    calls(&mut breaker, &[bad()], twice);
    let until = twice + TimeDelta::seconds(5);
    assert!(matches!(breaker.circuit().state, State::Open { until: u, openings: 1 } if u == until));
}

#[test]
fn a_lost_probe_counts_as_failed_and_does_not_keep_it_half_open() {
    let mut breaker = opened(settings());
    let mut now = start() + TimeDelta::seconds(5);
    let lost = [permit(&mut breaker, now), permit(&mut breaker, now)];
    calls(&mut breaker, &[good()], now);
    assert!(matches!(breaker.admit(now).0, Admission::Refused { .. }));
    now += TimeDelta::seconds(60);
    let (admission, change) = breaker.admit(now);
    assert!(matches!(admission, Admission::Refused { .. }));
    assert!(matches!(change, Some(Change::Opened(_))));
    for late in lost {
        assert_eq!(breaker.report(&late, good(), now), None);
    }
}

#[test]
fn a_probe_given_back_is_given_again() {
    let mut breaker = opened(settings());
    let now = start() + TimeDelta::seconds(5);
    let back = permit(&mut breaker, now);
    let _second = permit(&mut breaker, now);
    let _third = permit(&mut breaker, now);
    assert!(matches!(breaker.admit(now).0, Admission::Refused { .. }));
    breaker.give_back(&back);
    let again = permit(&mut breaker, now);
    assert_ne!(again, back);
    assert_eq!(breaker.report(&back, good(), now), None);
    assert!(matches!(breaker.admit(now).0, Admission::Refused { .. }));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Wait(u32),
    Admit,
    /// Reports one of the calls under way.
    Report {
        which: prop::sample::Index,
        sample: Sample,
    },
    GiveBack(prop::sample::Index),
}

fn op() -> impl Strategy<Value = Op> {
    let sample = prop_oneof![3 => Just(good()), 3 => Just(bad()), 1 => Just(slow())];
    prop_oneof![
        2 => (0..8u32).prop_map(Op::Wait),
        6 => Just(Op::Admit),
        6 => (any::<prop::sample::Index>(), sample)
            .prop_map(|(which, sample)| Op::Report { which, sample }),
        1 => any::<prop::sample::Index>().prop_map(Op::GiveBack),
    ]
}

/// What the breaker should know, kept the naive way.
#[derive(Default)]
struct Model {
    /// Calls since it was last closed, oldest first.
    closed: Vec<Sample>,
    granted: usize,
    given_back: usize,
    under_way: Vec<(u64, Permit)>,
}

impl Model {
    fn should_trip(&self, settings: &Settings) -> bool {
        let run = settings.consecutive_failures as usize;
        let tail = self.closed.iter().rev();
        if tail.clone().take(run).filter(|s| s.failed).count() == run {
            return true;
        }
        let last: Vec<_> = tail.take(10).collect();
        let failed = last.iter().filter(|s| s.failed).count();
        let slow = last.iter().filter(|s| s.took >= settings.slow_call);
        // The rates of `settings()`: one half, three quarters.
        let bad = 2 * failed >= last.len() || 4 * slow.count() >= 3 * last.len();
        last.len() >= settings.minimum_calls as usize && bad
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any order of calls, outcomes and waits: it opens exactly when the rule says so, lets nobody
    /// through while it is open, and exactly N probes when it is half-open.
    #[test]
    fn it_does_what_the_rule_says(
        ops in prop::collection::vec(op(), 1..200),
        run in prop_oneof![Just(3), Just(u32::MAX)],
    ) {
        let settings = Settings { consecutive_failures: run, ..settings() };
        let mut breaker = CircuitBreaker::new(settings);
        let mut model = Model::default();
        let mut now = start();
        for op in ops {
            let before = breaker.circuit().clone();
            match op {
                Op::Wait(seconds) => now += TimeDelta::seconds(seconds.into()),
                Op::Admit => admitted(&mut breaker, &mut model, &settings, now)?,
                Op::Report { which, sample } if !model.under_way.is_empty() => {
                    let at = which.index(model.under_way.len());
                    let (generation, permit) = model.under_way.remove(at);
                    let change = breaker.report(&permit, sample, now);
                    if before.generation != generation {
                        prop_assert_eq!(change, None, "a stale report changes nothing");
                    } else if before.state == State::Closed {
                        model.closed.push(sample);
                        let trip = model.should_trip(&settings);
                        prop_assert_eq!(matches!(change, Some(Change::Opened(_))), trip);
                    }
                }
                Op::GiveBack(which) if !model.under_way.is_empty() => {
                    let at = which.index(model.under_way.len());
                    let (generation, permit) = model.under_way.remove(at);
                    breaker.give_back(&permit);
                    if generation == before.generation {
                        model.given_back += 1;
                    }
                }
                _ => {}
            }
            if breaker.circuit().generation != before.generation {
                model.closed.clear();
            }
        }
    }
}

fn admitted(
    breaker: &mut CircuitBreaker,
    model: &mut Model,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<(), TestCaseError> {
    let before = breaker.circuit().clone();
    let (admission, change) = breaker.admit(now);
    let after = breaker.circuit().clone();
    if after.generation != before.generation {
        (model.granted, model.given_back) = (0, 0);
    }
    let permitted = match admission {
        Admission::Permitted(permit) => {
            model.granted += 1;
            model.under_way.push((after.generation, permit));
            true
        }
        Admission::Refused { .. } => false,
    };
    match (&before.state, &after.state) {
        (State::Closed, _) => prop_assert!(permitted),
        (State::Open { until, .. }, _) => prop_assert_eq!(permitted, now >= *until),
        (State::HalfOpen { .. }, State::HalfOpen { .. }) => {
            let taken = model.granted - model.given_back - usize::from(permitted);
            prop_assert_eq!(permitted, taken < settings.probes as usize);
        }
        // Its last probe was lost.
        (State::HalfOpen { .. }, _) => prop_assert!(change.is_some()),
    }
    Ok(())
}
