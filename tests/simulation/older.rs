//! Archive user nil, where the community's modules stored their entries: what lies there at the beginning, and how it is pruned or
//! moved into partitions (`src/lua/prune/older.lua`).

use audit_core::archive::clock::{KeptClock, Timeline};
use audit_core::archive::moving::Move;
use audit_core::archive::partition::Partition;
use audit_core::archive::slices::SETTLE;
use audit_core::entry::StoredEvent;

use crate::hand_over::Item;
use crate::model::{Gone, Known};
use crate::prune::{Outcome, partitions_of};
use crate::script::Driver;
use crate::store::{Refusal, Stored};
use crate::world::World;

/// How many rows are read at once.
const ROWS: usize = 25;

/// How the types of the entries begin that the community's modules have left.
pub const OLD: &str = "old-";

/// By what an entry is known: its id. Those of the community's modules have none, and differ in their types here.
pub fn name_of(event: StoredEvent) -> String {
    event.id.unwrap_or(event.kind)
}

impl World {
    /// The entries that the community's modules have left: one for each hour before the beginning.
    pub fn leave_old(&mut self) {
        for number in 0..self.setup.old {
            let age = f64::from(self.setup.old - number) * 3600.0;
            let (id, when) = (format!("{OLD}{number}"), (self.setup.began - age).floor());
            if when < 0.0 {
                continue;
            }
            let xml = format!("<audit-event source='mod_audit_auth' type='{id}' user='user1@example.com'/>");
            self.store.append(&None, when as i64, &id, "user1@example.com", &xml).ok();
            if self.store.list(&None).iter().any(|stored| stored.id == id) {
                self.model.numbers += 1;
                let number = self.model.numbers;
                self.model.arrived.insert(id.clone(), Known { number, at: -age, lost: 0, counted: 0 });
                self.model.stored.insert(id, number as usize);
            }
        }
    }

    /// Whether a move was completed but for its marker.
    pub fn old_is_empty(&self, users: &[String]) -> bool {
        partitions_of(users).iter().any(Partition::is_marker) && self.store.list(&None).is_empty()
    }

    pub fn prune_old(&mut self, users: &[String], at: f64, clock: Option<&KeptClock>, elsewhere: bool) -> Outcome<bool> {
        let Some(oldest) = self.store.list(&None).first().map(|stored| stored.when as f64) else { return Ok(Ok(false)) };
        let timeline = match (clock, &self.process) {
            (Some(clock), _) => clock.timeline(at),
            (None, Some(process)) => process.clock.timeline(at),
            (None, None) => Timeline::default(),
        };
        let is_single = self.settings().layout == audit_core::archive::Layout::Single;
        if self.setup.driver == Driver::Embedded && !is_single {
            return Ok(self.move_old(users, at, &timeline, elsewhere)?.map(|()| true));
        }
        let cutoff = self.settings().retention.last_cutoff(at).filter(|cutoff| !timeline.was_behind(oldest, *cutoff));
        let first_cutoff = self.settings().retention.first_cutoff(at);
        let has_classes = self.store.has_transactions();
        let is_due = |world: &Self, stored: &Stored| {
            let when = stored.when as f64;
            let is_read = has_classes && first_cutoff.is_some_and(|cutoff| when < cutoff);
            cutoff.is_some_and(|cutoff| when < cutoff) || is_read && world.is_past(stored, at, &timeline)
        };
        let due: Vec<Stored> = self.store.list(&None).into_iter().filter(|stored| is_due(self, stored)).collect();
        if let Err(refusal) = self.announce(&due, elsewhere) {
            return Ok(Err(refusal));
        }
        for stored in due {
            if self.call()?.is_some_and(crate::script::Mood::fails) {
                return Ok(Err(Refusal::Fault));
            }
            self.store.remove(&None, stored.key);
            self.old_expired(&stored);
        }
        Ok(Ok(false))
    }

    /// Whether an entry has expired.
    fn is_past(&self, stored: &Stored, at: f64, timeline: &Timeline) -> bool {
        let written = stored.when as f64 + timeline.shift_of_time(stored.when as f64);
        self.settings().retention.cutoff(&self.class_of(stored), at).is_some_and(|cutoff| written < cutoff)
    }

    pub fn class_of(&self, stored: &Stored) -> String {
        let kind = StoredEvent::read(&stored.row()).map(|event| event.kind).unwrap_or_default();
        self.settings().retention.class_of(&kind).to_owned()
    }

    fn old_expired(&mut self, stored: &Stored) {
        self.model.gone.entry(stored.id.clone()).or_insert(Gone::ByRule);
        let after = self.settings().retention.rules(&self.class_of(stored)).expires_after.seconds();
        self.check_age(std::slice::from_ref(&stored.id), after, &"archive user nil", "was removed");
    }

    /// Moves the entries into partitions, which count once nil is removed.
    fn move_old(&mut self, users: &[String], at: f64, timeline: &Timeline, elsewhere: bool) -> Outcome<()> {
        let mut moving = Move::new(&partitions_of(users));
        let marker = moving.marker(at);
        if self.append_moved(&Some(marker.to_string()), at as i64, "moving")?.is_err() {
            return Ok(Err(Refusal::Fault));
        }
        let (mut past, mut last): (Vec<Stored>, Option<String>) = (Vec::new(), None);
        let mut is_late = false;
        loop {
            let limit = if is_late { usize::MAX } else { ROWS };
            let rows: Vec<Stored> =
                self.store.find(&None, false, limit, last.as_deref()).unwrap_or_default().into_iter().cloned().collect();
            let is_end = rows.len() < limit;
            for stored in rows {
                last = Some(stored.key.to_string());
                if self.is_past(&stored, at, timeline) {
                    past.push(stored);
                    continue;
                }
                let class = self.class_of(&stored);
                let room = self.settings().retention.rules(&class).room();
                let (partition, when) = moving.place(&class, room, stored.when as f64);
                let (partition, sequence) = (Some(partition.to_owned()), 0);
                let Stored { id, with, xml, .. } = stored;
                let item = Item { sequence, at, id, kind: String::new(), with, xml, lost: 0, counted: 0 };
                if self.append_copy(&partition, when, &item)?.is_err() {
                    return Ok(Err(Refusal::Fault));
                }
            }
            if is_late {
                break;
            }
            self.breathe()?;
            if is_end {
                if !moving.made().is_empty() && self.depth < 2 {
                    self.depth += 1;
                    self.pass(SETTLE)?;
                    self.depth -= 1;
                }
                // What came meanwhile, with no pause from here on.
                is_late = true;
            }
        }
        if self.call()?.is_some_and(crate::script::Mood::fails) {
            return Ok(Err(Refusal::Fault));
        }
        if let Err(refusal) = self.announce(&past, elsewhere) {
            return Ok(Err(refusal));
        }
        self.store.delete(&None);
        past.iter().for_each(|stored| self.old_expired(stored));
        self.line(format_args!("archive user nil is moved; {} have expired", past.len()));
        self.step()?;
        self.delete(&marker)
    }

    fn append_moved(&mut self, user: &Option<String>, when: i64, id: &str) -> Outcome<()> {
        let (kind, with, xml) = (String::new(), "@".to_owned(), "<moving/>".to_owned());
        let item = Item { sequence: 0, at: when as f64, id: id.to_owned(), kind, with, xml, lost: 0, counted: 0 };
        self.append_copy(user, when, &item)
    }
}
