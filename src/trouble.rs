//! Entries that could not be stored: counted each, told once for each cause.

use std::collections::HashMap;

/// A host has recovered once nothing has failed for so many seconds.
const QUIET: f64 = 60.0;

/// How many causes are told apart on a host; what comes after them is told as one.
const CAUSES: usize = 32;

/// Longest cause, in bytes: some drivers put a whole statement into their message.
const CAUSE_LIMIT: usize = 200;

/// What the store of each host did not take.
#[derive(Debug, Default)]
pub struct Trouble {
    hosts: HashMap<String, Episode>,
    lost: u64,
}

#[derive(Debug, Default)]
struct Episode {
    causes: HashMap<String, u64>,
    last: f64,
}

impl Trouble {
    /// Counts an entry of `host` that could not be stored because of `cause`, at `now` in UNIX seconds.
    ///
    /// Gives the line to log where this cause has not been told yet.
    pub fn failed(&mut self, host: &str, cause: &str, now: f64) -> Option<String> {
        self.lost = self.lost.saturating_add(1);
        let episode = self.hosts.entry(host.to_owned()).or_default();
        episode.last = now;
        let mut cause = first_line(cause);
        if !episode.causes.contains_key(cause) && episode.causes.len() >= CAUSES {
            cause = "other causes";
        }
        let count = episode.causes.entry(cause.to_owned()).or_default();
        *count = count.saturating_add(1);
        (*count == 1).then(|| {
            format!("Audit events of {host} can't be stored: {cause}. Check the storage of the host; each event is counted until it works again.")
        })
    }

    /// Takes note that an entry of `host` was stored at `now`. Gives the line to log where that ends a time of trouble.
    pub fn stored(&mut self, host: &str, now: f64) -> Option<String> {
        // Nothing to do is the way of nearly every event.
        if self.hosts.is_empty() {
            return None;
        }
        let episode = self.hosts.get(host)?;
        if now - episode.last < QUIET {
            return None;
        }
        let lost: u64 = episode.causes.values().sum();
        self.hosts.remove(host);
        Some(format!("Audit events of {host} are stored again; {lost} could not be stored."))
    }

    /// How many entries could not be stored, of all hosts, since the log was made.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

fn first_line(cause: &str) -> &str {
    let line = cause.lines().next().unwrap_or_default();
    let mut end = line.len().min(CAUSE_LIMIT);
    while !line.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    line.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_and_each_event_counted() {
        let mut trouble = Trouble::default();
        let line = trouble.failed("example.com", "database is locked", 0.0).unwrap();
        assert!(line.contains("example.com") && line.contains("database is locked"), "{line}");
        assert_eq!(trouble.failed("example.com", "database is locked", 1.0), None);
        assert!(trouble.failed("example.com", "disk full\nstack", 2.0).unwrap().contains("disk full."));
        assert_eq!(trouble.lost(), 3);
    }

    #[test]
    fn recovery_is_told_once_it_lasts() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.stored("example.com", 0.0), None);
        trouble.failed("example.com", "locked", 10.0);
        trouble.failed("example.com", "locked", 11.0);
        assert_eq!(trouble.stored("example.com", 12.0), None);
        assert_eq!(trouble.failed("example.com", "locked", 13.0), None, "a cause that comes and goes is told once");
        assert!(trouble.stored("example.com", 73.0).unwrap().contains("3 could not"));
        assert_eq!(trouble.stored("example.com", 74.0), None);
        assert!(trouble.failed("example.com", "locked", 75.0).is_some());
    }

    #[test]
    fn causes_are_bounded_in_number_and_length() {
        let mut trouble = Trouble::default();
        let told = (0..100).filter(|n| trouble.failed("example.com", &format!("row {n}: {}", "x".repeat(5000)), 0.0).is_some()).count();
        assert_eq!((told, trouble.lost()), (CAUSES + 1, 100));
        assert!(trouble.failed("example.net", &"é".repeat(5000), 0.0).unwrap().len() < 500);
    }
}
