//! Repair of segments that were deleted, truncated or replaced while the journal is open.

use std::io::ErrorKind;

use crate::file::Access;

use super::losses::UNREADABLE;
use super::record::{RecordKind, encode};
use super::segment::{Extent, Segment, folder, moved, path_of, read, with_ending};
use super::{Held, Journal};

impl Journal {
    /// Checks that the files are still as this journal wrote them, and tries again to write what could not be written. A segment that
    /// was deleted, truncated or replaced is written again.
    ///
    /// Returns the sequences of entries whose records are gone. The caller passes those that it still has to
    /// [`restore`](Self::restore), and then calls [`settle`](Self::settle).
    pub fn look(&mut self, now: f64) -> Vec<u64> {
        self.now = now;
        if self.is_attached {
            self.owner.look();
        }
        // If the whole folder was moved, the open files can still be used.
        if self.is_attached && self.files.is_folder(folder(&self.base)) {
            self.ledger.look();
            let last = self.segments.back().map(|segment| path_of(&self.base, segment.first));
            let is_there = self.active.as_ref().zip(last).is_none_or(|(active, path)| self.files.is_at(&*active.file, &path));
            if !is_there || !self.is_intact() {
                self.rescue();
            }
            self.look_at_closed();
            self.restore_recent();
        }
        if self.gone > 0 {
            let gone = self.pending.iter().filter(|(sequence, place)| place.is_none() && !self.memory.contains_key(sequence));
            return gone.map(|(sequence, _)| *sequence).collect();
        }
        self.settle();
        Vec::new()
    }

    /// Takes the content of an entry whose record is gone.
    pub fn restore(&mut self, sequence: u64, payload: &[u8], kind: &str, at: f64) {
        let is_gone = matches!(self.place_of(sequence), Some(None));
        if is_gone && !self.memory.contains_key(&sequence) {
            self.memory.insert(sequence, Held { payload: payload.to_owned(), kind: kind.to_owned(), at });
            self.gone = self.gone.saturating_sub(1);
        }
    }

    /// Takes the content of entries whose records are gone from the memory that has the recent ones.
    fn restore_recent(&mut self) {
        if self.gone == 0 {
            return;
        }
        for (sequence, place) in &self.pending {
            if place.is_some() || self.memory.contains_key(sequence) {
                continue;
            }
            if let Some((payload, kind, at)) = self.recent.whole(*sequence) {
                self.memory.insert(*sequence, Held { payload: payload.to_owned(), kind: kind.to_owned(), at });
                self.gone = self.gone.saturating_sub(1);
            }
        }
    }

    /// Counts entries as lost if their records are gone and they were not restored. Writes all others again.
    pub fn settle(&mut self) {
        if self.gone > 0 {
            let before = self.pending.len();
            self.pending.retain(|(sequence, place)| place.is_some() || self.memory.contains_key(sequence));
            self.gone = 0;
            let lost = before.saturating_sub(self.pending.len());
            self.count_missing(u64::try_from(lost).unwrap_or(u64::MAX));
        }
        if self.is_attached {
            self.writing = None;
            self.mend_closed();
            if let Err(reason) = self.flush(usize::MAX) {
                self.writing = Some(reason);
            }
            self.keep();
            self.note();
            if self.releasing.is_some() {
                self.tidy(false);
            }
        }
    }

    /// Whether records are gone. [`look`](Self::look) returns which ones.
    #[must_use]
    pub const fn is_amiss(&self) -> bool {
        self.gone > 0
    }

    /// Whether the active segment still has a name and is not too short. Bytes that somebody else has appended are skipped.
    pub(super) fn is_intact(&mut self) -> bool {
        let (Some(active), Some(segment)) = (&self.active, self.segments.back_mut()) else { return true };
        let Ok(status) = active.file.status() else { return true };
        let more = status.length.saturating_sub(segment.bytes);
        if !active.torn {
            segment.bytes = segment.bytes.saturating_add(more);
            self.bytes = self.bytes.saturating_add(more);
        }
        // Only a regular file has a length.
        !status.is_plain || status.is_named && status.length >= segment.bytes
    }

    /// Reads the entries of the active segment into memory, as far as they can be read, and removes the segment.
    pub(super) fn rescue(&mut self) {
        let (Some(active), Some(segment)) = (self.active.take(), self.segments.pop_back()) else { return };
        let begin = self.pending.partition_point(|(sequence, _)| *sequence < segment.first);
        let path = path_of(&self.base, segment.first);
        let mut others = None;
        for (sequence, place) in self.pending.range_mut(begin..) {
            let Some(at) = place.take() else { continue };
            let mut found = read(&*active.file, *sequence, at);
            if !matches!(found, Ok(Some(_))) {
                if let Some(other) = others.get_or_insert_with(|| moved(&*self.files, &path)).get(sequence) {
                    found = read(&*active.file, *sequence, *other);
                }
            }
            match found {
                Ok(Some(payload)) => {
                    self.memory.insert(*sequence, Held { payload, kind: UNREADABLE.to_owned(), at: self.now });
                }
                _ => self.gone = self.gone.saturating_add(1),
            }
        }
        self.bytes = self.bytes.saturating_sub(segment.bytes);
        let _ = self.files.remove(&path);
        self.find_written();
    }

