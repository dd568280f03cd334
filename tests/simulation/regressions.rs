//! Scripts that failed once, made shorter by `shrink.rs`. Each must pass.

use audit_core::file::Operation;

use crate::script::{Action, Between, Damage, Driver, Errno, Mood, Script, Setup};
use crate::world::World;

pub fn passes(setup: Setup, actions: &[Action]) {
    // The script must fail neither with the evidence nor without it, which other processes can prune beside the server.
    for is_linked in [setup.is_linked, false] {
        let world = World::run(&Script { setup: Setup { is_linked, ..setup }, actions: actions.to_vec() });
        assert_eq!((world.problem, is_linked), (None, is_linked));
    }
}

pub const fn setup(driver: Driver, options: usize, began: f64) -> Setup {
    Setup { driver, quota: None, options, is_small: false, recent: 0, old: 0, is_linked: true, is_sealed: false, has_readers: false, began }
}

/// Three events were counted, and their summary was given up as one lost event.
#[test]
fn a_summary_that_finds_no_room_when_the_process_ends_counts_as_its_events() {
    let actions = [Action::Event(4, 0, 0), Action::Room(3000), Action::Flood(5, 13, 1, 2), Action::Options(0)];
    passes(Setup { quota: Some(150), recent: 524_288, ..setup(Driver::Embedded, 0, 1_798_761_500.0) }, &actions);
}

/// After an outage of two days the newest partition was taken for the oldest.
#[test]
fn a_limit_keeps_what_was_written_after_an_outage() {
    passes(
        setup(Driver::Sql, 0, 1_798_761_500.0),
        &[
            Action::Flood(4, 195, 3, 2),
            Action::Pass(0.1),
            Action::PowerCut(1_768_458_066_578_451_668, 172_800.0),
            Action::Options(2),
            Action::Pass(120.0),
            Action::Flood(5, 167, 200, 1),
        ],
    );
}

/// The first entry that waited was taken for the earliest.
#[test]
fn a_reading_during_a_hand_over_shows_each_entry_once_after_the_clock_was_set_back() {
    passes(
        Setup { quota: Some(150), recent: 4000, ..setup(Driver::Embedded, 3, 100.0) },
        &[
            Action::Event(5, 0, 0),
            Action::Pass(1.0),
            Action::Event(2, 0, 0),
            Action::Jump(-86_400.0),
            Action::Event(5, 0, 0),
            Action::Read(false, true, Between::Events),
        ],
    );
}

/// The summary was made again under another time, and was not recognised.
#[test]
fn a_summary_that_the_store_has_is_not_stored_again_after_a_jump_of_the_clock() {
    passes(
        Setup { quota: Some(150), recent: 4000, ..setup(Driver::Embedded, 2, 1_795_521_600.0) },
        &[
            Action::Flood(0, 16, 3, 1),
            Action::Fail(Operation::Remove, Errno::Io, 1000),
            Action::Pass(3600.0),
            Action::PowerCut(14_943_192_328_336_346_743, 172_800.0),
            Action::Jump(-3_456_000.0),
        ],
    );
}

/// The entry was appended to the partition that a copy had replaced. Then the copy did not count, and was removed.
#[test]
fn entries_of_a_day_whose_addresses_were_removed_stay_after_the_clock_was_set_back_to_it() {
    passes(
        setup(Driver::Embedded, 1, 1_803_859_190.0),
        &[
            Action::Pass(60.0),
            Action::Event(4, 0, 0),
            Action::Pass(86_400.0),
            Action::Jump(-259_200.0),
            Action::Pass(86_400.0),
            Action::Pass(86_400.0),
            Action::Event(4, 0, 0),
            Action::Pass(1.0),
        ],
    );
}

/// After the clock was right again, the jump that followed was only about the time since then.
#[test]
fn a_wrong_clock_removes_nothing_early_after_it_was_wrong_before() {
    passes(
        Setup { quota: Some(150), is_small: true, recent: 524_288, ..setup(Driver::Embedded, 0, 1_798_761_500.0) },
        &[
            Action::Event(3, 0, 0),
            Action::Jump(259_200.0),
            Action::Pass(3660.0),
            Action::Jump(-259_200.0),
            Action::Pass(60.0),
            Action::Pass(86_400.0),
            Action::Jump(3_456_000.0),
            Action::Event(4, 0, 0),
            Action::Pass(86_400.0),
        ],
    );
}

#[test]
fn names_of_removed_partitions_that_are_used_again_after_a_jump_are_the_newest() {
    passes(
        Setup {
            driver: Driver::Embedded,
            quota: None,
            options: 2,
            is_small: false,
            recent: 4000,
            old: 0,
            is_linked: true,
            is_sealed: false,
            has_readers: false,
            began: 1803859190.0,
        },
        &[
            Action::Pass(60.0),
            Action::Flood(4, 175, 200, 1),
            Action::Jump(259200.0),
            Action::Flood(4, 234, 3, 2),
            Action::Pass(60.0),
            Action::Jump(-259200.0),
            Action::Flood(4, 105, 3, 2),
        ],
    );
}

