//! Scripts after which a receiver did not get, or was not told of, what it should. Each must pass.

use crate::regressions::{passes, setup};
use crate::script::{Action, Driver, Reply, Setup};

/// What had expired was set off against what the next process had recorded, which was not in memory any more either.
#[test]
fn a_receiver_that_was_away_is_told_of_all_that_expired_although_more_was_recorded_since() {
    passes(
        Setup { quota: Some(150), is_linked: false, is_sealed: true, has_readers: true, ..setup(Driver::Unordered, 6, 1_803_859_190.0) },
        &[
            Action::Flood(4, 260, 3, 2),
            Action::Receiver(0, Reply::Late, 100),
            Action::Crash(30),
            Action::Receiver(1, Reply::Dies, 9),
            Action::Pass(1.0),
            Action::Receiver(0, Reply::IsAway, u32::MAX),
            Action::Flood(4, 260, 3, 100),
            Action::Pass(60.0),
            Action::Restart,
            Action::Pass(1_036_800.0),
            Action::Receiver(0, Reply::IsAway, 1),
            Action::Restart,
            Action::Flood(4, 260, 3, 2),
            Action::Pass(2.0),
            Action::Event(4, 0, 0),
        ],
    );
}

/// The position of the one that was killed had none of them.
#[test]
fn a_receiver_that_was_away_is_told_of_what_a_process_had_recorded_just_before_it_was_killed() {
    passes(
        Setup { has_readers: true, ..setup(Driver::Sql, 4, 1_835_395_100.0) },
        &[
            Action::Receiver(1, Reply::IsAway, u32::MAX),
            Action::Flood(4, 30, 3, 2),
            Action::Crash(5),
            Action::Event(0, 4, 3),
            Action::Pass(60.0),
            Action::Restart,
            Action::Pass(1_036_800.0),
            Action::Receiver(1, Reply::IsAway, 1),
        ],
    );
}
