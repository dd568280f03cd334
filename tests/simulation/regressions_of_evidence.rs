//! Scripts after which a log did not verify that nobody had touched, or an edit was not found. Each must pass.

use crate::regressions::{passes, setup};
use crate::script::{Action, Between, Driver, Setup};

/// The journal had lost what it knew of the chains, so the store's entries were of unknown ones.
#[test]
fn a_log_verifies_after_a_power_cut() {
    passes(
        setup(Driver::Embedded, 4, 1_835_481_600.0),
        &[Action::Read(true, true, Between::Events), Action::PowerCut(10_488_040_729_259_758_508, 172_800.0)],
    );
    passes(
        Setup { quota: Some(150), is_small: true, recent: 524_288, old: 700, ..setup(Driver::Sql, 4, 1_835_481_600.0) },
        &[Action::Event(1, 0, 0), Action::Pass(0.3), Action::PowerCut(5_735_844_356_095_521_568, 5.0)],
    );
}

/// The journal was full, and what was only in memory was given up. The head had counted it.
#[test]
fn an_entry_that_is_given_up_is_not_missing() {
    passes(
        Setup { quota: Some(150), is_small: true, old: 700, ..setup(Driver::Embedded, 2, 1_835_395_100.0) },
        &[Action::Flood(4, 63, 3, 2), Action::Event(3, 0, 0)],
    );
}

/// A chain that was begun was not written down, and nothing tried again.
#[test]
fn a_chain_that_begins_while_the_disk_is_full_is_known_once_there_is_room() {
    passes(Setup { quota: Some(150), recent: 524_288, ..setup(Driver::Embedded, 1, 100.0) }, &[Action::Room(30), Action::Pass(1.0)]);
    passes(
        Setup { recent: 4000, old: 700, ..setup(Driver::Sql, 5, 1_803_859_190.0) },
        &[Action::Room(500), Action::Event(2, 0, 0), Action::Event(1, 0, 0)],
    );
}

/// The head of the chain stayed at 0, so that it was not missed.
#[test]
fn a_partition_is_missed_although_the_disk_was_full_when_its_chain_began() {
    passes(
        Setup { recent: 4000, old: 12, ..setup(Driver::Embedded, 0, 1_835_481_600.0) },
        &[Action::Room(500), Action::Event(3, 0, 0), Action::Pass(1.0)],
    );
}

/// The second removal, of fewer entries, took the place of the first one.
#[test]
fn what_an_older_copy_of_the_store_had_is_removed_once_more() {
    passes(
        Setup { recent: 524_288, old: 12, ..setup(Driver::Embedded, 3, 1_835_395_100.0) },
        &[
            Action::Event(1, 0, 0),
            Action::Pass(1.0),
            Action::Backup,
            Action::Event(1, 0, 0),
            Action::Pass(2_592_000.0),
            Action::Older,
            Action::Pass(86_400.0),
        ],
    );
}

/// The last entries of the store were looked for in a partition with entries that had been moved from the older log.
#[test]
fn entries_that_were_moved_do_not_hide_where_a_chain_goes_on() {
    passes(
        Setup { is_small: true, old: 700, ..setup(Driver::Embedded, 0, 1_795_521_600.0) },
        &[
            Action::Read(false, false, Between::Prune),
            Action::Event(4, 0, 0),
            Action::Pass(1.0),
            Action::PowerCut(7_771_070_449_442_662_773, 600.0),
        ],
    );
}

/// The newest entry that was sealed lay long after the last seal.
#[test]
fn seals_are_not_late_after_the_clock_was_set_back() {
    passes(
        Setup { quota: Some(150), is_small: true, recent: 524_288, is_sealed: true, ..setup(Driver::Unordered, 0, 1_803_859_190.0) },
        &[Action::Event(2, 0, 0), Action::Jump(-3_456_000.0)],
    );
}

/// Nothing was to be sealed since the last seal.
#[test]
fn seals_are_not_late_if_nothing_happened_for_long() {
    passes(
        Setup { is_small: true, old: 12, is_sealed: true, ..setup(Driver::Embedded, 0, 1_803_859_190.0) },
        &[
            Action::Event(3, 0, 0),
            Action::Pass(86_400.0),
            Action::Jump(7200.0),
            Action::Pass(3600.0),
            Action::Read(true, false, Between::Prune),
        ],
    );
}
