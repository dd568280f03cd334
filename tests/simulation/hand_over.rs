//! The hand-over of entries to the store: the loop of the embedded Lua (`src/lua/hand_over/`, `src/lua/store/trust.lua`) around the
//! steps of the core.

use audit_core::archive::partition::Partition;
use audit_core::archive::placement::{PlacementStep as Place, written_on};
use audit_core::archive::trust::{REFUSED, SEARCHED};
use audit_core::entry::payload::{attribute_of, element_of, time_of};
use audit_core::journal::hand_over::{Batch, SliceStep as Step};
use audit_core::time::whole_seconds;

use crate::events::HOST;
use crate::process::Slot;
use crate::script::Mood;
use crate::store::{Refusal, User, xml};
use crate::world::{Crashed, Timer, World};

/// An entry that is offered to the store.
#[derive(Clone, Debug)]
pub struct Item {
    pub sequence: u64,
    pub at: f64,
    pub id: String,
    pub kind: String,
    pub with: String,
    pub xml: String,
    /// How many lost events it reports, and how many counted events it stands for.
    pub lost: u64,
    pub counted: u64,
}

impl Item {
    /// `None` if the payload is no entry.
    pub fn of(sequence: u64, payload: &[u8]) -> Option<Self> {
        let element = element_of(payload)?;
        let text = |name| attribute_of(payload, name).unwrap_or_default().to_owned();
        let number = |name: &str| element.child(name).and_then(|child| child.attribute("count")?.parse().ok()).unwrap_or(0);
        let with = attribute_of(payload, "user").unwrap_or("@").to_owned();
        let (lost, counted) = (number("lost"), number("repeated"));
        Some(Self { sequence, at: time_of(payload)?, id: text("id"), kind: text("type"), with, xml: xml(payload), lost, counted })
    }

    /// An entry of the store.
    #[cfg(feature = "storage")]
    fn stored(stored: &crate::store::Stored) -> Self {
        let number = |name: &str| {
            let element = stored.xml.split_once(&format!("<{name}"))?.1.split_once('>')?.0;
            element.split_once(" count='")?.1.split_once('\'')?.0.parse().ok()
        };
        let (lost, counted) = (number("lost").unwrap_or(0), number("repeated").unwrap_or(0));
        let (id, with, xml) = (stored.id.clone(), stored.with.clone(), stored.xml.clone());
        Self { sequence: 0, at: stored.when as f64, id, kind: String::new(), with, xml, lost, counted }
    }
}

impl World {
    pub fn has_work(&mut self) -> bool {
        let process = self.process();
        !process.hand_over.is_running() && (!process.journal.is_empty() || process.journal.losses().is_open())
    }

    /// Plans the next slice.
    pub fn plan(&mut self) {
        let wall = self.clock.wall();
        let process = self.process();
        let when = process.hand_over.when(process.journal.first(), process.journal.end());
        (process.ask_from, process.asked_at) = (when.until.unwrap_or(u64::MAX), wall);
        if let Some(delay) = when.delay {
            self.hand_over_after(delay);
        }
    }

    pub fn hand_over_after(&mut self, delay: f64) {
        let at = self.clock.passed + delay;
        let process = self.process();
        if process.due.is_none_or(|due| due > at) {
            process.due = Some(at);
            self.timers.push((at, Timer::HandOver));
        }
    }

    pub fn hand_over_due(&mut self) -> Result<(), Crashed> {
        let passed = self.clock.passed;
        let process = self.process();
        if process.due.is_some_and(|due| due <= passed) {
            process.due = None;
            self.run_slice()?;
        }
        Ok(())
    }

