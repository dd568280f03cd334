//! The simulated world: time, timers, and what each action does. Nothing in it is left to chance.

use std::collections::BTreeMap;
use std::rc::Rc;

use audit_core::archive::schedule::PruneExtent;
use audit_core::options::Settings;

use crate::alerts::Raisings;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::erasing::Wish;
use crate::events::{EVENTS, address, settings, user};
use crate::model::{Gone, Model};
use crate::process::Process;
use crate::reading::Watcher;
use crate::script::{Action, Mood, Script, Setup};
use crate::seed::{Seed, SeededRandom};
use crate::sinks::{Receiver, SINKS};
use crate::store::Store;

/// The process has died in the middle of something.
#[derive(Debug)]
pub struct Crashed;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timer {
    Attach,
    HandOver,
    /// Flood control looks for windows that have ended.
    Tick,
    Prune(f64, bool),
    Daily,
    Look,
    WriteBack,
    Follow,
    /// Flood control tries again to read what the process before had counted.
    Counts,
    /// The thread of the native driver syncs its file.
    Sync,
    /// What was to be erased is erased, if it was not done before.
    Erase,
    Seal,
    /// A sink goes on, or gets an answer.
    Sink(usize),
    Answer(usize),
    /// The positions of sinks are saved.
    Positions,
    Alerts,
}

pub struct World {
    pub setup: Setup,
    pub options: usize,
    pub clock: Clock,
    pub random: Rc<SeededRandom>,
    pub disk: Disk,
    pub store: Store,
    pub process: Option<Process>,
    pub model: Model,
    pub watcher: Option<Watcher>,
    pub timers: Vec<(f64, Timer)>,
    /// After how many more steps the process dies.
    pub crash_in: Option<u32>,
    /// When the server said last that it is there.
    pub heartbeat: Option<f64>,
    /// How deep yields are in each other.
    pub depth: u32,
    is_written_back_soon: bool,
    pub is_synced_soon: bool,
    /// Whether another process prunes.
    pub is_pruned_elsewhere: bool,
    /// Whether the clock was set back.
    pub has_gone_back: bool,
    pub jumps: u32,
    /// Whether the clock has jumped, and the log has not looked at it since, or what it found is not written back.
    pub has_jumped_unseen: bool,
    pub has_looked: bool,
    /// Whether the log does not verify, for a good reason.
    pub evidence_is_excused: bool,
    /// Whether entries look as if they should have been sealed: the clock has jumped, or the key could not be replaced.
    pub is_seal_late: bool,
    /// What is to be erased.
    pub erasing: Vec<Wish>,
    pub receivers: [Receiver; SINKS],
    pub raisings: Raisings,
    /// What an operator would find in the server's log.
    pub log: Vec<String>,
    /// The first thing that was found to be wrong.
    pub problem: Option<String>,
    pub steps: u64,
    pub kinds: BTreeMap<String, u64>,
}

