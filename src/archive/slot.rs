//! Slots: the partition and the time for the next entry of a class.

use std::collections::{HashMap, HashSet};

use crate::archive::partition::Partition;
use crate::time::{day, whole_seconds};

/// How many partitions of a class may begin in a day. After that, each is filled to the driver's quota.
const ROLLS_A_DAY: u32 = 9000;
/// How many partitions of a class the driver may refuse in a day: it may report a full quota whatever it is offered.
const FULL_A_DAY: u32 = 1000;

/// How entries lie in the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// One partition for each retention class and UTC day.
    #[default]
    Partitions,
    /// Everything under archive user `nil`, as the community's modules write it. Partitions take what it has no room for.
    Single,
}

/// Where to append one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name of the partition. `None` is archive user `nil`.
    pub partition: Option<String>,
    /// The time under which to append, in whole UNIX seconds.
    pub when: i64,
    /// Whether this process has not appended there before. Report the time of the newest entry there by [`Archive::resume`]:
    /// another process may have written it.
    pub fresh: bool,
}

/// The slots of one host: which partition takes the next entry of a class, and under which time.
#[derive(Debug, Default)]
pub struct Archive {
    layout: Layout,
    single_is_full: bool,
    single: Option<i64>,
    classes: HashMap<String, OpenPartition>,
}

#[derive(Debug)]
struct OpenPartition {
    partition: Partition,
    name: String,
    newest: Option<i64>,
    /// The time of the newest entry in the partitions of the day before this one, as far as it is known.
    before: i64,
    /// How many partitions of the day are full.
    full: u32,
}

impl OpenPartition {
    fn new(partition: Partition, full: u32) -> Self {
        Self { name: partition.to_string(), partition, newest: None, before: i64::MIN, full }
    }

    /// The next partition of the day.
    fn follow(&mut self) {
        let before = self.newest.unwrap_or(i64::MIN).max(self.before);
        *self = Self { before, ..Self::new(self.partition.next(), self.full) };
    }
}

