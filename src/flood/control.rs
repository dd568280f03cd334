//! Flood control on all hosts.

use std::collections::{BTreeMap, HashMap};
use std::hash::RandomState;
use std::io;
use std::path::Path;

use uuid::Uuid;

use super::checkpoint::{self, Checkpoint, SavedBudget};
use super::count::Count;
use super::event::Event;
use super::facts::Facts;
use super::host::HostState;
use super::limits::{self, Burst, Repeats, is_unauthenticated};
use super::many::Pool;
use super::merge::{Describe, coarsen, summary_of};
use super::outcome::{HostOutcome, Placement, Scene};
use super::summary::FloodSummary;
use super::table::{ACTOR_KEYS, KEYS, Window, WindowTable, WindowTables};
use crate::archive::retention::Retention;
use crate::catalogue;

/// Outcomes of a host that are told apart; types come from code, so there are fewer.
const OUTCOMES: usize = 128;
/// What stands for all other failures, and for all others.
const OTHER_FAILURES: &str = "other-refused";
const OTHERS: &str = "other-events";
/// How many summaries are stored at a time, so that the server's loop is not held.
const BATCH: usize = 100;

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

/// Flood control on all hosts.
#[derive(Debug)]
pub struct Control {
    hosts: Vec<HostState>,
    host_index: HashMap<String, usize>,
    outcomes: Vec<HostOutcome>,
    tables: WindowTables,
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
    place: Placement,
    hash: u64,
    name: Vec<u8>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            host_index: HashMap::new(),
            outcomes: Vec::new(),
            tables: WindowTables { failures: WindowTable::new(KEYS), actors: WindowTable::new(ACTOR_KEYS) },
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
            Placement::Store => None,
            Placement::Key(side, key) => tables.get_mut(side).get_mut(key),
            Placement::Outcome => outcome.window.as_mut(),
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
            Placement::Store => None,
            Placement::Key(side, key) => self.tables.get_mut(side).get_mut(key),
            Placement::Outcome => self.outcomes.get_mut(outcome).and_then(|outcome| outcome.window.as_mut()),
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

        // Where there is no room at all a window goes on.
        let room_of = |outcome: &HostOutcome| outcome.budget.map_or(usize::MAX, |budget| rooms.get(budget).copied().unwrap_or_default());
        let may_end = |outcome: Option<&HostOutcome>| outcome.is_some_and(|outcome| outcome.host == index && room_of(outcome) > 0);
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
                if let Some(named) = budget.and_then(|budget| host.budgets.get_mut(budget)) {
                    named.budget.give_back(1);
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
        let open: Vec<FloodSummary> =
            counts_of(index, host, outcomes, tables).map(|count| summary_of(count, outcomes, *offset, describe)).collect();
        // Within that time each of them fills, whatever its size.
        host.left.retain(|(_, at)| now - at < 120.0);
        let is_needed = !open.is_empty()
            || closing && !host.left.is_empty()
            || closing && host.budgets.iter_mut().any(|named| !named.budget.is_full(now));
        if !is_needed {
            if host.written {
                checkpoint::remove(path)?;
            }
            (host.written, host.changed) = (false, false);
            return Ok(());
        }
        host.written = true;
        let mut saved: Vec<SavedBudget> = host.budgets.iter_mut().map(|budget| budget.save(now)).collect();
        let failures = saved.remove(0);
        saved.extend(host.left.iter().map(|(left, _)| left.clone()));
        Checkpoint::new(now + *offset, failures.tokens, saved, open).write(path)?;
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
            let failures = SavedBudget { name: String::new(), tokens: checkpoint.tokens };
            for saved in std::iter::once(failures).chain(checkpoint.budgets) {
                host.resume(saved, ago, now);
            }
        }
        Ok(restored)
    }

    /// How many events of a host are counted now and in no stored summary yet.
    #[must_use]
    pub fn counted(&self, host: &str) -> u64 {
        let Some(index) = self.host_index.get(host).copied() else { return 0 };
        let Some(host) = self.hosts.get(index) else { return 0 };
        counts_of(index, host, &self.outcomes, &self.tables).map(|count| count.number).fold(0, u64::saturating_add)
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
        self.hosts.push(HostState::new(name, now));
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
            let mut outcome = HostOutcome::new(host_index, kind, source);
            outcome.set(host);
            self.outcomes.push(outcome);
        }
        Some(index)
    }
}

/// All counts of a host whose summary is not stored yet.
fn counts_of<'a>(
    index: usize,
    host: &'a HostState,
    outcomes: &'a [HostOutcome],
    tables: &'a WindowTables,
) -> impl Iterator<Item = &'a Count> {
    let of_host = move |count: &&Count| outcomes.get(count.outcome).is_some_and(|outcome| outcome.host == index);
    let coarsest = outcomes.iter().filter_map(|outcome| outcome.window.as_ref()?.count.as_deref());
    tables.counts().chain(coarsest).filter(of_host).chain(host.closed.iter().chain(&host.emitting))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
