//! Reading pending entries, from the segments and from memory.

use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::file::{Access, OpenFile};

use super::error::JournalError;
use super::segment::{Extent, moved, path_of, read};
use super::{Journal, Snapshot};

impl Journal {
    /// The content of a pending entry, from its file or from memory.
    ///
    /// Returns `None` if there is no such entry. Also returns `None` if its record is damaged or its file was deleted: then it is
    /// counted in [`losses`](Self::losses) and no longer pending.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError::Io`] if the file can't be read now, for example because too many files are open. The entry stays
    /// pending.
    pub fn get(&mut self, sequence: u64) -> Result<Option<Vec<u8>>, JournalError> {
        self.read(sequence, <[u8]>::to_owned)
    }

    /// Passes the content of a pending entry to `read`, without a copy of it if it is in memory. Otherwise like [`get`](Self::get).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`get`](Self::get).
    pub fn read<T>(&mut self, sequence: u64, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, JournalError> {
        let Ok(index) = self.pending.binary_search_by_key(&sequence, |(sequence, _)| *sequence) else {
            return Ok(None);
        };
        let place = self.pending.get(index).and_then(|(_, place)| *place);
        let in_memory = match place {
            Some(_) => self.recent.get(sequence),
            None => self.memory.get(&sequence).map(|held| held.payload.as_slice()),
        };
        if let Some(content) = in_memory {
            return Ok(Some(read(content)));
        }
        let content = place.map_or(Ok(None), |place| self.read_record(sequence, place))?;
        if content.is_none() {
            self.drop_pending(index);
        }
        Ok(content.map(|content| read(&content)))
    }

    /// Counts a pending entry as lost, because the content of its record is not an entry.
    pub fn spoil(&mut self, sequence: u64) {
        if let Ok(index) = self.pending.binary_search_by_key(&sequence, |(sequence, _)| *sequence) {
            self.drop_pending(index);
        }
    }

    /// A time before which no pending entry was recorded, see [`Snapshot::since`].
    #[must_use]
    pub fn since(&self) -> Option<f64> {
        Some(self.since).filter(|_| !self.is_empty())
    }

    /// The entries that are pending now, for reading page by page while others are appended and released.
    /// [`Snapshot::problem`] says if some of them can't be read.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        if !self.is_attached {
            // The entries in the files, which belong to another process, and then those in memory.
            let incomplete = |error: JournalError| Snapshot { problem: Some(error.to_string()), ..Snapshot::default() };
            let mut snapshot = Snapshot::read_from(&*self.files, &self.base).unwrap_or_else(incomplete);
            let next = snapshot.pending.back().map_or(0, |(sequence, _)| sequence.saturating_add(1));
            for (sequence, held) in (next..).zip(self.memory.values()) {
                snapshot.pending.push_back((sequence, None));
                snapshot.memory.insert(sequence, held.payload.clone());
            }
            snapshot.since = snapshot.since.into_iter().chain([self.since]).reduce(f64::min);
            return snapshot;
        }
        let memory = self.memory.iter().map(|(sequence, held)| (*sequence, held.payload.clone()));
        let mut snapshot =
            Snapshot { pending: self.pending.clone(), memory: memory.collect(), since: Some(self.since), ..Snapshot::default() };
        for first in self.segments.iter().map(|segment| segment.first) {
            let path = path_of(&self.base, first);
            match self.files.open(&path, Access::Read) {
                Ok(file) => snapshot.files.push((first, file)),
                // Somebody has removed it. What is lost by that is found and counted by the next look.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => snapshot.problem = Some(JournalError::Io { path, source }.to_string()),
            }
        }
        snapshot
    }

    fn drop_pending(&mut self, index: usize) {
        let dropped = self.pending.remove(index);
        if let Some((sequence, None)) = dropped {
            if self.memory.remove(&sequence).is_none() {
                self.gone = self.gone.saturating_sub(1);
            }
        }
        self.count_missing(1);
        self.keep();
        self.note();
    }

    /// Reads the content of a record. Returns `None` if it is gone.
    pub(super) fn read_record(&mut self, sequence: u64, place: Extent) -> Result<Option<Vec<u8>>, JournalError> {
        let following = self.segments.partition_point(|segment| segment.first <= sequence);
        let first = following.checked_sub(1).and_then(|index| self.segments.get(index)).map_or(0, |segment| segment.first);
        let path = path_of(&self.base, first);
        let files = Rc::clone(&self.files);
        let content = self.file(first).and_then(|file| match read(file, sequence, place)? {
            None => moved(&*files, &path).get(&sequence).map_or(Ok(None), |place| read(file, sequence, *place)),
            found => Ok(found),
        });
        content.or_else(|source| match source.kind() {
            ErrorKind::NotFound => Ok(None),
            _ => Err(JournalError::Io { path: path_of(&self.base, first), source }),
        })
    }

    /// The file of the segment that begins with sequence `first`, for reading.
    fn file(&mut self, first: u64) -> io::Result<&dyn OpenFile> {
        if let Some(active) = self.active.as_ref().filter(|_| self.segments.back().is_some_and(|segment| segment.first == first)) {
            return Ok(&*active.file);
        }
        let opened = match self.reader.take() {
            Some((of, file)) if of == first => file,
            _ => self.files.open(&path_of(&self.base, first), Access::Read)?,
        };
        Ok(&*self.reader.insert((first, opened)).1)
    }
}
