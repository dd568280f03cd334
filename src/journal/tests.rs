use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own for a test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("target/scratch/journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
    }

    fn base(&self) -> PathBuf {
        self.0.join("example%2ecom").join("audit_journal")
    }

    fn open(&self, limits: Limits) -> Journal {
        Journal::open(&self.base(), limits).unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        list(&self.base()).unwrap().into_iter().map(|first| path_of(&self.base(), first)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn contents(journal: &mut Journal) -> Vec<Entry> {
    let sequences: Vec<u64> = journal.pending(0).collect();
    sequences.into_iter().filter_map(|sequence| Some((sequence, journal.get(sequence).unwrap()?))).collect()
}

fn entry(number: u64) -> Entry {
    (number, payload(number))
}

fn payload(number: u64) -> Vec<u8> {
    format!("<audit-event n='{number}'/>").into_bytes()
}

fn append(journal: &mut Journal, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(journal.append(&payload(number)), Appended::Durable(number));
    }
}

#[test]
fn what_was_appended_is_there_after_the_owner_died() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..5);
    journal.release(2);
    drop(journal);
    let mut journal = folder.open(Limits::default());
    assert_eq!((journal.first(), journal.end(), journal.len(), journal.damaged()), (2, 5, 3, 0));
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
    let refused = Journal::open(&folder.base(), Limits::default());
    assert!(matches!(refused, Err(JournalError::Locked { .. })), "{refused:?}");
    journal.close();
    folder.open(Limits::default());
}

#[test]
fn an_idle_journal_is_one_small_file_that_counts_on() {
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
fn segments_roll_and_are_deleted_as_entries_are_released() {
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
    assert_eq!(contents(&mut folder.open(Limits::default())), (100..200).map(entry).collect::<Vec<_>>());
}

#[test]
fn a_full_journal_keeps_places_then_refuses_and_recovers() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits { bytes: 500, segment: 200, volatile: 2 });
    let durable = (0..100).take_while(|number| matches!(journal.append(&payload(*number)), Appended::Durable(_))).count() as u64;
    assert!((5..15).contains(&durable) && journal.bytes() <= 500, "{durable}");
    assert!(journal.trouble().unwrap().contains("full"));
    assert_eq!(journal.append(&payload(98)), Appended::Volatile(durable + 1));
    assert_eq!((journal.append(&payload(98)), journal.append(&payload(99))), (Appended::Lost, Appended::Lost));
    assert_eq!((journal.len() as u64, journal.end()), (durable + 2, durable + 2));
    assert_eq!(journal.get(durable).unwrap(), None);
    assert!(journal.pending(0).eq(0..durable + 2));
    journal.release(durable);
    assert_eq!(journal.append(b"again"), Appended::Durable(durable + 2));
    assert_eq!((journal.len(), journal.trouble()), (3, None));
    // Places are free again once volatile entries are released.
    journal.release(durable + 2);
    let big = vec![b'x'; 600];
    assert_eq!((journal.append(&big), journal.append(&big)), (Appended::Volatile(durable + 3), Appended::Volatile(durable + 4)));
}

#[test]
fn a_payload_is_bounded() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    let largest = vec![0xff; PAYLOAD];
    assert_eq!(journal.append(&largest), Appended::Durable(0));
    assert_eq!(journal.append(&vec![0; PAYLOAD + 1]), Appended::Volatile(1));
    assert!(journal.trouble().unwrap().contains("65537 bytes"));
    assert_eq!(journal.append(b""), Appended::Durable(2));
    drop(journal);
    assert_eq!(contents(&mut folder.open(Limits::default())), [(0, largest), (2, Vec::new())]);
}

#[test]
fn another_process_reads_beside_the_owner_and_changes_nothing() {
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
    encode(&mut record, Kind::Entry(50), &payload(50));
    OpenOptions::new().append(true).open(&last).unwrap().write_all(&record[..record.len() - 1]).unwrap();
    assert_eq!(read_pending(&base).unwrap(), ((20..50).map(entry).collect(), 0));
    // Damage before the end is damage.
    let mut bytes = std::fs::read(&last).unwrap();
    bytes[0] = b'x';
    std::fs::write(&last, bytes).unwrap();
    assert_eq!(read_pending(&base).unwrap().1, 1);
}

#[test]
fn a_reader_misses_nothing_while_the_owner_is_busy() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits { segment: 2000, ..Limits::default() });
    let released = AtomicU32::new(0);
    let appended = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while appended.load(Ordering::SeqCst) < 20_000 {
                let upto = u64::from(appended.load(Ordering::SeqCst));
                let (entries, damaged) = read_pending(&folder.base()).unwrap();
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
                // Every third time all of it, so that new segments take the place of old ones.
                let upto = if number % 3 == 0 { number + 1 } else { number.saturating_sub(50) };
                released.fetch_max(upto, Ordering::SeqCst);
                journal.release(u64::from(upto));
            }
        }
        assert!(reader.join().unwrap() > 10);
    });
}

