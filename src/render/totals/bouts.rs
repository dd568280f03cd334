//! Bouts of failed logins: many of them with short pauses, from one network or for one account. And who logged in after them.
//!
//! Entries may come newest first or oldest first. Memory is bounded: see the constants.

use std::collections::HashMap;

/// A pause of this length ends a bout, in seconds.
const PAUSE: f64 = 3600.0;

/// A login belongs to a bout if it is in it, or at most this long after it, in seconds.
const AFTER: f64 = 3600.0;

/// The fewest failures that are a bout.
pub const FEWEST: u64 = 10;

/// How many keys are kept at least. Twice as many are kept at most.
const KEYS: usize = 4096;

/// How many bouts are kept of a key: the largest ones.
const BOUTS: usize = 4;

/// How many logins are kept of a key.
const LOGINS: usize = 16;

/// How many names are kept of all bouts together.
const NAMES: usize = 65_536;

/// Failures of one entry, of one key.
#[derive(Clone, Debug, Default)]
pub struct Failure<'a> {
    /// When the first happened, in UNIX seconds.
    pub begin: f64,
    /// When the last happened.
    pub end: f64,
    /// How many there were.
    pub count: u64,
    /// The others that are named, and how often each came at least.
    pub others: Vec<(&'a str, u64)>,
    /// How many others there were, if the entry says so.
    pub distinct: Option<u64>,
}

/// A login in a bout or soon after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// The account, if bouts are by network. The network, if they are by account.
    pub other: String,
    /// When it was, in UNIX seconds.
    pub time: f64,
    /// How many failures of the bout came before it.
    pub before: u64,
    /// How many of these were of the same other, at least.
    pub own: u64,
}

/// Many failures with short pauses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bout {
    /// The network or the account.
    pub key: String,
    /// When the first failure was, in UNIX seconds.
    pub begin: f64,
    /// When the last failure was.
    pub end: f64,
    /// How many failures there were.
    pub failures: u64,
    /// How many accounts were tried, or from how many networks.
    pub others: u64,
    /// Whether there may have been more others.
    pub at_least: bool,
    /// Logins in it or soon after it, that had failures before them: for each other the first and the last.
    pub logins: Vec<Login>,
    names: HashMap<String, u64>,
}

/// Bouts by key.
#[derive(Clone, Debug, Default)]
pub struct Bouts {
    tracks: HashMap<String, Track>,
    names: usize,
    /// Whether there were too many keys to keep all.
    pub incomplete: bool,
}

#[derive(Clone, Debug, Default)]
struct Track {
    open: Option<Bout>,
    closed: Vec<Bout>,
    logins: Vec<Login>,
}

impl Bouts {
    /// Adds failures of a key.
    pub fn failure(&mut self, key: &str, failure: &Failure<'_>) {
        self.make_room(key, failure.end);
        let track = self.tracks.entry(key.to_owned()).or_default();
        let is_far = |bout: &Bout| failure.begin > bout.end + PAUSE || failure.end < bout.begin - PAUSE;
        if track.open.as_ref().is_some_and(is_far) {
            self.names = self.names.saturating_sub(track.close());
        }
        if track.open.is_none() {
            // Only logins that can belong to this bout are still needed, and none had a failure of it before.
            track.logins.retain(|login| (failure.begin..=failure.end + AFTER).contains(&login.time));
            track.logins.iter_mut().for_each(|login| (login.before, login.own) = (0, 0));
        }
        let bout =
            track.open.get_or_insert_with(|| Bout { key: key.to_owned(), begin: failure.begin, end: failure.end, ..Bout::default() });
        bout.begin = bout.begin.min(failure.begin);
        bout.end = bout.end.max(failure.end);
        bout.failures = bout.failures.saturating_add(failure.count);
        for (name, count) in &failure.others {
            if let Some(counted) = bout.names.get_mut(*name) {
                *counted = counted.saturating_add(*count);
            } else if self.names < NAMES {
                self.names = self.names.saturating_add(1);
                bout.names.insert((*name).to_owned(), *count);
            } else {
                bout.at_least = true;
            }
        }
        let named = failure.others.len() as u64;
        if let Some(distinct) = failure.distinct.filter(|distinct| *distinct > named) {
            // The others may be among those that are known, or not.
            bout.others = bout.others.max(distinct);
            bout.at_least = true;
        }
        bout.others = bout.others.max(bout.names.len() as u64);
        for login in track.logins.iter_mut().filter(|login| login.time >= failure.end) {
            login.before = login.before.saturating_add(failure.count);
            let own = failure.others.iter().find(|(name, _)| *name == login.other).map_or(0, |(_, count)| *count);
            login.own = login.own.saturating_add(own);
        }
    }

