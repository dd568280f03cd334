//! What must be true, at every moment and at the end.

use std::collections::{BTreeMap, BTreeSet};

use audit_core::archive::partition::Partition;
use audit_core::time::day;
use uuid::Uuid;

use crate::model::{Gone, Known, Model};
use crate::world::World;

/// The most bytes that the files of the log may have beside the journal: the ledger, the state of the clock, a checkpoint.
const BESIDE: u64 = 2 << 20;

impl Model {
    /// What is known of an entry, of an event or one that another process has made.
    pub fn known(&self, id: &str) -> Option<&Known> {
        self.entries.get(id).or_else(|| self.arrived.get(id))
    }
}

impl World {
    /// Nothing is there twice, and partitions are in order. Files and memory are bounded.
    pub fn check_always(&mut self) {
        if self.problem.is_some() {
            return;
        }

        let visible: BTreeMap<String, Partition> = self.visible().into_iter().map(|partition| (partition.to_string(), partition)).collect();
        let (mut met, mut problem) = (BTreeSet::new(), None);
        for (user, list) in self.store.all() {
            let partition = user.as_ref().and_then(|user| visible.get(user));
            if user.is_some() && partition.is_none() {
                continue;
            }
            if let Some(stored) = list.iter().find(|stored| !met.insert(stored.id.clone())) {
                problem = Some(format!("{user:?} has {}, which is there twice", stored.id));
            }
            if !list.is_sorted_by_key(|stored| stored.when) {
                problem = Some(format!("{user:?} is not in the order of time"));
            }
            let of_day = |partition: &Partition| list.iter().all(|stored| day(stored.when as f64) == partition.day);
            if partition.is_some_and(|partition| !of_day(partition)) {
                problem = Some(format!("{user:?} has entries of another day"));
            }
            if partition.is_some() && list.len() > 500 {
                problem = Some(format!("{user:?} has {} entries", list.len()));
            }
        }
        #[cfg(feature = "storage")]
        let found = self.store.with_native(|native, lists| {
            native.compare(lists);
            native.problem.clone()
        });
        #[cfg(feature = "storage")]
        if let Some(found) = found.flatten() {
            problem = Some(found);
        }
        let limit = if self.setup.is_small { 30_000 } else { 64 << 20 };
        if self.disk.size() > limit + BESIDE {
            problem = Some(format!("the files have {} bytes", self.disk.size()));
        }
        if let Some(process) = &self.process {
            let most = if self.setup.is_small { 20 } else { 1000 };
            // What was in files that somebody removed is kept, too.
            // What was in files that somebody removed is kept, too, as far as it is remembered.
            let most = if self.model.is_segment_damaged { most + self.setup.recent / 100 } else { most };
            if process.journal.in_memory() > most {
                problem = Some(format!("{} entries are in memory", process.journal.in_memory()));
            }
            if process.recorder.flood.keys() > audit_core::flood::KEYS + audit_core::flood::ACTOR_KEYS {
                problem = Some("flood control remembers too much".to_owned());
            }
        }
        if let Some(problem) = problem {
            self.wrong(problem);
        }
    }

    /// Once the disk works again, everything that waits is in a file.
    pub fn check_healed(&mut self) {
        let limit = if self.setup.is_small { 30_000 } else { u64::MAX };
        if self.process.as_ref().is_some_and(|process| process.is_attached) {
            self.mend();
            let process = self.process();
            let is_full = process.journal.bytes() + 2000 > limit;
            if process.journal.in_memory() > 0 && !is_full {
                let (count, why) = (process.journal.in_memory(), process.journal.trouble().map(ToOwned::to_owned));
                self.wrong(format!("{count} entries are only in memory though the disk works: {why:?}"));
            }
        }
    }

    /// An entry's id is as old as its place.
    pub fn check_id(&mut self, id: &str, at: f64) {
        let made = Uuid::try_parse(id).ok().and_then(|id| id.get_timestamp()).map_or(0.0, |time| time.to_unix().0 as f64);
        // After a clock that was set back ids go on where they were.
        if made < at.floor() - 1.0 {
            self.wrong(format!("a summary of {at} has an id of {made}"));
        }
    }

    /// Everything works again, until all that waits is stored.
    pub fn settle(&mut self) {
        self.crash_in = None;
        self.store.set_mood(None);
        self.receivers.iter_mut().for_each(|receiver| receiver.set_mood(None));
        self.disk.heal();
        self.check_healed();
        self.or_die(|world| {
            world.end()?;
            world.start()
        });
        for _ in 0..180 {
            self.or_die(|world| world.pass(20.0));
            let process = self.process();
            let is_done = process.is_attached && process.journal.is_empty() && !process.journal.losses().is_open();
            let is_done = is_done && process.recorder.flood.counting().is_empty();
            if is_done && self.erasing.is_empty() && self.all_is_sent() {
                return;
            }
        }
        let (erasing, is_sent) = (self.erasing.len(), self.all_is_sent());
        let process = self.process();
        let (waiting, trouble) = (process.journal.len(), process.journal.trouble().map(ToOwned::to_owned));
        let (attached, counting) = (process.is_attached, process.recorder.flood.counted(crate::events::HOST));
        self.wrong(format!(
            "after an hour {waiting} entries wait ({trouble:?}), attached: {attached}, {counting} events are counted, {erasing} \
            erasures are not done, all is sent: {is_sent}"
        ));
    }

    pub fn check_at_the_end(&mut self) {
        self.check_always();
        self.check_followed();
        self.check_untouched();
        self.check_erased();
        self.check_edits();
        self.check_sent();
        if self.problem.is_some() {
            return;
        }
        let unrecorded = self.process().journal.losses().unrecorded().map_or(0, |lost| lost.count);
        let (lost, reported) = self.model.losses(unrecorded);
        let model = &self.model;
        let numbers = format!(
            "{} events, {} entries, {} arrived, {} counted, {} refused",
            model.reported,
            model.entries.len(),
            model.arrived.len(),
            model.counted,
            model.refused
        );
        if lost > reported + model.may_be_lost && !model.is_uncountable {
            self.wrong(format!("{lost} events are lost, and the log says {reported} ({} may be): {numbers}", self.model.may_be_lost));
        } else if reported > lost && !model.may_count_more {
            self.wrong(format!("{lost} events are lost, and the log says {reported}: {numbers}"));
        }
        let present = self.present();
        let unexplained = self.model.unexplained(&present);
        if let Some(id) = unexplained.first() {
            self.wrong(format!("{} entries are gone from the store, the first is {id}", unexplained.len()));
        }
        let back = present.iter().filter(|id| self.model.gone.get(*id) == Some(&Gone::ByRule)).count();
        if back > 0 {
            self.wrong(format!("{back} entries are there again that a rule had removed"));
        }
    }
}
