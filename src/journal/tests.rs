use super::record::{RecordKind, Records, encode};
use super::segment::{list, path_of};
use super::*;
use crate::file::Memory;
use proptest::prelude::*;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) const NOON: f64 = 1_795_521_600.0;

/// A folder for one test, on the disk or in memory. It is removed when dropped.
struct Folder(PathBuf, Rc<dyn Files>);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("target/scratch/journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), Rc::new(Disk))
    }

    fn in_memory() -> Self {
        Self(PathBuf::from("/simulated"), Rc::new(Memory::default()))
    }

    fn base(&self) -> PathBuf {
        self.0.join("example%2ecom").join("audit_journal")
    }

    fn open(&self, limits: Limits) -> Journal {
        Journal::open_on(Rc::clone(&self.1), &self.base(), limits, NOON).unwrap()
    }

    /// Runs `act` while the folder of the journal has another name, so that its files can't be found.
    fn while_away(&self, act: impl FnOnce()) {
        let (base, away) = (self.base(), self.0.join("moved"));
        std::fs::rename(base.parent().unwrap(), &away).unwrap();
        act();
        std::fs::rename(&away, base.parent().unwrap()).unwrap();
    }

    fn segments(&self) -> Vec<PathBuf> {
        list(&*self.1, &self.base()).unwrap().into_iter().map(|first| path_of(&self.base(), first)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file to which every write fails for lack of space. It can't be truncated either.
fn full() -> Active {
    Active { file: crate::file::full(), torn: false }
}

pub(super) fn contents(journal: &mut Journal) -> Vec<PendingEntry> {
    let sequences: Vec<u64> = journal.pending(0).collect();
    sequences.into_iter().filter_map(|sequence| Some((sequence, journal.get(sequence).unwrap()?))).collect()
}

pub(super) fn entry(number: u64) -> PendingEntry {
    (number, payload(number))
}

pub(super) fn payload(number: u64) -> Vec<u8> {
    format!("<audit-event n='{number}'/>").into_bytes()
}

pub(super) fn append(journal: &mut Journal, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(journal.append(&payload(number), "test", NOON), Appended::Durable(number));
    }
}

/// The entries that a test has appended. Each has other content.
#[derive(Default)]
pub(super) struct Entries {
    /// How many there were, also those that were refused.
    pub(super) written: u64,
    /// What got a sequence.
    pub(super) given: BTreeMap<u64, Vec<u8>>,
    /// How many seconds after noon the last one came.
    passed: f64,
}

impl Entries {
    /// Appends one with `length` bytes and its number. If the journal refuses it, counts it as lost.
    pub(super) fn append(&mut self, journal: &mut Journal, length: usize) {
        let mut content = format!("{:08}", self.written).into_bytes();
        content.resize(content.len() + length, b'x');
        self.written += 1;
        // Sometimes soon after the last one, so that the file is not checked.
        self.passed += (length % 3) as f64 * 0.04;
        match journal.append(&content, "test", NOON + self.passed) {
            Appended::Durable(sequence) | Appended::Volatile(sequence) => {
                assert_eq!(self.given.insert(sequence, content), None, "a sequence is used again");
            }
            Appended::Refused => journal.lose("test", 1, NOON),
        }
    }
}

#[test]
fn appended_entries_are_there_after_the_owner_died() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..5);
    journal.release(2);
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert_eq!((journal.first(), journal.end(), journal.len(), journal.losses().total()), (2, 5, 3, 0));
    assert_eq!(contents(&mut journal), [entry(2), entry(3), entry(4)]);
    assert_eq!(journal.pending(3).collect::<Vec<_>>(), [3, 4]);
    assert_eq!((journal.get(1).unwrap(), journal.get(5).unwrap()), (None, None));
    append(&mut journal, 5..7);
    assert_eq!(contents(&mut journal).len(), 5);
    assert_eq!((folder.segments().len(), journal.trouble()), (1, None));
}

#[test]
fn only_its_user_can_read_it() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..1);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let base = folder.base();
    let modes = [base.parent().unwrap(), &with_ending(&base, ".lock"), &path_of(&base, 0)].map(mode);
    assert_eq!(modes, [0o700, 0o600, 0o600]);
}

#[test]
fn a_second_owner_is_refused_until_the_first_is_gone() {
    let folder = Folder::new();
    let journal = folder.open(Limits::default());
    let refused = Journal::open(&folder.base(), Limits::default(), NOON);
    assert!(matches!(refused, Err(JournalError::Locked { .. })), "{refused:?}");
    journal.close();
    folder.open(Limits::default());
}

#[test]
fn an_idle_journal_is_one_small_file_and_sequences_go_on() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..1000);
    journal.release(1000);
    assert_eq!(folder.segments(), [path_of(&folder.base(), 1000)]);
    assert!(std::fs::metadata(path_of(&folder.base(), 1000)).unwrap().len() < 64 && journal.bytes() < 64);
    append(&mut journal, 1000..1001);
    journal.release(u64::MAX);
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert_eq!((journal.is_empty(), journal.first(), journal.end()), (true, 1001, 1001));
    append(&mut journal, 1001..1002);
    assert_eq!((folder.segments().len(), journal.trouble()), (1, None));
}

#[test]
fn segments_are_begun_and_are_deleted_when_entries_are_released() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits { segment: 1000, ..Limits::default() });
    append(&mut journal, 0..200);
    let size = |folder: &Folder| folder.segments().iter().map(|path| std::fs::metadata(path).unwrap().len()).sum::<u64>();
    let full = folder.segments();
    assert!(full.len() > 5 && full.iter().all(|path| std::fs::metadata(path).unwrap().len() <= 1000), "{full:?}");
    assert_eq!(journal.bytes(), size(&folder));
    journal.release(100);
    let half = folder.segments();
    assert!(half.len() < full.len() && half[..] == full[full.len() - half.len()..], "{half:?}");
    assert_eq!(journal.bytes(), size(&folder));
    assert_eq!(contents(&mut journal), (100..200).map(entry).collect::<Vec<_>>());
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert_eq!((journal.bytes(), contents(&mut journal)), (size(&folder), (100..200).map(entry).collect()));
}

#[test]
fn a_full_journal_keeps_entries_in_memory_then_refuses_and_recovers() {
    let folder = Folder::new();
    let limits = Limits { bytes: 500, segment: 200, volatile: 2, recent: 0 };
    let mut journal = folder.open(limits);
    let durable =
        (0..100).take_while(|number| matches!(journal.append(&payload(*number), "test", NOON), Appended::Durable(_))).count() as u64;
    assert!((5..15).contains(&durable) && journal.bytes() <= 500, "{durable}");
    assert!(journal.trouble().unwrap().contains("full"));
    assert_eq!(journal.append(&payload(durable + 1), "test", NOON), Appended::Volatile(durable + 1));
    for _ in 0..2 {
        assert_eq!(journal.append(&payload(99), "test", NOON), Appended::Refused);
    }
    assert_eq!((journal.len() as u64, journal.end(), journal.in_memory()), (durable + 2, durable + 2, 2));
    assert_eq!(journal.get(durable).unwrap(), Some(payload(durable)));
    assert!(journal.pending(0).eq(0..durable + 2));
    assert_eq!(read_pending(&folder.base()).unwrap().0.len() as u64, durable);
    // When there is room again, entries in memory are written before newer ones.
    journal.release(durable);
    append(&mut journal, durable + 2..durable + 3);
    assert_eq!((journal.len(), journal.in_memory(), journal.trouble()), (3, 0, None));
    drop(journal);
    let mut journal = folder.open(limits);
    assert_eq!(contents(&mut journal), (durable..durable + 3).map(entry).collect::<Vec<_>>());
    assert_eq!(journal.losses().total(), 0);
    // Releasing entries in memory makes room for others.
    let big = vec![b'x'; 600];
    for round in [durable + 3, durable + 5] {
        for sequence in [round, round + 1] {
            assert_eq!(journal.append(&big, "test", NOON), Appended::Volatile(sequence));
        }
        assert_eq!(journal.append(&big, "test", NOON), Appended::Refused);
        journal.release(round + 2);
    }
}

