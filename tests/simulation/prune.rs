//! Pruning: the loop of the embedded Lua (`src/lua/prune/`) around the plan of the core. What is removed is checked at that moment.

use std::cell::RefCell;
use std::rc::Rc;

use audit_core::archive::clock::Witnesses;
use audit_core::archive::limits::{Limit, LimitStep, PartitionSizes};
use audit_core::archive::partition::Partition;
use audit_core::archive::pruning::Plan;
use audit_core::archive::schedule::{PruneExtent, Schedule};
use audit_core::archive::slices::SETTLE;
use audit_core::journal::Snapshot;
use audit_core::time::day;

use crate::disk::journal;
use crate::events::HOST;
use crate::hand_over::Item;
use crate::model::Gone;
use crate::script::Mood;
use crate::store::Refusal;
use crate::world::{Crashed, Timer, World};

/// By how much an entry may be removed too early: what the log allows a clock to differ, and what it may drift in a day.
const SLACK: f64 = 3.0 * 3600.0;

/// Why a partition is removed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reason {
    Expired,
    Limit,
}

pub type Outcome<T> = Result<Result<T, Refusal>, Crashed>;

impl World {
    pub fn ask_for_prune(&mut self, delay: f64, extent: PruneExtent) {
        let now = self.clock.uptime();
        if let Some(at) = self.process().schedule.ask(HOST, now, delay, extent) {
            self.after(delay, Timer::Prune(at, extent == PruneExtent::Limits));
        }
    }

    pub fn enforce_soon(&mut self) {
        let now = self.clock.uptime();
        if let Some((at, delay)) = self.process().schedule.ask_for_limits(HOST, now) {
            self.after(delay, Timer::Prune(at, true));
        }
    }

    pub fn prune_scheduled(&mut self, is_limits: bool) -> Result<(), Crashed> {
        if self.process().is_pruning {
            self.ask_for_prune(60.0, PruneExtent::Full);
            return Ok(());
        }
        match self.prune_here(is_limits)? {
            Ok(next) => {
                self.process().schedule.succeeded(HOST);
                let wall = self.clock.wall();
                if let Some(next) = next {
                    self.ask_for_prune(Schedule::delay_until(next, wall), PruneExtent::Full);
                }
            }
            Err(_) => {
                let failure = self.process().schedule.failed(HOST, false);
                self.ask_for_prune(failure.retry, PruneExtent::Full);
            }
        }
        Ok(())
    }

    /// Prunes because an operator asks for it, in this process or in another one.
    pub fn prune(&mut self, is_limits: bool, elsewhere: bool) -> Result<(), Crashed> {
        if self.is_pruned_elsewhere || self.process.as_ref().is_some_and(|process| process.is_pruning) {
            return Ok(());
        }
        if elsewhere {
            self.is_pruned_elsewhere = true;
            let done = self.prune_elsewhere();
            self.is_pruned_elsewhere = false;
            done?.ok();
        } else {
            self.prune_here(is_limits)?.ok();
        }
        Ok(())
    }

    fn prune_here(&mut self, is_limits: bool) -> Outcome<Option<f64>> {
        // One process prunes a host at a time, as there is a lock (`src/lua/prune/turn.lua`).
        if self.is_pruned_elsewhere {
            return Ok(Err(Refusal::Fault));
        }
        self.process().is_pruning = true;
        let done = self.plan_and_prune(is_limits)?;
        self.process().is_pruning = false;
        Ok(done)
    }

