//! The segments of a journal: their names, the positions of records in them, and reading all of them.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::entry::payload::time_of;
use crate::file::{Access, FileId, FileReader, Files, OpenFile, whole};

use super::error::JournalError;
use super::ledger::Progress;
use super::links::Links;
use super::record::{HEADER, PAYLOAD, RecordKind, Records, Tail, decode};

/// The position of a record in its segment, header included. The list of pending entries is small because these have 32 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) offset: u32,
    pub(super) length: NonZeroU32,
}

impl Extent {
    pub(super) fn new(offset: u64, payload: usize) -> Option<Self> {
        let length = u32::try_from(payload.checked_add(HEADER)?).ok()?;
        Some(Self { offset: u32::try_from(offset).ok()?, length: NonZeroU32::new(length)? })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) bytes: u64,
    /// Whether it has anything else than acknowledgements.
    pub(super) used: bool,
    pub(super) id: FileId,
}

/// The result of reading all segments of a journal.
pub(super) struct Scan {
    pub(super) pending: VecDeque<(u64, Option<Extent>)>,
    pub(super) segments: VecDeque<Segment>,
    /// The open files of the segments, by first sequence.
    pub(super) files: Vec<(u64, Box<dyn OpenFile>)>,
    /// No pending entry was recorded before this time.
    pub(super) since: f64,
    pub(super) end: u64,
    /// The highest acknowledgement, if there is one.
    pub(super) released: Option<u64>,
    /// How many ranges of bytes are not records.
    pub(super) damaged: u64,
    /// How many of them are at the very end, where no later sequence shows that an entry was lost.
    pub(super) trailing: u64,
    /// How the last segment ends.
    pub(super) tail: Tail,
}

impl Scan {
    /// How many entries are missing, according to the segments and the ledger.
    ///
    /// The ledger has the number of entries that waited. If it is missing or older than the segments, each sequence without a record
    /// counts as a lost entry.
    pub(super) fn missing(&self, mark: Option<&Progress>) -> u64 {
        let present = |from: u64, to: u64| {
            let begin = self.pending.partition_point(|(sequence, _)| *sequence < from);
            let end = self.pending.partition_point(|(sequence, _)| *sequence < to);
            u64::try_from(end.saturating_sub(begin)).unwrap_or(u64::MAX)
        };
        let absent = |from: u64, to: u64| to.saturating_sub(from).saturating_sub(present(from, to));
        match mark {
            Some(mark) if self.released.is_none_or(|released| released <= mark.released) => {
                let gone = mark.waiting.saturating_sub(present(mark.released, mark.end));
                gone.saturating_add(absent(mark.end, self.end))
            }
            _ => {
                let oldest = self.segments.front().map(|segment| segment.first);
                let from = self.released.or(oldest).unwrap_or_default();
                let end = mark.map_or(self.end, |mark| mark.end.max(self.end));
                let trailing = if end > self.end { 0 } else { self.trailing };
                absent(from, end).saturating_add(trailing)
            }
        }
    }
}

