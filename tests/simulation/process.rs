//! One process of the server: the objects of the core that it has, and how it starts and ends.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

use audit_core::archive::clock::{ClockCheck, KeptClock, Witnesses};
use audit_core::archive::limits::PartitionSizes;
use audit_core::archive::schedule::{PruneExtent, Schedule};
use audit_core::chain::sealing::Sealing;
use audit_core::journal::hand_over::HandOver;
use audit_core::journal::{Journal, JournalError, Limits, Owner};
use audit_core::random::Random;
use audit_core::recorder::Recorder;

use crate::disk::{FOLDER, journal};
use crate::events::HOST;
use crate::seed::SeededRandom;
use crate::sinks::Sinks;
use crate::store::User;
use crate::world::{Crashed, Timer, World};

/// A process of the server. What is not of the core stands for what the embedded Lua keeps.
pub struct Process {
    pub journal: Journal,
    pub hand_over: HandOver,
    pub recorder: Recorder,
    pub clock: KeptClock,
    pub schedule: Schedule,
    pub is_attached: bool,
    /// When an entry was given to the store directly that it has not answered for yet.
    pub writing: Option<f64>,
    /// When the next slice of the hand-over is.
    pub due: Option<f64>,
    /// From which sequence on, and from which time on, [`HandOver::when`] has another answer.
    pub ask_from: u64,
    pub asked_at: f64,
    /// Whether an entry is being made of what was lost.
    pub is_telling: bool,
    /// Whether the end of windows of flood control is looked for, and whether summaries are being stored.
    pub is_ticking: bool,
    pub is_emitting: bool,
    pub is_pruning: bool,
    /// How many events the process before had counted, as long as its counts can't be read.
    pub unread: Option<u64>,
    pub slots: HashMap<String, Slot>,
    pub slot_of_nil: Option<Slot>,
    pub trust: Trust,
    /// The number of entries of full partitions.
    pub counts: Rc<RefCell<PartitionSizes>>,
    pub sealing: Option<Sealing>,
    pub sinks: Option<Sinks>,
    /// Whether it is looked for alerts soon.
    pub is_alerting: bool,
    /// By how much the clock and the one that does not jump differed.
    pub difference: f64,
}

/// Where entries of a class go in one second.
#[derive(Clone, Debug)]
pub struct Slot {
    pub second: i64,
    pub partition: User,
    pub when: i64,
    pub left: u64,
    /// `None` after a failure of the driver.
    pub used: Option<u64>,
}

/// What is known of the store: which archive users gave an entry back, and which entry it did not give back, and since when.
#[derive(Debug, Default)]
pub struct Trust {
    pub proven: BTreeSet<User>,
    pub refused: Option<(User, String, f64)>,
}

impl World {
    /// What the clocks and other witnesses say, to the process or to another one.
    fn witnesses(&self) -> Witnesses {
        Witnesses { heartbeat: self.heartbeat, ..Witnesses::default() }
    }

    /// The state of a new process, with the options of now.
    pub fn new_recorder(&self) -> Recorder {
        let random: Rc<dyn Random> = Rc::<SeededRandom>::clone(&self.random);
        let mut recorder = Recorder::new(self.disk.shared(), random);
        recorder.configure(HOST, self.settings(), Some(Path::new(FOLDER).join("audit.key")));
        recorder
    }

    /// What is known of the clock, as a new process finds it.
    pub fn saved_clock(&self) -> KeptClock {
        KeptClock::open(self.disk.shared(), Some(Path::new(FOLDER).join("audit.clock")))
    }

    /// Looks at the clock, and at the partitions of the store.
    pub fn look_at_clock(&mut self, users: Option<&[String]>) -> Result<(), Crashed> {
        let (reading, witnesses) = (self.clock.reading(), self.witnesses());
        self.dirty();
        let trust = self.settings().clock_trust.seconds();
        let Some(process) = &mut self.process else { return Ok(()) };
        self.has_looked |= process.clock.unread().is_none();
        let was_trusted = process.clock.is_trusted();
        let first = process.clock.look(&reading, &witnesses, trust);
        let mut seen = vec![first];
        if let Some(users) = users {
            let partitions: Vec<_> = users.iter().filter_map(|user| user.parse().ok()).collect();
            seen.push(process.clock.look_at_partitions(&partitions, &reading, &witnesses));
        }
        let has_jumped = seen.iter().any(|seen| matches!(seen, ClockCheck::Jumped { .. }));
        if has_jumped {
            let used: Vec<_> = process.recorder.placement(HOST).archive().in_use().cloned().collect();
            process.clock.note(&used);
        }
        if seen.iter().any(|seen| *seen != ClockCheck::Same) {
            process.clock.save();
            self.line(format_args!("{seen:?}"));
            if has_jumped {
                self.say("audit-clock-jumped", 0, |_| {})?;
            } else if !was_trusted {
                self.ask_for_prune(0.0, PruneExtent::Full);
            }
        }
        Ok(())
    }

