//! The last entries of a host, in memory, for readers beside the hand-over.
//!
//! The journal lets an entry go as soon as the store has it, so a reader that is a moment later would not find it there. A tail keeps
//! a copy of each entry until all of its readers have read it, up to a number of bytes. A reader that needs an older entry gets it
//! from the store, see [`Cursor`](super::cursor::Cursor). Without a reader a tail keeps nothing, and an event costs one comparison.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

use crate::entry::payload::attribute_of;

/// How many ids that were out of order are remembered.
const MOST_LATE: usize = 256;
/// For how long a new tail keeps entries although nobody reads, in seconds: until all modules are loaded.
const LOADING: f64 = 30.0;

/// The last entries of a host.
///
/// Its numbers count the entries since the tail was made. They mean nothing to another process.
#[derive(Debug)]
pub struct Tail {
    room: usize,
    entries: VecDeque<Kept>,
    bytes: usize,
    /// The number of the next entry.
    end: u64,
    marks: Vec<Option<Mark>>,
    /// Whether no reader is expected any more that wants the entries from the beginning.
    is_settled: bool,
    /// The highest id so far.
    highest: u128,
    /// Ids below one that came earlier: a summary that was offered again has the id of the first attempt.
    late: VecDeque<u128>,
    /// When it was made, in UNIX seconds.
    since: f64,
}

#[derive(Debug)]
struct Kept {
    payload: Vec<u8>,
    /// Its id, as a number. A reader that searches the store compares it with that of each entry that it finds.
    id: Option<u128>,
    at: f64,
}

/// How far a reader is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// The number of the first entry that it may still need.
    pub(super) number: u64,
    /// No entry from that number on was recorded before this time.
    pub(super) low: f64,
}

impl Tail {
    /// A tail that keeps up to `room` bytes. For half a minute it keeps them although nobody reads, so that modules which are loaded
    /// meanwhile miss nothing. `now` is in UNIX seconds.
    #[must_use]
    pub fn new(room: usize, now: f64) -> Self {
        Self {
            room,
            entries: VecDeque::new(),
            bytes: 0,
            end: 0,
            marks: Vec::new(),
            is_settled: false,
            highest: 0,
            late: VecDeque::new(),
            since: now,
        }
    }

    /// Adds an entry that was recorded at `at`, in UNIX seconds.
    pub fn push(&mut self, payload: &[u8], at: f64) {
        if self.marks.is_empty() && !self.is_loading(at) {
            return;
        }
        let number = id_of(payload);
        if let Some(id) = number {
            if id <= self.highest {
                self.late.push_back(id);
                if self.late.len() > MOST_LATE {
                    self.late.pop_front();
                }
            }
            self.highest = self.highest.max(id);
        }
        self.end = self.end.saturating_add(1);
        for mark in self.marks.iter_mut().flatten() {
            mark.low = mark.low.min(at);
        }
        self.bytes = self.bytes.saturating_add(payload.len());
        self.entries.push_back(Kept { payload: payload.to_owned(), id: number, at });
        while self.bytes > self.room {
            self.drop_first();
        }
    }

    /// Whether readers may still come that want the entries from the beginning. If not, nothing is kept for them.
    fn is_loading(&mut self, now: f64) -> bool {
        if !self.is_settled && !(self.since..self.since + LOADING).contains(&now) {
            self.is_settled = true;
            self.release();
        }
        !self.is_settled
    }