    /// Adds a login.
    pub fn login(&mut self, key: &str, other: &str, time: f64) {
        self.make_room(key, time);
        let track = self.tracks.entry(key.to_owned()).or_default();
        if track.open.as_ref().is_some_and(|bout| time > bout.end + AFTER || time < bout.begin - PAUSE) {
            self.names = self.names.saturating_sub(track.close());
        }
        let (before, own) = match &track.open {
            Some(bout) if time >= bout.end => (bout.failures, bout.names.get(other).copied().unwrap_or_default()),
            _ => (0, 0),
        };
        let login = Login { other: other.to_owned(), time, before, own };
        let same: Vec<usize> = track.logins.iter().enumerate().filter(|(_, login)| login.other == other).map(|(index, _)| index).collect();
        let time_of = |index: &usize| track.logins.get(*index).map_or(0.0, |login| login.time);
        let (first, last) = (
            same.iter().copied().min_by(|a, b| time_of(a).total_cmp(&time_of(b))),
            same.iter().copied().max_by(|a, b| time_of(a).total_cmp(&time_of(b))),
        );
        let replaced = match (first, last) {
            (Some(first), Some(last)) if same.len() > 1 => {
                if time < time_of(&first) {
                    Some(first)
                } else if time > time_of(&last) {
                    Some(last)
                } else {
                    return;
                }
            }
            _ if track.logins.len() >= LOGINS && track.open.as_ref().is_some_and(|bout| time >= bout.end) => return,
            _ if track.logins.len() >= LOGINS => (0..track.logins.len()).max_by(|a, b| time_of(a).total_cmp(&time_of(b))),
            _ => None,
        };
        match replaced.and_then(|index| track.logins.get_mut(index)) {
            Some(place) => *place = login,
            None => track.logins.push(login),
        }
    }

    /// The bouts, those with the most failures first.
    #[must_use]
    pub fn found(&self) -> Vec<Bout> {
        let mut found = Vec::new();
        for track in self.tracks.values() {
            let mut track = track.clone();
            track.close();
            found.append(&mut track.closed);
        }
        found.sort_by(|a, b| b.failures.cmp(&a.failures).then_with(|| a.key.cmp(&b.key)).then_with(|| a.begin.total_cmp(&b.begin)));
        found
    }

    /// Forgets keys if there are too many: first those that can't become a bout any more, then those with few failures.
    fn make_room(&mut self, key: &str, time: f64) {
        if self.tracks.len() < KEYS.saturating_mul(2) || self.tracks.contains_key(key) {
            return;
        }
        self.keep(|track| !track.is_over(time));
        if self.tracks.len() <= KEYS {
            return;
        }
        let mut weights: Vec<u64> = self.tracks.values().map(Track::weight).collect();
        weights.sort_unstable_by(|a, b| b.cmp(a));
        let least = weights.get(KEYS).copied().unwrap_or_default();
        self.keep(|track| track.weight() > least);
        self.incomplete = true;
    }

    fn keep(&mut self, stays: impl Fn(&Track) -> bool) {
        let mut names = self.names;
        self.tracks.retain(|_, track| {
            let stays = stays(track);
            if !stays {
                names = names.saturating_sub(track.open.as_ref().map_or(0, |bout| bout.names.len()));
            }
            stays
        });
        self.names = names;
    }
}

impl Track {
    fn weight(&self) -> u64 {
        self.open.iter().chain(&self.closed).map(|bout| bout.failures).max().unwrap_or_default()
    }

    /// Whether nothing of it is a bout, and nothing near `time` can make it one.
    fn is_over(&self, time: f64) -> bool {
        let is_far = |begin: f64, end: f64| time > end + PAUSE || time < begin - PAUSE;
        self.closed.is_empty()
            && self.open.as_ref().is_none_or(|bout| bout.failures < FEWEST && is_far(bout.begin, bout.end))
            && self.logins.iter().all(|login| is_far(login.time, login.time))
    }