#[test]
fn entries_in_memory_get_their_place_after_those_on_disk() {
    let folder = Folder::new();
    let mut owner = folder.open(Limits::default());
    append(&mut owner, 0..3);
    let mut journal = Journal::detached(&folder.base(), Limits::default());
    assert!(matches!(journal.attach(NOON), Err(JournalError::Locked { .. })) && !journal.is_attached());
    for number in 0..1000 {
        assert_eq!(journal.append(&payload(number + 3), "test", NOON), Appended::Volatile(number));
    }
    assert_eq!(journal.append(b"one more", "test", NOON), Appended::Refused);
    assert!(journal.trouble().unwrap().contains("in use by another process"));
    let snapshot = journal.snapshot();
    assert_eq!(
        (snapshot.len(), snapshot.get(2), snapshot.get(1002)),
        (1003, Some((2, Some(payload(2)))), Some((1002, Some(payload(1002)))))
    );
    journal.lose("test", 1, NOON);
    owner.close();
    journal.attach(NOON).unwrap();
    assert_eq!((journal.len(), journal.in_memory(), journal.trouble()), (1003, 0, None));
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert_eq!(contents(&mut journal), (0..1003).map(entry).collect::<Vec<_>>());
    // The ledger has the losses from before there was a file.
    assert_eq!((journal.take_missing(), journal.take_lost().unwrap().count), (0, 1));
}

#[test]
fn an_entry_with_losses_is_recognised_after_it_got_another_sequence() {
    let folder = Folder::new();
    let mut owner = folder.open(Limits::default());
    append(&mut owner, 0..3);
    assert!(owner.is_attached() && !owner.is_empty());
    let mut journal = Journal::detached(&folder.base(), Limits::default());
    journal.lose("test", 7, NOON);
    assert_eq!(journal.take_lost().unwrap().count, 7);
    assert_eq!(journal.append(b"seven are lost", "lost", NOON), Appended::Volatile(0));
    journal.tell(Some(0));
    assert!(journal.losses().unrecorded().is_some());
    owner.close();
    journal.attach(NOON).unwrap();
    assert_eq!(journal.get(3).unwrap().as_deref(), Some(&b"seven are lost"[..]));
    assert_eq!(journal.losses().unrecorded(), None, "it is on disk");
}

#[test]
fn losses_that_got_no_entry_are_taken_again() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..1);
    journal.lose("test", 7, NOON);
    assert_eq!(journal.take_lost().unwrap().count, 7);
    assert_eq!(journal.take_lost(), None);
    journal.not_told();
    assert_eq!(journal.take_lost().unwrap().count, 7);
    // Released entries before the one with the losses do not make it safe.
    journal.limits.bytes = 0;
    assert_eq!(journal.append(b"seven are lost", "lost", NOON), Appended::Volatile(1));
    journal.tell(Some(1));
    journal.release(1);
    assert_eq!(journal.losses().unrecorded().unwrap().count, 7);
    journal.release(2);
    assert_eq!(journal.losses().unrecorded(), None);
}

#[test]
fn nothing_that_waits_was_recorded_before_the_earliest_whatever_the_order() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    assert_eq!((journal.since(), journal.snapshot().since()), (None, None));
    for at in [NOON, NOON - 86_400.0, NOON + 5.0] {
        let Appended::Durable(_) = journal.append(format!("{at}\0\x01audit-event\x05").as_bytes(), "test", at) else { panic!() };
    }
    let earliest = Some(NOON - 86_400.0);
    assert_eq!((journal.since(), journal.snapshot().since()), (earliest, earliest));
    assert_eq!(Snapshot::read(&folder.base()).unwrap().since(), earliest, "of another process");
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert_eq!((journal.since(), journal.snapshot().since()), (earliest, earliest));
    journal.release(3);
    assert_eq!(journal.since(), None);
}

#[test]
fn an_entry_that_is_given_up_counts_as_the_events_that_it_stands_for() {
    let folder = Folder::new();
    let mut journal = Journal::detached(&folder.base(), Limits::default());
    let summary = b"1795521600\0\x01audit-event\x02count\x039\x01session\x02count\x038\x05\x01repeated\x02count\x037\x05\x05";
    for payload in [&summary[..], b"1795521600\0\x01audit-event\x05", b"damaged"] {
        let Appended::Volatile(_) = journal.append(payload, "test", NOON) else { panic!() };
    }
    assert_eq!((journal.give_up(NOON), journal.losses().total()), (9, 9));
}

#[test]
fn the_ledger_says_what_survives() {
    let folder = Folder::new();
    let mut journal = Journal::detached(&folder.base(), Limits::default());
    assert!(!journal.is_kept(), "there is no file");
    for number in 0..2 {
        assert_eq!(journal.append(b"x", "test", NOON), Appended::Volatile(number));
    }
    assert_eq!(journal.give_up(NOON), 2);
    journal.attach(NOON).unwrap();
    journal.set_counted(5);
    assert!(journal.is_kept() && journal.ledger_trouble().is_none());
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert_eq!(journal.counted(), 5);
    let path = ledger::beside(&folder.base());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    journal.set_counted(6);
    assert_eq!(journal.look(NOON), Vec::<u64>::new());
    assert!(!journal.is_kept());
    assert!(journal.ledger_trouble().unwrap().contains("audit_journal.losses: not a file"), "{:?}", journal.ledger_trouble());
}

#[test]
fn a_journal_may_be_filled_to_the_last_byte() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..1);
    journal.limits.bytes = journal.bytes() + (HEADER + payload(1).len()) as u64;
    append(&mut journal, 1..2);
    assert_eq!((journal.bytes(), journal.append(b"", "test", NOON)), (journal.limits.bytes, Appended::Volatile(2)));
}

#[test]
fn an_append_checks_its_file_again_after_a_pause() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..1);
    std::fs::remove_file(folder.segments().pop().unwrap()).unwrap();
    assert_eq!(journal.append(&payload(1), "test", NOON + 0.04), Appended::Durable(1));
    assert_eq!(folder.segments().len(), 0, "the file was not checked");
    assert_eq!(journal.append(&payload(2), "test", NOON + 0.06), Appended::Durable(2));
    assert_eq!((folder.segments().len(), journal.in_memory()), (1, 0));
    assert_eq!(contents(&mut journal), (0..3).map(entry).collect::<Vec<_>>());
}

#[test]
fn a_release_counts_entries_without_records_and_writes_nothing_if_nothing_is_released() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    let bytes = journal.bytes();
    journal.release(0);
    assert_eq!(journal.bytes(), bytes);
    std::fs::write(folder.segments().pop().unwrap(), "").unwrap();
    assert_eq!(journal.look(NOON), [0, 1, 2]);
    assert_eq!(journal.append(&payload(3), "test", NOON), Appended::Volatile(3), "not before the others");
    journal.release(2);
    assert!(journal.is_amiss(), "the last one is gone");
    journal.release(3);
    assert!(!journal.is_amiss());
    // The same if no entry is in memory.
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    std::fs::write(folder.segments().pop().unwrap(), "").unwrap();
    assert_eq!((journal.look(NOON), journal.in_memory()), (vec![0, 1, 2], 0));
    journal.release(3);
    assert!(!journal.is_amiss());
}

/// Those files are another process's.
#[test]
fn a_detached_journal_changes_no_file() {
    let folder = Folder::new();
    let mut owner = folder.open(Limits::default());
    append(&mut owner, 0..3);
    owner.lose("test", 1, NOON);
    let read = || std::fs::read(ledger::beside(&folder.base())).unwrap();
    let before = read();
    let mut journal = Journal::detached(&folder.base(), Limits::default());
    journal.lose("test", 7, NOON);
    assert_eq!((journal.look(NOON), journal.is_attached()), (vec![], false));
    assert!(before == read(), "the ledger was written");
}

#[test]
fn the_first_entry_makes_the_folder() {
    let folder = Folder::new();
    let owner = Owner::new(&folder.0.join("audit.lock"));
    let mut journal = Journal::detached_under(&folder.base(), Limits::default(), owner);
    journal.attach(NOON).unwrap();
    assert!(!folder.base().parent().unwrap().exists());
    append(&mut journal, 0..1);
}

#[test]
fn a_file_that_has_the_name_of_the_next_segment_is_replaced() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    let next = path_of(&folder.base(), 3);
    std::fs::write(&next, "of somebody else").unwrap();
    journal.release(3);
    assert_eq!((journal.trouble(), folder.segments()), (None, vec![next]));
    append(&mut journal, 3..4);
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert_eq!((contents(&mut journal), journal.losses().total()), (vec![entry(3)], 0));
}

#[test]
fn a_segment_that_was_deleted_is_not_kept_open() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits { segment: 300, ..Limits::default() });
    append(&mut journal, 0..30);
    let firsts = list(&Disk, &folder.base()).unwrap();
    for (read, released, is_open) in [(firsts[0], firsts[1], false), (firsts[3], firsts[2], true)] {
        assert!(journal.get(read).unwrap().is_some());
        journal.release(released);
        assert_eq!(journal.reader.is_some(), is_open, "{read}");
    }
}

