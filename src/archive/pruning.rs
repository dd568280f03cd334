//! What to remove from an archive, and which of its partitions count.
//!
//! Two jobs copy partitions, since not all drivers can change an entry in place: the removal of addresses (the class of a copy
//! begins with [`CUT`]), and the move of what the community's modules wrote ([`OLD`]; there is a marker, [`MOVING`], until the
//! copies are complete). A copy does not count while its original is there. So each entry counts once at every moment, and a
//! job that was interrupted starts again.

use std::collections::{BTreeMap, HashSet};

use crate::archive::clock::Timeline;
use crate::archive::partition::Partition;
use crate::archive::retention::Retention;
use crate::time::day;

pub use crate::archive::partition::{CUT, MOVING, OLD};

/// Entries may arrive from a journal after their day is over, but not later than this many seconds.
const LATE: f64 = 3600.0;

/// What to do with the partitions of an archive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Copies whose originals are still there. They are not complete, and are removed.
    pub unfinished: Vec<Partition>,
    /// Markers of moves. They are removed after the unfinished copies.
    pub markers: Vec<Partition>,
    /// Partitions all of whose entries have expired, by class, oldest first.
    pub expired: BTreeMap<String, Vec<Partition>>,
    /// Partitions whose addresses have expired, oldest first.
    pub cut: Vec<Partition>,
    /// Partitions of classes with a limit that have not expired: the one in use first, then the others, the last written first.
    pub limited: BTreeMap<String, Vec<Partition>>,
    /// When something expires next, in UNIX seconds.
    pub next: Option<f64>,
}

impl Plan {
    /// The plan for an archive with these partitions at `now`, in UNIX seconds. `old_is_empty` says that archive user `nil` has
    /// no entries.
    #[must_use]
    pub fn new(partitions: &[Partition], retention: &Retention, old_is_empty: bool, now: f64) -> Self {
        Self::with_times(partitions, retention, old_is_empty, now, &Timeline::default(), &HashSet::new())
    }

    /// The plan if it is known when entries were written under a wrong clock, and which partitions take entries now. If none is
    /// known of a class, it is the last partition of the day.
    #[must_use]
    pub fn with_times(
        partitions: &[Partition],
        retention: &Retention,
        old_is_empty: bool,
        now: f64,
        timeline: &Timeline,
        used: &HashSet<Partition>,
    ) -> Self {
        let mut plan = Self::default();
        let truth: HashSet<Partition> = visible(partitions, old_is_empty).into_iter().collect();
        let mut sorted = partitions.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        for partition in sorted {
            if partition.is_marker() {
                plan.markers.push(partition);
                continue;
            }
            if !truth.contains(&partition) {
                plan.unfinished.push(partition);
                continue;
            }
            let class = partition.home().to_owned();
            let rules = retention.rules(&class);
            let shift = timeline.shift(&partition);
            let expires = rules.expires_after.seconds() + partition.end() + shift;
            if expires <= now {
                plan.expired.entry(class).or_default().push(partition);
                continue;
            }
            plan.due(expires);
            if let Some(due) = cut_due(&partition, retention) {
                let due = due + shift;
                if due <= now { plan.cut.push(partition.clone()) } else { plan.due(due) }
            }
            if rules.limit.is_some() {
                plan.limited.entry(class).or_default().push(partition);
            }
        }
        for partitions in plan.limited.values_mut() {
            let is_of_today = |partition: &&Partition| partition.day == day(now) && !partition.is_cut() && partition.generation().is_none();
            let today = partitions.iter().filter(is_of_today).max().cloned();
            let in_use = partitions.iter().find(|partition| used.contains(partition)).cloned().or(today);
            partitions.sort_by(|a, b| {
                let rank = |partition: &Partition| in_use.as_ref() == Some(partition);
                let ((day_a, place_a), (day_b, place_b)) = (timeline.order(a), timeline.order(b));
                let written = day_b.total_cmp(&day_a).then_with(|| place_b.total_cmp(&place_a));
                rank(b).cmp(&rank(a)).then(written).then_with(|| b.cmp(a))
            });
        }
        plan
    }

