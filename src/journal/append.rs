//! Writing to the last segment, and beginning the next one.

use std::io::{self, ErrorKind};

use crate::file::whole::Durability;
use crate::file::{Access, OpenFile, whole};

use super::record::{HEADER, PAYLOAD, RecordKind, encode, encode_behind};
use super::segment::{Extent, Segment, folder, heads_of, path_of, with_ending};
use super::{Active, Held, Journal};

/// The largest number of entries in memory that one append writes. The next append writes more.
const FLUSHED: usize = 200;
/// A segment that has only records of where the chains have got to is replaced if it is larger than this, in bytes.
const MOST_HEADS: u64 = 64 * 1024;
/// For how long an append does not check its file again, in seconds. Checking costs as much as writing.
const PAUSE: f64 = 0.05;

/// The result of appending an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// The entry is in a file, under this sequence.
    Durable(u64),
    /// The entry could not be written. It is in memory under this sequence, and is written as soon as that is possible.
    Volatile(u64),
    /// The entry could not be written, and there are too many such entries already. It has no sequence. The caller keeps it, or
    /// counts it with [`Journal::lose`].
    Refused,
}

impl Journal {
    /// Appends an entry of event type `kind` that arrived at the UNIX time `at`. This is one `write` to a segment, and a small one to
    /// the ledger.
    ///
    /// An entry can't be written if the disk or the journal is full ([`Limits::bytes`](super::Limits::bytes)), or if the payload is
    /// larger than [`PAYLOAD`]. Then no part of it stays in the file, and [`trouble`](Self::trouble) returns the reason. Each append
    /// tries again.
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
                self.recent.push(sequence, payload, kind, at);
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
        self.since = self.since.min(at);
        self.pending.push_back((sequence, place));
        self.note();
        if place.is_some() { Appended::Durable(sequence) } else { Appended::Volatile(sequence) }
    }

    /// Releases all entries before `upto`, because the store has taken them.
    ///
    /// Deletes segments without pending entries. If no entry is pending, a new and nearly empty segment replaces the last one, so
    /// that released entries do not stay on disk. If this fails, [`trouble`](Self::trouble) returns the reason, and the next release
    /// tries again. In the worst case, released entries are offered again after a crash. The caller recognises them by their ids.
    pub fn release(&mut self, upto: u64) {
        let count = self.pending.partition_point(|(sequence, _)| *sequence < upto);
        let kept = self.memory.split_off(&upto);
        let held = std::mem::replace(&mut self.memory, kept).len();
        let without = self.pending.range(..count).filter(|(_, place)| place.is_none()).count();
        self.gone = self.gone.saturating_sub(without.saturating_sub(held));
        self.pending.drain(..count);
        if self.pending.is_empty() {
            self.since = f64::INFINITY;
        }
        self.recent.release(upto);
        if self.telling.is_some_and(|telling| telling < upto) {
            self.told();
        }
        // This must come before the acknowledgement. Otherwise released entries would count as lost after a crash in between.
        self.note();
        self.tidy(count > 0);
    }

    /// Writes entries that wait in memory, at most `most` of them, in order. Nothing newer may be written before. Returns an error if
    /// some of them still wait.
    pub(super) fn flush(&mut self, most: usize) -> Result<(), String> {
        if !self.is_attached {
            return Err(self.writing.take().unwrap_or_else(|| format!("{}: not open yet", self.base.display())));
        }
        if self.gone > 0 {
            return Err(format!("{}: its files were changed by another process", self.base.display()));
        }
        let mut left = most;
        // An entry that is too large stays in memory.
        while let Some(sequence) = self.memory.range(self.written..).find(|(_, held)| held.is_writable()).map(|(of, _)| *of) {
            if left == 0 {
                return Err(format!("{}: too many events wait in memory to write all of them now", self.base.display()));
            }
            left = left.saturating_sub(1);
            let Some(held) = self.memory.remove(&sequence) else { break };
            match self.write_entry(sequence, &held.payload) {
                Ok(place) => {
                    if let Some(known) = self.place_of(sequence) {
                        *known = Some(place);
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

    fn write_entry(&mut self, sequence: u64, payload: &[u8]) -> Result<Extent, String> {
        if payload.len() > PAYLOAD {
            return Err(format!("{}: an entry of {} bytes is too large", self.base.display(), payload.len()));
        }
        let length = u64::try_from(payload.len().saturating_add(HEADER)).unwrap_or(u64::MAX);
        if self.bytes.saturating_add(length) > self.limits.bytes {
            return Err(format!("{}: the journal is full, {} bytes wait for the store", self.base.display(), self.bytes));
        }
        self.make_ready(length, sequence)?;
        let offset = self.segments.back().map_or(0, |segment| segment.bytes);
        let place = Extent::new(offset, payload.len()).ok_or_else(|| format!("{}: a segment is too large", self.base.display()))?;
        encode(&mut self.record, RecordKind::Entry(sequence), payload);
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
        self.encode_acknowledgement();
        self.write()
    }

    /// Writes down where the chains have got to. To be called after an entry was written to the store without the journal. Does nothing
    /// if there are no chains.
    ///
    /// # Errors
    ///
    /// Returns an error if it can't be written. The text names the file.
    pub fn write_heads(&mut self) -> Result<(), String> {
        if self.links.is_none() {
            return Ok(());
        }
        if !self.is_attached {
            return Err(format!("{}: not open yet", self.base.display()));
        }
        let written = self.sync_heads().and_then(|()| self.append_heads());
        if let Err(reason) = &written {
            // The next release, or the next look at the files, tries again.
            self.releasing = Some(reason.clone());
        }
        written
    }

    fn append_heads(&mut self) -> Result<(), String> {
        let mut heads = Vec::new();
        if let Some(links) = &self.links {
            links.borrow().write_heads(&mut heads);
        }
        if heads.is_empty() {
            return Ok(());
        }
        let next = self.memory.range(self.written..).next().map_or(self.end, |(sequence, _)| *sequence);
        // Nothing else would ever begin a new segment.
        let last = self.segments.back().copied().filter(|last| !last.used && last.bytes > MOST_HEADS);
        if last.is_some() {
            return self.begin(next);
        }
        self.make_ready(0, next)?;
        self.record.clear();
        self.encode_heads();
        self.write()
    }

    /// Writes the record to a file of its own, and to the disk, if it says something that nothing else would say after a loss of power:
    /// which chains there are, and what was removed. That is rare.
    fn sync_heads(&mut self) -> Result<(), String> {
        let Some(links) = self.links.clone().filter(|links| links.borrow().must_be_synced()) else { return Ok(()) };
        self.record.clear();
        self.encode_heads();
        let path = heads_of(&self.base);
        let replaced = whole::replace(&*self.files, &path, &with_ending(&path, ".new"), &self.record, Durability::Synced);
        let synced = replaced.and_then(|()| self.files.sync_folder(folder(&self.base)));
        synced.map_err(|error| format!("{}: {error}", path.display()))?;
        links.borrow_mut().synced();
        Ok(())
    }

    /// What each segment begins with.
    fn encode_acknowledgement(&mut self) {
        let upto = self.first();
        encode(&mut self.record, RecordKind::Acknowledgement(upto), &[]);
        self.encode_heads();
    }

    /// Adds a record of where the chains have got to.
    fn encode_heads(&mut self) {
        let Some(links) = &self.links else { return };
        let mut heads = Vec::new();
        if self.memory.is_empty() {
            links.borrow_mut().all_written();
        }
        links.borrow().write_heads(&mut heads);
        if !heads.is_empty() && heads.len() <= PAYLOAD {
            encode_behind(&mut self.record, RecordKind::Heads, &heads);
        }
    }

    /// Makes sure that `length` bytes can be appended to the active segment. Begins a new segment, for entries from `sequence` on, if
    /// that is necessary.
    fn make_ready(&mut self, length: u64, sequence: u64) -> Result<(), String> {
        self.wake();
        if let (Some(active), Some(segment)) = (&mut self.active, self.segments.back()) {
            if active.torn && active.file.set_length(segment.bytes).is_ok() {
                active.torn = false;
            }
            if !active.torn && (!segment.used || segment.bytes.saturating_add(length) <= self.limits.segment) {
                return Ok(());
            }
        }
        let begun = self.begin(sequence);
        // If no new segment can be created, for example because too many files are open, the old one gets larger than usual.
        if self.active.as_ref().is_some_and(|active| !active.torn) { Ok(()) } else { begun }
    }

    /// Opens the last segment again. If somebody has changed it, a new segment is begun.
    fn wake(&mut self) {
        let Some(segment) = self.segments.back().copied().filter(|_| self.is_resting) else { return };
        self.is_resting = false;
        let opened = self.files.open(&path_of(&self.base, segment.first), Access::Append);
        let is_the_same = |file: &dyn OpenFile| {
            let Ok(found) = file.status() else { return false };
            found.is_plain && found.length >= segment.bytes && found.stamp.file() == segment.id
        };
        match opened {
            Ok(file) if is_the_same(&*file) => {
                self.active = Some(Active { file, torn: false });
                // What somebody else has appended is skipped.
                self.is_intact();
            }
            _ => self.look_at_closed(),
        }
    }

    /// Begins a segment for the entries from `sequence` on.
    fn begin(&mut self, sequence: u64) -> Result<(), String> {
        let path = path_of(&self.base, sequence);
        let error = |error: io::Error| format!("{}: {error}", path.display());
        if let Some(last) = self.segments.back().copied().filter(|last| last.first >= sequence) {
            // It has no pending entry, and can't be written to. It may be all that says where the chains are, so it stays if there can be
            // no other one now.
            if last.first == sequence {
                match self.replace(&last) {
                    Err(found) if self.links.is_some() => return Err(error(found)),
                    Err(_) => {}
                    Ok(()) => return Ok(()),
                }
            }
            whole::remove(&*self.files, &path_of(&self.base, last.first)).map_err(error)?;
            self.segments.pop_back();
            self.bytes = self.bytes.saturating_sub(last.bytes);
            self.active = None;
            self.is_resting = false;
        }
        let make = || self.files.create_new(&path, Access::Append);
        let file = make().or_else(|found| match found.kind() {
            // The first segment of all. A folder that was moved is not created again, as the open files can still be used.
            ErrorKind::NotFound if self.segments.is_empty() => self.files.make_folder(folder(&self.base)).and_then(|()| make()),
            // Somebody else has created a file with this name.
            ErrorKind::AlreadyExists => self.files.remove(&path).and_then(|()| make()),
            _ => Err(found),
        });
        let file = file.map_err(error)?;
        let id = file.stamp().map_err(error)?.file();
        self.segments.push_back(Segment { first: sequence, bytes: 0, used: false, id });
        self.active = Some(Active { file, torn: false });
        self.is_resting = false;
        self.encode_acknowledgement();
        self.write()
    }

    /// Replaces the last segment, which has no pending entry, by a new one of the same name. What it says of the chains is never missing
    /// meanwhile.
    fn replace(&mut self, last: &Segment) -> io::Result<()> {
        let (path, beside) = (path_of(&self.base, last.first), with_ending(&self.base, ".new"));
        self.encode_acknowledgement();
        let _ = self.files.remove(&beside);
        let replaced = self.files.create_new(&beside, Access::Append).and_then(|mut file| {
            file.append(&self.record)?;
            self.files.rename(&beside, &path)?;
            Ok(file)
        });
        let file = replaced.inspect_err(|_| drop(self.files.remove(&beside)))?;
        let id = file.stamp()?.file();
        let bytes = u64::try_from(self.record.len()).unwrap_or(u64::MAX);
        self.segments.pop_back();
        self.segments.push_back(Segment { first: last.first, bytes, used: false, id });
        self.bytes = self.bytes.saturating_sub(last.bytes).saturating_add(bytes);
        (self.active, self.is_resting, self.reader) = (Some(Active { file, torn: false }), false, None);
        Ok(())
    }

    /// Appends the record to the active segment. If that fails, no part of it stays there.
    fn write(&mut self) -> Result<(), String> {
        let (Some(active), Some(segment)) = (&mut self.active, self.segments.back_mut()) else {
            return Err(format!("{}: no segment is open", self.base.display()));
        };
        if let Err(error) = active.file.append(&self.record) {
            active.torn = active.file.set_length(segment.bytes).is_err();
            return Err(format!("{}: {error}", path_of(&self.base, segment.first).display()));
        }
        let length = u64::try_from(self.record.len()).unwrap_or(u64::MAX);
        segment.bytes = segment.bytes.saturating_add(length);
        self.bytes = self.bytes.saturating_add(length);
        Ok(())
    }

    /// Writes an acknowledgement if something was released, and deletes segments without pending entries.
    pub(super) fn tidy(&mut self, released: bool) {
        if !self.is_attached {
            return;
        }
        let used = self.segments.back().is_some_and(|last| last.used);
        let synced = self.sync_heads();
        let written = if self.pending.is_empty() && used {
            self.begin(self.end).or_else(|reason| self.acknowledge().map_err(|_| reason))
        } else if released || self.releasing.is_some() {
            self.acknowledge()
        } else {
            Ok(())
        };
        let deleted = self.delete_done();
        self.releasing = synced.and(written).and(deleted).err();
    }

    /// Deletes the segments before the first pending entry, oldest first. The last segment stays, because it has the next sequence.
    fn delete_done(&mut self) -> Result<(), String> {
        while let (Some(oldest), Some(next)) = (self.segments.front().copied(), self.segments.get(1)) {
            if next.first > self.first() {
                break;
            }
            let path = path_of(&self.base, oldest.first);
            whole::remove(&*self.files, &path).map_err(|error| format!("{}: {error}", path.display()))?;
            self.reader = self.reader.take().filter(|(first, _)| *first != oldest.first);
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.segments.pop_front();
        }
        Ok(())
    }
}
