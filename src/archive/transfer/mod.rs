//! Moving the entries of a host from one storage driver to another.
//!
//! One of the two is the driver `audit`, and it keeps the marks. A mark says where the copy of an archive user is made, and later
//! that the copy is complete. Until then the original counts, from then on the copy. So each entry counts once at every moment, and
//! a move that was interrupted goes on: unfinished copies are removed and made again, and originals with a complete copy are removed.
//!
//! [`Joint`] says which partitions there are in both stores together. [`Transfer`] says what to do next.

mod joint;

use std::collections::HashSet;

use crate::archive::partition::Partition;
use crate::archive::pruning::visible;
use crate::pace::{Backoff, Pace};

pub use joint::{Joined, Joint};

/// The driver that keeps the marks.
pub const MARKING: &str = "audit";

/// The key of a mark for archive user `nil`. No partition has such a name.
pub const NIL: &str = "nil";

/// How long after the start of the server a move begins, in seconds. Pruning comes first: what has expired need not be moved.
pub const START: f64 = 3.0;

/// The pause between two rounds, in seconds.
pub const REST: f64 = 0.1;

/// How long to wait while another process prunes, in seconds.
pub const BUSY: f64 = 5.0;

/// How often it is asked whether what was written is on disk, in seconds.
pub const ASK: f64 = 0.2;

/// How many partitions are copied before their originals are removed. Their copies must be on disk first: the driver `audit` syncs
/// each second, but for an embedded driver that takes most of a minute.
const ROUND: usize = 20;
const LONG_ROUND: usize = 200;

/// The pause after a failure, in seconds.
const FIRST_PAUSE: f64 = 1.0;

/// From how many failures in succession on they are reported. A database may be locked for a moment.
const REPORTED: u32 = 2;

/// How many rows are appended at once at first, and how long that may take, in seconds. They were read before, in the same slice.
const ROWS: usize = 25;
const APPENDING: f64 = 0.002;

/// How many rows to append at once.
#[must_use]
pub fn rows() -> Pace {
    Pace::of_rows(ROWS, APPENDING)
}

/// One of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that entries are moved from.
    Source,
    /// The one that they are moved to.
    Target,
}

/// An archive user that is moved. `None` is archive user `nil`.
pub type Original = Option<Partition>;

/// What is known of the copy of an archive user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The archive user.
    pub original: Original,
    /// The driver that has it.
    pub from: String,
    /// The driver that gets the copy.
    pub to: String,
    /// The partition of the copy. A marker stands for all partitions of its generation.
    pub copy: Partition,
    /// Whether the copy has all entries.
    pub is_complete: bool,
}

/// What the two stores have.
#[derive(Clone, Copy, Debug)]
pub struct Stores<'a> {
    /// The partitions of the source.
    pub source: &'a [Partition],
    /// Whether archive user `nil` of the source has no entries.
    pub nil_is_empty: bool,
    /// The partitions of the target.
    pub target: &'a [Partition],
    /// The marks.
    pub marks: &'a [Mark],
}

impl Stores<'_> {
    const fn of(&self, side: Side) -> &[Partition] {
        match side {
            Side::Source => self.source,
            Side::Target => self.target,
        }
    }
}

/// What to do next. What it makes or removes may be there or gone already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferStep {
    /// Make a mark: the copy is begun.
    Mark(Mark),
    /// Copy all entries of an archive user of the source.
    Copy(Mark),
    /// Wait until what was written to a store is on disk.
    Settle(Side),
    /// Change a mark: the copy is complete.
    Complete(Mark),
    /// Remove archive users of a store, then a mark.
    Remove {
        /// The store.
        side: Side,
        /// The archive users.
        users: Vec<Original>,
        /// The mark.
        mark: Option<Mark>,
    },
}

/// The steps of a round. There are none if all is moved that can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// The steps, in their order.
    pub steps: Vec<TransferStep>,
    /// How many archive users are still to be moved.
    pub left: usize,
}

/// A failure, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransferFailure {
    /// The pause before the next attempt, in seconds.
    pub pause: f64,
    /// Whether it is to be reported.
    pub is_news: bool,
}

/// A move of all entries of a host.
#[derive(Debug)]
pub struct Transfer {
    from: String,
    to: String,
    /// What can't be copied as a whole. It stays where it is until the next start.
    skipped: HashSet<Original>,
    /// What failed last, in the order of the failures. It is tried again after everything else, one at a time.
    deferred: Vec<Original>,
    backoff: Backoff,
    is_told: bool,
}

impl Transfer {
    /// A move between two drivers.
    #[must_use]
    pub fn new(from: &str, to: &str) -> Self {
        let backoff = Backoff::new(FIRST_PAUSE, Backoff::LONGEST);
        let (skipped, deferred, is_told) = (HashSet::new(), Vec::new(), false);
        Self { from: from.to_owned(), to: to.to_owned(), skipped, deferred, backoff, is_told }
    }

