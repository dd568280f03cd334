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
//! them at any time. Segments can be deleted by hand; the entries in them are then gone, and so are
//! those that a running owner still appends to a deleted segment, until it begins the next.

mod record;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::lock::{Lock, LockError};

pub use record::PAYLOAD;
use record::{HEADER, Kind, Record, Records, Tail, decode, encode};

/// How much a journal may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All segments together, in bytes.
    pub bytes: u64,
    /// One segment, in bytes: the next is begun where it would grow beyond. Space is freed by whole segments.
    pub segment: u64,
    /// How many entries may wait without a record on disk.
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
    /// It could not be written, but has its place in the order: this sequence. The caller keeps its content.
    Volatile(u64),
    /// It could not be written, and too many such entries wait already. It has no sequence; the caller counts it.
    Lost,
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
/// Entries have sequences: they only go up, and are not used again as long as a record, or the name of a segment, tells
/// of them. There are holes where records were damaged. An entry is pending from [`append`](Self::append) to
/// [`release`](Self::release); a pending entry takes 16 bytes of memory (up to 32 while the list of them grows).
///
/// ```
/// use audit_core::journal::{Appended, Journal, Limits};
/// let folder = std::env::temp_dir().join(format!("journal-{}", std::process::id()));
/// let mut journal = Journal::open(&folder.join("audit"), Limits::default()).unwrap();
/// let Appended::Durable(sequence) = journal.append(b"<audit-event/>") else { panic!() };
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
    pending: VecDeque<(u64, Option<Place>)>,
    volatile: usize,
    end: u64,
    segments: VecDeque<Segment>,
    bytes: u64,
    active: Option<Active>,
    reader: Option<(u64, File)>,
    record: Vec<u8>,
    damaged: u64,
    writing: Option<String>,
    releasing: Option<String>,
    _lock: Lock,
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
    /// append. Damaged and torn records are skipped and counted, see [`damaged`](Self::damaged).
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] where another owner has it; [`JournalError::Io`] where the lock can't be made or a segment
    /// can't be read.
    pub fn open(base: &Path, limits: Limits) -> Result<Self, JournalError> {
        let lock = lock(base)?;
        let scan = scan(base, |record| Place::new(record.offset, record.payload.len()).map(Some))?;
        let bytes = scan.segments.iter().map(|segment| segment.bytes).fold(0, u64::saturating_add);
        // What ends with a part of a record would hide the beginning of the next.
        let last = scan.segments.back().filter(|_| scan.tail == Tail::Whole);
        let active = last.and_then(|last| OpenOptions::new().read(true).append(true).open(path_of(base, last.first)).ok());
        let mut journal = Self {
            base: base.to_owned(),
            limits,
            pending: scan.pending,
            volatile: 0,
            end: scan.end,
            segments: scan.segments,
            bytes,
            active: active.map(|file| Active { file, torn: false }),
            reader: None,
            record: Vec::new(),
            damaged: scan.damaged,
            writing: None,
            releasing: None,
            _lock: lock,
        };
        // A crash may have come between the last release and the deletion of files.
        journal.tidy(false);
        Ok(journal)
    }

    /// Appends an entry: one `write`.
    ///
    /// What can't be written (no space, [`Limits::bytes`], a payload above [`PAYLOAD`]) leaves nothing half-written behind;
    /// [`trouble`](Self::trouble) says why. The next append tries again.
    pub fn append(&mut self, payload: &[u8]) -> Appended {
        let written = self.write_entry(payload);
        let place = match written {
            Ok(place) => {
                self.writing = None;
                Some(place)
            }
            Err(reason) => {
                self.writing = Some(reason);
                if self.volatile >= self.limits.volatile {
                    return Appended::Lost;
                }
                None
            }
        };
        let sequence = self.end;
        let Some(end) = sequence.checked_add(1) else {
            return Appended::Lost;
        };
        self.end = end;
        self.pending.push_back((sequence, place));
        if place.is_some() {
            Appended::Durable(sequence)
        } else {
            self.volatile = self.volatile.saturating_add(1);
            Appended::Volatile(sequence)
        }
    }

    /// The first pending entry's sequence; [`end`](Self::end) where there is none.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.pending.front().map_or(self.end, |(sequence, _)| *sequence)
    }

    /// A sequence that is above every entry's. The next entry has it, or a higher one.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// How many entries are pending, those without a record included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no entry is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The sequences of pending entries from `from` on, in order, those without a record included.
    pub fn pending(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let begin = self.pending.partition_point(|(sequence, _)| *sequence < from);
        self.pending.range(begin..).map(|(sequence, _)| *sequence)
    }

    /// The content of a pending entry, read from its file.
    ///
    /// Nothing where there is no such entry, where it has no record ([`Appended::Volatile`]), and where its record was
    /// damaged or its file deleted after it was written: then it is counted in [`damaged`](Self::damaged) and not pending
    /// any more.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] where the file can't be read now, for instance because too many files are open. The entry stays.
    pub fn get(&mut self, sequence: u64) -> Result<Option<Vec<u8>>, JournalError> {
        let Ok(index) = self.pending.binary_search_by_key(&sequence, |(sequence, _)| *sequence) else {
            return Ok(None);
        };
        let Some((_, Some(place))) = self.pending.get(index).copied() else {
            return Ok(None);
        };
        let following = self.segments.partition_point(|segment| segment.first <= sequence);
        let first = following.checked_sub(1).and_then(|index| self.segments.get(index)).map_or(0, |segment| segment.first);
        let mut record = vec![0; usize::try_from(place.length.get()).unwrap_or_default()];
        match self.file(first).and_then(|file| file.read_exact_at(&mut record, u64::from(place.offset))) {
            Ok(()) if decode(&record).is_some_and(|(kind, _)| kind == Kind::Entry(sequence)) => {
                record.drain(..HEADER);
                return Ok(Some(record));
            }
            Err(source) if !matches!(source.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
                return Err(JournalError::Io { path: path_of(&self.base, first), source });
            }
            _ => {}
        }
        self.pending.remove(index);
        self.damaged = self.damaged.saturating_add(1);
        Ok(None)
    }

    /// Lets all entries before `upto` go: the store has taken them.
    ///
    /// Deletes the segments that are done. When nothing is pending any more, a new and nearly empty segment takes the place
    /// of the last one, so that nothing of released entries stays on disk. What fails here is told by
    /// [`trouble`](Self::trouble) and tried again by the next release; at worst entries are offered again after a crash,
    /// and the caller knows them by their identifiers.
    pub fn release(&mut self, upto: u64) {
        let count = self.pending.partition_point(|(sequence, _)| *sequence < upto);
        let volatile = self.pending.drain(..count).filter(|(_, place)| place.is_none()).count();
        self.volatile = self.volatile.saturating_sub(volatile);
        self.tidy(count > 0);
    }

    /// Why the last append could not be written, or else what went wrong with the last release. Names the file.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.writing.as_deref().or(self.releasing.as_deref())
    }

    /// How many records were skipped when the journal was opened, and found damaged or gone since.
    ///
    /// A stretch of damaged bytes counts as one for each marker of a record in it, and at least as one. One that a crash cut
    /// short counts too: [`append`](Self::append) had not returned. All are counted again whenever the journal is opened,
    /// until their segment is done.
    #[must_use]
    pub const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The size of all segments, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is pending now, for reading page by page while more is appended and released.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let used = self.segments.iter().filter_map(|segment| Some((segment.first, File::open(path_of(&self.base, segment.first)).ok()?)));
        Snapshot { pending: self.pending.clone(), files: used.collect(), damaged: 0 }
    }

    /// Gives the journal up, so that another owner can open it. Dropping it does the same.
    pub fn close(self) {}

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

    fn write_entry(&mut self, payload: &[u8]) -> Result<Place, String> {
        if payload.len() > PAYLOAD {
            return Err(format!("{}: an entry of {} bytes is too large", self.base.display(), payload.len()));
        }
        let length = u64::try_from(payload.len().saturating_add(HEADER)).unwrap_or(u64::MAX);
        if self.bytes.saturating_add(length) > self.limits.bytes {
            return Err(format!("{}: full, {} bytes wait for the store", self.base.display(), self.bytes));
        }
        self.make_ready(length)?;
        let offset = self.segments.back().map_or(0, |segment| segment.bytes);
        let place = Place::new(offset, payload.len()).ok_or_else(|| format!("{}: a segment is too large", self.base.display()))?;
        encode(&mut self.record, Kind::Entry(self.end), payload);
        self.write()?;
        if let Some(segment) = self.segments.back_mut() {
            segment.used = true;
        }
        Ok(place)
    }

    fn acknowledge(&mut self) -> Result<(), String> {
        self.make_ready(0)?;
        let upto = self.first();
        encode(&mut self.record, Kind::Acknowledgement(upto), &[]);
        self.write()
    }

    /// Sees to it that `length` bytes can be appended to the active segment.
    fn make_ready(&mut self, length: u64) -> Result<(), String> {
        if let (Some(active), Some(segment)) = (&mut self.active, self.segments.back()) {
            if active.torn && active.file.set_len(segment.bytes).is_ok() {
                active.torn = false;
            }
            if !active.torn && (!segment.used || segment.bytes.saturating_add(length) <= self.limits.segment) {
                return Ok(());
            }
        }
        let begun = self.begin();
        // One that is larger than it should be is better than an entry that is not written: too many files may be open.
        if self.active.as_ref().is_some_and(|active| !active.torn) { Ok(()) } else { begun }
    }

    /// Begins a segment.
    fn begin(&mut self) -> Result<(), String> {
        if self.segments.back().is_some_and(|last| last.first >= self.end) {
            self.end = self.end.saturating_add(1);
        }
        let path = path_of(&self.base, self.end);
        let created = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path);
        let file = created.map_err(|error| format!("{}: {error}", path.display()))?;
        self.segments.push_back(Segment { first: self.end, bytes: 0, used: false });
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
        let used = self.segments.back().is_some_and(|last| last.used);
        let written = if self.pending.is_empty() && used {
            self.begin().or_else(|reason| self.acknowledge().map_err(|_| reason))
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
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(format!("{}: {error}", path.display())),
                _ => {}
            }
            self.reader = self.reader.take().filter(|(first, _)| *first != oldest.first);
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.segments.pop_front();
        }
        Ok(())
    }
}

