//! Failures that only a simulated disk has on demand: short writes, full disks, read errors, power cuts.

use super::segment::{list, path_of};
use super::tests::{Entries, NOON, append, contents, entry, payload};
use super::*;
use crate::file::{Access, Memory, Operation};
use proptest::prelude::*;
use std::io::ErrorKind;

fn base() -> PathBuf {
    PathBuf::from("/example%2ecom/audit_journal")
}

/// Opens the journal, as another process does.
fn attempt(disk: &Memory, limits: Limits) -> Result<Journal, JournalError> {
    Journal::open_on(Rc::new(disk.clone()), &base(), limits, NOON)
}

fn open(disk: &Memory) -> Journal {
    attempt(disk, Limits::default()).unwrap()
}

fn last_segment(disk: &Memory) -> PathBuf {
    path_of(&base(), *list(disk, &base()).unwrap().last().unwrap())
}

fn length(disk: &Memory, path: &Path) -> u64 {
    disk.status(path).unwrap().length
}

#[test]
fn a_torn_record_is_skipped_and_counted_by_the_next_start() {
    for has_ledger in [true, false] {
        let disk = Memory::default();
        let mut journal = open(&disk);
        append(&mut journal, 0..3);
        let whole = length(&disk, &last_segment(&disk));
        // The write is short, the rest can't be removed, and no other segment can be begun.
        disk.set_room(Some(30));
        disk.fail(Operation::SetLength, ErrorKind::Other, usize::MAX);
        disk.fail(Operation::Create, ErrorKind::StorageFull, usize::MAX);
        assert_eq!(journal.append(&payload(3), "test", NOON), Appended::Volatile(3));
        assert_eq!(length(&disk, &last_segment(&disk)), whole + 30, "a part of the record is left");
        // The process dies, and the disk is well again.
        drop(journal);
        disk.heal();
        disk.set_room(None);
        let torn = Snapshot::read_from(&disk, &base()).unwrap();
        assert_eq!((torn.len(), torn.damaged()), (3, 0), "as if it was just being written");
        if !has_ledger {
            disk.remove(&ledger::beside(&base())).unwrap();
        }
        let mut journal = open(&disk);
        assert_eq!((journal.take_missing(), contents(&mut journal)), (1, (0..3).map(entry).collect()), "{has_ledger}");
        let Appended::Durable(next) = journal.append(b"next", "test", NOON) else { panic!() };
        assert!(next >= 3);
        drop(journal);
        let mut journal = open(&disk);
        assert_eq!((journal.take_missing(), journal.losses().total()), (0, 1), "{has_ledger}: counted once");
        assert_eq!(contents(&mut journal).last(), Some(&(next, b"next".to_vec())));
    }
}

#[test]
fn a_torn_record_is_removed_as_soon_as_that_is_possible() {
    let disk = Memory::default();
    let mut journal = open(&disk);
    append(&mut journal, 0..3);
    disk.set_room(Some(30));
    disk.fail(Operation::SetLength, ErrorKind::Other, usize::MAX);
    disk.fail(Operation::Create, ErrorKind::StorageFull, usize::MAX);
    assert_eq!(journal.append(&payload(3), "test", NOON), Appended::Volatile(3));
    disk.heal();
    disk.set_room(None);
    assert!(journal.look(NOON).is_empty());
    assert_eq!((journal.in_memory(), journal.bytes()), (0, length(&disk, &last_segment(&disk))));
    let snapshot = Snapshot::read_from(&disk, &base()).unwrap();
    assert_eq!((snapshot.len(), snapshot.damaged()), (4, 0));
}