impl Archive {
    /// The slots of an archive that was not looked at.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self { layout, ..Self::default() }
    }

    /// The slot for an entry of `class` at `now`, in UNIX seconds.
    ///
    /// Within a class and day the time never goes back, whatever the clock does: Prosody 13's embedded driver finds times by
    /// bisection, and readers go from one partition to the next.
    pub fn slot(&mut self, class: &str, now: f64) -> Slot {
        let when = whole_seconds(now);
        if self.uses_single() {
            let newest = self.single;
            let when = newest.map_or(when, |newest| newest.max(when));
            if newest.is_some() {
                self.single = Some(when);
            }
            return Slot { partition: None, when, fresh: newest.is_none() };
        }
        let position = self.position(class, now);
        let when = position.newest.map_or(when, |newest| newest.max(when));
        let fresh = position.newest.is_none();
        if !fresh {
            position.newest = Some(when);
        }
        Slot { partition: Some(position.name.clone()), when, fresh }
    }

    /// Reports the time of the newest entry at the last slot of `class`, `None` if there is none.
    pub fn resume(&mut self, class: &str, now: f64, newest: Option<f64>) {
        let newest = Some(newest.map_or(i64::MIN, whole_seconds));
        if self.uses_single() {
            self.single = newest;
        } else {
            let position = self.position(class, now);
            position.newest = newest.max(Some(position.before));
        }
    }

    /// Notes that the driver has no room at the last slot of `class`. Returns whether there is another slot.
    pub fn full(&mut self, class: &str, now: f64) -> bool {
        if self.uses_single() {
            self.single_is_full = true;
            return true;
        }
        let position = self.position(class, now);
        if position.full >= FULL_A_DAY {
            return false;
        }
        position.full = position.full.saturating_add(1);
        position.follow();
        true
    }

    /// Notes that the partition of the last slot of `class` is full. Returns whether the next entry goes to another one.
    pub fn roll(&mut self, class: &str, now: f64) -> bool {
        if self.uses_single() {
            return false;
        }
        let position = self.position(class, now);
        if position.partition.number >= ROLLS_A_DAY {
            return false;
        }
        position.follow();
        true
    }

    /// Reports the partitions of the store: entries of `class` go to the last one of the day, or behind it if addresses were
    /// removed from it or it is `closed`.
    pub fn locate<'a>(&mut self, class: &str, now: f64, partitions: impl IntoIterator<Item = &'a Partition>, closed: &HashSet<Partition>) {
        if self.uses_single() {
            return;
        }
        let position = self.position(class, now);
        let own = partitions.into_iter().filter(|partition| partition.day == position.partition.day && partition.generation().is_none());
        let is_closed = |partition: &Partition| partition.is_cut() || closed.contains(partition);
        let number = |partition: &Partition| partition.number.saturating_add(u32::from(is_closed(partition)));
        let last = own.filter(|partition| partition.home() == class).map(number).max().unwrap_or(1);
        if last > position.partition.number {
            let partition = Partition { number: last, ..position.partition.clone() };
            *position = OpenPartition::new(partition, position.full);
        }
    }

    /// The partitions that take the entries of the day.
    pub fn in_use(&self) -> impl Iterator<Item = &Partition> {
        self.classes.values().map(|position| &position.partition)
    }

    /// Notes that entries were removed from archive user `nil`: it may have room again.
    pub const fn pruned(&mut self) {
        self.single_is_full = false;
    }

    /// Whether entries go to archive user `nil` while it has room.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        matches!(self.layout, Layout::Single)
    }

    pub(super) const fn uses_single(&self) -> bool {
        matches!(self.layout, Layout::Single) && !self.single_is_full
    }

    fn position(&mut self, class: &str, now: f64) -> &mut OpenPartition {
        let today = day(now);
        // `entry` would need an owned class each time.
        if self.classes.get(class).is_none_or(|position| position.partition.day != today) {
            self.classes.insert(class.to_owned(), OpenPartition::new(Partition::new(class, now), 0));
        }
        self.classes.entry(class.to_owned()).or_insert_with(|| OpenPartition::new(Partition::new(class, now), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: f64 = 1_795_521_600.0;

    fn next(archive: &mut Archive, now: f64) -> (Option<String>, i64) {
        let mut slot = archive.slot("events", now);
        if slot.fresh {
            archive.resume("events", now, None);
            slot = archive.slot("events", now);
        }
        assert!(!slot.fresh);
        (slot.partition, slot.when)
    }

    fn name(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn each_day_has_its_partition() {
        let mut archive = Archive::new(Layout::Partitions);
        assert_eq!(next(&mut archive, NOON + 0.7), (name("@events.2026-11-24"), 1_795_521_600));
        assert_eq!(next(&mut archive, NOON + 86_400.0), (name("@events.2026-11-25"), 1_795_608_000));
    }

    #[test]
    fn time_never_goes_back_within_a_partition() {
        let mut archive = Archive::new(Layout::Partitions);
        next(&mut archive, NOON);
        assert_eq!(next(&mut archive, NOON - 3600.0).1, 1_795_521_600);
        let slot = Archive::new(Layout::Partitions).slot("events", NOON);
        assert!(slot.fresh);
        archive.resume("events", NOON, Some(NOON + 5.0));
        assert_eq!(next(&mut archive, NOON).1, 1_795_521_605);
    }

    #[test]
    fn time_never_goes_back_from_a_partition_to_the_next() {
        let mut archive = Archive::new(Layout::Partitions);
        next(&mut archive, NOON);
        assert!(archive.roll("events", NOON));
        assert_eq!(next(&mut archive, NOON - 3600.0).1, 1_795_521_600);
        assert!(archive.full("events", NOON));
        archive.resume("events", NOON, Some(NOON - 60.0));
        assert_eq!(next(&mut archive, NOON - 3600.0).1, 1_795_521_600);
        // Yesterday's are others.
        assert_eq!(next(&mut archive, NOON - 86_400.0).1, 1_795_435_200);
    }

    #[test]
    fn a_full_partition_has_a_successor_until_the_day_is_full() {
        let mut archive = Archive::new(Layout::Partitions);
        next(&mut archive, NOON);
        assert!(archive.full("events", NOON));
        assert_eq!(next(&mut archive, NOON).0, name("@events.2026-11-24.2"));
        let more = (2..).take_while(|_| archive.full("events", NOON)).count();
        assert_eq!((more, next(&mut archive, NOON).0), (999, name("@events.2026-11-24.1001")));
    }

    #[test]
    fn a_partition_that_holds_enough_is_followed_by_another() {
        let mut archive = Archive::new(Layout::Partitions);
        next(&mut archive, NOON);
        assert!(archive.roll("events", NOON));
        assert_eq!(next(&mut archive, NOON).0, name("@events.2026-11-24.2"));
        let more = (3..).take_while(|_| archive.roll("events", NOON)).count();
        assert_eq!((more, next(&mut archive, NOON).0), (8998, name("@events.2026-11-24.9000")), "then they get larger");
        assert!(archive.full("events", NOON));
        assert!(!Archive::new(Layout::Single).roll("events", NOON));
    }

    #[test]
    fn entries_go_on_where_the_day_has_got_to() {
        let there: Vec<Partition> = [
            "@events.2026-11-24",
            "@events.2026-11-24.7",
            "@events.2026-11-23.9",
            "@failures.2026-11-24.8",
            "@cut-events.2026-11-25.3",
            "@old-events.2026-11-24.100001",
        ]
        .iter()
        .map(|name| name.parse().unwrap())
        .collect();
        for (class, at, expected) in [
            ("events", NOON, "@events.2026-11-24.7"),
            ("failures", NOON, "@failures.2026-11-24.8"),
            ("other", NOON, "@other.2026-11-24"),
            ("events", NOON + 86_400.0, "@events.2026-11-25.4"),
        ] {
            let mut archive = Archive::new(Layout::Partitions);
            archive.locate(class, at, &there, &HashSet::new());
            assert_eq!(archive.slot(class, at).partition, name(expected));
        }
    }

    #[test]
    fn nothing_is_appended_to_what_is_closed() {
        let there: Vec<Partition> =
            ["@events.2026-11-24", "@events.2026-11-24.2", "@failures.2026-11-24"].map(|name| name.parse().unwrap()).into();
        let closed = HashSet::from([there[1].clone()]);
        let mut archive = Archive::new(Layout::Partitions);
        for (class, expected) in [("events", "@events.2026-11-24.3"), ("failures", "@failures.2026-11-24")] {
            archive.locate(class, NOON, &there, &closed);
            assert_eq!(archive.slot(class, NOON).partition, name(expected));
        }
    }

    #[test]
    fn a_full_single_archive_spills_into_partitions_until_it_is_pruned() {
        let mut archive = Archive::new(Layout::Single);
        assert_eq!(next(&mut archive, NOON).0, None);
        assert!(archive.full("events", NOON));
        assert_eq!(next(&mut archive, NOON).0, name("@events.2026-11-24"));
        archive.pruned();
        assert_eq!(next(&mut archive, NOON).0, None);
    }

    proptest! {
        #[test]
        fn whatever_the_clock_does_a_partition_is_sorted(times in prop::collection::vec(0f64..400_000.0, 1..60), full in 0usize..60) {
            let mut archive = Archive::new(Layout::Partitions);
            let mut written: HashMap<Option<String>, i64> = HashMap::new();
            for (index, time) in times.iter().enumerate() {
                let now = NOON + time;
                let slot = archive.slot("events", now);
                if slot.fresh {
                    archive.resume("events", now, written.get(&slot.partition).map(|newest| *newest as f64));
                }
                let slot = archive.slot("events", now);
                let newest = written.entry(slot.partition).or_insert(i64::MIN);
                prop_assert!(slot.when >= *newest);
                *newest = slot.when;
                if index == full {
                    archive.full("events", now);
                }
            }
        }
    }
}
