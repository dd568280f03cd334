//! Flood control on all hosts.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use uuid::Uuid;

use super::count::Count;
use super::event::FloodEvent;
use super::facts::Facts;
use super::host::HostState;
use super::limits::{self, Burst, Repeats, is_unauthenticated};
use super::many::Pool;
use super::merge::{Describe, coarsen, summary_of};
use super::outcome::{CountPlace, HostOutcome, Scene, counts_of};
use super::summary::FloodSummary;
use super::table::{ACTOR_KEYS, KEYS, Window, WindowTable, WindowTables};
use crate::archive::retention::Retention;
use crate::catalogue;
use crate::file::{Disk, Files};
use crate::random::{HashSeed, OsRandom, Random};

/// The largest number of outcomes of a host that are told apart. Types come from code, so there are usually fewer.
const OUTCOMES: usize = 128;
/// The types that stand for all further failures, and for all further events.
const OTHER_FAILURES: &str = "other-refused";
const OTHERS: &str = "other-events";
/// How many summaries are stored at a time, so that the server's event loop is not blocked.
const BATCH: usize = 100;

/// What happens to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Store it as it is.
    Store,
    /// It was counted.
    Counted,
    /// It was counted, and the caller should check whether the account exists. If it does, call [`Control::exists`].
    CountedAsks,
}

/// The flood control of all hosts.
#[derive(Debug)]
pub struct Control {
    pub(super) files: Rc<dyn Files>,
    pub(super) hosts: Vec<HostState>,
    pub(super) host_index: HashMap<String, usize>,
    pub(super) outcomes: Vec<HostOutcome>,
    pub(super) tables: WindowTables,
    pub(super) hasher: HashSeed,
    /// How many more hashes and names may be kept to tell accounts, networks and actors apart.
    pub(super) pool: Pool,
    /// The last event for which the caller was asked to check the account.
    asked: Option<OpenQuestion>,
    /// UNIX time minus the monotonic clock, in seconds.
    pub(super) offset: f64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct OpenQuestion {
    outcome: usize,
    place: CountPlace,
    hash: u64,
    name: Vec<u8>,
}

impl Default for Control {
    fn default() -> Self {
        Self::new(Rc::new(Disk), &OsRandom)
    }
}

impl Control {
    /// Flood control whose checkpoints are in `files`. The key of its hashes is made of `random`.
    #[must_use]
    pub fn new(files: Rc<dyn Files>, random: &dyn Random) -> Self {
        Self {
            files,
            hosts: Vec::new(),
            host_index: HashMap::new(),
            outcomes: Vec::new(),
            tables: WindowTables { failures: WindowTable::new(KEYS), actors: WindowTable::new(ACTOR_KEYS) },
            hasher: HashSeed::new(random),
            pool: Pool::FULL,
            asked: None,
            offset: 0.0,
            buffer: Vec::new(),
        }
    }

    /// Sets the UNIX time that corresponds to `now` of the monotonic clock.
    pub fn set_clock(&mut self, now: f64, unix: f64) {
        self.offset = unix - now;
    }

    /// Sets the options of a host. Open windows stay open until they end.
    pub fn configure(&mut self, host: &str, burst: Option<Burst>, repeats: Repeats, retention: &Retention) {
        let index = self.host(host, 0.0);
        let Some(host) = self.hosts.get_mut(index) else { return };
        (host.burst, host.repeats, host.retention) = (burst, repeats, retention.clone());
        for own in host.own_outcomes() {
            if let Some(outcome) = self.outcomes.get_mut(own) {
                outcome.set(host);
            }
        }
    }

    /// The number of an outcome, for [`ask`](Self::ask). Returns `None` if all events of this type are stored.
    ///
    /// `source` is the module that reports the type.
    pub fn outcome(&mut self, host: &str, kind: &str, source: &str, now: f64) -> Option<usize> {
        // A type that is never counted must not use up an outcome, and must not be counted as one of the other types.
        if !limits::is_bounded(kind) {
            return None;
        }
        let index = self.outcome_index(host, kind, source, now)?;
        self.outcomes.get(index).filter(|outcome| outcome.limits.is_some() || outcome.repeat.is_some()).map(|_| index)
    }

    /// The same, if somebody else wants to know of each event before [`ask`](Self::ask) decides. So there is a number also if all
    /// events are stored, unless they are an administrator's or the server's.
    pub fn watched_outcome(&mut self, host: &str, kind: &str, source: &str, now: f64) -> Option<usize> {
        if limits::is_bounded(kind) { self.outcome_index(host, kind, source, now) } else { None }
    }

