//! The log lines about trouble with a store or a journal. Each cause is logged once, and the end of the trouble once.

use std::collections::HashMap;

/// A cause that comes and goes is logged once in this many seconds.
const PAUSE: f64 = 60.0;

/// The largest number of causes of a host that are told apart. All further causes are logged as one.
const CAUSES: usize = 32;

/// The longest text of a cause, in bytes. Some drivers put a whole statement or a long path into their message.
const CAUSE_LIMIT: usize = 320;

/// What happens to the entries that a store does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are in the journal and are offered again.
    Waits,
    /// They are in memory, because the journal can't be written, and are offered again.
    InMemory,
    /// There is no more room: they are lost and counted.
    Lost,
}

/// The trouble of each host, and the number of lost entries.
#[derive(Debug, Default)]
pub struct Trouble {
    hosts: HashMap<String, Episode>,
    lost: u64,
}

#[derive(Debug, Default)]
struct Episode {
    /// When each cause was last logged, in UNIX seconds.
    told: HashMap<String, f64>,
    /// Whether trouble was logged and its end was not.
    open: bool,
    /// How many entries were lost since the number was last logged.
    lost: u64,
}

impl Trouble {
    /// Notes that an entry of `host` could not be stored because of `cause`, at `now` in UNIX seconds.
    ///
    /// Returns the line to log, or `None` if this cause was logged lately.
    pub fn failed(&mut self, host: &str, cause: &str, fate: Fate, now: f64) -> Option<String> {
        let episode = self.hosts.entry(host.to_owned()).or_default();
        let mut cause = first_line(cause);
        if !episode.told.contains_key(cause) && episode.told.len() >= CAUSES {
            cause = "other causes";
        }
        if episode.told.get(cause).is_some_and(|told| episode.open || now - told < PAUSE) {
            return None;
        }
        episode.told.insert(cause.to_owned(), now);
        episode.open = true;
        let fate = match fate {
            Fate::Waits => "they wait in the journal and are offered again",
            Fate::InMemory => {
                "they wait in memory, a thousand at most, and are offered again; if the server ends before that, they are lost and counted"
            }
            Fate::Lost => "there is room for no more of them: each is counted until it works again",
        };
        Some(format!("Audit events of {host} can't be stored: {cause}. Check the storage of the host; {fate}."))
    }

    /// Notes that entries of `host` were lost.
    pub fn lose(&mut self, host: &str, count: u64) {
        self.lost = self.lost.saturating_add(count);
        let episode = self.hosts.entry(host.to_owned()).or_default();
        episode.lost = episode.lost.saturating_add(count);
    }

    /// Notes that no entry of `host` is waiting any more. Returns the line to log if there was trouble before.
    pub fn stored(&mut self, host: &str) -> Option<String> {
        let episode = self.hosts.get_mut(host).filter(|episode| episode.open)?;
        episode.open = false;
        let lost = std::mem::take(&mut episode.lost);
        Some(match lost {
            0 => format!("Audit events of {host} are stored again; none was lost."),
            lost => format!("Audit events of {host} are stored again; {lost} could not be stored."),
        })
    }

    /// Notes that entries of `host` are missing in the journal. Returns the line to log, or `None` if `count` is 0.
    pub fn missing(&mut self, host: &str, count: u64) -> Option<String> {
        if count == 0 {
            return None;
        }
        let is_open = self.hosts.get(host).is_some_and(|episode| episode.open);
        self.lose(host, count);
        // This line has the number. It only counts again if there is trouble now, whose end must not say that none was lost.
        if let Some(episode) = self.hosts.get_mut(host).filter(|_| !is_open) {
            episode.lost = episode.lost.saturating_sub(count);
        }
        Some(format!(
            "{count} audit events of {host} are lost: their records in the journal are damaged or missing. An entry will say how many."
        ))
    }