/// What is pending in a journal at one moment, for reading page by page. Its files stay open, so that it can be read whole
/// whatever the owner releases meanwhile.
#[derive(Debug)]
pub struct Snapshot {
    pending: VecDeque<(u64, Option<Place>)>,
    /// Segments by their first sequences.
    files: Vec<(u64, File)>,
    damaged: u64,
}

impl Snapshot {
    /// What is pending in the journal at `base`, in order.
    ///
    /// For a process that does not own the journal: takes no lock and changes nothing, and the owner may append, release and
    /// delete meanwhile. All that was pending during the whole call is there; of what was appended or released meanwhile,
    /// some may be. So whoever reads the store too reads it afterwards, and knows by their identifiers what is in both. The
    /// last record may be one that is just being written: it is left out, and not counted as damaged. No journal is an empty
    /// one.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`] where the folder or a segment can't be read.
    ///
    /// ```
    /// # use std::path::Path;
    /// let snapshot = audit_core::journal::Snapshot::read(Path::new("/no/such/journal")).unwrap();
    /// assert!(snapshot.is_empty() && snapshot.damaged() == 0);
    /// ```
    pub fn read(base: &Path) -> Result<Self, JournalError> {
        let scan = scan(base, |record| Place::new(record.offset, record.payload.len()).map(Some))?;
        let damaged = scan.damaged.saturating_sub(u64::from(scan.tail == Tail::Torn));
        Ok(Self { pending: scan.pending, files: scan.files, damaged })
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many records were damaged.
    #[must_use]
    pub const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The sequence and the content of an entry, counted from 0. No content where the record is damaged, or was never
    /// written ([`Appended::Volatile`]).
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(u64, Option<Vec<u8>>)> {
        let (sequence, place) = self.pending.get(index).copied()?;
        Some((sequence, place.and_then(|place| self.content(sequence, place))))
    }

    fn content(&self, sequence: u64, place: Place) -> Option<Vec<u8>> {
        let following = self.files.partition_point(|(first, _)| *first <= sequence);
        let (_, file) = self.files.get(following.checked_sub(1)?)?;
        let mut record = vec![0; usize::try_from(place.length.get()).ok()?];
        file.read_exact_at(&mut record, u64::from(place.offset)).ok()?;
        decode(&record).filter(|(kind, _)| *kind == Kind::Entry(sequence))?;
        record.drain(..HEADER);
        Some(record)
    }
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

/// What all segments of a journal say; `T` is what is kept of an entry.
struct Scan<T> {
    pending: VecDeque<(u64, T)>,
    segments: VecDeque<Segment>,
    /// The segments, open.
    files: Vec<(u64, File)>,
    end: u64,
    damaged: u64,
    /// How the last segment ends.
    tail: Tail,
}

fn scan<T>(base: &Path, keep: impl Fn(&Record<'_>) -> Option<T>) -> Result<Scan<T>, JournalError> {
    let mut scan = Scan { pending: VecDeque::new(), segments: VecDeque::new(), files: Vec::new(), end: 0, damaged: 0, tail: Tail::Whole };
    let mut released = 0;
    let firsts = list(base)?;
    for (index, first) in firsts.iter().copied().enumerate() {
        let path = path_of(base, first);
        let error = |source| JournalError::Io { path: path.clone(), source };
        let file = match open_segment(&path) {
            Ok(file) => file,
            // The owner deletes what is done.
            Err(gone) if gone.kind() == ErrorKind::NotFound => continue,
            Err(other) => return Err(error(other)),
        };
        let next = firsts.get(index.saturating_add(1)).copied().unwrap_or(u64::MAX);
        let mut used = false;
        scan.end = scan.end.max(first);
        let mut records = Records::new(&file);
        while let Some(record) = records.next().map_err(error)? {
            match record.kind {
                Kind::Acknowledgement(upto) => {
                    released = released.max(upto);
                    scan.end = scan.end.max(upto);
                    let count = scan.pending.partition_point(|(sequence, _)| *sequence < upto);
                    scan.pending.drain(..count);
                }
                Kind::Entry(sequence) => {
                    used = true;
                    if sequence < released {
                        continue;
                    }
                    // Only a file that was renamed or put together by hand has others.
                    let fits = sequence >= first && sequence < next && scan.pending.back().is_none_or(|(last, _)| *last < sequence);
                    match keep(&record).filter(|_| fits) {
                        Some(kept) => {
                            scan.pending.push_back((sequence, kept));
                            scan.end = scan.end.max(sequence.saturating_add(1));
                        }
                        None => scan.damaged = scan.damaged.saturating_add(1),
                    }
                }
            }
        }
        scan.tail = records.tail();
        scan.damaged = scan.damaged.saturating_add(records.damaged());
        scan.segments.push_back(Segment { first, bytes: records.offset(), used: used || records.damaged() > 0 });
        scan.files.push((first, file));
    }
    Ok(scan)
}

/// The first sequences of all segments, in order.
fn list(base: &Path) -> Result<Vec<u64>, JournalError> {
    let folder = folder(base);
    let error = |source| JournalError::Io { path: folder.to_owned(), source };
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(other) => return Err(error(other)),
    };
    let name = base.file_name().unwrap_or_default().as_bytes();
    let mut firsts = Vec::new();
    for file in files {
        let file = file.map_err(error)?.file_name();
        let digits = file.as_bytes().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"."));
        firsts.extend(digits.and_then(parse_first));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

fn parse_first(digits: &[u8]) -> Option<u64> {
    let written_by_us = digits.len() == 16 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| written_by_us)?, 16).ok()
}

fn path_of(base: &Path, first: u64) -> PathBuf {
    with_ending(base, &format!(".{first:016x}"))
}

fn with_ending(base: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(base);
    path.push(ending);
    path.into()
}

fn folder(base: &Path) -> &Path {
    base.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn open_segment(path: &Path) -> io::Result<File> {
    // To open a pipe would wait for whoever writes into it.
    if std::fs::metadata(path)?.is_file() { File::open(path) } else { Err(io::Error::other("not a file")) }
}

fn lock(base: &Path) -> Result<Lock, JournalError> {
    Lock::take(&with_ending(base, ".lock")).map_err(|error| match error {
        LockError::Held(path) => JournalError::Locked { path },
        LockError::Io { path, source } => JournalError::Io { path, source },
    })
}

#[cfg(test)]
mod tests;