#[test]
fn a_new_segment_is_begun_behind_a_torn_one() {
    let rows: [(&str, u64, u64); 3] = [("one entry of three", 2, 1), ("the only entry", 0, 1), ("a whole segment", 3, 0)];
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
            (_, 0) => {}
            _ => (&file).write_all(&MARKER_AND_MORE).unwrap(),
        }
        let length = file.metadata().unwrap().len();
        let mut journal = folder.open(Limits::default());
        assert_eq!(journal.damaged(), damaged, "{name}");
        let Appended::Durable(sequence) = journal.append(b"behind") else { panic!("{name}") };
        assert!(sequence >= kept, "{name}");
        if damaged > 0 {
            let old = std::fs::metadata(&path).map_or(length, |file| file.len());
            assert_eq!(old, length, "{name}: nothing is appended behind a torn record");
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
    let second = list(&folder.base()).unwrap()[1];
    std::fs::remove_file(&paths[0]).unwrap();
    let found = contents(&mut journal);
    assert_eq!(found, (second..30).map(entry).collect::<Vec<_>>());
    assert_eq!((journal.damaged(), journal.first(), journal.len()), (second, second, found.len()));
    journal.release(second + 1);
    assert_eq!(journal.trouble(), None);
    drop(journal);
    std::fs::remove_file(paths.last().unwrap()).unwrap();
    let mut journal = folder.open(limits);
    let last = contents(&mut journal).last().unwrap().0;
    assert!(last < 29 && last > second);
    assert_eq!(journal.append(b"next"), Appended::Durable(last + 1));
}

#[test]
fn an_entry_that_was_damaged_since_is_counted_once() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    let path = path_of(&folder.base(), 0);
    let text = std::fs::read(&path).unwrap();
    let at = text.windows(5).position(|bytes| bytes == b"n='1'").unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"X", at as u64).unwrap();
    assert_eq!((journal.get(1).unwrap(), journal.get(1).unwrap(), journal.damaged()), (None, None, 1));
    assert_eq!(contents(&mut journal), [entry(0), entry(2)]);
    journal.release(3);
    assert!(journal.is_empty() && journal.bytes() < 64);
}

#[test]
fn what_can_not_be_read_is_named() {
    let folder = Folder::new();
    let base = folder.base();
    folder.open(Limits::default());
    std::fs::create_dir(path_of(&base, 7)).unwrap();
    for error in [Journal::open(&base, Limits::default()).unwrap_err(), read_pending(&base).unwrap_err()] {
        assert!(error.to_string().contains("audit_journal.0000000000000007: not a file"), "{error}");
    }
    std::fs::remove_dir(path_of(&base, 7)).unwrap();
    // Other files are none of ours.
    for other in ["audit_journal.old", "audit_journal.00000000000000AA", "audit_journal2.0000000000000001", "audit_journal.1"] {
        std::fs::write(base.with_file_name(other), "x").unwrap();
    }
    assert_eq!(folder.open(Limits::default()).damaged(), 0);
    let error = Journal::open(&base.with_file_name("audit_journal.old").join("audit"), Limits::default()).unwrap_err();
    assert!(error.to_string().contains("audit_journal.old: "), "{error}");
}

#[test]
fn a_file_that_takes_nothing_is_left_for_another() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..2);
    // Every write to it fails for want of space, and it can't be cut.
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    journal.active = Some(Active { file: full, torn: false });
    assert_eq!(journal.append(b"lost in the middle"), Appended::Volatile(2));
    assert!(journal.trouble().unwrap().contains("No space left"), "{:?}", journal.trouble());
    append(&mut journal, 3..5);
    assert_eq!(journal.trouble(), None);
    assert_eq!(contents(&mut journal), [entry(0), entry(1), entry(3), entry(4)]);
    assert!(journal.pending(0).eq(0..5));
}

#[test]
fn a_release_that_can_not_be_written_is_told_and_made_up_for() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..3);
    // No new segment can be made, and the old one takes nothing.
    let elsewhere = folder.0.join("moved");
    std::fs::rename(folder.base().parent().unwrap(), &elsewhere).unwrap();
    let working = journal.active.replace(Active { file: OpenOptions::new().append(true).open("/dev/full").unwrap(), torn: false });
    journal.release(3);
    assert!(journal.is_empty());
    assert!(journal.trouble().unwrap().contains("No such file"), "{:?}", journal.trouble());
    std::fs::rename(&elsewhere, folder.base().parent().unwrap()).unwrap();
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
    let elsewhere = folder.0.join("moved");
    std::fs::rename(folder.base().parent().unwrap(), &elsewhere).unwrap();
    let working = journal.active.replace(Active { file: OpenOptions::new().append(true).open("/dev/full").unwrap(), torn: false });
    journal.release(2);
    assert!(journal.trouble().is_some());
    std::fs::rename(&elsewhere, folder.base().parent().unwrap()).unwrap();
    journal.active = working;
    assert_eq!(read_pending(&folder.base()).unwrap().0.len(), 3);
    journal.release(2);
    assert_eq!((journal.trouble(), read_pending(&folder.base()).unwrap().0), (None, vec![entry(2)]));
}

