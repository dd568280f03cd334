//! Where the store is looked at if it may know more of the chains than the journal.

use std::collections::BTreeMap;

use crate::archive::partition::Partition;

/// How many of the last entries of an archive user are looked at: not each of them is of the class of its partition, and some drivers
/// have an order of their own within a second.
pub const SEEN: usize = 50;

/// The partitions in which the last entries are: of each class the last one, and the last one that is not of a day after `now`. Which of
/// them was written to last is not known if the clock was wrong. What was moved from archive user `nil` is apart.
#[must_use]
pub fn newest(partitions: impl IntoIterator<Item = Partition>, now: f64) -> Vec<Partition> {
    let mut last: BTreeMap<(String, bool, bool), Partition> = BTreeMap::new();
    for partition in partitions.into_iter().filter(|partition| !partition.is_marker()) {
        for is_past in [false, true] {
            if is_past && partition.start() > now {
                continue;
            }
            let place = (partition.home().to_owned(), partition.generation().is_some(), is_past);
            let known = last.entry(place).or_insert_with(|| partition.clone());
            if (known.day, known.number) < (partition.day, partition.number) {
                known.clone_from(&partition);
            }
        }
    }
    let mut found: Vec<Partition> = last.into_values().collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock was set back before the loss of power. The last entries were not looked at, and their numbers were used again.
    #[test]
    fn the_last_partition_may_be_of_today_although_there_are_later_days() {
        let names = ["@events.2026-11-23", "@events.2026-11-24", "@events.2026-11-24.2", "@events.2027-01-02", "@failures.2026-11-20"];
        let partitions = || names.iter().map(|name| name.parse::<Partition>().unwrap());
        let found = |now: f64| newest(partitions(), now).iter().map(ToString::to_string).collect::<Vec<_>>();
        let noon = 1_795_521_600.0;
        assert_eq!(found(noon), ["@events.2027-01-02", "@events.2026-11-24.2", "@failures.2026-11-20"]);
        assert_eq!(found(noon + 1e8), ["@events.2027-01-02", "@failures.2026-11-20"]);
        assert_eq!(found(0.0), ["@events.2027-01-02", "@failures.2026-11-20"]);
    }

    /// The numbers of its partitions are the largest of their days. After a loss of power, the last entries were not looked at.
    #[test]
    fn what_was_moved_does_not_hide_what_was_written() {
        let names = ["@events.2026-11-24", "@old-events.2026-11-24.100001", "@old-events.2026-11-23.100001"];
        let found = newest(names.iter().map(|name| name.parse::<Partition>().unwrap()), 1_795_608_000.0);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["@events.2026-11-24", "@old-events.2026-11-24.100001"]);
    }
}
