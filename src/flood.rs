//! Flood control: whoever is not authenticated can not make the log grow without bound, nor wash anything out of it.
//!
//! An outcome is an event type on a host. Of each outcome, account and network the first few events within a window are
//! stored as they are; the rest is counted, and when the window is over one entry, a [`Summary`], says how many there were.
//! So the entries without a count and the sum of the counts are what happened.
//!
//! The windows lie in a table of at most [`KEYS`] keys. Where it is full, keys get coarser: outcome and network, then outcome
//! alone. And a budget holds for each host: unauthenticated peers cause at most [`ENTRIES_A_MINUTE`] entries in any minute.
//! Events that find it used up are counted, and summaries are merged, by network and then by outcome, until there are few
//! enough of them.
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
mod lately;
mod summary;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use uuid::Uuid;

pub use budget::ENTRIES_A_MINUTE;
pub use count::{Described, Part};
pub use summary::{Sample, Summary};
pub use table::KEYS;

use crate::retention::{FAILURE_TYPES, Pattern};
use budget::Budget;
use checkpoint::Checkpoint;
use count::{Count, Facts};
use distinct::POOL;
use lately::Lately;
use table::{Table, Window};

/// Outcomes of a host that are told apart; types come from code, so there are far fewer.
const OUTCOMES: usize = 64;
/// What is counted only where the operator asks for it: repeated logins.
const SUCCESS: &str = "authentication-success";
/// What stands for all others.
const OTHER: &str = "other-refused";

/// How many summaries are stored at a time, so that the server's loop is not held.
const BATCH: usize = 100;

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
    /// It was counted, for the summary with this id. (When summaries are merged only one id stays.)
    Counted(Uuid),
}

/// What is stored of an address in an entry of an event type, as the host's policy has it.
pub type Describe<'a> = dyn Fn(&str, IpAddr, Part) -> Described + 'a;

/// What tells keys apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Level {
    /// Account and address.
    Address,
    /// Account and network.
    Account,
    /// Network.
    Network,
    /// Nothing: all of an outcome.
    Outcome,
}

