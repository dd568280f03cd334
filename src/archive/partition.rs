//! Archive partitions: one or more for each retention class and UTC day.
//!
//! Prosody's archive stores can remove all entries of one archive user at once, and have a quota for each archive user. With the
//! embedded driver, every other deletion rewrites a whole list. So there is one archive user for each class and day, called
//! `@<class>.<YYYY-MM-DD>`. When it has enough entries or has reached the driver's quota, the next one is
//! `@<class>.<YYYY-MM-DD>.2`, and so on. A username can't contain `@`, so the removal of an account never touches a partition.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use thiserror::Error;

use crate::time::day;

/// The class of every event that no other class claims.
pub const DEFAULT_CLASS: &str = "events";

/// The prefix of the class of a copy in which addresses have expired.
pub const CUT: &str = "cut-";
/// The prefix of the class of entries that were moved from archive user `nil`.
pub const OLD: &str = "old-";
/// The prefix of the class of a marker. A marker says that the copies are not complete.
pub const MOVING: &str = "moving-";

/// The largest number of partitions for each day and class of one move of the old archive. Each move is a generation. The number of a
/// moved partition is the number of its generation times this, plus its own number.
const GENERATION: u32 = 100_000;

/// Seconds in a day.
const DAY: f64 = 86_400.0;

/// One partition of the archive.
///
/// Partitions are ordered by day, then by number, then by class: newest last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The UTC day of its entries.
    pub day: NaiveDate,
    /// The number of the partition on that day, from 1. There are more if the ones before are full.
    pub number: u32,
    /// The retention class.
    pub class: String,
}

impl Partition {
    /// The first partition of `class` for the day of `time` (UNIX seconds).
    #[must_use]
    pub fn new(class: &str, time: f64) -> Self {
        Self { day: day(time), number: 1, class: class.to_owned() }
    }

    /// The next partition of the same class and day.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { number: self.number.saturating_add(1), ..self.clone() }
    }

    /// The retention class of its entries. For a copy it is the class of the original.
    #[must_use]
    pub fn home(&self) -> &str {
        let class = self.class.strip_prefix(CUT).unwrap_or(&self.class);
        class.strip_prefix(OLD).unwrap_or(class)
    }

    /// Whether the addresses in it have expired already.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.class.starts_with(CUT)
    }

    /// The copy in which addresses have expired.
    #[must_use]
    pub fn cut(&self) -> Self {
        Self { class: format!("{CUT}{}", self.class), ..self.clone() }
    }

    /// The original of a copy. Returns `None` if this is no copy.
    #[must_use]
    pub fn original(&self) -> Option<Self> {
        self.class.strip_prefix(CUT).map(|class| Self { class: class.to_owned(), ..self.clone() })
    }

    /// Whether this is the marker of a move, and not a partition with entries.
    #[must_use]
    pub fn is_marker(&self) -> bool {
        self.class.starts_with(MOVING)
    }

    /// The marker of a move of the old archive, with its generation.
    #[must_use]
    pub fn marker(generation: u32, time: f64) -> Self {
        Self { number: generation, ..Self::new(&format!("{MOVING}old"), time) }
    }

    /// The first partition of a generation, for entries of `class` at `time` that are moved from the old archive.
    #[must_use]
    pub fn moved(class: &str, generation: u32, time: f64) -> Self {
        Self { number: generation.saturating_mul(GENERATION).saturating_add(1), ..Self::new(&format!("{OLD}{class}"), time) }
    }

    /// The generation of a moved partition. Returns `None` if it was not moved from the old archive.
    #[must_use]
    pub fn generation(&self) -> Option<u32> {
        let class = self.class.strip_prefix(CUT).unwrap_or(&self.class);
        class.starts_with(OLD).then_some(self.number / GENERATION)
    }

    /// The beginning of its day, in UNIX seconds. No entry in it is older.
    #[must_use]
    pub fn start(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // A day's midnight is far below 2^53.
        let midnight = self.day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp() as f64;
        midnight
    }

    /// The end of its day, in UNIX seconds. Every entry in it is older.
    #[must_use]
    pub fn end(&self) -> f64 {
        self.start() + DAY
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}.{}", self.class, self.day.format("%Y-%m-%d"))?;
        if self.number > 1 {
            write!(f, ".{}", self.number)?;
        }
        Ok(())
    }
}

/// The error for a name of an archive user that is no partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a partition of the audit log")]
pub struct PartitionError;

impl FromStr for Partition {
    type Err = PartitionError;

