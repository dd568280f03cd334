//! Moves of a host's entries between the embedded driver and that of this library, with its real file: crashes and power cuts at any
//! step, moves that change their direction, and entries that come meanwhile. The loop of the embedded Lua is `src/lua/transfer/rounds.lua`.

use std::collections::{BTreeMap, BTreeSet};

use audit_core::archive::partition::Partition;
use audit_core::archive::pruning::visible;
use audit_core::archive::transfer::{Joint, MARKING, Mark, NIL, Original, Side, Stores, Transfer, TransferStep};

use crate::prune::partitions_of;
use crate::regressions::setup;
use crate::script::Driver;
use crate::seed::Seed;
use crate::store::Store;

const NOON: f64 = 1_795_521_600.0;
const INTERNAL: &str = "internal";
/// Where the marks are, in the file of the driver `audit`.
const MARKS: &str = "marks";
const USERS: [&str; 7] = [
    NIL,
    "@events.2026-11-24",
    "@events.2026-11-24.2",
    "@failures.2026-11-24",
    "@old-events.2026-11-20.100001",
    "@cut-events.2026-11-21",
    "@events.2026-11-23",
];

/// The entries of the embedded driver, by archive user.
type Files = BTreeMap<Original, Vec<String>>;

struct Moving {
    seed: Seed,
    audit: Store,
    internal: Files,
    /// What of it is on the disk. Names of files, and that a file is gone, are there at once.
    durable: Files,
    count: u32,
    /// The entries that must be there, and those that a power cut may take.
    expected: BTreeSet<String>,
    recent: BTreeSet<String>,
    cuts: u32,
    lost: usize,
}

/// What happens to the process in a step.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Crash,
    PowerCut,
}

impl Moving {
    fn new(seed: u64) -> Self {
        let audit = Store::new(&setup(Driver::Native, 0, NOON));
        let (expected, recent) = (BTreeSet::new(), BTreeSet::new());
        let mut moving = Self {
            seed: Seed::new(seed),
            audit,
            internal: Files::new(),
            durable: Files::new(),
            count: 0,
            expected,
            recent,
            cuts: 0,
            lost: 0,
        };
        for _ in 0..moving.seed.below(40) {
            let (driver, user) = (moving.seed.pick(&[INTERNAL, MARKING]), original(moving.seed.pick(&USERS)));
            moving.write(driver, &user);
        }
        moving.settle(INTERNAL);
        moving.settle(MARKING);
        moving
    }

    /// A new entry.
    fn write(&mut self, driver: &str, user: &Original) {
        self.count += 1;
        let id = self.count.to_string();
        self.append(driver, user, &id);
        self.recent.insert(id.clone());
        self.expected.insert(id);
    }

    fn append(&mut self, driver: &str, user: &Original, id: &str) {
        if driver == INTERNAL {
            self.internal.entry(user.clone()).or_default().push(id.to_owned());
        } else {
            let xml = format!("<audit-event type='{id}'/>");
            self.audit.append(&name_of(user), NOON as i64, id, "@", &xml).expect("it has room");
        }
    }

    fn rows(&self, driver: &str, user: &Original) -> Vec<String> {
        if driver == INTERNAL {
            return self.internal.get(user).cloned().unwrap_or_default();
        }
        self.audit.list(&name_of(user)).into_iter().map(|stored| stored.id).collect()
    }

    fn remove(&mut self, driver: &str, user: &Original) {
        if driver == INTERNAL {
            self.internal.remove(user);
            self.durable.remove(user);
        } else {
            self.audit.delete(&name_of(user));
        }
    }

    /// What was written to a store is on the disk.
    fn settle(&mut self, driver: &str) {
        if driver == INTERNAL {
            self.durable = self.internal.clone();
        } else {
            self.audit.with_native(|native, _| native.sync());
        }
        let settled: BTreeSet<String> = if driver == INTERNAL {
            self.internal.values().flatten().cloned().collect()
        } else {
            self.audit.all().flat_map(|(_, list)| list.iter().map(|stored| stored.id.clone())).collect()
        };
        self.recent.retain(|id| !settled.contains(id));
    }

    fn marks(&self) -> Vec<Mark> {
        self.audit.list(&Some(MARKS.to_owned())).iter().map(|stored| mark_of(&stored.xml)).collect()
    }