#[test]
fn a_segment_grows_on_where_no_other_can_be_begun() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits { segment: 100, ..Limits::default() });
    append(&mut journal, 0..1);
    let elsewhere = folder.0.join("moved");
    std::fs::rename(folder.base().parent().unwrap(), &elsewhere).unwrap();
    append(&mut journal, 1..20);
    std::fs::rename(&elsewhere, folder.base().parent().unwrap()).unwrap();
    append(&mut journal, 20..22);
    drop(journal);
    assert_eq!(contents(&mut folder.open(Limits::default())), (0..22).map(entry).collect::<Vec<_>>());
    assert!(folder.segments().len() > 1);
}

#[test]
fn what_was_released_stays_so_though_its_file_was_not_deleted() {
    let folder = Folder::new();
    let mut journal = folder.open(Limits::default());
    append(&mut journal, 0..5);
    let old = folder.segments().pop().unwrap();
    let bytes = std::fs::read(&old).unwrap();
    journal.release(5);
    drop(journal);
    // As if a crash had come before the deletion.
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
    assert_eq!((journal.append(&too_large), journal.append(&too_large)), (Appended::Volatile(1), Appended::Volatile(2)));
    journal.release(2);
    drop(journal);
    let journal = folder.open(Limits::default());
    assert_eq!((journal.len(), journal.first(), journal.end()), (0, 2, 2));
}

#[test]
fn a_child_that_has_the_lock_open_too_does_not_keep_it() {
    let folder = Folder::new();
    let journal = folder.open(Limits::default());
    let child = journal._lock.file().try_clone().unwrap();
    journal.close();
    folder.open(Limits::default());
    drop(child);
}

/// Fills what there is room for, then frees it: nothing is half-written, and all that was durable is there.
fn fill(base: &Path, make_room: impl FnOnce()) {
    let mut journal = Journal::open(base, Limits { volatile: 3, ..Limits::default() }).unwrap();
    let content = |number: u64| vec![b'a' + (number % 26) as u8; 777];
    let mut expected = Vec::new();
    let first_refused = loop {
        match journal.append(&content(journal.end())) {
            Appended::Durable(sequence) => expected.push((sequence, content(sequence))),
            Appended::Volatile(sequence) => break sequence,
            Appended::Lost => panic!(),
        }
        assert!(expected.len() < 10_000, "the disk does not fill");
    };
    let reason = journal.trouble().unwrap().to_owned();
    assert!(reason.contains("No space left") || reason.contains("File too large"), "{reason}");
    let on_disk: u64 = list(base).unwrap().iter().map(|first| std::fs::metadata(path_of(base, *first)).unwrap().len()).sum();
    assert_eq!(on_disk, journal.bytes(), "a part of a record was left");
    assert_eq!(journal.append(&content(0)), Appended::Volatile(first_refused + 1));
    make_room();
    let more = journal.append(b"room again");
    assert_eq!(more, Appended::Durable(first_refused + 2));
    assert_eq!(journal.trouble(), None);
    expected.push((first_refused + 2, b"room again".to_vec()));
    assert_eq!(contents(&mut journal), expected);
    drop(journal);
    let mut journal = Journal::open(base, Limits::default()).unwrap();
    assert_eq!((contents(&mut journal), journal.damaged()), (expected, 0));
    // All of it can be released, too, without any room.
    journal.release(u64::MAX);
    assert_eq!((journal.trouble(), read_pending(base).unwrap()), (None, (vec![], 0)));
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
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
    fill(&folder.base(), || std::fs::remove_file(&ballast).unwrap());
}

