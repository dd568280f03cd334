//! What a query reads one after the other, such as the partitions of a class.

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};

use super::{DAY, Filter, MOST_RESTARTS, Position, ReadFrom, Request};
use crate::archive::partition::Partition;
use crate::archive::pruning::cut_due;
use crate::archive::retention::Retention;
use crate::entry::{Row, StoredEvent};

/// Sources that follow each other in time: the partitions of one class, the archive of the community's modules, or the journal.
#[derive(Debug)]
pub(super) struct Sequence {
    /// Those that are not read to their end. The first is read next.
    pub(super) sources: VecDeque<Source>,
    pub(super) entries: VecDeque<Candidate>,
    /// The class of its entries. `None` if each entry has the class of its type.
    pub(super) class: Option<String>,
    /// Entries before this time have expired.
    pub(super) cutoff: Option<f64>,
    /// Entries before this time, in the order of reading, were read in another source.
    pub(super) from: Option<f64>,
    pub(super) oldest_first: bool,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) from: ReadFrom,
    pub(super) with: Option<String>,
    /// All rows are older than this time.
    pub(super) end: f64,
    /// No row is older than this time.
    pub(super) start: f64,
    pub(super) behind: Option<String>,
    pub(super) near: Option<f64>,
    /// How many rows were read.
    pub(super) read: usize,
    /// How many rows were read in the partition that this is a copy of.
    pub(super) passed: usize,
    /// The names of the rows of the last second that was read.
    pub(super) of_last_second: HashSet<String>,
    /// If it is read again from its beginning: the time up to which it was read, and the rows of that second.
    pub(super) again: Option<(f64, HashSet<String>)>,
    /// How often it was read again from its beginning.
    pub(super) restarts: u8,
    /// The copy that pruning may replace it with.
    pub(super) copy: Option<Partition>,
    /// Whether it continues the source before it: the time does not go back from that one to this one.
    pub(super) adjoins: bool,
}

impl Source {
    /// A source whose times are not known.
    pub(super) fn unbounded(from: ReadFrom, with: Option<String>) -> Self {
        let (start, end) = (f64::NEG_INFINITY, f64::INFINITY);
        let (of_last_second, again, restarts) = (HashSet::new(), None, 0);
        let (behind, near, copy, adjoins) = (None, None, None, false);
        Self { from, with, end, start, behind, near, read: 0, passed: 0, of_last_second, again, restarts, copy, adjoins }
    }

    /// Continues in the copy, if there may be one. It has the same rows in the same order; an unfinished copy only has rows that
    /// were read already.
    pub(super) fn use_copy(&mut self) -> bool {
        let Some(copy) = self.copy.take() else { return false };
        self.from = ReadFrom::Store(Some(copy.to_string()));
        (self.passed, self.read) = (self.read, 0);
        (self.behind, self.near) = (None, None);
        true
    }

    /// Reads the source again from its beginning. Rows that were read before are skipped. Returns whether it may.
    pub(super) fn begin_again(&mut self) -> bool {
        self.restarts = self.restarts.saturating_add(1);
        let Some(near) = self.near.filter(|_| self.restarts <= MOST_RESTARTS) else { return false };
        self.behind = None;
        self.again = Some((near, self.of_last_second.clone()));
        true
    }

    /// Whether a row was read before, in a source that is read again.
    pub(super) fn was_read(&self, row: &Row, oldest_first: bool) -> bool {
        self.again.as_ref().is_some_and(|(near, names)| match row.when.total_cmp(near) {
            Ordering::Equal => names.contains(&Position::of(row).name),
            order => order.is_lt() == oldest_first,
        })
    }

    /// Remembers how far the source was read.
    pub(super) fn reach(&mut self, rows: &[Row]) {
        let Some(last) = rows.last() else { return };
        if self.near != Some(last.when) {
            self.of_last_second.clear();
        }
        self.of_last_second.extend(rows.iter().filter(|row| row.when == last.when).map(|row| Position::of(row).name));
        (self.behind, self.near) = (Some(last.key.clone()), Some(last.when));
        self.read = self.read.saturating_add(rows.len());
    }

    /// The time of the last row that was read. `beginning` if none was.
    pub(super) fn reached(&self, beginning: f64) -> f64 {
        self.near.unwrap_or(beginning)
    }
}

/// A row that is wanted, or that can't be read.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) place: Position,
    pub(super) waits: bool,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Event(Box<StoredEvent>),
    Damaged(String),
}

