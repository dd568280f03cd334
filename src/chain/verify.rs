//! Verifying the chains of one class, in one pass and in bounded memory. Nothing that writes links is used here but the hashes.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;

use super::hash::{BEGINNING, Hash, Nonce};
use super::link::{Link, LinkError};
use crate::entry::canon::Draft;
use crate::entry::limits::HOST_WIDE;
use crate::entry::xml::XmlError;
use crate::time::{date_time, day};

/// How many entries may wait for the one before them. Clocks that jump store a chain out of order, but not by more than this.
const OPEN: usize = 100_000;

/// An entry as it lies in the store.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The archive's key.
    pub key: &'a str,
    /// The time under which it lies, in UNIX seconds.
    pub when: f64,
    /// The archive's `with`.
    pub with: Option<&'a str>,
    /// The day of its partition. `None` in an archive user without days.
    pub day: Option<NaiveDate>,
    /// Whether it is the first entry of its partition.
    pub is_first: bool,
    /// The entry.
    pub xml: &'a str,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The entry is not what was recorded, or not at this place in the chain.
    Altered,
    /// The values of the entry do not fit its link.
    Values(LinkError),
    /// The entry can't be read.
    Unreadable(XmlError),
    /// An entry of the chain has this number already.
    Twice,
    /// The entry belongs to a chain that is none of this class.
    Foreign,
    /// The entry lies under another time, account or day than it was recorded with.
    Misplaced,
    /// Entries up to this number are not there, and nothing explains it.
    Missing {
        /// The first of them.
        from: u64,
    },
    /// Too many entries wait for the one before them.
    TooManyOpen,
}

/// A fault, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// The chain.
    pub id: Option<Nonce>,
    /// The number of the entry in its chain.
    pub n: Option<u64>,
    /// The archive's key of the entry.
    pub key: Option<String>,
}

/// Entries that were removed by a rule, or lost, and were announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The chain.
    pub id: Nonce,
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub upto: u64,
    /// The hash of the last one. `None` if it was never written.
    pub hash: Option<Hash>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many entries were verified.
    pub verified: u64,
    /// How many entries have no link.
    pub unprotected: u64,
    /// How many entries are missing and were announced.
    pub announced: u64,
    /// The last entry of each chain.
    pub heads: Vec<(Nonce, u64, Hash)>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Verifies the entries of one class of one host, which are given in the order in which they are stored.
#[derive(Debug)]
pub struct Verifier {
    host: String,
    class: String,
    chains: HashMap<Nonce, Seen>,
    /// The time of the entry before in the same partition.
    when: Option<f64>,
    verdict: Verdict,
    open: usize,
}

/// What is known of a chain.
#[derive(Debug, Default)]
struct Seen {
    /// The numbers that were seen, as ranges: the first of each, and the last.
    ranges: BTreeMap<u64, u64>,
    /// The hashes of entries whose successor was not seen yet.
    ends: HashMap<u64, Hash>,
    /// Entries whose predecessor was not seen yet.
    waiting: HashMap<u64, (Link, Hash, String)>,
}

impl Verifier {
    /// For a class, whose chains have these ids.
    #[must_use]
    pub fn new(host: &str, class: &str, chains: impl IntoIterator<Item = Nonce>) -> Self {
        let chains = chains.into_iter().map(|id| (id, Seen::default())).collect();
        Self { host: host.to_owned(), class: class.to_owned(), chains, when: None, verdict: Verdict::default(), open: 0 }
    }

    /// Takes the next entry.
    pub fn feed(&mut self, stored: &Stored<'_>) {
        let draft = match Draft::of_xml(stored.xml) {
            Ok(draft) => draft,
            Err(error) => return self.report(Fault::Unreadable(error), None, Some(stored.key)),
        };
        let (link, mut canon) = match Link::read(draft) {
            Ok(read) => read,
            Err(LinkError::Missing) => {
                self.verdict.unprotected = self.verdict.unprotected.saturating_add(1);
                return;
            }
            Err(error) => return self.report(Fault::Values(error), None, Some(stored.key)),
        };
        // The time that the writer has added, as the entry lies under a later one.
        #[allow(clippy::cast_precision_loss)] // A time in milliseconds is below 2^53.
        let recorded = (link.at / 1000) as f64;
        canon.occurred = canon.occurred.filter(|occurred| date_time(recorded).as_deref() != Some(occurred));
        if !self.chains.contains_key(&link.id) {
            return self.report(Fault::Foreign, Some(&link), Some(stored.key));
        }
        if !self.is_in_its_place(stored, recorded, canon.user.as_deref()) {
            self.report(Fault::Misplaced, Some(&link), Some(stored.key));
        }
        match link.leaf(&self.host, &self.class, &canon) {
            Ok(leaf) => self.take(link, leaf, stored.key),
            Err(error) => self.report(Fault::Values(error), Some(&link), Some(stored.key)),
        }
    }

