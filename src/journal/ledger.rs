//! The ledger of a journal. It has what must be known even if the segments are gone: the last sequence, the number of waiting
//! entries, and the losses that are in no entry yet.
//!
//! It is a file of fixed size, `<base>.losses`, that is written in place, so it can be written even if the disk is full. Nothing waits
//! for the disk. Each part has two slots, which are written in turn. If one write is incomplete, the other slot is still valid.
//!
//! A ledger that is there and can't be read now is not replaced: the journal is opened later. A damaged one is kept under another name.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::file::ownership::folder_of;
use crate::file::{Access, FileId, Files, OpenFile, whole};
use crate::journal::losses::Lost;

/// The first bytes of a slot.
const MAGIC: [u8; 4] = *b"PAL1";
/// The size of a slot's header: marker, checksum, length, and number of the write.
const HEADER: usize = 20;
/// The offset of the first slot for the progress, and the size of a slot.
const MARKS: (u64, usize) = (0, 64);
/// The same for the losses.
const LOSSES: (u64, usize) = (128, 8000);
/// The size of the file.
const SIZE: usize = 128 + 2 * 8000;
/// A longer file is no ledger.
const LONGEST: usize = 1 << 20;

/// The progress of a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The store has taken all entries before this sequence, or they were counted as lost.
    pub(super) released: u64,
    /// All sequences before this one are used.
    pub(super) end: u64,
    /// How many entries in between are pending.
    pub(super) waiting: u64,
    /// How many events flood control has counted that are in no entry yet.
    pub(super) counted: u64,
}

impl Progress {
    fn encode(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let numbers = [self.released, self.end, self.waiting, self.counted];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(8).map(|number| number.try_into().map(u64::from_le_bytes));
        let mut next = || numbers.next()?.ok();
        Some(Self { released: next()?, end: next()?, waiting: next()?, counted: next()? })
    }
}

/// The file, and what was written last.
#[derive(Debug)]
pub(super) struct Ledger {
    files: Rc<dyn Files>,
    path: PathBuf,
    file: Option<Box<dyn OpenFile>>,
    /// The file that was open last.
    id: Option<FileId>,
    mark: Progress,
    lost: Option<Lost>,
    writes: u64,
    /// For each part, whether its second slot is the next to be written.
    is_second: [bool; 2],
    /// Whether the part on disk is up to date.
    is_marked: bool,
    is_kept: bool,
    trouble: Option<String>,
    /// The new name of a damaged file, until somebody asks for it.
    aside: Option<PathBuf>,
    buffer: Vec<u8>,
}

/// What a ledger says of the process before: how far it came, and what it lost.
pub(super) type Told = (Option<Progress>, Option<Lost>);

impl Ledger {
    pub(super) fn new(files: Rc<dyn Files>, path: PathBuf) -> Self {
        Self {
            files,
            path,
            file: None,
            id: None,
            mark: Progress::default(),
            lost: None,
            writes: 0,
            is_second: [false; 2],
            is_marked: false,
            is_kept: false,
            trouble: None,
            aside: None,
            buffer: Vec::new(),
        }
    }

    /// Reads the file. Returns `None` for a part that it does not have. A missing file has nothing to say, and is created when there
    /// is something to write. A damaged file gets another name, see [`take_aside`](Self::take_aside).
    ///
    /// # Errors
    ///
    /// Returns [`io::Error`] if the file is there and can't be read now, or is damaged and can't be renamed. It stays as it is.
    pub(super) fn open(&mut self) -> io::Result<Told> {
        (self.is_marked, self.is_kept) = (false, false);
        let (bytes, is_too_long) = match whole::read(&*self.files, &self.path, LONGEST) {
            Ok(Some(bytes)) => (bytes, false),
            Ok(None) => {
                (self.is_marked, self.is_kept) = (true, true);
                return Ok((None, None));
            }
            // A folder of that name has nothing of ours. It is reported when something is to be written.
            Err(_) if self.files.status(&self.path).is_ok_and(|status| !status.is_plain) => return Ok((None, None)),
            Err(error) if error.kind() == ErrorKind::InvalidData => (Vec::new(), true),
            Err(error) => return Err(error),
        };
        let (mark, lost) = (FoundPart::read(&bytes, MARKS, Progress::decode), FoundPart::read(&bytes, LOSSES, decode_lost));
        if is_too_long || mark.is_damaged || lost.is_damaged {
            self.aside = Some(whole::set_aside(&*self.files, &self.path)?);
        } else {
            self.id = self.files.stamp(&self.path).map(|stamp| stamp.file());
            self.is_second = [mark.slot == Some(0), lost.slot == Some(0)];
            (self.is_marked, self.is_kept) = (mark.content.is_some(), lost.content.is_some());
        }
        self.writes = mark.writes.max(lost.writes);
        let lost = lost.content.flatten();
        (self.mark, self.lost) = (mark.content.unwrap_or_default(), lost.clone());
        Ok((mark.content, lost))
    }

