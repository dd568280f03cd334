//! Counts lost entries, and keeps the ledger up to date.

use std::path::PathBuf;

use crate::entry::payload::events_of;

use super::Journal;
use super::ledger::Progress;
use super::losses::{Losses, Lost, UNREADABLE};

impl Journal {
    /// The lost entries: those that the caller has counted, and those that were found missing.
    #[must_use]
    pub const fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Counts entries as lost.
    pub fn lose(&mut self, kind: &str, count: u64, at: f64) {
        self.losses.add(kind, count, at);
        self.keep();
    }

    /// How many entries were found missing since the last call.
    pub fn take_missing(&mut self) -> u64 {
        std::mem::take(&mut self.missing)
    }

    /// Returns the losses to record now, see [`Losses::take`]. Call [`tell`](Self::tell) afterwards.
    pub fn take_lost(&mut self) -> Option<Lost> {
        self.losses.take()
    }

    /// Notes that the entry that records the losses exists: it is pending under this sequence, or `None` if the store has it.
    pub fn tell(&mut self, entry: Option<u64>) {
        match entry {
            Some(sequence) if self.memory.contains_key(&sequence) => self.telling = Some(sequence),
            _ => self.told(),
        }
    }

    /// Notes that the entry that records the losses could not be made.
    pub fn not_told(&mut self) {
        self.losses.refused();
        self.keep();
    }

    /// Whether the number of lost entries survives if the process dies now.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.is_attached && self.ledger.is_written()
    }

    /// Why the ledger can't be written. The text names the file. Returns `None` if it can be written.
    #[must_use]
    pub fn ledger_trouble(&self) -> Option<&str> {
        self.ledger.trouble()
    }

    /// The name under which the ledger is kept that was found by [`attach`](Self::attach), if it was damaged. What it had is unknown.
    /// Only the first call returns it.
    pub fn take_damaged_ledger(&mut self) -> Option<PathBuf> {
        self.ledger.take_aside()
    }

    /// How many events flood control had counted that were in no entry, according to the ledger.
    #[must_use]
    pub const fn counted(&self) -> u64 {
        self.counted
    }

    /// Saves how many events flood control has counted that are in no entry.
    pub fn set_counted(&mut self, counted: u64) {
        self.counted = counted;
        self.note();
    }

    /// To be called when the process ends. Tries once more to write the entries in memory, and counts the rest as lost. Returns the
    /// number of their events: an entry may stand for several.
    pub fn give_up(&mut self, now: f64) -> u64 {
        self.look(now);
        self.settle();
        if self.is_attached && !self.memory.is_empty() {
            // Before the entries in memory are given up, as they are not counted then.
            let _ = self.write_heads();
        }
        let held = std::mem::take(&mut self.memory);
        self.pending.retain(|(_, place)| place.is_some());
        let mut lost = 0;
        for (sequence, held) in held {
            if self.telling == Some(sequence) {
                self.telling = None;
                self.losses.refused();
            } else {
                let events = events_of(&held.payload);
                self.losses.add(&held.kind, events, held.at);
                lost = events.saturating_add(lost);
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

    /// Saves the losses in the ledger.
    pub(super) fn keep(&mut self) {
        if self.is_attached {
            self.ledger.keep(self.losses.unrecorded());
        }
    }

    /// Saves the progress of the journal in the ledger.
    pub(super) fn note(&mut self) {
        if self.is_attached {
            let waiting = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
            self.ledger.mark(Progress { released: self.first(), end: self.end, waiting, counted: self.counted });
        }
    }
}