    /// Puts a mark in the place of one of the same archive user, or removes it.
    fn mark(&mut self, mark: &Mark, is_kept: bool) {
        self.audit.begin();
        for stored in self.audit.list(&Some(MARKS.to_owned())) {
            let known = mark_of(&stored.xml);
            if known.original == mark.original && known.from == mark.from {
                self.audit.remove(&Some(MARKS.to_owned()), stored.key);
            }
        }
        if is_kept {
            let text = written(mark);
            self.audit.append(&Some(MARKS.to_owned()), 0, &text, "", &text).expect("it has room");
        }
        self.audit.commit();
    }

    fn with<T>(&self, from: &str, to: &str, work: impl FnOnce(&Stores<'_>) -> T) -> T {
        let names = |driver: &str| -> Vec<Partition> {
            if driver == INTERNAL { self.internal.keys().flatten().cloned().collect() } else { partitions_of(&self.audit.users()) }
        };
        let (source, target, marks) = (names(from), names(to), self.marks());
        let nil_is_empty = self.rows(from, &None).is_empty();
        work(&Stores { source: &source, nil_is_empty, target: &target, marks: &marks })
    }

    /// All entries that a reader finds now.
    fn read(&self, from: &str, to: &str, joint: &mut Joint) -> Vec<String> {
        let joined = self.with(from, to, |stores| joint.join(stores));
        let mut found = Vec::new();
        for name in visible(&joined.partitions, true) {
            match joined.in_source.iter().find(|(shown, _)| *shown == name) {
                Some((_, original)) => found.extend(self.rows(from, &Some(original.clone()))),
                None => found.extend(self.rows(to, &Some(name))),
            }
        }
        found.extend(self.rows(from, &None).into_iter().filter(|_| joined.source_nil));
        found.extend(self.rows(to, &None).into_iter().filter(|_| joined.target_nil));
        found.sort_unstable();
        found
    }

    /// Does a step, or a part of it.
    fn step(&mut self, step: TransferStep, from: &str, to: &str, is_whole: bool) {
        let of = |side| if side == Side::Source { from } else { to };
        match step {
            TransferStep::Mark(mark) | TransferStep::Complete(mark) => self.mark(&mark, true),
            TransferStep::Settle(side) => self.settle(of(side)),
            TransferStep::Copy(mark) => {
                let rows = self.rows(from, &mark.original);
                let count = if is_whole { rows.len() } else { self.seed.below(rows.len() as u64 + 1) as usize };
                for (index, id) in rows.iter().take(count).enumerate() {
                    let copy = if mark.copy.is_marker() {
                        let first = Partition::moved("events", mark.copy.number, mark.copy.start());
                        Partition { number: first.number + index as u32 / 3, ..first }
                    } else {
                        mark.copy.clone()
                    };
                    self.append(to, &Some(copy), id);
                }
            }
            TransferStep::Remove { side, users, mark } => {
                let count = if is_whole { users.len() } else { self.seed.below(users.len() as u64 + 1) as usize };
                users.iter().take(count).for_each(|user| self.remove(of(side), user));
                if let Some(mark) = mark.filter(|_| is_whole) {
                    self.mark(&mark, false);
                }
            }
        }
    }

    fn end(&mut self, end: End) {
        if end == End::Crash {
            self.audit.with_native(|native, _| native.crash());
            return;
        }
        self.cuts += 1;
        for (user, rows) in &mut self.internal {
            // Each file is as it is, or as it was.
            if self.seed.once_in(2) {
                *rows = self.durable.get(user).cloned().unwrap_or_default();
            }
        }
        self.internal.retain(|_, rows| !rows.is_empty());
        self.durable = self.internal.clone();
        let number = self.seed.next();
        self.audit.cut_power(number);
    }

    /// Each entry is there once. Only a power cut may take some, and only those that were written a moment before.
    fn check(&mut self, from: &str, to: &str, joint: &mut Joint, is_cut: bool) {
        for joint in [joint, &mut Joint::new(from, to)] {
            let found = self.read(from, to, joint);
            let once: BTreeSet<String> = found.iter().cloned().collect();
            assert_eq!(once.len(), found.len(), "entries are found twice");
            let missing: Vec<String> =
                self.expected.difference(&once).filter(|id| !is_cut || !self.recent.contains(*id)).cloned().collect();
            assert!(missing.is_empty(), "{missing:?} are not found");
            if is_cut {
                self.lost += self.expected.len() - once.len();
                self.expected.retain(|id| once.contains(id));
            }
            assert_eq!(once, self.expected, "entries are found that were gone");
        }
    }

    fn run(&mut self) {
        let mut turns = self.seed.below(5);
        let (mut from, mut to) = (INTERNAL, MARKING);
        'turns: loop {
            if self.seed.once_in(2) {
                (from, to) = (to, from);
            }
            let (mut joint, transfer) = (Joint::new(from, to), Transfer::new(from, to));
            // What another process has begun, and was not on the disk.
            self.check(from, to, &mut joint, false);
            let mut left = self.seed.below(14);
            loop {
                let round = self.with(from, to, |stores| transfer.round(stores, &mut joint));
                if round.steps.is_empty() {
                    assert_eq!(round.left, 0);
                    break;
                }
                for step in round.steps {
                    let end = (turns > 0 && left == 0).then(|| self.seed.pick(&[End::Crash, End::PowerCut]));
                    self.step(step, from, to, end.is_none());
                    self.check(from, to, &mut joint, false);
                    if let Some(end) = end {
                        self.end(end);
                        self.check(from, to, &mut Joint::new(from, to), end == End::PowerCut);
                        turns -= 1;
                        continue 'turns;
                    }
                    left = left.saturating_sub(1);
                    if self.seed.once_in(6) {
                        self.come(from, to, &mut joint);
                    }
                    if self.seed.once_in(6) {
                        self.settle(MARKING);
                    }
                }
            }
            break;
        }
        // All is in one store now.
        let found = self.rows_of_all(to);
        assert_eq!((found, self.rows_of_all(from)), (self.expected.clone(), BTreeSet::new()));
    }

