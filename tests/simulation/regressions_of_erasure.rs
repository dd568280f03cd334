//! Scripts after which something was left of what had been erased. Each must pass.

use crate::regressions::{passes, setup};
use crate::script::{Action, Driver, Mood, Setup};

/// What had been recorded before the clock was set back lay under later times than the erasure.
#[test]
fn an_erasure_after_the_clock_was_set_back_takes_what_was_recorded_before() {
    passes(setup(Driver::Embedded, 0, 1_803_859_190.0), &[Action::Event(4, 0, 0), Action::Jump(-259_200.0), Action::Erase(0)]);
    passes(Setup { recent: 524_288, old: 12, ..setup(Driver::Sql, 6, 1_803_859_190.0) }, &[Action::Jump(-3_456_000.0), Action::Erase(1)]);
}

/// It was tried again when the time that it was asked for at had passed.
#[test]
fn an_erasure_that_is_tried_again_takes_the_same() {
    passes(
        Setup { is_small: true, recent: 524_288, old: 700, ..setup(Driver::Embedded, 2, 1_795_521_600.0) },
        &[Action::Jump(-3_456_000.0), Action::Store(Mood::Refuses, 1), Action::Erase(1)],
    );
}

/// An erasure is interrupted at each of its steps, and the next process ends it.
#[test]
fn an_erasure_goes_on_after_a_crash_at_any_step() {
    for driver in [Driver::Embedded, Driver::Sql] {
        for step in (0..60).step_by(3) {
            passes(
                Setup { old: 12, ..setup(driver, 0, 1_803_859_190.0) },
                &[
                    Action::Flood(0, 30, 3, 2),
                    Action::Event(6, 1, 1),
                    Action::Pass(2.0),
                    Action::Crash(step),
                    Action::Erase(1),
                    Action::Pass(60.0),
                ],
            );
        }
    }
}