    /// Starts a process.
    pub fn start(&mut self) -> Result<(), Crashed> {
        let limits = if self.setup.is_small {
            Limits { bytes: 30_000, segment: 3000, volatile: 20, recent: self.setup.recent }
        } else {
            Limits { segment: 20_000, recent: self.setup.recent, ..Limits::default() }
        };
        let owner = Owner::on(self.disk.shared(), &Path::new(FOLDER).join("audit_journals.lock"));
        let mut recorder = self.new_recorder();
        let difference = self.clock.wall() - self.clock.uptime();
        self.store.vouched.clear();
        let mut journal = Journal::detached_under(&journal(), limits, owner);
        journal.keep_links(recorder.chains(HOST));
        self.process = Some(Process {
            journal,
            hand_over: HandOver::default(),
            recorder,
            clock: self.saved_clock(),
            schedule: Schedule::default(),
            is_attached: false,
            writing: None,
            due: None,
            ask_from: 0,
            asked_at: 0.0,
            is_telling: false,
            is_ticking: false,
            is_emitting: false,
            is_pruning: false,
            unread: None,
            slots: HashMap::new(),
            slot_of_nil: None,
            trust: Trust::default(),
            counts: Rc::default(),
            sealing: None,
            sinks: None,
            is_alerting: false,
            difference,
        });
        self.open_sinks();
        self.start_alerts();
        self.open_seals();
        self.erase_soon();
        self.check_erased();
        self.attach()?;
        self.is_synced_soon = false;
        self.sync_soon();
        self.look_at_clock(None)?;
        self.process().clock.save();
        self.ask_for_prune(60.0, PruneExtent::Full);
        self.after(86_400.0, Timer::Daily);
        self.after(60.0, Timer::Look);
        Ok(())
    }

    /// Takes the files of the journal, and tries again later if that fails.
    pub fn attach(&mut self) -> Result<(), Crashed> {
        let wall = self.clock.wall();
        let Some(process) = &mut self.process else { return Ok(()) };
        if process.is_attached {
            return Ok(());
        }
        if let Some(pause) = process.hand_over.attach_pause() {
            self.after(pause, Timer::Attach);
            return Ok(());
        }
        if let Err(error) = process.journal.attach(wall) {
            let (pause, is_told) = process.hand_over.not_attached(matches!(error, JournalError::Locked { .. }));
            if is_told {
                self.line(&error);
            }
            self.after(pause, Timer::Attach);
            return Ok(());
        }
        process.hand_over.attached(process.journal.first(), process.journal.end());
        process.is_attached = true;
        process.journal.take_missing();
        self.catch_up()?;
        if self.has_work() {
            self.hand_over_after(0.0);
        }
        self.restore_counts()?;
        if self.has_work() {
            return Ok(());
        }
        self.process().journal.rest();
        Ok(())
    }

    /// The process ends at once.
    pub fn die(&mut self) {
        let Some(process) = self.process.take() else { return };
        let unrecorded = process.journal.losses().unrecorded().map_or(0, |lost| lost.count);
        // What is known of the chains may not have been written down.
        self.model.may_lack_evidence |= self.disk.is_ill || !process.is_attached || process.writing.is_some();
        self.raisings.is_forgotten |= self.disk.is_ill;
        // What is known of the clock may not have been written down.
        self.model.may_expire_early |= self.disk.is_ill && self.jumps > 0;
        if process.journal.in_memory() > 0 {
            // The store may have taken some of them already.
            self.model.may_count_more = true;
            self.model.has_lost_content = true;
        }
        if !process.journal.is_kept() {
            self.model.may_be_lost += process.journal.in_memory() as u64 + unrecorded;
            self.model.may_count_more = true;
        }
        self.model.may_be_lost += self.model.counted_since;
        self.model.counted_since = 0;
        #[cfg(feature = "storage")]
        self.store.with_native(|native, _| native.crash());
        self.taken_back();
        // The kernel, and who follows the log, go on.
        self.timers.retain(|(_, timer)| matches!(timer, Timer::WriteBack | Timer::Follow));
        self.crash_in = None;
        self.depth = 0;
    }

    /// The process ends in an orderly way.
    pub fn end(&mut self) -> Result<(), Crashed> {
        if self.process.is_none() {
            return Ok(());
        }
        self.process().clock.save();
        self.sum_up(true)?;
        self.close_sinks();
        self.stop_alerts();
        let wall = self.clock.wall();
        if !self.process().is_attached {
            self.attach()?;
        }
        let process = self.process();
        // What neither the store nor the journal has room for is counted.
        let given_up = process.journal.give_up(wall);
        if !process.journal.is_kept() {
            let unrecorded = process.journal.losses().unrecorded().map_or(0, |lost| lost.count);
            self.model.may_be_lost += given_up + unrecorded;
        }
        #[cfg(feature = "storage")]
        self.store.with_native(|native, _| native.close());
        self.die();
        Ok(())
    }
}