#[test]
fn a_jump_is_about_the_first_hours_of_a_log_too_if_the_clock_was_wrong_in_between() {
    passes(
        Setup {
            driver: Driver::Unordered,
            quota: None,
            options: 0,
            is_small: true,
            recent: 0,
            old: 0,
            is_linked: true,
            is_sealed: false,
            has_readers: false,
            began: 1798761500.0,
        },
        &[
            Action::Event(4, 0, 0),
            Action::Jump(3456000.0),
            Action::Pass(3600.0),
            Action::Jump(-3456000.0),
            Action::Pass(864000.0),
            Action::Jump(3456000.0),
            Action::Pass(259200.0),
        ],
    );
}

/// An entry was made and stored while the driver had not answered for the one before, and so both were in the wrong order.
#[test]
fn entries_that_are_written_directly_do_not_overtake_one_another_while_the_driver_yields() {
    passes(
        Setup { is_small: true, recent: 4000, ..setup(Driver::Sql, 3, 1_835_395_100.0) },
        &[
            Action::Fail(Operation::Lock, Errno::NoSpace, 1),
            Action::Options(2),
            Action::Store(Mood::Yields, 10),
            Action::Read(false, true, Between::Events),
        ],
    );
    passes(
        Setup { quota: Some(150), is_small: true, ..setup(Driver::Embedded, 2, 1_835_395_100.0) },
        &[
            Action::Store(Mood::Yields, 20),
            Action::Fail(Operation::ReadAt, Errno::NoSpace, 10),
            Action::Read(true, false, Between::Events),
            Action::Restart,
            Action::Event(1, 0, 0),
        ],
    );
}

/// The simulation did not say how many entries of a page were damaged, and so the reading ended there.
#[test]
fn a_reading_shows_what_is_behind_a_damaged_part_of_the_journal_and_reports_the_damage() {
    passes(
        Setup { is_small: true, recent: 4000, ..setup(Driver::Sql, 2, 1_795_521_600.0) },
        &[
            Action::Flood(3, 101, 3, 100),
            Action::Damage(Damage::Flip, 10_605_509_267_390_367_606),
            Action::Read(false, false, Between::Nothing),
        ],
    );
}

/// The entry waited, and had expired by the wrong clock. Then it was taken for one that had been shown.
#[test]
fn who_follows_the_log_sees_an_entry_that_waited_while_the_clock_was_wrong() {
    passes(
        Setup { recent: 524_288, ..setup(Driver::Sql, 0, 1_835_481_600.0) },
        &[
            Action::Follow,
            Action::Room(500),
            Action::Event(0, 0, 0),
            Action::Fail(Operation::Create, Errno::Io, 1000),
            Action::Jump(3_456_000.0),
            Action::Pass(3600.0),
            Action::Jump(-3_456_000.0),
        ],
    );
}

/// The day was taken for one that begins empty, and the copy for one that is not complete.
#[test]
fn entries_of_a_day_whose_addresses_were_removed_stay_if_the_clock_reaches_it_again() {
    passes(
        Setup { recent: 4000, ..setup(Driver::Unordered, 1, 1_795_521_600.0) },
        &[
            Action::Event(4, 0, 0),
            Action::Jump(-259_200.0),
            Action::Pass(86_400.0),
            Action::Pass(86_400.0),
            Action::Event(4, 0, 0),
            Action::Jump(86_400.0),
            Action::Event(4, 0, 0),
        ],
    );
}

/// The store had kept the entry and said that it had not, so it was not counted.
#[test]
fn a_partition_has_no_more_entries_than_it_may_after_a_driver_has_said_no_and_kept_one() {
    for mood in [Mood::Keeps, Mood::LosesAnswer] {
        passes(
            setup(Driver::Embedded, 3, 1_798_761_500.0),
            &[
                Action::Event(4, 0, 0),
                Action::Pass(1.0),
                Action::Flood(4, 250, 3, 2),
                Action::Flood(4, 250, 3, 2),
                Action::Store(mood, 1),
                Action::Pass(60.0),
            ],
        );
    }
}

/// There was no event between the start and the first jump, so it was not noticed before the second.
#[test]
fn a_jump_of_the_clock_before_the_first_event_is_noticed() {
    passes(
        Setup { quota: Some(150), recent: 524_288, ..setup(Driver::Sql, 3, 1_803_859_190.0) },
        &[Action::Jump(259_200.0), Action::Event(4, 0, 0), Action::Jump(3_456_000.0), Action::Event(4, 0, 0), Action::Pass(86_400.0)],
    );
    passes(
        setup(Driver::Sql, 0, 1_803_859_190.0),
        &[Action::Jump(-259_200.0), Action::Event(1, 0, 0), Action::Jump(3_456_000.0), Action::Pass(259_200.0)],
    );
}

/// More entries were written directly than the search for it looked at.
#[test]
fn an_entry_that_the_store_had_is_not_stored_again_however_many_were_written_before_the_journal_could_be_read() {
    passes(
        Setup { recent: 524_288, ..setup(Driver::Unordered, 0, 1_795_521_600.0) },
        &[
            Action::Event(4, 0, 0),
            Action::Fail(Operation::Open, Errno::Io, 1000),
            Action::Crash(9),
            Action::Pass(1.0),
            Action::Flood(4, 231, 3, 2),
            Action::Flood(4, 231, 3, 2),
            Action::Heal,
            Action::Pass(120.0),
        ],
    );
}