/// Flood control on all hosts.
#[derive(Debug)]
pub struct Control {
    hosts: Vec<Host>,
    host_index: HashMap<String, usize>,
    outcomes: Vec<Outcome>,
    table: Table,
    hasher: RandomState,
    /// How many more hashes may be kept to tell accounts and networks apart.
    pool: usize,
    /// UNIX time less the clock.
    offset: f64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Host {
    name: String,
    burst: Option<Burst>,
    repeats: Repeats,
    outcomes: HashMap<String, usize>,
    budget: Budget,
    /// Counts whose windows are over.
    closed: Vec<Count>,
    /// Counts whose summaries are being stored.
    emitting: Vec<Count>,
    lately: Lately,
    changed: bool,
    /// Whether there may be a checkpoint on disk.
    written: bool,
}

#[derive(Debug)]
struct Outcome {
    host: usize,
    kind: String,
    source: String,
    burst: Option<Burst>,
    repeat: Option<f64>,
    repeat_keys: usize,
    /// Whether its entries are paid for with the host's budget.
    budgeted: bool,
    suppressed: u64,
    /// The keys of repeats, in the order of their windows.
    repeats: VecDeque<(u64, f64)>,
    /// The coarsest key: what found no room in the table, or was merged.
    window: Option<Window>,
}

/// Where an event belongs.
enum Place {
    Store,
    Key(u64),
    Outcome,
}

/// What an outcome's decision takes into account and changes.
struct Scene<'a> {
    host: &'a mut Host,
    table: &'a mut Table,
    hasher: &'a RandomState,
    pool: &'a mut usize,
    now: f64,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            host_index: HashMap::new(),
            outcomes: Vec::new(),
            table: Table::default(),
            hasher: RandomState::new(),
            pool: POOL,
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
    pub fn configure(&mut self, host: &str, burst: Option<Burst>, repeats: Repeats) {
        let index = self.host(host, 0.0);
        let Some(host) = self.hosts.get_mut(index) else { return };
        (host.burst, host.repeats) = (burst, repeats);
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.host == index) {
            outcome.set(burst, repeats);
        }
    }

    /// The number by which [`ask`](Self::ask) knows an event type of a host; nothing where all events of that type are stored.
    /// `source` is the module that reports it.
    pub fn outcome(&mut self, host: &str, kind: &str, source: &str, now: f64) -> Option<usize> {
        // What is never counted must not use up the outcomes, nor pass for one of those that are told apart no more.
        if !is_unauthenticated(kind) && kind != SUCCESS {
            return None;
        }
        let index = self.outcome_index(host, kind, source, now)?;
        self.outcomes.get(index).filter(|outcome| outcome.burst.is_some() || outcome.repeat.is_some()).map(|_| index)
    }

    /// Decides about an event, and counts it where it is not to be stored. `new_id` makes an entry's id for a UNIX time.
    pub fn ask(&mut self, outcome: usize, event: &Event<'_>, now: f64, new_id: impl FnOnce(f64) -> Uuid) -> Verdict {
        let handle = outcome;
        let Self { hosts, outcomes, table, hasher, pool, offset, buffer, .. } = self;
        let Some(outcome) = outcomes.get_mut(handle) else { return Verdict::Store };
        let Some(host) = hosts.get_mut(outcome.host) else { return Verdict::Store };
        let facts = Facts::of(event, &host.name, buffer, hasher);
        let place = outcome.place(handle, event, &facts, &mut Scene { host, table, hasher, pool, now });
        let window = match place {
            Place::Store => None,
            Place::Key(key) => table.get_mut(key),
            Place::Outcome => outcome.window.as_mut(),
        };
        let Some(window) = window else { return Verdict::Store };
        let count = window.count.get_or_insert_with(|| Box::new(Count::new(new_id(now + *offset), handle, &facts, now)));
        count.add(&facts, now, hasher, pool);
        outcome.suppressed = outcome.suppressed.saturating_add(1);
        host.lately.add(now);
        host.changed = true;
        Verdict::Counted(count.id)
    }

    /// The hosts on which something is being counted.
    #[must_use]
    pub fn counting(&self) -> Vec<&str> {
        let mut counting = vec![false; self.hosts.len()];
        let of_table = self.table.counts().map(|count| count.outcome);
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

    /// The summaries that are to be stored now: of windows that are over, or of all of them where the host is `closing`.
    ///
    /// Then [`settle`](Self::settle) must be called. The flag says that counts were merged: a checkpoint must be written before
    /// their summaries are stored, or a crash in between would make some count twice.
    pub fn due(&mut self, host: &str, now: f64, closing: bool, describe: &Describe<'_>) -> (Vec<Summary>, bool) {
        let Some(index) = self.host_index.get(host).copied() else { return (Vec::new(), false) };
        let Self { hosts, outcomes, table, pool, offset, .. } = self;
        let Some(host) = hosts.get_mut(index) else { return (Vec::new(), false) };
        let room = host.budget.summaries(now, closing);
        let batch = if closing { usize::MAX } else { BATCH };

        // Where there is no room at all a window goes on.
        let may_end = |outcome: Option<&Outcome>| outcome.is_some_and(|outcome| outcome.host == index && (room > 0 || !outcome.budgeted));
        let mut counts = table.close(|window| (closing || now >= window.ends) && may_end(outcomes.get(window.outcome)));
        for outcome in outcomes.iter_mut() {
            if outcome.counts() && may_end(Some(outcome)) && outcome.window.as_ref().is_some_and(|window| closing || now >= window.ends) {
                counts.extend(outcome.window.take().and_then(|window| window.count).map(|count| *count));
            }
        }
        let (taken, left) = std::mem::take(&mut host.closed).into_iter().partition(|count| may_end(outcomes.get(count.outcome)));
        counts.extend::<Vec<_>>(taken);
        host.closed = left;

        let (budgeted, mut free): (Vec<_>, Vec<_>) =
            counts.into_iter().partition(|count| outcomes.get(count.outcome).is_some_and(|outcome| outcome.budgeted));
        let merged = budgeted.len() > room;
        let mut budgeted = coarsen(budgeted, room, pool);
        for count in budgeted.split_off(room.min(budgeted.len())) {
            // More outcomes than summaries that there may be: these windows go on.
            if let Some(outcome) = outcomes.get_mut(count.outcome) {
                outcome.absorb(count, now, pool);
            }
        }
        host.closed.extend(budgeted.split_off(batch.min(budgeted.len())));
        host.closed.extend(free.split_off(batch.min(free.len())));
        host.budget.take(budgeted.len());
        host.emitting.append(&mut budgeted);
        host.emitting.append(&mut free);
        host.changed |= !host.emitting.is_empty();
        let summaries = host.emitting.iter().map(|count| summary_of(count, outcomes, *offset, describe)).collect();
        (summaries, merged)
    }

    /// Says that the first so many of the summaries that [`due`](Self::due) gave are stored. The others will be given again.
    pub fn settle(&mut self, host: &str, stored: usize) {
        let Some(host) = self.host_index.get(host).copied().and_then(|index| self.hosts.get_mut(index)) else { return };
        let kept = host.emitting.split_off(stored.min(host.emitting.len()));
        for count in std::mem::take(&mut host.emitting) {
            self.pool = self.pool.saturating_add(count.pooled());
        }
        let is_budgeted = |count: &&Count| self.outcomes.get(count.outcome).is_some_and(|outcome| outcome.budgeted);
        host.budget.give_back(kept.iter().filter(is_budgeted).count());
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
        let Self { hosts, outcomes, table, offset, .. } = self;
        let Some(host) = hosts.get_mut(index) else { return Ok(()) };
        if !host.changed && !closing {
            return Ok(());
        }
        let of_host = |count: &&Count| outcomes.get(count.outcome).is_some_and(|outcome| outcome.host == index);
        let coarsest = outcomes.iter().filter_map(|outcome| outcome.window.as_ref()?.count.as_deref());
        let waiting = host.closed.iter().chain(&host.emitting);
        let open = table.counts().chain(coarsest).filter(of_host).chain(waiting);
        let open: Vec<Summary> = open.map(|count| summary_of(count, outcomes, *offset, describe)).collect();
        let is_needed = !open.is_empty() || closing && !host.budget.is_full(now);
        if !is_needed {
            if host.written {
                checkpoint::remove(path)?;
            }
            (host.written, host.changed) = (false, false);
            return Ok(());
        }
        host.written = true;
        Checkpoint::new(now + *offset, host.budget.tokens(now), open).write(path)?;
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
            let count = outcome.and_then(|outcome| Count::restored(summary, outcome, &self.hasher, self.offset));
            if let Some((count, host)) = count.zip(self.hosts.get_mut(index)) {
                host.closed.push(count);
                restored = restored.saturating_add(1);
            }
        }
        if let Some(host) = self.hosts.get_mut(index) {
            host.budget = Budget::resume(checkpoint.tokens, now + self.offset - checkpoint.at, now);
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
        let open = self.table.counts().chain(coarsest).filter(of_host).chain(waiting);
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
        self.table.len()
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
            outcomes: HashMap::new(),
            budget: Budget::new(now),
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
        let kind = if host.outcomes.len() < OUTCOMES { kind } else { OTHER };
        let (burst, repeats) = (host.burst, host.repeats);
        let index = *host.outcomes.entry(kind.to_owned()).or_insert(next);
        if index == next {
            let mut outcome = Outcome {
                host: host_index,
                kind: kind.to_owned(),
                source: source.to_owned(),
                burst: None,
                repeat: None,
                repeat_keys: 0,
                budgeted: is_unauthenticated(kind),
                suppressed: 0,
                repeats: VecDeque::new(),
                window: None,
            };
            outcome.set(burst, repeats);
            self.outcomes.push(outcome);
        }
        Some(index)
    }
}

