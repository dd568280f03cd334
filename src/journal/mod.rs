//! The journal of one host: the durable queue between an audit event and its store.
//!
//! Each entry is written to a file with one `write`. After that it survives the death of the process, by a crash or `kill -9`.
//! Nothing here calls `fsync`, because every user of the server would wait for it. After a power cut or a kernel crash, entries that
//! the kernel has not written back yet are lost. With Linux's defaults these are the entries of about the last 30 seconds. Entries
//! that were released in that time may come back. Once the store has taken an entry, the store is responsible for it.
//!
//! A journal consists of several files in one folder: `<base>.lock`, and segments `<base>.<first sequence in 16 hex digits>`.
//! A segment is a sequence of records. A record is: a marker of four bytes, the CRC-32 of everything after it, the length of the
//! payload (`u32`), the kind (one byte), the sequence (`u64`), and the payload. Numbers are little-endian. A record is an entry or an
//! acknowledgement. An acknowledgement says that the store has taken all entries before its sequence. Each segment begins with one,
//! so that older segments can be deleted. If the entries are linked, a record behind it says where the chains have got to ([`Links`]). Segments are only appended to and deleted, so another process can read them at any time.
//!
//! Sequences are contiguous, so a gap means lost entries. Each lost entry is counted once, see [`Journal::losses`]. The ledger, a
//! file called `<base, with another extension>.losses`, stores the last sequence and the number of waiting entries, so that entries
//! in a deleted segment are counted too. If a segment is deleted, truncated or replaced while the journal is open, the next append or
//! [`Journal::look`] notices that. Entries that can still be read, or are still in memory, are then written again.
//!
//! An entry that can't be written is kept in memory, in its place in the order, and is written as soon as that is possible. The same
//! goes for all entries while the lock can't be taken, see [`Journal::detached`].

mod account;
mod append;
pub mod awake;
pub mod cursor;
mod error;
pub mod hand_over;
mod ledger;
mod links;
pub mod losses;
mod mend;
mod owner;
mod read;
mod recent;
mod recognition;
mod record;
mod segment;
mod snapshot;
pub mod tail;
pub mod turns;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::file::{Disk, Files, OpenFile};
use crate::journal::losses::Losses;

pub use append::Appended;
pub use error::JournalError;
use ledger::Ledger;
pub use links::Links;
pub use owner::{Owner, is_owned};
use recent::Recent;
pub use record::PAYLOAD;
use record::{HEADER, Tail};
use segment::{Extent, Scan, Segment, scan, with_ending};
pub use snapshot::{PendingEntry, Snapshot, read_pending};

/// How much a journal may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest size of all segments together, in bytes.
    pub bytes: u64,
    /// The largest size of one segment, in bytes. If a segment would get larger, a new one is begun. Space is freed a segment at a time.
    pub segment: u64,
    /// The largest number of entries in memory that have no record on disk.
    pub volatile: usize,
    /// How many bytes of entries that have a record are kept in memory too. They need not be read from the file, and are written
    /// again if somebody deletes it.
    pub recent: usize,
}

impl Default for Limits {
    /// 64 MiB in segments of 4 MiB, and 1000 entries in memory. Entries that have a record are not kept in memory.
    fn default() -> Self {
        Self { bytes: 64 << 20, segment: 4 << 20, volatile: 1000, recent: 0 }
    }
}

/// An open journal. Only its owner, the process that holds the lock, may change the files.
///
/// Each entry has a sequence. Sequences are contiguous, and are not used again as long as a record, the name of a segment or the
/// ledger has a later one. An entry is pending from [`append`](Self::append) to [`release`](Self::release). A pending entry takes 16
/// bytes of memory, or up to 32 while the list grows.
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
    files: Rc<dyn Files>,
    base: PathBuf,
    limits: Limits,
    /// The pending entries with the positions of their records. Without a position, the entry is in `memory`, or its record is gone.
    pending: VecDeque<(u64, Option<Extent>)>,
    memory: BTreeMap<u64, Held>,
    /// The first pending entries that this process has written.
    recent: Recent,
    /// How many pending entries are neither on disk nor in memory, see [`Journal::look`].
    gone: usize,
    /// No pending entry was recorded before this time.
    since: f64,
    end: u64,
    /// Only entries from this sequence on may be appended to the last segment. Earlier ones would be out of order.
    written: u64,
    segments: VecDeque<Segment>,
    bytes: u64,
    active: Option<Active>,
    /// Whether the last segment is whole, and may be opened again to be written to.
    is_resting: bool,
    reader: Option<(u64, Box<dyn OpenFile>)>,
    record: Vec<u8>,
    losses: Losses,
    /// The sequence of the entry that records the losses, while it is only in memory.
    telling: Option<u64>,
    /// How many entries were found missing since the last [`Journal::take_missing`].
    missing: u64,
    counted: u64,
    now: f64,
    /// When an append last checked its file, in UNIX seconds.
    looked: f64,
    ledger: Ledger,
    writing: Option<String>,
    releasing: Option<String>,
    owner: Owner,
    links: Option<Rc<RefCell<dyn Links>>>,
    is_attached: bool,
}

