//! A reader of a host's entries with a position of its own, which is kept over restarts and delays no other reader.
//!
//! Usually a cursor reads the copies in memory that [`Tail`] keeps. After a restart, and when it has fallen behind what is in memory,
//! it searches the store (and what waits in the journal) for what it has not read, oldest first. The search is a loop of the caller,
//! who may have to wait for a driver:
//!
//! 1. [`wants`](Cursor::wants) says what to do: read from memory, search from a place on, or nothing.
//! 2. Events that are found are given to [`feed`](Cursor::feed), until it does not want more for now.
//! 3. If everything was searched, [`searched`](Cursor::searched) ends the search. If entries were removed before they could be read,
//!    the number of missing ones is then returned as a [`Gap`], in its place in the order.
//!
//! [`take`](Cursor::take) returns what was read, each with the [`Place`] after it. When the reader is done with entries, it says so
//! by [`commit`](Cursor::commit). After a failure, [`rewind`](Cursor::rewind) goes back to the last commit. [`Cursor::saved`] is what
//! to keep on disk.
//!
//! What is new is decided by the ids of entries, which go up also if the clock is set back. If a process finds that the clock was set
//! back since the last one, entries since then may be read twice. None is left out.

mod saved;

use std::collections::VecDeque;

use uuid::Uuid;

use super::tail::{Tail, number_of};
use crate::entry::payload::{begin_of, time_of};
use crate::entry::{Row, StoredEvent};
pub use saved::Saved;

/// How many entries a search finds ahead.
const AHEAD: usize = 500;
/// How far the clock may be set back after a position was saved, in seconds, without an entry being left out after a crash.
const MARGIN: f64 = 60.0;

/// A reader of a host's entries.
#[derive(Debug)]
pub struct Cursor {
    reader: usize,
    /// What is read next.
    next: Place,
    /// What was committed last.
    done: Place,
    /// What a search has found.
    ready: VecDeque<(Read, Place)>,
    /// The place behind the last one in `ready`.
    found: Place,
}

/// A place between two entries, in the order in which a cursor reads them.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The number of the next entry in the tail, after the search.
    number: u64,
    /// Entries with this id and lower ones were read.
    above: u128,
    search: Option<Search>,
}

/// A search for entries that are not in memory any more.
#[derive(Clone, Debug, PartialEq)]
struct Search {
    /// No entry that is searched was recorded before this time.
    low: f64,
    /// No entry that is counted as expected was recorded before this time.
    since: f64,
    /// The second and the id of the last entry that was found.
    after: Option<(f64, u128)>,
    /// Entries with higher ids are in memory, or belong to a later search.
    upto: u128,
    /// All entries that were in memory when the search began, or were recorded after that, have higher ids.
    fresh: u128,
    /// How many entries there must be at least.
    expected: u64,
    /// None of them has a higher id.
    counted: u128,
    found: u64,
}

/// What a cursor needs to go on.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// [`Cursor::take`] has something.
    Take,
    /// Search from this time on, in UNIX seconds, or after this entry: its second and its id.
    Search(f64, Option<(f64, String)>),
    /// There is nothing to read.
    Nothing,
}

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// An entry.
    Event(Box<StoredEvent>),
    /// Entries that are missing here.
    Gap(Gap),
}

/// Entries that were removed before they could be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// How many there are, at least.
    pub count: u64,
    /// They were recorded after this time, in UNIX seconds.
    pub since: f64,
    /// They were recorded before this time, in UNIX seconds.
    pub until: f64,
}

impl Cursor {
    /// A cursor that continues at a saved position, or begins with the first entry that the tail has. `fresh` is a new id, higher
    /// than all that this process has made.
    #[must_use]
    pub fn open(tail: &mut Tail, saved: Option<&Saved>, fresh: Uuid) -> Self {
        let fresh = fresh.as_u128();
        let place = match saved {
            None => Place { number: tail.first(), above: fresh, search: None },
            Some(saved) => {
                let mut search = Search::resumed(saved, tail.since(), fresh);
                let is_clock_back = search.is_clock_back(saved.above);
                let above = if is_clock_back { 0 } else { saved.above };
                let number = tail.behind(above);
                // What is in memory is read from there, or by the search after this one. If this process has saved the position, some of
                // it was counted then.
                let (first, counted) = tail.kept(number, saved.upto.filter(|_| !is_clock_back).unwrap_or_default());
                search.fresh = first.map_or(fresh, |id| id.saturating_sub(1)).min(fresh);
                search.expected = search.expected.saturating_sub(counted);
                Place { number, above, search: Some(search) }
            }
        };
        let reader = tail.join(place.number);
        Self { reader, next: place.clone(), done: place.clone(), ready: VecDeque::new(), found: place }
    }