/// The ledger may be of another journal, or be made by hand.
#[test]
fn no_more_entries_are_missing_than_there_was_room_for() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.base().parent().unwrap()).unwrap();
    let mut ledger = Ledger::new(Rc::clone(&folder.1), ledger::beside(&folder.base()));
    ledger.open().unwrap();
    ledger.mark(ledger::Progress { released: 0, end: 1 << 40, waiting: 1 << 40, counted: 0 });
    drop(ledger);
    let mut journal = folder.open(Limits { bytes: 100 * HEADER as u64, volatile: 7, ..Limits::default() });
    assert_eq!((journal.take_missing(), journal.end()), (107, 1 << 40));
}

#[test]
fn losses_are_kept_until_the_entry_with_them_is_safe() {
    let folder = Folder::new();
    let limits = Limits { volatile: 1, ..Limits::default() };
    let unrecorded = |journal: &Journal| journal.losses().unrecorded().map_or(0, |lost| lost.count);
    let mut journal = folder.open(limits);
    journal.lose("test", 7, NOON);
    assert_eq!(journal.take_lost().unwrap().count, 7);
    journal.limits.bytes = 0;
    assert_eq!(journal.append(b"seven are lost", "lost", NOON), Appended::Volatile(0));
    journal.tell(Some(0));
    drop(journal);
    // The entry died with the process, and is one of the losses now.
    let mut journal = folder.open(limits);
    assert_eq!((unrecorded(&journal), journal.take_missing()), (8, 1));
    // At an orderly end the entry itself is not counted.
    journal.take_lost().unwrap();
    journal.limits.bytes = 0;
    assert_eq!(journal.append(b"eight are lost", "lost", NOON), Appended::Volatile(1));
    journal.tell(Some(1));
    assert_eq!((journal.give_up(NOON), unrecorded(&journal)), (0, 8));
    // The entry is safe on disk and in the store.
    for durable in [true, false] {
        journal.lose("test", 1, NOON);
        journal.take_lost().unwrap();
        journal.limits.bytes = if durable { limits.bytes } else { 0 };
        let (Appended::Durable(sequence) | Appended::Volatile(sequence)) = journal.append(b"lost", "lost", NOON) else { panic!() };
        journal.tell(Some(sequence));
        assert_eq!(unrecorded(&journal) == 0, durable);
        journal.release(sequence + 1);
        assert_eq!(unrecorded(&journal), 0);
    }
    // Also if it is written later.
    journal.lose("test", 1, NOON);
    journal.take_lost().unwrap();
    let Appended::Volatile(sequence) = journal.append(b"late", "lost", NOON) else { panic!() };
    journal.tell(Some(sequence));
    journal.limits.bytes = limits.bytes;
    assert!(journal.look(NOON).is_empty());
    assert_eq!((unrecorded(&journal), journal.in_memory()), (0, 0));
    drop(journal);
    assert_eq!(unrecorded(&folder.open(limits)), 0);
}

#[test]
fn a_payload_has_a_largest_size() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    let largest = vec![0xff; PAYLOAD];
    assert_eq!(journal.append(&largest, "test", NOON), Appended::Durable(0));
    assert_eq!(journal.append(&vec![0; PAYLOAD + 1], "test", NOON), Appended::Volatile(1));
    assert!(journal.trouble().unwrap().contains("65537 bytes"));
    assert_eq!(journal.append(b"", "test", NOON), Appended::Durable(2));
    drop(journal);
    assert_eq!(contents(&mut folder.open(Limits::default())), [(0, largest), (2, Vec::new())]);
}

#[test]
fn another_process_can_read_and_changes_nothing() {
    let folder = Folder::new();
    let base = folder.base();
    assert_eq!(read_pending(&base).unwrap(), (vec![], 0));
    assert!(!folder.0.exists());
    let mut journal = folder.open(Limits { segment: 200, ..Limits::default() });
    append(&mut journal, 0..50);
    let before = folder.segments();
    assert_eq!(read_pending(&base).unwrap(), ((0..50).map(entry).collect(), 0));
    assert_eq!(folder.segments(), before);
    journal.release(20);
    assert_eq!(read_pending(&base).unwrap(), ((20..50).map(entry).collect(), 0));
    // A record that is being written.
    let last = folder.segments().pop().unwrap();
    let mut record = Vec::new();
    encode(&mut record, RecordKind::Entry(50), &payload(50));
    OpenOptions::new().append(true).open(&last).unwrap().write_all(&record[..record.len() - 1]).unwrap();
    assert_eq!(read_pending(&base).unwrap(), ((20..50).map(entry).collect(), 0));
    // Damage before the end counts as damage.
    let mut bytes = std::fs::read(&last).unwrap();
    bytes[0] = b'x';
    std::fs::write(&last, bytes).unwrap();
    assert_eq!(read_pending(&base).unwrap().1, 1);
}

#[test]
fn what_is_still_in_memory_is_written_again_when_its_segment_is_emptied() {
    let folder = Folder::new();
    // Room for 50 of them.
    let recent = (0..50).map(|number| payload(number).len() + "test".len()).sum();
    let mut journal = folder.open(Limits { segment: 1000, recent, ..Limits::default() });
    append(&mut journal, 0..60);
    for path in folder.segments() {
        File::create(path).unwrap();
    }
    // It is not read from a file.
    assert_eq!(journal.get(7).unwrap(), Some(payload(7)));
    assert_eq!(journal.look(NOON), (50..60).collect::<Vec<_>>());
    journal.settle();
    assert_eq!((journal.len(), journal.in_memory(), journal.take_missing()), (50, 0, 10));
    assert_eq!(contents(&mut journal), (0..50).map(entry).collect::<Vec<_>>());
    drop(journal);
    assert_eq!(contents(&mut folder.open(Limits::default())), (0..50).map(entry).collect::<Vec<_>>());
}

#[test]
fn what_was_written_to_an_emptied_segment_is_found_where_it_is() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    File::create(&folder.segments()[0]).unwrap();
    append(&mut journal, 3..4);
    assert_eq!(journal.look(NOON), [0, 1, 2]);
    journal.settle();
    assert_eq!((contents(&mut journal), journal.take_missing()), (vec![entry(3)], 3));
}

#[test]
fn what_somebody_appends_to_a_segment_belongs_to_its_size() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    let path = folder.segments().pop().unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\nx\n").unwrap();
    assert!(journal.look(NOON).is_empty());
    append(&mut journal, 3..4);
    assert_eq!(journal.bytes(), std::fs::metadata(&path).unwrap().len());
    assert_eq!(contents(&mut journal), (0..4).map(entry).collect::<Vec<_>>());
}

#[test]
fn before_its_first_entry_a_process_can_restore_those_of_an_earlier_segment() {
    let folder = Folder::new();
    let limits = Limits { segment: 300, ..Limits::default() };
    append(&mut folder.open(limits), 0..30);
    let mut journal = folder.open(limits);
    std::fs::remove_file(&folder.segments()[0]).unwrap();
    for sequence in journal.look(NOON) {
        journal.restore(sequence, &payload(sequence), "test", NOON);
    }
    journal.settle();
    assert_eq!((journal.trouble(), journal.in_memory()), (None, 0));
    drop(journal);
    let mut journal = folder.open(limits);
    assert_eq!((contents(&mut journal), journal.take_missing()), ((0..30).map(entry).collect(), 0));
}

#[test]
fn only_the_segment_that_is_gone_is_written_again() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits { segment: 300, recent: 10_000, ..Limits::default() });
    append(&mut journal, 0..30);
    let paths = folder.segments();
    std::fs::remove_file(&paths[0]).unwrap();
    let ids = || paths[1..].iter().map(|path| Disk.stamp(path).unwrap().file()).collect::<Vec<_>>();
    let before = ids();
    assert!(journal.look(NOON).is_empty());
    assert_eq!((ids(), journal.in_memory(), journal.trouble()), (before, 0, None));
    assert_eq!(contents(&mut journal), (0..30).map(entry).collect::<Vec<_>>());
}

#[test]
fn a_look_while_the_folder_has_another_name_makes_no_other() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    folder.while_away(|| {
        assert!(journal.look(NOON).is_empty());
        assert!(!folder.base().parent().unwrap().exists());
    });
    append(&mut journal, 3..4);
    assert_eq!((contents(&mut journal).len(), folder.segments().len()), (4, 1));
}

#[test]
fn an_entry_that_is_none_is_counted_and_no_longer_waits() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    journal.spoil(1);
    journal.spoil(7);
    assert_eq!((contents(&mut journal), journal.take_missing()), (vec![entry(0), entry(2)], 1));
}