    /// The UNIX time at `now`.
    #[must_use]
    pub const fn unix(&self, now: f64) -> f64 {
        now + self.offset
    }

    /// Decides whether an event is stored. If not, it is counted.
    pub fn ask(&mut self, outcome: usize, event: &FloodEvent<'_>, now: f64) -> Verdict {
        let handle = outcome;
        let Self { hosts, outcomes, tables, hasher, pool, buffer, asked, .. } = self;
        let Some(outcome) = outcomes.get_mut(handle) else { return Verdict::Store };
        let Some(host) = hosts.get_mut(outcome.host) else { return Verdict::Store };
        let facts = Facts::of(event, &host.name, buffer, hasher);
        let place = outcome.place(handle, event, &facts, &mut Scene { host, tables, hasher, pool, now });
        let window = match place {
            CountPlace::Store => None,
            CountPlace::Key(side, key) => tables.get_mut(side).get_mut(key),
            CountPlace::Outcome => outcome.window.as_mut(),
        };
        let Some(window) = window else { return Verdict::Store };
        let count = window.count.get_or_insert_with(|| Box::new(Count::new(handle, &facts, now)));
        let asks = count.add(&facts, now, hasher, pool);
        outcome.suppressed = outcome.suppressed.saturating_add(1);
        host.lately.add(now);
        host.changed = true;
        match facts.user_hash.zip(facts.user).filter(|_| asks && host.questions.take_single(1, now)) {
            Some((hash, name)) => {
                *asked = Some(OpenQuestion { outcome: handle, place, hash, name: name.to_vec() });
                Verdict::CountedAsks
            }
            None => Verdict::Counted,
        }
    }

    /// Notes that the account of the last event exists. Call this after [`Verdict::CountedAsks`].
    pub fn exists(&mut self) {
        let Some(OpenQuestion { outcome, place, hash, name }) = self.asked.take() else { return };
        let window = match place {
            CountPlace::Store => None,
            CountPlace::Key(side, key) => self.tables.get_mut(side).get_mut(key),
            CountPlace::Outcome => self.outcomes.get_mut(outcome).and_then(|outcome| outcome.window.as_mut()),
        };
        if let Some(count) = window.and_then(|window| window.count.as_mut()) {
            count.exists(hash, &name, &mut self.pool);
        }
    }

    /// The names of the hosts that have counted events without a stored summary.
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
        let hosts = self.hosts.iter().zip(counting);
        let of_hosts = hosts.filter(|(host, is_counting)| *is_counting || !host.closed.is_empty() || !host.emitting.is_empty());
        of_hosts.map(|(host, _)| host.name.as_str()).collect()
    }

    /// Returns the summaries to store now: those of windows that have ended, or all of them if the host is `closing`. `new_id`
    /// returns a new entry id.
    ///
    /// Write a checkpoint before you store them. It has their ids. If this process ends before all of them are stored, the next
    /// process uses the ids to find out which ones are. After storing them, call [`settle`](Self::settle).
    pub fn due(
        &mut self,
        host: &str,
        now: f64,
        closing: bool,
        describe: &Describe<'_>,
        mut new_id: impl FnMut() -> Uuid,
    ) -> Vec<FloodSummary> {
        let Some(index) = self.host_index.get(host).copied() else { return Vec::new() };
        let Self { hosts, outcomes, tables, hasher, pool, offset, .. } = self;
        let Some(host) = hosts.get_mut(index) else { return Vec::new() };
        let rooms: Vec<usize> = host.budgets.iter_mut().map(|budget| budget.budget.summaries(now, closing)).collect();
        let batch = if closing { usize::MAX } else { BATCH };

        // If the budget is empty, the window goes on.
        let room_of = |outcome: &HostOutcome| outcome.budget.map_or(usize::MAX, |budget| rooms.get(budget).copied().unwrap_or_default());
        let may_end = |outcome: Option<&HostOutcome>| outcome.is_some_and(|outcome| outcome.host == index && room_of(outcome) > 0);
        let is_over = |window: &Window| (closing || now >= window.ends) && may_end(outcomes.get(window.outcome));
        let mut counts = tables.failures.close(now, false, is_over);
        counts.extend(tables.actors.close(now, true, is_over));
        for own in host.own_outcomes() {
            let Some(outcome) = outcomes.get_mut(own) else { continue };
            if outcome.counts() && may_end(Some(outcome)) && outcome.window.as_ref().is_some_and(|window| closing || now >= window.ends) {
                counts.extend(outcome.window.take().and_then(|window| window.count).map(|count| *count));
            }
        }
        let (taken, left) = std::mem::take(&mut host.closed).into_iter().partition(|count| may_end(outcomes.get(count.outcome)));
        counts.extend::<Vec<_>>(taken);
        host.closed = left;

        let mut by_budget: BTreeMap<Option<usize>, Vec<Count>> = BTreeMap::new();
        for count in counts {
            // A summary that the previous process may have stored must not change.
            let budget = outcomes.get(count.outcome).and_then(|outcome| outcome.budget).filter(|_| count.id.is_none());
            by_budget.entry(budget).or_default().push(count);
        }
        for (budget, counts) in by_budget {
            let room = budget.map_or(usize::MAX, |budget| rooms.get(budget).copied().unwrap_or_default());
            let mut counts = coarsen(counts, room, hasher, pool);
            for count in counts.split_off(room.min(counts.len())) {
                // There are more outcomes than summaries that may be stored. These windows go on.
                if let Some(outcome) = outcomes.get_mut(count.outcome) {
                    outcome.absorb(count, now, hasher, pool);
                }
            }
            host.closed.extend(counts.split_off(batch.min(counts.len())));
            if let Some(named) = budget.and_then(|budget| host.budgets.get_mut(budget)) {
                named.budget.take(counts.len());
            }
            host.emitting.append(&mut counts);
        }
        host.changed |= !host.emitting.is_empty();
        let describe = |count: &mut Count| {
            let summary = summary_of(count, outcomes, *offset, describe);
            let id = count.id.get_or_insert_with(&mut new_id);
            FloodSummary { id: id.hyphenated().to_string(), ..summary }
        };
        host.emitting.iter_mut().map(describe).collect()
    }