    /// The next round. `joint` has the names that copies get.
    pub fn round(&self, stores: &Stores<'_>, joint: &mut Joint) -> Round {
        let mut steps = self.left_behind(stores);
        steps.extend(unfinished(stores));
        let mut originals: Vec<Original> = visible(stores.source, stores.nil_is_empty).into_iter().map(Some).collect();
        // The newest are asked for most. Archive user nil is older than all of them.
        originals.sort_unstable_by(|a, b| b.cmp(a));
        if !stores.nil_is_empty {
            originals.push(None);
        }
        originals.retain(|original| !self.skipped.contains(original));
        let left = originals.len();
        if steps.is_empty() {
            let (mut deferred, mut chosen): (Vec<Original>, Vec<Original>) =
                originals.into_iter().partition(|original| self.deferred.contains(original));
            if chosen.is_empty() {
                // One that fails ends a round. So it gets a round of its own.
                deferred.sort_by_key(|original| self.deferred.iter().position(|other| other == original));
                chosen = deferred.into_iter().take(1).collect();
            }
            let copies = joint.copies(stores);
            let moved = chosen.into_iter().take(self.size()).filter_map(|original| self.begun(original, &copies, joint, stores));
            steps = self.steps_of(moved.collect());
        }
        Round { steps, left }
    }

    /// Notes that an archive user was not copied, as some of its entries can't be read.
    pub fn skip(&mut self, original: Original) {
        self.deferred.retain(|other| *other != original);
        self.skipped.insert(original);
    }

    /// How many archive users stay where they are.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped.len()
    }

    /// Notes a failure, with the archive user that was being copied, if it was about one.
    pub fn failed(&mut self, original: Option<Original>) -> TransferFailure {
        if let Some(original) = original {
            self.deferred.retain(|other| *other != original);
            self.deferred.push(original);
        }
        let pause = self.backoff.failed();
        let is_news = !self.is_told && self.backoff.failures() >= REPORTED;
        self.is_told |= is_news;
        TransferFailure { pause, is_news }
    }

    /// Notes that an archive user was copied.
    pub fn copied(&mut self, original: &Original) {
        self.deferred.retain(|other| other != original);
    }

    /// Notes that a round succeeded. Returns whether this ends a trouble that was reported.
    pub fn succeeded(&mut self) -> bool {
        if !self.deferred.is_empty() {
            return false;
        }
        self.backoff.succeeded();
        std::mem::take(&mut self.is_told)
    }

    /// Whether something that failed was not copied since.
    #[must_use]
    pub fn is_in_trouble(&self) -> bool {
        !self.deferred.is_empty()
    }

    fn marks_side(&self) -> Side {
        if self.to == MARKING { Side::Target } else { Side::Source }
    }

    fn side_of(&self, driver: &str) -> Option<Side> {
        if driver == self.from { Some(Side::Source) } else { (driver == self.to).then_some(Side::Target) }
    }

    fn size(&self) -> usize {
        match self.marks_side() {
            Side::Target => ROUND,
            Side::Source => LONG_ROUND,
        }
    }

    /// What an earlier round has left: copies that are not complete, and originals whose copies are.
    fn left_behind(&self, stores: &Stores<'_>) -> Vec<TransferStep> {
        let step = |mark: &Mark| {
            let (side, users) = if mark.is_complete {
                (self.side_of(&mark.from)?, vec![mark.original.clone()])
            } else {
                let side = self.side_of(&mark.to)?;
                let own = |partition: &&Partition| is_copy(mark, partition);
                (side, stores.of(side).iter().filter(own).cloned().map(Some).collect())
            };
            Some(TransferStep::Remove { side, users, mark: Some(mark.clone()) })
        };
        stores.marks.iter().filter_map(step).collect()
    }

    fn begun(&self, original: Original, copies: &[(Partition, Partition)], joint: &mut Joint, stores: &Stores<'_>) -> Option<Mark> {
        let copy = match &original {
            Some(partition) => copies.iter().find(|(_, own)| own == partition)?.0.clone(),
            None => joint.generation(stores),
        };
        Some(Mark { original, from: self.from.clone(), to: self.to.clone(), copy, is_complete: false })
    }

    fn steps_of(&self, marks: Vec<Mark>) -> Vec<TransferStep> {
        if marks.is_empty() {
            return Vec::new();
        }
        let mut steps: Vec<_> = marks.iter().cloned().map(TransferStep::Mark).collect();
        let other_file = self.marks_side() == Side::Source;
        // A power cut must not take a mark and leave the copy that it is about, or take a copy that a mark says is complete. In
        // one file both are lost together.
        steps.extend(other_file.then_some(TransferStep::Settle(Side::Source)));
        steps.extend(marks.iter().cloned().map(TransferStep::Copy));
        steps.extend(other_file.then_some(TransferStep::Settle(Side::Target)));
        let complete = |mark: &Mark| Mark { is_complete: true, ..mark.clone() };
        steps.extend(marks.iter().map(complete).map(TransferStep::Complete));
        steps.extend((!other_file).then_some(TransferStep::Settle(Side::Target)));
        let remove = |mark: Mark| TransferStep::Remove { side: Side::Source, users: vec![mark.original.clone()], mark: Some(mark) };
        steps.extend(marks.iter().map(complete).map(remove));
        steps
    }
}

/// Whether a partition belongs to the copy that a mark is about.
fn is_copy(mark: &Mark, partition: &Partition) -> bool {
    if mark.copy.is_marker() { partition.generation() == Some(mark.copy.number) } else { mark.copy == *partition }
}

/// Copies in the source that pruning has not finished.
fn unfinished(stores: &Stores<'_>) -> Option<TransferStep> {
    let kept = visible(stores.source, stores.nil_is_empty);
    let mut users: Vec<Original> = stores.source.iter().filter(|partition| !kept.contains(partition)).cloned().map(Some).collect();
    // A marker says that copies are not complete, so it goes last.
    users.sort_by_key(|user| user.as_ref().is_some_and(Partition::is_marker));
    (!users.is_empty()).then_some(TransferStep::Remove { side: Side::Source, users, mark: None })
}

#[cfg(test)]
mod tests;
