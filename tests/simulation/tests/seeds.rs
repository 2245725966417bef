//! 2,000 worlds keep every promise, and the same seed is the same world.

/// In four tests, so that a runner can use its processors.
const SEEDS: u64 = 500;

fn keep_every_promise(quarter: u64) {
    let faults: u64 = (quarter * SEEDS..(quarter + 1) * SEEDS)
        .map(|seed| match waybill_simulation::run(seed) {
            Ok(report) => report.injected.values().sum::<u64>(),
            Err(broken) => panic!("{broken:?}"),
        })
        .sum();
    assert!(
        faults > SEEDS * 10,
        "only {faults} faults: the worlds are too kind"
    );
}

#[test]
fn worlds_of_the_first_quarter() {
    keep_every_promise(0);
}

#[test]
fn worlds_of_the_second_quarter() {
    keep_every_promise(1);
}

#[test]
fn worlds_of_the_third_quarter() {
    keep_every_promise(2);
}

#[test]
fn worlds_of_the_fourth_quarter() {
    keep_every_promise(3);
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in [3, 1_234] {
        let (one, two) = (
            waybill_simulation::run(seed).unwrap(),
            waybill_simulation::run(seed).unwrap(),
        );
        assert_eq!(format!("{one:?}"), format!("{two:?}"), "seed {seed}");
    }
}
