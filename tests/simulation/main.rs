//! A simulation of the log with its clock, disk, store and process, where everything goes wrong together. docs/simulation.md says how
//! to run it and how to read a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

mod alerts;
mod clock;
mod disk;
mod erasing;
mod events;
mod evidence;
mod hand_over;
mod invariants;
mod model;
#[cfg(feature = "storage")]
mod native;
mod older;
mod process;
mod prune;
mod reading;
mod recording;
mod regressions;
mod regressions_of_erasure;
mod regressions_of_evidence;
mod regressions_of_sinks;
mod replay;
mod report;
mod script;
mod sealing;
mod seed;
mod shrink;
mod sinks;
mod store;
#[cfg(feature = "storage")]
mod transfer;
mod world;

use std::ops::Range;

use report::Report;
use script::Script;
use world::World;

/// The seeds that each run of the tests tries.
const FIXED: Range<u64> = 0..60;

/// The same with the storage driver of this library.
#[cfg(feature = "storage")]
const FIXED_NATIVE: Range<u64> = 0..10;

/// Runs seeds, and returns the first that fail, each as a test.
fn run(seeds: Range<u64>, script: impl Fn(u64) -> Script, most_failures: usize, seconds: f64) -> (Report, Vec<String>) {
    let (mut report, mut failures) = (Report::new(), Vec::new());
    let began = std::time::Instant::now();
    for seed in seeds {
        let script = script(seed);
        let world = World::run(&script);
        report.add(&world);
        if let Some(problem) = world.problem {
            if std::env::var("SHRINK").is_ok_and(|text| text == "0") {
                failures.push(format!("seed {seed}: {problem}"));
            } else {
                let (short, found) = shrink::shrink(&script);
                let test = shrink::as_test(&short, &format!("seed_{seed}"));
                failures.push(format!("seed {seed}: {problem}\nmade shorter: {found}\n{test}"));
            }
            if failures.len() >= most_failures {
                break;
            }
        }
        if began.elapsed().as_secs_f64() > seconds {
            break;
        }
    }
    (report, failures)
}

#[test]
fn nothing_is_lost_twice_or_too_early_whatever_goes_wrong() {
    let (report, failures) = run(FIXED, Script::of, 1, f64::INFINITY);
    println!("{report}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[cfg(feature = "storage")]
#[test]
fn the_native_store_has_what_it_should_have_after_each_crash_and_power_cut() {
    let (report, failures) = run(FIXED_NATIVE, Script::of_native, 1, f64::INFINITY);
    println!("{report}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Started by `make simulate`.
#[test]
#[ignore = "takes as long as it is told to, see docs/simulation.md"]
fn simulate() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (first, count) = (number("FIRST", 0), number("SEEDS", 10_000));
    #[cfg(feature = "storage")]
    let script = if std::env::var("STORE").is_ok_and(|name| name == "audit") { Script::of_native } else { Script::of };
    #[cfg(not(feature = "storage"))]
    let script = Script::of;
    let (report, failures) = run(first..first + count, script, number("FAILURES", 3) as usize, number("SECONDS", u64::MAX) as f64);
    println!("{report}");
    println!("{} failures", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
