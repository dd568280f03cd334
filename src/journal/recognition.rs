//! The search for entries that both the store and the journal have, after a crash or a failure.

use std::collections::VecDeque;

/// How far the search for entries has got that both the store and the journal have.
#[derive(Debug)]
pub(super) enum Recognition {
    /// The store has no entry that waits.
    Done,
    Wanted,
    /// At archive user `nil`, at this many entries. It is looked at before the store is listed: an append of a module that was
    /// reloaded may still be on its way, and make a partition.
    LookingAtNil(usize),
    Listing,
    Looking(Looks),
}

/// The partitions that are still to be looked at.
#[derive(Debug)]
pub(super) struct Looks {
    /// By class and day, the newest partition first.
    sequences: VecDeque<VecDeque<String>>,
    /// How many entries of each sequence are looked at in any case.
    least: usize,
    /// How many entries of the first partition are looked at.
    limit: usize,
    /// How many entries of the first sequence were seen, in the partitions before the first.
    seen: usize,
    /// Whether what was seen last may be as new as what waits.
    is_recent: bool,
}

impl Looks {
    /// The partitions of each class and day, newest first.
    pub(super) fn new(sequences: impl IntoIterator<Item = Vec<String>>, least: usize) -> Self {
        let sequences = sequences.into_iter().map(VecDeque::from).collect();
        Self { sequences, least, limit: least, seen: 0, is_recent: false }
    }

    /// Notes how many entries were found in the partition that `next` returned last, and whether the oldest of them may be as new as
    /// what waits. `None` if there was none.
    pub(super) fn saw(&mut self, entries: usize, is_recent: Option<bool>) {
        self.is_recent = is_recent.unwrap_or(self.is_recent);
        if self.is_recent && entries >= self.limit {
            // There may be more in it.
            self.limit = self.limit.saturating_mul(2);
            return;
        }
        if let Some(sequence) = self.sequences.front_mut() {
            sequence.pop_front();
        }
        self.seen = self.seen.saturating_add(entries);
        self.limit = self.least;
    }

    /// The next partition to look at, and at how many of its entries.
    pub(super) fn next(&mut self) -> Option<(String, usize)> {
        while let Some(sequence) = self.sequences.front() {
            match sequence.front().filter(|_| self.seen < self.least || self.is_recent) {
                Some(partition) => return Some((partition.clone(), self.limit)),
                None => {
                    self.sequences.pop_front();
                    (self.seen, self.is_recent) = (0, false);
                }
            }
        }
        None
    }
}
