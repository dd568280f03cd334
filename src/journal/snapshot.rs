//! The pending entries of a journal at one moment, for this process or another.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use crate::file::{Disk, Files, OpenFile};

use super::error::JournalError;
use super::links::Links;
use super::record::Tail;
use super::segment::{Extent, read, scan};

/// An entry's sequence and content.
pub type PendingEntry = (u64, Vec<u8>);

/// The pending entries of a journal at one moment, for reading page by page. The files stay open, so all of it can be read even if
/// the owner deletes segments.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) pending: VecDeque<(u64, Option<Extent>)>,
    /// The open segments, by first sequence.
    pub(super) files: Vec<(u64, Box<dyn OpenFile>)>,
    /// The entries without a record.
    pub(super) memory: BTreeMap<u64, Vec<u8>>,
    pub(super) damaged: u64,
    pub(super) since: Option<f64>,
    pub(super) problem: Option<String>,
}

impl Snapshot {
    /// Reads the pending entries of the journal at `base`, in order. Returns an empty snapshot if there is no journal.
    ///
    /// This is for processes that do not own the journal. It takes no lock and changes nothing, and the owner may append, release and
    /// delete at the same time. Entries that were pending during the whole call are always there. Entries that were appended or
    /// released during the call may be there or not. To read the store too, read it after the journal, and use the entries' ids to
    /// find those that are in both. If the last record is just being written, it is left out and not counted as damaged.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError::Io`] if the folder or a segment can't be read.
    ///
    /// ```
    /// # use std::path::Path;
    /// let snapshot = audit_core::journal::Snapshot::read(Path::new("/no/such/journal")).unwrap();
    /// assert!(snapshot.is_empty() && snapshot.damaged() == 0);
    /// ```
    pub fn read(base: &Path) -> Result<Self, JournalError> {
        Self::read_from(&Disk, base)
    }

    /// The same with other files than those of the disk.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`read`](Self::read).
    pub fn read_from(files: &dyn Files, base: &Path) -> Result<Self, JournalError> {
        Self::read_with(files, base, None)
    }

    /// The same. `links` is given what it needs of the files.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`read`](Self::read).
    pub fn read_with(files: &dyn Files, base: &Path, links: Option<&mut dyn Links>) -> Result<Self, JournalError> {
        let scan = scan(files, base, links)?;
        let damaged = scan.damaged.saturating_sub(u64::from(scan.tail == Tail::Torn));
        Ok(Self { pending: scan.pending, files: scan.files, memory: BTreeMap::new(), damaged, since: Some(scan.since), problem: None })
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// A time before which no entry in it was recorded, in UNIX seconds. It may be earlier than all of them. The first entry need not
    /// be the earliest, because the clock may have been set back.
    #[must_use]
    pub fn since(&self) -> Option<f64> {
        self.since.filter(|_| !self.is_empty())
    }

    /// The number of damaged records.
    #[must_use]
    pub const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Why entries may be missing here that wait: a file can't be read now. Returns `None` if all are here.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The sequence and the content of the entry at this index. The content is `None` if the record is damaged.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(u64, Option<Vec<u8>>)> {
        let (sequence, place) = self.pending.get(index).copied()?;
        let content = match place {
            Some(place) => self.content(sequence, place),
            None => self.memory.get(&sequence).cloned(),
        };
        Some((sequence, content))
    }

    fn content(&self, sequence: u64, place: Extent) -> Option<Vec<u8>> {
        let following = self.files.partition_point(|(first, _)| *first <= sequence);
        let (_, file) = self.files.get(following.checked_sub(1)?)?;
        read(&**file, sequence, place).ok().flatten()
    }
}

/// Reads all pending entries of the journal at `base` at once, and the number of damaged records. See [`Snapshot`].
///
/// # Errors
///
/// Returns [`JournalError::Io`] if the folder or a segment can't be read.
pub fn read_pending(base: &Path) -> Result<(Vec<PendingEntry>, u64), JournalError> {
    let snapshot = Snapshot::read(base)?;
    let entries = (0..snapshot.len()).filter_map(|index| snapshot.get(index)).filter_map(|(sequence, content)| Some((sequence, content?)));
    Ok((entries.collect(), snapshot.damaged()))
}