impl Outcome {
    fn set(&mut self, burst: Option<Burst>, repeats: Repeats) {
        self.burst = burst.filter(|_| self.budgeted);
        self.repeat = match self.kind.as_str() {
            "authentication-failure" => repeats.failure,
            SUCCESS => repeats.success,
            _ => None,
        }
        .filter(|timeout| *timeout > 0.0);
        self.repeat_keys = repeats.keys.max(1);
    }

    fn counts(&self) -> bool {
        self.window.as_ref().is_some_and(|window| window.count.is_some())
    }

    /// Finds where an event belongs, and opens windows for it.
    fn place(&mut self, handle: usize, event: &Event<'_>, facts: &Facts<'_>, scene: &mut Scene<'_>) -> Place {
        let now = scene.now;
        if let Some(timeout) = self.repeat {
            // What is no address tells apart too, as it stands.
            let text = if facts.address.is_none() { event.address } else { None };
            let key = scene.hasher.hash_one((handle, Level::Address, facts.user_hash, facts.address, text));
            if scene.table.open(key, now).is_some() {
                return Place::Key(key);
            }
            self.remember(key, Window::new(handle, Level::Address, now, timeout, 1), scene);
        }
        let Some(Burst { burst, window: length }) = self.burst else {
            return Place::Store;
        };
        let Scene { host, table, hasher, .. } = scene;
        for level in [Level::Account, Level::Network] {
            let user = facts.user_hash.filter(|_| level == Level::Account);
            let key = hasher.hash_one((handle, level, user, facts.network));
            if let Some(window) = table.open(key, now) {
                return if window.admits(burst, &mut host.budget, now) { Place::Store } else { Place::Key(key) };
            }
            if !table.has_room(key, level, now) {
                continue;
            }
            let mut window = Window::new(handle, level, now, length, 0);
            let admitted = window.admits(burst, &mut host.budget, now);
            // What can't be stored is counted by network, which makes fewer summaries.
            if admitted || level == Level::Network {
                table.insert(key, window);
                return if admitted { Place::Store } else { Place::Key(key) };
            }
        }
        let window = self.window.take().filter(|window| window.is_open(now));
        let window = self.window.insert(window.unwrap_or_else(|| Window::new(handle, Level::Outcome, now, length, 0)));
        if window.admits(burst, &mut host.budget, now) { Place::Store } else { Place::Outcome }
    }