#[test]
fn a_reader_misses_nothing_while_the_owner_is_busy() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits { segment: 2000, ..Limits::default() });
    let base = folder.base();
    let released = AtomicU32::new(0);
    let appended = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while appended.load(Ordering::SeqCst) < 20_000 {
                let upto = u64::from(appended.load(Ordering::SeqCst));
                let (entries, damaged) = read_pending(&base).unwrap();
                let from = u64::from(released.load(Ordering::SeqCst));
                let must: Vec<u64> = (from..upto).collect();
                let seen: Vec<u64> = entries.iter().map(|(sequence, _)| *sequence).collect();
                let there: Vec<u64> = seen.iter().copied().filter(|sequence| (from..upto).contains(sequence)).collect();
                assert_eq!((there, damaged), (must, 0));
                assert!(seen.is_sorted() && entries.iter().all(|(number, content)| *content == payload(*number)));
                rounds += 1;
            }
            rounds
        });
        for number in 0..20_000u32 {
            append(&mut journal, u64::from(number)..u64::from(number) + 1);
            appended.store(number + 1, Ordering::SeqCst);
            if number % 97 == 0 {
                // Every third time everything is released, so that new segments replace old ones.
                let upto = if number % 3 == 0 { number + 1 } else { number.saturating_sub(50) };
                released.fetch_max(upto, Ordering::SeqCst);
                journal.release(u64::from(upto));
            }
        }
        assert!(reader.join().unwrap() > 10);
    });
}

#[test]
fn a_new_segment_is_begun_after_a_torn_one() {
    let rows: [(&str, u64, u64); 3] = [("one that was never appended", 2, 0), ("the only entry", 0, 1), ("a whole segment", 3, 0)];
    for (name, kept, damaged) in rows {
        let folder = Folder::new();
        let mut journal = folder.open(Limits::default());
        append(&mut journal, 0..kept.max(1));
        let whole = journal.bytes();
        drop(journal);
        let path = path_of(&folder.base(), 0);
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        match (kept, damaged) {
            (0, _) => file.set_len(whole - 1).unwrap(),
            (2, _) => (&file).write_all(&MARKER_AND_MORE).unwrap(),
            _ => {}
        }
        let length = file.metadata().unwrap().len();
        let mut journal = folder.open(Limits::default());
        assert_eq!(journal.losses().total(), damaged, "{name}");
        let Appended::Durable(sequence) = journal.append(b"behind", "test", NOON) else { panic!("{name}") };
        assert!(sequence >= kept, "{name}");
        if kept < 3 {
            let old = std::fs::metadata(&path).map_or(length, |file| file.len());
            assert_eq!(old, length, "{name}: nothing is appended after a torn record");
        }
        drop(journal);
        let mut expected: Vec<_> = (0..kept).map(entry).collect();
        expected.push((sequence, b"behind".to_vec()));
        assert_eq!(contents(&mut folder.open(Limits::default())), expected, "{name}");
    }
}

const MARKER_AND_MORE: [u8; 6] = [0xff, b'P', b'A', 0xfe, 1, 2];

#[test]
fn segments_can_be_deleted_by_hand() {
    let folder = Folder::new();
    let limits = Limits { segment: 300, ..Limits::default() };
    let mut journal = folder.open(limits);
    append(&mut journal, 0..30);
    let paths = folder.segments();
    let (second, last) = (list(&Disk, &folder.base()).unwrap()[1], *list(&Disk, &folder.base()).unwrap().last().unwrap());
    std::fs::remove_file(&paths[0]).unwrap();
    let found = contents(&mut journal);
    assert_eq!(found, (second..30).map(entry).collect::<Vec<_>>());
    assert_eq!((journal.losses().total(), journal.take_missing(), journal.take_missing()), (second, second, 0));
    assert_eq!((journal.first(), journal.len()), (second, found.len()));
    journal.release(second);
    assert_eq!(journal.trouble(), None);
    drop(journal);
    // The ledger has the last sequence and the number of waiting entries.
    std::fs::remove_file(paths.last().unwrap()).unwrap();
    let mut journal = folder.open(limits);
    assert_eq!((contents(&mut journal).last().unwrap().0, journal.take_missing()), (last - 1, 30 - last));
    assert_eq!(journal.losses().total(), second + 30 - last, "earlier losses were in no entry yet");
    append(&mut journal, 30..31);
    // All of them are counted, and only once.
    drop(journal);
    folder.segments().iter().for_each(|path| std::fs::remove_file(path).unwrap());
    for missing in [last - second + 1, 0] {
        let mut journal = folder.open(limits);
        assert_eq!((journal.take_missing(), journal.first(), journal.end(), journal.losses().total()), (missing, 31, 31, 31));
    }
}

#[test]
fn what_is_no_file_in_place_of_a_segment_is_noticed() {
    type Make = fn(&Path);
    let rows: [(&str, Make); 2] = [
        ("a folder", |path| std::fs::create_dir(path).unwrap()),
        // To open it would wait for its writer.
        ("a pipe", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
    ];
    for (name, make) in rows {
        let folder = Folder::new();
        let mut journal = folder.open(Limits { segment: 300, ..Limits::default() });
        append(&mut journal, 0..30);
        let second = list(&Disk, &folder.base()).unwrap()[1];
        let path = &folder.segments()[0];
        std::fs::remove_file(path).unwrap();
        make(path);
        assert_eq!(journal.look(NOON), (0..second).collect::<Vec<_>>(), "{name}");
        journal.settle();
        assert_eq!((journal.take_missing(), contents(&mut journal)), (second, (second..30).map(entry).collect()), "{name}");
    }
}

/// After a power cut, or if somebody puts an old copy in its place.
#[test]
fn with_an_old_ledger_only_what_has_no_record_is_missing() {
    let rows: [(&str, u64, bool, u64); 4] = [
        ("all entries are there", 0, false, 0),
        ("some were released since", 2, false, 0),
        ("all of the ledger's were released since", 3, false, 0),
        ("one of the ledger's is damaged", 0, true, 1),
    ];
    for (name, released, damages, missing) in rows {
        let folder = Folder::new();
        let mut journal = folder.open(Limits::default());
        append(&mut journal, 0..3);
        let ledger = ledger::beside(&folder.base());
        let old = std::fs::read(&ledger).unwrap();
        journal.release(released);
        append(&mut journal, 3..5);
        drop(journal);
        std::fs::write(ledger, old).unwrap();
        if damages {
            let path = folder.segments().pop().unwrap();
            let at = places(&std::fs::read(&path).unwrap())[1].1;
            OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"X", at as u64).unwrap();
        }
        let mut journal = folder.open(Limits::default());
        let left: Vec<_> = (released..5).filter(|number| !damages || *number != 1).map(entry).collect();
        assert_eq!((contents(&mut journal), journal.take_missing()), (left, missing), "{name}");
    }
}

#[test]
fn an_incomplete_record_whose_sequence_the_ledger_has_is_missing_once() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..4);
    journal.release(3);
    append(&mut journal, 4..5);
    drop(journal);
    cut(&folder.segments()[0], 1);
    // It is older than the acknowledgement.
    let mut ledger = Ledger::new(Rc::clone(&folder.1), ledger::beside(&folder.base()));
    ledger.open().unwrap();
    ledger.mark(ledger::Progress { released: 0, end: 5, waiting: 5, counted: 0 });
    drop(ledger);
    let mut journal = folder.open(Limits::default());
    assert_eq!((contents(&mut journal), journal.take_missing()), (vec![entry(3)], 1));
}

