//! Reading the log: which partitions to open, in which order, and which of their entries are wanted.
//!
//! A query does not call the store. It names the page that it needs next ([`Query::next_page`]), takes the rows of that page
//! ([`Query::feed`]), and returns events when no other event can come before them ([`Query::take`]). It holds at most one page of
//! each class, however long the log is.
//!
//! Entries are ordered by the second in which they were recorded, then by their identifiers, which also sort by time. So a page can
//! begin after any entry ([`Position`]), and entries that arrive in the meantime do not change what comes after it.

pub mod account;
pub mod follow;
mod page_size;
mod request;
mod sequence;
pub mod slices;
mod steps;

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};

use crate::archive::partition::Partition;
use crate::archive::retention::Retention;
use crate::entry::{Row, StoredEvent};
pub use crate::filter::Filter;
use crate::filter::beginning::Beginning;
pub use crate::filter::position::{Position, PositionError};
use crate::pace::Pace;
use crate::query::page_size::{BatchSize, PageSize};
pub use follow::{Follower, Look};
use request::withs;
pub use request::{Conditions, Page, ReadFrom, Request, Seeks};
use sequence::{Candidate, Content, Sequence, Source, bounds, end_of_day, in_order, is_left_out, sequences, wanted};
use steps::name_of;
pub use steps::{Damaged, Steps};

const DAY: f64 = 86_400.0;

/// How often a partition is read again from its beginning if the row to continue after is gone.
const MOST_RESTARTS: u8 = 20;

/// One reading of the log of one host.
#[derive(Debug)]
pub struct Query {
    request: Request,
    retention: Retention,
    now: f64,
    sequences: Vec<Sequence>,
    /// The moves of the old archive that were complete when the query began.
    generations: HashSet<u32>,
    /// The moves that became complete since, each with the `with` for which their partitions are read.
    moved: HashSet<(u32, Option<String>)>,
    /// See [`bounds`].
    bounds: (f64, f64),
    pages: PageSize,
    /// How long what was done with the entries of the last page took at most without a pause, in seconds.
    used: f64,
    /// See [`in_batches`](Self::in_batches).
    batches: Option<BatchSize>,
    /// The names of entries that are about as new as those in the journal. Such an entry may go to the store during the query, and
    /// then it is read twice.
    met: HashSet<String>,
    /// Since when entries wait in the journal.
    waiting_since: f64,
    found: VecDeque<StoredEvent>,
    hidden: Vec<StoredEvent>,
    count: usize,
    last: Option<Position>,
    damaged: Damaged,
}

impl Query {
    /// A query over the archive users that a store lists. Names that are not partitions of the log are ignored. The archive of the
    /// community's modules, which no driver lists, is always read. `waiting_since` is the time of the oldest entry in the journal,
    /// if there is one.
    #[must_use]
    pub fn new(request: Request, conditions: Conditions, users: impl IntoIterator<Item = String>, waiting_since: Option<f64>) -> Self {
        let partitions: Vec<Partition> = users.into_iter().filter_map(|name| name.parse().ok()).collect();
        let generations = partitions.iter().filter_map(Partition::generation).collect();
        let of_partitions =
            |with: &Option<String>| sequences(&request, &conditions.retention, conditions.now, with.as_ref(), partitions.clone());
        let mut sequences: Vec<Sequence> = withs(&request.filter).iter().flat_map(of_partitions).collect();
        sequences.extend(Self::of_nil(&request, &conditions.retention, conditions.now, &ReadFrom::Store(None)));
        if waiting_since.is_some() {
            sequences.push(Sequence::unbounded(ReadFrom::Journal, None, &request, conditions.retention.last_cutoff(conditions.now)));
        }
        let pages = PageSize::new(request.limit.filter(|_| request.after.is_none()), conditions.slice, conditions.seeks);
        Self {
            bounds: bounds(&request),
            request,
            retention: conditions.retention,
            now: conditions.now,
            sequences,
            generations,
            moved: HashSet::new(),
            pages,
            used: 0.0,
            batches: None,
            met: HashSet::new(),
            waiting_since: waiting_since.map_or(f64::INFINITY, f64::floor),
            found: VecDeque::new(),
            hidden: Vec::new(),
            count: 0,
            last: None,
            damaged: Damaged::default(),
        }
    }

    /// The same, with archive user `nil` of another driver, from which entries are being moved.
    #[must_use]
    pub fn with_former(mut self) -> Self {
        self.sequences.extend(Self::of_nil(&self.request, &self.retention, self.now, &ReadFrom::Former));
        self
    }

    /// The same, for a caller that can use entries in small batches, each in at most `slice` seconds. Pages are not smaller for it: many
    /// drivers read a whole partition to find where a page begins.
    #[must_use]
    pub fn in_batches(self, slice: f64) -> Self {
        Self { batches: Some(BatchSize::new(slice)), ..self }
    }