    /// The new name of the file that was there, if it was damaged. Only the first call after [`open`](Self::open) returns it.
    pub(super) fn take_aside(&mut self) -> Option<PathBuf> {
        self.aside.take()
    }

    /// Writes the progress, if it has changed.
    pub(super) fn mark(&mut self, mark: Progress) {
        if mark == self.mark && self.is_marked {
            return;
        }
        self.mark = mark;
        self.is_marked = false;
        self.write();
    }

    /// Writes the losses that are in no entry, if they have changed.
    pub(super) fn keep(&mut self, lost: Option<Lost>) {
        if lost == self.lost && self.is_kept {
            return;
        }
        self.lost = lost;
        self.is_kept = false;
        self.write();
    }

    /// Whether the file is up to date.
    pub(super) const fn is_written(&self) -> bool {
        self.is_marked && self.is_kept
    }

    /// Why it can't be written.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Creates the file again if somebody has removed or replaced it. Then writes what could not be written before.
    pub(super) fn look(&mut self) {
        if self.file.as_ref().is_some_and(|file| !self.files.is_at(&**file, &self.path)) {
            (self.is_marked, self.is_kept) = (false, false);
            self.file = None;
        }
        self.write();
    }

    /// Closes the file until there is something to write.
    pub(super) fn rest(&mut self) {
        self.file = None;
    }

    pub(super) const fn is_resting(&self) -> bool {
        self.file.is_none()
    }

    /// Opens the file again. If it is another file now, both parts are written again.
    fn reopen(&mut self) -> bool {
        let found = self.files.open(&self.path, Access::Write).and_then(|file| Ok((file.status()?, file)));
        match found {
            Ok((status, file)) if self.id == Some(status.stamp.file()) && status.length >= SIZE as u64 => {
                self.file = Some(file);
                true
            }
            _ => {
                (self.is_marked, self.is_kept) = (false, false);
                self.open_file()
            }
        }
    }