    /// Notes that the first `stored` summaries of the last [`due`](Self::due) are stored. The others will be returned again, with
    /// new ids, because an entry that is written later has a later id.
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
                if let Some(named) = budget.and_then(|budget| host.budgets.get_mut(budget)) {
                    named.budget.give_back(1);
                }
            }
        }
        host.changed = true;
        host.closed.extend(kept);
    }

    /// The number of counted events of a host that are in no stored summary yet.
    #[must_use]
    pub fn counted(&self, host: &str) -> u64 {
        let Some(index) = self.host_index.get(host).copied() else { return 0 };
        let Some(host) = self.hosts.get(index) else { return 0 };
        counts_of(index, host, &self.outcomes, &self.tables).map(|count| count.number).fold(0, u64::saturating_add)
    }

    /// How many events of each type were counted and not stored on a host, since this object was created.
    pub fn suppressed(&self, host: &str) -> impl Iterator<Item = (&str, u64)> {
        let host = self.host_index.get(host).and_then(|index| self.hosts.get(*index));
        let own = host.map(HostState::own_outcomes).unwrap_or_default().into_iter();
        let of_host = own.filter_map(|own| self.outcomes.get(own)).filter(|outcome| outcome.suppressed > 0);
        of_host.map(|outcome| (outcome.kind.as_str(), outcome.suppressed))
    }

    /// The same for all types together, within the last minute.
    pub fn suppressed_lately(&mut self, host: &str, now: f64) -> u64 {
        let host = self.host_index.get(host).copied().and_then(|index| self.hosts.get_mut(index));
        host.map_or(0, |host| host.lately.sum(now))
    }

    /// How many keys are in the tables.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.tables.failures.len().saturating_add(self.tables.actors.len())
    }

    pub(super) fn host(&mut self, name: &str, now: f64) -> usize {
        if let Some(index) = self.host_index.get(name) {
            return *index;
        }
        let index = self.hosts.len();
        self.host_index.insert(name.to_owned(), index);
        self.hosts.push(HostState::new(name, now));
        index
    }

    pub(super) fn outcome_index(&mut self, host: &str, kind: &str, source: &str, now: f64) -> Option<usize> {
        let host_index = self.host(host, now);
        let next = self.outcomes.len();
        let host = self.hosts.get_mut(host_index)?;
        if let Some(known) = host.outcomes.get(kind) {
            return Some(*known);
        }
        let is_failure = is_unauthenticated(kind);
        let is_like_it = |known: &&String| catalogue::find(known).is_none() && is_unauthenticated(known) == is_failure;
        // Our own types are always told apart. Failures and other types of other modules have separate limits.
        let is_told_apart = catalogue::find(kind).is_some() || host.outcomes.keys().filter(is_like_it).count() < OUTCOMES;
        let others = if is_failure { OTHER_FAILURES } else { OTHERS };
        let kind = if is_told_apart { kind } else { others };
        let index = *host.outcomes.entry(kind.to_owned()).or_insert(next);
        if index == next {
            let mut outcome = HostOutcome::new(host_index, kind, source);
            outcome.set(host);
            self.outcomes.push(outcome);
        }
        Some(index)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
