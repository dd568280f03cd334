//! Reading the log: which partitions to open, in which order, and which of their entries are wanted.
//!
//! The query does no reading of its own. It names the page that it needs next ([`Query::next_page`]), is given that
//! page's rows ([`Query::feed`]), and hands out events as they are certain ([`Query::take`]). It holds one page of each
//! class at most, whatever the log has.
//!
//! Entries have one order, by the second under which they were recorded and then by their identifiers, which sort by time
//! too; so a page can begin behind any entry ([`Place`]), and what arrives meanwhile changes nothing behind it.

pub mod account;
pub mod follow;
mod page_size;

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};

use crate::archive::partition::Partition;
use crate::archive::pruning::cut_due;
use crate::archive::retention::Retention;
use crate::entry::{Row, StoredEvent};
pub use crate::filter::Filter;
use crate::filter::beginning::Beginning;
pub use crate::filter::place::{Place, PlaceError};
use crate::query::page_size::PageSize;
pub use follow::{Follower, Look};

const DAY: f64 = 86_400.0;

/// How many damaged entries are named; all are counted.
const NAMED: usize = 3;

/// How often a partition is begun again when the row behind which to read is gone.
const MOST_RESTARTS: u8 = 20;

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
    pub after: Option<Place>,
}

/// When a query is made, and what has expired then.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
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
pub enum Origin {
    /// Origin an archive user; nothing stands for `nil`.
    Store(Option<String>),
    /// Origin what waits in the journal.
    Journal,
}

/// A page of rows that a query needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Which of the query's sequences it belongs to; for [`Query::feed`].
    pub sequence: usize,
    /// Where to read.
    pub from: Origin,
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

/// One reading of the log of one host.
#[derive(Debug)]
pub struct Query {
    request: Request,
    retention: Retention,
    now: f64,
    sequences: Vec<Sequence>,
    /// The moves of the old archive that were over at the beginning.
    generations: HashSet<u32>,
    /// As [`bounds`] gives them.
    bounds: (f64, f64),
    pages: PageSize,
    /// Entries of about the time of those in the journal: one may go to the store while it is read, and be met twice.
    met: HashSet<String>,
    /// Since when entries wait in the journal.
    waiting_since: f64,
    found: VecDeque<StoredEvent>,
    count: usize,
    last: Option<Place>,
    damaged: Damaged,
}

/// A reading, step by step: a [`Query`], or a look of somebody who follows the log.
pub trait Steps: std::fmt::Debug {
    /// The page that is to be read next; `None` at the end.
    fn next_page(&self) -> Option<Page>;
    /// Takes the rows of that page, see [`Query::feed`].
    fn feed(&mut self, page: &Page, rows: Vec<Row>, skipped: usize, seconds: f64);
    /// The store does not know the row behind which the page begins, see [`Query::lost_place`].
    fn lost_place(&mut self, page: &Page);
    /// What the store lists now, see [`Query::moved`].
    fn moved(&mut self, page: &Page, users: Vec<String>);
    /// Events that are certain, in order.
    fn take(&mut self) -> Vec<StoredEvent>;
    /// Whether there are none of these left.
    fn is_taken(&self) -> bool;
    /// The entries that could not be read.
    fn damaged(&self) -> &Damaged;
    /// Where the next page begins.
    fn last(&self) -> Option<&Place>;
}

impl Steps for Query {
    fn next_page(&self) -> Option<Page> {
        Self::next_page(self)
    }