/// Reads all segments. `links` is given what it needs of them.
pub(super) fn scan(files: &dyn Files, base: &Path, mut links: Option<&mut dyn Links>) -> Result<Scan, JournalError> {
    let mut scan = Scan {
        pending: VecDeque::new(),
        segments: VecDeque::new(),
        files: Vec::new(),
        since: f64::INFINITY,
        end: 0,
        released: None,
        damaged: 0,
        trailing: 0,
        tail: Tail::Whole,
    };
    if let Some(links) = &mut links {
        read_heads(files, base, &mut **links)?;
    }
    let firsts = list(files, base)?;
    for (index, first) in firsts.iter().copied().enumerate() {
        let path = path_of(base, first);
        let error = |source| JournalError::Io { path: path.clone(), source };
        let file = match files.open(&path, Access::Read) {
            Ok(file) => file,
            // The owner has deleted a segment that it no longer needs.
            Err(gone) if gone.kind() == ErrorKind::NotFound => continue,
            Err(other) => return Err(error(other)),
        };
        let next = firsts.get(index.saturating_add(1)).copied().unwrap_or(u64::MAX);
        let mut used = false;
        scan.end = scan.end.max(first);
        let mut records = Records::new(FileReader::new(&*file));
        let mut damaged_before = 0;
        while let Some(record) = records.next().map_err(error)? {
            match record.kind {
                RecordKind::Acknowledgement(upto) => {
                    scan.released = scan.released.max(Some(upto));
                    scan.end = scan.end.max(upto);
                    let count = scan.pending.partition_point(|(sequence, _)| *sequence < upto);
                    scan.pending.drain(..count);
                }
                RecordKind::Heads => {
                    if let Some(links) = &mut links {
                        links.read_heads(record.payload);
                    }
                }
                RecordKind::Entry(sequence) => {
                    used = true;
                    if let Some(links) = &mut links {
                        links.read_entry(record.payload);
                    }
                    // Others occur only if somebody has renamed or edited a file.
                    let fits = sequence >= first && sequence < next && scan.pending.back().is_none_or(|(last, _)| *last < sequence);
                    match Extent::new(record.offset, record.payload.len()).filter(|_| fits) {
                        _ if scan.released.is_some_and(|released| sequence < released) => {}
                        Some(place) => {
                            scan.since = scan.since.min(time_of(record.payload).unwrap_or(f64::INFINITY));
                            scan.pending.push_back((sequence, Some(place)));
                            scan.end = scan.end.max(sequence.saturating_add(1));
                        }
                        None => scan.damaged = scan.damaged.saturating_add(1),
                    }
                }
            }
            damaged_before = records.damaged();
        }
        scan.tail = records.tail();
        scan.damaged = scan.damaged.saturating_add(records.damaged());
        scan.trailing = records.damaged().saturating_sub(damaged_before);
        let id = file.stamp().map(|stamp| stamp.file()).unwrap_or_default();
        scan.segments.push_back(Segment { first, bytes: records.offset(), used: used || records.damaged() > 0, id });
        scan.files.push((first, file));
    }
    Ok(scan)
}

/// The file with what must be known of the chains after a loss of power.
pub(super) fn heads_of(base: &Path) -> PathBuf {
    base.with_extension("heads")
}

fn read_heads(files: &dyn Files, base: &Path, links: &mut dyn Links) -> Result<(), JournalError> {
    let path = heads_of(base);
    match whole::read(files, &path, PAYLOAD.saturating_add(HEADER)) {
        Ok(found) => {
            if let Some((RecordKind::Heads, heads)) = found.as_deref().and_then(decode) {
                links.read_heads(heads);
            }
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => Ok(()),
        Err(source) => Err(JournalError::Io { path, source }),
    }
}

/// The first sequences of all segments, in order.
pub(super) fn list(files: &dyn Files, base: &Path) -> Result<Vec<u64>, JournalError> {
    let folder = folder(base);
    let error = |source| JournalError::Io { path: folder.to_owned(), source };
    let names = match files.list(folder) {
        Ok(names) => names,
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(other) => return Err(error(other)),
    };
    let name = base.file_name().unwrap_or_default().as_bytes();
    let mut firsts = Vec::new();
    for found in names {
        let digits = found.as_bytes().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"."));
        firsts.extend(digits.and_then(parse_first));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

fn parse_first(digits: &[u8]) -> Option<u64> {
    let written_by_us = digits.len() == 16 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| written_by_us)?, 16).ok()
}

pub(super) fn path_of(base: &Path, first: u64) -> PathBuf {
    with_ending(base, &format!(".{first:016x}"))
}

pub(super) fn with_ending(base: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(base);
    path.push(ending);
    path.into()
}

pub(super) fn folder(base: &Path) -> &Path {
    base.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Reads the content of the record at a position of a file. Returns `None` if that is not the record of this entry.
pub(super) fn read(file: &dyn OpenFile, sequence: u64, place: Extent) -> io::Result<Option<Vec<u8>>> {
    let mut record = vec![0; usize::try_from(place.length.get()).unwrap_or_default()];
    match file.read_at(&mut record, u64::from(place.offset)) {
        Err(short) if short.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    if decode(&record).is_none_or(|(kind, _)| kind != RecordKind::Entry(sequence)) {
        return Ok(None);
    }
    record.drain(..HEADER);
    Ok(Some(record))
}

/// The positions of all entries that can be read from a segment. Entries are not where they were written if somebody has emptied or
/// truncated the file, and more was appended before that was noticed.
pub(super) fn moved(files: &dyn Files, path: &Path) -> BTreeMap<u64, Extent> {
    let mut places = BTreeMap::new();
    let Ok(file) = files.open(path, Access::Read) else { return places };
    let mut records = Records::new(FileReader::new(&*file));
    while let Ok(Some(record)) = records.next() {
        if let (RecordKind::Entry(sequence), Some(place)) = (record.kind, Extent::new(record.offset, record.payload.len())) {
            places.insert(sequence, place);
        }
    }
    places
}
