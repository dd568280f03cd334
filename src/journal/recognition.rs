//! The search for entries that both the store and the journal have, after a crash or a failure.

use std::collections::VecDeque;

/// How far the search for entries has got that both the store and the journal have.
#[derive(Debug)]
pub(super) enum Recognition {
    /// The store has no entry that waits.
    Done,
    Wanted,
    /// At archive user `nil`. It is looked at before the store is listed: an append of a module that was reloaded may still be on
    /// its way, and make a partition.
    LookingAtNil,
    Listing,
    Looking(Looks),
}

/// The partitions that are still to be looked at.
#[derive(Debug)]
pub(super) struct Looks {
    /// By class and day, the newest partition first.
    sequences: VecDeque<VecDeque<String>>,
    /// How many entries of the first sequence were seen.
    seen: usize,
}

impl Looks {
    /// The partitions of each class and day, newest first.
    pub(super) fn new(sequences: impl IntoIterator<Item = Vec<String>>) -> Self {
        Self { sequences: sequences.into_iter().map(VecDeque::from).collect(), seen: 0 }
    }

    /// Notes how many entries were found in the partition that `next` returned last.
    pub(super) const fn saw(&mut self, entries: usize) {
        self.seen = self.seen.saturating_add(entries);
    }

    /// The next partition to look at, if of each class and day the last `depth` entries are looked at.
    pub(super) fn next(&mut self, depth: usize) -> Option<String> {
        while let Some(sequence) = self.sequences.front_mut() {
            match sequence.pop_front().filter(|_| self.seen < depth) {
                Some(partition) => return Some(partition),
                None => {
                    self.sequences.pop_front();
                    self.seen = 0;
                }
            }
        }
        None
    }
}
