//! Flood control: nobody but an administrator can make the log grow without bound, or wash anything out of it.
//!
//! An outcome is an event type on a host. Who can cause it is in the registry of types ([`Cause`]), and decides how it is bounded:
//!
//! - Failures, which anybody can cause without logging in ([`is_unauthenticated`]): of each outcome, account and network the first
//!   few events within a window are stored as they are.
//! - What users and other servers can cause: of each outcome and actor (the account that did it, the other server) the first few
//!   are stored as they are, and of all actors of one network several times as many. Long texts count as several events. An actor
//!   who goes on after a window that had to count gets longer windows, of which less is stored. In a class with a limit, an actor
//!   has at most a twentieth of it in a window.
//! - What administrators do and what the server does by itself is always stored.
//!
//! The rest is counted, and when the window is over one entry, a [`Summary`], says how many there were, and who was concerned
//! most often. So the entries without a count and the sum of the counts are what happened.
//!
//! The windows lie in two tables of at most [`KEYS`] and [`ACTOR_KEYS`] keys, so that strangers can't take the room of users. Where
//! the first is full, keys get coarser: outcome and network, then outcome alone. And budgets hold for each host: unauthenticated
//! peers cause at most [`ENTRIES_A_MINUTE`] entries in any minute; in each retention class, users have a budget, strangers who
//! register have one, and so have other servers, and types that other modules report. Events that find it used up are counted, and
//! summaries are merged, by network and then by outcome, until there are few enough of them.
//!
//! What `audit_auth_repeat_*` leaves out is the same with another key (account and whole address), a burst of one and a window
//! of its own; where more keys come than are remembered, the oldest is forgotten.
//!
//! Keys come from attackers, so they are hashed with keys that nobody knows. `now` is a clock that does not jump, in seconds;
//! [`Control::set_clock`] says what it is in UNIX time.

mod budget;
mod checkpoint;
mod count;
mod distinct;
mod facts;
mod frequent;
mod lately;
mod limits;
mod many;
mod merge;
mod outcome;
mod summary;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::RandomState;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use uuid::Uuid;

pub use budget::ENTRIES_A_MINUTE;
pub use count::{Described, Part};
pub use summary::{Often, Sample, Summary};
pub use table::{ACTOR_KEYS, KEYS};

use crate::archive::retention::{FAILURE_TYPES, Pattern, Retention};
use crate::catalogue::{self, Cause};
use budget::{Budget, Size};
use checkpoint::{Checkpoint, Purse};
use count::Count;
use facts::Facts;
use lately::Lately;
use many::Pool;
use merge::coarsen;
use outcome::{Outcome, Place, Scene, Tables};
use table::{Table, Window};

/// Outcomes of a host that are told apart; types come from code, so there are fewer.
const OUTCOMES: usize = 128;
/// Repeats of these are counted if the operator asks for it.
const SUCCESS: &str = "authentication-success";
/// What stands for all other failures, and for all others.
const OTHER_FAILURES: &str = "other-refused";
const OTHERS: &str = "other-events";

/// How many summaries are stored at a time, so that the server's loop is not held.
const BATCH: usize = 100;

/// How many budgets a host may have: three for each class, and there are few classes.
const PURSES: usize = 300;

/// How many counts may wait for their summary besides those in the table.
const CLOSED: usize = 4096;

/// Whether peers can cause events of that type who are not authenticated, see [`FAILURE_TYPES`].
#[must_use]
pub fn is_unauthenticated(kind: &str) -> bool {
    FAILURE_TYPES.iter().filter_map(|text| Pattern::new(text)).any(|pattern| pattern.matches(kind))
}

/// Where it is written down what is being counted: beside the journal of the host.
#[must_use]
pub fn beside(journal: &Path) -> PathBuf {
    journal.with_extension("flood")
}

/// How many events one event counts as, by the bytes of text in it: one more for each kilobyte.
#[must_use]
pub fn weight(bytes: u64) -> u32 {
    u32::try_from(bytes / 1024).unwrap_or(u32::MAX).saturating_add(1)
}

/// How many events of a key are stored as they are, and within which time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// So many are stored.
    pub burst: u32,
    /// Length of a window, in seconds.
    pub window: f64,
}