    /// Says what to do next. `fresh` returns a new id.
    pub fn wants(&mut self, tail: &Tail, fresh: impl FnOnce() -> Uuid) -> Want {
        if !self.ready.is_empty() {
            return Want::Take;
        }
        if self.next.search.is_none() {
            if self.next.number >= tail.first() {
                return if self.next.number < tail.end() { Want::Take } else { Want::Nothing };
            }
            let low = self.low(tail);
            self.next.fall_behind(tail, low, low, fresh().as_u128(), 0);
            self.found = self.next.clone();
        }
        self.found.search.as_ref().map_or(Want::Nothing, |search| {
            Want::Search(search.low.floor(), search.after.map(|(when, id)| (when, Uuid::from_u128(id).to_string())))
        })
    }

    /// Takes events that a search has found, in their order. Returns whether it wants more for now.
    pub fn feed(&mut self, tail: &Tail, events: Vec<StoredEvent>) -> bool {
        let in_memory = tail.ids(self.found.number);
        let is_followed = self.found.is_followed(tail);
        let low = self.low(tail).floor();
        for event in events {
            let Some(search) = &mut self.found.search else { return false };
            let Some(id) = event.id.as_deref().and_then(number_of) else { continue };
            search.after = Some((event.stored, id));
            let is_new = id > self.found.above && id <= search.upto || tail.is_late(id);
            // Found again by the search for what this process has recorded, which counts it.
            let is_for_later = is_followed && id > search.fresh && id <= tail.highest() && event.stored >= low;
            if is_new && !is_for_later && !in_memory.contains(&id) {
                search.find(id);
                self.ready.push_back((Read::Event(Box::new(event)), self.found.clone()));
            }
        }
        // What was found is known to be there from now on, also if it has to be found again.
        if let (Some(search), Some(done)) = (&self.found.search, &mut self.done.search) {
            done.expect(search);
        }
        self.ready.len() < AHEAD
    }

    /// Ends a search: everything was read, at the time `now`.
    pub fn searched(&mut self, tail: &Tail, now: f64) {
        let (is_followed, low) = (self.found.is_followed(tail), self.low(tail));
        let Some(search) = self.found.search.take() else { return };
        self.found.above = search.fresh;
        let missing = search.expected.saturating_sub(search.found);
        if is_followed {
            // What seems to be missing may be found among what this process has recorded, if the clock was set back before it began.
            self.found.fall_behind(tail, low, search.since.min(low), tail.highest(), missing);
        } else if missing > 0 {
            let gap = Gap { count: missing, since: search.since, until: now };
            self.ready.push_back((Read::Gap(gap), self.found.clone()));
            return;
        }
        if let Some((_, place)) = self.ready.back_mut() {
            *place = self.found.clone();
        } else {
            self.next = self.found.clone();
        }
    }

    /// The next entries: at most `most`, each with the place after it.
    pub fn take(&mut self, tail: &Tail, most: usize) -> Vec<(Read, Place)> {
        let mut taken = Vec::new();
        while taken.len() < most {
            if let Some((read, place)) = self.ready.pop_front() {
                self.next = place.clone();
                taken.push((read, place));
                continue;
            }
            let Some(payload) = tail.get(self.next.number).filter(|_| self.next.search.is_none()) else { break };
            self.next.number = self.next.number.saturating_add(1);
            // Every payload is an entry that this process has made.
            if let Some(event) = event_of(payload) {
                let id = event.id.as_deref().and_then(number_of);
                self.next.above = self.next.above.max(id.unwrap_or_default());
                taken.push((Read::Event(Box::new(event)), self.next.clone()));
            }
        }
        if self.next.search.is_none() {
            self.found = self.next.clone();
        }
        taken
    }

    /// The reader is done with everything before a place, which [`take`](Self::take) returned.
    pub fn commit(&mut self, tail: &mut Tail, place: &Place) {
        let before = self.done.search.take();
        self.done = place.clone();
        if let (Some(search), Some(before)) = (&mut self.done.search, before) {
            search.expect(&before);
        }
        tail.done(self.reader, place.number);
    }

