//! The number of entries that a host's log has lost, whatever the reason.
//!
//! The losses become an entry, `audit-entries-lost`. Until that entry is safe they are kept in the journal's ledger, for the next start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The largest number of event types that are told apart. All others are counted as [`OTHER`].
const TYPES: usize = 50;
/// The longest name of a type, in bytes. Control characters are replaced, because JSON makes them longer and the ledger has a fixed
/// size.
const NAME: usize = 64;
/// The name for all types beyond the limit.
const OTHER: &str = "other";

/// The type of a lost entry whose content can't be read.
pub const UNREADABLE: &str = "unreadable";

/// A number of lost entries, with their types and times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// The number of lost entries.
    pub count: u64,
    /// When the first was lost, or when its event happened, in UNIX seconds.
    pub since: f64,
    /// The same for the last one.
    pub until: f64,
    /// The number for each type. The sum is `count`.
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

/// The losses of a host, and which of them are in an entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Losses {
    /// The losses in no entry.
    open: Option<Lost>,
    /// The losses in an entry that is not safe yet.
    taken: Option<Lost>,
    total: u64,
}

impl Losses {
    /// Counts `count` lost entries of a type, at a UNIX time.
    pub fn add(&mut self, kind: &str, count: u64, at: f64) {
        if count == 0 {
            return;
        }
        let open = self.open.get_or_insert_with(|| Lost::new(at));
        open.add(kind, count);
        (open.since, open.until) = (open.since.min(at), open.until.max(at));
        self.total = self.total.saturating_add(count);
    }

    /// Adds the losses of the previous process that are in no entry.
    pub fn resume(&mut self, lost: &Lost) {
        self.open.get_or_insert_with(|| Lost { types: BTreeMap::new(), count: 0, ..lost.clone() }).merge(lost);
        self.total = self.total.saturating_add(lost.count);
    }

    /// Returns the losses to record in an entry now. Call [`recorded`](Self::recorded) or [`refused`](Self::refused) afterwards. Until
    /// then this returns `None`.
    pub fn take(&mut self) -> Option<Lost> {
        if self.taken.is_some() {
            return None;
        }
        self.taken = self.open.take();
        self.taken.clone()
    }

    /// Notes that the entry with the taken losses is safe.
    pub fn recorded(&mut self) {
        self.taken = None;
    }

    /// Notes that there is no such entry. The taken losses must be recorded again.
    pub fn refused(&mut self) {
        if let Some(taken) = self.taken.take() {
            match &mut self.open {
                Some(open) => open.merge(&taken),
                None => self.open = Some(taken),
            }
        }
    }

    /// Whether [`take`](Self::take) would return something.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some() && self.taken.is_none()
    }

    /// All losses that are not in a safe entry.
    #[must_use]
    pub fn unrecorded(&self) -> Option<Lost> {
        let mut all = self.clone();
        all.refused();
        all.open
    }

    /// The number of all losses that this process knows of.
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
    fn losses_have_types_and_times() {
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
    fn the_number_and_length_of_types_are_limited() {
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
