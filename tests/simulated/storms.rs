//! Loaded rings with a fault, on a virtual clock: they recover, and no living node is taken for dead for being busy.
//! A failure prints the command that repeats it.

use std::ops::ControlFlow;
use std::time::Duration;

use chord::sim::storm::{self, Defences, Fault, Options, Outcome, Prices, Report};

/// A ring of 32 whose work costs four times as much as usual, so that there is less of it: some 800 lookups a second on
/// each thread.
fn small() -> Options {
    Options { nodes: 32, threads: 2, prices: Prices::USUAL.times(4), ..Options::default() }
}

fn run(options: &Options) -> Report {
    storm::run(options, |_| ControlFlow::Continue(()))
}

fn assert_bears(options: &Options) -> Report {
    let report = run(options);
    assert_eq!(report.violations(), [""; 0], "{report}\nsee something like it with: {}", report.command());
    report
}

#[test]
fn ring_that_is_paused_answers_as_before_when_the_pause_is_over() {
    for seed in 0..2 {
        for struck in [1, 2] {
            let options = Options { seed, struck, loads: vec![0.5, 0.8, 1.5], ..small() };
            assert_bears(&options);
        }
    }
}

#[test]
fn thread_that_sleeps_for_longer_than_others_wait_is_buried_alone() {
    let options = Options { threads: 4, pause: Duration::from_secs(5), loads: vec![0.5], ..small() };
    let report = assert_bears(&options);
    assert!(report.outcomes[0].counts.buried > 0, "the others find it dead:\n{report}");
}

#[test]
fn ring_bears_the_death_of_a_thread_and_its_restart_on_other_ports_and_a_leave() {
    for fault in [Fault::Kill, Fault::Restart, Fault::Leave] {
        assert_bears(&Options { threads: 4, fault, loads: vec![0.5], ..small() });
    }
}

#[test]
fn one_seed_is_one_storm() {
    let options = Options { loads: vec![0.5], ..small() };
    assert_eq!(run(&options), run(&options));
}

/// The model can fail: without the common decisions of threads the storm goes on when its cause is gone.
#[test]
fn storm_does_not_end_without_the_defences() {
    let defences = Defences { merging: false, health: false };
    let options = Options { struck: 2, loads: vec![0.8, 3.0], pause: Duration::from_secs(3), ..small() };
    assert_bears(&options);
    let report = run(&Options { defences, ..options });
    let Outcome { before, after, .. } = report.outcomes[0];
    assert!(after < before / 2.0, "{report}");
    assert!(report.outcomes[1].counts.buried_alive > 0, "the living are buried:\n{report}");
    assert!(report.violations().len() >= 2, "{report}");
}