impl World {
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            options: setup.options,
            clock: Clock::new(setup.began),
            random: Rc::new(SeededRandom::new(Seed::new(0))),
            disk: Disk::default(),
            store: Store::new(&setup),
            process: None,
            model: Model::default(),
            watcher: None,
            timers: Vec::new(),
            crash_in: None,
            heartbeat: None,
            depth: 0,
            is_written_back_soon: false,
            is_synced_soon: false,
            is_pruned_elsewhere: false,
            has_gone_back: false,
            jumps: 0,
            has_jumped_unseen: false,
            has_looked: true,
            evidence_is_excused: false,
            is_seal_late: false,
            erasing: Vec::new(),
            receivers: Default::default(),
            raisings: Raisings::default(),
            log: Vec::new(),
            problem: None,
            steps: 0,
            kinds: BTreeMap::new(),
        }
    }

    /// Runs a script, and returns what was found to be wrong.
    pub fn run(script: &Script) -> Self {
        let mut world = Self::new(script.setup);
        world.leave_old();
        world.make_key();
        world.or_die(Self::start);
        for action in &script.actions {
            world.act(action);
            world.check_always();
            if world.problem.is_some() {
                world.problem = world.problem.map(|problem| format!("{problem}, after {action:?}"));
                return world;
            }
        }
        world.settle();
        world.check_at_the_end();
        world
    }

    pub fn wrong(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// Something is logged.
    pub fn line(&mut self, text: impl std::fmt::Display) {
        self.log.push(format!("{:.3} {text}", self.clock.passed));
    }

    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("a process runs")
    }

    pub fn settings(&self) -> Settings {
        let found = settings(self.options);
        Settings { chain: found.chain && self.setup.is_linked, ..found }
    }

    /// Does something that the process may die in. Then another one starts.
    pub fn or_die(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Crashed>) {
        if work(self).is_err() {
            self.die();
            while self.start().is_err() {
                self.die();
            }
        }
    }

    /// A moment at which the process may die.
    pub fn step(&mut self) -> Result<(), Crashed> {
        self.steps += 1;
        match self.crash_in {
            Some(0) => Err(Crashed),
            Some(left) => {
                self.crash_in = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn act(&mut self, action: &Action) {
        if let Some(fault) = action.fault() {
            *self.kinds.entry(fault).or_default() += 1;
        }
        match *action {
            Action::Event(kind, account, network) => self.or_die(|world| world.report(kind, account, network)),
            Action::Flood(kind, count, accounts, networks) => self.or_die(|world| {
                for number in 0..count {
                    world.report(kind, number % accounts, number % networks)?;
                    world.clock.passed += 0.01;
                }
                Ok(())
            }),
            Action::Pass(seconds) => self.pass_top(seconds),
            Action::Jump(by) => {
                self.is_seal_late |= by.abs() > 60.0;
                self.has_gone_back |= self.clock.jump(by) < -1.0;
                self.jumps += u32::from(by.abs() > 60.0);
                self.has_looked &= by.abs() <= 60.0;
                self.has_jumped_unseen |= by.abs() > 60.0;
                // What was written before the machine was started can't be told from what is older by the time that it was off.
                self.model.may_expire_early |= by > 60.0 && self.clock.boots > 1;
            }
            Action::Drift(drift) => self.clock.drift(drift),
            Action::Store(mood, calls) => self.store.set_mood(Some((mood, calls))),
            Action::Backup => self.store.back_up(),
            Action::Older => self.put_back_older_store(),
            Action::Fail(operation, errno, times) => self.disk.fail(operation, errno, times),
            Action::Room(bytes) => self.disk.set_room(bytes),
            Action::Heal => {
                self.disk.heal();
                self.check_healed();
            }
            Action::Damage(damage, number) => self.damage(damage, number),
            Action::Crash(step) => self.crash_in = Some(step),
            Action::Restart => self.or_die(|world| {
                world.end()?;
                world.start()
            }),
            Action::PowerCut(written, off) => self.cut_power(written, off),
            Action::Options(options) => {
                self.or_die(Self::end);
                self.options = options;
                self.end_quietly();
                self.or_die(Self::start);
            }
            Action::Prune(true) => self.or_die(|world| world.elsewhere(|world| world.prune(false, true))),
            Action::Prune(false) => self.or_die(|world| world.prune(false, false)),
            Action::Read(true, oldest_first, between) => {
                self.check_untouched();
                self.or_die(|world| world.elsewhere(|world| world.read(true, oldest_first, between)));
            }
            Action::Read(false, oldest_first, between) => self.or_die(|world| world.read(false, oldest_first, between)),
            Action::Follow => self.or_die(|world| world.elsewhere(Self::follow)),
            Action::Erase(account) => self.or_die(|world| world.ask_to_erase(account)),
            Action::Reopen(number) => {
                if self.process.is_some() {
                    self.reopen_sink(number);
                }
            }
            Action::Receiver(number, reply, times) => {
                self.receivers[number].set_mood(Some((reply, times)));
                if self.process.is_some() {
                    self.wake(number, 0.0);
                }
            }
        }
    }

    /// Ends a process that was started again because the one before had died at its end.
    fn end_quietly(&mut self) {
        while self.process.is_some() {
            if self.end().is_err() {
                self.die();
            }
        }
    }

    /// Does something in another process, which goes on when the server dies.
    pub fn elsewhere<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Crashed>) -> Result<T, Crashed> {
        let crash_in = self.crash_in.take();
        self.store_is_used_elsewhere(true);
        let done = work(self);
        self.store_is_used_elsewhere(false);
        self.crash_in = crash_in;
        done
    }

    #[cfg_attr(not(feature = "storage"), allow(clippy::unused_self))]
    fn store_is_used_elsewhere(&self, _is_elsewhere: bool) {
        #[cfg(feature = "storage")]
        self.store.with_native(|native, _| native.is_elsewhere = _is_elsewhere);
    }

    fn put_back_older_store(&mut self) {
        if self.store.restore() {
            self.store_is_older();
            // Verifying says so, and the server erases again, which is tested on real servers.
            self.model.erased.clear();
        }
    }

    /// The store has not all that it had, and may have what it had not any more.
    fn store_is_older(&mut self) {
        let present = self.present();
        for id in self.model.arrived.keys().filter(|id| !present.contains(*id)) {
            self.model.gone.entry(id.clone()).or_insert(Gone::WithTheStore);
        }
        // What was removed since then is there again, and a follower may show it again.
        self.model.gone.retain(|id, _| !present.contains(id));
        self.watcher = None;
        self.model.follows_from = None;
        self.model.followed.clear();
        if let Some(process) = &mut self.process {
            process.counts.borrow_mut().forget(None);
        }
    }

    fn damage(&mut self, damage: crate::script::Damage, number: u64) {
        let Some(is_ledger) = self.disk.damage(damage, number) else { return };
        // What the store has taken may be counted, too.
        self.model.may_count_more = true;
        self.model.has_lost_content = true;
        if is_ledger {
            self.model.is_ledger_damaged = true;
            let unrecorded = self.process.as_ref().and_then(|process| process.journal.losses().unrecorded()).map_or(0, |lost| lost.count);
            let counted = self.process.as_ref().map_or(0, |process| process.recorder.flood.counted(crate::events::HOST));
            self.model.may_be_lost += unrecorded + counted;
        } else {
            self.model.is_segment_damaged = true;
        }
        // What one of them says of the other is all there is.
        self.model.is_uncountable |= self.model.is_ledger_damaged && self.model.is_segment_damaged;
    }

    fn cut_power(&mut self, written: u64, off: f64) {
        let unrecorded = self.process.as_ref().and_then(|process| process.journal.losses().unrecorded()).map_or(0, |lost| lost.count);
        self.die();
        self.disk.cut_power(written);
        #[cfg(feature = "storage")]
        if self.store.cut_power(written) {
            self.store_is_older();
        }
        self.model.cut(unrecorded);
        self.model.has_lost_content = true;
        self.model.written_back();
        self.raisings.is_forgotten = true;
        // A jump between the last look and a boot can't be told from time that passed.
        self.model.may_expire_early |= self.has_jumped_unseen;
        self.clock.boot(off);
        self.or_die(Self::start);
    }

    /// Takes back what a transaction has appended.
    pub fn taken_back(&mut self) {
        for id in self.store.roll_back() {
            self.model.arrived.remove(&id);
        }
    }

    /// How many entries the partitions have is not known any more.
    pub fn undone(&mut self) {
        let Some(process) = &mut self.process else { return };
        process.slots.values_mut().chain(&mut process.slot_of_nil).for_each(|slot| slot.used = None);
        process.counts.borrow_mut().forget(Some(crate::events::HOST));
    }

    pub fn after(&mut self, delay: f64, timer: Timer) {
        self.timers.push((self.clock.passed + delay, timer));
    }

    /// Notes that something was written to the disk: the kernel writes it back half a minute later.
    pub fn dirty(&mut self) {
        if !self.is_written_back_soon {
            self.is_written_back_soon = true;
            self.after(30.0, Timer::WriteBack);
        }
    }

    /// Notes that something may have been written to the file of the native driver: its thread syncs it within half a second.
    pub fn sync_soon(&mut self) {
        if self.store.is_native() && !std::mem::replace(&mut self.is_synced_soon, true) {
            self.after(0.5, Timer::Sync);
        }
    }

    fn pass_top(&mut self, seconds: f64) {
        let until = self.clock.passed + seconds;
        while self.clock.passed < until && self.problem.is_none() {
            let left = until - self.clock.passed;
            self.or_die(|world| world.pass(left));
        }
    }

    /// Lets time pass, and what is due happen.
    pub fn pass(&mut self, seconds: f64) -> Result<(), Crashed> {
        let until = self.clock.passed + seconds;
        loop {
            let next = (0..self.timers.len()).min_by(|a, b| self.timers[*a].0.total_cmp(&self.timers[*b].0));
            match next.filter(|next| self.timers[*next].0 <= until) {
                Some(index) => {
                    let (at, timer) = self.timers.remove(index);
                    self.clock.passed = self.clock.passed.max(at);
                    self.heartbeat = Some(self.clock.wall());
                    self.ring(timer)?;
                }
                None => break,
            }
        }
        self.clock.passed = self.clock.passed.max(until);
        Ok(())
    }

    fn ring(&mut self, timer: Timer) -> Result<(), Crashed> {
        if timer == Timer::WriteBack {
            self.is_written_back_soon = false;
            self.has_jumped_unseen &= !self.has_looked;
            self.disk.files.write_back(|_| true);
            self.model.written_back();
            return Ok(());
        }
        if timer == Timer::Follow {
            return self.follow_on();
        }
        if self.process.is_none() {
            return Ok(());
        }
        match timer {
            Timer::Attach => self.attach(),
            Timer::HandOver => self.hand_over_due(),
            Timer::Tick => self.tick(),
            Timer::Prune(at, is_limits) => {
                let extent = if is_limits { PruneExtent::Limits } else { PruneExtent::Full };
                if self.process().schedule.rings(crate::events::HOST, at, extent) { self.prune_scheduled(is_limits) } else { Ok(()) }
            }
            Timer::Daily => {
                self.after(86_400.0, Timer::Daily);
                self.prune_scheduled(false)
            }
            Timer::Look => {
                self.look_at_clock(None)?;
                let process = self.process();
                let is_awake = process.is_attached && !process.journal.is_resting();
                if is_awake || self.disk.is_ill {
                    self.mend();
                    let has_work = self.has_work();
                    let process = self.process();
                    if !has_work && process.is_attached {
                        process.journal.rest();
                    }
                }
                self.process().clock.save();
                self.after(if is_awake { 60.0 } else { 3600.0 }, Timer::Look);
                Ok(())
            }
            Timer::Counts => self.restore_counts(),
            Timer::Sync => {
                self.is_synced_soon = false;
                #[cfg(feature = "storage")]
                self.store.with_native(|native, _| native.sync());
                Ok(())
            }
            Timer::Erase => self.erase_due(),
            Timer::Seal => self.seal(),
            Timer::Sink(number) => self.sink_due(number),
            Timer::Answer(number) => self.answered(number),
            Timer::Positions => {
                self.save_positions();
                Ok(())
            }
            Timer::Alerts => self.alert(),
            Timer::WriteBack | Timer::Follow => Ok(()),
        }
    }

    /// A call of the store begins. Returns what the driver does wrong in it.
    pub fn call(&mut self) -> Result<Option<Mood>, Crashed> {
        self.step()?;
        self.clock.passed += 0.0002;
        let mut mood = self.store.mood_of_call();
        if self.store.is_native() {
            self.sync_soon();
            mood = mood.filter(|mood| mood.fails() || *mood == Mood::IsSlow);
        }
        match mood {
            Some(Mood::Yields) if !self.store.is_in_transaction() && self.depth < 3 => {
                self.depth += 1;
                self.report(0, 1, 1)?;
                self.pass(0.4)?;
                self.report(4, 2, 1)?;
                self.depth -= 1;
            }
            Some(Mood::IsSlow | Mood::Yields) => self.clock.passed += 1.0,
            _ => {}
        }
        Ok(mood)
    }

    /// Something is reported by a module.
    fn report(&mut self, kind: usize, account: u32, network: u32) -> Result<(), Crashed> {
        let kind = &EVENTS[kind];
        self.audit(kind, &user(account), &address(network))
    }
}