    /// Ends the pass. What is missing must have been announced.
    #[must_use]
    pub fn finish(mut self, announcements: &[Announcement]) -> Verdict {
        let mut chains: Vec<(Nonce, Seen)> = std::mem::take(&mut self.chains).into_iter().collect();
        chains.sort_by_key(|(id, _)| *id);
        for (id, mut seen) in chains {
            let mut next = 1_u64;
            for (first, last) in std::mem::take(&mut seen.ranges) {
                let waiting = seen.waiting.remove(&first);
                if first > next {
                    self.explain(id, next, first, waiting, announcements);
                }
                next = last.saturating_add(1);
            }
            if let Some(last) = next.checked_sub(1).filter(|last| *last > 0) {
                let hash = seen.ends.get(&last).copied().unwrap_or(BEGINNING);
                self.verdict.heads.push((id, last, hash));
            }
        }
        self.verdict
    }

    /// Whether the entry lies where it was put when it was recorded.
    fn is_in_its_place(&mut self, stored: &Stored<'_>, recorded: f64, user: Option<&str>) -> bool {
        let before = self.when.filter(|_| !stored.is_first).unwrap_or(f64::MIN);
        self.when = Some(stored.when);
        let expected = recorded.max(before);
        let with = stored.with.filter(|with| !with.is_empty()).unwrap_or(HOST_WIDE);
        #[allow(clippy::float_cmp)] // Both are whole seconds.
        let is_in_time = stored.when.floor() == expected;
        is_in_time && with == user.unwrap_or(HOST_WIDE) && stored.day.is_none_or(|of| of == day(recorded))
    }

    fn take(&mut self, link: Link, leaf: Hash, key: &str) {
        let Some(seen) = self.chains.get_mut(&link.id) else { return };
        if !add(&mut seen.ranges, link.n) {
            return self.report(Fault::Twice, Some(&link), Some(key));
        }
        self.verdict.verified = self.verdict.verified.saturating_add(1);
        let before = if link.n == 1 { Some(BEGINNING) } else { seen.ends.remove(&link.n.saturating_sub(1)) };
        let next = seen.waiting.remove(&link.n.saturating_add(1));
        let mut altered = Vec::new();
        if before.is_some_and(|before| link.follows(&before, &leaf) != link.hash) {
            altered.push((link.n, key.to_owned()));
        }
        match next {
            Some((next, of_next, key)) if next.follows(&link.hash, &of_next) != next.hash => altered.push((next.n, key)),
            Some(_) => {}
            None => {
                seen.ends.insert(link.n, link.hash);
            }
        }
        let id = link.id;
        if before.is_none() {
            seen.waiting.insert(link.n, (link, leaf, key.to_owned()));
            self.open = self.open.saturating_add(1);
            if self.open == OPEN {
                self.report(Fault::TooManyOpen, None, None);
            }
        }
        for (n, key) in altered {
            self.verdict.findings.push(Finding { fault: Fault::Altered, id: Some(id), n: Some(n), key: Some(key) });
        }
    }

    /// The entries from `from` up to the one before `first` are missing.
    fn explain(&mut self, id: Nonce, from: u64, first: u64, waiting: Option<(Link, Hash, String)>, announcements: &[Announcement]) {
        let mut next = from;
        let mut hash = None;
        while let Some(announced) = announcements.iter().find(|of| of.id == id && of.from <= next && of.upto >= next && of.upto < first) {
            next = announced.upto.saturating_add(1);
            hash = announced.hash;
        }
        if next < first {
            let n = first.checked_sub(1);
            return self.verdict.findings.push(Finding { fault: Fault::Missing { from: next }, id: Some(id), n, key: None });
        }
        self.verdict.announced = self.verdict.announced.saturating_add(first.saturating_sub(from));
        let Some((link, leaf, key)) = waiting else { return };
        let previous = hash.or(link.previous);
        if previous.is_none_or(|previous| link.follows(&previous, &leaf) != link.hash) {
            self.report(Fault::Altered, Some(&link), Some(&key));
        }
    }

    fn report(&mut self, fault: Fault, link: Option<&Link>, key: Option<&str>) {
        let finding = Finding { fault, id: link.map(|link| link.id), n: link.map(|link| link.n), key: key.map(ToOwned::to_owned) };
        self.verdict.findings.push(finding);
    }
}

/// Adds a number to ranges. Returns whether it was not there yet.
fn add(ranges: &mut BTreeMap<u64, u64>, n: u64) -> bool {
    let before = ranges.range(..=n).next_back().map(|(first, last)| (*first, *last));
    if before.is_some_and(|(_, last)| last >= n) {
        return false;
    }
    let after = ranges.remove(&n.saturating_add(1)).unwrap_or(n);
    match before {
        Some((first, last)) if last.saturating_add(1) == n => ranges.insert(first, after),
        _ => ranges.insert(n, after),
    };
    true
}