impl Default for Burst {
    fn default() -> Self {
        Self { burst: 5, window: 60.0 }
    }
}

/// Within which times the same outcome of the same account from the same address is not repeated, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeats {
    /// `authentication-failure`.
    pub failure: Option<f64>,
    /// `authentication-success`.
    pub success: Option<f64>,
    /// How many accounts and addresses are remembered for each.
    pub keys: usize,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { failure: None, success: None, keys: 128 }
    }
}

/// An event, as far as it matters whether it is one of many. Any bytes may stand in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// The account that it concerns.
    pub account: Account<'a>,
    /// The peer's address.
    pub address: Option<&'a [u8]>,
    /// Why it failed.
    pub condition: Option<&'a [u8]>,
    /// Who did it, where that may be another one than the account: a JID, or another server's domain.
    pub actor: Option<&'a [u8]>,
    /// As how many events it counts, see [`weight`]; 0 is 1.
    pub weight: u32,
}

/// An account, as far as an event names it.
#[derive(Clone, Copy, Debug, Default)]
pub enum Account<'a> {
    /// Not at all.
    #[default]
    Unknown,
    /// By its JID.
    Jid(&'a [u8]),
    /// By its name on the event's host: the JID need not be put together then, which costs more than all the rest.
    Name(&'a [u8]),
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is to be stored as it is.
    Store,
    /// It was counted.
    Counted,
    /// It was counted, and it would be good to know whether there is such an account: [`Control::exists`] takes the answer.
    CountedAsks,
}

/// What is stored of an address in an entry of an event type, as the host's policy has it.
pub type Describe<'a> = dyn Fn(&str, IpAddr, Part) -> Described + 'a;

/// Flood control on all hosts.
#[derive(Debug)]
pub struct Control {
    hosts: Vec<Host>,
    host_index: HashMap<String, usize>,
    outcomes: Vec<Outcome>,
    tables: Tables,
    hasher: RandomState,
    /// How much more may be kept to tell accounts, networks and actors apart.
    pool: Pool,
    /// The event that raised the question whether its account exists.
    asked: Option<Asked>,
    /// UNIX time less the clock.
    offset: f64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Asked {
    outcome: usize,
    place: Place,
    hash: u64,
    name: Vec<u8>,
}

#[derive(Debug)]
struct Host {
    name: String,
    burst: Option<Burst>,
    repeats: Repeats,
    retention: Retention,
    outcomes: HashMap<String, usize>,
    /// That of failures first; then those of causes and classes.
    budgets: Vec<Spending>,
    /// What another process has left of budgets that were not needed yet, and when that was.
    left: Vec<(Purse, f64)>,
    /// How often it may be asked whether there is an account.
    questions: Budget,
    /// Counts whose windows are over.
    closed: Vec<Count>,
    /// Counts whose summaries are being stored.
    emitting: Vec<Count>,
    lately: Lately,
    changed: bool,
    /// Whether there may be a checkpoint on disk.
    written: bool,
}

/// A budget of a host.
#[derive(Debug)]
struct Spending {
    /// Who has it, and for which class; nothing for that of failures.
    purse: String,
    budget: Budget,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            host_index: HashMap::new(),
            outcomes: Vec::new(),
            tables: Tables { failures: Table::new(KEYS), actors: Table::new(ACTOR_KEYS) },
            hasher: RandomState::new(),
            pool: Pool::FULL,
            asked: None,
            offset: 0.0,
            buffer: Vec::new(),
        }
    }
}

impl Control {
    /// Says that it is `unix` in UNIX time when the clock is `now`.
    pub fn set_clock(&mut self, now: f64, unix: f64) {
        self.offset = unix - now;
    }

