//! Which journals may have files open, and which of them is closed next.

use std::collections::{HashMap, VecDeque};

/// The largest number of journals that have files open at a time. A process has a limit, often 1,024 files for all that it does.
const MOST: usize = 32;
/// A journal without pending entries is closed after this time without use, in seconds.
const IDLE: f64 = 5.0;

/// The journals that are in use, by host.
///
/// ```
/// use audit_core::journal::awake::Awake;
/// let mut awake = Awake::default();
/// assert_eq!(awake.touch("a.example", 10.0), None);
/// assert!(!awake.is_idle("a.example", 12.0) && awake.is_idle("a.example", 20.0));
/// assert_eq!(awake.hosts(), ["a.example"]);
/// awake.leave("a.example");
/// assert!(awake.hosts().is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Awake {
    used: HashMap<String, f64>,
    /// Those with open files. The one that was used last is at the end.
    open: VecDeque<String>,
}

impl Awake {
    /// Notes that the journal of `host` is used at `now`, in UNIX seconds. Returns the host of another journal, whose files are
    /// to be closed instead.
    pub fn touch(&mut self, host: &str, now: f64) -> Option<String> {
        match self.used.get_mut(host) {
            Some(used) => *used = now,
            None => {
                self.used.insert(host.to_owned(), now);
            }
        }
        if self.open.back().is_some_and(|last| last == host) {
            return None;
        }
        let found = self.open.iter().position(|open| open == host).and_then(|index| self.open.remove(index));
        self.open.push_back(found.unwrap_or_else(|| host.to_owned()));
        if self.open.len() > MOST { self.open.pop_front() } else { None }
    }

    /// Whether the journal of `host` has not been used for a while.
    #[must_use]
    pub fn is_idle(&self, host: &str, now: f64) -> bool {
        // The clock may have gone back.
        self.used.get(host).is_none_or(|used| (now - used).abs() >= IDLE)
    }

    /// Notes that the files of the journal of `host` are closed, and that nothing is pending in it.
    pub fn leave(&mut self, host: &str) {
        self.used.remove(host);
        self.open.retain(|open| open != host);
    }

    /// The hosts whose journals are in use.
    #[must_use]
    pub fn hosts(&self) -> Vec<&str> {
        self.used.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_used_longest_ago_is_closed() {
        let mut awake = Awake::default();
        let name = |index: usize| format!("host{index}.example");
        for index in 0..MOST {
            assert_eq!(awake.touch(&name(index), 1.0), None);
        }
        assert_eq!(awake.touch(&name(0), 2.0), None);
        assert_eq!(awake.touch(&name(MOST), 2.0), Some(name(1)));
        assert_eq!(awake.touch(&name(1), 2.0), Some(name(2)));
        // It is still looked after.
        assert_eq!(awake.hosts().len(), MOST + 1);
        awake.leave(&name(3));
        assert_eq!(awake.touch(&name(2), 2.0), None);
        assert_eq!((awake.hosts().len(), awake.open.len()), (MOST, MOST));
    }

    #[test]
    fn one_is_idle_after_a_while_whatever_the_clock_does() {
        let mut awake = Awake::default();
        awake.touch("a.example", 100.0);
        for (now, expected) in [(100.0, false), (104.9, false), (105.0, true), (50.0, true)] {
            assert_eq!(awake.is_idle("a.example", now), expected, "{now}");
        }
        awake.touch("a.example", 104.9);
        assert!(!awake.is_idle("a.example", 105.0));
        assert!(awake.is_idle("unknown.example", 0.0));
    }
}
