//! Erasing what the log says of a person: the loop of the embedded Lua (`src/lua/person/erase.lua`) around the decisions of the core.
//! It may be interrupted at each step, and is done again by the next process.

use std::collections::BTreeSet;

use audit_core::archive::partition::Partition;
use audit_core::entry::element::of_xml;
use audit_core::entry::payload;
use audit_core::person::{Acted, Erasure, Look, Person, receipt};

use crate::events::{HOST, user};
use crate::prune::Outcome;
use crate::script::Mood;
use crate::store::{Lists, Refusal, Stored, User, xml};
use crate::world::{Crashed, Timer, World};

/// After how many seconds an erasure that failed is tried again, and after how many a process looks what another one has not ended.
const AGAIN: f64 = 600.0;
const AT_FIRST: f64 = 5.0;
/// How often it is looked whether all that waits was handed over.
const TRIES: u32 = 300;
/// How many rows are read at once.
const ROWS: usize = 50;

/// What is said of a person in an entry about their account. The session's id and the client are the same for all here.
const OWN: [&str; 4] = ["<remote-ip", "<ip-hash", "<client", "'c2s1'"];

/// An erasure that was asked for. A file keeps it until it is done.
#[derive(Clone, Debug)]
pub struct Wish {
    jid: String,
    before: f64,
    receipt: String,
    /// The number of the last entry that was made before.
    upto: u64,
    /// The entries about the account that were changed so far.
    own: BTreeSet<String>,
}

impl World {
    /// The data of an account are to be erased.
    pub fn ask_to_erase(&mut self, account: u32) -> Result<(), Crashed> {
        let jid = String::from_utf8(user(account)).expect("the name of an account");
        let receipt = receipt(&*self.random).expect("random bytes");
        // Times in the log are whole seconds.
        let before = self.clock.wall().floor() + 1.0;
        self.erasing.push(Wish { jid, before, receipt, upto: self.model.numbers, own: BTreeSet::new() });
        self.erase_due()
    }

    /// A process has started, which goes on with what was asked for.
    pub fn erase_soon(&mut self) {
        if !self.erasing.is_empty() {
            self.after(AT_FIRST, Timer::Erase);
        }
    }

    pub fn erase_due(&mut self) -> Result<(), Crashed> {
        while !self.erasing.is_empty() {
            // One process changes what is stored of a host at a time.
            if self.is_pruned_elsewhere || self.process().is_pruning {
                self.after(AGAIN, Timer::Erase);
                break;
            }
            self.process().is_pruning = true;
            let done = self.erase()?;
            self.process().is_pruning = false;
            let Ok(count) = done else {
                self.after(AGAIN, Timer::Erase);
                break;
            };
            self.step()?;
            let wish = self.erasing.remove(0);
            self.line(format_args!("{} entries are erased, receipt {}", count, wish.receipt));
            self.say("audit-erased", 0, |details| {
                details.open(b"erasure");
                details.attribute(b"receipt", wish.receipt.as_bytes());
                details.close();
            })?;
            self.model.erased.push(wish);
            self.check_erased();
        }
        Ok(())
    }

