//! The entries that were written last and wait, in memory too: to hand them over need not read the file, and if somebody deletes
//! the file they can be written again.

use std::collections::VecDeque;
use std::ops::Range;

/// Entries that wait, in the order of their sequences, up to a number of bytes. Further ones are not kept.
#[derive(Debug, Default)]
pub(super) struct Recent {
    room: usize,
    entries: VecDeque<KeptRecord>,
    /// The contents and event types of the entries, one after the other.
    bytes: Vec<u8>,
    /// How many bytes at the beginning belong to no entry any more.
    released: usize,
}

#[derive(Debug)]
struct KeptRecord {
    sequence: u64,
    content: Range<usize>,
    /// Where the event type ends, which follows the content.
    end: usize,
    at: f64,
}

impl Recent {
    pub(super) fn new(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    /// Keeps an entry, if there is room. Its sequence is above all others.
    pub(super) fn push(&mut self, sequence: u64, content: &[u8], kind: &str, at: f64) {
        let used = self.bytes.len();
        let end = used.saturating_add(content.len()).saturating_add(kind.len());
        if end > self.room {
            return;
        }
        self.bytes.extend_from_slice(content);
        let content = used..self.bytes.len();
        self.bytes.extend_from_slice(kind.as_bytes());
        self.entries.push_back(KeptRecord { sequence, content, end, at });
    }

    /// The content of an entry.
    pub(super) fn get(&self, sequence: u64) -> Option<&[u8]> {
        self.bytes.get(self.find(sequence)?.content.clone())
    }

    /// The content of an entry, its event type, and when it arrived.
    pub(super) fn whole(&self, sequence: u64) -> Option<(&[u8], &str, f64)> {
        let kept = self.find(sequence)?;
        let kind = std::str::from_utf8(self.bytes.get(kept.content.end..kept.end)?).ok()?;
        Some((self.bytes.get(kept.content.clone())?, kind, kept.at))
    }

    /// Lets all before `upto` go.
    pub(super) fn release(&mut self, upto: u64) {
        while self.entries.front().is_some_and(|kept| kept.sequence < upto) {
            self.released = self.entries.pop_front().map_or(self.released, |kept| kept.end);
        }
        if self.entries.is_empty() {
            self.bytes.clear();
            self.released = 0;
        } else if self.released > self.room / 2 {
            let released = std::mem::take(&mut self.released);
            self.bytes.drain(..released.min(self.bytes.len()));
            for kept in &mut self.entries {
                kept.content = kept.content.start.saturating_sub(released)..kept.content.end.saturating_sub(released);
                kept.end = kept.end.saturating_sub(released);
            }
        }
    }

    fn find(&self, sequence: u64) -> Option<&KeptRecord> {
        let index = self.entries.binary_search_by_key(&sequence, |kept| kept.sequence).ok()?;
        self.entries.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kept_up_to_a_number_of_bytes_until_they_are_released() {
        let mut recent = Recent::new(40);
        for sequence in 5..10 {
            recent.push(sequence, b"content", "test", 1.5);
        }
        assert_eq!(recent.whole(7), Some((&b"content"[..], "test", 1.5)));
        assert_eq!((recent.get(4), recent.get(8)), (None, None), "there is room for three");
        // What is released makes room once it is more than half of all.
        recent.release(6);
        recent.push(10, b"another", "test", 2.5);
        assert_eq!((recent.get(5), recent.get(10)), (None, None));
        recent.release(7);
        recent.push(11, b"another", "kind", 2.5);
        assert_eq!((recent.whole(7), recent.whole(11)), (Some((&b"content"[..], "test", 1.5)), Some((&b"another"[..], "kind", 2.5))));
        recent.release(u64::MAX);
        assert_eq!(recent.get(11), None);
        recent.push(12, b"content", "test", 1.5);
        assert!(recent.get(12).is_some());
        let mut recent = Recent::new(22);
        recent.push(5, b"content", "test", 1.5);
        recent.push(6, b"content", "test", 1.5);
        recent.release(6);
        recent.push(7, b"content", "test", 1.5);
        assert_eq!((recent.get(6).is_some(), recent.get(7)), (true, None), "only a half is released");
    }
}