    /// The place after everything that was taken.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.next
    }

    /// Goes back to the last commit.
    pub fn rewind(&mut self) {
        self.ready.clear();
        self.next = self.done.clone();
        self.found = self.done.clone();
    }

    /// How many entries are not committed, as far as that is known.
    #[must_use]
    pub fn behind(&self, tail: &Tail) -> u64 {
        let searched = self.done.search.as_ref().map_or(0, |search| search.expected.saturating_sub(search.found));
        searched.saturating_add(tail.end().saturating_sub(self.done.number))
    }

    /// A time before which no entry was recorded that is not committed. Returns `None` if there is no such entry.
    #[must_use]
    pub fn oldest(&self, tail: &Tail) -> Option<f64> {
        let in_memory = tail.mark(self.reader).map(|mark| mark.low).filter(|low| low.is_finite());
        let searched = self.done.search.as_ref().map(|search| search.after.map_or(search.low, |(when, _)| when));
        searched.into_iter().chain(in_memory).reduce(f64::min)
    }

    /// When the next entry was recorded that was not taken, in whole seconds. Returns `None` if all were.
    #[must_use]
    pub fn next_time(&self, tail: &Tail) -> Option<f64> {
        if let Some((Read::Event(event), _)) = self.ready.front() {
            return Some(event.stored);
        }
        match &self.next.search {
            Some(search) => Some(search.after.map_or(search.low, |(when, _)| when)),
            None => tail.get(self.next.number.max(tail.first())).and_then(time_of).map(f64::floor),
        }
    }

    /// What to keep on disk, at the time `now`: the position of the last commit.
    #[must_use]
    pub fn saved(&self, tail: &Tail, now: f64) -> Saved {
        let low = tail.mark(self.reader).map_or(now, |mark| mark.low.min(now));
        let upto = self.done.search.as_ref().map_or(self.done.above, |search| search.counted).max(tail.highest());
        let (above, behind) = (self.done.above, self.behind(tail));
        let saved = Saved { above, low: low - MARGIN, behind, search: None, upto: Some(upto).filter(|id| *id < u128::MAX) };
        match &self.done.search {
            None => saved,
            Some(search) => Saved { low: search.low.min(saved.low), search: search.after.map(|(when, id)| (when, id, low)), ..saved },
        }
    }

    /// Ends it, so that nothing is kept for it any more.
    pub fn close(self, tail: &mut Tail) {
        tail.leave(self.reader);
    }

    /// A time before which no entry of this process was recorded that is not committed.
    fn low(&self, tail: &Tail) -> f64 {
        tail.mark(self.reader).map_or(tail.since(), |mark| mark.low)
    }
}

impl Place {
    /// A search begins for what is not in memory any more, and for `more` entries that a search before has not found.
    fn fall_behind(&mut self, tail: &Tail, low: f64, since: f64, fresh: u128, more: u64) {
        let expected = tail.end().saturating_sub(self.number).saturating_add(more);
        self.search = Some(Search { low, since, after: None, upto: fresh, fresh, expected, counted: fresh, found: 0 });
        self.number = tail.end();
    }

    /// Whether this is a search for what former processes have recorded, and another one follows it for what this process has.
    fn is_followed(&self, tail: &Tail) -> bool {
        self.search.as_ref().is_some_and(Search::is_resumed) && self.number < tail.first()
    }
}

impl Search {
    /// A search for what a former process, or a former run of the reader, has not read.
    fn resumed(saved: &Saved, since: f64, fresh: u128) -> Self {
        let counted = saved.upto.unwrap_or(u128::MAX);
        let (low, expected) = (saved.low, saved.behind);
        let mut search = Self { low, since: low, after: None, upto: u128::MAX, fresh, expected, counted, found: 0 };
        if search.is_clock_back(saved.above) {
            search.low = search.low.min(since);
        } else if let Some((when, id, next)) = saved.search {
            // If the clock was set back during the search, what was recorded since may come before that place.
            search.after = Some((when, id)).filter(|_| next.floor() > when);
        }
        search
    }

    /// Whether the ids of this process need not be above those that were read before.
    const fn is_clock_back(&self, above: u128) -> bool {
        self.is_resumed() && self.fresh <= above
    }

    /// Whether it is for what former processes have recorded. Their ids may be higher than those of this process.
    const fn is_resumed(&self) -> bool {
        self.upto == u128::MAX
    }

    /// An entry was found. A process that was killed may have recorded more than it had counted when it saved its position.
    fn find(&mut self, id: u128) {
        self.found = self.found.saturating_add(1);
        if id > self.counted {
            self.expected = self.expected.saturating_add(1);
            self.counted = id;
        }
        self.expected = self.expected.max(self.found);
    }

    /// There are at least as many entries as `other` expects, if it is the same search further on.
    fn expect(&mut self, other: &Self) {
        if self.fresh == other.fresh && self.expected < other.expected {
            self.expected = other.expected;
            self.counted = self.counted.max(other.counted);
        }
    }
}

/// The entry of a payload, as the store has it.
fn event_of(payload: &[u8]) -> Option<StoredEvent> {
    let when = time_of(payload)?.floor();
    let element = payload.get(begin_of(payload)..)?.to_owned();
    StoredEvent::read(&Row { when, element, ..Row::default() }).ok()
}

#[cfg(test)]
mod tests;
