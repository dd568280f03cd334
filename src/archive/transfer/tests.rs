use std::collections::{BTreeMap, BTreeSet};

use super::*;
use proptest::prelude::*;

fn partition(name: &str) -> Partition {
    name.parse().unwrap()
}

fn mark(original: &str, copy: &str, from: &str, to: &str, is_complete: bool) -> Mark {
    let original = (original != NIL).then(|| partition(original));
    Mark { original, from: from.to_owned(), to: to.to_owned(), copy: partition(copy), is_complete }
}

/// Two drivers, each with its entries by archive user, and the marks.
#[derive(Clone, Debug, Default)]
struct World {
    stores: BTreeMap<String, BTreeMap<Original, Vec<u32>>>,
    marks: Vec<Mark>,
}

impl World {
    fn names(&self, driver: &str) -> Vec<Partition> {
        self.stores.get(driver).into_iter().flat_map(|store| store.keys().flatten().cloned()).collect()
    }

    fn store(&mut self, driver: &str) -> &mut BTreeMap<Original, Vec<u32>> {
        self.stores.entry(driver.to_owned()).or_default()
    }

    fn with<T>(&self, from: &str, to: &str, work: impl FnOnce(&Stores<'_>) -> T) -> T {
        let (source, target) = (self.names(from), self.names(to));
        let nil_is_empty = !self.stores.get(from).is_some_and(|store| store.contains_key(&None));
        work(&Stores { source: &source, nil_is_empty, target: &target, marks: &self.marks })
    }

    /// All entries that a reader finds who lists both stores now.
    fn read(&self, from: &str, to: &str, joint: &mut Joint) -> Vec<u32> {
        let joined = self.with(from, to, |stores| joint.join(stores));
        let of = |driver: &str, user: &Original| self.stores.get(driver).and_then(|store| store.get(user)).cloned().unwrap_or_default();
        let mut found = Vec::new();
        // As the reader does it, pruning's own copies do not count before their originals are gone.
        for name in visible(&joined.partitions, true) {
            match joined.in_source.iter().find(|(shown, _)| *shown == name) {
                Some((_, original)) => found.extend(of(from, &Some(original.clone()))),
                None => found.extend(of(to, &Some(name))),
            }
        }
        found.extend(of(from, &None).into_iter().filter(|_| joined.source_nil));
        found.extend(of(to, &None).into_iter().filter(|_| joined.target_nil));
        found.sort_unstable();
        found
    }

    /// Does a step. `entries` is how many entries are copied before a crash.
    fn run(&mut self, step: TransferStep, from: &str, to: &str, entries: Option<usize>) {
        match step {
            TransferStep::Mark(mark) => self.marks.push(mark),
            TransferStep::Complete(mark) => {
                let known = self.marks.iter_mut().find(|known| known.original == mark.original && known.from == mark.from);
                *known.unwrap() = mark;
            }
            TransferStep::Settle(_) => {}
            TransferStep::Copy(mark) => {
                let rows = self.store(from).get(&mark.original).cloned().unwrap_or_default();
                for (index, row) in rows.into_iter().take(entries.unwrap_or(usize::MAX)).enumerate() {
                    let copy = if mark.copy.is_marker() {
                        let first = Partition::moved("events", mark.copy.number, mark.copy.start());
                        Partition { number: first.number + u32::try_from(index / 3).unwrap(), ..first }
                    } else {
                        mark.copy.clone()
                    };
                    self.store(to).entry(Some(copy)).or_default().push(row);
                }
            }
            TransferStep::Remove { side, users, mark } => {
                let driver = if side == Side::Source { from } else { to };
                for user in users {
                    self.store(driver).remove(&user);
                }
                if let Some(mark) = mark {
                    self.marks.retain(|known| known.original != mark.original || known.from != mark.from);
                }
            }
        }
    }
}

fn world(entries: &[(&str, &str)]) -> World {
    let mut world = World::default();
    for (number, (driver, user)) in entries.iter().enumerate() {
        let user = (*user != NIL).then(|| partition(user));
        world.store(driver).entry(user).or_default().push(u32::try_from(number).unwrap());
    }
    world
}

fn steps(world: &World, from: &str, to: &str) -> Vec<TransferStep> {
    world.with(from, to, |stores| Transfer::new(from, to).round(stores, &mut Joint::new(from, to)).steps)
}

#[test]
fn the_newest_partitions_are_moved_first_and_the_older_log_last() {
    let world = world(&[("internal", NIL), ("internal", "@events.2026-11-20"), ("internal", "@events.2026-11-24")]);
    let originals: Vec<Original> = steps(&world, "internal", "audit")
        .into_iter()
        .filter_map(|step| if let TransferStep::Copy(mark) = step { Some(mark.original) } else { None })
        .collect();
    assert_eq!(originals, [Some(partition("@events.2026-11-24")), Some(partition("@events.2026-11-20")), None]);
}

#[test]
fn the_originals_are_removed_when_the_copies_are_on_disk() {
    let name = "@events.2026-11-24";
    let of = |from: &str, to: &str| {
        let begun = mark(name, name, from, to, false);
        let complete = mark(name, name, from, to, true);
        let remove = TransferStep::Remove { side: Side::Source, users: vec![Some(partition(name))], mark: Some(complete.clone()) };
        (TransferStep::Mark(begun.clone()), TransferStep::Copy(begun), TransferStep::Complete(complete), remove)
    };
    let (mark, copy, complete, remove) = of("internal", "audit");
    assert_eq!(
        steps(&world(&[("internal", name)]), "internal", "audit"),
        [mark, copy, complete, TransferStep::Settle(Side::Target), remove]
    );
    // The marks are in the source: one that says that a copy is complete must not outlive the copy.
    let (mark, copy, complete, remove) = of("audit", "internal");
    let (begin, end) = (TransferStep::Settle(Side::Source), TransferStep::Settle(Side::Target));
    assert_eq!(steps(&world(&[("audit", name)]), "audit", "internal"), [mark, begin, copy, end, complete, remove]);
}

#[test]
fn a_partition_that_the_target_has_too_gets_another_name() {
    let name = "@events.2026-11-24";
    let world = world(&[("internal", name), ("audit", name), ("audit", "@old-events.2026-11-20.200001")]);
    let joined = world.with("internal", "audit", |stores| Joint::new("internal", "audit").join(stores));
    assert_eq!(joined.in_source, [(partition("@old-events.2026-11-24.300001"), partition(name))]);
    assert_eq!(joined.partitions.len(), 3);
    assert_eq!(world.read("internal", "audit", &mut Joint::new("internal", "audit")), [0, 1, 2]);
}

#[test]
fn a_partition_keeps_its_name_while_it_is_moved() {
    let name = "@events.2026-11-24";
    let mut world = world(&[("internal", name)]);
    let mut joint = Joint::new("internal", "audit");
    for step in steps(&world, "internal", "audit") {
        assert_eq!(world.with("internal", "audit", |stores| joint.join(stores)).partitions, [partition(name)]);
        world.run(step, "internal", "audit", None);
    }
    let joined = world.with("internal", "audit", |stores| joint.join(stores));
    assert_eq!((joined.partitions, joined.in_source), (vec![partition(name)], vec![]));
}

#[test]
fn copies_that_pruning_has_not_finished_are_removed_first() {
    let world = world(&[
        ("internal", "@events.2026-11-24"),
        ("internal", "@cut-events.2026-11-24"),
        ("internal", NIL),
        ("internal", "@old-events.2026-11-20.100001"),
        ("internal", "@moving-old.2026-11-24"),
    ]);
    let users = ["@cut-events.2026-11-24", "@old-events.2026-11-20.100001", "@moving-old.2026-11-24"];
    let users = users.map(|name| Some(partition(name))).into_iter().collect::<BTreeSet<_>>();
    let found = steps(&world, "internal", "audit");
    let [TransferStep::Remove { side: Side::Source, users: removed, mark: None }] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (removed.iter().cloned().collect::<BTreeSet<_>>(), removed.last()),
        (users, Some(&Some(partition("@moving-old.2026-11-24"))))
    );
    assert_eq!(world.read("internal", "audit", &mut Joint::new("internal", "audit")), [0, 2]);
}