/// An entry that has no record.
#[derive(Debug)]
struct Held {
    payload: Vec<u8>,
    kind: String,
    at: f64,
}

impl Held {
    /// Whether it fits into a record.
    fn is_writable(&self) -> bool {
        self.payload.len() <= PAYLOAD
    }
}

/// The last segment, open for writing.
#[derive(Debug)]
struct Active {
    file: Box<dyn OpenFile>,
    /// Whether it may end with an incomplete record that could not be removed.
    torn: bool,
}

impl Journal {
    /// Opens the journal at `base` and reads the pending entries. The names of its files begin with `base`.
    ///
    /// Creates missing folders (mode 0700) and the lock file (0600). The first append creates the first segment. Damaged and
    /// incomplete records are skipped. Missing entries are counted in [`losses`](Self::losses). `now` is in UNIX seconds.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError::Locked`] if the journal has another owner, and [`JournalError::Io`] if the lock can't be created, or a
    /// segment or the ledger can't be read.
    pub fn open(base: &Path, limits: Limits, now: f64) -> Result<Self, JournalError> {
        Self::open_on(Rc::new(Disk), base, limits, now)
    }

    /// The same with other files than those of the disk.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`open`](Self::open).
    pub fn open_on(files: Rc<dyn Files>, base: &Path, limits: Limits, now: f64) -> Result<Self, JournalError> {
        let mut journal = Self::detached_under(base, limits, Owner::on(files, &with_ending(base, ".lock")));
        journal.attach(now)?;
        Ok(journal)
    }

    /// A journal that has no files yet. Entries are kept in memory until [`attach`](Self::attach) succeeds.
    #[must_use]
    pub fn detached(base: &Path, limits: Limits) -> Self {
        Self::detached_under(base, limits, Owner::new(&with_ending(base, ".lock")))
    }

    /// The same for one of several journals with one owner, which says where the files are.
    #[must_use]
    pub fn detached_under(base: &Path, limits: Limits, owner: Owner) -> Self {
        let files = owner.files();
        Self {
            ledger: Ledger::new(Rc::clone(&files), ledger::beside(base)),
            files,
            base: base.to_owned(),
            limits,
            pending: VecDeque::new(),
            memory: BTreeMap::new(),
            recent: Recent::new(limits.recent),
            gone: 0,
            since: f64::INFINITY,
            end: 0,
            written: 0,
            segments: VecDeque::new(),
            bytes: 0,
            active: None,
            is_resting: false,
            reader: None,
            record: Vec::new(),
            losses: Losses::default(),
            telling: None,
            missing: 0,
            counted: 0,
            now: 0.0,
            looked: 0.0,
            writing: None,
            releasing: None,
            owner,
            links: None,
            is_attached: false,
        }
    }

    /// Keeps where these chains have got to. To be called before [`attach`](Self::attach).
    pub fn keep_links(&mut self, links: Rc<RefCell<dyn Links>>) {
        self.links = Some(links);
    }

    /// Whether this journal holds the lock and has its files.
    #[must_use]
    pub const fn is_attached(&self) -> bool {
        self.is_attached
    }

