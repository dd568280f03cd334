//! The journal of one host: the durable queue between an audit event and its store.
//!
//! An entry is one `write` to a file and survives the death of the process from then on: a crash, `kill -9`. Nothing here
//! calls `fsync`, because every user of the server would wait for it. A power cut or a crash of the kernel takes what the
//! kernel has not written back yet, which is the last half minute or so with Linux's defaults; it can also bring back
//! entries that were released in that time. An entry that the store has taken is as safe as the store makes it.
//!
//! A journal is a few files beside each other: `<base>.lock`, and segments `<base>.<first sequence in 16 hex digits>`.
//! A segment is a row of records: a marker of four bytes, CRC-32 of all that follows, length of the payload (`u32`), kind
//! (one byte), sequence (`u64`), payload; numbers are little-endian. A record is an entry, or an acknowledgement: all
//! before its sequence were taken by the store. Each segment begins with an acknowledgement, so that what older segments
//! said is not lost with them. Segments are appended to and deleted, never written over, so that another process can read
//! them at any time.
//!
//! Sequences are contiguous, so a hole is an entry that was lost, and each is counted once, see [`Journal::losses`]. A third
//! kind of file, the ledger `<base, with another extension>.losses`, says how far the journal went and how many entries
//! waited: what is lost with a whole segment is counted too. When somebody deletes, cuts or replaces a segment while the
//! journal is open, it is noticed by the next append or by [`Journal::look`]: what can still be read, or is still in memory,
//! is written again.
//!
//! An entry that can't be written waits in memory, in its place in the order, and is written as soon as there is room. So
//! does every entry while the journal can't be locked, see [`Journal::detached`].

mod ledger;
pub mod losses;
mod record;
mod scan;
mod snapshot;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::file::lock::{Lock, LockError};
use crate::file::ownership::make_file;
use crate::journal::losses::{Losses, Lost, UNREADABLE};

use ledger::{Ledger, Mark, is_at};
pub use record::PAYLOAD;
use record::{HEADER, Kind, Records, Tail, decode, encode};
use scan::{folder, path_of, scan, with_ending};
pub use snapshot::Snapshot;

/// How many entries that waited in memory are written by one append: the others follow with the next.
const FLUSHED: usize = 200;
/// For how long an append trusts that its file is the one that it was, in seconds: to look costs as much as to write.
const PAUSE: f64 = 0.05;

/// How much a journal may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All segments together, in bytes.
    pub bytes: u64,
    /// One segment, in bytes: the next is begun where it would grow beyond. Space is freed by whole segments.
    pub segment: u64,
    /// How many entries may wait in memory, without a record on disk.
    pub volatile: usize,
}

impl Default for Limits {
    /// 64 MiB in segments of 4 MiB, and 1000 entries that can't be written.
    fn default() -> Self {
        Self { bytes: 64 << 20, segment: 4 << 20, volatile: 1000 }
    }
}

/// An entry's sequence and content.
pub type Entry = (u64, Vec<u8>);

/// What became of an entry that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It is in a file, under this sequence.
    Durable(u64),
    /// It could not be written, and waits in memory under this sequence. It is written as soon as there is room.
    Volatile(u64),
    /// It could not be written, and too many such entries wait already. It has no sequence. The caller keeps it, or counts it
    /// by [`Journal::lose`].
    Refused,
}

/// Why a journal can't be opened or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process, or another [`Journal`] of this one, owns it.
    #[error("{}: in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file can't be read, or the lock can't be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A journal, and the right to change it.
///
/// Entries have sequences: they are contiguous, and not used again as long as a record, the name of a segment, or the ledger
/// tells of them. An entry is pending from [`append`](Self::append) to [`release`](Self::release); a pending entry takes 16
/// bytes of memory (up to 32 while the list of them grows).
///
/// ```
/// use audit_core::journal::{Appended, Journal, Limits};
/// let folder = std::env::temp_dir().join(format!("journal-{}", std::process::id()));
/// let now = 1_795_521_600.0;
/// let mut journal = Journal::open(&folder.join("audit"), Limits::default(), now).unwrap();
/// let Appended::Durable(sequence) = journal.append(b"<audit-event/>", "test", now) else { panic!() };
/// assert_eq!(journal.get(sequence).unwrap().as_deref(), Some(&b"<audit-event/>"[..]));
/// journal.release(sequence + 1);
/// assert!(journal.is_empty());
/// journal.close();
/// std::fs::remove_dir_all(folder).unwrap();
/// ```
#[derive(Debug)]
pub struct Journal {
    base: PathBuf,
    limits: Limits,
    /// Each with where its record lies; without a place it is in `memory`, or its record is gone.
    pending: VecDeque<(u64, Option<Place>)>,
    memory: BTreeMap<u64, Held>,
    /// How many pending entries are neither on disk nor in memory, see [`Journal::look`].
    gone: usize,
    end: u64,
    /// One above the highest sequence that the last segment has, or may not have any more.
    written: u64,
    segments: VecDeque<Segment>,
    bytes: u64,
    active: Option<Active>,
    reader: Option<(u64, File)>,
    record: Vec<u8>,
    losses: Losses,
    /// The entry that tells of what was lost, while it is only in memory.
    telling: Option<u64>,
    /// How many were found missing since somebody asked.
    missing: u64,
    counted: u64,
    now: f64,
    /// When an append looked at its file last.
    looked: f64,
    ledger: Ledger,
    writing: Option<String>,
    releasing: Option<String>,
    lock: Option<Lock>,
}