    /// Ends the open bout. Returns how many names it had.
    fn close(&mut self) -> usize {
        let Some(mut bout) = self.open.take() else { return 0 };
        let names = std::mem::take(&mut bout.names).len();
        if bout.failures >= FEWEST {
            let within = bout.begin..=bout.end + AFTER;
            bout.logins = self.logins.iter().filter(|login| login.before > 0 && within.contains(&login.time)).cloned().collect();
            bout.logins.sort_by(|a, b| a.time.total_cmp(&b.time));
            self.closed.push(bout);
            self.closed.sort_by_key(|bout| std::cmp::Reverse(bout.failures));
            self.closed.truncate(BOUTS);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = "198.51.100.0/24";

    /// What happened in one network: a failure or a login of an account at a minute.
    type Happened<'a> = (bool, &'a str, f64);

    fn found(happened: &[Happened<'_>], newest_first: bool) -> Vec<Bout> {
        let mut bouts = Bouts::default();
        let mut happened = happened.to_vec();
        happened.sort_by(|a, b| a.2.total_cmp(&b.2));
        if newest_first {
            happened.reverse();
        }
        for (is_failure, account, minute) in happened {
            let time = minute * 60.0;
            if is_failure {
                bouts.failure(NETWORK, &Failure { begin: time, end: time, count: 1, others: vec![(account, 1)], distinct: None });
            } else {
                bouts.login(NETWORK, account, time);
            }
        }
        bouts.found()
    }

    fn failures(accounts: &[&'static str], from: u32, number: u32) -> Vec<Happened<'static>> {
        (0..number).map(|n| (true, accounts[n as usize % accounts.len()], f64::from(from + n))).collect()
    }

    #[test]
    fn a_bout_ends_with_a_pause_and_has_a_number_of_accounts() {
        let happened = [failures(&["a", "b", "c"], 0, 30), failures(&["d"], 200, 12), failures(&["e"], 400, 9)].concat();
        for newest_first in [false, true] {
            let found: Vec<(u64, u64, f64, f64)> = found(&happened, newest_first)
                .iter()
                .map(|bout| (bout.failures, bout.others, bout.begin / 60.0, bout.end / 60.0))
                .collect();
            assert_eq!(found, [(30, 3, 0.0, 29.0), (12, 1, 200.0, 211.0)]);
        }
    }

    #[test]
    fn a_login_knows_the_failures_before_it_in_either_order() {
        let logins = [(false, "a", 25.5), (false, "c", 89.0), (false, "d", 89.5), (false, "b", -5.0)];
        let happened = [failures(&["a", "b"], 0, 30), logins.to_vec()].concat();
        for newest_first in [false, true] {
            let bouts = found(&happened, newest_first);
            let logins: Vec<(&str, u64, u64)> =
                bouts[0].logins.iter().map(|login| (login.other.as_str(), login.before, login.own)).collect();
            // The login of "b" was before the bout, and that of "d" more than an hour after it.
            assert_eq!(logins, [("a", 26, 13), ("c", 30, 0)], "{newest_first}");
        }
    }

    #[test]
    fn of_many_logins_of_an_account_the_first_and_the_last_are_kept() {
        let logins: Vec<Happened<'_>> = (0..25).map(|n| (false, "a", f64::from(n) + 3.5)).collect();
        let happened = [failures(&["b"], 0, 30), logins].concat();
        for newest_first in [false, true] {
            let bouts = found(&happened, newest_first);
            assert_eq!(bouts[0].logins.iter().map(|login| login.before).collect::<Vec<_>>(), [4, 28], "{newest_first}");
        }
    }

    #[test]
    fn an_entry_for_many_accounts_gives_the_least_number_of_them() {
        let mut bouts = Bouts::default();
        bouts.failure(NETWORK, &Failure { begin: 0.0, end: 60.0, count: 994, others: vec![("a", 500)], distinct: Some(177) });
        let found = bouts.found();
        assert_eq!((found[0].failures, found[0].others, found[0].at_least, found[0].end), (994, 177, true, 60.0));
    }

    #[test]
    fn a_flood_of_networks_hides_no_large_bout_and_takes_no_memory() {
        let mut bouts = Bouts::default();
        for n in 0..40_000_u32 {
            let time = f64::from(n);
            bouts.failure(&format!("net{n}"), &Failure { begin: time, end: time, count: 1, others: vec![("x", 1)], distinct: None });
            bouts.login(&format!("other{n}"), "x", time);
            if n % 100 == 0 {
                let name = format!("name{n}");
                bouts.failure(NETWORK, &Failure { begin: time, end: time, count: 1, others: vec![(&name, 1)], distinct: None });
            }
        }
        assert!(bouts.tracks.len() <= 2 * KEYS && bouts.names <= NAMES && bouts.incomplete);
        let found = bouts.found();
        assert_eq!((found.len(), found[0].failures, found[0].others), (1, 400, 400));
    }

    #[test]
    fn the_logins_of_a_large_server_are_not_too_many_to_follow() {
        let mut bouts = Bouts::default();
        let attack = |bouts: &mut Bouts, time: f64| {
            bouts.failure(NETWORK, &Failure { begin: time, end: time, count: 1, others: vec![("x", 1)], distinct: None });
        };
        for n in 0..40_000_u32 {
            let time = f64::from(n) * 10.0;
            bouts.login(&format!("net{n}"), "x", time);
            if n % 100 == 0 {
                attack(&mut bouts, time);
            }
        }
        assert!(bouts.tracks.len() <= 2 * KEYS && !bouts.incomplete);
        assert_eq!(bouts.found()[0].failures, 400);
    }

    #[test]
    fn a_flood_of_names_takes_no_memory() {
        let mut bouts = Bouts::default();
        for n in 0..200_000_u32 {
            let (time, name) = (f64::from(n / 1000), format!("name{n}"));
            bouts.failure(NETWORK, &Failure { begin: time, end: time, count: 1, others: vec![(&name, 1)], distinct: None });
        }
        assert_eq!(bouts.names, NAMES);
        let found = bouts.found();
        assert_eq!((found[0].failures, found[0].others, found[0].at_least), (200_000, NAMES as u64, true));
    }
}
