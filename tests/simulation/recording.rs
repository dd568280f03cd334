//! From an event to its entry, in the order in which the embedded Lua does it (`src/lua/log/record.lua`, `flood.lua` and
//! `src/lua/hand_over/queue.lua`).

use audit_core::alert::ALERT;
use audit_core::chain::chains::link_in;
use audit_core::entry::details::Details;
use audit_core::entry::payload::attribute_of;
use audit_core::flood::{CheckpointError, FIRST_LOOK, LOOK, beside};
use audit_core::journal::Appended;
use audit_core::journal::losses::Lost;
use audit_core::options::Write;
use audit_core::recorder::entries::{Event, EventActor, Session, Time};
use audit_core::recorder::summaries::summary;

use crate::disk::journal;
use crate::events::{HOST, Kind};
use crate::hand_over::Item;
use crate::world::{Crashed, Timer, World};

/// Who changes what others may do.
const BY_ADMINISTRATOR: EventActor<'static> =
    EventActor { kind: Some(b"user"), jid: Some(b"admin@example.com/x"), ip: None, caused_by: None };
/// Events that flood control had counted, and whose count is lost.
const COUNTED: &str = "counted";
/// How many entries at the end of a journal are searched for a summary.
const LAST: u64 = 1000;

impl World {
    /// An event comes in, as a module reports it.
    pub fn audit(&mut self, kind: &Kind, user: &[u8], address: &str) -> Result<(), Crashed> {
        self.model.reported += 1;
        let session = Session { id: Some(b"c2s1"), kind: Some(b"c2s"), ip: Some(address.as_bytes()), client: Some(b"client") };
        let event = Event {
            user: Some(user),
            source: Some(kind.source.as_bytes()),
            kind: Some(kind.name.as_bytes()),
            session: Some(session),
            actor: (kind.name == "user-role-changed").then_some(BY_ADMINISTRATOR),
            // It is reported two hours late.
            timestamp: (kind.name == "user-role-changed").then(|| self.clock.wall() - 7200.0),
        };
        self.record(&event, &mut Details::default(), !kind.is_by_admin, 0)?;
        Ok(())
    }

    /// The log makes an entry about itself.
    pub fn say(&mut self, kind: &str, lost: u64, describe: impl FnOnce(&mut Details)) -> Result<bool, Crashed> {
        let mut details = Details::default();
        describe(&mut details);
        if lost == 0 {
            self.model.reported += 1;
        }
        let event = Event { source: Some(b"mod_audit"), kind: Some(kind.as_bytes()), ..Event::default() };
        self.record(&event, &mut details, true, lost)
    }

    /// Returns whether it was stored, or waits.
    fn record(&mut self, event: &Event<'_>, details: &mut Details, asks: bool, lost: u64) -> Result<bool, Crashed> {
        let (at, now) = (self.clock.wall(), self.clock.uptime());
        let since = at - now;
        let before = std::mem::replace(&mut self.process().difference, since);
        if (since - before).abs() >= audit_core::archive::clock::STEP {
            self.look_at_clock(None)?;
        }
        if event.kind() != ALERT.as_bytes() {
            self.raisings.events.push(self.clock.passed);
        }
        self.alert_soon(1.0);
        let goes_at_once = self.goes_at_once(false);
        let process = self.process();
        let is_kept = process.is_telling;
        let mut payload = Vec::new();
        let Some(id) = process.recorder.entry(HOST, event, details, Time { at, now }, asks, &mut payload) else {
            self.model.counted += 1;
            self.model.counted_since += 1;
            self.start_ticking();
            return Ok(false);
        };
        let kind = String::from_utf8_lossy(event.kind()).into_owned();
        let warnings = process.recorder.take_warnings();
        self.log.extend(warnings);
        let is_there = if goes_at_once {
            // The store may yield: the next entry must follow this one.
            self.link(&kind, &mut payload);
            self.keep(at, payload, &kind, false, is_kept)?
        } else {
            self.add(at, payload, &kind, false, is_kept)
        };
        if is_there {
            self.model.made(id, self.clock.passed, lost, 0);
        } else if lost == 0 {
            self.model.refused += 1;
        }
        Ok(is_there)
    }

    /// Whether entries go to the store at once: without the files of a journal they do, as long as nothing waits and nothing is being
    /// written.
    fn goes_at_once(&mut self, offered: bool) -> bool {
        let is_direct = self.settings().write == Write::Direct && !offered;
        (is_direct || !self.process().is_attached) && self.process().journal.is_empty() && !self.is_writing()
    }