    /// Hands over for one slice.
    pub fn run_slice(&mut self) -> Result<(), Crashed> {
        self.process().ask_from = 0;
        if !self.has_work() {
            return Ok(());
        }
        self.mend();
        let wall = self.clock.wall();
        let process = self.process();
        let wait = process.hand_over.wait_for(process.writing, wall);
        if wait > 0.0 {
            self.hand_over_after(wait);
            return Ok(());
        }
        let (began, is_moody) = (self.clock.passed, self.store.is_moody());
        let (wall, is_native) = (self.clock.wall(), self.store.is_native());
        let hand_over = &mut self.process().hand_over;
        if is_native {
            hand_over.begin_native(wall)
        } else {
            hand_over.begin(wall)
        }
        let done = self.steps_of_slice()?;
        let wall = self.clock.wall();
        let process = self.process();
        let (first, end) = (process.journal.first(), process.journal.end());
        let after = process.hand_over.ended(wall, done.is_ok(), first, end);
        process.ask_from = 0;
        process.journal.take_missing();
        if let Err(refusal) = done {
            self.line(format_args!("the store fails: {refusal:?}"));
            self.doubt_store();
            self.hand_over_after(after.pause.unwrap_or(0.0));
            return Ok(());
        }
        let took = self.clock.passed - began;
        if !is_moody && took > 1.0 {
            self.wrong(format!("a slice of the hand-over took {took} seconds"));
        }
        if !after.more || self.process().journal.trouble().is_none() {
            self.record_lost()?;
        }
        if after.more {
            self.hand_over_after(after.pause.unwrap_or(0.0));
        }
        Ok(())
    }

    /// The next entries of the store are read back again.
    pub fn doubt_store(&mut self) {
        self.process().trust.proven.clear();
        self.store.vouched.clear();
    }

    fn steps_of_slice(&mut self) -> Result<Result<(), Refusal>, Crashed> {
        if !self.stands()? {
            return Ok(Err(Refusal::Fault));
        }
        loop {
            self.step()?;
            let wall = self.clock.wall();
            let process = self.process();
            let (first, end) = (process.journal.first(), process.journal.end());
            let done = match process.hand_over.next_step(wall, first, end) {
                None => return Ok(Ok(())),
                Some(Step::Learn(range)) => {
                    let to = range.end;
                    let mut times = Vec::new();
                    let read: Result<(), _> = range.into_iter().try_for_each(|sequence| {
                        let time = process.journal.read(sequence, time_of)?;
                        times.extend(time.flatten());
                        Ok::<(), audit_core::journal::JournalError>(())
                    });
                    match read {
                        Ok(()) => {
                            process.hand_over.learned(to, times);
                            Ok(())
                        }
                        Err(_) => Err(Refusal::Fault),
                    }
                }
                Some(Step::List) => match self.users()? {
                    Ok(users) => {
                        let partitions: Vec<Partition> = users.iter().filter_map(|user| user.parse().ok()).collect();
                        let process = self.process();
                        let sequences = written_on(partitions, &process.hand_over.days());
                        process.hand_over.listed(sequences.iter().map(|of| of.iter().map(ToString::to_string).collect()));
                        Ok(())
                    }
                    Err(refusal) => Err(refusal),
                },
                Some(Step::Look { partition, limit }) => match self.newest(&partition, limit)? {
                    Ok(ids) => {
                        let (count, oldest) = (ids.len(), ids.last().map(|(_, when)| *when as f64));
                        self.process().hand_over.looked(ids.into_iter().map(|(id, _)| id), count, oldest);
                        Ok(())
                    }
                    Err(refusal) => Err(refusal),
                },
                #[cfg(feature = "storage")]
                Some(Step::Batch(batch)) if self.store.is_native() => self.hand_over_bytes(&batch)?,
                Some(Step::Batch(batch)) => self.hand_over_batch(&batch)?,
            };
            if let Err(refusal) = done {
                return Ok(Err(refusal));
            }
        }
    }

    /// The names of the archive users of the store.
    pub fn users(&mut self) -> Result<Result<Vec<String>, Refusal>, Crashed> {
        Ok(match self.call()? {
            Some(mood) if mood.fails() => Err(Refusal::Fault),
            _ => Ok(self.store.users()),
        })
    }

