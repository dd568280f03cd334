//! What is known of a chain while it is verified.

use std::collections::{BTreeMap, HashMap};

use super::chains::Progress;
use super::hash::Hash;
use super::link::Link;

/// What is known of a chain.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) progress: Progress,
    /// The numbers that were seen, as ranges: the first of each, and the last.
    pub(super) ranges: BTreeMap<u64, u64>,
    /// The hashes of entries whose successor was not seen yet.
    pub(super) ends: HashMap<u64, Hash>,
    /// Entries whose predecessor was not seen yet.
    pub(super) waiting: HashMap<u64, (Link, Hash, String)>,
    /// Entries that lie under a later time than the one before them explains. That may be one that was removed.
    pub(super) late: Vec<(Link, String)>,
    /// The number of the last entry that the journal knows, read after the store. `None` if the journal may know less than the store.
    pub(super) latest: Option<u64>,
    /// The hash of the entry that is the head by the journal.
    pub(super) at_head: Option<Hash>,
}

impl Seen {
    pub(super) fn new(progress: Progress) -> Self {
        Self {
            progress,
            ranges: BTreeMap::new(),
            ends: HashMap::new(),
            waiting: HashMap::new(),
            late: Vec::new(),
            latest: None,
            at_head: None,
        }
    }
}