#[test]
fn a_mark_of_another_driver_is_left_alone() {
    let name = "@events.2026-11-24";
    let mut world = world(&[("internal", name)]);
    world.marks = vec![mark(name, name, "sql", "audit", true), mark(name, name, "audit", "memory", false)];
    assert!(matches!(steps(&world, "internal", "audit")[0], TransferStep::Mark(_)));
    assert_eq!(world.read("internal", "audit", &mut Joint::new("internal", "audit")), [0]);
}

#[test]
fn what_fails_is_tried_again_after_everything_else_and_reported_once() {
    let names = ["@events.2026-11-24", "@events.2026-11-23"];
    let world = world(&[("internal", names[0]), ("internal", names[1])]);
    let mut transfer = Transfer::new("internal", "audit");
    let first = |transfer: &Transfer| {
        let round = world.with("internal", "audit", |stores| transfer.round(stores, &mut Joint::new("internal", "audit")));
        let TransferStep::Mark(mark) = &round.steps[0] else { panic!("{round:?}") };
        (mark.original.clone(), round.left)
    };
    let failing = Some(partition(names[0]));
    assert_eq!(first(&transfer), (failing.clone(), 2));
    let failures: Vec<_> = (0..3).map(|_| transfer.failed(Some(failing.clone()))).map(|failure| (failure.pause, failure.is_news)).collect();
    assert_eq!(failures, [(1.0, false), (2.0, true), (4.0, false)]);
    assert_eq!(first(&transfer), (Some(partition(names[1])), 2));
    assert!(!transfer.succeeded(), "one still fails");
    assert_eq!(transfer.failed(None).pause, 8.0);
    transfer.copied(&failing);
    assert!(transfer.succeeded() && !transfer.succeeded(), "the end is reported once");
    assert_eq!(transfer.failed(None), TransferFailure { pause: 1.0, is_news: false });
    let other = Some(partition(names[1]));
    transfer.failed(Some(failing.clone()));
    transfer.failed(Some(other.clone()));
    assert_eq!(first(&transfer), (failing.clone(), 2), "the one that failed first");
    transfer.failed(Some(failing.clone()));
    assert_eq!(first(&transfer), (other.clone(), 2));
    transfer.skip(failing);
    assert_eq!((first(&transfer), transfer.skipped(), transfer.is_in_trouble()), ((other, 1), 1, true));
}