    /// Returns how many entries have changed.
    fn erase(&mut self) -> Outcome<u64> {
        if let Err(refusal) = self.hand_over_all()? {
            return Ok(Err(refusal));
        }
        let users = match self.users()? {
            Ok(users) => users,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let wish = self.erasing[0].clone();
        let person = Person::new(&wish.jid).expect("the name of an account");
        let hold = self.settings().hold;
        // What lies under a time that has not come yet was stored before the clock was set back.
        let erasure = Erasure::new(HOST, person, wish.before, Acted::Stays, &wish.receipt, hold);
        let mut erasure = erasure.beyond(self.clock.wall());
        let before: Lists = self.store.all().map(|(user, list)| (user.clone(), list.clone())).collect();
        let partitions = users.into_iter().filter(|user| user.parse::<Partition>().is_ok()).map(Some);
        for user in std::iter::once(None).chain(partitions) {
            if let Err(refusal) = self.erase_in(&user, &mut erasure)? {
                return Ok(Err(refusal));
            }
        }
        // What is changed is on the disk before the file with the request is removed.
        #[cfg(feature = "storage")]
        self.store.with_native(|native, _| native.sync());
        let count = erasure.totals().iter().map(|total| total.count).sum();
        self.check_others(&before, &wish.jid, count);
        Ok(Ok(count))
    }

    /// Hands over all that was recorded before now.
    fn hand_over_all(&mut self) -> Outcome<()> {
        let began = self.clock.wall();
        self.sum_up(true)?;
        for _ in 0..TRIES {
            self.run_slice()?;
            let journal = &self.process().journal;
            if journal.is_empty() || journal.since().is_some_and(|since| since > began) {
                return Ok(Ok(()));
            }
            self.breathe()?;
        }
        Ok(Err(Refusal::Fault))
    }

    fn erase_in(&mut self, user: &User, erasure: &mut Erasure) -> Outcome<()> {
        let mut last: Option<String> = None;
        loop {
            if self.call()?.is_some_and(Mood::fails) {
                return Ok(Err(Refusal::Fault));
            }
            let Some(rows) = self.store.find(user, false, ROWS, last.as_deref()) else { return Ok(Err(Refusal::Fault)) };
            let rows: Vec<Stored> = rows.into_iter().cloned().collect();
            let is_end = rows.len() < ROWS;
            let mut changes = Vec::new();
            for stored in rows {
                last = Some(stored.key.to_string());
                let Some(element) = of_xml(&stored.xml) else { continue };
                let payload = [b"0\0".as_slice(), &element].concat();
                let class = match user.as_ref().and_then(|user| user.parse::<Partition>().ok()) {
                    Some(partition) => partition.home().to_owned(),
                    None => self.class_of(&stored),
                };
                let Look::Changes { payload, with } = erasure.look(&class, stored.when as f64, &stored.with, &payload) else { continue };
                let wish = &mut self.erasing[0];
                if stored.with == wish.jid {
                    wish.own.insert(stored.id.clone());
                }
                let with = with.map_or(stored.with, ToOwned::to_owned);
                changes.push(Stored { xml: xml(&payload), with, ..stored });
            }
            if let Err(refusal) = self.set_all(user, changes)? {
                return Ok(Err(refusal));
            }
            if is_end {
                return Ok(Ok(()));
            }
            self.breathe()?;
        }
    }

    /// Changes entries where they lie: in one transaction, or one by one.
    fn set_all(&mut self, user: &User, changes: Vec<Stored>) -> Outcome<()> {
        if !self.store.has_transactions() {
            for change in changes {
                let mood = self.call()?;
                let is_done = mood.is_none_or(|mood| !mood.fails()) || mood == Some(Mood::Raises) && self.store.is_odd();
                if is_done {
                    self.store.set(user, change);
                }
                self.step()?;
                if matches!(mood, Some(Mood::Refuses | Mood::Raises | Mood::Keeps | Mood::LosesAnswer)) {
                    return Ok(Err(Refusal::Fault));
                }
            }
            return Ok(Ok(()));
        }
        if changes.is_empty() {
            return Ok(Ok(()));
        }
        for _ in 0..=changes.len() {
            if self.call()?.is_some_and(Mood::fails) {
                return Ok(Err(Refusal::Fault));
            }
        }
        let mood = self.call()?;
        changes.into_iter().for_each(|change| self.store.set(user, change));
        self.step()?;
        Ok(if matches!(mood, Some(Mood::LosesAnswer | Mood::Keeps)) { Err(Refusal::Fault) } else { Ok(()) })
    }

    /// Entries of others are as they were, and none is gone.
    fn check_others(&mut self, before: &Lists, jid: &str, count: u64) {
        let (mut problem, mut changed) = (None, 0);
        for (user, list) in before {
            let now = self.store.list(user);
            let mut rest = now.iter();
            for old in list {
                let Some(new) = rest.find(|new| new.key == old.key) else {
                    problem = Some(format!("{user:?} lacks {} after an erasure, or has it in another order", old.id));
                    break;
                };
                let is_same = (new.when, &new.with, &new.xml) == (old.when, &old.with, &old.xml);
                changed += u64::from(!is_same);
                // A set of names may have the name.
                let is_meant = old.with == jid || old.xml.contains(jid) || old.xml.contains("<names");
                if new.when != old.when || !is_same && !is_meant {
                    problem = Some(format!("an erasure of {jid} has changed {} of {user:?}", old.xml));
                }
            }
        }
        if changed != count {
            problem = problem.or(Some(format!("an erasure has changed {changed} entries, and says {count}")));
        }
        if let Some(problem) = problem {
            self.wrong(problem);
        }
    }

    /// What was erased is not there any more, neither in the store nor in what waits.
    pub fn check_erased(&mut self) {
        if self.model.erased.is_empty() || self.problem.is_some() {
            return;
        }
        let waiting: Vec<(String, String)> = match &self.process {
            // After a power cut what the store has taken may be in the journal again, until the next hand-over.
            Some(process) if self.clock.boots == 1 => {
                let snapshot = process.journal.snapshot();
                let payloads = (0..snapshot.len()).filter_map(|index| snapshot.get(index)?.1);
                payloads.filter_map(|found| Some((payload::attribute_of(&found, "id")?.to_owned(), xml(&found)))).collect()
            }
            _ => Vec::new(),
        };
        let stored = self.store.all().flat_map(|(_, list)| list.iter().map(|stored| (&stored.id, &stored.xml, Some(&stored.with))));
        let mut problem = None;
        for (id, xml, with) in stored.chain(waiting.iter().map(|(id, xml)| (id, xml, None))) {
            let number = self.model.known(id).map_or(u64::MAX, |known| known.number);
            for wish in self.model.erased.iter().filter(|wish| number <= wish.upto) {
                let is_own = wish.own.contains(id);
                if xml.contains(&wish.jid) || with == Some(&wish.jid) || is_own && OWN.iter().any(|own| xml.contains(own)) {
                    problem = Some(format!("the data of {} were erased (receipt {}), and are in {xml}", wish.jid, wish.receipt));
                }
            }
        }
        if let Some(problem) = problem {
            self.wrong(problem);
        }
    }
}
