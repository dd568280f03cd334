//! What is asked of a log, and the pages that are read for it.

use super::{Filter, Position};
use crate::archive::retention::Retention;

/// What is asked of the log of one host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Which entries are wanted.
    pub filter: Filter,
    /// Whether the oldest come first.
    pub oldest_first: bool,
    /// At most so many, of those that the filter lets through.
    pub limit: Option<usize>,
    /// Only what comes behind this entry.
    pub after: Option<Position>,
}

/// When a query is made, and what has expired then.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    /// What has been kept for longer than its class says is not shown.
    pub retention: Retention,
    /// UNIX seconds.
    pub now: f64,
    /// For how many seconds a page may be read; without it pages only grow.
    pub slice: Option<f64>,
    /// Whether it is known of the driver that it finds where a page begins, so that a small one costs little.
    pub seeks: bool,
}

/// Where a page is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// An archive user. `None` is the archive user `nil`.
    Store(Option<String>),
    /// The entries that wait in the journal.
    Journal,
}

/// A page of rows that a query needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Which of the query's sequences it belongs to; for [`Query::feed`].
    pub sequence: usize,
    /// Where to read.
    pub from: ReadFrom,
    /// All that is wanted there has this `with`.
    pub with: Option<String>,
    /// Whether the oldest come first.
    pub oldest_first: bool,
    /// The key of the row behind which to read; nothing for the first page.
    pub behind: Option<String>,
    /// The time of that row.
    pub near: Option<f64>,
    /// What comes before that time, in the order of reading, is not wanted: a driver may begin there, or earlier.
    pub bound: Option<f64>,
    /// At most so many.
    pub limit: usize,
}
