//! Reading step by step, which a query and a look of a follower have in common.

use super::{Page, Position, Query, ReadFrom};
use crate::entry::{Row, StoredEvent};

/// How many damaged entries are named. All are counted.
const NAMED: usize = 3;

/// A [`Query`], or a [`Look`](super::Look) of a follower, step by step.
pub trait Steps: std::fmt::Debug {
    /// The page that is to be read next. Returns `None` at the end.
    fn next_page(&self) -> Option<Page>;
    /// Takes the rows of that page, see [`Query::feed`].
    fn feed(&mut self, page: &Page, rows: Vec<Row>, skipped: usize, seconds: f64);
    /// The caller did something with the events that it took, see [`Query::use_took`]. The pages of a look do not depend on it.
    fn use_took(&mut self, _seconds: f64) {}
    /// The store does not know the row that the page begins after, see [`Query::lost_place`].
    fn lost_place(&mut self, page: &Page);
    /// What the store lists now, see [`Query::moved`].
    fn moved(&mut self, page: &Page, users: Vec<String>);
    /// Events that are found, in order.
    fn take(&mut self) -> Vec<StoredEvent>;
    /// Events that the filter hides, see [`Query::take_hidden`].
    fn take_hidden(&mut self) -> Vec<StoredEvent>;
    /// Whether all events that are found were taken.
    fn is_taken(&self) -> bool;
    /// Frees some of what was read and is not wanted any more, see [`Query::release`].
    fn release(&mut self, _count: usize) -> bool {
        true
    }
    /// The entries that could not be read.
    fn damaged(&self) -> &Damaged;
    /// The position that the next page begins after.
    fn last(&self) -> Option<&Position>;
}

impl Steps for Query {
    fn next_page(&self) -> Option<Page> {
        Self::next_page(self)
    }

    fn feed(&mut self, page: &Page, rows: Vec<Row>, skipped: usize, seconds: f64) {
        Self::feed(self, page, rows, skipped, seconds);
    }

    fn use_took(&mut self, seconds: f64) {
        Self::use_took(self, seconds);
    }

    fn lost_place(&mut self, page: &Page) {
        Self::lost_place(self, page);
    }

    fn moved(&mut self, page: &Page, users: Vec<String>) {
        Self::moved(self, page, users);
    }

    fn take(&mut self) -> Vec<StoredEvent> {
        Self::take(self)
    }

    fn take_hidden(&mut self) -> Vec<StoredEvent> {
        Self::take_hidden(self)
    }

    fn is_taken(&self) -> bool {
        Self::is_taken(self)
    }

    fn release(&mut self, count: usize) -> bool {
        Self::release(self, count)
    }

    fn damaged(&self) -> &Damaged {
        Self::damaged(self)
    }

    fn last(&self) -> Option<&Position> {
        Self::last(self)
    }
}

/// Entries that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damaged {
    /// How many.
    pub count: usize,
    /// Where the first of them are.
    pub places: Vec<String>,
}

impl Damaged {
    pub(super) fn add(&mut self, count: usize, name: impl FnOnce() -> String) {
        self.count = self.count.saturating_add(count);
        if self.places.len() < NAMED {
            let name = name();
            if !self.places.contains(&name) {
                self.places.push(name);
            }
        }
    }
}

/// Where a damaged entry lies, in words.
pub(super) fn name_of(from: &ReadFrom, key: Option<&str>) -> String {
    let place = match from {
        ReadFrom::Store(Some(partition)) => partition.clone(),
        ReadFrom::Store(None) | ReadFrom::Former => "the archive of an older log".to_owned(),
        ReadFrom::Journal => "the journal".to_owned(),
    };
    key.map_or_else(|| place.clone(), |key| format!("{place}, key {key:?}"))
}
