//! What must be true after a run, as obviously as it can be said: which events were acknowledged, which were counted, what became
//! of each entry, and what may be gone.

use std::collections::{BTreeMap, BTreeSet};

use audit_core::chain::hash::Nonce;

use crate::erasing::Wish;

/// What is known of an entry.
#[derive(Clone, Debug)]
pub struct Known {
    /// The number of the entry, in the order in which they were made.
    pub number: u64,
    /// When it was made, in seconds since the beginning of the run.
    pub at: f64,
    /// How many lost events it reports, or how many counted events it stands for.
    pub lost: u64,
    pub counted: u64,
}

/// How an entry left the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// A rule says so, which was checked at that moment.
    ByRule,
    /// The store was replaced by an older one.
    WithTheStore,
}

#[derive(Debug, Default)]
pub struct Model {
    /// The entries of events that were acknowledged, and of what the log says of itself.
    pub entries: BTreeMap<String, Known>,
    /// The entries that the store has had, by their ids.
    pub arrived: BTreeMap<String, Known>,
    /// In which order they arrived there.
    pub stored: BTreeMap<String, usize>,
    pub gone: BTreeMap<String, Gone>,
    /// The entries by their chains and numbers.
    pub linked: BTreeMap<(Nonce, u64), String>,
    /// How many events were reported, how many of them were counted, and for how many there was no room.
    pub reported: u64,
    pub counted: u64,
    pub refused: u64,
    /// How many events may be lost without being counted: what a power cut takes, and what only memory had.
    pub may_be_lost: u64,
    /// Whether more may be counted as lost than was: somebody damaged a file that said what was.
    pub may_count_more: bool,
    /// Whether nothing can be said of what is lost: somebody damaged the file that counts it.
    pub is_uncountable: bool,
    /// Whether entries may have been lost whose content is not known.
    pub has_lost_content: bool,
    pub is_ledger_damaged: bool,
    pub is_segment_damaged: bool,
    /// Whether a step of the clock could not be noticed, so that entries may expire early.
    pub may_expire_early: bool,
    /// Whether the journal may not know of all chains, so that nothing can be said of the log.
    pub may_lack_evidence: bool,
    /// What was erased.
    pub erased: Vec<Wish>,
    /// Whether an entry was given to the store without the journal.
    pub has_written_directly: bool,
    /// Whether the position of a sink was not known when a process started.
    pub has_unknown_position: bool,
    /// The events and entries since all was written back: a power cut may take them.
    pub unsafe_since: Marks,
    /// The events that flood control has counted since their number was written down.
    pub counted_since: u64,
    /// The partitions that were removed since the last look of the one who follows. If one is made anew before the next look, with
    /// earlier times, what is in it may be taken for what was there before.
    pub removed: BTreeSet<String>,
    /// What was shown to the one who follows the log, and how often.
    pub followed: BTreeMap<String, u32>,
    /// The number of the first entry that is new to the one who follows.
    pub follows_from: Option<u64>,
    /// The entries that a crash or a backup may bring back, so that they are shown twice to the one who follows.
    pub numbers: u64,
}

/// The state at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    pub reported: u64,
    pub number: u64,
}

impl Model {
    /// An entry was made.
    pub fn made(&mut self, id: String, at: f64, lost: u64, counted: u64) {
        self.numbers += 1;
        self.entries.entry(id).or_insert(Known { number: self.numbers, at, lost, counted });
    }

    /// The kernel has written back everything.
    pub const fn written_back(&mut self) {
        self.unsafe_since = Marks { reported: self.reported, number: self.numbers };
    }

    /// The machine lost power.
    pub fn cut(&mut self, unrecorded: u64) {
        let since = self.unsafe_since;
        // Entries that say what was lost, and summaries, may go too, and with them their numbers.
        let carried: u64 = self.entries.values().filter(|known| known.number > since.number).map(|known| known.lost + known.counted).sum();
        self.may_be_lost += self.reported - since.reported + carried + unrecorded;
        self.may_count_more = true;
    }

    /// How many events are lost, and how many the log says are lost. What is gone without its content counts as one, also if it
    /// stood for several events.
    pub fn losses(&self, unrecorded: u64) -> (u64, u64) {
        let weight = |known: &Known| if self.has_lost_content { 1 } else { known.counted.max(1) };
        let missing = self.entries.iter().filter(|(id, known)| known.lost == 0 && !self.arrived.contains_key(*id));
        let summed_up: u64 = self.entries.values().map(|known| known.counted).sum();
        let reported: u64 = self.arrived.values().map(|known| known.lost).sum();
        let missing: u64 = missing.map(|(_, known)| weight(known)).sum();
        (missing + self.refused + self.counted.saturating_sub(summed_up), reported + unrecorded)
    }

    /// The entries that were acknowledged and that the store has not, though nothing explains that.
    pub fn unexplained(&self, present: &BTreeSet<String>) -> Vec<String> {
        let is_explained = |id: &&String| present.contains(*id) || self.gone.contains_key(*id);
        self.arrived.keys().filter(|id| !is_explained(id)).cloned().collect()
    }
}