    /// What is read of an archive user `nil`.
    fn of_nil(request: &Request, retention: &Retention, now: f64, from: &ReadFrom) -> Vec<Sequence> {
        let (filter, cutoff) = (&request.filter, retention.last_cutoff(now));
        let mut sequences = Vec::new();
        for with in withs(filter) {
            // The community's first module stored localparts. If the store is asked for one `with`, it is asked for both forms.
            let jid = with.as_deref().filter(|_| !filter.users.is_empty());
            let local = jid.and_then(|jid| jid.strip_suffix(&format!("@{}", filter.host))).filter(|local| !local.is_empty());
            sequences.extend(local.map(|local| Sequence::unbounded(from.clone(), Some(local.to_owned()), request, cutoff)));
            // There, entries about the whole host may have no `with`.
            let narrow = with.filter(|_| !filter.users.is_empty());
            sequences.push(Sequence::unbounded(from.clone(), narrow, request, cutoff));
        }
        sequences
    }

    /// The page that must be read before more events can be returned. Returns `None` if everything was read, or enough was found.
    #[must_use]
    pub fn next_page(&self) -> Option<Page> {
        let (sequence, source) = self.next_source()?;
        let oldest_first = self.request.oldest_first;
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

    /// What that page is read from, and the number of its sequence.
    fn next_source(&self) -> Option<(usize, &Source)> {
        if self.is_satisfied() {
            return None;
        }
        let oldest_first = self.request.oldest_first;
        let front = self
            .sequences
            .iter()
            .filter_map(Sequence::front)
            .map(|entry| entry.place.when)
            .reduce(|a, b| if oldest_first { a.min(b) } else { a.max(b) });
        // Rows that were not wanted also show how far a partition was read.
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
        // Read the one that may have the next entry. A class without wanted entries is read no further than the others.
        sources.filter(|(_, source)| may_come_first(source)).min_by(|(_, a), (_, b)| {
            if oldest_first { a.reached(a.start).total_cmp(&b.reached(b.start)) } else { b.reached(b.end).total_cmp(&a.reached(a.end)) }
        })
    }

    /// The caller did something with the entries that it has taken last, which took `seconds` without a pause.
    pub fn use_took(&mut self, seconds: f64) {
        match &mut self.batches {
            Some(batches) => batches.took(seconds),
            None => self.used = self.used.max(seconds),
        }
    }

    /// Takes the rows of a page, in its order. If there are fewer rows than the page's limit, the partition ends with them.
    ///
    /// `skipped` is the number of rows that the store could not read, and `seconds` is how long reading took. The caller may add how long
    /// this call took for the page before.
    pub fn feed(&mut self, page: &Page, rows: Vec<Row>, skipped: usize, seconds: f64) {
        // Pages are also as small as what is done with their entries needs, such as rendering them, unless that is done in batches.
        let is_within_a_second = match (rows.first(), rows.last()) {
            (Some(first), Some(last)) => page.behind.is_some() && (first.when - last.when).abs() <= 1.0,
            _ => false,
        };
        self.pages.took(rows.len().saturating_add(skipped), seconds.max(std::mem::take(&mut self.used)), is_within_a_second);
        if skipped > 0 {
            self.damaged.add(skipped, || name_of(&page.from, None));
        }
        let Some(sequence) = self.sequences.get_mut(page.sequence) else { return };
        let last = rows.last().map(|row| row.when);
        let begins = self.request.filter.begins.as_ref().map(Beginning::time);
        let bounds = [sequence.cutoff, self.request.filter.since, begins];
        let bound = bounds.into_iter().flatten().fold(f64::NEG_INFINITY, f64::max);
        // Within a partition the time never goes back. In the old archive and in the journal it can, if the clock was set back.
        // There, reading ends at a whole page that is out of range by more than a day.
        let margin = if matches!(page.from, ReadFrom::Store(Some(_))) { 0.0 } else { DAY };
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
                    // The next one may have more entries of the same second.
                    next.end = next.end.min(reached.floor() + 1.0);
                }
            }
        }
        let is_new = |row: &Row| sequence.from.is_none_or(|from| if page.oldest_first { row.when >= from } else { row.when <= from });
        for row in rows.into_iter().filter(is_new) {
            let place = Position::of(&row);
            let kept = sequence.cutoff.is_none_or(|cutoff| row.when >= cutoff);
            // A driver may ignore `with`. The same archive is then read for another one, too.
            let asked_for = page.with.as_deref().is_none_or(|with| row.with.as_deref() == Some(with));
            if kept && asked_for && !is_left_out(&self.request, &place) && self.request.filter.may_admit(&row) {
                let waits = page.from == ReadFrom::Journal;
                let content = match StoredEvent::read(&row) {
                    Ok(event) => {
                        wanted(&self.request.filter, &row, event, sequence.class.as_deref(), &self.retention, self.now).map(Content::Event)
                    }
                    Err(_) => Some(Content::Damaged(name_of(&page.from, Some(&row.key)))),
                };
                sequence.entries.extend(content.map(|content| Candidate { place, waits, content }));
            }
        }
        // Sort the entries of one second. The others are in order already.
        let oldest_first = page.oldest_first;
        sequence.entries.make_contiguous().sort_by(|a, b| in_order(oldest_first, &a.place, &b.place));
        self.merge();
    }

    /// Call this instead of [`feed`](Self::feed) if the store does not know the row that a page begins after: it was removed, or
    /// written again under another key. The partition, or its copy, is then read from its beginning, and rows that were read before
    /// are skipped.
    pub fn lost_place(&mut self, page: &Page) {
        let Some(sequence) = self.sequences.get_mut(page.sequence) else { return };
        let Some(source) = sequence.sources.front_mut().filter(|source| source.from == page.from) else { return };
        if !source.use_copy() && !source.begin_again() {
            sequence.sources.pop_front();
            self.damaged.add(1, || format!("{} was written again and again while it was read", name_of(&page.from, None)));
        }
        self.merge();
    }

    /// Call this with the archive users that the store lists now, before an empty page of the community's archive is fed: pruning
    /// may have moved that archive into partitions. They are read from the time on that was reached.
    pub fn moved(&mut self, page: &Page, users: impl IntoIterator<Item = String>) {
        let is_new = |partition: &Partition| {
            let generation = partition.generation().filter(|generation| !self.generations.contains(generation));
            generation.is_some_and(|generation| !self.moved.contains(&(generation, page.with.clone())))
        };
        let partitions: Vec<Partition> = users.into_iter().filter_map(|name| name.parse().ok()).filter(is_new).collect();
        self.moved.extend(partitions.iter().filter_map(Partition::generation).map(|generation| (generation, page.with.clone())));
        let Some(sequence) = self.sequences.get_mut(page.sequence).filter(|_| !partitions.is_empty()) else { return };
        // More entries of the last second may follow, so none of them was returned yet. That second is read again.
        sequence.entries.retain(|entry| Some(entry.place.when) != page.near);
        let moved = sequences(&self.request, &self.retention, self.now, page.with.as_ref(), partitions);
        self.sequences.extend(moved.into_iter().map(|sequence| Sequence { from: page.near, ..sequence }));
    }

    /// The events that are found and were not taken yet, in order. If time for a page is limited, this returns some of them, and
    /// [`is_taken`](Self::is_taken) says whether there are more.
    pub fn take(&mut self) -> Vec<StoredEvent> {
        let found = self.found.len();
        let count = self.batches.as_mut().map_or_else(|| found.min(self.pages.largest()), |batches| batches.take(found));
        let taken = self.found.drain(..count).collect();
        if self.found.is_empty() {
            self.merge();
        }
        taken
    }

    /// The events that the filter hides ([`Filter::hides`]) and that were not taken yet. They come before the last event that was
    /// found, so that their number does not depend on the size of pages.
    pub fn take_hidden(&mut self) -> Vec<StoredEvent> {
        std::mem::take(&mut self.hidden)
    }

    /// Whether all events that are found were taken.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.found.is_empty()
    }

    /// Frees at most `count` entries that were read and are not wanted any more, and returns whether none is left. Nothing can be found
    /// after that. A query may hold all entries of a second, thousands in a flood: Lua's garbage collector would free them at once.
    pub fn release(&mut self, count: usize) -> bool {
        let mut left = count;
        let mut free = |held: usize| {
            let freed = held.min(left);
            left = left.saturating_sub(freed);
            held.saturating_sub(freed)
        };
        self.found.truncate(free(self.found.len()));
        for sequence in &mut self.sequences {
            sequence.entries.truncate(free(sequence.entries.len()));
        }
        self.found.is_empty() && self.sequences.iter().all(|sequence| sequence.entries.is_empty())
    }

    /// The entries that could not be read.
    #[must_use]
    pub const fn damaged(&self) -> &Damaged {
        &self.damaged
    }

    /// The position of the last event that was found. The next page begins after it.
    #[must_use]
    pub const fn last(&self) -> Option<&Position> {
        self.last.as_ref()
    }

    fn is_satisfied(&self) -> bool {
        self.request.limit.is_some_and(|limit| self.count >= limit)
    }

    /// Moves entries to the found events, in order, until a page must be read, or there are enough for a batch: a second of a flood has
    /// thousands.
    fn merge(&mut self) {
        let oldest_first = self.request.oldest_first;
        let most = if self.batches.is_some() { Pace::MOST_ROWS } else { usize::MAX };
        while self.found.len() < most && !self.is_satisfied() && self.next_source().is_none() {
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
            // An entry of the store that is older than the journal's oldest can't be in the journal, too.
            if (entry.waits || entry.place.when >= self.waiting_since) && entry.place.has_id && !self.met.insert(entry.place.name.clone()) {
                continue;
            }
            match entry.content {
                Content::Event(event) if self.request.filter.hides(&event.kind) => self.hidden.push(*event),
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

#[cfg(all(test, feature = "storage"))]
mod driver_tests;
#[cfg(test)]
mod tests;