#[test]
fn without_room_entries_wait_in_memory_and_are_written_when_there_is_room() {
    let disk = Memory::default();
    let mut journal = open(&disk);
    append(&mut journal, 0..2);
    let whole = length(&disk, &last_segment(&disk));
    disk.set_room(Some(30));
    for number in 2..5 {
        assert_eq!(journal.append(&payload(number), "test", NOON), Appended::Volatile(number));
        assert_eq!(length(&disk, &last_segment(&disk)), whole, "no part of the record stays");
    }
    assert!(journal.trouble().unwrap().contains("no storage space"), "{:?}", journal.trouble());
    // The ledger has its space already.
    journal.lose("test", 1, NOON);
    assert_eq!((journal.is_kept(), journal.in_memory()), (true, 3));
    disk.set_room(None);
    append(&mut journal, 5..6);
    assert_eq!((journal.in_memory(), journal.trouble()), (0, None));
    drop(journal);
    let mut journal = open(&disk);
    assert_eq!((contents(&mut journal), journal.take_missing()), ((0..6).map(entry).collect(), 0));
}

#[test]
fn entries_that_never_found_room_are_counted_by_the_next_start() {
    let disk = Memory::default();
    let mut journal = open(&disk);
    append(&mut journal, 0..2);
    disk.set_room(Some(0));
    for number in 2..5 {
        assert_eq!(journal.append(&payload(number), "test", NOON), Appended::Volatile(number));
    }
    drop(journal);
    let mut journal = open(&disk);
    assert_eq!((contents(&mut journal), journal.take_missing(), journal.end()), (vec![entry(0), entry(1)], 3, 5));
}

#[test]
fn an_entry_that_can_not_be_read_now_stays_pending() {
    let disk = Memory::default();
    let mut journal = open(&disk);
    append(&mut journal, 0..2);
    disk.fail(Operation::ReadAt, ErrorKind::Other, 1);
    assert!(matches!(journal.get(1), Err(JournalError::Io { .. })));
    assert_eq!((journal.get(1).unwrap(), journal.losses().total()), (Some(payload(1)), 0));
}

#[test]
fn a_segment_that_can_not_be_opened_now_is_not_gone() {
    let disk = Memory::default();
    let mut journal = attempt(&disk, Limits { segment: 300, ..Limits::default() }).unwrap();
    append(&mut journal, 0..30);
    // Another file with the same content, so that the journal has to read it.
    let path = path_of(&base(), 0);
    let mut content = vec![0; usize::try_from(length(&disk, &path)).unwrap()];
    disk.open(&path, Access::Read).unwrap().read_at(&mut content, 0).unwrap();
    disk.remove(&path).unwrap();
    disk.create_new(&path, Access::Append).unwrap().append(&content).unwrap();
    disk.fail(Operation::Open, ErrorKind::Other, usize::MAX);
    assert!(journal.look(NOON).is_empty());
    disk.heal();
    assert!(journal.look(NOON).is_empty());
    assert_eq!(contents(&mut journal), (0..30).map(entry).collect::<Vec<_>>());
}

#[test]
fn a_segment_that_is_read_stays_open() {
    let disk = Memory::default();
    let mut journal = attempt(&disk, Limits { segment: 300, ..Limits::default() }).unwrap();
    append(&mut journal, 0..30);
    assert_eq!(journal.get(0).unwrap(), Some(payload(0)));
    disk.fail(Operation::Open, ErrorKind::Other, usize::MAX);
    assert_eq!(journal.get(1).unwrap(), Some(payload(1)));
}

#[test]
fn a_snapshot_says_if_entries_are_missing_in_it() {
    let disk = Memory::default();
    let mut owner = open(&disk);
    append(&mut owner, 0..2);
    assert_eq!((owner.snapshot().len(), owner.snapshot().problem()), (2, None));
    disk.fail(Operation::Open, ErrorKind::Other, 1);
    assert!(owner.snapshot().problem().unwrap().contains("/example%2ecom/audit_journal.0000"));
    // A journal that waits for another process.
    let mut journal = Journal::detached_under(&base(), Limits::default(), Owner::on(Rc::new(disk.clone()), Path::new("/lock")));
    let _ = journal.append(&payload(9), "test", NOON);
    assert_eq!((journal.snapshot().len(), journal.snapshot().problem()), (3, None));
    disk.fail(Operation::ReadAt, ErrorKind::Other, 1);
    let snapshot = journal.snapshot();
    assert_eq!((snapshot.len(), snapshot.get(0)), (1, Some((0, Some(payload(9))))), "what is in memory is there");
    assert!(snapshot.problem().unwrap().contains("/example%2ecom/audit_journal.0000"));
}