    /// The ids and times of the newest entries of an archive user, the newest first.
    fn newest(&mut self, user: &User, limit: usize) -> Result<Result<Vec<(String, i64)>, Refusal>, Crashed> {
        Ok(match self.call()? {
            Some(mood) if mood.fails() => Err(Refusal::Fault),
            _ => {
                let found = self.store.find(user, true, limit, None).unwrap_or_default();
                Ok(found.iter().map(|stored| (stored.id.clone(), stored.when)).collect())
            }
        })
    }

    /// The next entries that wait, without those that the store has already, and the sequence behind them.
    fn take(&mut self, count: usize) -> Result<(Vec<Item>, u64), Refusal> {
        let process = self.process();
        let (mut items, mut sequence, last) = (Vec::new(), process.journal.first(), process.journal.end());
        while sequence < last && items.len() < count {
            match process.journal.read(sequence, |payload| Item::of(sequence, payload)) {
                Ok(Some(Some(item))) => {
                    if !process.hand_over.is_recognised(&item.id) {
                        items.push(item);
                    }
                }
                Ok(Some(None)) => process.journal.spoil(sequence),
                Ok(None) => {}
                // Its file can't be read now. Its entries are not gone.
                Err(_) if items.is_empty() => return Err(Refusal::Fault),
                Err(_) => break,
            }
            sequence += 1;
        }
        Ok((items, sequence))
    }

