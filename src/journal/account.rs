//! What a journal says about entries that were lost, and what of that it writes down in its ledger.

use super::Journal;
use super::ledger::Progress;
use super::losses::{Losses, Lost, UNREADABLE};

impl Journal {
    /// What was lost: counted by the caller that lost it, or found to be missing when the journal was opened or later.
    #[must_use]
    pub const fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Counts entries as lost.
    pub fn lose(&mut self, kind: &str, count: u64, at: f64) {
        self.losses.add(kind, count, at);
        self.keep();
    }

    /// How many entries were found missing since this was asked last.
    pub fn take_missing(&mut self) -> u64 {
        std::mem::take(&mut self.missing)
    }

    /// What was lost and is to be recorded now, see [`Losses::take`]. [`tell`](Self::tell) must follow.
    pub fn take_lost(&mut self) -> Option<Lost> {
        self.losses.take()
    }

    /// Says what became of the entry that records what was lost: it is pending under this sequence, or the store has it.
    pub fn tell(&mut self, entry: Option<u64>) {
        match entry {
            Some(sequence) if self.memory.contains_key(&sequence) => self.telling = Some(sequence),
            _ => self.told(),
        }
    }

    /// Says that there is no entry that records what was lost.
    pub fn not_told(&mut self) {
        self.losses.refused();
        self.keep();
    }

    /// Whether the number of what was lost would survive the death of this process.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.lock.is_some() && self.ledger.is_written()
    }

    /// Why the ledger can't be written, if that is so. Names the file.
    #[must_use]
    pub fn ledger_trouble(&self) -> Option<&str> {
        self.ledger.trouble()
    }

    /// How many events flood control had counted that were in no entry, as the ledger says.
    #[must_use]
    pub const fn counted(&self) -> u64 {
        self.counted
    }

    /// Writes down how many events flood control has counted that are in no entry.
    pub fn set_counted(&mut self, counted: u64) {
        self.counted = counted;
        self.note();
    }

    /// Counts what is in memory only as lost, after a last try to write it: the process ends. Returns how many there were.
    pub fn give_up(&mut self, now: f64) -> u64 {
        self.look(now);
        self.settle();
        let held = std::mem::take(&mut self.memory);
        self.pending.retain(|(_, place)| place.is_some());
        let mut lost = 0;
        for (sequence, held) in held {
            if self.telling == Some(sequence) {
                self.telling = None;
                self.losses.refused();
            } else {
                self.losses.add(&held.kind, 1, held.at);
                lost += 1;
            }
        }
        self.keep();
        self.note();
        lost
    }

    pub(super) fn count_missing(&mut self, count: u64) {
        self.losses.add(UNREADABLE, count, self.now);
        self.missing = self.missing.saturating_add(count);
    }

    pub(super) fn told(&mut self) {
        self.telling = None;
        self.losses.recorded();
        self.keep();
    }

    /// Writes down what is lost.
    pub(super) fn keep(&mut self) {
        if self.lock.is_some() {
            self.ledger.keep(self.losses.unrecorded());
        }
    }

    /// Writes down how far the journal is.
    pub(super) fn note(&mut self) {
        if self.lock.is_some() {
            let waiting = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
            self.ledger.mark(Progress { released: self.first(), end: self.end, waiting, counted: self.counted });
        }
    }
}
