//! Where the entries of a host go.
//!
//! The writer asks for the [next step](Placement::step) until it is told where to append. What it has to look up first, in the
//! store, are steps too. The answer holds until the second is over, or as many entries were appended as it says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::NaiveDate;

use crate::archive::partition::Partition;
use crate::archive::retention::Rules;
use crate::archive::{Archive, Layout};
use crate::time::{day, whole_seconds};

/// What the writer has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacementStep {
    /// List the partitions of the store, and report them by [`Placement::listed`].
    List,
    /// Look for the newest entry of a partition or of archive user `nil`, and report it by [`Placement::surveyed`].
    Survey {
        /// The name of the partition. `None` is archive user `nil`.
        partition: Option<String>,
        /// Count the entries up to this number.
        most: u64,
    },
    /// Tell those who count entries that a partition takes no more. There is nothing to report.
    Full {
        /// The name of the partition.
        partition: String,
        /// How many entries it has.
        entries: u64,
        /// Whether its class has a limit.
        is_limited: bool,
    },
    /// Append the entry.
    Append {
        /// The name of the partition. `None` is archive user `nil`.
        partition: Option<String>,
        /// The time under which to append, in whole UNIX seconds.
        when: i64,
        /// How many entries may be appended there. `None` if there is no bound.
        left: Option<u64>,
    },
}

/// Where the entries of one host go.
#[derive(Debug, Default)]
pub struct Placement {
    archive: Archive,
    /// The partitions that the store listed, and in which second.
    listed: Option<(i64, Vec<Partition>)>,
    /// The partitions to which nothing may be appended.
    closed: HashSet<Partition>,
    classes: HashMap<String, KnownClass>,
}

/// What is known of a class.
#[derive(Debug, Default)]
struct KnownClass {
    /// The day for which it is known which partition takes entries.
    day: Option<NaiveDate>,
    /// The last day that may have partitions. Later ones are empty. If the clock was set back, it is not the day that is written to.
    last: Option<NaiveDate>,
    /// How many entries that partition has.
    entries: Option<u64>,
}

