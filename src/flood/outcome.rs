//! Whether an event is stored, or which window counts it.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use super::count::Count;
use super::event::FloodEvent;
use super::facts::Facts;
use super::host::{HostState, NamedBudget};
use super::limits::TypeLimits;
use super::limits::{Burst, is_unauthenticated};
use super::many::Pool;
use super::table::{Level, Side, Window, WindowTables};
use crate::catalogue::{Cause, cause_of};
use crate::random::HashSeed;

/// Repeats of these are counted if the operator asks for it.
pub(super) const SUCCESS: &str = "authentication-success";
/// How many counts may wait for their summary besides those in the table.
pub(super) const CLOSED: usize = 4096;

#[derive(Debug)]
pub(super) struct HostOutcome {
    pub(super) host: usize,
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) cause: Option<Cause>,
    /// `None` if all events are stored.
    pub(super) limits: Option<TypeLimits>,
    pub(super) repeat: Option<f64>,
    pub(super) repeat_keys: usize,
    /// The index of the host's budget that pays for its entries.
    pub(super) budget: Option<usize>,
    pub(super) suppressed: u64,
    /// The keys of `audit_auth_repeat_*` and when their windows started, oldest first.
    pub(super) repeats: VecDeque<(u64, f64)>,
    /// The window of the coarsest key, for events that found no room in the table, and for merged counts.
    pub(super) window: Option<Window>,
}

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountPlace {
    Store,
    Key(Side, u64),
    Outcome,
}

/// The state that a decision about an event reads and changes.
pub(super) struct Scene<'a> {
    pub(super) host: &'a mut HostState,
    pub(super) tables: &'a mut WindowTables,
    pub(super) hasher: &'a HashSeed,
    pub(super) pool: &'a mut Pool,
    pub(super) now: f64,
}

impl HostOutcome {
    /// An outcome without limits. [`set`](Self::set) sets them.
    pub(super) fn new(host: usize, kind: &str, source: &str) -> Self {
        Self {
            host,
            kind: kind.to_owned(),
            source: source.to_owned(),
            cause: cause_of(kind),
            limits: None,
            repeat: None,
            repeat_keys: 0,
            budget: None,
            suppressed: 0,
            repeats: VecDeque::new(),
            window: None,
        }
    }

    /// Sets the limits as the options of the host say.
    pub(super) fn set(&mut self, host: &mut HostState) {
        let class = host.retention.class_of(&self.kind).to_owned();
        let limit = host.retention.rules(&class).limit;
        self.limits = host.burst.and_then(|burst| TypeLimits::new(&self.kind, self.cause, burst, limit));
        self.budget = if is_unauthenticated(&self.kind) {
            Some(0)
        } else {
            self.limits.and_then(|limits| {
                let (name, size) = limits.budget(limit);
                host.budget(&format!("{name} {class}"), size)
            })
        };
        self.repeat = match self.kind.as_str() {
            "authentication-failure" => host.repeats.failure,
            SUCCESS => host.repeats.success,
            _ => None,
        }
        .filter(|timeout| *timeout > 0.0);
        self.repeat_keys = host.repeats.keys.max(1);
    }

    pub(super) fn counts(&self) -> bool {
        self.window.as_ref().is_some_and(|window| window.count.is_some())
    }

    /// Decides where an event goes, and opens windows for it.
    pub(super) fn place(&mut self, handle: usize, event: &FloodEvent<'_>, facts: &Facts<'_>, scene: &mut Scene<'_>) -> CountPlace {
        let now = scene.now;
        if let Some(timeout) = self.repeat {
            // An address that can't be parsed is part of the key as it is.
            let text = if facts.address.is_none() { event.address } else { None };
            let key = scene.hasher.hash_one((handle, Level::Address, facts.user_hash, facts.address, text));
            if scene.tables.failures.open(key, now).is_some() {
                return CountPlace::Key(Side::Failures, key);
            }
            self.remember(key, Window::new(handle, Level::Address, now, timeout, 1), scene);
        }
        match self.limits {
            None => CountPlace::Store,
            Some(TypeLimits::Failures(burst)) => self.place_failure(handle, facts, burst, scene),
            Some(limits @ TypeLimits::Actors { .. }) => self.place_deed(handle, facts, event.weight.max(1), limits, scene),
        }
    }

    /// Decides about a failure, by account and network.
    fn place_failure(&mut self, handle: usize, facts: &Facts<'_>, burst: Burst, scene: &mut Scene<'_>) -> CountPlace {
        let Burst { burst, window: length } = burst;
        let Scene { host, tables, hasher, now, .. } = scene;
        let (table, now) = (&mut tables.failures, *now);
        let Some(NamedBudget { budget, .. }) = host.budgets.first_mut() else { return CountPlace::Store };
        for level in [Level::Account, Level::Network] {
            let user = facts.user_hash.filter(|_| level == Level::Account);
            let key = hasher.hash_one((handle, level, user, facts.network));
            if let Some(window) = table.open(key, now) {
                return if window.admits(burst, budget, now) { CountPlace::Store } else { CountPlace::Key(Side::Failures, key) };
            }
            if !table.has_room(key, level, now) {
                continue;
            }
            let mut window = Window::new(handle, level, now, length, 0);
            let admitted = window.admits(burst, budget, now);
            // An event that can't be stored is counted by network. That makes fewer summaries.
            if admitted || level == Level::Network {
                table.insert(key, window);
                return if admitted { CountPlace::Store } else { CountPlace::Key(Side::Failures, key) };
            }
        }
        let window = self.window.take().filter(|window| window.is_open(now));
        let window = self.window.insert(window.unwrap_or_else(|| Window::new(handle, Level::Outcome, now, length, 0)));
        if window.admits(burst, budget, now) { CountPlace::Store } else { CountPlace::Outcome }
    }