    fn feed(&mut self, page: &Page, rows: Vec<Row>, skipped: usize, seconds: f64) {
        Self::feed(self, page, rows, skipped, seconds);
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

    fn is_taken(&self) -> bool {
        Self::is_taken(self)
    }

    fn damaged(&self) -> &Damaged {
        Self::damaged(self)
    }

    fn last(&self) -> Option<&Place> {
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

/// Partitions that follow each other in time: those of one class, the archive of the community's modules, or the journal.
#[derive(Debug)]
struct Sequence {
    /// Not read to their end, the next to read first.
    sources: VecDeque<Source>,
    entries: VecDeque<Entry>,
    /// The class of all of its entries; where there is none, each entry is asked.
    class: Option<String>,
    /// All before that has expired.
    cutoff: Option<f64>,
    /// What comes before that time, in the order of reading, was read where it lay before.
    from: Option<f64>,
    oldest_first: bool,
}

#[derive(Debug)]
struct Source {
    from: Origin,
    with: Option<String>,
    /// No row in it is as new as this, or newer.
    end: f64,
    /// No row in it is older.
    start: f64,
    behind: Option<String>,
    near: Option<f64>,
    /// How many rows were read.
    read: usize,
    /// How many rows were read already where this was copied from.
    passed: usize,
    /// The names of the rows of the second that was read last.
    of_last_second: HashSet<String>,
    /// What was read already, where it is read again from its beginning: to that time, and these rows of it.
    again: Option<(f64, HashSet<String>)>,
    /// How often it was begun again.
    restarts: u8,
    /// What pruning may replace it by.
    copy: Option<Partition>,
    /// Whether it goes on where the one before it ends, in the order of reading: the time never goes back from one to the next.
    adjoins: bool,
}

impl Source {
    /// What is not bounded in time.
    fn unbounded(from: Origin, with: Option<String>) -> Self {
        let (start, end) = (f64::NEG_INFINITY, f64::INFINITY);
        let (of_last_second, again, restarts) = (HashSet::new(), None, 0);
        let (behind, near, copy, adjoins) = (None, None, None, false);
        Self { from, with, end, start, behind, near, read: 0, passed: 0, of_last_second, again, restarts, copy, adjoins }
    }

    /// Goes on in the copy, where there may be one: it has the same rows in the same order. One that is not finished has none that was
    /// not read.
    fn use_copy(&mut self) -> bool {
        let Some(copy) = self.copy.take() else { return false };
        self.from = Origin::Store(Some(copy.to_string()));
        (self.passed, self.read) = (self.read, 0);
        (self.behind, self.near) = (None, None);
        true
    }

    /// Begins again, and passes over what was read.
    fn begin_again(&mut self) -> bool {
        self.restarts = self.restarts.saturating_add(1);
        let Some(near) = self.near.filter(|_| self.restarts <= MOST_RESTARTS) else { return false };
        self.behind = None;
        self.again = Some((near, self.of_last_second.clone()));
        true
    }

    /// Whether a row was read before the source was begun again.
    fn was_read(&self, row: &Row, oldest_first: bool) -> bool {
        self.again.as_ref().is_some_and(|(near, names)| match row.when.total_cmp(near) {
            Ordering::Equal => names.contains(&Place::of(row).name),
            order => order.is_lt() == oldest_first,
        })
    }

    /// Takes note of the rows of a page.
    fn reach(&mut self, rows: &[Row]) {
        let Some(last) = rows.last() else { return };
        if self.near != Some(last.when) {
            self.of_last_second.clear();
        }
        self.of_last_second.extend(rows.iter().filter(|row| row.when == last.when).map(|row| Place::of(row).name));
        (self.behind, self.near) = (Some(last.key.clone()), Some(last.when));
        self.read = self.read.saturating_add(rows.len());
    }

    /// How far it was read: the time of the last row, or where it begins.
    fn reached(&self, beginning: f64) -> f64 {
        self.near.unwrap_or(beginning)
    }
}

/// A row that is wanted, or of which that can't be known.
#[derive(Debug)]
struct Entry {
    place: Place,
    waits: bool,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Event(Box<StoredEvent>),
    Damaged(String),
}

impl Query {
    /// A query over the archive users that a store lists. Names that are no partitions of the log are passed over; the
    /// archive of the community's modules, which no driver lists, is always read. Entries have been waiting in the journal
    /// since `waiting_since`, where any are.
    #[must_use]
    pub fn new(request: Request, scope: Scope, users: impl IntoIterator<Item = String>, waiting_since: Option<f64>) -> Self {
        let partitions: Vec<Partition> = users.into_iter().filter_map(|name| name.parse().ok()).collect();
        let generations = partitions.iter().filter_map(Partition::generation).collect();
        let filter = &request.filter;
        let withs: Vec<Option<String>> =
            filter.withs().map_or_else(|| vec![None], |withs| withs.into_iter().map(|with| Some(with.to_owned())).collect());
        let of_partitions = |with: &Option<String>| sequences(&request, &scope.retention, scope.now, with.as_ref(), partitions.clone());
        let mut sequences: Vec<Sequence> = withs.iter().flat_map(of_partitions).collect();
        let unbounded = |from, with| Sequence {
            sources: VecDeque::from([Source::unbounded(from, with)]),
            entries: VecDeque::new(),
            class: None,
            cutoff: scope.retention.last_cutoff(scope.now),
            from: None,
            oldest_first: request.oldest_first,
        };
        for with in withs {
            // The community's first module stored localparts. A narrow query asks for each; both are narrow then.
            let jid = with.as_deref().filter(|_| !filter.users.is_empty());
            let local = jid.and_then(|jid| jid.strip_suffix(&format!("@{}", filter.host))).filter(|local| !local.is_empty());
            sequences.extend(local.map(|local| unbounded(Origin::Store(None), Some(local.to_owned()))));
            // Of the whole host there are entries without one there.
            let narrow = with.filter(|_| !filter.users.is_empty());
            sequences.push(unbounded(Origin::Store(None), narrow));
        }
        if waiting_since.is_some() {
            sequences.push(unbounded(Origin::Journal, None));
        }
        let pages = PageSize::new(request.limit.filter(|_| request.after.is_none()), scope.slice, scope.seeks);
        Self {
            bounds: bounds(&request),
            request,
            retention: scope.retention,
            now: scope.now,
            sequences,
            generations,
            pages,
            met: HashSet::new(),
            waiting_since: waiting_since.map_or(f64::INFINITY, f64::floor),
            found: VecDeque::new(),
            count: 0,
            last: None,
            damaged: Damaged::default(),
        }
    }

    /// The page that must be read before more events are certain; nothing where all are, or enough are found.
    #[must_use]
    pub fn next_page(&self) -> Option<Page> {
        if self.is_satisfied() {
            return None;
        }
        let front = self
            .sequences
            .iter()
            .filter_map(Sequence::front)
            .map(|entry| entry.place.when)
            .reduce(|a, b| if self.request.oldest_first { a.min(b) } else { a.max(b) });
        let oldest_first = self.request.oldest_first;
        // What was not wanted says how far a partition was read, too.
        let may_come_first = |source: &Source| {
            front.is_none_or(|front| match (source.near, oldest_first) {
                (Some(near), true) => near <= front,
                (Some(near), false) => near >= front,
                (None, true) => source.start <= front,
                (None, false) => source.end > front,
            })
        };
        let unread = self.sequences.iter().enumerate().filter(|(_, sequence)| sequence.front().is_none());
        let sources = unread.filter_map(|(index, sequence)| Some((index, sequence.sources.front()?)));
        // The one that may have the next entry: a class in which nothing is wanted is read no further than the others.
        let (sequence, source) = sources.filter(|(_, source)| may_come_first(source)).min_by(|(_, a), (_, b)| {
            if oldest_first { a.reached(a.start).total_cmp(&b.reached(b.start)) } else { b.reached(b.end).total_cmp(&a.reached(a.end)) }
        })?;
        Some(Page {
            sequence,
            from: source.from.clone(),
            with: source.with.clone(),
            oldest_first,
            behind: source.behind.clone(),
            near: source.near,
            bound: Some(if oldest_first { self.bounds.0 } else { self.bounds.1 }).filter(|bound| bound.is_finite()),
            limit: self.pages.size(),
        })
    }

    /// Takes the rows of a page, in its order. Fewer rows than the page's limit are the last of their partition.
    ///
    /// `skipped` is the number of rows in it that the store could not read, and `seconds` how long it took.
    pub fn feed(&mut self, page: &Page, rows: Vec<Row>, skipped: usize, seconds: f64) {
        self.pages.took(seconds);
        if skipped > 0 {
            self.damaged.add(skipped, || name_of(&page.from, None));
        }
        let Some(sequence) = self.sequences.get_mut(page.sequence) else { return };
        let last = rows.last().map(|row| row.when);
        let begins = self.request.filter.begins.as_ref().map(Beginning::time);
        let bounds = [sequence.cutoff, self.request.filter.since, begins];
        let bound = bounds.into_iter().flatten().fold(f64::NEG_INFINITY, f64::max);
        // Within a partition the time never goes back. In the old archive and in the journal it does when the clock was set back; a
        // whole page that is beyond by more than a day is beyond.
        let margin = if matches!(page.from, Origin::Store(Some(_))) { 0.0 } else { DAY };
        let until = self.request.filter.until.map_or(f64::INFINITY, end_of_day) + margin;
        let bound = bound - margin;
        let is_beyond = |row: &Row| if page.oldest_first { row.when >= until } else { row.when < bound };
        let beyond = !rows.is_empty() && rows.iter().all(is_beyond);
        let mut ended = rows.len().saturating_add(skipped) < page.limit || last.is_none() || beyond;
        let reached = last.or(page.near);
        let mut rows = rows;
        if let Some(source) = sequence.sources.front_mut().filter(|source| source.from == page.from) {
            if rows.is_empty() && skipped == 0 && source.use_copy() {
                ended = false;
            } else {
                source.reach(&rows);
                let passed = source.passed.min(rows.len());
                source.passed -= passed;
                rows.drain(..passed);
                rows.retain(|row| !source.was_read(row, page.oldest_first));
            }
        }
        if ended {
            sequence.sources.pop_front();
            while beyond && sequence.sources.front().is_some_and(|source| source.adjoins) {
                sequence.sources.pop_front();
            }
            if let (Some(next), Some(reached)) = (sequence.sources.front_mut().filter(|source| source.adjoins), reached) {
                if page.oldest_first {
                    next.start = next.start.max(reached);
                } else {
                    // It may have more of the same second.
                    next.end = next.end.min(reached.floor() + 1.0);
                }
            }
        }
        let is_new = |row: &Row| sequence.from.is_none_or(|from| if page.oldest_first { row.when >= from } else { row.when <= from });
        for row in rows.into_iter().filter(is_new) {
            let place = Place::of(&row);
            let kept = sequence.cutoff.is_none_or(|cutoff| row.when >= cutoff);
            // A driver may know nothing of `with`; the same archive is read for another one then.
            let asked_for = page.with.as_deref().is_none_or(|with| row.with.as_deref() == Some(with));
            if kept && asked_for && !is_left_out(&self.request, &place) && self.request.filter.may_admit(&row) {
                let waits = page.from == Origin::Journal;
                let content = match StoredEvent::read(&row) {
                    Ok(event) => {
                        self.request.filter.wanted(&row, event, sequence.class.as_deref(), &self.retention, self.now).map(Content::Event)
                    }
                    Err(_) => Some(Content::Damaged(name_of(&page.from, Some(&row.key)))),
                };
                sequence.entries.extend(content.map(|content| Entry { place, waits, content }));
            }
        }
        // One second has one order. What was read before is in it already.
        let oldest_first = page.oldest_first;
        sequence.entries.make_contiguous().sort_by(|a, b| in_order(oldest_first, &a.place, &b.place));
        self.merge();
    }

    /// Says that the store does not know the row behind which a page begins: it was removed, or written again under another key.
    /// The page is not fed. What follows it is read from the beginning of the partition, or of its copy.
    pub fn lost_place(&mut self, page: &Page) {
        let Some(sequence) = self.sequences.get_mut(page.sequence) else { return };
        let Some(source) = sequence.sources.front_mut().filter(|source| source.from == page.from) else { return };
        if !source.use_copy() && !source.begin_again() {
            sequence.sources.pop_front();
            self.damaged.add(1, || format!("{} was written again and again while it was read", name_of(&page.from, None)));
        }
        self.merge();
    }

    /// Says what the archive has become, before a page of the archive of the community's modules is fed that has no rows: pruning may
    /// have moved it into partitions since. They are gone on with at the time that was reached.
    pub fn moved(&mut self, page: &Page, users: impl IntoIterator<Item = String>) {
        let is_new = |partition: &Partition| partition.generation().is_some_and(|generation| !self.generations.contains(&generation));
        let partitions: Vec<Partition> = users.into_iter().filter_map(|name| name.parse().ok()).filter(is_new).collect();
        let Some(sequence) = self.sequences.get_mut(page.sequence).filter(|_| !partitions.is_empty()) else { return };
        // Of the second that was read last there may be more, so nothing of it was given away. All of it is read again.
        sequence.entries.retain(|entry| Some(entry.place.when) != page.near);
        let moved = sequences(&self.request, &self.retention, self.now, page.with.as_ref(), partitions);
        self.sequences.extend(moved.into_iter().map(|sequence| Sequence { from: page.near, ..sequence }));
    }

    /// The events that are certain and were not taken yet, in order. Where a page may only take so long there are not many at
    /// once, and [`is_taken`](Self::is_taken) says whether these were all.
    pub fn take(&mut self) -> Vec<StoredEvent> {
        let count = self.found.len().min(self.pages.largest());
        self.found.drain(..count).collect()
    }

    /// Whether all events that are certain were taken.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.found.is_empty()
    }

    /// The entries that could not be read.
    #[must_use]
    pub const fn damaged(&self) -> &Damaged {
        &self.damaged
    }

    /// The place of the last event that was found: where the next page begins.
    #[must_use]
    pub const fn last(&self) -> Option<&Place> {
        self.last.as_ref()
    }

    fn is_satisfied(&self) -> bool {
        self.request.limit.is_some_and(|limit| self.count >= limit)
    }

    /// Moves entries to the found events, in order, until a sequence must be read further.
    fn merge(&mut self) {
        let oldest_first = self.request.oldest_first;
        while !self.is_satisfied() && self.next_page().is_none() {
            let next = self
                .sequences
                .iter_mut()
                .filter(|sequence| !sequence.entries.is_empty())
                .min_by(|a, b| match (a.entries.front(), b.entries.front()) {
                    (Some(a), Some(b)) => in_order(oldest_first, &a.place, &b.place),
                    _ => Ordering::Equal,
                })
                .and_then(|sequence| sequence.entries.pop_front());
            let Some(entry) = next else { return };
            // What is in the store because it waited too long ago can't be in the journal any more.
            if (entry.waits || entry.place.when >= self.waiting_since) && entry.place.has_id && !self.met.insert(entry.place.name.clone()) {
                continue;
            }
            match entry.content {
                Content::Event(event) => {
                    self.found.push_back(*event);
                    self.count = self.count.saturating_add(1);
                    self.last = Some(entry.place);
                }
                Content::Damaged(name) => self.damaged.add(1, || name),
            }
        }
    }
}

/// The times between which everything lies that is wanted: not before the one, and before the other.
fn bounds(request: &Request) -> (f64, f64) {
    let since = request.filter.since.unwrap_or(f64::NEG_INFINITY);
    let since = request.filter.begins.as_ref().map_or(since, |begins| since.max(begins.time()));
    // An entry may be recorded later than it happened, on the same day: `until` goes by the one, the order by the other.
    let until = request.filter.until.map_or(f64::INFINITY, end_of_day);
    match &request.after {
        Some(place) if request.oldest_first => (since.max(place.when), until),
        // The second of that entry is wanted too.
        Some(place) => (since, until.min(place.when + 1.0)),
        None => (since, until),
    }
}

/// The next midnight (UTC); the time itself if it is one.
fn end_of_day(time: f64) -> f64 {
    (time / DAY).ceil() * DAY
}

/// A sequence for each class, of the partitions that may hold something that is wanted.
fn sequences(request: &Request, retention: &Retention, now: f64, with: Option<&String>, mut partitions: Vec<Partition>) -> Vec<Sequence> {
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
        // That a reading takes a whole day is not to be expected.
        copy: cut_due(partition, retention).filter(|due| *due <= now + DAY).map(|_| partition.cut()),
        ..Source::unbounded(Origin::Store(Some(partition.to_string())), with.cloned())
    };
    let of_class = |class: &String| {
        let own = || partitions.iter().filter(|partition| partition.class == *class);
        let class = own().next().map(Partition::home);
        // Each move of the old archive begins anew.
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
    /// The entry that comes first in it; nothing as long as another may come before it.
    fn front(&self) -> Option<&Entry> {
        let entry = self.entries.front()?;
        let when = entry.place.when;
        let comes_first = self.sources.front().is_none_or(|source| match (source.near, self.oldest_first) {
            // More of the second that was read last may follow.
            (Some(near), true) => when < near,
            (Some(near), false) => when > near,
            (None, true) => when < source.start,
            (None, false) => when >= source.end,
        });
        comes_first.then_some(entry)
    }
}

impl Damaged {
    fn add(&mut self, count: usize, name: impl FnOnce() -> String) {
        self.count = self.count.saturating_add(count);
        if self.places.len() < NAMED {
            let name = name();
            if !self.places.contains(&name) {
                self.places.push(name);
            }
        }
    }
}

/// The order of entries.
fn in_order(oldest_first: bool, a: &Place, b: &Place) -> Ordering {
    if oldest_first { a.compare(b) } else { b.compare(a) }
}

/// Whether an entry is not behind the one that was named. It comes itself when it is met, and is left out too.
fn is_left_out(request: &Request, place: &Place) -> bool {
    request.after.as_ref().is_some_and(|after| in_order(request.oldest_first, place, after).is_le())
}

/// Where a damaged entry lies, in words.
fn name_of(from: &Origin, key: Option<&str>) -> String {
    let place = match from {
        Origin::Store(Some(partition)) => partition.clone(),
        Origin::Store(None) => "the archive of an older log".to_owned(),
        Origin::Journal => "the journal".to_owned(),
    };
    key.map_or_else(|| place.clone(), |key| format!("{place}, key {key:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::retention::{RetentionClass, Rules, TypePattern};
    use crate::filter::pattern::Pattern;
    use crate::time::date_time;
    use crate::time::period::Period;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    const NOON: f64 = 1_795_521_600.0;

    impl Page {
        fn archive_user(&self) -> Option<String> {
            match &self.from {
                Origin::Store(partition) => partition.clone(),
                Origin::Journal => panic!("no partition"),
            }
        }
    }

    /// Rows by archive user, oldest first.
    #[derive(Clone, Debug, Default)]
    struct Store(BTreeMap<Option<String>, Vec<Row>>);

    impl Store {
        fn new(rows: &[(Option<&str>, usize, f64, Option<&str>)]) -> Self {
            let mut store = Self::default();
            for (partition, number, when, with) in rows {
                store.add(*partition, row(*number, *when, *with));
            }
            store
        }

        fn add(&mut self, partition: Option<&str>, row: Row) {
            self.0.entry(partition.map(ToOwned::to_owned)).or_default().push(row);
        }

        /// The partition that takes the next entry of a class.
        fn partition(&self, class: &str, when: f64, room: usize) -> String {
            let mut partition = Partition::new(class, when);
            while self.0.get(&Some(partition.to_string())).is_some_and(|rows| rows.len() >= room) {
                partition = partition.next();
            }
            partition.to_string()
        }

        /// A page as a driver gives it. A partition's page may begin at a time, as on the embedded driver of 13.
        fn page(&self, page: &Page, journal: &[Row]) -> Vec<Row> {
            let rows = match &page.from {
                Origin::Store(partition) => self.0.get(partition).map(Vec::as_slice).unwrap_or_default(),
                Origin::Journal => journal,
            };
            let mut rows: Vec<&Row> = rows.iter().filter(|row| page.with.is_none() || row.with == page.with).collect();
            if !page.oldest_first {
                rows.reverse();
            }
            if let (Origin::Store(Some(_)), Some(near)) = (&page.from, page.near.or(page.bound)) {
                rows.retain(|row| if page.oldest_first { row.when >= near - 1.0 } else { row.when <= near + 1.0 });
            }
            let behind = page.behind.as_ref().map_or(0, |key| rows.iter().position(|row| row.key == *key).unwrap() + 1);
            rows[behind..].iter().take(page.limit).map(|row| (*row).clone()).collect()
        }

        fn query(&self, request: Request, expires_after: Period, journal: &[Row]) -> Query {
            let retention = Retention::new(Rules { expires_after, ..Rules::default() }, Vec::new());
            self.query_kept(request, retention, journal)
        }

        fn query_kept(&self, request: Request, retention: Retention, journal: &[Row]) -> Query {
            let scope = Scope { retention, now: NOON, slice: Some(0.01), seeks: false };
            Query::new(request, scope, self.0.keys().flatten().cloned(), journal.first().map(|row| row.when))
        }

        /// Reads as the glue does: the event types found, and how many pages it took.
        fn read(&self, request: Request, expires_after: Period, journal: &[Row]) -> (Vec<String>, Query, usize) {
            self.read_all(self.query(request, expires_after, journal), journal)
        }

        fn read_all(&self, mut query: Query, journal: &[Row]) -> (Vec<String>, Query, usize) {
            let (mut found, mut pages) = (Vec::new(), 0);
            while let Some(page) = query.next_page() {
                pages += 1;
                query.feed(&page, self.page(&page, journal), 0, 0.001);
                while !query.is_taken() {
                    found.extend(query.take().into_iter().map(|event| event.kind));
                }
            }
            (found, query, pages)
        }

        fn kinds(&self, request: Request) -> Vec<String> {
            self.read(request, Period::Never, &[]).0
        }
    }

    fn id(number: usize, when: f64) -> Uuid {
        let milliseconds = (when * 1000.0) as u64 + number as u64 % 1000;
        uuid::Builder::from_unix_timestamp_millis(milliseconds, &(number as u128).to_be_bytes()[6..].try_into().unwrap()).into_uuid()
    }

    fn row(number: usize, when: f64, with: Option<&str>) -> Row {
        Row { key: format!("k{number}"), when, with: with.map(ToOwned::to_owned), xml: format!("<audit-event type='t{number}'/>") }
    }

    fn row_with_id(number: usize, when: f64, with: Option<&str>) -> Row {
        Row { xml: format!("<audit-event type='t{number}' id='{}'/>", id(number, when)), ..row(number, when, with) }
    }

    /// What stands for events of some accounts.
    fn summary(number: usize, when: f64, users: &[&str], others: bool) -> Row {
        let often: String = users.iter().map(|user| format!("<often user='{user}' count='2'/>")).collect();
        let names = if others { "<names/>" } else { "" };
        let xml =
            format!("<audit-event type='t{number}'><repeated count='9' accounts='{}'>{often}{names}</repeated></audit-event>", users.len());
        Row { xml, ..row(number, when, Some("@")) }
    }

    #[test]
    fn what_sums_up_events_of_an_account_is_found_with_those_of_it_alone() {
        let mut store = Store::default();
        let day = "@events.2026-11-24";
        store.add(Some(day), row(0, NOON - 50.0, Some("juliet@example.com")));
        store.add(Some(day), summary(1, NOON - 40.0, &["romeo@example.com", "juliet@example.com"], false));
        store.add(Some(day), summary(2, NOON - 30.0, &["romeo@example.com", "nurse@example.com"], false));
        store.add(Some(day), row(3, NOON - 20.0, Some("@")));
        store.add(Some(day), summary(4, NOON - 10.0, &["romeo@example.com"], true));
        store.add(Some(day), row(5, NOON - 5.0, Some("juliet@example.com")));
        for (users, global, expected) in [
            (juliet(), None, vec!["t5", "t4", "t1", "t0"]),
            (juliet(), Some(false), vec!["t5", "t0"]),
            (juliet(), Some(true), vec!["t4", "t1"]),
            (vec![Pattern::new("j*")], None, vec!["t5", "t4", "t1", "t0"]),
            (vec![Pattern::new("nurse@example.com")], None, vec!["t4", "t2"]),
        ] {
            let request = filtered(|filter| (filter.users, filter.global) = (users.clone(), global));
            assert_eq!(store.read(request, Period::Never, &[]).0, expected, "{users:?} {global:?}");
        }
        // So it is where everything lies in one archive, and in the journal.
        let rows: Vec<Row> = store.0.remove(&Some(day.to_owned())).unwrap();
        let of_juliet = || filtered(|filter| filter.users = juliet());
        assert_eq!(Store::default().read(of_juliet(), Period::Never, &rows).0, ["t5", "t4", "t1", "t0"]);
        for row in rows {
            store.add(None, row);
        }
        assert_eq!(store.read(of_juliet(), Period::Never, &[]).0, ["t5", "t4", "t1", "t0"]);
    }

    fn all() -> Request {
        Request { filter: Filter { host: "example.com".to_owned(), ..Filter::default() }, ..Request::default() }
    }

    fn filtered(change: impl FnOnce(&mut Filter)) -> Request {
        let mut request = all();
        change(&mut request.filter);
        request
    }

    fn juliet() -> Vec<Pattern> {
        vec![Pattern::new("juliet@example.com")]
    }

    #[test]
    fn partitions_and_the_old_archive_are_one_log() {
        let store = Store::new(&[
            (None, 1, NOON - 3.0 * DAY, Some("juliet")),
            (Some("@events.2026-11-22"), 2, NOON - 2.0 * DAY, Some("@")),
            (None, 3, NOON - 1.5 * DAY, Some("juliet@example.com")),
            (Some("@events.2026-11-23"), 4, NOON - DAY, Some("romeo@example.com")),
            (Some("@events.2026-11-24"), 5, NOON - 60.0, None),
            (Some("@events.2026-11-24.2"), 6, NOON - 59.0, Some("juliet@example.com")),
            (Some("someone"), 7, NOON, None),
        ]);
        assert_eq!(store.kinds(all()), ["t6", "t5", "t4", "t3", "t2", "t1"]);
        assert_eq!(store.kinds(Request { oldest_first: true, ..all() }), ["t1", "t2", "t3", "t4", "t5", "t6"]);
        assert_eq!(store.kinds(Request { limit: Some(2), ..all() }), ["t6", "t5"]);
        assert_eq!(store.kinds(Request { limit: Some(2), oldest_first: true, ..all() }), ["t1", "t2"]);
        assert_eq!(store.kinds(filtered(|filter| filter.global = Some(true))), ["t2"], "the driver is asked for @");
        assert_eq!(store.kinds(filtered(|filter| filter.global = Some(false))), ["t6", "t4", "t3", "t1"]);
        assert_eq!(store.kinds(filtered(|filter| filter.users = juliet())), ["t6", "t3", "t1"]);
        let one = Request { limit: Some(1), ..filtered(|filter| filter.users = juliet()) };
        assert_eq!(store.kinds(one), ["t6"], "the limit counts what is wanted");
        let since = |time| filtered(|filter| filter.since = Some(time));
        assert_eq!(store.kinds(since(NOON - 1.5 * DAY)), ["t6", "t5", "t4", "t3"]);
        assert_eq!(store.kinds(filtered(|filter| filter.until = Some(NOON - DAY))), ["t3", "t2", "t1"]);
        assert_eq!(store.read(all(), Period::Seconds(1.2 * DAY), &[]).0, ["t6", "t5", "t4"]);
    }

    #[test]
    fn each_class_expires_by_itself_wherever_its_entries_lie() {
        let mut store = Store::new(&[
            (Some("@short.2026-11-22"), 2, NOON - 2.0 * DAY, None),
            (Some("@long.2026-11-22"), 3, NOON - 2.0 * DAY, None),
            (Some("@gone.2026-11-22"), 4, NOON - 2.0 * DAY + 1.0, None),
            (Some("@short.2026-11-23"), 5, NOON - DAY - 60.0, None),
            (Some("@short.2026-11-23"), 6, NOON - DAY + 60.0, None),
        ]);
        for (number, event_type, days) in [(7, "long-a", 2.5), (8, "short-a", 2.5), (9, "other", 2.5), (10, "short-b", 0.5)] {
            let xml = format!("<audit-event type='{event_type}'/>");
            store.add(None, Row { xml, ..row(number, NOON - days * DAY, None) });
        }
        let days = |days: f64| Rules { expires_after: Period::Seconds(days * DAY), ..Rules::default() };
        let class = |name: &str, rules| {
            let types = TypePattern::new(&format!("{name}-*")).into_iter().collect();
            RetentionClass { name: name.to_owned(), types, rules }
        };
        let retention = Retention::new(days(2.0), vec![class("short", days(1.0)), class("long", days(10.0))]);
        let found = |request| store.read_all(store.query_kept(request, retention.clone(), &[]), &[]).0;
        assert_eq!(found(all()), ["short-b", "t6", "t4", "t3", "long-a"]);
        let long = filtered(|filter| filter.classes = vec![Pattern::new("l*")]);
        assert_eq!(found(long), ["t3", "long-a"]);
    }

    #[test]
    fn what_was_recorded_later_than_it_happened_is_found_by_when_it_happened() {
        let mut store = Store::default();
        let hour = 3600.0;
        // The last two: the clock was set back by two hours.
        for (number, when, happened) in [(1, 5.0, 5.0), (2, 4.0, 4.0), (3, 3.0, 6.0), (4, 3.0, 5.0), (5, 3.0, 4.5)] {
            let occurred = date_time(NOON - happened * hour).unwrap();
            let row = row_with_id(number, NOON - when * hour, None);
            store.add(Some("@events.2026-11-24"), Row { xml: row.xml.replace("/>", &format!(" occurred='{occurred}'/>")), ..row });
        }
        for oldest_first in [false, true] {
            let found = |since: Option<f64>, until: Option<f64>| {
                let time = |ago: Option<f64>| ago.map(|ago| NOON - ago * hour);
                let wanted = filtered(|filter| (filter.since, filter.until) = (time(since), time(until)));
                let mut kinds = store.kinds(Request { oldest_first, ..wanted });
                kinds.sort();
                kinds
            };
            assert_eq!(found(None, Some(4.0)), ["t1", "t3", "t4", "t5"]);
            assert_eq!(found(Some(4.7), Some(3.9)), ["t2", "t5"]);
            assert_eq!(found(Some(6.5), None), ["t1", "t2", "t3", "t4", "t5"]);
        }
    }

    /// Reads a store that writes everything again under other keys after each page, and removes the row that was read last.
    #[test]
    fn a_row_that_is_gone_ends_no_reading() {
        for (class, oldest_first, grain) in
            [(true, false, 1), (true, true, 1), (true, false, 40), (true, true, 40), (false, false, 40), (false, true, 1)]
        {
            let mut store = Store::default();
            let partition = class.then_some("@events.2026-11-24");
            let when = |number: usize| NOON - 500.0 + (number / grain) as f64;
            (0..300).for_each(|number| store.add(partition, row_with_id(number, when(number), None)));
            let mut query = store.query(Request { oldest_first, ..all() }, Period::Never, &[]);
            let (mut found, mut lost) = (Vec::new(), 0);
            while let Some(page) = query.next_page() {
                let rows = &store.0.get(&page.archive_user()).cloned().unwrap_or_default();
                if page.behind.as_ref().is_some_and(|key| rows.iter().all(|row| row.key != *key)) {
                    lost += 1;
                    query.lost_place(&page);
                    continue;
                }
                let read = store.page(&page, &[]);
                if lost < 4 && page.archive_user().as_deref() == partition {
                    let last = read.last().map(|row| row.key.clone());
                    let rows = store.0.get_mut(&page.archive_user()).unwrap();
                    rows.retain(|row| Some(&row.key) != last.as_ref());
                    rows.iter_mut().for_each(|row| row.key += "x");
                }
                query.feed(&page, read, 0, 0.001);
                found.extend(query.take().into_iter().map(|event| event.kind));
            }
            let expected: Vec<String> = (0..300).map(|number| format!("t{}", if oldest_first { number } else { 299 - number })).collect();
            assert_eq!(found, expected, "{class} {oldest_first} {grain}");
            assert_eq!((lost > 1, query.damaged().count), (true, 0), "{class} {oldest_first} {grain}: {lost}");
        }
    }

    #[test]
    fn a_store_that_never_keeps_a_key_ends_a_reading_and_is_named() {
        let mut store = Store::default();
        (0..300).for_each(|number| store.add(Some("@events.2026-11-24"), row_with_id(number, NOON - 300.0 + number as f64, None)));
        let mut query = store.query(all(), Period::Never, &[]);
        let mut pages = 0;
        while let Some(page) = query.next_page() {
            pages += 1;
            if page.behind.is_some() {
                query.lost_place(&page);
            } else {
                // A driver that does not seek.
                let rows = store.page(&Page { near: None, bound: None, ..page.clone() }, &[]);
                query.feed(&page, rows, 0, 0.001);
            }
        }
        assert_eq!((pages < 50, query.damaged().count), (true, 1), "{pages}");
        assert_eq!(query.damaged().places, ["@events.2026-11-24 was written again and again while it was read"]);
    }

    #[test]
    fn of_one_second_the_newer_id_is_the_newer_entry() {
        let mut store = Store::default();
        for (class, number) in [("events", 1), ("failures", 2), ("events", 3), ("accounts", 4), ("failures", 5), ("events", 6)] {
            store.add(Some(&Partition::new(class, NOON).to_string()), row_with_id(number, NOON, None));
        }
        assert_eq!(store.kinds(all()), ["t6", "t5", "t4", "t3", "t2", "t1"]);
        assert_eq!(store.kinds(Request { limit: Some(2), ..all() }), ["t6", "t5"]);
    }

    #[test]
    fn what_waits_in_the_journal_is_shown_once() {
        let mut store = Store::default();
        for number in 1..=2 {
            store.add(Some("@events.2026-11-24"), row_with_id(number, NOON - 3.0 + number as f64, None));
        }
        let journal = [row_with_id(2, NOON - 1.0, None), row_with_id(3, NOON - 1.0, None)];
        assert_eq!(store.read(all(), Period::Never, &journal).0, ["t3", "t2", "t1"]);
        assert_eq!(store.read(Request { oldest_first: true, ..all() }, Period::Never, &journal).0, ["t1", "t2", "t3"]);
    }

    #[test]
    fn a_day_is_only_opened_when_it_is_needed() {
        let days: Vec<String> = (10..=24).map(|day| format!("@events.2026-11-{day}")).collect();
        let rows: Vec<_> = days.iter().enumerate().map(|(n, day)| (Some(day.as_str()), n, NOON - DAY * (14 - n) as f64, None)).collect();
        let store = Store::new(&rows);
        let (found, _, pages) = store.read(Request { limit: Some(1), ..all() }, Period::Never, &[]);
        assert_eq!((found.as_slice(), pages), (["t14".to_owned()].as_slice(), 2), "today and the old archive");
        let midnight = NOON - DAY / 2.0 - 5.0 * DAY;
        let day = filtered(|filter| (filter.since, filter.until) = (Some(midnight), Some(midnight + DAY)));
        for oldest_first in [false, true] {
            let (found, _, pages) = store.read(Request { oldest_first, ..day.clone() }, Period::Never, &[]);
            assert_eq!((found.as_slice(), pages), (["t9".to_owned()].as_slice(), 2), "that day and the old archive");
        }
        let class = filtered(|filter| filter.classes = vec![Pattern::new("accounts")]);
        assert_eq!(store.read(class, Period::Never, &[]).2, 1, "the old archive");
    }

    /// Where one class has what is wanted, the other is read as far as that and no further.
    #[test]
    fn classes_are_read_side_by_side() {
        let mut rows = Vec::new();
        let days: Vec<String> = (10..=24).flat_map(|day| [format!("@events.2026-11-{day}"), format!("@failures.2026-11-{day}")]).collect();
        for (n, day) in days.iter().enumerate() {
            let when = NOON - DAY * (14 - n / 2) as f64;
            rows.push((
                Some(day.as_str()),
                n,
                when,
                Some(if day.starts_with("@e") { "juliet@example.com" } else { "mallory@example.com" }),
            ));
        }
        let store = Store::new(&rows);
        let wanted =
            |request: Request| Request { limit: Some(1), filter: Filter { types: vec![Pattern::new("t15")], ..request.filter }, ..request };
        for (oldest_first, needed) in [(false, 18), (true, 18)] {
            let (found, _, pages) = store.read(Request { oldest_first, ..wanted(all()) }, Period::Never, &[]);
            assert_eq!(found, ["t15"]);
            assert!(pages <= needed, "{pages} pages, oldest first: {oldest_first}");
        }
    }

    #[test]
    fn a_class_without_anything_wanted_is_read_no_further_than_the_others() {
        let mut store = Store::default();
        for number in 0..2000 {
            let (class, kind) = if number % 2 == 0 { ("events", "other") } else { ("failures", "wanted") };
            let xml = format!("<audit-event type='{kind}'/>");
            store.add(Some(&format!("@{class}.2026-11-24")), Row { xml, ..row(number, NOON - 2000.0 + number as f64, None) });
        }
        for oldest_first in [false, true] {
            let wanted = filtered(|filter| filter.types = vec![Pattern::new("wanted")]);
            let (found, _, pages) = store.read(Request { limit: Some(20), oldest_first, ..wanted }, Period::Never, &[]);
            assert_eq!((found.len(), pages), (20, 3), "one page of each class and of the old archive");
        }
    }

    /// Where the partitions of a day are many, what is known of one says what the next can hold.
    #[test]
    fn of_a_day_in_many_partitions_a_page_of_each_class_is_held() {
        let mut store = Store::default();
        for number in 0..4000 {
            let (class, when) = (["events", "failures"][number % 2], NOON - 4000.0 + number as f64);
            store.add(Some(&store.partition(class, when, 100)), row_with_id(number, when, None));
        }
        for oldest_first in [false, true] {
            let mut query = store.query(Request { oldest_first, ..all() }, Period::Never, &[]);
            let (mut held, mut most, mut found) = (0usize, 0, 0);
            while let Some(page) = query.next_page() {
                let rows = store.page(&page, &[]);
                held += rows.len();
                query.feed(&page, rows, 0, 0.001);
                while !query.is_taken() {
                    let taken = query.take().len();
                    (held, found) = (held - taken, found + taken);
                }
                most = most.max(held);
            }
            assert_eq!((found, held), (4000, 0));
            assert!(most <= 300, "{most} are held, oldest first: {oldest_first}");
            let since = Filter { since: Some(NOON - 150.0), ..all().filter };
            let (found, _, pages) = store.read(Request { filter: since, limit: Some(200), ..all() }, Period::Never, &[]);
            assert!(found.len() == 150 && pages <= 7, "{pages} pages for {} entries", found.len());
        }
    }

    #[test]
    fn a_damaged_entry_is_counted_and_passed_over() {
        let mut store = Store::new(&[(None, 1, NOON, None), (None, 2, NOON - 1.0, None), (None, 3, NOON - 2.0, None)]);
        store.0.get_mut(&None).unwrap()[1].xml = "<audit-event".to_owned();
        let (found, query, _) = store.read(all(), Period::Never, &[]);
        assert_eq!(found, ["t1", "t3"]);
        assert_eq!(*query.damaged(), Damaged { count: 1, places: vec!["the archive of an older log, key \"k2\"".to_owned()] });
    }

    /// All entries, each with where it lies.
    type Entries = Vec<(Option<String>, Row)>;

    /// Entries as a writer leaves them: in each partition the time never goes back, whatever the clock did.
    fn logs() -> impl Strategy<Value = (Store, Vec<Row>, Entries)> {
        let entry = (0usize..5, 0u32..5 * 86_400, 0usize..4, any::<bool>(), prop::option::of(0u32..100_000));
        (prop::collection::vec(entry, 0..150), 1u32..5000, 1usize..40).prop_map(|(entries, grain, room)| {
            let withs = [None, Some("@"), Some("juliet@example.com"), Some("romeo@example.com")];
            let mut entries = entries;
            entries.sort_by_key(|(_, ago, ..)| u32::MAX - ago);
            let (mut store, mut journal, mut rows) = (Store::default(), Vec::new(), Vec::new());
            let waits_from = NOON - 3600.0;
            for (number, (class, ago, with, has_id, late)) in entries.iter().enumerate() {
                // Some seconds have many entries.
                let when = NOON - f64::from(ago / grain * grain);
                let class = ["", "events", "failures", "accounts", "events"][*class];
                let has_id = *has_id || !class.is_empty();
                let mut row = if has_id { row_with_id(number, when, withs[*with]) } else { row(number, when, withs[*with]) };
                // It was recorded later than it happened, or the clock had been set back.
                if let Some(late) = late {
                    let occurred = date_time(when - f64::from(*late)).unwrap();
                    row.xml = row.xml.replace("/>", &format!(" occurred='{occurred}'/>"));
                }
                let partition = (!class.is_empty()).then(|| store.partition(class, when, room));
                if class == "events" && when > waits_from {
                    journal.push(row.clone());
                    if number % 3 > 0 {
                        rows.push((Some("journal".to_owned()), row));
                        continue;
                    }
                }
                store.add(partition.as_deref(), row.clone());
                rows.push((partition, row));
            }
            (store, journal, rows)
        })
    }

    fn requests() -> impl Strategy<Value = Request> {
        let range = (prop::option::of(0u32..6 * 86_400), prop::option::of(0u32..6 * 86_400));
        let who = (prop::option::of(any::<bool>()), 0usize..4);
        (range, who, prop::option::of(0usize..200), any::<bool>(), 0usize..3, any::<bool>()).prop_map(
            |((since, until), (global, users), limit, oldest_first, types, of_class)| {
                let users = [vec![], vec!["juliet@example.com"], vec!["*@example.com"], vec!["j*", "romeo@example.com"]][users].clone();
                let types = [vec![], vec!["*1*"], vec!["t1*", "t2*"]][types].clone();
                let filter = Filter {
                    host: "example.com".to_owned(),
                    since: since.map(|ago| NOON - f64::from(ago)),
                    until: until.map(|ago| NOON - f64::from(ago)),
                    users: users.into_iter().map(Pattern::new).collect(),
                    types: types.into_iter().map(Pattern::new).collect(),
                    classes: if of_class { vec![Pattern::new("fail*"), Pattern::new("events")] } else { vec![] },
                    global,
                    ..Filter::default()
                };
                Request { filter, oldest_first, limit, after: None }
            },
        )
    }

    /// What is wanted, by reading everything: kind and place, in order.
    fn naive(rows: &[(Option<String>, Row)], request: &Request, cutoff: f64) -> Vec<(String, Place)> {
        let filter = &request.filter;
        let mut wanted: Vec<(String, Place)> = rows
            .iter()
            .filter(|(partition, row)| {
                let class = partition
                    .as_ref()
                    .and_then(|name| name.parse::<Partition>().ok())
                    .map_or("events".to_owned(), |partition| partition.class);
                let with = row.with.as_deref().unwrap_or("@");
                let event = StoredEvent::read(row).unwrap();
                let (kind, time) = (event.kind, crate::filter::position(event.time, row.when));
                row.when >= cutoff
                    && filter.since.is_none_or(|since| time >= since)
                    && filter.until.is_none_or(|until| time < until)
                    && filter.global.is_none_or(|global| global == (with == "@"))
                    && (filter.users.is_empty() || with != "@" && filter.users.iter().any(|user| user.matches(with)))
                    && (filter.types.is_empty() || filter.types.iter().any(|wanted| wanted.matches(&kind)))
                    && (filter.classes.is_empty() || filter.classes.iter().any(|wanted| wanted.matches(&class)))
            })
            .map(|(_, row)| (StoredEvent::read(row).unwrap().kind, Place::of(row)))
            .collect();
        wanted.sort_by(|a, b| in_order(request.oldest_first, &a.1, &b.1));
        wanted
    }

    proptest! {
        #[test]
        fn a_query_equals_a_naive_one((store, journal, rows) in logs(), request in requests(), days in prop::option::of(1u32..6)) {
            // The driver is asked for "@", and does not give what has nothing there: the log always has something.
            prop_assume!(request.filter.global != Some(true) || rows.iter().all(|(_, row)| row.with.is_some()));
            let expires_after = days.map_or(Period::Never, |days| Period::Seconds(f64::from(days) * DAY));
            let wanted = naive(&rows, &request, expires_after.cutoff(NOON).unwrap_or(f64::NEG_INFINITY));
            let limit = request.limit.unwrap_or(usize::MAX);
            let (found, query, _) = store.read(request, expires_after, &journal);
            prop_assert_eq!(query.damaged().count, 0);
            prop_assert_eq!(found, wanted.into_iter().map(|(kind, _)| kind).take(limit).collect::<Vec<_>>());
        }

        /// The archive of the community's modules and the journal are in the order of writing, whatever the clock did.
        #[test]
        fn a_clock_that_was_set_back_hides_nothing(entries in prop::collection::vec(0u32..2 * 86_400, 0..300), split in 0usize..300, (since, until) in (0u32..2 * 86_400, 0u32..2 * 86_400), oldest_first in any::<bool>()) {
            let mut entries = entries;
            entries.sort_by_key(|ago| u32::MAX - ago);
            let (mut store, mut journal, mut wanted) = (Store::default(), Vec::new(), Vec::new());
            let request = filtered(|filter| (filter.since, filter.until) = (Some(NOON - f64::from(since.max(until)) - 1.0), Some(NOON - f64::from(since.min(until)))));
            for (number, ago) in entries.iter().enumerate() {
                let when = NOON - f64::from(*ago) - if number >= split { 80_000.0 } else { 0.0 };
                let row = row_with_id(number, when, None);
                if request.filter.since.is_some_and(|since| when >= since) && request.filter.until.is_some_and(|until| when < until) {
                    wanted.push(format!("t{number}"));
                }
                if number % 3 == 0 { journal.push(row) } else { store.add(None, row) }
            }
            let (mut found, ..) = store.read(Request { oldest_first, ..request }, Period::Never, &journal);
            found.sort();
            wanted.sort();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn pages_are_the_log_whatever_arrives_meanwhile((store, journal, rows) in logs(), request in requests(), size in 1usize..40) {
            prop_assume!(request.filter.global != Some(true) || rows.iter().all(|(_, row)| row.with.is_some()));
            let wanted = naive(&rows, &request, f64::NEG_INFINITY);
            let mut store = store;
            let mut request = Request { limit: Some(size), ..request };
            let (mut found, mut arrived) = (Vec::new(), 0);
            loop {
                let (page, query, _) = store.read(request.clone(), Period::Never, &journal);
                let is_last = page.len() < size;
                found.extend(page);
                // The next page begins where a person says, by a text.
                request.after = query.last().map(|place| place.to_string().parse().unwrap()).or(request.after);
                if is_last || !request.oldest_first && arrived > 400 {
                    break;
                }
                if !request.oldest_first {
                    arrived += 1;
                    store.add(Some("@failures.2026-11-24"), row_with_id(1000 + arrived, NOON + 1.0, Some("juliet@example.com")));
                }
            }
            prop_assert_eq!(found, wanted.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>());
        }
    }
}