    /// Opens the file for writing. What it has was read before, or is of somebody else.
    fn open_file(&mut self) -> bool {
        self.file = None;
        match open(&*self.files, &self.path, self.id.is_none()) {
            Ok(file) => {
                self.id = file.stamp().ok().map(|stamp| stamp.file());
                self.file = Some(file);
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(format!("{}: {error}", self.path.display())),
        }
        self.file.is_some()
    }

    /// Writes the parts that are not up to date.
    fn write(&mut self) {
        if self.is_written() || self.file.is_none() && !self.reopen() {
            return;
        }
        if !self.is_marked {
            self.is_marked = self.write_part(0, MARKS, &self.mark.encode());
        }
        if !self.is_kept {
            // It always fits, because the number and the length of types are limited.
            let text = serde_json::to_vec(&self.lost).unwrap_or_default();
            self.is_kept = self.write_part(1, LOSSES, &text);
        }
    }

    fn write_part(&mut self, part: usize, (at, length): (u64, usize), content: &[u8]) -> bool {
        let (Some(file), Some(is_second)) = (&mut self.file, self.is_second.get_mut(part)) else { return false };
        self.writes = self.writes.saturating_add(1);
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.buffer.clear();
        for part in [&MAGIC[..], &[0; 4], &size, &self.writes.to_le_bytes(), content] {
            self.buffer.extend_from_slice(part);
        }
        if let Some((header, checked)) = self.buffer.split_first_chunk_mut::<8>() {
            let [_, _, _, _, checksum @ ..] = header;
            *checksum = crc32fast::hash(checked).to_le_bytes();
        }
        let slot = if *is_second { u64::try_from(length).unwrap_or_default() } else { 0 };
        *is_second = !*is_second;
        let written = if self.buffer.len() > length {
            Err(io::Error::other("the losses do not fit into the ledger"))
        } else {
            file.write_at(&self.buffer, at.saturating_add(slot))
        };
        match written {
            Ok(()) => self.trouble = None,
            Err(error) => self.trouble = Some(format!("{}: {error}", self.path.display())),
        }
        self.trouble.is_none()
    }
}

/// The path of the ledger of a journal. Its name does not begin like those of the segments, so that removing `<base>.*` leaves it.
pub(super) fn beside(base: &Path) -> PathBuf {
    base.with_extension("losses")
}

/// The file, which is made if there is none. Its space is allocated now, because later the disk may be full.
fn open(files: &dyn Files, path: &Path, is_first: bool) -> io::Result<Box<dyn OpenFile>> {
    let mut file = files.open(path, Access::Write).or_else(|error| match error.kind() {
        ErrorKind::NotFound => {
            // A folder that was moved is not created again.
            if is_first {
                files.make_folder(folder_of(path))?;
            }
            files.create_new(path, Access::Write)
        }
        _ => Err(error),
    })?;
    let length = usize::try_from(file.length()?).unwrap_or(usize::MAX);
    let missing = vec![0; SIZE.saturating_sub(length)];
    file.write_at(&missing, u64::try_from(length).unwrap_or(u64::MAX))?;
    Ok(file)
}

/// What was found of a part.
struct FoundPart<T> {
    /// The content of the last complete write.
    content: Option<T>,
    /// The number of that write, and the slot it is in.
    writes: u64,
    slot: Option<usize>,
    /// Whether something was written that can't be read.
    is_damaged: bool,
}

impl<T> FoundPart<T> {
    fn read(bytes: &[u8], (at, length): (u64, usize), decode: impl Fn(&[u8]) -> Option<T>) -> Self {
        let begin = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let end = begin.saturating_add(length.saturating_mul(2)).min(bytes.len());
        let slots = bytes.get(begin..end).unwrap_or_default().chunks(length);
        let whole = slots.clone().enumerate().filter_map(|(slot, bytes)| {
            let (writes, content) = parse(bytes)?;
            Some((writes, slot, decode(content)?))
        });
        match whole.max_by_key(|(writes, ..)| *writes) {
            Some((writes, slot, content)) => Self { content: Some(content), writes, slot: Some(slot), is_damaged: false },
            None => Self { content: None, writes: 0, slot: None, is_damaged: slots.flatten().any(|byte| *byte != 0) },
        }
    }
}

fn decode_lost(content: &[u8]) -> Option<Option<Lost>> {
    serde_json::from_slice(content).ok()
}

fn parse(slot: &[u8]) -> Option<(u64, &[u8])> {
    let header = slot.first_chunk::<HEADER>()?;
    let [m0, m1, m2, m3, c0, c1, c2, c3, l0, l1, l2, l3, writes @ ..] = *header;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    let checked = slot.get(8..HEADER.checked_add(length)?)?;
    let is_whole = [m0, m1, m2, m3] == MAGIC && crc32fast::hash(checked) == u32::from_le_bytes([c0, c1, c2, c3]);
    is_whole.then_some((u64::from_le_bytes(writes), checked.get(HEADER.saturating_sub(8)..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{Disk, Memory};
    use crate::journal::losses::Losses;

    const MARK: Progress = Progress { released: 7, end: 9, waiting: 2, counted: 5 };

    fn scratch(name: &str) -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/scratch");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("ledger-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn at(path: &Path) -> Ledger {
        Ledger::new(Rc::new(Disk), path.to_owned())
    }

    fn lost(kinds: usize) -> Option<Lost> {
        let mut losses = Losses::default();
        for kind in 0..kinds {
            // The longest name that there can be in JSON.
            losses.add(&format!("{kind:03}{}", "\\".repeat(90)), u64::MAX >> 9, 1_795_521_600.123_456);
        }
        losses.unrecorded()
    }

    #[test]
    fn the_last_write_is_read() {
        let path = scratch("told");
        let mut ledger = at(&path);
        assert_eq!(ledger.open().unwrap(), (None, None));
        for number in 0..5 {
            ledger.mark(Progress { end: 9 + number, ..MARK });
            ledger.keep(lost(usize::try_from(number).unwrap()));
        }
        assert!(ledger.is_written() && ledger.trouble().is_none() && !ledger.is_resting());
        assert_eq!(at(&path).open().unwrap(), (Some(Progress { end: 13, ..MARK }), lost(4)));
        ledger.keep(None);
        assert_eq!(at(&path).open().unwrap().1, None);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), SIZE as u64);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn after_an_incomplete_write_the_one_before_is_read() {
        let path = scratch("torn");
        let mut ledger = at(&path);
        ledger.open().unwrap();
        ledger.mark(MARK);
        ledger.keep(lost(1));
        ledger.mark(Progress { end: 10, ..MARK });
        let bytes = std::fs::read(&path).unwrap();
        let mut seen: Vec<u64> = [0, 64]
            .iter()
            .map(|slot| {
                let mut torn = bytes.clone();
                torn[slot + 30] ^= 1;
                std::fs::write(&path, torn).unwrap();
                at(&path).open().unwrap().0.unwrap().end
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, [9, 10]);
        std::fs::write(&path, "not a ledger").unwrap();
        let mut ledger = at(&path);
        assert_eq!(ledger.open().unwrap(), (None, None));
        let aside = ledger.take_aside().unwrap();
        assert_eq!((std::fs::read_to_string(&aside).unwrap().as_str(), ledger.take_aside()), ("not a ledger", None));
        ledger.mark(MARK);
        assert_eq!((at(&path).open().unwrap().0, ledger.take_aside()), (Some(MARK), None));
        std::fs::remove_file(aside).unwrap();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_removed_ledger_is_created_again() {
        let path = scratch("removed");
        let mut ledger = at(&path);
        ledger.open().unwrap();
        ledger.mark(MARK);
        ledger.keep(lost(3));
        std::fs::remove_file(&path).unwrap();
        ledger.look();
        assert_eq!(at(&path).open().unwrap(), (Some(MARK), lost(3)));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        ledger.look();
        assert!(ledger.trouble().unwrap().contains("not a file") && !ledger.is_written());
        std::fs::remove_dir(&path).unwrap();
        ledger.look();
        assert!(ledger.is_written() && ledger.trouble().is_none());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_folder_in_its_place_stays_and_is_reported() {
        let path = scratch("folder");
        std::fs::create_dir(&path).unwrap();
        let mut ledger = at(&path);
        assert_eq!(ledger.open().unwrap(), (None, None));
        ledger.mark(MARK);
        assert!(ledger.trouble().unwrap().contains("not a file") && !ledger.is_written(), "{:?}", ledger.trouble());
        assert!(path.is_dir() && ledger.take_aside().is_none());
        std::fs::remove_dir(path).unwrap();
    }

    #[test]
    fn the_largest_losses_fit() {
        let path = scratch("room");
        let mut ledger = at(&path);
        ledger.open().unwrap();
        ledger.mark(MARK);
        ledger.keep(lost(200));
        assert!(ledger.is_written(), "{:?}", ledger.trouble());
        assert_eq!(at(&path).open().unwrap().1, lost(200));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn losses_that_do_not_fit_are_not_written() {
        let lost = |length: usize| Some(Lost { count: 1, since: 0.0, until: 0.0, types: [("x".repeat(length), 1)].into() });
        let room = LOSSES.1 - HEADER - serde_json::to_vec(&lost(0)).unwrap().len();
        for (length, fits) in [(room, true), (room + 1, false), (room + 2, false)] {
            let mut ledger = Ledger::new(Rc::new(Memory::default()), PathBuf::from("/audit.losses"));
            ledger.open().unwrap();
            ledger.mark(MARK);
            ledger.keep(lost(length));
            assert_eq!(ledger.is_written(), fits, "{length}");
            assert_eq!(ledger.trouble(), if fits { None } else { Some("/audit.losses: the losses do not fit into the ledger") });
        }
    }

    /// If its first write is incomplete, that one must still be there.
    #[test]
    fn the_next_process_leaves_the_last_write_as_it_is() {
        for writes in 1..=2 {
            let path = scratch("next");
            let mut ledger = at(&path);
            ledger.open().unwrap();
            for number in 0..writes {
                ledger.mark(Progress { end: 9 + number, ..MARK });
                ledger.keep(lost(1 + usize::try_from(number).unwrap()));
            }
            let before = std::fs::read(&path).unwrap();
            let mut next = at(&path);
            next.open().unwrap();
            next.mark(Progress { end: 20, ..MARK });
            next.keep(lost(5));
            let after = std::fs::read(&path).unwrap();
            for (at, length) in [MARKS, LOSSES] {
                let slot = usize::try_from(at).unwrap() + FoundPart::read(&before, (at, length), |_| Some(())).slot.unwrap() * length;
                assert!(before[slot..slot + length] == after[slot..slot + length], "{writes} {at}");
            }
            assert_eq!(at(&path).open().unwrap(), (Some(Progress { end: 20, ..MARK }), lost(5)));
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn after_a_rest_both_parts_are_written_only_if_the_file_is_another_or_is_short() {
        type Change = fn(&Path);
        let rows: [(&str, Change, bool); 3] = [
            ("nothing", |_| {}, false),
            ("truncated", |path| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap(), true),
            (
                "replaced",
                |path| {
                    let beside = path.with_extension("beside");
                    std::fs::write(&beside, vec![0; SIZE]).unwrap();
                    std::fs::rename(beside, path).unwrap();
                },
                true,
            ),
        ];
        for (name, change, expected) in rows {
            let path = scratch("rest");
            let mut ledger = at(&path);
            ledger.open().unwrap();
            ledger.mark(MARK);
            ledger.keep(lost(1));
            ledger.rest();
            assert!(ledger.is_resting());
            change(&path);
            let losses = || std::fs::read(&path).unwrap().into_iter().skip(MARKS.1 * 2).collect::<Vec<u8>>();
            let before = losses();
            ledger.mark(Progress { end: 10, ..MARK });
            assert_eq!(losses() != before, expected, "{name}");
            assert_eq!(at(&path).open().unwrap(), (Some(Progress { end: 10, ..MARK }), lost(1)), "{name}");
            std::fs::remove_file(path).unwrap();
        }
    }
}