#[test]
fn a_write_that_is_cut_short_leaves_nothing_half_written() {
    // This test again, in a process whose files can't grow beyond 8 blocks: the last write is cut short in its middle.
    const CHILD: &str = "AUDIT_JOURNAL_LIMITED";
    if let Some(folder) = std::env::var_os(CHILD) {
        // A new segment is the room that there is again.
        let mut journal = Journal::open(Path::new(&folder), Limits { segment: 1 << 20, ..Limits::default() }).unwrap();
        let durable = (0..100).take_while(|_| matches!(journal.append(&[b'x'; 777]), Appended::Durable(_))).count();
        assert!(durable > 2 && journal.trouble().unwrap().contains("File too large"), "{durable} {:?}", journal.trouble());
        assert_eq!(std::fs::metadata(path_of(Path::new(&folder), 0)).unwrap().len(), journal.bytes());
        return;
    }
    let folder = Folder::new();
    let name = "journal::tests::a_write_that_is_cut_short_leaves_nothing_half_written";
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
    assert_eq!(journal.damaged(), 0);
    assert!(contents(&mut journal).iter().all(|(_, content)| *content == [b'x'; 777]) && journal.len() > 2);
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    /// Releases this many hundredths of what is pending.
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

/// A journal to which things happened, and what must be in it.
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
                // Each has content of its own, with bytes of a marker in it.
                let mut content = format!("{:08}", self.written).into_bytes();
                content.extend([0xff, b'P', b'A', 0xfe].iter().cycle().take(*length));
                let end = self.journal.end();
                let Appended::Durable(sequence) = self.journal.append(&content) else { panic!("{:?}", self.journal.trouble()) };
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
        assert_eq!((self.journal.trouble(), self.journal.damaged()), (None, 0));
        self
    }
}

/// Where each whole entry of a segment begins and ends.
fn places(bytes: &[u8]) -> Vec<(u64, usize, usize)> {
    let mut records = Records::new(bytes);
    let mut places = Vec::new();
    while let Some(record) = records.next().unwrap() {
        if let Kind::Entry(sequence) = record.kind {
            let begin = record.offset as usize;
            places.push((sequence, begin, begin + HEADER + record.payload.len()));
        }
    }
    places
}

/// Where each acknowledgement of a segment ends.
fn acknowledgements(bytes: &[u8]) -> Vec<usize> {
    let mut records = Records::new(bytes);
    let mut ends = Vec::new();
    while let Some(record) = records.next().unwrap() {
        if matches!(record.kind, Kind::Acknowledgement(_)) {
            ends.push(record.offset as usize + HEADER);
        }
    }
    ends
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_was_not_released_is_there_once_and_in_order(steps in prop::collection::vec(step(), 0..60), segment in 100u64..4000) {
        let folder = Folder::new();
        let limits = Limits { segment, ..Limits::default() };
        let Model { mut journal, pending, .. } = Model::run(&folder, limits, &steps);
        let expected: Vec<_> = pending.into_iter().collect();
        prop_assert_eq!(&contents(&mut journal), &expected);
        prop_assert_eq!(read_pending(&folder.base()).unwrap(), (expected.clone(), 0));
        drop(journal);
        prop_assert_eq!(contents(&mut folder.open(limits)), expected);
    }

    #[test]
    fn a_cut_at_any_byte_takes_only_what_is_behind_it(
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
        // An acknowledgement behind the cut is forgotten: entries from before it are offered again.
        let forgotten = acknowledgements(&bytes).into_iter().any(|end| end > cut);
        let must: Vec<_> = pending.into_iter().filter(|(sequence, _)| !gone.contains(sequence)).collect();
        let (seen, damaged) = read_pending(&folder.base()).unwrap();
        prop_assert_eq!(damaged, 0);
        let mut journal = folder.open(limits);
        let found = contents(&mut journal);
        prop_assert_eq!(&found, &seen);
        prop_assert!(found.is_sorted() && found.ends_with(&must), "{:?} {:?}", found, must);
        prop_assert!(forgotten || found == must, "{:?} {:?}", found, must);
        let torn = places(&bytes).iter().any(|(_, begin, end)| *begin < cut && cut < *end);
        prop_assert!(journal.damaged() <= 1 && (!torn || journal.damaged() == 1));
        // It goes on.
        let mut pending: BTreeMap<_, _> = found.into_iter().collect();
        for step in more {
            if let Step::Append(length) = step {
                let Appended::Durable(sequence) = journal.append(&vec![b'y'; length]) else { panic!() };
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
        prop_assert_eq!((journal.len(), journal.damaged(), journal.end() >= end), (0, 0, true));
    }

    #[test]
    fn flipped_bytes_take_only_the_records_that_they_are_in(
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
        // The payloads have markers in them: a damaged record can count more than once, and neighbours as one.
        prop_assert_eq!(journal.damaged() > 0, files != originals, "{}", hit);
        let Appended::Durable(sequence) = journal.append(b"more") else { panic!() };
        drop(journal);
        let mut journal = folder.open(limits);
        let found = contents(&mut journal);
        prop_assert_eq!(found.last().unwrap(), &(sequence, b"more".to_vec()));
        prop_assert_eq!(&found[..found.len() - 1], &expected[..]);
    }
}