/// Somebody has renamed or edited files.
#[test]
fn records_that_are_not_in_their_place_are_damage() {
    type Content<'a> = &'a [(u64, &'a [RecordKind])];
    let one = RecordKind::Entry;
    let rows: [(&str, Content<'_>, &[u64], u64); 5] = [
        ("in their place", &[(0, &[one(0), one(1)]), (5, &[one(5), one(6)])], &[0, 1, 5, 6], 0),
        ("before the first of its file", &[(5, &[one(4), one(5)])], &[5], 1),
        ("the first of the next file", &[(0, &[one(0), one(5)]), (5, &[one(6)])], &[0, 6], 1),
        ("twice", &[(0, &[one(0), one(1), one(1)])], &[0, 1], 1),
        ("released before", &[(0, &[RecordKind::Acknowledgement(3), one(1), one(4)])], &[4], 0),
    ];
    for (name, files, expected, damaged) in rows {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.base().parent().unwrap()).unwrap();
        for (first, records) in files {
            let mut bytes = Vec::new();
            for kind in *records {
                let mut record = Vec::new();
                encode(&mut record, *kind, &if let RecordKind::Entry(number) = kind { payload(*number) } else { Vec::new() });
                bytes.extend(record);
            }
            std::fs::write(path_of(&folder.base(), *first), bytes).unwrap();
        }
        let expected: Vec<_> = expected.iter().copied().map(entry).collect();
        assert_eq!(read_pending(&folder.base()).unwrap(), (expected.clone(), damaged), "{name}");
        let snapshot = Snapshot::read(&folder.base()).unwrap();
        assert_eq!((snapshot.len(), snapshot.is_empty()), (expected.len(), false), "{name}");
        assert_eq!(contents(&mut folder.open(Limits::default())), expected, "{name}");
    }
    assert!(Snapshot::read(&Folder::new().base()).unwrap().is_empty());
}

#[test]
fn the_next_process_replaces_a_segment_that_has_no_waiting_entry() {
    let folder = Folder::new();
    append(&mut folder.open(Limits::default()), 0..3);
    folder.open(Limits::default()).release(3);
    let next = path_of(&folder.base(), 3);
    assert_eq!(folder.segments(), std::slice::from_ref(&next));
    // One without any entry stays as it is.
    let written = Disk.stamp(&next);
    folder.open(Limits::default());
    assert_eq!(Disk.stamp(&next), written);
    // One that has only damage does not.
    std::fs::write(&next, "no record").unwrap();
    folder.open(Limits::default());
    assert_eq!(folder.segments().len(), 1);
    assert_ne!(std::fs::read(&folder.segments()[0]).unwrap(), b"no record");
}

#[test]
fn released_entries_are_not_missing() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..50);
    journal.release(50);
    append(&mut journal, 50..53);
    journal.release(52);
    drop(journal);
    folder.segments().iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let mut journal = folder.open(Limits::default());
    assert_eq!((journal.take_missing(), journal.end()), (1, 53));
}

/// An earlier version had no ledger, or somebody may remove it. Gaps in the sequences show what is missing.
#[test]
fn without_a_ledger_gaps_are_counted_by_sequence() {
    let limits = Limits { segment: 300, ..Limits::default() };
    type Change = fn(&[PathBuf]);
    let rows: [(&str, Change, u64); 5] = [
        ("nothing", |_| {}, 0),
        ("the first segment", |paths| std::fs::remove_file(&paths[0]).unwrap(), 6),
        ("one in the middle", |paths| std::fs::remove_file(&paths[2]).unwrap(), 6),
        ("the end of the last", |paths| cut(paths.last().unwrap(), 1), 1),
        ("the end of another", |paths| cut(&paths[1], 1), 1),
    ];
    for (name, change, lost) in rows {
        let folder = Folder::new();
        let mut journal = folder.open(limits);
        append(&mut journal, 0..30);
        drop(journal);
        change(&folder.segments());
        std::fs::remove_file(ledger::beside(&folder.base())).unwrap();
        let mut journal = folder.open(limits);
        let missing = journal.take_missing();
        assert_eq!(missing, lost, "{name}");
        assert_eq!(journal.len() as u64 + missing, 30, "{name}");
        drop(journal);
        assert_eq!(folder.open(limits).take_missing(), 0, "{name}: counted once");
    }
}

fn cut(path: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

#[test]
fn an_entry_that_was_damaged_later_is_counted_once() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    let path = path_of(&folder.base(), 0);
    let text = std::fs::read(&path).unwrap();
    let at = text.windows(5).position(|bytes| bytes == b"n='1'").unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"X", at as u64).unwrap();
    assert_eq!((journal.get(1).unwrap(), journal.get(1).unwrap(), journal.losses().total()), (None, None, 1));
    assert_eq!(contents(&mut journal), [entry(0), entry(2)]);
    journal.release(3);
    assert!(journal.is_empty() && journal.bytes() < 64);
}

#[test]
fn the_error_names_the_file_that_can_not_be_read() {
    let folder = Folder::new();
    let base = folder.base();
    folder.open(Limits::default());
    std::fs::create_dir(path_of(&base, 7)).unwrap();
    for error in [Journal::open(&base, Limits::default(), NOON).unwrap_err(), read_pending(&base).unwrap_err()] {
        assert!(error.to_string().contains("audit_journal.0000000000000007: not a file"), "{error}");
    }
    std::fs::remove_dir(path_of(&base, 7)).unwrap();
    // Other files do not belong to the journal.
    append(&mut folder.open(Limits::default()), 0..3);
    for other in ["audit_journal.old", "audit_journal.00000000000000AA", "audit_journal2.0000000000000001", "audit_journal.1"] {
        std::fs::write(base.with_file_name(other), "x").unwrap();
    }
    let mut journal = folder.open(Limits::default());
    assert_eq!((contents(&mut journal).len(), journal.losses().total()), (3, 0));
    drop(journal);
    let error = Journal::open(&base.with_file_name("audit_journal.old").join("audit"), Limits::default(), NOON).unwrap_err();
    assert!(error.to_string().contains("audit_journal.old: "), "{error}");
}

#[test]
fn if_a_file_can_not_be_written_another_is_begun() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..2);
    journal.active = Some(full());
    assert_eq!(journal.append(b"late", "test", NOON), Appended::Volatile(2));
    assert!(journal.trouble().unwrap().contains("No space left"), "{:?}", journal.trouble());
    append(&mut journal, 3..5);
    assert_eq!((journal.trouble(), journal.in_memory()), (None, 0));
    drop(journal);
    let expected = [entry(0), entry(1), (2, b"late".to_vec()), entry(3), entry(4)];
    assert_eq!(contents(&mut folder.open(Limits::default())), expected);
}

#[test]
fn a_release_that_can_not_be_written_is_reported_and_tried_again() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    // No new segment can be created, and the old one can't be written.
    let working = journal.active.replace(full());
    folder.while_away(|| journal.release(3));
    assert!(journal.is_empty());
    assert!(journal.trouble().unwrap().contains("No such file"), "{:?}", journal.trouble());
    journal.active = working;
    journal.release(3);
    assert_eq!((journal.trouble(), folder.segments().len()), (None, 1));
    assert_eq!(read_pending(&folder.base()).unwrap(), (vec![], 0));
}

#[test]
fn an_acknowledgement_that_failed_is_written_by_the_next_release() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    let working = journal.active.replace(full());
    folder.while_away(|| journal.release(2));
    assert!(journal.trouble().is_some());
    journal.active = working;
    assert_eq!(read_pending(&folder.base()).unwrap().0.len(), 3);
    journal.release(2);
    assert_eq!((journal.trouble(), read_pending(&folder.base()).unwrap().0), (None, vec![entry(2)]));
}

#[test]
fn a_segment_grows_if_no_other_can_be_begun() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits { segment: 100, ..Limits::default() });
    append(&mut journal, 0..1);
    folder.while_away(|| append(&mut journal, 1..20));
    append(&mut journal, 20..22);
    drop(journal);
    assert_eq!(contents(&mut folder.open(Limits::default())), (0..22).map(entry).collect::<Vec<_>>());
    assert!(folder.segments().len() > 1);
}

#[test]
fn released_entries_stay_released_if_their_file_was_not_deleted() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..5);
    let old = folder.segments().pop().unwrap();
    let bytes = std::fs::read(&old).unwrap();
    journal.release(5);
    drop(journal);
    // As if the process had crashed before the deletion.
    std::fs::write(&old, bytes).unwrap();
    let journal = folder.open(Limits::default());
    assert_eq!((journal.len(), journal.end(), folder.segments().len()), (0, 5, 1));
}

#[test]
fn the_sequence_of_a_released_entry_without_a_record_is_not_used_again() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..1);
    let too_large = vec![0; PAYLOAD + 1];
    assert_eq!(
        (journal.append(&too_large, "test", NOON), journal.append(&too_large, "test", NOON)),
        (Appended::Volatile(1), Appended::Volatile(2))
    );
    journal.release(2);
    drop(journal);
    let journal = folder.open(Limits::default());
    assert_eq!((journal.len(), journal.first(), journal.end(), journal.losses().total()), (0, 3, 3, 1));
}