/// The range of times that a request is about: from the first time on, and before the second.
pub(super) fn bounds(request: &Request) -> (f64, f64) {
    let since = request.filter.since.unwrap_or(f64::NEG_INFINITY);
    let since = request.filter.begins.as_ref().map_or(since, |begins| since.max(begins.time()));
    // An event may be recorded later on the day on which it happened. `until` is about when it happened, the order about when it
    // was recorded.
    let until = request.filter.until.map_or(f64::INFINITY, end_of_day);
    match &request.after {
        Some(place) if request.oldest_first => (since.max(place.when), until),
        // More entries of that second may be wanted.
        Some(place) => (since, until.min(place.when + 1.0)),
        None => (since, until),
    }
}

/// The next midnight (UTC). Returns the time itself if it is midnight.
pub(super) fn end_of_day(time: f64) -> f64 {
    (time / DAY).ceil() * DAY
}

/// A sequence for each class, with the partitions that may hold wanted entries.
pub(super) fn sequences(
    request: &Request,
    retention: &Retention,
    now: f64,
    with: Option<&String>,
    mut partitions: Vec<Partition>,
) -> Vec<Sequence> {
    let filter = &request.filter;
    let (since, until) = bounds(request);
    partitions.retain(|partition| {
        let kept = !retention.is_expired(partition, now);
        kept && partition.end() > since && partition.start() < until && filter.wants_class(partition.home())
    });
    partitions.sort_unstable();
    partitions.dedup();
    if !request.oldest_first {
        partitions.reverse();
    }
    let mut classes: Vec<&String> = partitions.iter().map(|partition| &partition.class).collect();
    classes.sort_unstable();
    classes.dedup();
    let source = |partition: &Partition| Source {
        end: partition.end(),
        start: partition.start(),
        // A query does not take longer than a day.
        copy: cut_due(partition, retention).filter(|due| *due <= now + DAY).map(|_| partition.cut()),
        ..Source::unbounded(ReadFrom::Store(Some(partition.to_string())), with.cloned())
    };
    let of_class = |class: &String| {
        let own = || partitions.iter().filter(|partition| partition.class == *class);
        let class = own().next().map(Partition::home);
        // Each move of the old archive begins again with the oldest entry.
        let part = |partition: &Partition| (partition.day, partition.generation());
        let mut sources: VecDeque<Source> = own().map(source).collect();
        for ((before, partition), source) in own().zip(own().skip(1)).zip(sources.iter_mut().skip(1)) {
            source.adjoins = part(before) == part(partition);
        }
        Sequence {
            sources,
            entries: VecDeque::new(),
            cutoff: class.and_then(|class| retention.cutoff(class, now)),
            class: class.map(ToOwned::to_owned),
            from: None,
            oldest_first: request.oldest_first,
        }
    };
    classes.into_iter().map(of_class).collect()
}

impl Sequence {
    /// A sequence of one source whose times are not known.
    pub(super) fn unbounded(from: ReadFrom, with: Option<String>, request: &Request, cutoff: Option<f64>) -> Self {
        let sources = VecDeque::from([Source::unbounded(from, with)]);
        Self { sources, entries: VecDeque::new(), class: None, cutoff, from: None, oldest_first: request.oldest_first }
    }

    /// The first entry. Returns `None` as long as another may come before it.
    pub(super) fn front(&self) -> Option<&Candidate> {
        let entry = self.entries.front()?;
        let when = entry.place.when;
        let comes_first = self.sources.front().is_none_or(|source| match (source.near, self.oldest_first) {
            // More entries of the last second may follow.
            (Some(near), true) => when < near,
            (Some(near), false) => when > near,
            (None, true) => when < source.start,
            (None, false) => when >= source.end,
        });
        comes_first.then_some(entry)
    }
}

/// Whether an entry does not come after the one that the page begins after.
pub(super) fn is_left_out(request: &Request, place: &Position) -> bool {
    request.after.as_ref().is_some_and(|after| in_order(request.oldest_first, place, after).is_le())
}

/// The order of entries.
pub(super) fn in_order(oldest_first: bool, a: &Position, b: &Position) -> Ordering {
    if oldest_first { a.compare(b) } else { b.compare(a) }
}

/// The entry with its class, if it is wanted and has not expired. An entry that lies in no partition of a class (`class` is `None`)
/// has the class of its type.
pub(super) fn wanted(
    filter: &Filter,
    row: &Row,
    mut event: StoredEvent,
    class: Option<&str>,
    retention: &Retention,
    now: f64,
) -> Option<Box<StoredEvent>> {
    let mixed = class.is_none();
    let class = class.unwrap_or_else(|| retention.class_of(&event.kind));
    let kept = !mixed || retention.cutoff(class, now).is_none_or(|cutoff| row.when >= cutoff);
    if !kept || mixed && !filter.wants_class(class) || !filter.admits(row, &event) {
        return None;
    }
    event.class = Some(class.to_owned());
    event.mention = filter.mention(&event);
    Some(Box::new(event))
}