/// An entry that has no record.
#[derive(Debug)]
struct Held {
    payload: Vec<u8>,
    kind: String,
    at: f64,
}

impl Held {
    /// Whether a record can hold it.
    const fn is_writable(&self) -> bool {
        self.payload.len() <= PAYLOAD
    }
}

/// Where an entry lies in its segment, header included. 32 bits each keep the list of pending entries small.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u32,
    length: NonZeroU32,
}

impl Place {
    fn new(offset: u64, payload: usize) -> Option<Self> {
        let length = u32::try_from(payload.checked_add(HEADER)?).ok()?;
        Some(Self { offset: u32::try_from(offset).ok()?, length: NonZeroU32::new(length)? })
    }
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    first: u64,
    bytes: u64,
    /// Whether there is something in it besides acknowledgements.
    used: bool,
    /// Device and inode.
    id: (u64, u64),
}

/// The last segment, open for writing.
#[derive(Debug)]
struct Active {
    file: File,
    /// Whether it may end with a part of a record, which could not be taken back.
    torn: bool,
}

impl Journal {
    /// Opens the journal at `base`, a path whose last part is the beginning of its files' names, and reads what is pending.
    ///
    /// Folders that are missing are made (0700), and so is the lock file (0600); the first segment is made by the first
    /// append. Damaged and torn records are skipped. What is missing is counted in [`losses`](Self::losses). `now` is in UNIX
    /// seconds.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] if another owner has it; [`JournalError::Io`] if the lock can't be made or a segment can't be
    /// read.
    pub fn open(base: &Path, limits: Limits, now: f64) -> Result<Self, JournalError> {
        let mut journal = Self::detached(base, limits);
        journal.attach(now)?;
        Ok(journal)
    }

    /// A journal that has no files yet: what is appended waits in memory until [`attach`](Self::attach) succeeds.
    #[must_use]
    pub fn detached(base: &Path, limits: Limits) -> Self {
        Self {
            base: base.to_owned(),
            limits,
            pending: VecDeque::new(),
            memory: BTreeMap::new(),
            gone: 0,
            end: 0,
            written: 0,
            segments: VecDeque::new(),
            bytes: 0,
            active: None,
            reader: None,
            record: Vec::new(),
            losses: Losses::default(),
            telling: None,
            missing: 0,
            counted: 0,
            now: 0.0,
            looked: 0.0,
            ledger: Ledger::new(ledger::beside(base)),
            writing: None,
            releasing: None,
            lock: None,
        }
    }

    /// Whether this journal has its files.
    #[must_use]
    pub const fn is_attached(&self) -> bool {
        self.lock.is_some()
    }

    /// Takes the lock and reads what is pending, as [`open`](Self::open) does. What waits in memory comes after that, under
    /// other sequences, and is written.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open). The journal stays detached.
    pub fn attach(&mut self, now: f64) -> Result<(), JournalError> {
        self.now = now;
        if self.lock.is_some() {
            return Ok(());
        }
        let opened = lock(&self.base).and_then(|lock| Ok((lock, scan(&self.base)?)));
        let (lock, scan) = opened.inspect_err(|error| self.writing = Some(error.to_string()))?;
        let (mark, lost) = self.ledger.open();
        if let Some(lost) = lost {
            self.losses.resume(&lost);
        }
        // No more can have waited than there is room for.
        let most = self.limits.bytes / u64::try_from(HEADER).unwrap_or(1) + u64::try_from(self.limits.volatile).unwrap_or_default();
        self.count_missing(scan.missing(mark.as_ref()).min(most));
        self.counted = mark.map_or(0, |mark| mark.counted);
        self.end = mark.map_or(scan.end, |mark| mark.end.max(scan.end));
        self.pending = scan.pending;
        self.segments = scan.segments;
        self.bytes = self.segments.iter().map(|segment| segment.bytes).fold(0, u64::saturating_add);
        // What ends with a part of a record would hide the beginning of the next.
        let last = self.segments.back().copied();
        let whole = last.filter(|_| scan.tail == Tail::Whole);
        let file = whole.and_then(|last| OpenOptions::new().read(true).append(true).open(path_of(&self.base, last.first)).ok());
        self.active = file.map(|file| Active { file, torn: false });
        if self.active.is_none() {
            self.end = self.end.max(last.map_or(0, |last| last.first.saturating_add(1)));
        }
        for (sequence, held) in std::mem::take(&mut self.memory) {
            if self.telling == Some(sequence) {
                self.telling = Some(self.end);
            }
            self.pending.push_back((self.end, None));
            self.memory.insert(self.end, held);
            self.end = self.end.saturating_add(1);
        }
        self.lock = Some(lock);
        self.writing = None;
        self.find_written();
        self.keep();
        self.note();
        // A crash may have come between the last release and the deletion of files.
        self.tidy(false);
        self.writing = self.flush(usize::MAX).err();
        self.note();
        Ok(())
    }