/// Fills all room, then makes room: no record is incomplete, and all durable entries are there.
fn fill(files: &Rc<dyn Files>, base: &Path, make_room: impl FnOnce()) {
    let open = |limits| Journal::open_on(Rc::clone(files), base, limits, NOON).unwrap();
    let mut journal = open(Limits { volatile: 3, ..Limits::default() });
    let content = |number: u64| vec![b'a' + (number % 26) as u8; 777];
    let mut expected = Vec::new();
    let first_refused = loop {
        match journal.append(&content(journal.end()), "test", NOON) {
            Appended::Durable(sequence) => expected.push((sequence, content(sequence))),
            Appended::Volatile(sequence) => break sequence,
            Appended::Refused => panic!(),
        }
        assert!(expected.len() < 10_000, "the disk does not fill");
    };
    let reason = journal.trouble().unwrap().to_owned();
    assert!(["No space left", "File too large", "no storage space"].iter().any(|full| reason.contains(full)), "{reason}");
    let on_disk: u64 = list(&**files, base).unwrap().iter().map(|first| files.status(&path_of(base, *first)).unwrap().length).sum();
    assert_eq!(on_disk, journal.bytes(), "a part of a record was left");
    assert_eq!(journal.append(&content(first_refused + 1), "test", NOON), Appended::Volatile(first_refused + 1));
    make_room();
    let more = journal.append(b"room again", "test", NOON);
    assert_eq!(more, Appended::Durable(first_refused + 2));
    assert_eq!(journal.trouble(), None);
    expected.extend([first_refused, first_refused + 1].map(|sequence| (sequence, content(sequence))));
    expected.push((first_refused + 2, b"room again".to_vec()));
    assert_eq!(contents(&mut journal), expected);
    drop(journal);
    let mut journal = open(Limits::default());
    assert_eq!((contents(&mut journal), journal.losses().total()), (expected, 0));
    // All entries can be released even without room.
    journal.release(u64::MAX);
    let left = Snapshot::read_from(&**files, base).unwrap();
    assert_eq!((journal.trouble(), left.len(), left.damaged()), (None, 0, 0));
}

#[test]
fn a_full_simulated_disk_leaves_no_incomplete_record() {
    let files = Memory::default();
    let simulated: Rc<dyn Files> = Rc::new(files.clone());
    files.set_room(Some(100_000));
    fill(&simulated, Path::new("/audit/journal"), || files.set_room(None));
}

#[test]
fn a_full_disk_leaves_no_incomplete_record() {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(&folder.0).output();
    if !mounted.is_ok_and(|mount| mount.status.success()) {
        eprintln!("skipped: a small file system can't be mounted here");
        return;
    }
    struct Mounted<'a>(&'a Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0).status();
        }
    }
    let _mounted = Mounted(&folder.0);
    let ballast = folder.0.join("ballast");
    std::fs::write(&ballast, vec![0; 40_000]).unwrap();
    fill(&folder.1, &folder.base(), || std::fs::remove_file(&ballast).unwrap());
}

#[test]
fn a_short_write_leaves_no_incomplete_record() {
    // Runs this test again in a process whose files can't grow beyond 8 blocks, so that the last write is short.
    const CHILD: &str = "AUDIT_JOURNAL_LIMITED";
    if let Some(folder) = std::env::var_os(CHILD) {
        // A new segment makes room again.
        let mut journal = Journal::open(Path::new(&folder), Limits { segment: 1 << 20, ..Limits::default() }, NOON).unwrap();
        let durable = (0..100).take_while(|_| matches!(journal.append(&[b'x'; 777], "test", NOON), Appended::Durable(_))).count();
        assert!(durable > 2 && journal.trouble().unwrap().contains("File too large"), "{durable} {:?}", journal.trouble());
        assert_eq!(std::fs::metadata(path_of(Path::new(&folder), 0)).unwrap().len(), journal.bytes());
        return;
    }
    let folder = Folder::new();
    let name = "journal::tests::a_short_write_leaves_no_incomplete_record";
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(CHILD, folder.base())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && told.contains("1 passed"), "{told}");
    let mut journal = folder.open(Limits::default());
    assert_eq!(journal.losses().total(), 0);
    assert!(contents(&mut journal).iter().all(|(_, content)| *content == [b'x'; 777]) && journal.len() > 2);
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    /// Releases this many percent of the pending entries.
    Release(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..400).prop_map(Step::Append),
        2 => (0u64..=100).prop_map(Step::Release),
        1 => Just(Step::Reopen),
    ]
}

/// A journal, and the entries that must be in it.
struct Model {
    journal: Journal,
    pending: BTreeMap<u64, Vec<u8>>,
    written: u64,
}

impl Model {
    fn run(folder: &Folder, limits: Limits, steps: &[Step]) -> Self {
        let mut model = Self { journal: folder.open(limits), pending: BTreeMap::new(), written: 0 };
        for step in steps {
            model = model.step(folder, limits, step);
        }
        model
    }

    fn step(mut self, folder: &Folder, limits: Limits, step: &Step) -> Self {
        match step {
            Step::Append(length) => {
                // Each has other content, with the bytes of a marker in it.
                let mut content = format!("{:08}", self.written).into_bytes();
                content.extend([0xff, b'P', b'A', 0xfe].iter().cycle().take(*length));
                let end = self.journal.end();
                let Appended::Durable(sequence) = self.journal.append(&content, "test", NOON) else {
                    panic!("{:?}", self.journal.trouble())
                };
                assert!(sequence >= end, "a sequence is used again");
                self.pending.insert(sequence, content);
                self.written += 1;
            }
            Step::Release(share) => {
                let count = self.pending.len() as u64 * share / 100;
                let upto = self.pending.keys().copied().nth(count as usize).unwrap_or(self.journal.end());
                self.journal.release(upto);
                self.pending = self.pending.split_off(&upto);
            }
            Step::Reopen => {
                self.journal.close();
                self.journal = folder.open(limits);
            }
        }
        let sequences: Vec<u64> = self.pending.keys().copied().collect();
        assert_eq!(self.journal.pending(0).collect::<Vec<_>>(), sequences);
        assert_eq!(self.journal.first(), sequences.first().copied().unwrap_or(self.journal.end()));
        assert_eq!((self.journal.trouble(), self.journal.losses().total()), (None, 0));
        self
    }
}

/// An event that can happen to a journal and its files.
#[derive(Clone, Debug)]
enum Event {
    Append(usize),
    /// Releases this many percent of the pending entries.
    Release(u64),
    /// The process dies, and another one opens the journal.
    Kill,
    /// The process ends normally.
    End,
    /// The journal is checked. The caller still has every n-th of the entries whose records are gone.
    Look(u64),
    /// Somebody changes a segment.
    Tamper(prop::sample::Index, Tampering),
    /// For a while no segment can be created or written, or it can be again.
    Full(bool),
}

#[derive(Clone, Copy, Debug)]
enum Tampering {
    Delete,
    Empty,
    Cut(u64),
    /// Another file with the same content replaces it.
    Copy,
    /// Another file with other content replaces it.
    Replace,
    Flip(prop::sample::Index),
    /// Somebody appends to it.
    Lengthen,
}

fn event() -> impl Strategy<Value = Event> {
    let tampering = prop_oneof![
        Just(Tampering::Delete),
        Just(Tampering::Empty),
        (1u64..200).prop_map(Tampering::Cut),
        Just(Tampering::Copy),
        Just(Tampering::Replace),
        any::<prop::sample::Index>().prop_map(Tampering::Flip),
        Just(Tampering::Lengthen),
    ];
    prop_oneof![
        12 => (0usize..300).prop_map(Event::Append),
        3 => (0u64..=100).prop_map(Event::Release),
        1 => Just(Event::Kill),
        1 => Just(Event::End),
        2 => (1u64..4).prop_map(Event::Look),
        3 => (any::<prop::sample::Index>(), tampering).prop_map(|(which, what)| Event::Tamper(which, what)),
        2 => any::<bool>().prop_map(Event::Full),
    ]
}

/// Changes a segment.
fn tamper(path: &Path, tampering: Tampering) {
    let content = std::fs::read(path).unwrap();
    let open = || OpenOptions::new().write(true).open(path).unwrap();
    let aside = path.with_extension("aside");
    match tampering {
        Tampering::Delete => std::fs::remove_file(path).unwrap(),
        Tampering::Empty => open().set_len(0).unwrap(),
        Tampering::Cut(bytes) => open().set_len((content.len() as u64).saturating_sub(bytes)).unwrap(),
        Tampering::Copy | Tampering::Replace => {
            let other = if matches!(tampering, Tampering::Copy) { content } else { b"nothing of the kind".repeat(20) };
            std::fs::write(&aside, other).unwrap();
            std::fs::rename(&aside, path).unwrap();
        }
        Tampering::Flip(at) if !content.is_empty() => {
            let at = at.index(content.len());
            open().write_all_at(&[content[at] ^ 1], at as u64).unwrap();
        }
        Tampering::Flip(_) => {}
        Tampering::Lengthen => OpenOptions::new().append(true).open(path).unwrap().write_all(b"\nx\n").unwrap(),
    }
}