    /// Returns the line to log when the server stops and `count` losses are in no entry, or `None` if there are none. `kept` says
    /// whether the number is saved for the next start.
    #[must_use]
    pub fn ended(host: &str, count: u64, kept: bool, cause: Option<&str>) -> Option<String> {
        let cause = cause.map(first_line).map_or_else(String::new, |cause| format!(" ({cause})"));
        let kept =
            if kept { "The next start records how many" } else { "Their number can't be written down: only this line tells of them" };
        (count > 0).then(|| format!("{count} audit events of {host} are lost, and no entry says so yet{cause}. {kept}."))
    }

    /// The number of lost entries of all hosts, since this object was created.
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
    fn a_cause_is_logged_once_and_each_lost_event_counted() {
        let mut trouble = Trouble::default();
        let line = trouble.failed("example.com", "database is locked", Fate::Lost, 0.0).unwrap();
        trouble.lose("example.com", 1);
        assert!(line.contains("example.com") && line.contains("database is locked") && line.contains("counted"), "{line}");
        assert_eq!(trouble.failed("example.com", "database is locked", Fate::Lost, 1.0), None);
        trouble.lose("example.com", 1);
        assert!(
            trouble
                .failed("example.com", "disk full\nstack", Fate::Waits, 2.0)
                .unwrap()
                .contains("disk full. Check the storage of the host; they wait")
        );
        assert_eq!(trouble.lost(), 2);
        assert!(trouble.stored("example.com").unwrap().ends_with("2 could not be stored."));
    }

    #[test]
    fn recovery_is_logged_once() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.stored("example.com"), None);
        trouble.failed("example.com", "locked", Fate::Waits, 10.0);
        assert!(trouble.stored("example.com").unwrap().ends_with("none was lost."));
        assert_eq!(trouble.stored("example.com"), None);
    }

    #[test]
    fn the_numbers_of_losses_are_right() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.missing("example.com", 0), None);
        assert!(trouble.missing("example.com", 500).unwrap().starts_with("500 audit events of example.com are lost: "));
        // That number was logged already, and does not belong to this trouble.
        trouble.failed("example.com", "locked", Fate::Waits, 10.0);
        assert!(trouble.stored("example.com").unwrap().ends_with("none was lost."));
        // Entries were lost while nothing could be stored.
        trouble.failed("example.com", "locked", Fate::Waits, 100.0);
        assert!(trouble.missing("example.com", 21).is_some());
        assert!(trouble.stored("example.com").unwrap().ends_with("21 could not be stored."));
        assert_eq!(trouble.lost(), 521);
        let fates = [Fate::Waits, Fate::InMemory, Fate::Lost].map(|fate| Trouble::default().failed("example.com", "x", fate, 0.0).unwrap());
        for (line, says) in fates.iter().zip(["they wait in the journal", "they wait in memory", "there is room for no more"]) {
            assert!(line.contains(says), "{line}");
        }
        assert_eq!(Trouble::ended("example.com", 0, true, None), None);
        let kept = Trouble::ended("example.com", 7, true, Some("disk full\nstack")).unwrap();
        assert_eq!(kept, "7 audit events of example.com are lost, and no entry says so yet (disk full). The next start records how many.");
        assert!(Trouble::ended("example.com", 7, false, None).unwrap().contains("only this line"));
    }

    #[test]
    fn trouble_that_comes_and_goes_does_not_fill_the_log() {
        let mut trouble = Trouble::default();
        let mut lines = 0;
        for second in 0..600 {
            lines += usize::from(trouble.failed("example.com", "locked", Fate::Lost, f64::from(second)).is_some());
            trouble.lose("example.com", 1);
            lines += usize::from(trouble.stored("example.com").is_some());
        }
        assert_eq!((lines, trouble.lost()), (20, 600), "one line when it begins and one when it ends, each minute");
    }

    #[test]
    fn the_number_and_length_of_causes_are_limited() {
        let mut trouble = Trouble::default();
        let cause = |n: i32| format!("row {n}: {}", "x".repeat(5000));
        let told = (0..100).filter(|n| trouble.failed("example.com", &cause(*n), Fate::Lost, 0.0).is_some()).count();
        assert_eq!(told, CAUSES + 1);
        assert!(trouble.failed("example.net", &"é".repeat(5000), Fate::Lost, 0.0).unwrap().len() < 500);
    }
}