    /// Appends an entry of an event type, which arrived at a UNIX time: one `write`, and a small one in the ledger.
    ///
    /// What can't be written (no space, [`Limits::bytes`], a payload above [`PAYLOAD`]) leaves nothing half-written behind;
    /// [`trouble`](Self::trouble) says why. It is tried again by each append.
    pub fn append(&mut self, payload: &[u8], kind: &str, at: f64) -> Appended {
        self.now = at;
        let sequence = self.end;
        let Some(end) = sequence.checked_add(1) else {
            return Appended::Refused;
        };
        let mut most = FLUSHED;
        if (at - self.looked).abs() >= PAUSE {
            self.looked = at;
            if !self.is_intact() {
                self.rescue();
                most = usize::MAX;
            }
        }
        let written = self.flush(most).and_then(|()| self.write_entry(sequence, payload));
        let place = match written {
            Ok(place) => {
                self.writing = None;
                Some(place)
            }
            Err(reason) => {
                self.writing = Some(reason);
                if self.memory.len() >= self.limits.volatile {
                    return Appended::Refused;
                }
                self.memory.insert(sequence, Held { payload: payload.to_owned(), kind: kind.to_owned(), at });
                None
            }
        };
        self.end = end;
        self.pending.push_back((sequence, place));
        self.note();
        if place.is_some() { Appended::Durable(sequence) } else { Appended::Volatile(sequence) }
    }