impl Placement {
    /// The placement of an archive that was not looked at.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self { archive: Archive::new(layout), ..Self::default() }
    }

    /// The slots of the archive.
    #[must_use]
    pub const fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Notes that entries were removed from archive user `nil`: it may have room again.
    pub const fn pruned(&mut self) {
        self.archive.pruned();
    }

    /// The next step for an entry of `class` that was recorded at `now`, in UNIX seconds. `appended` is the number of entries
    /// that were appended since the last step of the class, or `None` if that is not known.
    pub fn step(&mut self, class: &str, rules: &Rules, now: f64, appended: Option<u64>) -> PlacementStep {
        let known = known(&mut self.classes, class);
        known.entries = known.entries.zip(appended).map(|(entries, more)| entries.saturating_add(more));
        let is_single = self.archive.uses_single();
        if !is_single {
            let today = day(now);
            // Another process may have written, or this one before the clock was set back.
            if known.day != Some(today) && known.last.is_none_or(|last| today <= last) {
                match &self.listed {
                    Some((second, partitions)) if *second == whole_seconds(now) => {
                        self.archive.locate(class, now, partitions, &self.closed);
                        let own = partitions.iter().filter(|partition| partition.home() == class);
                        known.last = known.last.max(own.map(|partition| partition.day).max());
                    }
                    _ => return PlacementStep::List,
                }
            }
            (known.day, known.last) = (Some(today), known.last.max(Some(today)));
        }
        let slot = self.archive.slot(class, now);
        let room = rules.room();
        let Some(partition) = slot.partition else {
            // What is appended now is not in the partition.
            known.entries = None;
            return if slot.fresh {
                PlacementStep::Survey { partition: None, most: 1 }
            } else {
                PlacementStep::Append { partition: None, when: slot.when, left: None }
            };
        };
        match known.entries.filter(|_| !slot.fresh) {
            None => PlacementStep::Survey { partition: Some(partition), most: room },
            Some(entries) if entries >= room => {
                known.entries = Some(0);
                self.archive.roll(class, now);
                PlacementStep::Full { partition, entries, is_limited: rules.limit.is_some() }
            }
            Some(entries) => {
                PlacementStep::Append { partition: Some(partition), when: slot.when, left: Some(room.saturating_sub(entries)) }
            }
        }
    }

    /// Reports the partitions of the store.
    pub fn listed(&mut self, partitions: Vec<Partition>, now: f64) {
        self.listed = Some((whole_seconds(now), partitions));
        self.closed.clear();
    }

    /// Reports to which partitions nothing may be appended, after [`listed`](Self::listed): entries are being moved from one store
    /// to another.
    pub fn closed(&mut self, closed: Vec<Partition>) {
        if let Some((_, partitions)) = &mut self.listed {
            partitions.extend(closed.iter().cloned());
        }
        self.closed = closed.into_iter().collect();
    }

    /// Reports the time of the newest entry where a [`PlacementStep::Survey`] pointed, and how many entries there are.
    pub fn surveyed(&mut self, class: &str, now: f64, newest: Option<f64>, entries: u64) {
        self.archive.resume(class, now, newest);
        known(&mut self.classes, class).entries = Some(entries);
    }

    /// Notes that entries were appended since the last step of a class, if the next step is not told. `None` if it is not known how
    /// many: then they are counted again.
    pub fn appended(&mut self, class: &str, entries: Option<u64>) {
        if let Some(known) = self.classes.get_mut(class) {
            known.entries = known.entries.zip(entries).map(|(before, more)| before.saturating_add(more));
        }
    }

    /// Notes that what was appended is not there: the entries are counted again.
    pub fn undone(&mut self) {
        self.classes.values_mut().for_each(|known| known.entries = None);
    }

    /// Notes that addresses are removed from a partition: a copy takes its place. The clock may be set back to its day, so where the
    /// next entry of that day goes is looked up again.
    pub fn cut(&mut self, partition: &Partition) {
        self.listed = None;
        if let Some(known) = self.classes.get_mut(&partition.class).filter(|known| known.day == Some(partition.day)) {
            *known = KnownClass::default();
        }
    }

    /// Notes that the driver has no room where the last [`PlacementStep::Append`] pointed. Returns whether there is another place.
    pub fn full(&mut self, class: &str, now: f64) -> bool {
        self.archive.full(class, now)
    }
}

fn known<'a>(classes: &'a mut HashMap<String, KnownClass>, class: &str) -> &'a mut KnownClass {
    // `entry` would need an owned class each time.
    if !classes.contains_key(class) {
        classes.insert(class.to_owned(), KnownClass::default());
    }
    classes.entry(class.to_owned()).or_default()
}