/// A journal to which anything can happen, and the entries that were appended.
struct Tampered {
    journal: Journal,
    entries: Entries,
    /// The released entries, and how often each was released.
    taken: BTreeMap<Vec<u8>, u32>,
    limits: Limits,
}

impl Tampered {
    fn look(&mut self, share: u64) {
        for sequence in self.journal.look(NOON) {
            if let Some(content) = self.entries.given.get(&sequence).filter(|_| sequence % share == 0) {
                self.journal.restore(sequence, content, "test", NOON);
            }
        }
        self.journal.settle();
    }

    fn step(&mut self, folder: &Folder, event: &Event) {
        match event {
            Event::Append(length) => self.entries.append(&mut self.journal, *length),
            Event::Release(share) => {
                // As the hand-over does, which skips entries that can't be read.
                let count = self.journal.len() as u64 * share / 100;
                let first: Vec<u64> = self.journal.pending(0).take(count as usize).collect();
                for sequence in first.iter().copied() {
                    let Some(content) = self.journal.get(sequence).unwrap() else { continue };
                    assert_eq!(self.entries.given.get(&sequence), Some(&content), "another entry than was given");
                    *self.taken.entry(content).or_default() += 1;
                }
                let upto = first.last().map_or(self.journal.first(), |last| last + 1);
                self.journal.release(upto);
            }
            Event::Kill | Event::End => {
                if matches!(event, Event::End) {
                    self.journal.give_up(NOON);
                }
                let end = self.journal.end();
                // The lock can't be taken twice.
                self.journal = Journal::detached(Path::new("/nowhere"), self.limits);
                self.journal = folder.open(self.limits);
                assert!(self.journal.end() >= end, "sequences restart");
            }
            Event::Look(share) => self.look(*share),
            Event::Tamper(which, what) => {
                let segments = folder.segments();
                if !segments.is_empty() {
                    tamper(&segments[which.index(segments.len())], *what);
                }
            }
            Event::Full(full) => self.journal.limits.bytes = if *full { 0 } else { self.limits.bytes },
        }
    }
}

/// The sequence, begin and end of each whole entry of a segment.
fn places(bytes: &[u8]) -> Vec<(u64, usize, usize)> {
    let mut records = Records::new(bytes);
    let mut places = Vec::new();
    while let Some(record) = records.next().unwrap() {
        if let RecordKind::Entry(sequence) = record.kind {
            let begin = record.offset as usize;
            places.push((sequence, begin, begin + HEADER + record.payload.len()));
        }
    }
    places
}

/// The end of each acknowledgement of a segment.
fn acknowledgements(bytes: &[u8]) -> Vec<usize> {
    let mut records = Records::new(bytes);
    let mut ends = Vec::new();
    while let Some(record) = records.next().unwrap() {
        if matches!(record.kind, RecordKind::Acknowledgement(_)) {
            ends.push(record.offset as usize + HEADER);
        }
    }
    ends
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_is_released_or_waits_or_is_counted(events in prop::collection::vec(event(), 0..60), segment in 100u64..2000) {
        let folder = Folder::new();
        let limits = Limits { segment, volatile: 5, ..Limits::default() };
        let mut tampered =
            Tampered { journal: folder.open(limits), entries: Entries::default(), taken: BTreeMap::new(), limits };
        for event in &events {
            tampered.step(&folder, event);
        }
        tampered.look(u64::MAX);
        // Every waiting entry can be read, or is counted now.
        let waiting: Vec<Vec<u8>> = contents(&mut tampered.journal).into_iter().map(|(_, content)| content).collect();
        let mut all = tampered.taken.clone();
        for content in waiting {
            *all.entry(content).or_default() += 1;
        }
        let lost = tampered.journal.losses().total();
        // If an acknowledgement is destroyed, released entries are offered again. Then they can be lost too.
        let again: u64 = all.values().map(|times| u64::from(*times) - 1).sum();
        let there = all.len() as u64;
        prop_assert!(there + lost >= tampered.entries.written, "{there} + {lost} of {}: {events:?}", tampered.entries.written);
        // A release between the replacement of a segment and its discovery is acknowledged in a file that is gone.
        let restarts = events.iter().any(|event| matches!(event, Event::Kill | Event::End));
        let destroys = events.iter().any(|event| match event {
            Event::Tamper(_, Tampering::Lengthen) => false,
            Event::Tamper(_, Tampering::Copy) => restarts,
            Event::Tamper(..) => true,
            _ => false,
        });
        if !destroys || again == 0 && tampered.taken.is_empty() {
            prop_assert_eq!((there + lost, again), (tampered.entries.written, 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn entries_that_were_not_released_are_there_once_and_in_order(steps in prop::collection::vec(step(), 0..60), segment in 100u64..4000) {
        for folder in [Folder::new(), Folder::in_memory()] {
            let limits = Limits { segment, ..Limits::default() };
            let Model { mut journal, pending, .. } = Model::run(&folder, limits, &steps);
            let expected: Vec<_> = pending.into_iter().collect();
            prop_assert_eq!(&contents(&mut journal), &expected);
            let snapshot = Snapshot::read_from(&*folder.1, &folder.base()).unwrap();
            let seen: Vec<_> = (0..snapshot.len()).filter_map(|index| snapshot.get(index)).collect();
            let expected_there = expected.iter().cloned().map(|(sequence, content)| (sequence, Some(content)));
            prop_assert_eq!((seen, snapshot.damaged()), (expected_there.collect(), 0));
            drop(journal);
            prop_assert_eq!(contents(&mut folder.open(limits)), expected);
        }
    }

    #[test]
    fn truncation_at_any_byte_loses_only_the_records_after_it(
        steps in prop::collection::vec(step(), 1..40), more in prop::collection::vec(step(), 0..20),
        segment in 300u64..4000, cut in any::<prop::sample::Index>(),
    ) {
        let folder = Folder::new();
        let limits = Limits { segment, ..Limits::default() };
        let Model { journal, pending, .. } = Model::run(&folder, limits, &steps);
        drop(journal);
        let Some(last) = folder.segments().pop() else { return Ok(()) };
        let bytes = std::fs::read(&last).unwrap();
        let cut = cut.index(bytes.len() + 1);
        OpenOptions::new().write(true).open(&last).unwrap().set_len(cut as u64).unwrap();
        let gone: Vec<u64> = places(&bytes).into_iter().filter(|(_, _, end)| *end > cut).map(|(sequence, ..)| sequence).collect();
        // An acknowledgement after the cut is lost, so entries before it are offered again.
        let forgotten = acknowledgements(&bytes).into_iter().any(|end| end > cut);
        let given = pending.len();
        let must: Vec<_> = pending.into_iter().filter(|(sequence, _)| !gone.contains(sequence)).collect();
        let lost = (given - must.len()) as u64;
        let (seen, damaged) = read_pending(&folder.base()).unwrap();
        prop_assert_eq!(damaged, 0);
        let mut journal = folder.open(limits);
        let found = contents(&mut journal);
        prop_assert_eq!(&found, &seen);
        prop_assert!(found.is_sorted() && found.ends_with(&must), "{:?} {:?}", found, must);
        prop_assert!(forgotten || found == must, "{:?} {:?}", found, must);
        prop_assert_eq!(journal.losses().total(), lost);
        // The journal can be used again.
        let mut pending: BTreeMap<_, _> = found.into_iter().collect();
        for step in more {
            if let Step::Append(length) = step {
                let Appended::Durable(sequence) = journal.append(&vec![b'y'; length], "test", NOON) else { panic!() };
                prop_assert!(pending.insert(sequence, vec![b'y'; length]).is_none());
            } else {
                drop(journal);
                journal = folder.open(limits);
            }
        }
        prop_assert_eq!(contents(&mut journal), pending.into_iter().collect::<Vec<_>>());
        let end = journal.end();
        journal.release(end);
        prop_assert_eq!(folder.segments().len().max(1), 1);
        drop(journal);
        let journal = folder.open(limits);
        prop_assert_eq!((journal.len(), journal.losses().total(), journal.end() >= end), (0, lost, true));
    }

    #[test]
    fn flipped_bytes_damage_only_their_records(
        steps in prop::collection::vec((0usize..200).prop_map(Step::Append), 1..30),
        segment in 300u64..2000, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1u8..), 1..5),
    ) {
        let folder = Folder::new();
        let limits = Limits { segment, ..Limits::default() };
        let Model { journal, mut pending, .. } = Model::run(&folder, limits, &steps);
        drop(journal);
        let paths = folder.segments();
        let originals: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        let mut files = originals.clone();
        for (file, byte, flip) in flips {
            let file = file.index(files.len());
            let byte = byte.index(files[file].len());
            files[file][byte] ^= flip;
        }
        let mut hit = 0;
        for ((path, before), after) in paths.iter().zip(&originals).zip(&files) {
            std::fs::write(path, after).unwrap();
            for (sequence, begin, end) in places(before) {
                if before[begin..end] != after[begin..end] {
                    pending.remove(&sequence);
                    hit += 1;
                }
            }
        }
        let mut journal = folder.open(limits);
        let expected: Vec<_> = pending.into_iter().collect();
        prop_assert_eq!(contents(&mut journal), expected.clone());
        prop_assert_eq!(journal.losses().total(), hit);
        let Appended::Durable(sequence) = journal.append(b"more", "test", NOON) else { panic!() };
        drop(journal);
        let mut journal = folder.open(limits);
        let found = contents(&mut journal);
        prop_assert_eq!(found.last().unwrap(), &(sequence, b"more".to_vec()));
        prop_assert_eq!(&found[..found.len() - 1], &expected[..]);
    }
}

#[test]
fn a_journal_that_never_had_an_entry_leaves_nothing_on_disk_but_the_lock() {
    let folder = Folder::new();
    let owner = Owner::new(&folder.0.join("audit.lock"));
    let mut journal = Journal::detached_under(&folder.base(), Limits::default(), owner);
    journal.attach(NOON).unwrap();
    assert!(journal.look(NOON).is_empty() && journal.is_kept() && journal.is_resting());
    journal.give_up(NOON);
    journal.close();
    let names: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["audit.lock"]);
    // What is lost before there is an entry is written down.
    let mut journal = folder.open(Limits::default());
    journal.lose("test", 3, NOON);
    drop(journal);
    assert_eq!(folder.open(Limits::default()).losses().unrecorded().unwrap().count, 3);
}

#[test]
fn one_that_rests_has_no_file_open_and_goes_on_where_it_was() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    for number in 3..6 {
        assert!(!journal.is_resting());
        journal.rest();
        assert!(journal.is_resting() && journal.look(NOON).is_empty() && journal.is_resting());
        assert_eq!(journal.get(number - 1).unwrap(), Some(payload(number - 1)));
        assert!(!journal.is_resting());
        append(&mut journal, number..number + 1);
    }
    assert_eq!((folder.segments().len(), contents(&mut journal).len()), (1, 6));
    journal.rest();
    journal.release(2);
    journal.rest();
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert!(journal.is_resting());
    assert_eq!(contents(&mut journal), (2..6).map(entry).collect::<Vec<_>>());
    journal.release(6);
    journal.rest();
    append(&mut journal, 6..7);
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert_eq!((contents(&mut journal), journal.losses().total()), (vec![entry(6)], 0));
}