    /// Whether entries are being written to the store.
    pub fn is_writing(&mut self) -> bool {
        let wall = self.clock.wall();
        let process = self.process();
        process.hand_over.is_running() || process.hand_over.wait_for(process.writing, wall) > 0.0
    }

    /// Writes an entry to the store, or adds it to the journal.
    fn keep(&mut self, at: f64, mut payload: Vec<u8>, kind: &str, offered: bool, is_kept: bool) -> Result<bool, Crashed> {
        let at_once = self.goes_at_once(offered);
        if at_once {
            self.link(kind, &mut payload);
            let item = Item::of(0, &payload).expect("it was made now");
            let began = self.clock.wall();
            self.model.has_written_directly = true;
            let process = self.process();
            process.writing = Some(began);
            if process.is_attached && process.recorder.take_new_chain(HOST) {
                process.journal.write_heads().ok();
            }
            let done = self.put(at, &item)?;
            let process = self.process();
            process.writing = process.writing.filter(|writing| *writing != began);
            if done.is_ok() {
                self.tell_sinks(&payload, at);
                let process = self.process();
                if process.is_attached {
                    process.journal.write_heads().ok();
                    self.dirty();
                }
                return Ok(true);
            }
            self.doubt_store();
        }
        let is_there = self.add(at, payload, kind, at_once || offered, is_kept);
        // The store may have taken it, and it is counted as lost.
        self.model.may_count_more |= at_once && !is_there;
        Ok(is_there)
    }

    /// Adds an entry to the journal. Returns whether there was room.
    fn add(&mut self, at: f64, mut payload: Vec<u8>, kind: &str, offered: bool, is_kept: bool) -> bool {
        self.dirty();
        let process = self.process();
        let is_kept = is_kept || process.is_telling;
        let linked = process.recorder.link(HOST, kind.as_bytes(), &mut payload);
        if process.recorder.take_new_chain(HOST) && process.journal.write_heads().is_err() {
            process.recorder.keep_new_chain(HOST);
        }
        let appended = process.journal.append(&payload, kind, at);
        match (linked, appended) {
            (Some(linked), Appended::Durable(_)) => process.recorder.advance(HOST, &linked),
            (Some(linked), Appended::Volatile(_)) => process.recorder.advance_in_memory(HOST, &linked),
            (None, Appended::Refused) => process.recorder.lose_link(HOST, &payload),
            _ => {}
        }
        self.note_link(&payload);
        let process = self.process();
        let sequence = match appended {
            Appended::Durable(sequence) | Appended::Volatile(sequence) => Some(sequence),
            Appended::Refused => {
                if !is_kept {
                    process.journal.lose(kind, 1, at);
                }
                None
            }
        };
        if sequence.is_some() {
            process.hand_over.added(at);
            self.tell_sinks(&payload, at);
        }
        let process = self.process();
        if process.journal.is_amiss() {
            let trouble = process.journal.trouble().map(ToOwned::to_owned);
            self.line(format_args!("the journal is amiss: {trouble:?}"));
            self.mend();
        }
        let Some(sequence) = sequence else { return false };
        let process = self.process();
        if offered {
            process.hand_over.doubt();
        }
        if sequence >= process.ask_from || at < process.asked_at {
            self.plan();
        }
        true
    }

    /// Links an entry that goes to the store directly.
    fn link(&mut self, kind: &str, payload: &mut Vec<u8>) {
        let recorder = &mut self.process().recorder;
        if let Some(linked) = recorder.link(HOST, kind.as_bytes(), payload) {
            recorder.advance(HOST, &linked);
        }
        self.note_link(payload);
    }

    /// Keeps which entry has which number in its chain.
    fn note_link(&mut self, payload: &[u8]) {
        if let (Ok(link), Some(id)) = (link_in(payload), attribute_of(payload, "id")) {
            self.model.linked.insert((link.id, link.n), id.to_owned());
        }
    }

    /// Notices that somebody has changed the files, and writes again what is still known.
    pub fn mend(&mut self) {
        self.dirty();
        let wall = self.clock.wall();
        let process = self.process();
        if process.is_attached {
            process.journal.look(wall);
            process.journal.settle();
            process.journal.take_missing();
        }
    }

    /// Makes an entry of what was lost.
    pub fn record_lost(&mut self) -> Result<(), Crashed> {
        let Some(lost) = self.process().journal.take_lost() else { return Ok(()) };
        let before = self.process().journal.end();
        self.process().is_telling = true;
        let told = self.say("audit-entries-lost", lost.count, |details| describe(&lost, details))?;
        let process = self.process();
        process.is_telling = false;
        if told {
            let entry = (process.journal.end() > before).then_some(before);
            process.journal.tell(entry);
        } else {
            process.journal.not_told();
        }
        Ok(())
    }