    /// Checks the segments that are no longer written to.
    pub(super) fn look_at_closed(&mut self) {
        let closed = self.segments.len().saturating_sub(usize::from(self.active.is_some()));
        for index in 0..closed {
            let Some(segment) = self.segments.get(index).copied() else { continue };
            let path = path_of(&self.base, segment.first);
            let found = self.files.status(&path).ok();
            let id = found.map(|found| found.stamp.file());
            if found.is_some_and(|found| found.is_plain && found.length >= segment.bytes) && id == Some(segment.id) {
                continue;
            }
            let file = match self.files.open(&path, Access::Read) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == ErrorKind::NotFound || found.is_some_and(|found| !found.is_plain) => None,
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
                if file.as_ref().is_none_or(|file| !matches!(read(&**file, *sequence, at), Ok(Some(_)))) {
                    *place = others.get_or_insert_with(|| moved(&*self.files, &path)).get(sequence).copied();
                    self.gone = self.gone.saturating_add(usize::from(place.is_none()));
                }
            }
            if let (Some(segment), Some(id)) = (self.segments.get_mut(index), id) {
                segment.id = id;
            }
        }
    }

    /// Writes entries in memory that belong into earlier segments than the last one.
    fn mend_closed(&mut self) {
        let older: Vec<u64> = self.memory.range(..self.written).filter(|(_, held)| held.is_writable()).map(|(of, _)| *of).collect();
        for sequence in older {
            let index = self.segments.partition_point(|segment| segment.first <= sequence).saturating_sub(1);
            if !self.memory.contains_key(&sequence) {
                continue;
            }
            if let Err(reason) = self.rebuild(index) {
                self.writing = Some(reason);
                return;
            }
        }
    }

    /// Replaces a segment other than the active one. The new file has all its pending entries.
    fn rebuild(&mut self, index: usize) -> Result<(), String> {
        let segment = self.segments.get(index).copied().ok_or("no such segment")?;
        let next = self.segments.get(index.saturating_add(1)).map_or(self.written, |next| next.first);
        let mut bytes = Vec::new();
        encode(&mut bytes, RecordKind::Acknowledgement(self.first()), &[]);
        let mut places = Vec::new();
        let sequences: Vec<(u64, Option<Extent>)> =
            self.pending.iter().filter(|(of, _)| (segment.first..next).contains(of)).copied().collect();
        for (sequence, place) in sequences {
            let content = match (place, self.memory.get(&sequence)) {
                (Some(place), _) => self.read_record(sequence, place).map_err(|error| error.to_string())?,
                (None, held) => held.filter(|held| held.is_writable()).map(|held| held.payload.clone()),
            };
            let Some(content) = content else { continue };
            places.push((sequence, Extent::new(u64::try_from(bytes.len()).unwrap_or(u64::MAX), content.len())));
            encode(&mut self.record, RecordKind::Entry(sequence), &content);
            bytes.extend_from_slice(&self.record);
        }
        let (path, beside) = (path_of(&self.base, segment.first), with_ending(&self.base, ".new"));
        let _ = self.files.remove(&beside);
        let made = self.files.create_new(&beside, Access::Append);
        let written = made.and_then(|mut file| {
            file.append(&bytes)?;
            self.files.rename(&beside, &path)?;
            file.status()
        });
        let status = written.map_err(|error| {
            let _ = self.files.remove(&beside);
            format!("{}: {error}", beside.display())
        })?;
        self.reader = None;
        for (sequence, place) in places {
            if let Some(known) = self.place_of(sequence) {
                *known = place;
                self.forget(sequence);
            }
        }
        if let Some(rebuilt) = self.segments.get_mut(index) {
            *rebuilt = Segment { first: segment.first, bytes: status.length, used: true, id: status.stamp.file() };
        }
        self.bytes = self.bytes.saturating_sub(segment.bytes).saturating_add(status.length);
        Ok(())
    }

    /// Sets `written`: from which sequence on entries may be written to the last segment.
    pub(super) fn find_written(&mut self) {
        let placed = self.pending.iter().rev().find(|(_, place)| place.is_some()).map_or(0, |(sequence, _)| sequence.saturating_add(1));
        self.written = placed.max(self.segments.back().map_or(0, |segment| segment.first));
    }
}