#[test]
fn a_journal_that_can_not_be_read_now_is_not_owned() {
    let disk = Memory::default();
    let mut journal = open(&disk);
    append(&mut journal, 0..2);
    drop(journal);
    for operation in [Operation::Lock, Operation::List, Operation::Open, Operation::ReadAt] {
        disk.fail(operation, ErrorKind::Other, 1);
        assert!(matches!(attempt(&disk, Limits::default()), Err(JournalError::Io { .. })), "{operation:?}");
        let mut journal = open(&disk);
        assert_eq!((contents(&mut journal).len(), journal.losses().total()), (2, 0), "{operation:?}");
        assert!(matches!(attempt(&disk, Limits::default()), Err(JournalError::Locked { .. })), "{operation:?}");
    }
}

/// Before, a ledger that could not be opened for a moment was replaced by a new one.
#[test]
fn a_ledger_that_can_not_be_read_now_is_not_replaced() {
    for operation in [Operation::Open, Operation::ReadAt] {
        let disk = Memory::default();
        let mut journal = open(&disk);
        journal.lose("before", 7, NOON);
        journal.set_counted(5);
        drop(journal);
        let mut journal = Journal::detached_under(&base(), Limits::default(), Owner::on(Rc::new(disk.clone()), Path::new("/lock")));
        journal.lose("meanwhile", 2, NOON);
        assert_eq!(journal.append(&payload(0), "test", NOON), Appended::Volatile(0));
        disk.fail(operation, ErrorKind::PermissionDenied, 1);
        let error = journal.attach(NOON).unwrap_err().to_string();
        assert_eq!(error, "/example%2ecom/audit_journal.losses: permission denied", "{operation:?}");
        assert!(!journal.is_attached() && !journal.is_kept() && journal.trouble() == Some(&*error));
        // It can be read again.
        journal.attach(NOON).unwrap();
        let lost = journal.losses().unrecorded().unwrap();
        assert_eq!((lost.types["before"], lost.types["meanwhile"], journal.counted(), journal.len()), (7, 2, 5, 1), "{operation:?}");
        assert_eq!((journal.is_kept(), journal.take_damaged_ledger()), (true, None));
        drop(journal);
        let mut journal = open(&disk);
        assert_eq!((journal.losses().unrecorded(), contents(&mut journal).len()), (Some(lost), 1));
    }
}

#[test]
fn a_damaged_ledger_is_kept_under_another_name() {
    let path = ledger::beside(&base());
    let longer = vec![0; (1 << 20) + 1];
    for damaged in [&b"not a ledger"[..], &[7; 16_128], &longer] {
        let disk = Memory::default();
        append(&mut open(&disk), 0..2);
        disk.remove(&path).unwrap();
        disk.create_new(&path, crate::file::Access::Write).unwrap().append(damaged).unwrap();
        // It is not replaced if it can't be kept.
        disk.fail(Operation::Rename, ErrorKind::PermissionDenied, 1);
        assert!(attempt(&disk, Limits::default()).is_err());
        assert_eq!(length(&disk, &path), damaged.len() as u64);
        let mut journal = open(&disk);
        let aside = journal.take_damaged_ledger().unwrap();
        assert_eq!((aside.to_str(), length(&disk, &aside)), (Some("/example%2ecom/audit_journal.losses.damaged"), damaged.len() as u64));
        assert_eq!((contents(&mut journal).len(), journal.take_missing(), journal.is_kept()), (2, 0, true));
        journal.lose("test", 3, NOON);
        drop(journal);
        let mut journal = open(&disk);
        assert_eq!((journal.losses().unrecorded().unwrap().count, journal.take_damaged_ledger()), (3, None));
    }
}

/// The disk was full when the ledger was made, or a power cut took what was written.
#[test]
fn an_empty_ledger_is_not_damaged() {
    for zeros in [0, 100, 16_128] {
        let disk = Memory::default();
        disk.create_new(&ledger::beside(&base()), crate::file::Access::Write).unwrap().append(&vec![0; zeros]).unwrap();
        let mut journal = open(&disk);
        assert_eq!((journal.take_damaged_ledger(), journal.losses().total(), journal.is_kept()), (None, 0, true), "{zeros}");
    }
}