    /// Sets the options of a host. Windows that are open stay so until they end.
    pub fn configure(&mut self, host: &str, burst: Option<Burst>, repeats: Repeats, retention: &Retention) {
        let index = self.host(host, 0.0);
        let Some(host) = self.hosts.get_mut(index) else { return };
        (host.burst, host.repeats, host.retention) = (burst, repeats, retention.clone());
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.host == index) {
            outcome.set(host);
        }
    }

    /// The number by which [`ask`](Self::ask) knows an event type of a host; nothing where all events of that type are stored.
    /// `source` is the module that reports it.
    pub fn outcome(&mut self, host: &str, kind: &str, source: &str, now: f64) -> Option<usize> {
        // What is never counted must not use up the outcomes, nor pass for one of those that are told apart no more.
        if !limits::is_bounded(kind) {
            return None;
        }
        let index = self.outcome_index(host, kind, source, now)?;
        self.outcomes.get(index).filter(|outcome| outcome.limits.is_some() || outcome.repeat.is_some()).map(|_| index)
    }

    /// Decides about an event, and counts it where it is not to be stored.
    pub fn ask(&mut self, outcome: usize, event: &Event<'_>, now: f64) -> Verdict {
        let handle = outcome;
        let Self { hosts, outcomes, tables, hasher, pool, buffer, asked, .. } = self;
        let Some(outcome) = outcomes.get_mut(handle) else { return Verdict::Store };
        let Some(host) = hosts.get_mut(outcome.host) else { return Verdict::Store };
        let facts = Facts::of(event, &host.name, buffer, hasher);
        let place = outcome.place(handle, event, &facts, &mut Scene { host, tables, hasher, pool, now });
        let window = match place {
            Place::Store => None,
            Place::Key(side, key) => tables.get_mut(side).get_mut(key),
            Place::Outcome => outcome.window.as_mut(),
        };
        let Some(window) = window else { return Verdict::Store };
        let count = window.count.get_or_insert_with(|| Box::new(Count::new(handle, &facts, now)));
        let asks = count.add(&facts, now, hasher, pool);
        outcome.suppressed = outcome.suppressed.saturating_add(1);
        host.lately.add(now);
        host.changed = true;
        match facts.user_hash.zip(facts.user).filter(|_| asks && host.questions.take_single(1, now)) {
            Some((hash, name)) => {
                *asked = Some(Asked { outcome: handle, place, hash, name: name.to_vec() });
                Verdict::CountedAsks
            }
            None => Verdict::Counted,
        }
    }

    /// Says that the account of the last event exists, after [`Verdict::CountedAsks`].
    pub fn exists(&mut self) {
        let Some(Asked { outcome, place, hash, name }) = self.asked.take() else { return };
        let window = match place {
            Place::Store => None,
            Place::Key(side, key) => self.tables.get_mut(side).get_mut(key),
            Place::Outcome => self.outcomes.get_mut(outcome).and_then(|outcome| outcome.window.as_mut()),
        };
        if let Some(count) = window.and_then(|window| window.count.as_mut()) {
            count.exists(hash, &name, &mut self.pool);
        }
    }

    /// The hosts on which something is being counted.
    #[must_use]
    pub fn counting(&self) -> Vec<&str> {
        let mut counting = vec![false; self.hosts.len()];
        let of_table = self.tables.counts().map(|count| count.outcome);
        let coarsest = self.outcomes.iter().enumerate().filter(|(_, outcome)| outcome.counts()).map(|(index, _)| index);
        for outcome in of_table.chain(coarsest) {
            if let Some(is_counting) = self.outcomes.get(outcome).and_then(|outcome| counting.get_mut(outcome.host)) {
                *is_counting = true;
            }
        }
        let is_counting = |index: usize| {
            counting.get(index) == Some(&true)
                || self.hosts.get(index).is_some_and(|host| !host.closed.is_empty() || !host.emitting.is_empty())
        };
        self.host_index.iter().filter(|(_, index)| is_counting(**index)).map(|(name, _)| name.as_str()).collect()
    }

    /// The summaries that are to be stored now: of windows that are over, or of all of them where the host is `closing`. `new_id`
    /// makes an entry's id.
    ///
    /// A checkpoint must be written before they are stored: it has their ids, by which the next process knows which of them were
    /// stored when this one dies in between. Then [`settle`](Self::settle) must be called.
    pub fn due(&mut self, host: &str, now: f64, closing: bool, describe: &Describe<'_>, mut new_id: impl FnMut() -> Uuid) -> Vec<Summary> {
        let Some(index) = self.host_index.get(host).copied() else { return Vec::new() };
        let Self { hosts, outcomes, tables, hasher, pool, offset, .. } = self;
        let Some(host) = hosts.get_mut(index) else { return Vec::new() };
        let rooms: Vec<usize> = host.budgets.iter_mut().map(|spending| spending.budget.summaries(now, closing)).collect();
        let batch = if closing { usize::MAX } else { BATCH };

        // Where there is no room at all a window goes on.
        let room_of = |outcome: &Outcome| outcome.budget.map_or(usize::MAX, |budget| rooms.get(budget).copied().unwrap_or_default());
        let may_end = |outcome: Option<&Outcome>| outcome.is_some_and(|outcome| outcome.host == index && room_of(outcome) > 0);
        let is_over = |window: &Window| (closing || now >= window.ends) && may_end(outcomes.get(window.outcome));
        let mut counts = tables.failures.close(now, false, is_over);
        counts.extend(tables.actors.close(now, true, is_over));
        for outcome in outcomes.iter_mut() {
            if outcome.counts() && may_end(Some(outcome)) && outcome.window.as_ref().is_some_and(|window| closing || now >= window.ends) {
                counts.extend(outcome.window.take().and_then(|window| window.count).map(|count| *count));
            }
        }
        let (taken, left) = std::mem::take(&mut host.closed).into_iter().partition(|count| may_end(outcomes.get(count.outcome)));
        counts.extend::<Vec<_>>(taken);
        host.closed = left;

        let mut by_budget: BTreeMap<Option<usize>, Vec<Count>> = BTreeMap::new();
        for count in counts {
            // What another process has begun to write stays as it is.
            let budget = outcomes.get(count.outcome).and_then(|outcome| outcome.budget).filter(|_| count.id.is_none());
            by_budget.entry(budget).or_default().push(count);
        }
        for (budget, counts) in by_budget {
            let room = budget.map_or(usize::MAX, |budget| rooms.get(budget).copied().unwrap_or_default());
            let mut counts = coarsen(counts, room, hasher, pool);
            for count in counts.split_off(room.min(counts.len())) {
                // More outcomes than summaries that there may be: these windows go on.
                if let Some(outcome) = outcomes.get_mut(count.outcome) {
                    outcome.absorb(count, now, hasher, pool);
                }
            }
            host.closed.extend(counts.split_off(batch.min(counts.len())));
            if let Some(spending) = budget.and_then(|budget| host.budgets.get_mut(budget)) {
                spending.budget.take(counts.len());
            }
            host.emitting.append(&mut counts);
        }
        host.changed |= !host.emitting.is_empty();
        let describe = |count: &mut Count| {
            let summary = summary_of(count, outcomes, *offset, describe);
            let id = count.id.get_or_insert_with(&mut new_id);
            Summary { id: id.hyphenated().to_string(), ..summary }
        };
        host.emitting.iter_mut().map(describe).collect()
    }

    /// Says that the first so many of the summaries that [`due`](Self::due) gave are stored. The others will be given again, as
    /// others: what is written later has a later id.
    pub fn settle(&mut self, host: &str, stored: usize) {
        let Some(host) = self.host_index.get(host).copied().and_then(|index| self.hosts.get_mut(index)) else { return };
        let mut kept = host.emitting.split_off(stored.min(host.emitting.len()));
        for count in std::mem::take(&mut host.emitting) {
            let Pool { hashes, names } = count.pooled();
            self.pool.hashes = self.pool.hashes.saturating_add(hashes);
            self.pool.names = self.pool.names.saturating_add(names);
        }
        for count in &mut kept {
            if !count.is_offered() {
                count.id = None;
                let budget = self.outcomes.get(count.outcome).and_then(|outcome| outcome.budget);
                if let Some(spending) = budget.and_then(|budget| host.budgets.get_mut(budget)) {
                    spending.budget.give_back(1);
                }
            }
        }
        host.changed = true;
        host.closed.extend(kept);
    }

    /// Brings the file at `path` to what is being counted on a host, where that has changed. Where nothing is, there is no file;
    /// but when the host is `closing` it keeps what is left of the budget, for the process after this one.
    ///
    /// # Errors
    ///
    /// [`io::Error`] where it can't be written or removed. It is tried again the next time.
    pub fn checkpoint(&mut self, host: &str, path: &Path, now: f64, closing: bool, describe: &Describe<'_>) -> io::Result<()> {
        let Some(index) = self.host_index.get(host).copied() else { return Ok(()) };
        let Self { hosts, outcomes, tables, offset, .. } = self;
        let Some(host) = hosts.get_mut(index) else { return Ok(()) };
        if !host.changed && !closing {
            return Ok(());
        }
        let of_host = |count: &&Count| outcomes.get(count.outcome).is_some_and(|outcome| outcome.host == index);
        let coarsest = outcomes.iter().filter_map(|outcome| outcome.window.as_ref()?.count.as_deref());
        let waiting = host.closed.iter().chain(&host.emitting);
        let open = tables.counts().chain(coarsest).filter(of_host).chain(waiting);
        let open: Vec<Summary> = open.map(|count| summary_of(count, outcomes, *offset, describe)).collect();
        // Within that time each of them fills, whatever its size.
        host.left.retain(|(_, at)| now - at < 120.0);
        let is_needed = !open.is_empty()
            || closing && !host.left.is_empty()
            || closing && host.budgets.iter_mut().any(|spending| !spending.budget.is_full(now));
        if !is_needed {
            if host.written {
                checkpoint::remove(path)?;
            }
            (host.written, host.changed) = (false, false);
            return Ok(());
        }
        host.written = true;
        let mut purses: Vec<Purse> = host.budgets.iter_mut().map(|spending| spending.written(now)).collect();
        let failures = purses.remove(0);
        purses.extend(host.left.iter().map(|(left, _)| left.clone()));
        Checkpoint::new(now + *offset, failures.tokens, purses, open).write(path)?;
        host.changed = false;
        Ok(())
    }

    /// Takes up what another process was counting on a host when it ended. Gives the number of counts: their summaries are due,
    /// and say "at least".
    ///
    /// # Errors
    ///
    /// [`io::Error`] where there is a file and it can't be read. It will be written over.
    pub fn restore(&mut self, host: &str, path: &Path, now: f64) -> io::Result<usize> {
        let index = self.host(host, now);
        let found = Checkpoint::read(path);
        if let Some(host) = self.hosts.get_mut(index) {
            (host.written, host.changed) = (!matches!(found, Ok(None)), true);
        }
        let Some(checkpoint) = found? else { return Ok(0) };
        let mut restored: usize = 0;
        for summary in checkpoint.open.into_iter().take(KEYS.saturating_mul(2)) {
            let outcome = self.outcome_index(host, &summary.kind, &summary.source, now);
            let count = outcome.and_then(|outcome| Count::restored(summary, outcome, &self.hasher, self.offset, &mut self.pool));
            if let Some((count, host)) = count.zip(self.hosts.get_mut(index)) {
                host.closed.push(count);
                restored = restored.saturating_add(1);
            }
        }
        if let Some(host) = self.hosts.get_mut(index) {
            let ago = now + self.offset - checkpoint.at;
            let failures = Purse { purse: String::new(), tokens: checkpoint.tokens };
            for Purse { purse, tokens } in std::iter::once(failures).chain(checkpoint.purses) {
                if let Some(spending) = host.budgets.iter_mut().find(|spending| spending.purse == purse) {
                    spending.budget = Budget::resume(spending.budget.size(), tokens, ago, now);
                } else if host.left.len() < PURSES {
                    // Its size is known when the first event comes that is paid for with it.
                    host.left.push((Purse { purse, tokens }, now - ago.max(0.0)));
                }
            }
        }
        Ok(restored)
    }

    /// How many events of a host are counted now and in no stored summary yet.
    #[must_use]
    pub fn counted(&self, host: &str) -> u64 {
        let Some(index) = self.host_index.get(host).copied() else { return 0 };
        let of_host = |count: &&Count| self.outcomes.get(count.outcome).is_some_and(|outcome| outcome.host == index);
        let coarsest = self.outcomes.iter().filter_map(|outcome| outcome.window.as_ref()?.count.as_deref());
        let waiting = self.hosts.get(index).into_iter().flat_map(|host| host.closed.iter().chain(&host.emitting));
        let open = self.tables.counts().chain(coarsest).filter(of_host).chain(waiting);
        open.map(|count| count.number).fold(0, u64::saturating_add)
    }

    /// How many events of each type were counted and not stored on a host, since the log was made.
    pub fn suppressed(&self, host: &str) -> impl Iterator<Item = (&str, u64)> {
        let index = self.host_index.get(host).copied();
        let of_host = self.outcomes.iter().filter(move |outcome| Some(outcome.host) == index && outcome.suppressed > 0);
        of_host.map(|outcome| (outcome.kind.as_str(), outcome.suppressed))
    }

    /// How many there were within the last minute.
    pub fn suppressed_lately(&mut self, host: &str, now: f64) -> u64 {
        let host = self.host_index.get(host).copied().and_then(|index| self.hosts.get_mut(index));
        host.map_or(0, |host| host.lately.sum(now))
    }

    /// How many keys are in the table.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.tables.failures.len().saturating_add(self.tables.actors.len())
    }

    fn host(&mut self, name: &str, now: f64) -> usize {
        if let Some(index) = self.host_index.get(name) {
            return *index;
        }
        let index = self.hosts.len();
        self.host_index.insert(name.to_owned(), index);
        self.hosts.push(Host {
            name: name.to_owned(),
            burst: None,
            repeats: Repeats::default(),
            retention: Retention::default(),
            outcomes: HashMap::new(),
            budgets: vec![Spending { purse: String::new(), budget: Budget::new(Size::FAILURES, now) }],
            left: Vec::new(),
            questions: Budget::new(Size::QUESTIONS, now),
            closed: Vec::new(),
            emitting: Vec::new(),
            lately: Lately::default(),
            changed: false,
            written: false,
        });
        index
    }

    fn outcome_index(&mut self, host: &str, kind: &str, source: &str, now: f64) -> Option<usize> {
        let host_index = self.host(host, now);
        let next = self.outcomes.len();
        let host = self.hosts.get_mut(host_index)?;
        if let Some(known) = host.outcomes.get(kind) {
            return Some(*known);
        }
        let is_failure = is_unauthenticated(kind);
        let is_like_it = |known: &&String| catalogue::find(known).is_none() && is_unauthenticated(known) == is_failure;
        // Ours are always told apart, and failures are not crowded out by what else modules of others report.
        let is_told_apart = catalogue::find(kind).is_some() || host.outcomes.keys().filter(is_like_it).count() < OUTCOMES;
        let others = if is_failure { OTHER_FAILURES } else { OTHERS };
        let kind = if is_told_apart { kind } else { others };
        let index = *host.outcomes.entry(kind.to_owned()).or_insert(next);
        if index == next {
            let mut outcome = Outcome {
                host: host_index,
                kind: kind.to_owned(),
                source: source.to_owned(),
                cause: catalogue::cause_of(kind),
                limits: None,
                repeat: None,
                repeat_keys: 0,
                budget: None,
                suppressed: 0,
                repeats: VecDeque::new(),
                window: None,
            };
            outcome.set(host);
            self.outcomes.push(outcome);
        }
        Some(index)
    }
}