    /// Notes that something expires at this time, in UNIX seconds.
    fn due(&mut self, at: f64) {
        if at.is_finite() {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }
}

/// Returns when the addresses of a partition expire, in UNIX seconds, or `None` if they never do.
#[must_use]
pub fn cut_due(partition: &Partition, retention: &Retention) -> Option<f64> {
    let expiry = retention.rules(partition.home()).addresses_expire.filter(|_| !partition.is_cut())?;
    Some(partition.end() + LATE + expiry.after.seconds())
}

/// The partitions that count, of those that a store lists: no markers, and no unfinished copies.
#[must_use]
pub fn visible(partitions: &[Partition], old_is_empty: bool) -> Vec<Partition> {
    let moving = |partition: &&Partition| partition.is_marker() && !old_is_empty;
    let generations: HashSet<u32> = partitions.iter().filter(moving).map(|marker| marker.number).collect();
    let all: HashSet<&Partition> = partitions.iter().collect();
    let holds = |partition: &&Partition| {
        let moved = partition.generation().is_none_or(|generation| !generations.contains(&generation));
        let finished = partition.original().is_none_or(|original| !all.contains(&original));
        !partition.is_marker() && moved && finished
    };
    partitions.iter().filter(holds).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Policy;
    use crate::archive::clock::{Clock, ClockReading, Witnesses};
    use crate::archive::limits::{Limit, LimitStep, PartitionSizes};
    use crate::archive::retention::{AddressExpiry, RetentionClass, Rules, TypePattern};
    use crate::archive::{Archive, Layout};
    use crate::time::period::Period;
    use proptest::prelude::*;

    type Job = Box<dyn Fn(&mut BTreeMap<Option<Partition>, usize>)>;

    const NOON: f64 = 1_795_521_600.0;
    const DAY: f64 = 86_400.0;

    fn partitions(names: &[&str]) -> Vec<Partition> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn names(partitions: &[Partition]) -> Vec<String> {
        partitions.iter().map(ToString::to_string).collect()
    }

    fn retention(rules: Rules) -> Retention {
        let limited = RetentionClass {
            name: "limited".to_owned(),
            types: vec![TypePattern::new("limited-*").unwrap()],
            rules: Rules { limit: Some(250), expires_after: Period::Never, ..rules },
        };
        Retention::new(rules, vec![limited])
    }

    #[test]
    fn a_copy_counts_when_its_original_is_gone() {
        let all = ["@events.2026-11-20", "@cut-events.2026-11-20", "@cut-events.2026-11-20.2", "@cut-events.2026-11-19"];
        let plan = Plan::new(&partitions(&all), &Retention::default(), true, NOON);
        assert_eq!(names(&visible(&partitions(&all), true)), ["@events.2026-11-20", "@cut-events.2026-11-20.2", "@cut-events.2026-11-19"]);
        assert_eq!(names(&plan.unfinished), ["@cut-events.2026-11-20"]);
    }

    #[test]
    fn a_generation_of_the_old_archive_counts_when_that_is_gone() {
        let all = partitions(&["@old-events.2026-11-20.100001", "@old-events.2026-11-20.200001", "@moving-old.2026-11-24.2"]);
        assert_eq!(names(&visible(&all, false)), ["@old-events.2026-11-20.100001"]);
        assert_eq!(names(&visible(&all, true)), ["@old-events.2026-11-20.100001", "@old-events.2026-11-20.200001"]);
        let plan = Plan::new(&all, &Retention::default(), false, NOON);
        assert_eq!((names(&plan.unfinished), names(&plan.markers)), (names(&all[1..2]), names(&all[2..])));
        assert_eq!(names(&Plan::new(&all, &Retention::default(), true, NOON).unfinished), Vec::<String>::new());
    }

    #[test]
    fn a_day_expires_when_it_is_over() {
        let rules = Rules { expires_after: Period::Seconds(2.0 * DAY), ..Rules::default() };
        let all = [
            "@events.2026-11-21",
            "@cut-events.2026-11-21.2",
            "@old-events.2026-11-20.100001",
            "@events.2026-11-22",
            "@limited.2020-01-01",
        ];
        let plan = Plan::new(&partitions(&all), &retention(rules), true, NOON);
        let expired: Vec<_> = plan.expired.values().map(|expired| names(expired)).collect();
        assert_eq!(expired, [["@old-events.2026-11-20.100001", "@events.2026-11-21", "@cut-events.2026-11-21.2"]]);
        assert_eq!(plan.next, Some(NOON + DAY / 2.0), "when the 22nd is two days over");
    }

    #[test]
    fn the_next_expiry_is_the_earliest_one() {
        let retention = retention(Rules { expires_after: Period::Seconds(5.0 * DAY), ..Rules::default() });
        let next = |all: &[&str]| Plan::new(&partitions(all), &retention, true, NOON).next;
        let first: Partition = "@events.2026-11-22".parse().unwrap();
        assert_eq!(next(&["@events.2026-11-22", "@events.2026-11-23", "@limited.2026-11-24"]), Some(first.end() + 5.0 * DAY));
        assert_eq!(next(&["@limited.2026-11-24"]), None, "it never expires");
    }

    #[test]
    fn addresses_of_a_day_are_cut_once() {
        let expiry = AddressExpiry { after: Period::Seconds(DAY), to: Policy::None };
        let rules = Rules { addresses_expire: Some(expiry), ..Rules::default() };
        let all = ["@events.2026-11-22", "@cut-events.2026-11-21", "@old-events.2026-11-21.100001", "@events.2026-11-23"];
        let plan = Plan::new(&partitions(&all), &retention(rules), true, NOON);
        assert_eq!(names(&plan.cut), ["@old-events.2026-11-21.100001", "@events.2026-11-22"]);
        assert_eq!(plan.next, Some(NOON + DAY / 2.0 + 3600.0), "the 23rd, an hour later, when nothing can come any more");
    }

    /// What a limit sees of these partitions, at noon on the 24th, with a clock that was 40 days ahead in between.
    fn limited(all: &[&str], used: &[&str], clock: &Clock) -> Vec<String> {
        let rules = Rules { expires_after: Period::Never, ..Rules::default() };
        let used = partitions(used).into_iter().collect();
        let plan = Plan::with_times(&partitions(all), &retention(rules), true, NOON, &clock.timeline(NOON), &used);
        plan.limited.get("limited").map_or_else(Vec::new, |partitions| names(partitions))
    }

    #[test]
    fn a_limit_counts_in_the_order_of_writing_and_the_partition_in_use_first() {
        let all = ["@limited.2026-11-23", "@limited.2026-11-24", "@limited.2026-11-24.2", "@limited.2026-11-24.3", "@limited.2027-01-03"];
        let (before, first, second, third, ahead) = (all[0], all[1], all[2], all[3], all[4]);
        let reading = |wall: f64, passed: f64| ClockReading { wall: NOON + wall, uptime: 1e6 + passed, boot: None };
        let mut clock = Clock::default();
        assert_eq!(limited(&all, &[], &clock), [third, ahead, second, first, before], "nothing is known but the day");
        assert_eq!(limited(&all, &[second], &clock), [second, ahead, third, first, before]);
        for hours in -30..=-2 {
            let time = f64::from(hours) * 3600.0;
            clock.look(&reading(time, time), &Witnesses::default(), DAY);
        }
        clock.look(&reading(40.0 * DAY - 3600.0, -3600.0), &Witnesses::default(), DAY);
        let mut unknown = clock.clone();
        clock.note(&partitions(&[second]));
        for clock in [&mut clock, &mut unknown] {
            clock.look(&reading(-1800.0, -1800.0), &Witnesses::default(), DAY);
        }
        assert_eq!(limited(&all, &[], &clock), [third, second, ahead, first, before]);
        assert_eq!(limited(&all, &[], &unknown), [third, second, first, ahead, before], "nothing of that day goes for it");
        clock.trust();
        assert_eq!(limited(&all, &[], &clock), [third, second, ahead, first, before]);
    }

    /// The disk was full when the machine lost power, so nothing was known of a month. A day of that month was taken for one that was
    /// written after the jump.
    #[test]
    fn a_day_that_nothing_is_known_of_is_older_than_what_was_written_under_a_doubtful_clock() {
        let all = ["@limited.2026-11-02", "@limited.2026-11-20", "@limited.2026-11-21", "@limited.2026-11-22", "@limited.2026-11-24"];
        let newest_first = [all[4], all[3], all[2], all[1], all[0]];
        let reading = |days: f64, boot: &str| ClockReading { wall: NOON + days * DAY, uptime: 1000.0, boot: Some(boot.to_owned()) };
        let mut clock = Clock::default();
        clock.look(&reading(-24.0, "first"), &Witnesses::default(), DAY);
        clock.look(&ClockReading { uptime: 1000.0 + 2.0 * DAY, ..reading(-22.0, "first") }, &Witnesses::default(), DAY);
        clock.look(&reading(-2.0, "second"), &Witnesses::default(), DAY);
        clock.look(&reading(0.0, "third"), &Witnesses::default(), DAY);
        assert!(!clock.is_trusted());
        assert_eq!(limited(&all, &[all[4]], &clock), newest_first);
    }

    /// They were taken for the newest, as their numbers are high.
    #[test]
    fn what_was_moved_from_the_older_log_is_the_oldest_of_its_day() {
        let all = ["@limited.2026-11-23", "@old-limited.2026-11-24.100001", "@old-limited.2026-11-24.100002", "@limited.2026-11-24"];
        let newest_first = [all[3], all[2], all[1], all[0]];
        assert_eq!(limited(&all, &[], &Clock::default()), newest_first);
    }

    #[test]
    fn a_name_that_is_used_again_after_a_jump_is_newer_than_what_was_written_meanwhile() {
        let all = ["@limited.2026-11-24", "@limited.2026-11-24.2", "@limited.2027-01-03"];
        let reading = |wall: f64, passed: f64| ClockReading { wall: NOON + wall, uptime: 1e6 + passed, boot: None };
        let mut clock = Clock::default();
        for hours in -30..=-2 {
            let time = f64::from(hours) * 3600.0;
            clock.look(&reading(time, time), &Witnesses::default(), DAY);
        }
        clock.look(&reading(40.0 * DAY - 3600.0, -3600.0), &Witnesses::default(), DAY);
        clock.note(&partitions(&["@limited.2026-11-24.2"]));
        clock.look(&reading(-1800.0, -1800.0), &Witnesses::default(), DAY);
        assert_eq!(limited(&all, &[all[1]], &clock), [all[1], all[2], all[0]], "both are from before the jump");
        // A limit has removed both in between, and the clock goes back to their day.
        for partition in partitions(&all[..2]) {
            clock.removed(&partition);
        }
        assert_eq!(limited(&all, &[all[1]], &clock), [all[1], all[0], all[2]]);
    }

    #[test]
    fn what_was_written_under_a_wrong_clock_expires_by_when_it_was_written() {
        let addresses = AddressExpiry { after: Period::Seconds(DAY), to: Policy::None };
        let rules = Rules { expires_after: Period::Seconds(2.0 * DAY), addresses_expire: Some(addresses), ..Rules::default() };
        let all = partitions(&["@events.1970-01-01", "@events.2035-11-24", "@events.2026-11-24", "@events.2026-11-26"]);
        let mut clock = Clock::default();
        let reading = |wall: f64, passed: f64| ClockReading { wall, uptime: passed, boot: None };
        clock.look(&reading(100.0, 100.0), &Witnesses::default(), DAY);
        clock.look(&reading(NOON, 200.0), &Witnesses::default(), DAY);
        clock.look(&reading(NOON + DAY + 1.0, 200.0 + DAY + 1.0), &Witnesses::default(), DAY);
        let now = reading(NOON + DAY + 2.0, 200.0 + DAY + 2.0);
        assert!(clock.is_trusted());
        clock.look_at_partitions(&all, &now, &Witnesses::default());
        let plan = |now: f64| Plan::with_times(&all, &Retention::new(rules, vec![]), true, now, &clock.timeline(now), &HashSet::new());
        let expired = |now: f64| plan(now).expired.values().flat_map(|expired| names(expired)).collect::<Vec<_>>();
        assert_eq!(names(&plan(NOON + 1.5 * DAY).cut), Vec::<String>::new());
        assert_eq!(expired(NOON + 2.0 * DAY), Vec::<String>::new());
        assert_eq!(names(&plan(NOON + 2.4 * DAY).cut), ["@events.1970-01-01", "@events.2026-11-24", "@events.2035-11-24"]);
        assert_eq!(expired(NOON + 3.5 * DAY), ["@events.1970-01-01", "@events.2026-11-24", "@events.2035-11-24"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_happens_no_entry_goes_before_its_time_and_none_is_shown_after_it(
            steps in prop::collection::vec((0u32..40_000, 0usize..3, 0usize..120, any::<bool>()), 1..60),
            days in prop::collection::vec(1u8..5, 2),
            limit in 1u64..400,
        ) {
            let rules = |days: u8| Rules { expires_after: Period::Seconds(f64::from(days) * DAY), ..Rules::default() };
            let class = |name: &str, rules: Rules| RetentionClass { name: name.to_owned(), types: vec![], rules };
            let classes = ["events", "short", "limited"];
            let retention = Retention::new(rules(days[0]), vec![
                class("short", rules(days[1])),
                class("limited", Rules { limit: Some(limit), expires_after: Period::Never, ..rules(1) }),
            ]);
            let mut archive = Archive::new(Layout::Partitions);
            // Each entry is its class and its time; what lies in a partition is in the order of writing.
            let mut store: BTreeMap<Partition, Vec<(usize, f64)>> = BTreeMap::new();
            let mut written: Vec<Vec<(usize, f64)>> = vec![vec![]; 3];
            let (mut now, mut number) = (NOON, 0);
            for (pass, class, count, prune) in steps {
                now += f64::from(pass);
                for _ in 0..count {
                    let name = classes[class];
                    let room = retention.rules(name).room();
                    let slot = archive.slot(name, now);
                    if slot.fresh {
                        archive.resume(name, now, None);
                    }
                    let partition: Partition = slot.partition.unwrap().parse().unwrap();
                    let rows = store.entry(partition).or_default();
                    rows.push((number, now));
                    written[class].push((number, now));
                    number += 1;
                    if rows.len() as u64 >= room {
                        prop_assert!(archive.roll(name, now));
                    }
                }
                if prune {
                    let all: Vec<Partition> = store.keys().cloned().collect();
                    let plan = Plan::new(&all, &retention, true, now);
                    prop_assert!(plan.unfinished.is_empty() && plan.cut.is_empty());
                    for partition in plan.expired.values().flatten() {
                        store.remove(partition);
                    }
                    for (name, own) in &plan.limited {
                        let mut limit = Limit::new("", retention.rules(name).limit.unwrap(), own.clone());
                        let mut sizes = PartitionSizes::default();
                        while let Some(step) = limit.next_step(&sizes) {
                            match step {
                                LimitStep::Count(partition) => limit.counted(&mut sizes, store[&partition].len() as u64),
                                LimitStep::Remove(partition) => {
                                    store.remove(&partition);
                                }
                            }
                        }
                    }
                }
                for (class, name) in classes.iter().enumerate() {
                    let held: HashSet<usize> = store.iter().filter(|(partition, _)| partition.class == *name).flat_map(|(_, rows)| rows.iter().map(|row| row.0)).collect();
                    let cutoff = retention.cutoff(name, now).unwrap_or(f64::NEG_INFINITY);
                    let within = retention.rules(name).limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
                    for (number, at) in written[class].iter().rev().take(within) {
                        prop_assert!(*at < cutoff || held.contains(number), "{name} has lost an entry of {at} at {now}");
                    }
                    if prune {
                        // At the latest a day later it is gone; a limit leaves one partition more.
                        for (_, rows) in store.iter().filter(|(partition, _)| partition.class == *name) {
                            prop_assert!(rows.iter().all(|(_, at)| *at >= cutoff - DAY));
                        }
                        let most = within.saturating_add(usize::try_from(retention.rules(name).room()).unwrap());
                        prop_assert!(held.len() <= most, "{name} holds {}", held.len());
                    }
                }
            }
        }

        #[test]
        fn wherever_a_copy_is_interrupted_each_entry_is_there_once(entries in 1usize..6, at in 0usize..9, old in any::<bool>()) {
            // A job as a list of steps; a crash lets the first `at` of them happen.
            let mut store: BTreeMap<Option<Partition>, usize> = BTreeMap::new();
            let source = (!old).then(|| "@events.2026-11-20".parse::<Partition>().unwrap());
            let copy: Partition = if old { "@old-events.2026-11-20.100001" } else { "@cut-events.2026-11-20" }.parse().unwrap();
            let marker: Partition = "@moving-old.2026-11-24".parse().unwrap();
            store.insert(source.clone(), entries);
            let seen = |store: &BTreeMap<Option<Partition>, usize>| {
                let all: Vec<Partition> = store.keys().flatten().cloned().collect();
                let partitions: usize = visible(&all, !store.contains_key(&None)).into_iter().map(|partition| store[&Some(partition)]).sum();
                partitions + store.get(&None).copied().unwrap_or(0)
            };
            let run = |store: &mut BTreeMap<Option<Partition>, usize>, steps: usize| {
                let all: Vec<Partition> = store.keys().flatten().cloned().collect();
                let plan = Plan::new(&all, &Retention::default(), !store.contains_key(&None), NOON);
                let mut jobs: Vec<Job> = Vec::new();
                for gone in plan.unfinished.into_iter().chain(plan.markers) {
                    jobs.push(Box::new(move |store| { store.remove(&Some(gone.clone())); }));
                }
                if store.contains_key(&source) {
                    if old {
                        let marker = marker.clone();
                        jobs.push(Box::new(move |store| { store.insert(Some(marker.clone()), 0); }));
                    }
                    for _ in 0..entries {
                        let copy = copy.clone();
                        jobs.push(Box::new(move |store| *store.entry(Some(copy.clone())).or_insert(0) += 1));
                    }
                    let source = source.clone();
                    jobs.push(Box::new(move |store| { store.remove(&source); }));
                    let marker = marker.clone();
                    jobs.push(Box::new(move |store| { store.remove(&Some(marker.clone())); }));
                }
                for job in jobs.into_iter().take(steps) {
                    job(store);
                    prop_assert_eq!(seen(store), entries);
                }
                Ok(())
            };
            run(&mut store, at)?;
            run(&mut store, usize::MAX)?;
            prop_assert_eq!(store.keys().flatten().cloned().collect::<Vec<_>>(), vec![copy]);
        }
    }
}
