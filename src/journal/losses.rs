//! The account of what a host's log has lost: one place for all ways in which an entry can be lost.
//!
//! What is counted here becomes an entry, `audit-entries-lost`. Until that entry is safe the count stays, so that the journal
//! can keep it for the next start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many event types are told apart; the others are counted as [`OTHER`].
const TYPES: usize = 50;
/// Longest name of a type, in bytes. Control characters are replaced: all of it must fit into a file of fixed size.
const NAME: usize = 64;
/// The name of all types that found no room.
const OTHER: &str = "other";

/// The type of a lost entry whose content can't be read any more.
pub const UNREADABLE: &str = "unreadable";

/// How many entries were lost, of which types, from when to when (UNIX seconds).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// All of them.
    pub count: u64,
    /// When the first was lost, or had happened.
    pub since: f64,
    /// The same of the last.
    pub until: f64,
    /// How many of each type; together they are `count`.
    pub types: BTreeMap<String, u64>,
}

impl Lost {
    fn new(at: f64) -> Self {
        Self { count: 0, since: at, until: at, types: BTreeMap::new() }
    }

    fn add(&mut self, kind: &str, count: u64) {
        let mut end = kind.len().min(NAME);
        while !kind.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let mut kind = kind.get(..end).unwrap_or_default().replace(char::is_control, "?");
        if !self.types.contains_key(&kind) && self.types.len() >= TYPES {
            OTHER.clone_into(&mut kind);
        }
        let of_type = self.types.entry(kind).or_default();
        *of_type = of_type.saturating_add(count);
        self.count = self.count.saturating_add(count);
    }

    fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.types {
            self.add(kind, *count);
        }
        (self.since, self.until) = (self.since.min(other.since), self.until.max(other.until));
    }
}

/// What a host has lost, and how much of it is in an entry already.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Losses {
    /// In no entry yet.
    open: Option<Lost>,
    /// In an entry that is not safe yet.
    taken: Option<Lost>,
    total: u64,
}

impl Losses {
    /// Counts entries of a type that were lost at a time.
    pub fn add(&mut self, kind: &str, count: u64, at: f64) {
        if count == 0 {
            return;
        }
        let open = self.open.get_or_insert_with(|| Lost::new(at));
        open.add(kind, count);
        (open.since, open.until) = (open.since.min(at), open.until.max(at));
        self.total = self.total.saturating_add(count);
    }

    /// Counts what an earlier process has lost and not recorded.
    pub fn resume(&mut self, lost: &Lost) {
        self.open.get_or_insert_with(|| Lost { types: BTreeMap::new(), count: 0, ..lost.clone() }).merge(lost);
        self.total = self.total.saturating_add(lost.count);
    }

    /// What is to be recorded now. [`recorded`](Self::recorded) or [`refused`](Self::refused) must follow; until then there is
    /// nothing else to take.
    pub fn take(&mut self) -> Option<Lost> {
        if self.taken.is_some() {
            return None;
        }
        self.taken = self.open.take();
        self.taken.clone()
    }

    /// The entry that tells of what was taken is safe.
    pub fn recorded(&mut self) {
        self.taken = None;
    }

    /// There is no such entry, or it is lost: what was taken is to be recorded again.
    pub fn refused(&mut self) {
        if let Some(taken) = self.taken.take() {
            match &mut self.open {
                Some(open) => open.merge(&taken),
                None => self.open = Some(taken),
            }
        }
    }

    /// Whether there is something to take.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some() && self.taken.is_none()
    }

    /// All that no safe entry tells of.
    #[must_use]
    pub fn unrecorded(&self) -> Option<Lost> {
        let mut all = self.clone();
        all.refused();
        all.open
    }

    /// How many were lost in all, as far as this process knows.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_lost_is_counted_by_type_from_when_to_when() {
        let mut losses = Losses::default();
        assert_eq!((losses.take(), losses.is_open(), losses.total()), (None, false, 0));
        losses.add("a", 2, 20.0);
        losses.add("b", 1, 10.0);
        losses.add("c", 0, 99.0);
        let types = BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let lost = Lost { count: 3, since: 10.0, until: 20.0, types };
        assert_eq!((losses.is_open(), losses.take()), (true, Some(lost.clone())));
        losses.add("a", 1, 30.0);
        assert_eq!((losses.is_open(), losses.take(), losses.total()), (false, None, 4));
        assert_eq!(losses.unrecorded().unwrap().count, 4);
        losses.refused();
        assert_eq!(losses.take().unwrap().types["a"], 3);
        losses.recorded();
        assert_eq!((losses.unrecorded(), losses.total()), (None, 4));
        let mut next = Losses::default();
        next.resume(&lost);
        assert_eq!((next.take(), next.total()), (Some(lost), 3));
    }

    #[test]
    fn types_are_bounded_in_number_and_length() {
        let mut losses = Losses::default();
        for number in 0..1000 {
            losses.add(&format!("{number}{}", "é".repeat(100)), 1, 0.0);
        }
        let lost = losses.take().unwrap();
        assert_eq!((lost.types.len(), lost.types[OTHER], lost.count), (TYPES + 1, 950, 1000));
        assert!(lost.types.keys().all(|name| name.len() <= NAME));
    }

    proptest! {
        #[test]
        fn each_loss_is_recorded_once(steps in prop::collection::vec((0..5u8, 0..4u64), 0..100)) {
            let (mut losses, mut given, mut recorded, mut held) = (Losses::default(), 0, 0, 0);
            for (step, count) in steps {
                match step {
                    0 => held = losses.take().map_or(held, |lost| lost.count),
                    1 => {
                        losses.recorded();
                        recorded += std::mem::take(&mut held);
                    }
                    2 => {
                        losses.refused();
                        held = 0;
                    }
                    _ => {
                        losses.add(["a", "b"][usize::from(step - 3)], count, 1.0);
                        given += count;
                    }
                }
                let left = losses.unrecorded().map_or(0, |lost| lost.count);
                prop_assert_eq!((recorded + left, losses.total()), (given, given));
                prop_assert!(losses.unrecorded().is_none_or(|lost| lost.types.values().sum::<u64>() == lost.count));
            }
        }
    }
}