    fn from_str(name: &str) -> Result<Self, PartitionError> {
        let mut parts = name.strip_prefix('@').ok_or(PartitionError)?.split('.');
        let class = parts.next().filter(|class| is_class(class)).ok_or(PartitionError)?;
        let day = parts.next().filter(|day| day.len() == 10).ok_or(PartitionError)?;
        let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").map_err(|_| PartitionError)?;
        let number = match parts.next() {
            None => 1,
            Some(number) => number.parse().map_err(|_| PartitionError)?,
        };
        let partition = Self { day, number, class: class.to_owned() };
        // Each partition has exactly one name, so `.1`, `.02` and further parts are not valid.
        if partition.to_string() == name { Ok(partition) } else { Err(PartitionError) }
    }
}

/// Whether the name of a class is reserved for copies, moved entries and markers. The configuration may not use it.
#[must_use]
pub fn is_reserved(class: &str) -> bool {
    [CUT, OLD, MOVING].iter().any(|prefix| class.starts_with(prefix))
}

/// Whether `name` can be the name of a retention class: lower-case letters, digits and hyphens, beginning with a letter.
#[must_use]
pub fn is_class(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_partition_has_one_name() {
        let partition = Partition::new("events", 1_795_534_000.0);
        assert_eq!(partition.to_string(), "@events.2026-11-24");
        assert_eq!(partition.next().to_string(), "@events.2026-11-24.2");
        assert_eq!("@events.2026-11-24.2".parse(), Ok(partition.next()));
    }

    #[test]
    fn other_archive_users_are_not_partitions() {
        for name in [
            "",
            "@",
            "juliet",
            "events.2026-11-24",
            "@events",
            "@events.2026-11-31",
            "@events.2026-1-1",
            "@events.2026-11-24.1",
            "@events.2026-11-24.02",
            "@events.2026-11-24.x",
            "@events.2026-11-24.2.3",
            "@Events.2026-11-24",
            "@1.2026-11-24",
            "@ev ents.2026-11-24",
        ] {
            assert_eq!(name.parse::<Partition>(), Err(PartitionError), "{name}");
        }
    }

    #[test]
    fn a_copy_has_an_original() {
        let partition = Partition::new("events", 1_795_534_000.0).next();
        let copy = partition.cut();
        assert_eq!((copy.to_string().as_str(), copy.home(), copy.is_cut()), ("@cut-events.2026-11-24.2", "events", true));
        assert_eq!((copy.original(), partition.original(), partition.generation()), (Some(partition), None, None));
        let moved = Partition::moved("failures", 3, 1_795_534_000.0);
        assert_eq!(
            (moved.to_string().as_str(), moved.home(), moved.generation()),
            ("@old-failures.2026-11-24.300001", "failures", Some(3))
        );
        assert_eq!((moved.cut().home(), moved.next().cut().generation(), moved.is_cut()), ("failures", Some(3), false));
        let marker = Partition::marker(3, 1_795_534_000.0);
        assert_eq!((marker.to_string().parse(), marker.is_marker()), (Ok(marker.clone()), true));
        assert_eq!(["cut-x", "old-x", "moving-x", "events", "cut", "older"].map(is_reserved), [true, true, true, false, false, false]);
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        let partition = Partition::new("events", 1_795_564_799.9);
        assert_eq!((partition.to_string().as_str(), partition.end()), ("@events.2026-11-24", 1_795_564_800.0));
        assert_eq!(Partition::new("events", 1_795_564_800.0).to_string(), "@events.2026-11-25");
    }

    #[test]
    fn invalid_times_still_have_a_day() {
        for time in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 253_402_300_800.0] {
            let name = Partition::new("events", time).to_string();
            assert!(name.parse::<Partition>().is_ok(), "{time} has {name}");
        }
    }

    #[test]
    fn partitions_sort_by_day_then_number() {
        let mut names = ["@events.2026-11-24.10", "@events.2026-11-25", "@events.2026-11-24", "@events.2026-11-24.9"];
        names.sort_by_key(|name| name.parse::<Partition>().unwrap());
        assert_eq!(names, ["@events.2026-11-24", "@events.2026-11-24.9", "@events.2026-11-24.10", "@events.2026-11-25"]);
    }

    proptest! {
        #[test]
        fn a_name_reads_back(class in "[a-z][a-z0-9-]{0,20}", time in 0f64..4e9, number in 1u32..5000) {
            let partition = Partition { number, ..Partition::new(&class, time) };
            prop_assert_eq!(partition.to_string().parse(), Ok(partition));
        }

        #[test]
        fn any_name_is_a_partition_or_refused(name in "\\PC{0,40}") {
            if let Ok(partition) = name.parse::<Partition>() {
                prop_assert_eq!(partition.to_string(), name);
            }
        }
    }
}