impl Host {
    /// The budget that a purse names, which is made where there is none.
    fn budget(&mut self, purse: &str, size: Size) -> Option<usize> {
        if let Some(index) = self.budgets.iter().position(|spending| spending.purse == purse) {
            if let Some(spending) = self.budgets.get_mut(index).filter(|spending| spending.budget.size() != size) {
                spending.budget.resize(size);
            }
            return Some(index);
        }
        if self.budgets.len() >= PURSES {
            return None;
        }
        let left = self.left.iter().position(|(left, _)| left.purse == purse).map(|at| self.left.swap_remove(at));
        let budget = left.map_or_else(|| Budget::new(size, 0.0), |(left, at)| Budget::resume(size, left.tokens, 0.0, at));
        self.budgets.push(Spending { purse: purse.to_owned(), budget });
        Some(self.budgets.len().saturating_sub(1))
    }
}

impl Spending {
    fn written(&mut self, now: f64) -> Purse {
        Purse { purse: self.purse.clone(), tokens: self.budget.tokens(now) }
    }
}

fn summary_of(count: &Count, outcomes: &[Outcome], offset: f64, describe: &Describe<'_>) -> Summary {
    let (kind, source) = outcomes.get(count.outcome).map(|outcome| (outcome.kind.clone(), outcome.source.clone())).unwrap_or_default();
    let remote = outcomes.get(count.outcome).is_some_and(|outcome| outcome.cause == Some(Cause::RemoteServer));
    let summary = count.summary(offset, &|address, part| describe(&kind, address, part));
    Summary { kind, source, remote, ..summary }
}