    /// The first pending entry's sequence, or [`end`](Self::end) if there is none.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.pending.front().map_or(self.end, |(sequence, _)| *sequence)
    }

    /// A sequence that is above every entry's. The next entry has it.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// How many entries are pending, those in memory included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no entry is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many pending entries are in memory only: the death of the process would take them.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.memory.len()
    }

    /// The sequences of pending entries from `from` on, in order.
    pub fn pending(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let begin = self.pending.partition_point(|(sequence, _)| *sequence < from);
        self.pending.range(begin..).map(|(sequence, _)| *sequence)
    }

    /// The content of a pending entry, from its file or from memory.
    ///
    /// `None` if there is no such entry, and if its record was damaged or its file deleted after it was written: then it is
    /// counted in [`losses`](Self::losses) and not pending any more.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] if the file can't be read now, for instance because too many files are open. The entry stays.
    pub fn get(&mut self, sequence: u64) -> Result<Option<Vec<u8>>, JournalError> {
        let Ok(index) = self.pending.binary_search_by_key(&sequence, |(sequence, _)| *sequence) else {
            return Ok(None);
        };
        let content = match self.pending.get(index) {
            Some((_, Some(place))) => self.read(sequence, *place)?,
            _ => self.memory.get(&sequence).map(|held| held.payload.clone()),
        };
        if content.is_none() {
            self.drop_pending(index);
        }
        Ok(content)
    }

    /// Counts a pending entry as lost: what its record holds is no entry.
    pub fn spoil(&mut self, sequence: u64) {
        if let Ok(index) = self.pending.binary_search_by_key(&sequence, |(sequence, _)| *sequence) {
            self.drop_pending(index);
        }
    }

    /// Lets all entries before `upto` go: the store has taken them.
    ///
    /// Deletes the segments that are done. When nothing is pending any more, a new and nearly empty segment takes the place
    /// of the last one, so that nothing of released entries stays on disk. What fails here is told by
    /// [`trouble`](Self::trouble) and tried again by the next release; at worst entries are offered again after a crash,
    /// and the caller knows them by their identifiers.
    pub fn release(&mut self, upto: u64) {
        let count = self.pending.partition_point(|(sequence, _)| *sequence < upto);
        if !self.memory.is_empty() || self.gone > 0 {
            let kept = self.memory.split_off(&upto);
            let held = std::mem::replace(&mut self.memory, kept).len();
            let without = self.pending.range(..count).filter(|(_, place)| place.is_none()).count();
            self.gone = self.gone.saturating_sub(without.saturating_sub(held));
        }
        self.pending.drain(..count);
        if self.telling.is_some_and(|telling| telling < upto) {
            self.told();
        }
        // Before the acknowledgement: a crash in between must not make released entries look like lost ones.
        self.note();
        self.tidy(count > 0);
    }

    /// Looks whether the files are still as this journal left them, and tries again what could not be written. Begins anew a
    /// segment that was deleted, cut or replaced.
    ///
    /// Returns the sequences of entries whose records are gone. The caller gives back what it has of them, by
    /// [`restore`](Self::restore), and then calls [`settle`](Self::settle).
    pub fn look(&mut self, now: f64) -> Vec<u64> {
        self.now = now;
        // If the whole folder was moved away, the open files are still good.
        if self.lock.is_some() && folder(&self.base).is_dir() {
            self.ledger.look();
            let path = with_ending(&self.base, ".lock");
            if self.lock.as_ref().is_some_and(|lock| !is_at(lock.file(), &path)) {
                self.lock = Lock::take(&path).ok().or(self.lock.take());
            }
            let last = self.segments.back().map(|segment| path_of(&self.base, segment.first));
            let is_there = self.active.as_ref().zip(last).is_none_or(|(active, path)| is_at(&active.file, &path));
            if !is_there || !self.is_intact() {
                self.rescue();
            }
            self.look_at_closed();
        }
        if self.gone > 0 {
            let gone = self.pending.iter().filter(|(sequence, place)| place.is_none() && !self.memory.contains_key(sequence));
            return gone.map(|(sequence, _)| *sequence).collect();
        }
        self.settle();
        Vec::new()
    }

    /// Gives back the content of an entry whose record is gone.
    pub fn restore(&mut self, sequence: u64, payload: &[u8], kind: &str, at: f64) {
        let found = self.pending.binary_search_by_key(&sequence, |(sequence, _)| *sequence);
        let is_gone = found.is_ok_and(|index| matches!(self.pending.get(index), Some((_, None))));
        if is_gone && !self.memory.contains_key(&sequence) {
            self.memory.insert(sequence, Held { payload: payload.to_owned(), kind: kind.to_owned(), at });
            self.gone = self.gone.saturating_sub(1);
        }
    }

    /// Counts those as lost whose records are gone and that were not given back, and writes all others again.
    pub fn settle(&mut self) {
        if self.gone > 0 {
            let before = self.pending.len();
            self.pending.retain(|(sequence, place)| place.is_some() || self.memory.contains_key(sequence));
            self.gone = 0;
            let lost = before.saturating_sub(self.pending.len());
            self.count_missing(u64::try_from(lost).unwrap_or(u64::MAX));
        }
        if self.lock.is_some() {
            self.writing = None;
            self.mend_closed();
            if let Err(reason) = self.flush(usize::MAX) {
                self.writing = Some(reason);
            }
            self.keep();
            self.note();
        }
    }

    /// Whether records were found to be gone that [`look`](Self::look) tells of.
    #[must_use]
    pub const fn is_amiss(&self) -> bool {
        self.gone > 0
    }

    /// Why the last append could not be written, or else what went wrong with the last release. Names the file.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.writing.as_deref().or(self.releasing.as_deref())
    }

    /// What was lost: counted by the caller that lost it, or found to be missing when the journal was opened or later.
    #[must_use]
    pub const fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Counts entries as lost.
    pub fn lose(&mut self, kind: &str, count: u64, at: f64) {
        self.losses.add(kind, count, at);
        self.keep();
    }

    /// How many entries were found missing since this was asked last.
    pub fn take_missing(&mut self) -> u64 {
        std::mem::take(&mut self.missing)
    }

    /// What was lost and is to be recorded now, see [`Losses::take`]. [`tell`](Self::tell) must follow.
    pub fn take_lost(&mut self) -> Option<Lost> {
        self.losses.take()
    }

    /// Says what became of the entry that records what was lost: it is pending under this sequence, or the store has it.
    pub fn tell(&mut self, entry: Option<u64>) {
        match entry {
            Some(sequence) if self.memory.contains_key(&sequence) => self.telling = Some(sequence),
            _ => self.told(),
        }
    }

    /// Says that there is no entry that records what was lost.
    pub fn not_told(&mut self) {
        self.losses.refused();
        self.keep();
    }

    /// Whether the number of what was lost would survive the death of this process.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.lock.is_some() && self.ledger.is_written()
    }

    /// Why the ledger can't be written, if that is so. Names the file.
    #[must_use]
    pub fn ledger_trouble(&self) -> Option<&str> {
        self.ledger.trouble()
    }

    /// How many events flood control had counted that were in no entry, as the ledger says.
    #[must_use]
    pub const fn counted(&self) -> u64 {
        self.counted
    }

    /// Writes down how many events flood control has counted that are in no entry.
    pub fn set_counted(&mut self, counted: u64) {
        self.counted = counted;
        self.note();
    }

    /// Counts what is in memory only as lost, after a last try to write it: the process ends. Returns how many there were.
    pub fn give_up(&mut self, now: f64) -> u64 {
        self.look(now);
        self.settle();
        let held = std::mem::take(&mut self.memory);
        self.pending.retain(|(_, place)| place.is_some());
        let mut lost = 0;
        for (sequence, held) in held {
            if self.telling == Some(sequence) {
                self.telling = None;
                self.losses.refused();
            } else {
                self.losses.add(&held.kind, 1, held.at);
                lost += 1;
            }
        }
        self.keep();
        self.note();
        lost
    }

    /// The size of all segments, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is pending now, for reading page by page while more is appended and released.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        if self.lock.is_none() {
            // What is in the files, which are another process's, and then what waits here.
            let mut snapshot = Snapshot::read(&self.base).unwrap_or_default();
            let next = snapshot.pending.back().map_or(0, |(sequence, _)| sequence.saturating_add(1));
            for (sequence, held) in (next..).zip(self.memory.values()) {
                snapshot.pending.push_back((sequence, None));
                snapshot.memory.insert(sequence, held.payload.clone());
            }
            return snapshot;
        }
        let used = self.segments.iter().filter_map(|segment| Some((segment.first, File::open(path_of(&self.base, segment.first)).ok()?)));
        let memory = self.memory.iter().map(|(sequence, held)| (*sequence, held.payload.clone()));
        Snapshot { pending: self.pending.clone(), files: used.collect(), memory: memory.collect(), damaged: 0 }
    }

    /// Gives the journal up, so that another owner can open it. Dropping it does the same.
    pub fn close(self) {}

    fn drop_pending(&mut self, index: usize) {
        let dropped = self.pending.remove(index);
        if let Some((sequence, None)) = dropped
            && self.memory.remove(&sequence).is_none()
        {
            self.gone = self.gone.saturating_sub(1);
        }
        self.count_missing(1);
        self.keep();
        self.note();
    }

    fn count_missing(&mut self, count: u64) {
        self.losses.add(UNREADABLE, count, self.now);
        self.missing = self.missing.saturating_add(count);
    }

    fn told(&mut self) {
        self.telling = None;
        self.losses.recorded();
        self.keep();
    }

    /// Writes down what is lost.
    fn keep(&mut self) {
        if self.lock.is_some() {
            self.ledger.keep(self.losses.unrecorded());
        }
    }

    /// Writes down how far the journal is.
    fn note(&mut self) {
        if self.lock.is_some() {
            let waiting = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
            self.ledger.mark(Mark { released: self.first(), end: self.end, waiting, counted: self.counted });
        }
    }

    /// The content of a record, or `None` if it is there no more.
    fn read(&mut self, sequence: u64, place: Place) -> Result<Option<Vec<u8>>, JournalError> {
        let following = self.segments.partition_point(|segment| segment.first <= sequence);
        let first = following.checked_sub(1).and_then(|index| self.segments.get(index)).map_or(0, |segment| segment.first);
        let path = path_of(&self.base, first);
        let content = self.file(first).and_then(|file| match read(file, sequence, place)? {
            None => moved(&path).get(&sequence).map_or(Ok(None), |place| read(file, sequence, *place)),
            found => Ok(found),
        });
        content.or_else(|source| match source.kind() {
            ErrorKind::NotFound => Ok(None),
            _ => Err(JournalError::Io { path: path_of(&self.base, first), source }),
        })
    }

    /// The file of the segment that begins with sequence `first`, for reading.
    fn file(&mut self, first: u64) -> io::Result<&File> {
        if let Some(active) = &self.active
            && self.segments.back().is_some_and(|segment| segment.first == first)
        {
            return Ok(&active.file);
        }
        let opened = match self.reader.take() {
            Some((of, file)) if of == first => file,
            _ => File::open(path_of(&self.base, first))?,
        };
        Ok(&self.reader.insert((first, opened)).1)
    }

    /// Whether the active segment is linked and as long as it should be. What somebody else has appended to it is passed over.
    fn is_intact(&mut self) -> bool {
        let (Some(active), Some(segment)) = (&self.active, self.segments.back_mut()) else { return true };
        let Ok(metadata) = active.file.metadata() else { return true };
        let more = metadata.len().saturating_sub(segment.bytes);
        if more > 0 && !active.torn {
            segment.bytes = segment.bytes.saturating_add(more);
            self.bytes = self.bytes.saturating_add(more);
        }
        // What is no file of a disk has no length.
        !metadata.is_file() || metadata.nlink() > 0 && metadata.len() >= segment.bytes
    }

    /// Takes what can still be read of the active segment into memory, and removes what is left of it: it is begun anew.
    fn rescue(&mut self) {
        let (Some(active), Some(segment)) = (self.active.take(), self.segments.pop_back()) else { return };
        let begin = self.pending.partition_point(|(sequence, _)| *sequence < segment.first);
        let path = path_of(&self.base, segment.first);
        let mut others = None;
        for (sequence, place) in self.pending.range_mut(begin..) {
            let Some(at) = place.take() else { continue };
            let mut found = read(&active.file, *sequence, at);
            if !matches!(found, Ok(Some(_)))
                && let Some(other) = others.get_or_insert_with(|| moved(&path)).get(sequence)
            {
                found = read(&active.file, *sequence, *other);
            }
            match found {
                Ok(Some(payload)) => {
                    self.memory.insert(*sequence, Held { payload, kind: UNREADABLE.to_owned(), at: self.now });
                }
                _ => self.gone = self.gone.saturating_add(1),
            }
        }
        self.bytes = self.bytes.saturating_sub(segment.bytes);
        let _ = std::fs::remove_file(path);
        self.find_written();
    }

    /// Looks at the segments that are not written to any more.
    fn look_at_closed(&mut self) {
        let closed = self.segments.len().saturating_sub(usize::from(self.active.is_some()));
        for index in 0..closed {
            let Some(segment) = self.segments.get(index).copied() else { continue };
            let path = path_of(&self.base, segment.first);
            let found = std::fs::metadata(&path);
            let id = found.as_ref().ok().map(|found| (found.dev(), found.ino()));
            if found.is_ok_and(|found| found.is_file() && found.len() >= segment.bytes) && id == Some(segment.id) {
                continue;
            }
            let file = match File::open(&path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(_) => continue,
            };
            self.reader = None;
            let begin = self.pending.partition_point(|(sequence, _)| *sequence < segment.first);
            let next = self.segments.get(index.saturating_add(1)).map_or(u64::MAX, |next| next.first);
            let mut others = None;
            for (sequence, place) in self.pending.range_mut(begin..) {
                if *sequence >= next {
                    break;
                }
                let Some(at) = *place else { continue };
                if file.as_ref().is_none_or(|file| !matches!(read(file, *sequence, at), Ok(Some(_)))) {
                    *place = others.get_or_insert_with(|| moved(&path)).get(sequence).copied();
                    self.gone = self.gone.saturating_add(usize::from(place.is_none()));
                }
            }
            if let (Some(segment), Some(id)) = (self.segments.get_mut(index), id) {
                segment.id = id;
            }
        }
    }

    /// Writes again what is in memory and has its place before the last segment.
    fn mend_closed(&mut self) {
        let older: Vec<u64> = self.memory.range(..self.written).filter(|(_, held)| held.is_writable()).map(|(of, _)| *of).collect();
        for sequence in older {
            let index = self.segments.partition_point(|segment| segment.first <= sequence).saturating_sub(1);
            if self.memory.contains_key(&sequence)
                && let Err(reason) = self.rebuild(index)
            {
                self.writing = Some(reason);
                return;
            }
        }
    }

    /// Writes a segment that is not the active one anew, with all that is pending of it.
    fn rebuild(&mut self, index: usize) -> Result<(), String> {
        let segment = self.segments.get(index).copied().ok_or("no such segment")?;
        let next = self.segments.get(index.saturating_add(1)).map_or(self.written, |next| next.first);
        let mut bytes = Vec::new();
        encode(&mut bytes, Kind::Acknowledgement(self.first()), &[]);
        let mut places = Vec::new();
        let sequences: Vec<(u64, Option<Place>)> =
            self.pending.iter().filter(|(of, _)| (segment.first..next).contains(of)).copied().collect();
        for (sequence, place) in sequences {
            let content = match (place, self.memory.get(&sequence)) {
                (Some(place), _) => self.read(sequence, place).map_err(|error| error.to_string())?,
                (None, held) => held.filter(|held| held.is_writable()).map(|held| held.payload.clone()),
            };
            let Some(content) = content else { continue };
            places.push((sequence, Place::new(u64::try_from(bytes.len()).unwrap_or(u64::MAX), content.len())));
            encode(&mut self.record, Kind::Entry(sequence), &content);
            bytes.extend_from_slice(&self.record);
        }
        let (path, beside) = (path_of(&self.base, segment.first), with_ending(&self.base, ".new"));
        let _ = std::fs::remove_file(&beside);
        let made = make_file(OpenOptions::new().write(true), &beside);
        let written = made.and_then(|mut file| {
            file.write_all(&bytes)?;
            std::fs::rename(&beside, &path)?;
            file.metadata()
        });
        let metadata = written.map_err(|error| {
            let _ = std::fs::remove_file(&beside);
            format!("{}: {error}", beside.display())
        })?;
        self.reader = None;
        for (sequence, place) in places {
            if let Ok(index) = self.pending.binary_search_by_key(&sequence, |(sequence, _)| *sequence)
                && let Some(pending) = self.pending.get_mut(index)
            {
                pending.1 = place;
                self.forget(sequence);
            }
        }
        if let Some(rebuilt) = self.segments.get_mut(index) {
            *rebuilt = Segment { first: segment.first, bytes: metadata.len(), used: true, id: (metadata.dev(), metadata.ino()) };
        }
        self.bytes = self.bytes.saturating_sub(segment.bytes).saturating_add(metadata.len());
        Ok(())
    }

    /// An entry that was in memory has a record now.
    fn forget(&mut self, sequence: u64) {
        self.memory.remove(&sequence);
        if self.telling == Some(sequence) {
            self.told();
        }
    }

    /// Finds out from where on entries may be written to the last segment.
    fn find_written(&mut self) {
        let placed = self.pending.iter().rev().find(|(_, place)| place.is_some()).map_or(0, |(sequence, _)| sequence.saturating_add(1));
        self.written = placed.max(self.segments.back().map_or(0, |segment| segment.first));
    }

    /// Writes what waits in memory, in order, before anything newer: at most so many entries. An error if some of it still
    /// waits.
    fn flush(&mut self, most: usize) -> Result<(), String> {
        if self.lock.is_none() {
            return Err(self.writing.take().unwrap_or_else(|| format!("{}: not open yet", self.base.display())));
        }
        if self.gone > 0 {
            return Err(format!("{}: somebody has changed it", self.base.display()));
        }
        let mut left = most;
        // One that is too large stays where it is.
        while let Some(sequence) = self.memory.range(self.written..).find(|(_, held)| held.is_writable()).map(|(of, _)| *of) {
            if left == 0 {
                return Err(format!("{}: more events wait in memory than are written at once", self.base.display()));
            }
            left = left.saturating_sub(1);
            let Some(held) = self.memory.remove(&sequence) else { break };
            match self.write_entry(sequence, &held.payload) {
                Ok(place) => {
                    if let Ok(index) = self.pending.binary_search_by_key(&sequence, |(sequence, _)| *sequence)
                        && let Some(pending) = self.pending.get_mut(index)
                    {
                        pending.1 = Some(place);
                    }
                    self.forget(sequence);
                }
                Err(reason) => {
                    self.memory.insert(sequence, held);
                    return Err(reason);
                }
            }
        }
        Ok(())
    }

    fn write_entry(&mut self, sequence: u64, payload: &[u8]) -> Result<Place, String> {
        if payload.len() > PAYLOAD {
            return Err(format!("{}: an entry of {} bytes is too large", self.base.display(), payload.len()));
        }
        let length = u64::try_from(payload.len().saturating_add(HEADER)).unwrap_or(u64::MAX);
        if self.bytes.saturating_add(length) > self.limits.bytes {
            return Err(format!("{}: full, {} bytes wait for the store", self.base.display(), self.bytes));
        }
        self.make_ready(length, sequence)?;
        let offset = self.segments.back().map_or(0, |segment| segment.bytes);
        let place = Place::new(offset, payload.len()).ok_or_else(|| format!("{}: a segment is too large", self.base.display()))?;
        encode(&mut self.record, Kind::Entry(sequence), payload);
        self.write()?;
        self.written = sequence.saturating_add(1);
        if let Some(segment) = self.segments.back_mut() {
            segment.used = true;
        }
        Ok(place)
    }

    fn acknowledge(&mut self) -> Result<(), String> {
        let next = self.memory.range(self.written..).next().map_or(self.end, |(sequence, _)| *sequence);
        self.make_ready(0, next)?;
        let upto = self.first();
        encode(&mut self.record, Kind::Acknowledgement(upto), &[]);
        self.write()
    }

    /// Sees to it that `length` bytes can be appended to the active segment. One that is begun is for entries from `sequence` on.
    fn make_ready(&mut self, length: u64, sequence: u64) -> Result<(), String> {
        if let (Some(active), Some(segment)) = (&mut self.active, self.segments.back()) {
            if active.torn && active.file.set_len(segment.bytes).is_ok() {
                active.torn = false;
            }
            if !active.torn && (!segment.used || segment.bytes.saturating_add(length) <= self.limits.segment) {
                return Ok(());
            }
        }
        let begun = self.begin(sequence);
        // One that is larger than it should be is better than an entry that is not written: too many files may be open.
        if self.active.as_ref().is_some_and(|active| !active.torn) { Ok(()) } else { begun }
    }

    /// Begins a segment for the entries from `sequence` on.
    fn begin(&mut self, sequence: u64) -> Result<(), String> {
        let path = path_of(&self.base, sequence);
        let error = |error: io::Error| format!("{}: {error}", path.display());
        if let Some(last) = self.segments.back().copied().filter(|last| last.first >= sequence) {
            // It has no entry that is pending, and can't be written to.
            std::fs::remove_file(path_of(&self.base, last.first)).or_else(ignore_missing).map_err(error)?;
            self.segments.pop_back();
            self.bytes = self.bytes.saturating_sub(last.bytes);
            self.active = None;
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        let file = make_file(&mut options, &path).or_else(|found| match found.kind() {
            // Somebody has put a file where none of this journal is.
            ErrorKind::AlreadyExists => std::fs::remove_file(&path).and_then(|()| make_file(&mut options, &path)),
            _ => Err(found),
        });
        let file = file.map_err(error)?;
        let id = file.metadata().map(|metadata| (metadata.dev(), metadata.ino())).map_err(error)?;
        self.segments.push_back(Segment { first: sequence, bytes: 0, used: false, id });
        self.active = Some(Active { file, torn: false });
        let upto = self.first();
        encode(&mut self.record, Kind::Acknowledgement(upto), &[]);
        self.write()
    }

    /// Appends the record to the active segment: whole, or not at all.
    fn write(&mut self) -> Result<(), String> {
        let (Some(active), Some(segment)) = (&mut self.active, self.segments.back_mut()) else {
            return Err(format!("{}: no segment is open", self.base.display()));
        };
        if let Err(error) = active.file.write_all(&self.record) {
            active.torn = active.file.set_len(segment.bytes).is_err();
            return Err(format!("{}: {error}", path_of(&self.base, segment.first).display()));
        }
        let length = u64::try_from(self.record.len()).unwrap_or(u64::MAX);
        segment.bytes = segment.bytes.saturating_add(length);
        self.bytes = self.bytes.saturating_add(length);
        Ok(())
    }

    /// Writes down what was released, and deletes what is done.
    fn tidy(&mut self, released: bool) {
        if self.lock.is_none() {
            return;
        }
        let used = self.segments.back().is_some_and(|last| last.used);
        let written = if self.pending.is_empty() && used {
            self.begin(self.end).or_else(|reason| self.acknowledge().map_err(|_| reason))
        } else if released || self.releasing.is_some() {
            self.acknowledge()
        } else {
            Ok(())
        };
        let deleted = self.delete_done();
        self.releasing = written.and(deleted).err();
    }

    /// Deletes the segments before the first pending entry, oldest first. The last one stays: it says where to go on.
    fn delete_done(&mut self) -> Result<(), String> {
        while let (Some(oldest), Some(next)) = (self.segments.front().copied(), self.segments.get(1)) {
            if next.first > self.first() {
                break;
            }
            let path = path_of(&self.base, oldest.first);
            std::fs::remove_file(&path).or_else(ignore_missing).map_err(|error| format!("{}: {error}", path.display()))?;
            self.reader = self.reader.take().filter(|(first, _)| *first != oldest.first);
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.segments.pop_front();
        }
        Ok(())
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The content of the record at a place of a file, or `None` if it is not that record.
fn read(file: &File, sequence: u64, place: Place) -> io::Result<Option<Vec<u8>>> {
    let mut record = vec![0; usize::try_from(place.length.get()).unwrap_or_default()];
    match file.read_exact_at(&mut record, u64::from(place.offset)) {
        Err(short) if short.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    if decode(&record).is_none_or(|(kind, _)| kind != Kind::Entry(sequence)) {
        return Ok(None);
    }
    record.drain(..HEADER);
    Ok(Some(record))
}

/// Where the entries of a segment lie that are not where they were written: somebody has emptied or cut the file, and more was
/// appended before that was noticed. What can't be read is left out.
fn moved(path: &Path) -> BTreeMap<u64, Place> {
    let mut places = BTreeMap::new();
    let Ok(file) = File::open(path) else { return places };
    let mut records = Records::new(&file);
    while let Ok(Some(record)) = records.next() {
        if let (Kind::Entry(sequence), Some(place)) = (record.kind, Place::new(record.offset, record.payload.len())) {
            places.insert(sequence, place);
        }
    }
    places
}

/// Whether a process has the journal at `base`. Looks by taking its lock for a moment: whoever opens the journal in just that
/// moment is refused, so this is for when nothing else tells.
#[must_use]
pub fn is_owned(base: &Path) -> bool {
    let Ok(file) = File::open(with_ending(base, ".lock")) else { return false };
    let locked = file.try_lock_shared();
    // Closing the file lets go of it.
    matches!(locked, Err(TryLockError::WouldBlock))
}

/// Everything that is pending in the journal at `base`, and how many records were damaged: a [`Snapshot`] at once.
///
/// # Errors
///
/// [`JournalError::Io`] where the folder or a segment can't be read.
pub fn read_pending(base: &Path) -> Result<(Vec<Entry>, u64), JournalError> {
    let snapshot = Snapshot::read(base)?;
    let entries = (0..snapshot.len()).filter_map(|index| snapshot.get(index)).filter_map(|(sequence, content)| Some((sequence, content?)));
    Ok((entries.collect(), snapshot.damaged()))
}

fn lock(base: &Path) -> Result<Lock, JournalError> {
    Lock::take(&with_ending(base, ".lock")).map_err(|error| match error {
        LockError::Held(path) => JournalError::Locked { path },
        LockError::Io { path, source } => JournalError::Io { path, source },
    })
}

#[cfg(test)]
mod tests;
