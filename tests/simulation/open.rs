//! Scripts that still fail, made shorter. docs/simulation.md says what is known of each. They are not run by default:
//! `cargo test --no-default-features --test simulation -- --ignored open::` runs them.

use audit_core::file::Operation;

use crate::regressions::{passes, setup};
use crate::script::{Action, Between, Driver, Errno, Mood, Setup};

#[test]
#[ignore = "open: the order of what was written after an outage that is not confirmed, if the clock jumps soon"]
fn a_limit_keeps_what_was_written_between_an_outage_and_a_jump() {
    passes(
        setup(Driver::Unordered, 5, 1_835_395_100.0),
        &[
            Action::Store(Mood::Refuses, 3),
            Action::Flood(4, 220, 3, 2),
            Action::Pass(1.0),
            Action::Options(2),
            Action::PowerCut(10_113_499_329_430_478_252, 172_800.0),
            Action::Jump(86_400.0),
        ],
    );
    passes(
        Setup { is_small: true, recent: 524_288, ..setup(Driver::Sql, 2, 1_795_521_600.0) },
        &[
            Action::Flood(2, 22, 1, 2),
            Action::PowerCut(16_728_555_097_544_871_822, 172_800.0),
            Action::Pass(60.0),
            Action::Jump(3_456_000.0),
            Action::Flood(4, 127, 3, 2),
            Action::Pass(60.0),
        ],
    );
}

#[test]
#[ignore = "open: the order of what was written between two jumps of the clock within a day"]
fn a_limit_keeps_what_was_written_between_two_jumps() {
    passes(
        Setup { quota: Some(150), recent: 4000, ..setup(Driver::Unordered, 2, 1_795_521_600.0) },
        &[
            Action::Pass(86_400.0),
            Action::Flood(4, 223, 3, 2),
            Action::Jump(950_400_000.0),
            Action::Event(5, 0, 0),
            Action::Jump(259_200.0),
        ],
    );
}

#[test]
#[ignore = "open: a power cut takes the file with what is known of the clock if it was written within the last seconds"]
fn what_is_known_of_the_clock_outlasts_a_power_cut() {
    passes(
        Setup { quota: Some(150), recent: 524_288, ..setup(Driver::Sql, 3, 1_795_521_600.0) },
        &[
            Action::Event(0, 0, 0),
            Action::Jump(3_456_000.0),
            Action::Pass(3600.0),
            Action::Options(3),
            Action::PowerCut(13_347_978_556_136_954_306, 600.0),
            Action::Pass(60.0),
        ],
    );
}

#[test]
#[ignore = "open: a process that could not read the journal has written more than the next one looks at"]
fn an_entry_that_the_store_had_is_not_stored_again_after_another_restart() {
    passes(
        Setup { recent: 524_288, ..setup(Driver::Unordered, 0, 1_795_521_600.0) },
        &[
            Action::Event(4, 0, 0),
            Action::Fail(Operation::Open, Errno::Io, 1000),
            Action::Crash(9),
            Action::Pass(1.0),
            Action::Flood(4, 231, 3, 2),
            Action::Flood(4, 231, 3, 2),
        ],
    );
}

#[test]
#[ignore = "open: two jumps back of the clock, the second before the first is settled"]
fn an_entry_keeps_its_time_after_two_jumps_back() {
    passes(
        Setup { is_small: true, ..setup(Driver::Embedded, 1, 1_795_521_600.0) },
        &[Action::Pass(5_184_000.0), Action::Jump(-259_200.0), Action::Pass(60.0), Action::Jump(-3_456_000.0), Action::Pass(2_592_000.0)],
    );
}

#[test]
#[ignore = "open: the older log is not in order with what was stored after the clock was set back"]
fn a_reading_of_an_older_log_is_in_order_after_the_clock_was_set_back() {
    passes(
        Setup { old: 12, ..setup(Driver::Unordered, 5, 1_835_481_600.0) },
        &[Action::Jump(-7200.0), Action::Event(3, 0, 0), Action::Read(false, false, Between::Nothing)],
    );
}

#[test]
#[ignore = "open: another process moves the older log while entries still go there"]
fn entries_stay_if_another_process_moves_the_older_log_after_the_layout_has_changed() {
    passes(
        Setup { recent: 4000, ..setup(Driver::Embedded, 4, 1_803_859_190.0) },
        &[Action::Event(1, 0, 0), Action::Pass(1.0), Action::Options(2), Action::Flood(3, 153, 200, 2), Action::Prune(true)],
    );
}