    fn hand_over_batch(&mut self, batch: &Batch) -> Result<Result<(), Refusal>, Crashed> {
        let (items, behind) = match self.take(batch.size) {
            Ok(taken) => taken,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.dirty();
        if self.process().hand_over.recognises() {
            let upto = items.first().map_or(behind, |item| item.sequence);
            self.process().journal.release(upto);
        }
        self.step()?;
        let (done, problem, appended) = self.store_items(&items, batch)?;
        self.step()?;
        let upto = items.get(done).map_or(behind, |item| item.sequence);
        let wall = appended.unwrap_or_else(|| self.clock.wall());
        let process = self.process();
        process.journal.release(upto);
        process.hand_over.handed_over(wall, items.len(), done);
        self.step()?;
        Ok(problem.map_or(Ok(()), Err))
    }

    /// The same with the driver of this library: the core does it all, in one transaction.
    #[cfg(feature = "storage")]
    fn hand_over_bytes(&mut self, batch: &Batch) -> Result<Result<(), Refusal>, Crashed> {
        self.dirty();
        // Where put() has appended is not known any more afterwards.
        let process = self.process();
        let nil = process.slot_of_nil.take().map(|slot| (String::new(), slot));
        let slots: Vec<(String, Slot)> = process.slots.drain().chain(nil).collect();
        for (class, slot) in slots {
            process.recorder.placement(HOST).appended(&class, slot.used);
        }
        if self.call()?.is_some_and(Mood::fails) {
            return Ok(Err(Refusal::Fault));
        }
        // The process may die between the commit and the release: then nothing more is written to the journal.
        let dies = self.crash_in.is_some_and(|left| left < 3) && !self.disk.is_ill;
        if dies {
            self.disk.fail_to_write();
        }
        let Self { store, process, .. } = self;
        let Some(process) = process else { return Ok(Ok(())) };
        let done =
            store.with_native(|native, _| native.hand_over(&mut process.recorder, &mut process.journal, &process.hand_over, batch.size));
        if dies {
            self.disk.heal();
        }
        let count = match done {
            Some(Ok(done)) => {
                for full in &done.full {
                    if let Ok(partition) = full.partition.parse() {
                        self.process().counts.borrow_mut().set(HOST, partition, full.entries);
                    }
                    if full.is_limited {
                        self.enforce_soon();
                    }
                }
                done.entries
            }
            Some(Err(error)) => {
                self.line(format_args!("the native store fails: {error}"));
                return Ok(Err(Refusal::Fault));
            }
            None => 0,
        };
        for stored in self.store.handed_over() {
            self.arrives(&Item::stored(&stored));
        }
        if dies {
            return Err(Crashed);
        }
        self.clock.passed += 0.000_01 * count as f64;
        let wall = self.clock.wall();
        self.process().hand_over.handed_over(wall, count, count);
        self.step()?;
        Ok(Ok(()))
    }

    /// Appends entries to the store: how many it took, why it took no more, and when the last was appended in one transaction.
    fn store_items(&mut self, items: &[Item], batch: &Batch) -> Result<(usize, Option<Refusal>, Option<f64>), Crashed> {
        if self.store.has_transactions() && !items.is_empty() {
            self.store.begin();
            let (mut count, mut is_refused, mut is_lost) = (0, false, false);
            loop {
                match self.put(items[count].at, &items[count])? {
                    Ok(()) => count += 1,
                    Err(_) => {
                        is_refused = true;
                        break;
                    }
                }
                let wall = self.clock.wall();
                if count == items.len() || wall > batch.deadline && (count >= batch.at_least || wall > batch.latest) {
                    break;
                }
            }
            if !is_refused {
                let appended = self.clock.wall();
                let mood = self.call()?;
                is_lost = mood == Some(Mood::LosesAnswer);
                if mood.is_some_and(Mood::fails) {
                    is_refused = true;
                } else {
                    self.store.commit();
                    self.step()?;
                    if !is_lost {
                        return Ok((count, None, Some(appended)));
                    }
                }
            }
            self.taken_back();
            self.undone();
            if is_lost {
                // The driver connects again and runs the transaction once more, which must not be done.
                return Ok((0, Some(Refusal::Fault), None));
            }
            debug_assert!(is_refused, "a transaction is refused, or lost");
        }
        for (index, item) in items.iter().enumerate() {
            if let Err(refusal) = self.put(item.at, item)? {
                return Ok((index, Some(refusal), None));
            }
            if self.clock.wall() > batch.deadline {
                return Ok((index + 1, None, None));
            }
        }
        Ok((items.len(), None, None))
    }

    /// Appends an entry where it belongs.
    pub fn put(&mut self, at: f64, item: &Item) -> Result<Result<(), Refusal>, Crashed> {
        if !self.stands()? {
            return Ok(Err(Refusal::Fault));
        }
        let class = self.process().recorder.class_of(HOST, &item.kind).to_owned();
        let process = self.process();
        let known = process.slots.get(&class).or(process.slot_of_nil.as_ref()).cloned();
        let mut slot = match known.filter(|slot| slot.used.is_some() && slot.second == whole_seconds(at) && slot.left > 0) {
            Some(slot) => slot,
            None => match self.place(&class, at)? {
                Ok(slot) => slot,
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        loop {
            let used = slot.used.take().unwrap_or(0);
            self.keep_slot(&class, &slot);
            match self.append(&slot.partition, slot.when, item)? {
                Ok(key) => {
                    slot.left = slot.left.saturating_sub(1);
                    slot.used = Some(used + 1);
                    self.keep_slot(&class, &slot);
                    return Ok(if self.is_read_back(&slot.partition, key, item)? { Ok(()) } else { Err(Refusal::Fault) });
                }
                Err(Refusal::Quota) if self.process().recorder.placement(HOST).full(&class, at) => match self.place(&class, at)? {
                    Ok(next) => slot = next,
                    Err(refusal) => return Ok(Err(refusal)),
                },
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
    }

    fn keep_slot(&mut self, class: &str, slot: &Slot) {
        let process = self.process();
        if slot.partition.is_some() {
            process.slots.insert(class.to_owned(), slot.clone());
        } else {
            process.slot_of_nil = Some(slot.clone());
        }
    }

    /// Asks where an entry goes, and looks up what is needed for that.
    fn place(&mut self, class: &str, at: f64) -> Result<Result<Slot, Refusal>, Crashed> {
        let process = self.process();
        let used = process.slots.get_mut(class).map(|slot| slot.used.replace(0));
        let mut appended = used.unwrap_or(process.slot_of_nil.as_ref().map(|_| 0));
        loop {
            match self.process().recorder.place(HOST, class, at, appended) {
                Place::Append { partition, when, left } => {
                    let slot = Slot { second: whole_seconds(at), partition, when, left: left.unwrap_or(u64::MAX), used: Some(0) };
                    let process = self.process();
                    if slot.partition.is_some() {
                        process.slot_of_nil = None;
                    } else {
                        process.slots.remove(class);
                    }
                    return Ok(Ok(slot));
                }
                Place::List => match self.users()? {
                    Ok(users) => {
                        let partitions = users.iter().filter_map(|user| user.parse().ok()).collect();
                        self.process().recorder.placement(HOST).listed(partitions, at);
                    }
                    Err(refusal) => return Ok(Err(refusal)),
                },
                Place::Survey { partition, most } => match self.newest(&partition, most as usize)? {
                    Ok(found) => {
                        let newest = found.first().map(|(_, when)| *when as f64);
                        self.process().recorder.placement(HOST).surveyed(class, at, newest, found.len() as u64);
                    }
                    Err(refusal) => return Ok(Err(refusal)),
                },
                Place::Full { partition, entries, is_limited } => {
                    if let Ok(partition) = partition.parse() {
                        self.process().counts.borrow_mut().set(HOST, partition, entries);
                    }
                    if is_limited {
                        self.enforce_soon();
                    }
                }
            }
            appended = Some(0);
        }
    }

    /// The driver appends an entry, or says that it has.
    pub fn append(&mut self, user: &User, when: i64, item: &Item) -> Result<Result<u64, Refusal>, Crashed> {
        let mood = self.call()?;
        let may_keep = mood == Some(Mood::Raises) && self.store.is_odd() && !self.store.is_native();
        if mood.is_some_and(Mood::fails) && !may_keep {
            return Ok(Err(Refusal::Fault));
        }
        if mood == Some(Mood::Forgets) {
            if self.store.vouched.contains(user) {
                // Only the first entry of a partition is read back. Of this one nobody can know.
                self.arrives(item);
                self.model.gone.insert(item.id.clone(), crate::model::Gone::WithTheStore);
            }
            return Ok(Ok(1));
        }
        let key = match self.store.append(user, when, &item.id, &item.with, &item.xml) {
            Ok(key) => key,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.arrives(item);
        self.step()?;
        if may_keep || mood == Some(Mood::Keeps) || mood == Some(Mood::LosesAnswer) && !self.store.is_in_transaction() {
            return Ok(Err(Refusal::Fault));
        }
        self.store.vouched.insert(user.clone());
        Ok(Ok(key))
    }

    fn arrives(&mut self, item: &Item) {
        let known = crate::model::Known { number: self.model.numbers, at: self.clock.passed, lost: item.lost, counted: item.counted };
        self.model.arrived.entry(item.id.clone()).or_insert(known);
        let number = self.model.stored.len() + 1;
        self.model.stored.entry(item.id.clone()).or_insert(number);
    }

    /// Whether the store may be offered entries: it gave back what it took, or is given another chance.
    fn stands(&mut self) -> Result<bool, Crashed> {
        let wall = self.clock.wall();
        let Some((user, id, at)) = self.process().trust.refused.clone() else { return Ok(true) };
        if wall - at > REFUSED {
            return Ok(true);
        }
        let is_there = matches!(self.newest(&user, SEARCHED)?, Ok(found) if found.iter().any(|(found, _)| *found == id));
        if is_there {
            self.accept(user);
        }
        Ok(is_there)
    }

    fn accept(&mut self, user: User) {
        let trust = &mut self.process().trust;
        trust.proven.insert(user);
        trust.refused = None;
    }

    /// Whether the store gives an entry back. Only the first of a partition is read.
    fn is_read_back(&mut self, user: &User, key: u64, item: &Item) -> Result<bool, Crashed> {
        if self.process().trust.proven.contains(user) {
            return Ok(true);
        }
        let Ok(found) = self.newest(user, SEARCHED)? else { return Ok(false) };
        let by_key = || self.store.list(user).iter().any(|stored| stored.key == key && stored.id == item.id);
        if found.iter().any(|(id, _)| *id == item.id) || by_key() {
            self.accept(user.clone());
            return Ok(true);
        }
        let wall = self.clock.wall();
        self.process().trust.refused = Some((user.clone(), item.id.clone(), wall));
        Ok(false)
    }
}