/// The partitions that may have got entries that were recorded at these times, in UNIX seconds: those of each class and day
/// together, newest first. There are no copies among them.
#[must_use]
pub fn written_on(partitions: Vec<Partition>, times: &[f64]) -> Vec<Vec<Partition>> {
    let days: HashSet<NaiveDate> = times.iter().map(|time| day(*time)).collect();
    let mut sequences: BTreeMap<(NaiveDate, String), Vec<Partition>> = BTreeMap::new();
    for partition in partitions {
        if days.contains(&partition.day) && partition.class == partition.home() && !partition.is_marker() {
            sequences.entry((partition.day, partition.class.clone())).or_default().push(partition);
        }
    }
    for sequence in sequences.values_mut() {
        sequence.sort_by_key(|partition| Reverse(partition.number));
    }
    sequences.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::period::Period;
    use proptest::prelude::*;

    const NOON: f64 = 1_795_521_600.0;

    /// The entries of a store by archive user, each its time.
    type Store = BTreeMap<Option<String>, Vec<i64>>;

    /// Appends an entry as the writer does. Returns where it went.
    fn append(placement: &mut Placement, store: &mut Store, class: &str, rules: &Rules, now: f64, quota: usize) -> Option<Option<String>> {
        let mut appended = Some(0);
        for _ in 0..5000 {
            match placement.step(class, rules, now, appended) {
                PlacementStep::List => {
                    let names = store.keys().flatten().filter_map(|name| name.parse().ok());
                    placement.listed(names.collect(), now);
                }
                PlacementStep::Survey { partition, most } => {
                    let rows = store.get(&partition).map_or(&[][..], |rows| rows.as_slice());
                    let entries = (rows.len() as u64).min(most);
                    placement.surveyed(class, now, rows.last().map(|when| *when as f64), entries);
                }
                PlacementStep::Full { partition, entries, .. } => {
                    assert!(entries >= rules.room() && store[&Some(partition)].len() as u64 >= entries);
                }
                PlacementStep::Append { partition, when, left } => {
                    assert!(left.is_none_or(|left| left > 0));
                    let rows = store.entry(partition.clone()).or_default();
                    if rows.len() < quota {
                        rows.push(when);
                        // Reported with the next step.
                        placement.classes.get_mut(class).unwrap().entries = placement.classes[class].entries.map(|entries| entries + 1);
                        return Some(partition);
                    } else if !placement.full(class, now) {
                        return None;
                    }
                }
            }
            appended = Some(0);
        }
        panic!("no place after 5000 steps");
    }

    fn rules(limit: Option<u64>) -> Rules {
        Rules { limit, expires_after: Period::Never, ..Rules::default() }
    }

    #[test]
    fn what_the_store_has_is_looked_up_once() {
        let mut placement = Placement::new(Layout::Partitions);
        let rules = rules(None);
        let name = Some("@events.2026-11-24.2".to_owned());
        assert_eq!(placement.step("events", &rules, NOON, None), PlacementStep::List);
        placement.listed(vec![name.as_ref().unwrap().parse().unwrap()], NOON);
        assert_eq!(placement.step("events", &rules, NOON, Some(0)), PlacementStep::Survey { partition: name.clone(), most: 500 });
        placement.surveyed("events", NOON, Some(NOON + 3.0), 498);
        let append = |left| PlacementStep::Append { partition: name.clone(), when: 1_795_521_603, left: Some(left) };
        assert_eq!(placement.step("events", &rules, NOON, Some(0)), append(2));
        assert_eq!(placement.step("events", &rules, NOON + 1.0, Some(1)), append(1));
        assert_eq!(
            placement.step("events", &rules, NOON + 1.0, Some(1)),
            PlacementStep::Full { partition: "@events.2026-11-24.2".to_owned(), entries: 500, is_limited: false }
        );
        let next = Some("@events.2026-11-24.3".to_owned());
        assert_eq!(placement.step("events", &rules, NOON + 1.0, Some(0)), PlacementStep::Survey { partition: next.clone(), most: 500 });
        placement.surveyed("events", NOON + 1.0, None, 0);
        let at = placement.step("events", &rules, NOON + 1.0, Some(0));
        assert_eq!(at, PlacementStep::Append { partition: next.clone(), when: 1_795_521_603, left: Some(500) });
        assert_eq!(
            placement.step("events", &rules, NOON + 2.0, None),
            PlacementStep::Survey { partition: next, most: 500 },
            "nobody has counted"
        );
        assert_eq!(placement.step("failures", &rules, NOON + 1.0, None), PlacementStep::List, "another second");
    }

    #[test]
    fn what_is_reported_apart_counts_and_what_was_undone_does_not() {
        let (mut placement, rules) = (Placement::new(Layout::Partitions), rules(None));
        placement.listed(vec![], NOON);
        placement.appended("events", Some(7));
        assert!(matches!(placement.step("events", &rules, NOON, Some(0)), PlacementStep::Survey { .. }));
        placement.surveyed("events", NOON, None, 0);
        placement.appended("events", Some(498));
        assert!(matches!(placement.step("events", &rules, NOON, Some(1)), PlacementStep::Append { left: Some(1), .. }));
        placement.undone();
        assert!(matches!(placement.step("events", &rules, NOON, Some(0)), PlacementStep::Survey { .. }));
        placement.surveyed("events", NOON, None, 0);
        placement.appended("events", None);
        assert!(matches!(placement.step("events", &rules, NOON, Some(0)), PlacementStep::Survey { .. }), "nobody knows how many");
    }

    #[test]
    fn a_list_is_used_for_all_classes_of_its_second() {
        let mut placement = Placement::new(Layout::Partitions);
        placement.listed(vec![], NOON + 0.2);
        for class in ["events", "failures"] {
            assert!(matches!(placement.step(class, &rules(None), NOON + 0.9, None), PlacementStep::Survey { .. }));
        }
        assert!(
            matches!(placement.step("events", &rules(None), NOON + 86_400.0, None), PlacementStep::Survey { .. }),
            "a new day is empty"
        );
        assert_eq!(placement.step("events", &rules(None), NOON - 86_400.0, None), PlacementStep::List, "an old one may not be");
    }

    /// The later day was taken for one that begins empty.
    #[test]
    fn a_day_that_was_reached_before_the_clock_was_set_back_is_looked_up_again() {
        const DAY: f64 = 86_400.0;
        let rules = rules(None);
        let steps_of = |placement: &mut Placement, partition: &str| {
            assert_eq!(placement.step("events", &rules, NOON - DAY, None), PlacementStep::List);
            placement.listed(vec![partition.parse().unwrap()], NOON - DAY);
            assert!(matches!(placement.step("events", &rules, NOON - DAY, None), PlacementStep::Survey { .. }));
            assert_eq!(placement.step("events", &rules, NOON, None), PlacementStep::List);
            placement.listed(vec![partition.parse().unwrap()], NOON);
            let second = Some("@events.2026-11-24.2".to_owned());
            assert_eq!(placement.step("events", &rules, NOON, None), PlacementStep::Survey { partition: second, most: 500 });
        };
        // An earlier process reached it, or this one did.
        steps_of(&mut Placement::new(Layout::Partitions), "@cut-events.2026-11-24");
        let mut placement = Placement::new(Layout::Partitions);
        append(&mut placement, &mut Store::new(), "events", &rules, NOON, 500);
        placement.cut(&"@events.2026-11-24".parse().unwrap());
        append(&mut placement, &mut Store::new(), "events", &rules, NOON, 500);
        steps_of(&mut placement, "@cut-events.2026-11-24");
        assert!(
            matches!(placement.step("events", &rules, NOON + DAY, None), PlacementStep::Survey { .. }),
            "a day that nobody has reached is empty"
        );
    }

    #[test]
    fn after_the_removal_of_addresses_entries_of_that_day_go_behind_the_copy() {
        let (mut placement, rules) = (Placement::new(Layout::Partitions), rules(None));
        let mut store = Store::new();
        let first = append(&mut placement, &mut store, "events", &rules, NOON, 500).unwrap().unwrap();
        let partition: Partition = first.parse().unwrap();
        let rows = store.remove(&Some(first)).unwrap();
        store.insert(Some(partition.cut().to_string()), rows);
        placement.cut(&partition);
        // The clock was set back meanwhile, and it is that day again.
        let second = append(&mut placement, &mut store, "events", &rules, NOON + 60.0, 500);
        assert_eq!(second, Some(Some(partition.next().to_string())));
    }

    #[test]
    fn archive_user_nil_needs_no_list_and_no_count() {
        let mut placement = Placement::new(Layout::Single);
        assert_eq!(placement.step("events", &rules(None), NOON, None), PlacementStep::Survey { partition: None, most: 1 });
        placement.surveyed("events", NOON, None, 0);
        assert_eq!(
            placement.step("failures", &rules(None), NOON, None),
            PlacementStep::Append { partition: None, when: 1_795_521_600, left: None }
        );
        assert!(placement.full("events", NOON));
        assert_eq!(placement.step("events", &rules(None), NOON, None), PlacementStep::List, "it is full");
    }

    #[test]
    fn entries_under_archive_user_nil_do_not_fill_a_partition() {
        let (mut placement, rules, partition) = (Placement::new(Layout::Single), rules(None), Some("@events.2026-11-24".to_owned()));
        placement.surveyed("events", NOON, None, 0);
        assert!(placement.full("events", NOON));
        placement.listed(vec![], NOON);
        assert_eq!(placement.step("events", &rules, NOON, Some(0)), PlacementStep::Survey { partition: partition.clone(), most: 500 });
        placement.surveyed("events", NOON, None, 0);
        placement.pruned();
        for appended in [0, 400, 400] {
            let step = placement.step("events", &rules, NOON, Some(appended));
            assert!(matches!(step, PlacementStep::Append { partition: None, .. }), "{step:?}");
        }
        assert!(placement.full("events", NOON));
        assert_eq!(placement.step("events", &rules, NOON, Some(400)), PlacementStep::Survey { partition, most: 500 });
    }

    #[test]
    fn what_was_written_on_a_day_is_in_the_last_partitions_of_that_day() {
        let all = [
            "@events.2026-11-22",
            "@events.2026-11-23",
            "@events.2026-11-24",
            "@events.2026-11-24.10",
            "@events.2026-11-24.9",
            "@failures.2026-11-24",
        ];
        let others = ["@cut-events.2026-11-24.11", "@old-events.2026-11-24.100001", "@moving-old.2026-11-24"];
        let partitions: Vec<Partition> = all.iter().chain(&others).map(|name| name.parse().unwrap()).collect();
        let names: Vec<Vec<String>> = written_on(partitions, &[1_795_521_600.0, 1_795_521_600.0, 1_795_521_600.0 - 86_400.0])
            .iter()
            .map(|sequence| sequence.iter().map(ToString::to_string).collect())
            .collect();
        assert_eq!(
            names,
            [
                &["@events.2026-11-23"][..],
                &["@events.2026-11-24.10", "@events.2026-11-24.9", "@events.2026-11-24"][..],
                &["@failures.2026-11-24"]
            ]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_happens_partitions_are_sorted_and_hold_no_more_than_their_room(
            steps in prop::collection::vec((-40_000f64..100_000.0, 0usize..2, 1usize..150, 0u8..12), 1..40),
            limit in prop::option::of(1u64..4000),
            single in any::<bool>(),
            quota in 120usize..2000,
        ) {
            let layout = if single { Layout::Single } else { Layout::Partitions };
            let rules = rules(limit);
            let mut placement = Placement::new(layout);
            let mut store = Store::new();
            let mut now = NOON;
            let mut count = 0;
            for (pass, class, entries, event) in steps {
                now += pass;
                for _ in 0..entries {
                    let class = ["events", "failures"][class];
                    let partition = append(&mut placement, &mut store, class, &rules, now, quota).expect("there is room");
                    if let Some(partition) = partition {
                        let partition: Partition = partition.parse().unwrap();
                        prop_assert_eq!((partition.day, partition.class.as_str()), (day(now), class));
                    } else {
                        prop_assert!(single);
                    }
                    count += 1;
                    now += 0.3;
                }
                match event {
                    0 => placement = Placement::new(layout),
                    1 => {
                        store.remove(&None);
                        count = store.values().map(Vec::len).sum();
                        placement.pruned();
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(store.values().map(Vec::len).sum::<usize>(), count, "none is lost");
            for (partition, rows) in &store {
                prop_assert!(rows.is_sorted(), "{partition:?}");
                let room = if partition.is_some() { quota.min(usize::try_from(rules.room()).unwrap()) } else { quota };
                prop_assert!(rows.len() <= room, "{partition:?} has {}", rows.len());
            }
        }
    }
}