proptest! {
    #[test]
    fn each_entry_is_found_once_at_every_moment_wherever_a_move_is_interrupted(
        entries in prop::collection::vec((0usize..2, 0usize..7), 0..25),
        turns in prop::collection::vec((any::<bool>(), 0usize..12, 0usize..4, 0usize..7, any::<bool>()), 1..6),
    ) {
        const USERS: [&str; 7] = [
            NIL, "@events.2026-11-24", "@events.2026-11-24.2", "@failures.2026-11-24",
            "@old-events.2026-11-20.100001", "@cut-events.2026-11-21", "@events.2026-11-23",
        ];
        let drivers = ["internal", "audit"];
        let entries: Vec<_> = entries.into_iter().map(|(driver, user)| (drivers[driver], USERS[user])).collect();
        let mut world = world(&entries);
        let mut expected: Vec<u32> = (0..u32::try_from(entries.len()).unwrap()).collect();
        let last = turns.last().copied().unwrap();
        // The last turn is not interrupted.
        for (direction, crash_after, copied, written, is_known) in turns.into_iter().chain([(last.0, usize::MAX, 0, 0, true)]) {
            let (from, to) = if direction { ("internal", "audit") } else { ("audit", "internal") };
            let mut joint = Joint::new(from, to);
            let transfer = Transfer::new(from, to);
            // The server writes meanwhile.
            let closed = if is_known {
                world.with(from, to, |stores| joint.join(stores)).closed
            } else {
                // The source can't be listed.
                world.with(from, to, |stores| Joint::new(from, to).join(&Stores { source: &[], ..*stores })).closed
            };
            let place = partition(USERS[written.max(1)]);
            if !closed.contains(&place) && place.class == place.home() {
                let number = u32::try_from(expected.len()).unwrap();
                world.store(to).entry(Some(place)).or_default().push(number);
                expected.push(number);
            }
            let mut done = 0;
            'rounds: loop {
                let round = world.with(from, to, |stores| transfer.round(stores, &mut joint));
                if round.steps.is_empty() {
                    prop_assert_eq!(round.left, 0);
                    break;
                }
                for step in round.steps {
                    let is_last = done == crash_after;
                    world.run(step, from, to, is_last.then_some(copied));
                    // The running server, and another process that reads.
                    prop_assert_eq!(&world.read(from, to, &mut joint), &expected);
                    prop_assert_eq!(&world.read(from, to, &mut Joint::new(from, to)), &expected);
                    done += 1;
                    if is_last {
                        break 'rounds;
                    }
                }
                prop_assert!(done < 1000);
            }
        }
        let from = if last.0 { "internal" } else { "audit" };
        prop_assert!(world.marks.is_empty() && world.stores.get(from).is_none_or(BTreeMap::is_empty));
    }
}