    /// An entry comes, and is appended where nothing is closed.
    fn come(&mut self, from: &str, to: &str, joint: &mut Joint) {
        let closed = self.with(from, to, |stores| joint.join(stores)).closed;
        let place = self.seed.pick(&["@events.2026-11-24", "@events.2026-11-24.2", "@failures.2026-11-24", "@events.2026-11-25"]);
        let place = original(place).filter(|place| !closed.contains(place));
        if place.is_some() {
            self.write(to, &place);
        }
    }

    fn rows_of_all(&self, driver: &str) -> BTreeSet<String> {
        if driver == INTERNAL {
            return self.internal.values().flatten().cloned().collect();
        }
        let of_log = self.audit.all().filter(|(user, _)| user.as_deref() != Some(MARKS));
        of_log.flat_map(|(_, list)| list.iter().map(|stored| stored.id.clone())).collect()
    }
}

fn original(name: &str) -> Original {
    (name != NIL).then(|| name.parse().expect("it is a partition"))
}

fn name_of(user: &Original) -> Option<String> {
    user.as_ref().map(ToString::to_string)
}

/// A mark as it is in the file.
fn written(Mark { original, from, to, copy, is_complete }: &Mark) -> String {
    format!("{} {from} {to} {copy} {is_complete}", name_of(original).unwrap_or_else(|| NIL.to_owned()))
}

fn mark_of(text: &str) -> Mark {
    let parts: Vec<&str> = text.split(' ').collect();
    let (from, to) = (parts[1].to_owned(), parts[2].to_owned());
    Mark { original: original(parts[0]), from, to, copy: parts[3].parse().expect("a partition"), is_complete: parts[4] == "true" }
}

#[test]
fn an_entry_is_found_once_wherever_a_move_is_interrupted_and_what_was_moved_outlasts_a_power_cut() {
    let (mut cuts, mut lost) = (0, 0);
    for seed in 0..150 {
        let mut moving = Moving::new(seed);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| moving.run()));
        let problem = moving.audit.with_native(|native, _| native.problem.clone()).flatten();
        assert!(done.is_ok() && problem.is_none(), "seed {seed}: {problem:?}");
        (cuts, lost) = (cuts + moving.cuts, lost + moving.lost);
    }
    println!("{cuts} power cuts have taken {lost} entries that were written a moment before");
    assert!(cuts > 50 && lost > 5);
}
