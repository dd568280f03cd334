//! What is pending in a journal at one moment, for this process or another.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, TryLockError};
use std::path::Path;

use super::error::JournalError;
use super::record::Tail;
use super::segment::{Extent, read, scan, with_ending};

/// An entry's sequence and content.
pub type PendingEntry = (u64, Vec<u8>);

/// What is pending in a journal at one moment, for reading page by page. Its files stay open, so that it can be read whole
/// whatever the owner releases meanwhile.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) pending: VecDeque<(u64, Option<Extent>)>,
    /// Segments by their first sequences.
    pub(super) files: Vec<(u64, File)>,
    /// What has no record.
    pub(super) memory: BTreeMap<u64, Vec<u8>>,
    pub(super) damaged: u64,
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
        let scan = scan(base)?;
        let damaged = scan.damaged.saturating_sub(u64::from(scan.tail == Tail::Torn));
        Ok(Self { pending: scan.pending, files: scan.files, memory: BTreeMap::new(), damaged })
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

    /// The sequence and the content of an entry, counted from 0. No content if the record is damaged.
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
        read(file, sequence, place).ok().flatten()
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
pub fn read_pending(base: &Path) -> Result<(Vec<PendingEntry>, u64), JournalError> {
    let snapshot = Snapshot::read(base)?;
    let entries = (0..snapshot.len()).filter_map(|index| snapshot.get(index)).filter_map(|(sequence, content)| Some((sequence, content?)));
    Ok((entries.collect(), snapshot.damaged()))
}