    /// Opens a window for a key of repeats, and forgets the oldest where there are too many.
    fn remember(&mut self, key: u64, window: Window, scene: &mut Scene<'_>) {
        let now = scene.now;
        while let Some((oldest, started)) = self.repeats.front().copied() {
            let its_window = scene.table.get(oldest).filter(|window| window.started == started);
            if its_window.is_some_and(|window| window.is_open(now)) {
                break;
            }
            if its_window.is_some() {
                scene.table.remove(oldest);
            }
            self.repeats.pop_front();
        }
        while self.repeats.len() >= self.repeat_keys || !self.repeats.is_empty() && !scene.table.has_room(key, Level::Address, now) {
            let Some((oldest, started)) = self.repeats.pop_front() else { break };
            if scene.table.get(oldest).is_none_or(|window| window.started != started) {
                continue;
            }
            match scene.table.remove(oldest).and_then(|window| window.count) {
                Some(count) if scene.host.closed.len() < CLOSED => scene.host.closed.push(*count),
                Some(count) => self.absorb(*count, now, scene.pool),
                None => {}
            }
        }
        if scene.table.has_room(key, Level::Address, now) {
            self.repeats.push_back((key, window.started));
            scene.table.insert(key, window);
        }
    }

    /// Takes a count whose summary found no room; its window goes on with the outcome's.
    fn absorb(&mut self, count: Count, now: f64, pool: &mut usize) {
        let window = self.window.get_or_insert_with(|| Window::new(count.outcome, Level::Outcome, now, 0.0, 0));
        match &mut window.count {
            Some(own) => own.absorb(count, pool),
            None => {
                window.ends = now;
                window.count = Some(Box::new(count));
            }
        }
    }
}

fn summary_of(count: &Count, outcomes: &[Outcome], offset: f64, describe: &Describe<'_>) -> Summary {
    let (kind, source) = outcomes.get(count.outcome).map(|outcome| (outcome.kind.clone(), outcome.source.clone())).unwrap_or_default();
    let summary = count.summary(offset, &|address, part| describe(&kind, address, part));
    Summary { kind, source, ..summary }
}

/// Merges counts until there are at most `room`, or one for each outcome: those of one network first, then the smaller ones.
fn coarsen(counts: Vec<Count>, room: usize, pool: &mut usize) -> Vec<Count> {
    if counts.len() <= room {
        return counts;
    }
    let mut counts = merge_by(counts, |count| count.network().map(|network| (count.outcome, network)), pool);
    if counts.len() <= room {
        return counts;
    }
    let mut outcomes: Vec<usize> = counts.iter().map(|count| count.outcome).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    counts.sort_by_key(|count| std::cmp::Reverse(count.number));
    let rest = counts.split_off(room.saturating_sub(outcomes.len()).min(counts.len()));
    counts.extend(merge_by(rest, |count| Some(count.outcome), pool));
    counts
}

/// Merges counts that have the same key; those that have none stay as they are.
fn merge_by<K: Eq + std::hash::Hash>(counts: Vec<Count>, key: impl Fn(&Count) -> Option<K>, pool: &mut usize) -> Vec<Count> {
    let mut merged: Vec<Count> = Vec::new();
    let mut places: HashMap<K, usize> = HashMap::new();
    for count in counts {
        let next = merged.len();
        let place = key(&count).map_or(next, |key| *places.entry(key).or_insert(next));
        match merged.get_mut(place) {
            Some(own) => own.absorb(count, pool),
            None => merged.push(count),
        }
    }
    merged
}