#[test]
fn a_power_cut_loses_only_what_was_not_written_back() {
    // The ledger, or the segments, or neither reached the disk since the last time that both did.
    type Choice = fn(&Path) -> bool;
    let rows: [(&str, Choice, u64, u64); 3] = [
        ("nothing", |_| false, 10, 0),
        ("the ledger", |path| path == ledger::beside(&base()), 10, 5),
        ("the segment", |path| path != ledger::beside(&base()), 15, 0),
    ];
    for (name, is_written_back, kept, counted) in rows {
        let disk = Memory::default();
        let mut journal = open(&disk);
        append(&mut journal, 0..10);
        disk.write_back(|_| true);
        append(&mut journal, 10..15);
        disk.write_back(is_written_back);
        drop(journal);
        disk.cut_power();
        let mut journal = open(&disk);
        assert_eq!((contents(&mut journal), journal.take_missing()), ((0..kept).map(entry).collect(), counted), "{name}");
        assert_eq!(journal.end(), kept + counted, "{name}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    /// Releases this many percent of the pending entries.
    Release(u64),
    /// The kernel writes files back: all, or every n-th, counted from another one.
    WriteBack(Option<(u64, u64)>),
    /// This many of the next calls of an operation fail.
    Fail(Operation, usize),
    /// Files can grow by this many bytes only.
    Room(Option<usize>),
    Look,
    Rest,
    /// The process dies, and another one opens the journal.
    Kill,
    /// The process ends normally.
    End,
}

fn operation() -> impl Strategy<Value = Operation> {
    let all = [
        Operation::Open,
        Operation::Create,
        Operation::Remove,
        Operation::Append,
        Operation::WriteAt,
        Operation::ReadAt,
        Operation::SetLength,
    ];
    prop::sample::select(all.to_vec())
}

fn work() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..300).prop_map(Step::Append),
        2 => (0u64..=100).prop_map(Step::Release),
        1 => Just(Step::Look),
        1 => Just(Step::Rest),
    ]
}

fn with_power_cut() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => work(),
        1 => Just(Step::WriteBack(None)),
        1 => (1u64..4, 0u64..4).prop_map(|which| Step::WriteBack(Some(which))),
    ]
}

fn with_failures() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => work(),
        3 => (operation(), 1usize..6).prop_map(|(operation, times)| Step::Fail(operation, times)),
        1 => prop::option::of(0usize..2000).prop_map(Step::Room),
        1 => Just(Step::Kill),
        1 => Just(Step::End),
    ]
}

/// A journal on a simulated disk, and what was done with its entries.
struct World {
    disk: Memory,
    limits: Limits,
    journal: Journal,
    entries: Entries,
    /// The entries that a store has.
    taken: BTreeMap<Vec<u8>, u64>,
    /// The entries that waited when all was written back, and were not released since.
    safe: BTreeMap<u64, Vec<u8>>,
}

