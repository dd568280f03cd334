//! What is asked of a log, and the pages that are read for it.

use super::{Filter, Position};
use crate::archive::retention::Retention;

/// What is asked of the log of one host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Which entries are wanted.
    pub filter: Filter,
    /// Whether the oldest entries come first.
    pub oldest_first: bool,
    /// The largest number of entries.
    pub limit: Option<usize>,
    /// Only entries after this one, in the order of the query.
    pub after: Option<Position>,
}

/// The conditions under which a query runs: the time, what has expired, and the driver.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    /// Entries that were kept longer than their class allows are not shown.
    pub retention: Retention,
    /// The time of the query, in UNIX seconds.
    pub now: f64,
    /// How long reading a page may take, in seconds. `None` if there is no limit.
    pub slice: Option<f64>,
    /// What the driver finds by itself, so that small pages are cheap.
    pub seeks: Seeks,
}

/// What a driver is known to find without reading what comes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seeks {
    /// Nothing.
    #[default]
    Nothing,
    /// A time. On the way to the first row of a page it reads all rows within a second of the last row of the page before.
    Times,
    /// The first row of a page.
    Rows,
}

/// Where a page is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// An archive user. `None` is the archive user `nil`.
    Store(Option<String>),
    /// Archive user `nil` of another driver, from which entries are being moved.
    Former,
    /// The entries that wait in the journal.
    Journal,
}

/// A page of rows that a query needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The index of the query's sequence that it belongs to, for [`Query::feed`](super::Query::feed).
    pub sequence: usize,
    /// Where to read.
    pub from: ReadFrom,
    /// Read only entries with this `with`. `None` if all are read.
    pub with: Option<String>,
    /// Whether the oldest come first.
    pub oldest_first: bool,
    /// The key of the row that the page begins after. `None` for the first page.
    pub behind: Option<String>,
    /// The time of that row.
    pub near: Option<f64>,
    /// Rows before this time, in the order of reading, are not wanted. A driver may begin there, or earlier.
    pub bound: Option<f64>,
    /// The largest number of rows.
    pub limit: usize,
}

/// For which `with` a store is asked, one after the other. `None` stands for all.
pub(super) fn withs(filter: &Filter) -> Vec<Option<String>> {
    filter.withs().map_or_else(|| vec![None], |withs| withs.into_iter().map(|with| Some(with.to_owned())).collect())
}