#[test]
fn after_a_rest_a_segment_without_an_incomplete_record_goes_on() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..1);
    for (torn, segments) in [(false, 1), (true, 2)] {
        // A torn one can't be truncated, so that another is begun.
        journal.active = Some(Active { torn, ..full() });
        journal.rest();
        append(&mut journal, segments..segments + 1);
        assert_eq!(folder.segments().len() as u64, segments);
    }
}

#[test]
fn only_an_entry_whose_record_is_gone_is_restored() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..1);
    journal.restore(0, b"other", "test", NOON);
    assert_eq!((journal.in_memory(), journal.get(0).unwrap()), (0, Some(payload(0))));
}

#[test]
fn what_somebody_does_to_its_files_while_it_rests_is_noticed() {
    type Change = fn(&Path);
    let changes: [(&str, Change, bool); 4] = [
        ("deleted", |path| std::fs::remove_file(path).unwrap(), false),
        ("emptied", |path| OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap(), false),
        ("replaced", |path| std::fs::rename(path.with_file_name("other"), path).unwrap(), false),
        ("lengthened", |path| OpenOptions::new().append(true).open(path).unwrap().write_all(b"\nx\n").unwrap(), true),
    ];
    for (name, change, is_kept) in changes {
        for looks in [true, false] {
            let folder = Folder::new();
            let mut journal = folder.open(Limits::default());
            append(&mut journal, 0..3);
            journal.rest();
            let path = folder.segments().pop().unwrap();
            std::fs::write(path.with_file_name("other"), vec![b'x'; 5000]).unwrap();
            change(&path);
            // The next look finds it, or the next entry.
            if looks {
                assert_eq!(journal.look(NOON), if is_kept { vec![] } else { vec![0, 1, 2] }, "{name}");
                if !is_kept {
                    journal.restore(1, &payload(1), "test", NOON);
                }
                journal.settle();
            }
            let Appended::Durable(sequence) = journal.append(&payload(3), "test", NOON) else { panic!("{name}") };
            assert_eq!((sequence, journal.is_amiss()), (3, !looks && !is_kept), "{name}");
            journal.settle();
            let restored = u64::from(looks);
            assert_eq!(journal.losses().total(), if is_kept { 0 } else { 3 - restored }, "{name}");
            drop(journal);
            let mut journal = folder.open(Limits::default());
            let left: Vec<u64> = if is_kept { vec![0, 1, 2, 3] } else { [1, 3][usize::from(!looks)..].to_vec() };
            assert_eq!(contents(&mut journal), left.iter().copied().map(entry).collect::<Vec<_>>(), "{name} {looks}");
            assert_eq!(journal.take_missing(), 0, "{name}");
        }
    }
}

#[test]
fn a_ledger_that_was_removed_while_it_rested_is_begun_anew() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    journal.lose("test", 7, NOON);
    journal.rest();
    std::fs::remove_file(ledger::beside(&folder.base())).unwrap();
    append(&mut journal, 3..4);
    for segment in folder.segments() {
        std::fs::remove_file(segment).unwrap();
    }
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert_eq!((journal.take_missing(), journal.losses().unrecorded().unwrap().count), (4, 11));
}

#[test]
fn one_owner_has_many_journals_by_one_lock() {
    let folder = Folder::new();
    let lock = folder.0.join("audit.lock");
    let bases: Vec<PathBuf> = (0..50).map(|host| folder.0.join(format!("host{host}")).join("journal")).collect();
    let open = |owner: &Owner, base: &Path| {
        let mut journal = Journal::detached_under(base, Limits::default(), owner.clone());
        journal.attach(NOON).map(|()| journal)
    };
    let (owner, other) = (Owner::new(&lock), Owner::new(&lock));
    let mut journals: Vec<Journal> = bases.iter().map(|base| open(&owner, base).unwrap()).collect();
    assert!(bases.iter().all(|base| is_owned(&lock, base)));
    assert!(!is_owned(&lock, &folder.0.join("elsewhere").join("journal")));
    assert!(matches!(open(&other, &bases[0]), Err(JournalError::Locked { .. })));
    assert!(matches!(other.hold(), Err(JournalError::Locked { .. })));
    // One that was given up is nobody's, though the lock is held for the others.
    drop(journals.remove(0));
    assert_eq!(bases.iter().filter(|base| is_owned(&lock, base)).count(), 49);
    // Somebody removes the file: it is made again, with all that it said.
    std::fs::remove_file(&lock).unwrap();
    assert!(journals[0].look(NOON).is_empty());
    assert_eq!(bases.iter().filter(|base| is_owned(&lock, base)).count(), 49);
    assert!(matches!(other.hold(), Err(JournalError::Locked { .. })));
    owner.hold().unwrap();
    journals.clear();
    assert!(matches!(other.hold(), Err(JournalError::Locked { .. })));
    owner.release();
    other.hold().unwrap();
    other.release();
    assert!(open(&owner, &bases[0]).is_ok());
    assert!(!is_owned(&lock, &bases[0]));
}

#[test]
fn a_list_that_can_not_be_read_says_that_all_are_owned() {
    let folder = Folder::new();
    let lock = folder.0.join("audit.lock");
    let owner = Owner::new(&lock);
    owner.hold().unwrap();
    assert!(is_owned(&lock, &folder.base()));
    owner.release();
    assert!(!is_owned(&lock, &folder.base()));
}

#[test]
fn a_server_of_an_earlier_release_keeps_its_journals() {
    let folder = Folder::new();
    // It locks a file beside each journal, as one does that is opened alone.
    let earlier = folder.open(Limits::default());
    let owner = Owner::new(&folder.0.join("audit.lock"));
    let mut journal = Journal::detached_under(&folder.base(), Limits::default(), owner);
    assert!(matches!(journal.attach(NOON), Err(JournalError::Locked { .. })));
    assert!(is_owned(&folder.0.join("audit.lock"), &folder.base()));
    drop(earlier);
    journal.attach(NOON).unwrap();
}