/// The day was taken for one that begins empty, and its first partition had been removed.
#[test]
fn a_day_that_the_clock_reaches_twice_is_in_order() {
    passes(
        Setup { quota: Some(150), is_small: true, ..setup(Driver::Embedded, 2, 1_795_521_600.0) },
        &[
            Action::Flood(4, 124, 3, 2),
            Action::Jump(-259_200.0),
            Action::Pass(1.0),
            Action::Flood(4, 125, 3, 2),
            Action::Pass(259_200.0),
            Action::Flood(1, 13, 200, 1),
            Action::Flood(1, 115, 1, 100),
            Action::Pass(1.0),
            Action::Read(false, false, Between::Prune),
        ],
    );
}

/// They were taken for the newest of their day.
#[test]
fn a_limit_takes_entries_that_were_moved_from_the_older_log_for_the_oldest_of_their_day() {
    passes(
        Setup { old: 12, recent: 524_288, ..setup(Driver::Embedded, 2, 1_795_521_600.0) },
        &[
            Action::Flood(4, 256, 3, 2),
            Action::Flood(4, 257, 3, 2),
            Action::Pass(60.0),
            Action::Flood(1, 101, 3, 100),
            Action::Flood(2, 24, 3, 2),
        ],
    );
}

/// The second jump came before the first was settled, and the third was not applied to what was before the first.
#[test]
fn an_entry_keeps_its_time_after_three_jumps() {
    passes(
        setup(Driver::Sql, 3, 1_795_521_600.0),
        &[
            Action::Event(5, 0, 0),
            Action::Jump(3_456_000.0),
            Action::Pass(3600.0),
            Action::Jump(259_200.0),
            Action::Pass(259_200.0),
            Action::Jump(3_456_000.0),
            Action::Pass(5_184_000.0),
        ],
    );
    passes(
        setup(Driver::Sql, 0, 1_803_859_190.0),
        &[
            Action::Event(1, 0, 0),
            Action::Jump(259_200.0),
            Action::Pass(86_400.0),
            Action::Jump(3_456_000.0),
            Action::Event(0, 0, 0),
            Action::Pass(86_400.0),
            Action::Jump(950_400_000.0),
            Action::Pass(259_200.0),
        ],
    );
}

/// The clock had never come back to the day on which it jumped, and what was written meanwhile was taken for older than that day.
#[test]
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

/// The same, with two jumps within a day.
#[test]
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

/// The times between the jumps were corrected twice.
#[test]
fn an_entry_keeps_its_time_after_two_jumps_back() {
    passes(
        Setup { is_small: true, ..setup(Driver::Embedded, 1, 1_795_521_600.0) },
        &[Action::Pass(5_184_000.0), Action::Jump(-259_200.0), Action::Pass(60.0), Action::Jump(-3_456_000.0), Action::Pass(2_592_000.0)],
    );
}

/// The file was not forced to the disk.
#[test]
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

/// A process that could not read the journal had written more than the next one looked at.
#[test]
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

/// The check did not know that entries without an id come before the others of their second.
#[test]
fn a_reading_of_an_older_log_is_in_order_after_the_clock_was_set_back() {
    passes(
        Setup { old: 12, ..setup(Driver::Unordered, 5, 1_835_481_600.0) },
        &[Action::Jump(-7200.0), Action::Event(3, 0, 0), Action::Read(false, false, Between::Nothing)],
    );
}

/// In the simulation two processes moved the older log at the same time. The product has a lock for that.
#[test]
fn entries_stay_if_another_process_moves_the_older_log_after_the_layout_has_changed() {
    passes(
        Setup { recent: 4000, ..setup(Driver::Embedded, 4, 1_803_859_190.0) },
        &[Action::Event(1, 0, 0), Action::Pass(1.0), Action::Options(2), Action::Flood(3, 153, 200, 2), Action::Prune(true)],
    );
}

/// The disk was full when the machine lost power, so nothing was known of the two months before. A day of them was taken for one that was
/// written after that.
#[test]
fn a_limit_removes_a_day_that_nothing_is_known_of_before_what_was_written_after_an_outage() {
    passes(
        Setup { quota: Some(150), recent: 524_288, has_readers: true, ..setup(Driver::Embedded, 3, 1_795_521_600.0) },
        &[
            Action::Options(5),
            Action::Event(0, 0, 0),
            Action::Pass(86_400.0),
            Action::Room(3000),
            Action::Pass(5_184_000.0),
            Action::Options(2),
            Action::PowerCut(10_147_507_472_937_219_310, 172_800.0),
            Action::Store(Mood::Refuses, 12),
            Action::Flood(4, 258, 3, 2),
            Action::Pass(1.0),
            Action::Flood(4, 259, 3, 2),
            Action::PowerCut(3_860_286_561_430_160_069, 172_800.0),
            Action::Pass(1.0),
        ],
    );
}