    /// Takes the lock and reads the pending entries, as [`open`](Self::open) does. Then writes the entries that wait in memory. They
    /// get new sequences, after those in the files.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`open`](Self::open). The journal then stays detached.
    pub fn attach(&mut self, now: f64) -> Result<(), JournalError> {
        self.now = now;
        if self.is_attached {
            return Ok(());
        }
        let read = self.owner.enter(&self.base).and_then(|()| self.read_files().inspect_err(|_| self.owner.leave(&self.base)));
        let (scan, (mark, lost)) = read.inspect_err(|error| self.writing = Some(error.to_string()))?;
        if let Some(links) = &self.links {
            links.borrow_mut().resume();
        }
        if let Some(lost) = lost {
            self.losses.resume(&lost);
        }
        // No more entries can have waited than there is room for.
        let most = self.limits.bytes / u64::try_from(HEADER).unwrap_or(1) + u64::try_from(self.limits.volatile).unwrap_or_default();
        self.count_missing(scan.missing(mark.as_ref()).min(most));
        self.counted = mark.map_or(0, |mark| mark.counted);
        self.end = mark.map_or(scan.end, |mark| mark.end.max(scan.end));
        self.since = self.since.min(scan.since);
        self.pending = scan.pending;
        self.segments = scan.segments;
        self.bytes = self.segments.iter().map(|segment| segment.bytes).fold(0, u64::saturating_add);
        // An incomplete record at the end would hide the record after it.
        let last = self.segments.back().copied();
        self.is_resting = last.is_some() && scan.tail == Tail::Whole;
        if !self.is_resting {
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
        self.is_attached = true;
        self.writing = None;
        self.find_written();
        self.keep();
        self.note();
        // The process may have crashed between the last release and the deletion of segments.
        self.tidy(false);
        self.writing = self.flush(usize::MAX).err();
        self.note();
        Ok(())
    }

    /// The sequence of the first pending entry, or [`end`](Self::end) if there is none.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.pending.front().map_or(self.end, |(sequence, _)| *sequence)
    }

    /// The sequence of the next entry.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// The number of pending entries, including those in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no entry is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The number of pending entries that are only in memory. They are lost if the process dies.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.memory.len()
    }

    /// The sequences of the pending entries from `from` on, in order.
    pub fn pending(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let begin = self.pending.partition_point(|(sequence, _)| *sequence < from);
        self.pending.range(begin..).map(|(sequence, _)| *sequence)
    }

    /// Why the last append could not be written, or why the last release could not. The text names the file.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.writing.as_deref().or(self.releasing.as_deref())
    }

    /// The size of all segments, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Closes the journal, so that another owner can open it. Dropping it does the same.
    pub fn close(self) {}

    /// Closes all files until they are needed again. Call this if nothing happens for a while, as a process may only open a limited
    /// number of files.
    pub fn rest(&mut self) {
        let size = self.segments.back().map_or(0, |segment| segment.bytes);
        if let Some(mut active) = self.active.take() {
            self.is_resting = !active.torn || active.file.set_length(size).is_ok();
        }
        self.reader = None;
        self.ledger.rest();
    }

    /// Whether no file is open.
    #[must_use]
    pub const fn is_resting(&self) -> bool {
        self.active.is_none() && self.reader.is_none() && self.ledger.is_resting()
    }

    /// Reads the segments and the ledger. Nothing may be written before both were read: what the ledger has would be lost.
    fn read_files(&mut self) -> Result<(Scan, ledger::Told), JournalError> {
        let scan = match &self.links {
            Some(links) => scan(&*self.files, &self.base, Some(&mut *links.borrow_mut()))?,
            None => scan(&*self.files, &self.base, None)?,
        };
        let told = self.ledger.open().map_err(|source| JournalError::Io { path: ledger::beside(&self.base), source })?;
        Ok((scan, told))
    }

    /// Where the record of a pending entry is, to change it. Returns `None` if no such entry is pending.
    fn place_of(&mut self, sequence: u64) -> Option<&mut Option<Extent>> {
        let index = self.pending.binary_search_by_key(&sequence, |(sequence, _)| *sequence).ok()?;
        self.pending.get_mut(index).map(|(_, place)| place)
    }

    /// Removes an entry from memory, because it has a record now.
    fn forget(&mut self, sequence: u64) {
        self.memory.remove(&sequence);
        if self.telling == Some(sequence) {
            self.told();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.is_attached {
            self.owner.leave(&self.base);
        }
    }
}

#[cfg(test)]
mod simulated_tests;
#[cfg(test)]
mod tests;
