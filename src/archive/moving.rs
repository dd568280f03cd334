//! Where the entries go that are moved from archive user `nil` into partitions.

use std::collections::HashMap;

use chrono::NaiveDate;

use crate::archive::partition::{MOVING, Partition};
use crate::time::{day, whole_seconds};

/// A move of archive user `nil`. Each move has a generation of its own, and so have the partitions that it makes.
#[derive(Debug)]
pub struct Move {
    generation: u32,
    places: HashMap<(String, NaiveDate), Place>,
    made: Vec<String>,
}

#[derive(Debug)]
struct Place {
    partition: Partition,
    name: String,
    entries: u64,
    newest: i64,
}

impl Move {
    /// The next move, if a store has these partitions.
    #[must_use]
    pub fn new(partitions: &[Partition]) -> Self {
        let used = partitions.iter().filter_map(|partition| match partition.generation() {
            None if partition.class.starts_with(MOVING) => Some(partition.number),
            generation => generation,
        });
        Self::of(used.max().unwrap_or(0).saturating_add(1))
    }

    /// The move of a generation.
    #[must_use]
    pub fn of(generation: u32) -> Self {
        Self { generation, places: HashMap::new(), made: Vec::new() }
    }

    /// The marker that is in the store until the move is complete. `now` is in UNIX seconds.
    #[must_use]
    pub fn marker(&self, now: f64) -> Partition {
        Partition::marker(self.generation, now)
    }

    /// Returns the partition for an entry of `class` that was stored at `when`, in UNIX seconds, and the time under which to
    /// append it: archive user `nil` may be in another order than that of time, a partition is not. `room` is how many
    /// entries a partition takes.
    pub fn place(&mut self, class: &str, room: u64, when: f64) -> (&str, i64) {
        let (generation, made) = (self.generation, &mut self.made);
        let place = self.places.entry((class.to_owned(), day(when))).or_insert_with(|| {
            let partition = Partition::moved(class, generation, when);
            let name = partition.to_string();
            made.push(name.clone());
            Place { partition, name, entries: 0, newest: i64::MIN }
        });
        if place.entries >= room.max(1) {
            place.partition = place.partition.next();
            place.name = place.partition.to_string();
            place.entries = 0;
            made.push(place.name.clone());
        }
        place.entries = place.entries.saturating_add(1);
        place.newest = place.newest.max(whole_seconds(when));
        (&place.name, place.newest)
    }

    /// The names of the partitions that were made.
    #[must_use]
    pub fn made(&self) -> &[String] {
        &self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const NOON: f64 = 1_795_521_600.0;

    #[test]
    fn each_move_has_a_generation_of_its_own() {
        let generation = |names: &[&str]| {
            let partitions: Vec<Partition> = names.iter().map(|name| name.parse().unwrap()).collect();
            Move::new(&partitions).marker(NOON).to_string()
        };
        assert_eq!(generation(&[]), "@moving-old.2026-11-24");
        assert_eq!(generation(&["@events.2026-11-20.7", "@old-events.2026-11-20.100001"]), "@moving-old.2026-11-24.2");
        assert_eq!(generation(&["@moving-old.2026-11-20.4", "@cut-old-events.2026-11-20.200003"]), "@moving-old.2026-11-24.5");
    }

    #[test]
    fn an_entry_that_is_out_of_order_is_stored_under_the_time_of_the_one_before() {
        let mut moving = Move::new(&[]);
        assert_eq!(moving.place("events", 2, NOON + 5.7), ("@old-events.2026-11-24.100001", 1_795_521_605));
        assert_eq!(moving.place("events", 2, NOON), ("@old-events.2026-11-24.100001", 1_795_521_605));
        assert_eq!(moving.place("events", 2, NOON + 1.0), ("@old-events.2026-11-24.100002", 1_795_521_605));
        assert_eq!(moving.place("events", 2, NOON - 86_400.0), ("@old-events.2026-11-23.100001", 1_795_435_200));
        assert_eq!(moving.made(), ["@old-events.2026-11-24.100001", "@old-events.2026-11-24.100002", "@old-events.2026-11-23.100001"]);
    }

    proptest! {
        #[test]
        fn whatever_the_order_partitions_are_sorted_of_one_day_and_never_too_full(
            entries in prop::collection::vec((0usize..2, -200_000f64..200_000.0), 0..200),
            room in 1u64..20,
        ) {
            let mut moving = Move::new(&[]);
            let mut rows: HashMap<String, Vec<i64>> = HashMap::new();
            for (class, shift) in &entries {
                let class = ["events", "failures"][*class];
                let (name, when) = moving.place(class, room, NOON + shift);
                let partition: Partition = name.parse().unwrap();
                prop_assert_eq!((partition.home(), partition.day), (class, day(NOON + shift)));
                prop_assert_eq!(day(when as f64), partition.day);
                rows.entry(name.to_owned()).or_default().push(when);
            }
            prop_assert!(rows.values().all(|rows| rows.is_sorted() && rows.len() as u64 <= room));
            prop_assert_eq!(rows.keys().cloned().collect::<HashSet<_>>(), moving.made().iter().cloned().collect());
            prop_assert_eq!(rows.values().map(Vec::len).sum::<usize>(), entries.len());
        }
    }
}