    /// The number of the first entry that is kept. Equal to [`end`](Self::end) if there is none.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.end.saturating_sub(u64::try_from(self.entries.len()).unwrap_or(u64::MAX))
    }

    /// The number of the first entry that is kept and does not come before that id.
    pub(super) fn behind(&self, id: u128) -> u64 {
        let is_before = |kept: &&Kept| kept.id.is_some_and(|of| of <= id && !self.is_late(of));
        let before = self.entries.iter().take_while(is_before).count();
        self.first().saturating_add(u64::try_from(before).unwrap_or_default())
    }

    /// The number of the next entry.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// The highest id so far. What is recorded from now on has a higher one, or is [late](Self::is_late).
    pub(super) const fn highest(&self) -> u128 {
        self.highest
    }

    /// When the tail was made, in UNIX seconds.
    pub(super) const fn since(&self) -> f64 {
        self.since
    }

    /// The payload of an entry, if it is kept.
    pub(super) fn get(&self, number: u64) -> Option<&[u8]> {
        let index = usize::try_from(number.checked_sub(self.first())?).ok()?;
        self.entries.get(index).map(|kept| kept.payload.as_slice())
    }

    /// The ids of the entries from a number on that are kept.
    pub(super) fn ids(&self, from: u64) -> HashSet<u128> {
        let skipped = usize::try_from(from.saturating_sub(self.first())).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped).filter_map(|kept| kept.id).collect()
    }

    /// Of the entries from a number on: the lowest id, and how many have the id `upto` or a lower one.
    pub(super) fn kept(&self, from: u64, upto: u128) -> (Option<u128>, u64) {
        let skipped = usize::try_from(from.saturating_sub(self.first())).unwrap_or(usize::MAX);
        let ids = || self.entries.iter().skip(skipped).filter_map(|kept| kept.id).filter(|id| !self.is_late(*id));
        (ids().min(), u64::try_from(ids().filter(|id| *id <= upto).count()).unwrap_or(u64::MAX))
    }

    /// Whether an id is below one that came earlier.
    pub(super) fn is_late(&self, id: u128) -> bool {
        self.late.contains(&id)
    }

    /// Adds a reader that needs the entries from a number on. Returns which one it is.
    pub(super) fn join(&mut self, number: u64) -> usize {
        let free = self.marks.iter().position(Option::is_none);
        let reader = free.unwrap_or_else(|| {
            self.marks.push(None);
            self.marks.len().saturating_sub(1)
        });
        self.set_mark(reader, number);
        reader
    }

    /// Removes a reader.
    pub(super) fn leave(&mut self, reader: usize) {
        if let Some(mark) = self.marks.get_mut(reader) {
            *mark = None;
        }
        while self.marks.last().is_some_and(Option::is_none) {
            self.marks.pop();
        }
        self.release();
    }

    /// A reader is done with all entries before a number.
    pub(super) fn done(&mut self, reader: usize, number: u64) {
        if self.mark(reader).is_some_and(|mark| mark.number != number) {
            self.set_mark(reader, number);
            self.release();
        }
    }

    pub(super) fn mark(&self, reader: usize) -> Option<Mark> {
        self.marks.get(reader).copied().flatten()
    }

    fn set_mark(&mut self, reader: usize, number: u64) {
        let first = self.first();
        let skipped = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
        let kept = self.entries.iter().skip(skipped).map(|kept| kept.at).fold(f64::INFINITY, f64::min);
        // If some of the entries are not kept any more, what was known of them stays true.
        let known = if number >= first { f64::INFINITY } else { self.mark(reader).map_or(self.since, |mark| mark.low) };
        if let Some(mark) = self.marks.get_mut(reader) {
            *mark = Some(Mark { number, low: kept.min(known) });
        }
    }

    /// Drops the entries that no reader needs.
    fn release(&mut self) {
        if !self.is_settled {
            return;
        }
        let needed = self.marks.iter().flatten().map(|mark| mark.number).min().unwrap_or(self.end);
        while self.first() < needed.min(self.end) {
            self.drop_first();
        }
        if self.entries.is_empty() {
            self.entries.shrink_to(64);
        }
    }

    fn drop_first(&mut self) {
        match self.entries.pop_front() {
            Some(kept) => self.bytes = self.bytes.saturating_sub(kept.payload.len()),
            None => self.bytes = 0,
        }
    }
}

/// The id of an entry, as a number.
pub(super) fn id_of(payload: &[u8]) -> Option<u128> {
    number_of(attribute_of(payload, "id")?)
}

/// An id as a number.
pub(super) fn number_of(id: &str) -> Option<u128> {
    Uuid::try_parse(id).ok().map(|id| id.as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: f64 = 1000.0;

    fn payload(id: u128) -> Vec<u8> {
        let id = Uuid::from_u128(id).to_string();
        [b"1\0\x01audit-event\x02id\x03".as_slice(), id.as_bytes(), b"\x05"].concat()
    }

    #[test]
    fn entries_are_kept_until_the_slowest_reader_has_read_them() {
        let mut tail = Tail::new(1 << 20, 0.0);
        tail.push(&payload(1), LATER);
        assert_eq!((tail.first(), tail.end()), (0, 0), "nobody reads");
        let (slow, fast) = (tail.join(0), tail.join(0));
        for id in 2..6 {
            tail.push(&payload(id), LATER + id as f64);
        }
        tail.done(fast, 4);
        assert_eq!((tail.first(), tail.end()), (0, 4));
        tail.done(slow, 2);
        assert_eq!((tail.first(), tail.mark(slow).unwrap().low, tail.mark(fast).unwrap().low), (2, LATER + 4.0, f64::INFINITY));
        assert_eq!(tail.get(2).and_then(id_of), Some(4));
        tail.leave(slow);
        assert_eq!(tail.first(), 4);
        tail.leave(fast);
        tail.push(&payload(7), LATER);
        assert_eq!((tail.first(), tail.end(), tail.bytes), (4, 4, 0));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut tail = Tail::new(200, 0.0);
        let reader = tail.join(0);
        for id in 1..100 {
            tail.push(&payload(id), if id == 10 { -5.0 } else { 7.0 });
            assert!(tail.bytes <= 200);
        }
        assert!(tail.first() > 90 && tail.get(0).is_none());
        assert_eq!(tail.mark(reader).unwrap().low, -5.0, "also of those that are not kept");
        tail.done(reader, tail.first());
        assert_eq!(tail.mark(reader).unwrap().low, 7.0);
        tail.push(&[0; 300], 8.0);
        assert_eq!((tail.first(), tail.bytes), (tail.end(), 0));
    }

    #[test]
    fn entries_from_the_beginning_are_kept_while_modules_are_loaded() {
        let mut tail = Tail::new(1 << 20, 0.0);
        tail.push(&payload(3), 1.0);
        tail.push(&payload(2), 1.0);
        assert_eq!((tail.first(), tail.end()), (0, 2));
        assert_eq!((tail.is_late(3), tail.is_late(2), tail.ids(1).len()), (false, true, 1));
        tail.push(&payload(4), LATER);
        assert_eq!((tail.first(), tail.end()), (2, 2));
        // Also if the clock is set back.
        let mut tail = Tail::new(1 << 20, LATER);
        tail.push(&payload(3), LATER);
        tail.push(&payload(4), 0.0);
        assert_eq!((tail.first(), tail.end()), (1, 1));
    }
}