    /// Decides about an event that an actor caused, by the actor and by its network or server.
    fn place_deed(&mut self, handle: usize, facts: &Facts<'_>, weight: u32, limits: TypeLimits, scene: &mut Scene<'_>) -> CountPlace {
        let TypeLimits::Actors { each, together, window: length, by_actor, trusts, .. } = limits else { return CountPlace::Store };
        let Scene { host, tables, hasher, now, .. } = scene;
        let (table, now) = (&mut tables.actors, *now);
        let who = if by_actor { facts.who_hash() } else { None };
        let levels = [(Level::Account, who, each), (Level::Network, facts.group_hash(&host.name, hasher), together)];
        let keys = levels.map(|(level, hash, most)| hash.map(|hash| (level, hasher.hash_one((handle, level, hash)), most)));
        if trusts && keys.iter().all(Option::is_none) {
            return CountPlace::Store;
        }
        let mut last = None;
        for (level, key, most) in keys.into_iter().flatten() {
            let has_room = table.open(key, now).map(|window| window.has_room(weight, most));
            if has_room == Some(false) {
                return CountPlace::Key(Side::Actors, key);
            } else if has_room.is_none() {
                // If there is no room for a key, coarser keys and the budget decide.
                if !table.has_room(key, level, now) {
                    continue;
                }
                table.insert(key, Window::new(handle, level, now, length, 0));
            }
            last = Some(key);
        }
        let budget = self.budget.and_then(|budget| host.budgets.get_mut(budget));
        if budget.is_none_or(|named| named.budget.take_single(weight, now)) {
            for (_, key, _) in keys.into_iter().flatten() {
                if let Some(window) = table.open(key, now) {
                    window.admitted = window.admitted.saturating_add(weight);
                }
            }
            return CountPlace::Store;
        }
        if let Some(key) = last {
            return CountPlace::Key(Side::Actors, key);
        }
        let window = self.window.take().filter(|window| window.is_open(now));
        self.window = Some(window.unwrap_or_else(|| Window::new(handle, Level::Outcome, now, length, 0)));
        CountPlace::Outcome
    }

    /// Opens a window for a key of `audit_auth_repeat_*`. Forgets the oldest keys if there are too many.
    fn remember(&mut self, key: u64, window: Window, scene: &mut Scene<'_>) {
        let now = scene.now;
        while let Some((oldest, started)) = self.repeats.front().copied() {
            let its_window = scene.tables.failures.get(oldest).filter(|window| window.started == started);
            if its_window.is_some_and(|window| window.is_open(now)) {
                break;
            }
            if its_window.is_some() {
                scene.tables.failures.remove(oldest);
            }
            self.repeats.pop_front();
        }
        while self.repeats.len() >= self.repeat_keys
            || !self.repeats.is_empty() && !scene.tables.failures.has_room(key, Level::Address, now)
        {
            let Some((oldest, started)) = self.repeats.pop_front() else { break };
            if scene.tables.failures.get(oldest).is_none_or(|window| window.started != started) {
                continue;
            }
            match scene.tables.failures.remove(oldest).and_then(|window| window.count) {
                Some(count) if scene.host.closed.len() < CLOSED => scene.host.closed.push(*count),
                Some(count) => self.absorb(*count, now, scene.hasher, scene.pool),
                None => {}
            }
        }
        if scene.tables.failures.has_room(key, Level::Address, now) {
            self.repeats.push_back((key, window.started));
            scene.tables.failures.insert(key, window);
        }
    }

    /// Merges a count that could not get a summary into the window of the outcome.
    pub(super) fn absorb(&mut self, count: Count, now: f64, hasher: &HashSeed, pool: &mut Pool) {
        let window = self.window.get_or_insert_with(|| Window::new(count.outcome, Level::Outcome, now, 0.0, 0));
        match &mut window.count {
            Some(own) => own.absorb(count, hasher, pool),
            None => {
                window.ends = now;
                window.count = Some(Box::new(count));
            }
        }
    }
}

/// All counts of a host that have no stored summary yet.
pub(super) fn counts_of<'a>(
    index: usize,
    host: &'a HostState,
    outcomes: &'a [HostOutcome],
    tables: &'a WindowTables,
) -> impl Iterator<Item = &'a Count> {
    let of_host = move |count: &&Count| outcomes.get(count.outcome).is_some_and(|outcome| outcome.host == index);
    let own = host.own_outcomes().into_iter();
    let coarsest = own.filter_map(|own| outcomes.get(own)?.window.as_ref()?.count.as_deref());
    tables.counts().filter(of_host).chain(coarsest).chain(host.closed.iter().chain(&host.emitting))
}