    fn plan_and_prune(&mut self, is_limits: bool) -> Outcome<Option<f64>> {
        let at = self.clock.wall();
        let users = match self.users()? {
            Ok(users) => users,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.look_at_clock(Some(&users))?;
        let partitions = partitions_of(&users);
        let trust = self.settings().clock_trust.seconds();
        let remaining = self.process().clock.remaining(trust);
        let old_is_empty = self.old_is_empty(&users);
        let process = self.process();
        let plan = process.recorder.plan(HOST, &partitions, old_is_empty, at, Some(&mut process.clock));
        let is_held = !process.clock.is_trusted();
        let counts = Rc::clone(&process.counts);
        let waiting = self.process().journal.since();
        let mut done = self.carry_out(&plan, is_limits, &counts, waiting, false)?;
        if done.is_ok() && !is_limits && !is_held {
            done = self.prune_old(&users, at, None, false)?.map(|_| ());
            self.process().recorder.placement(HOST).pruned();
            self.process().slot_of_nil = None;
        }
        let next = if is_held { Some(at + remaining) } else { plan.next };
        Ok(done.map(|()| next))
    }

    /// `prosodyctl` prunes: it has no journal, and knows of the clock what is saved.
    fn prune_elsewhere(&mut self) -> Outcome<()> {
        let at = self.clock.wall();
        let users = match self.users()? {
            Ok(users) => users,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let partitions = partitions_of(&users);
        let (reading, trust) = (self.clock.reading(), self.settings().clock_trust.seconds());
        let witnesses = Witnesses { heartbeat: self.heartbeat, ..Witnesses::default() };
        let mut clock = self.saved_clock();
        clock.look(&reading, &witnesses, trust);
        clock.look_at_partitions(&partitions, &reading, &witnesses);
        clock.save();
        let mut recorder = self.new_recorder();
        let plan = recorder.plan(HOST, &partitions, self.old_is_empty(&users), at, Some(&mut clock));
        let waiting = Snapshot::read_from(&self.disk.files, &journal()).ok().and_then(|snapshot| snapshot.since());
        let done = self.carry_out(&plan, false, &RefCell::default(), waiting, true)?;
        if done.is_err() || !clock.is_trusted() {
            return Ok(done);
        }
        Ok(self.prune_old(&users, at, Some(&clock), true)?.map(|_| ()))
    }

    fn carry_out(
        &mut self,
        plan: &Plan,
        is_limits: bool,
        counts: &RefCell<PartitionSizes>,
        waiting: Option<f64>,
        elsewhere: bool,
    ) -> Outcome<()> {
        let mut has_removed = false;
        for partition in &plan.unfinished {
            self.line(format_args!("{partition} is unfinished"));
            if self.delete(partition)?.is_err() {
                return Ok(Err(Refusal::Fault));
            }
        }
        for marker in &plan.markers {
            if self.delete(marker)?.is_err() {
                return Ok(Err(Refusal::Fault));
            }
        }
        for partition in plan.expired.values().flatten() {
            if let Err(refusal) = self.remove(partition, Reason::Expired, counts, elsewhere)? {
                return Ok(Err(refusal));
            }
            self.removed(partition, elsewhere);
            has_removed = true;
            self.breathe()?;
        }
        for (class, partitions) in &plan.limited {
            let Some(entries) = self.settings().retention.rules(class).limit else { continue };
            let mut limit = Limit::new(HOST, entries, partitions.clone());
            loop {
                let Some(step) = limit.next_step(&counts.borrow()) else { break };
                match step {
                    LimitStep::Count(partition) => match self.size_of(&partition)? {
                        Ok(size) => limit.counted(&mut counts.borrow_mut(), size),
                        Err(refusal) => return Ok(Err(refusal)),
                    },
                    LimitStep::Remove(partition) => {
                        if let Err(refusal) = self.remove(&partition, Reason::Limit, counts, elsewhere)? {
                            return Ok(Err(refusal));
                        }
                        self.removed(&partition, elsewhere);
                        has_removed = true;
                        self.breathe()?;
                    }
                }
            }
        }
        let due = plan.cut.iter().filter(|partition| waiting.is_none_or(|waiting| partition.day < day(waiting)));
        let due: Vec<Partition> = due.filter(|_| !is_limits).cloned().collect();
        if !due.is_empty() && !elsewhere {
            self.process().slots.clear();
        }
        if let Err(refusal) = self.cut(&due, elsewhere)? {
            return Ok(Err(refusal));
        }
        if has_removed && !elsewhere {
            self.say("audit-pruned", 0, |_| {})?;
        }
        Ok(Ok(()))
    }

    /// Lets the server go on.
    pub fn breathe(&mut self) -> Result<(), Crashed> {
        if self.depth < 2 {
            self.depth += 1;
            self.pass(0.02)?;
            self.depth -= 1;
        }
        Ok(())
    }

    fn size_of(&mut self, partition: &Partition) -> Outcome<u64> {
        Ok(match self.call()? {
            Some(mood) if mood.fails() => Err(Refusal::Fault),
            _ => Ok(self.store.list(&Some(partition.to_string())).len() as u64),
        })
    }

    pub fn delete(&mut self, partition: &Partition) -> Outcome<()> {
        if self.call()?.is_some_and(Mood::fails) {
            return Ok(Err(Refusal::Fault));
        }
        self.store.delete(&Some(partition.to_string()));
        self.step()?;
        Ok(Ok(()))
    }

    /// The clock of this process is told. Another process has a clock of its own.
    fn removed(&mut self, partition: &Partition, elsewhere: bool) {
        if let Some(process) = self.process.as_mut().filter(|_| !elsewhere) {
            process.clock.removed(partition);
        }
    }

    /// Removes a partition with its entries.
    fn remove(&mut self, partition: &Partition, reason: Reason, counts: &RefCell<PartitionSizes>, elsewhere: bool) -> Outcome<()> {
        if let Err(refusal) = self.announce(&self.store.list(&Some(partition.to_string())), elsewhere) {
            return Ok(Err(refusal));
        }
        self.step()?;
        if self.call()?.is_some_and(Mood::fails) {
            return Ok(Err(Refusal::Fault));
        }
        let removed = self.store.delete(&Some(partition.to_string()));
        self.line(format_args!("{partition} with {} entries is removed: {reason:?}", removed.len()));
        counts.borrow_mut().remove(HOST, partition);
        self.model.removed.insert(partition.to_string());
        for stored in &removed {
            self.model.gone.entry(stored.id.clone()).or_insert(Gone::ByRule);
        }
        let ids: Vec<String> = removed.into_iter().map(|stored| stored.id).collect();
        match reason {
            Reason::Expired => {
                let after = self.settings().retention.rules(partition.home()).expires_after.seconds();
                self.check_age(&ids, after, partition, "was removed");
            }
            Reason::Limit => self.check_limit(&ids, partition),
        }
        self.step()?;
        Ok(Ok(()))
    }

    pub fn check_age(&mut self, ids: &[String], after: f64, partition: &dyn std::fmt::Display, what: &str) {
        let passed = self.clock.passed;
        // What lay there before the log began can't be known to have been written under the right clock.
        let is_known = |at: f64| at >= 0.0 || self.jumps == 0;
        let known = ids.iter().filter_map(|id| self.model.known(id)).filter(|known| is_known(known.at));
        let ages = known.map(|known| passed - known.at);
        if let Some(age) = ages.min_by(f64::total_cmp).filter(|age| *age < after - SLACK)
            && !self.model.may_expire_early
        {
            self.wrong(format!("an entry of {partition} {what} after {age} seconds, not {after}"));
        }
    }

    /// The entries that were written last are kept.
    fn check_limit(&mut self, ids: &[String], partition: &Partition) {
        let Some(limit) = self.settings().retention.rules(partition.home()).limit else { return };
        let newest = ids.iter().filter_map(|id| Some(self.model.known(id)?.number)).max().unwrap_or(0);
        // Entries that waited are stored behind those that were written directly meanwhile.
        let stored = ids.iter().filter_map(|id| self.model.stored.get(id).copied()).max().unwrap_or(0);
        let visible = self.visible();
        let of_class = visible.iter().filter(|other| other.home() == partition.home());
        let later: usize = of_class
            .map(|other| {
                let list = self.store.list(&Some(other.to_string()));
                let is_later = |id: &String| {
                    self.model.known(id).is_some_and(|known| known.number > newest)
                        || other.day == partition.day && self.model.stored.get(id).is_some_and(|number| *number > stored)
                };
                list.iter().filter(|stored| is_later(&stored.id)).count()
            })
            .sum();
        // If a clock was set back, a day may be reached twice. The order of its entries is known only as long as it is in the future,
        // and if the clock was wrong once and is right again.
        let now = self.clock.wall();
        let is_known =
            self.clock.boots == 1 && self.clock.is_right() && self.jumps <= 2 && visible.iter().any(|other| other.start() > now + SLACK);
        let is_clear = !self.has_gone_back || is_known && partition.start() <= now + SLACK;
        if (later as u64) < limit && is_clear {
            self.wrong(format!("a limit of {limit} has removed {partition}, and only {later} entries are newer"));
        }
    }

    /// Replaces partitions by copies with less of their addresses.
    fn cut(&mut self, partitions: &[Partition], elsewhere: bool) -> Outcome<()> {
        let mut copied = Vec::new();
        for partition in partitions {
            let copy = Some(partition.cut().to_string());
            if self.call()?.is_some_and(Mood::fails) {
                return Ok(Err(Refusal::Fault));
            }
            let rows = self.store.list(&Some(partition.to_string()));
            let ids: Vec<String> = rows.iter().map(|stored| stored.id.clone()).collect();
            let after = self.settings().retention.rules(partition.home()).addresses_expire.map_or(0.0, |expiry| expiry.after.seconds());
            self.check_age(&ids, after, partition, "lost its address");
            for stored in rows {
                let (sequence, at, lost, counted) = (0, stored.when as f64, 0, 0);
                let item = Item { sequence, at, id: stored.id, kind: String::new(), with: stored.with, xml: stored.xml, lost, counted };
                if self.append_copy(&copy, stored.when, &item)?.is_err() {
                    return Ok(Err(Refusal::Fault));
                }
            }
            copied.push(partition.clone());
            self.breathe()?;
        }
        if !copied.is_empty() && !elsewhere && self.depth < 2 && !self.store.has_transactions() {
            self.depth += 1;
            self.pass(SETTLE)?;
            self.depth -= 1;
        }
        for partition in copied {
            self.line(format_args!("{partition} is replaced by its copy"));
            if self.delete(&partition)?.is_err() {
                return Ok(Err(Refusal::Fault));
            }
            self.breathe()?;
        }
        Ok(Ok(()))
    }

    /// A driver that says no is asked no more, and the copy is not complete.
    pub fn append_copy(&mut self, user: &Option<String>, when: i64, item: &Item) -> Outcome<()> {
        if matches!(self.call()?, Some(Mood::Refuses | Mood::Raises | Mood::Keeps)) {
            return Ok(Err(Refusal::Fault));
        }
        Ok(self.store.append(user, when, &item.id, &item.with, &item.xml).map(|_| ()))
    }
}

pub fn partitions_of(users: &[String]) -> Vec<Partition> {
    users.iter().filter_map(|user| user.parse().ok()).collect()
}