impl World {
    fn new(segment: u64) -> Self {
        let (disk, limits) = (Memory::default(), Limits { segment, volatile: 5, ..Limits::default() });
        let journal = attempt(&disk, limits).unwrap();
        Self { disk, limits, journal, entries: Entries::default(), taken: BTreeMap::new(), safe: BTreeMap::new() }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(length) => self.entries.append(&mut self.journal, *length),
            Step::Release(share) => {
                let count = self.journal.len() as u64 * share / 100;
                let first: Vec<u64> = self.journal.pending(0).take(count as usize).collect();
                let mut upto = self.journal.first();
                for sequence in first {
                    // It is read again later.
                    let Ok(content) = self.journal.get(sequence) else { break };
                    let content = content.expect("no record is damaged");
                    assert_eq!(self.entries.given.get(&sequence), Some(&content), "another entry than was given");
                    *self.taken.entry(content).or_default() += 1;
                    upto = sequence + 1;
                }
                self.journal.release(upto);
                self.safe = self.safe.split_off(&upto);
            }
            Step::WriteBack(None) => {
                self.disk.write_back(|_| true);
                self.safe = contents(&mut self.journal).into_iter().collect();
            }
            Step::WriteBack(Some((every, from))) => {
                let count = std::cell::Cell::new(*from);
                self.disk.write_back(|_| count.replace(count.get() + 1) % every == 0);
            }
            Step::Fail(operation, times) => self.disk.fail(*operation, ErrorKind::Other, *times),
            Step::Room(room) => self.disk.set_room(*room),
            Step::Look => assert!(self.journal.look(NOON).is_empty(), "no record is gone"),
            Step::Rest => self.journal.rest(),
            Step::Kill | Step::End => {
                self.disk.heal();
                if matches!(step, Step::End) {
                    self.journal.give_up(NOON);
                }
                // Without a ledger nobody knows of entries that were only in memory.
                if self.journal.is_kept() {
                    self.restart();
                }
            }
        }
    }

    fn restart(&mut self) {
        let end = self.journal.end();
        // The lock can't be taken twice.
        self.journal = Journal::detached(Path::new("/nowhere"), self.limits);
        self.journal = attempt(&self.disk, self.limits).unwrap();
        assert!(self.journal.end() >= end, "sequences restart");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_every_entry_is_released_or_waits_or_is_counted(
        steps in prop::collection::vec(with_failures(), 0..60), segment in 100u64..2000,
    ) {
        let mut world = World::new(segment);
        for step in &steps {
            world.step(step);
        }
        world.disk.heal();
        world.disk.set_room(None);
        world.step(&Step::Look);
        // A release that failed is tried again by the next one.
        world.step(&Step::Release(0));
        prop_assert_eq!((world.journal.in_memory(), world.journal.trouble()), (0, None));
        world.restart();
        let waiting = contents(&mut world.journal);
        prop_assert!(waiting.iter().all(|(sequence, content)| world.entries.given.get(sequence) == Some(content)));
        let mut all = world.taken;
        for (_, content) in waiting {
            *all.entry(content).or_default() += 1;
        }
        let (there, lost) = (all.len() as u64, world.journal.losses().total());
        // If an acknowledgement could not be written before the process died, released entries are offered again.
        let again: u64 = all.values().map(|times| times - 1).sum();
        prop_assert!(there + lost >= world.entries.written, "{there} + {lost} of {}", world.entries.written);
        let restarts = steps.iter().any(|step| matches!(step, Step::Kill | Step::End));
        if !restarts {
            prop_assert_eq!((there + lost, again), (world.entries.written, 0));
        }
    }

    #[test]
    fn after_a_power_cut_what_is_lost_is_counted_or_was_the_last(
        steps in prop::collection::vec(with_power_cut(), 0..60), segment in 100u64..2000,
    ) {
        let mut world = World::new(segment);
        for step in &steps {
            world.step(step);
        }
        let expected: Vec<u64> = world.journal.pending(0).collect();
        world.journal = Journal::detached(Path::new("/nowhere"), world.limits);
        world.disk.cut_power();
        let mut journal = attempt(&world.disk, world.limits).unwrap();
        let found = contents(&mut journal);
        prop_assert!(found.is_sorted() && found.iter().all(|(sequence, content)| world.entries.given.get(sequence) == Some(content)));
        prop_assert!(world.safe.iter().all(|(sequence, _)| found.iter().any(|(there, _)| there == sequence)), "what was on the disk is lost");
        let is_lost = |sequence: &&u64| !found.iter().any(|(there, _)| there == *sequence);
        let in_between = expected.iter().filter(is_lost).filter(|sequence| **sequence < journal.end()).count() as u64;
        prop_assert!(journal.losses().total() >= in_between, "{in_between} are lost: {:?}", journal.losses());
        // The journal can be used again.
        let Appended::Durable(sequence) = journal.append(b"next", "test", NOON) else { panic!("{:?}", journal.trouble()) };
        prop_assert!(found.last().is_none_or(|(last, _)| *last < sequence));
        drop(journal);
        let mut journal = attempt(&world.disk, world.limits).unwrap();
        prop_assert_eq!((contents(&mut journal).len(), journal.take_missing()), (found.len() + 1, 0));
    }
}