    fn start_ticking(&mut self) {
        if !std::mem::replace(&mut self.process().is_ticking, true) {
            self.after(FIRST_LOOK, Timer::Tick);
        }
    }

    /// Flood control looks for windows that have ended.
    pub fn tick(&mut self) -> Result<(), Crashed> {
        if !self.process().recorder.flood.counting().is_empty() {
            self.sum_up(false)?;
        }
        let process = self.process();
        process.is_ticking = !process.recorder.flood.counting().is_empty();
        if process.is_ticking {
            self.after(LOOK, Timer::Tick);
        }
        Ok(())
    }

    /// Stores the summaries that are due; all of them if the process ends.
    pub fn sum_up(&mut self, closing: bool) -> Result<(), Crashed> {
        let (now, wall) = (self.clock.uptime(), self.clock.wall());
        let process = self.process();
        if std::mem::replace(&mut process.is_emitting, true) {
            return Ok(());
        }
        process.recorder.flood.set_clock(now, wall);
        let summaries = process.recorder.summaries(HOST, now, wall, closing);
        if !summaries.is_empty() {
            self.write_down(false);
        }
        let mut stored = 0;
        for found in &summaries {
            self.step()?;
            let mut payload = Vec::new();
            let at = summary(found, wall, &mut payload);
            if !found.offered {
                self.check_id(&found.id, at);
            }
            let is_there = found.offered && self.holds(&found.id) || self.keep(at, payload, &found.kind, found.offered, true)?;
            if !is_there {
                break;
            }
            self.model.made(found.id.clone(), self.clock.passed, 0, found.count);
            stored += 1;
        }
        self.process().recorder.flood.settle(HOST, stored);
        self.process().is_emitting = false;
        self.write_down(closing);
        Ok(())
    }

    /// Writes down what is being counted.
    fn write_down(&mut self, closing: bool) {
        self.dirty();
        let now = self.clock.uptime();
        let process = self.process();
        let count = process.recorder.flood.counted(HOST);
        if let Some(unread) = process.unread {
            // The file is not replaced before it was read.
            process.journal.set_counted(unread + count);
            if process.journal.is_kept() {
                self.model.counted_since = 0;
            }
            self.model.may_count_more = true;
            return;
        }
        // The journal must not have a higher number than the file, or a crash in between would count some twice.
        if count < process.journal.counted() {
            process.journal.set_counted(count);
        }
        let is_written = process.is_attached && process.recorder.checkpoint(HOST, &beside(&journal()), now, closing).is_ok();
        process.journal.set_counted(count);
        let is_kept = process.journal.is_kept();
        if is_kept || is_written {
            self.model.counted_since = 0;
        }
        if !is_kept || !is_written {
            self.model.may_count_more = true;
        }
    }

    /// Takes up what another process was counting when it died.
    pub fn restore_counts(&mut self) -> Result<(), Crashed> {
        let (now, wall) = (self.clock.uptime(), self.clock.wall());
        let process = self.process();
        let before = process.recorder.flood.counted(HOST);
        let saved = process.unread.take().unwrap_or_else(|| process.journal.counted());
        process.recorder.flood.set_clock(now, wall);
        let due = match process.recorder.flood.restore(HOST, &beside(&journal()), now) {
            Ok(due) => due,
            Err(CheckpointError::Unread { .. }) => {
                process.unread = Some(saved);
                self.after(LOOK, Timer::Counts);
                return Ok(());
            }
            Err(_) => 0,
        };
        let found = process.recorder.flood.counted(HOST) - before;
        let missing = saved.saturating_sub(found);
        if missing > 0 {
            process.journal.lose(COUNTED, missing, wall);
            self.plan();
        }
        if due == 0 {
            self.write_down(false);
        } else {
            self.start_ticking();
        }
        Ok(())
    }

    /// Whether the entry with that id is one of the last that wait.
    fn holds(&mut self, id: &str) -> bool {
        let journal = &mut self.process().journal;
        let from = journal.end().saturating_sub(LAST).max(journal.first());
        let waiting: Vec<u64> = journal.pending(from).collect();
        waiting.iter().rev().any(|of| matches!(journal.read(*of, |payload| attribute_of(payload, "id") == Some(id)), Ok(Some(true))))
    }
}

fn describe(lost: &Lost, details: &mut Details) {
    details.open(b"lost");
    details.attribute(b"count", lost.count.to_string().as_bytes());
    details.close();
}
