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

mod account;
mod append;
mod error;
mod ledger;
pub mod losses;
mod mend;
mod record;
mod segment;
mod snapshot;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::file::lock::Lock;
use crate::journal::losses::Losses;

pub use append::Appended;
pub use error::JournalError;
use ledger::Ledger;
pub use record::PAYLOAD;
use record::{HEADER, Tail};
use segment::{Extent, Segment, lock, moved, path_of, read, scan};
pub use snapshot::{PendingEntry, Snapshot, is_owned, read_pending};

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
    pending: VecDeque<(u64, Option<Extent>)>,
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

    /// Why the last append could not be written, or else what went wrong with the last release. Names the file.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.writing.as_deref().or(self.releasing.as_deref())
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

    /// The content of a record, or `None` if it is there no more.
    fn read(&mut self, sequence: u64, place: Extent) -> Result<Option<Vec<u8>>, JournalError> {
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

    /// An entry that was in memory has a record now.
    fn forget(&mut self, sequence: u64) {
        self.memory.remove(&sequence);
        if self.telling == Some(sequence) {
            self.told();
        }
    }
}

#[cfg(test)]
mod tests;
