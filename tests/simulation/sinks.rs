//! Sinks: the loop of the modules (`lua/mod_audit_sinks.lua`, `src/lua/sink/`, `src/lua/read/reader.lua`) around readers, messages and
//! deliveries, and receivers that lie, die and answer late. One sink gets answers, as HTTP has, and the other is a stream.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use audit_core::address::Policy;
use audit_core::file::whole::{self, Durability};
use audit_core::filter::Filter;
use audit_core::filter::position::Position;
use audit_core::journal::cursor::{Cursor, Read, Saved, Want};
use audit_core::journal::tail::Tail;
use audit_core::query::Request;
use audit_core::render::formats::Format;
use audit_core::render::framing::Framing;
use audit_core::sink::delivery::{Certainty, HostPlace};
use audit_core::sink::{Answer, Delivery, Messages, Step};
use uuid::Uuid;

use crate::disk::FOLDER;
use crate::events::HOST;
use crate::model::Gone;
use crate::process::Process;
use crate::script::Reply;
use crate::world::{Crashed, Timer, World};

/// How many sinks there are. The first gets answers, the second is a stream.
pub const SINKS: usize = 2;
/// The number of the only host.
const NUMBER: usize = 0;
/// The most messages in a batch.
const BATCH: usize = 40;
/// How many bytes of entries are kept in memory for sinks.
const ROOM: usize = 20_000;
/// The smallest size of an entry, in bytes.
const SMALLEST: usize = 100;
/// How long entries are collected, after how long a position is saved, after how long a reading that failed is tried again, and how
/// often it is looked whether a stream is certain; seconds.
const COLLECT: f64 = 0.5;
const SAVE: f64 = 1.0;
const UNREADABLE: f64 = 10.0;
const LOOK: f64 = 60.0;
/// How long an answer takes, and one that comes late.
const SOON: f64 = 0.05;
const LATE: f64 = 8.0;
/// The shortest pause that a timer can wait for, in seconds.
const MOMENT: f64 = 0.000_001;
/// After how long a receiver that is away is tried again, in seconds.
const AWAY: f64 = 3600.0;
/// How old what a receiver of a stream loses when it dies may be, in seconds.
const LOST: f64 = 250.0;
/// A position that is not known.
const BEGINNING: &str = "1 00000000-0000-0000-0000-000000000000 0 0";

/// What a receiver has.
#[derive(Debug, Default)]
pub struct Receiver {
    /// The ids of the entries in the order in which they came, with those that came again, and when they came.
    got: Vec<(String, f64)>,
    /// How many entries it was told are missing.
    missing: u64,
    /// What it said that it had, and forgot.
    forgot: BTreeSet<String>,
    /// What it refused, and what was set aside for that.
    set_aside: BTreeSet<String>,
    mood: Option<(Reply, u32)>,
    /// Whether it lost what came, so that it comes again.
    pub deaths: u64,
}

impl Receiver {
    pub fn set_mood(&mut self, mood: Option<(Reply, u32)>) {
        self.mood = mood;
    }

    const fn is_away(&self) -> bool {
        matches!(self.mood, Some((Reply::IsAway, _)))
    }

    fn next_mood(&mut self) -> Option<Reply> {
        let (mood, left) = self.mood?;
        self.mood = (left > 1).then(|| (mood, left - 1));
        Some(mood)
    }

    fn take(&mut self, lines: &[(Option<String>, u64)], now: f64) {
        for (id, missing) in lines {
            match id {
                Some(id) => self.got.push((id.clone(), now)),
                None => self.missing += missing,
            }
        }
    }
}

/// The sinks of a process.
#[derive(Debug)]
pub struct Sinks {
    tail: Tail,
    sinks: Vec<Sink>,
    is_saved_soon: bool,
}

#[derive(Debug)]
struct Sink {
    delivery: Delivery,
    messages: Messages,
    cursor: Cursor,
    /// The answer that is on its way, and when it is there.
    answer: Option<(f64, Sent)>,
    /// When it goes on.
    due: Option<f64>,
    is_searching: bool,
}

/// What came of sending.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sent {
    Status(u16),
    Failed,
}

fn position(number: usize) -> PathBuf {
    Path::new(FOLDER).join(format!("sink{number}.position"))
}

/// The id of a message, or how many entries it says are missing.
fn line_of(text: &str) -> (Option<String>, u64) {
    let value: serde_json::Value = serde_json::from_str(text).expect("each message is JSON");
    let id = value.get("id").and_then(|id| id.as_str()).map(ToOwned::to_owned);
    let count = text.split_once("\"missing.count\":").and_then(|(_, rest)| {
        rest.trim_start_matches('"').split(|of: char| !of.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
    });
    (id, count.unwrap_or(0))
}

impl World {
    /// Opens the sinks when a process starts, with the positions that the last one has saved.
    pub fn open_sinks(&mut self) {
        if !self.setup.has_readers {
            return;
        }
        let mut tail = Tail::new(ROOM, self.clock.wall());
        let sinks = (0..SINKS).map(|number| self.open_sink(&mut tail, number)).collect();
        self.process().sinks = Some(Sinks { tail, sinks, is_saved_soon: false });
        self.save_positions();
        (0..SINKS).for_each(|number| self.wake(number, 0.0));
    }

    fn open_sink(&mut self, tail: &mut Tail, number: usize) -> Sink {
        let wall = self.clock.wall();
        let text = match whole::read(&self.disk.files, &position(number), 1000) {
            Ok(text) => text.map(|text| String::from_utf8_lossy(&text).into_owned()),
            Err(_) => Some(BEGINNING.to_owned()),
        };
        let is_known = text.as_ref().is_none_or(|text| text != BEGINNING && text.parse::<Saved>().is_ok());
        self.model.has_unknown_position |= !is_known;
        let saved = text.map(|text| text.parse::<Saved>().or_else(|_| BEGINNING.parse()).expect("it is a position"));
        let fresh = self.process().recorder.id(wall);
        let cursor = Cursor::open(tail, saved.as_ref(), fresh);
        let certainty = if number == 0 { Certainty::Answer } else { Certainty::Time };
        let messages = Messages::new(HOST, None, Format::Json, Some(Framing::Newline), Filter::default(), Policy::Full);
        Sink { delivery: Delivery::new(BATCH, certainty), messages, cursor, answer: None, due: None, is_searching: false }
    }

    /// Closes a sink and opens it again in the same process. What was sent and not answered is sent again.
    pub fn reopen_sink(&mut self, number: usize) {
        if self.sinks().is_none_or(|(sinks, _)| sinks.sinks[number].is_searching) {
            return;
        }
        self.save_positions();
        let Some(mut of) = self.process().sinks.take() else { return };
        let closed = of.sinks.remove(number);
        closed.cursor.close(&mut of.tail);
        let opened = self.open_sink(&mut of.tail, number);
        of.sinks.insert(number, opened);
        self.process().sinks = Some(of);
        self.save_positions();
        self.wake(number, 0.0);
    }

    /// An entry was recorded.
    pub fn tell_sinks(&mut self, payload: &[u8], at: f64) {
        let Some(sinks) = &mut self.process().sinks else { return };
        sinks.tail.push(payload, at);
        let held = (sinks.tail.end() - sinks.tail.first()) as usize;
        if held > ROOM / SMALLEST {
            self.wrong(format!("{held} entries are in memory for sinks"));
        }
        (0..SINKS).for_each(|number| self.wake(number, COLLECT));
        self.save_soon();
    }

    fn sinks(&mut self) -> Option<(&mut Sinks, &mut audit_core::recorder::Recorder)> {
        let Process { sinks, recorder, .. } = self.process.as_mut()?;
        Some((sinks.as_mut()?, recorder))
    }

    pub fn wake(&mut self, number: usize, delay: f64) {
        let at = self.clock.passed + delay;
        let Some((sinks, _)) = self.sinks() else { return };
        let sink = &mut sinks.sinks[number];
        if sink.due.is_none_or(|due| due > at) {
            sink.due = Some(at);
            self.timers.push((at, Timer::Sink(number)));
        }
    }

    fn save_soon(&mut self) {
        let Some((sinks, _)) = self.sinks() else { return };
        if !std::mem::replace(&mut sinks.is_saved_soon, true) {
            self.after(SAVE, Timer::Positions);
        }
    }

    /// Saves the positions, and looks what is certain by now.
    pub fn save_positions(&mut self) {
        let (wall, uptime) = (self.clock.wall(), self.clock.uptime());
        let files = self.disk.shared();
        let Some((sinks, _)) = self.sinks() else { return };
        sinks.is_saved_soon = false;
        let mut is_uncertain = false;
        for (number, sink) in sinks.sinks.iter_mut().enumerate() {
            let places = sink.delivery.tick(uptime);
            commit(&mut sink.cursor, &mut sinks.tail, places);
            is_uncertain |= sink.delivery.is_waiting_for(NUMBER);
            let text = sink.cursor.saved(&sinks.tail, wall).to_string();
            let path = position(number);
            // After a crash, more is sent again.
            whole::replace(&*files, &path, &path.with_extension("new"), text.as_bytes(), Durability::Relaxed).ok();
        }
        if is_uncertain {
            sinks.is_saved_soon = true;
            self.after(LOOK, Timer::Positions);
        }
        self.dirty();
    }

    /// A sink goes on, if it is time.
    pub fn sink_due(&mut self, number: usize) -> Result<(), Crashed> {
        let passed = self.clock.passed;
        let Some((sinks, _)) = self.sinks() else { return Ok(()) };
        let sink = &mut sinks.sinks[number];
        if sink.due.is_some_and(|due| due <= passed) && !sink.is_searching {
            sink.due = None;
            return self.pump(number);
        }
        Ok(())
    }

    fn pump(&mut self, number: usize) -> Result<(), Crashed> {
        loop {
            self.step()?;
            let (wall, uptime) = (self.clock.wall(), self.clock.uptime());
            let Some((sinks, recorder)) = self.sinks() else { return Ok(()) };
            let sink = &mut sinks.sinks[number];
            match sink.delivery.step(uptime) {
                Step::Answer => return Ok(()),
                Step::Wait(seconds) => {
                    // One that is away for days is tried less often than it would be, as that takes long.
                    // A rest of rounding would not let any time pass.
                    let least = if self.receivers[number].is_away() { AWAY } else { MOMENT };
                    self.wake(number, seconds.max(least));
                    return Ok(());
                }
                Step::Send(count) => return self.send(number, count),
                Step::More => match sink.cursor.wants(&sinks.tail, || recorder.id(wall)) {
                    Want::Nothing => return Ok(()),
                    Want::Take => {
                        let taken = sink.cursor.take(&sinks.tail, BATCH);
                        if taken.is_empty() {
                            return Ok(());
                        }
                        let mut made = Vec::new();
                        for (mut read, place) in taken {
                            if let Read::Event(event) = &mut read {
                                event.class = Some(recorder.class_of(HOST, &event.kind).to_owned());
                            }
                            made.push(sink.messages.message(read, place, wall, &mut |_| None));
                        }
                        let done = sink.delivery.offer(NUMBER, made);
                        commit(&mut sink.cursor, &mut sinks.tail, done);
                    }
                    Want::Search(since, after) => {
                        sink.is_searching = true;
                        let is_read = self.search_for(number, since, after)?;
                        if let Some((sinks, _)) = self.sinks() {
                            sinks.sinks[number].is_searching = false;
                        }
                        if !is_read {
                            self.wake(number, UNREADABLE);
                            return Ok(());
                        }
                    }
                },
            }
        }
    }

    /// Reads the log for a sink. Returns whether it could be read.
    fn search_for(&mut self, number: usize, since: f64, after: Option<(f64, String)>) -> Result<bool, Crashed> {
        let place = match after {
            Some((when, name)) => Position { when, has_id: true, name },
            None => Position { when: since, has_id: false, name: String::new() },
        };
        let filter = Filter { host: HOST.to_owned(), ..Filter::default() };
        let request = Request { filter, oldest_first: true, limit: None, after: Some(place) };
        let mut is_whole = true;
        let is_read = self.search(request, |world, events| {
            if let Some((sinks, _)) = world.sinks() {
                is_whole = sinks.sinks[number].cursor.feed(&sinks.tail, events);
            }
            is_whole
        })?;
        let wall = self.clock.wall();
        if let Some((sinks, _)) = self.sinks().filter(|_| is_read && is_whole) {
            sinks.sinks[number].cursor.searched(&sinks.tail, wall);
        }
        Ok(is_read)
    }

    fn send(&mut self, number: usize, count: usize) -> Result<(), Crashed> {
        let passed = self.clock.passed;
        let Some((sinks, _)) = self.sinks() else { return Ok(()) };
        let body = sinks.sinks[number].delivery.body(count, Framing::Newline, None);
        let body = String::from_utf8(body).expect("messages are text");
        let lines: Vec<(Option<String>, u64)> = body.lines().map(line_of).collect();
        let receiver = &mut self.receivers[number];
        let mood = receiver.next_mood();
        if number == 1 {
            return self.send_on_stream(number, &lines, mood);
        }
        let sent = match mood {
            None | Some(Reply::Late) => Sent::Status(200),
            Some(Reply::Keeps) => Sent::Failed,
            Some(Reply::Forgets) => {
                receiver.forgot.extend(lines.iter().filter_map(|(id, _)| id.clone()));
                Sent::Status(200)
            }
            Some(Reply::Busy) => Sent::Status(503),
            Some(Reply::Refuses) => Sent::Status(400),
            Some(Reply::Dies | Reply::IsAway) => Sent::Failed,
        };
        if matches!(mood, None | Some(Reply::Late | Reply::Keeps)) {
            receiver.take(&lines, passed);
        }
        let at = passed + if mood == Some(Reply::Late) { LATE } else { SOON };
        if let Some((sinks, _)) = self.sinks() {
            sinks.sinks[number].answer = Some((at, sent));
        }
        self.timers.push((at, Timer::Answer(number)));
        Ok(())
    }

    /// A stream has no answers, and what its receiver has not read is lost if that dies.
    fn send_on_stream(&mut self, number: usize, lines: &[(Option<String>, u64)], mood: Option<Reply>) -> Result<(), Crashed> {
        let (passed, uptime) = (self.clock.passed, self.clock.uptime());
        let receiver = &mut self.receivers[number];
        let is_broken = match mood {
            None | Some(Reply::Late) => {
                receiver.take(lines, passed);
                false
            }
            Some(Reply::Busy) => {
                if let Some((sinks, _)) = self.sinks() {
                    let Sink { delivery, cursor, .. } = &mut sinks.sinks[number];
                    let places = delivery.accepted(Some(0), uptime);
                    commit(cursor, &mut sinks.tail, places);
                    delivery.pause(uptime, 0.1);
                }
                self.wake(number, 0.1);
                return Ok(());
            }
            Some(Reply::Keeps | Reply::Refuses) => {
                receiver.take(lines, passed);
                true
            }
            Some(Reply::Forgets | Reply::Dies) => {
                receiver.got.retain(|(_, at)| *at < passed - LOST);
                receiver.deaths += 1;
                true
            }
            Some(Reply::IsAway) => true,
        };
        if let Some((sinks, _)) = self.sinks() {
            let Sink { delivery, cursor, .. } = &mut sinks.sinks[number];
            if is_broken {
                delivery.broken("the connection broke", uptime);
                cursor.rewind();
            } else {
                let places = delivery.accepted(None, uptime);
                commit(cursor, &mut sinks.tail, places);
            }
        }
        self.save_soon();
        self.wake(number, 0.0);
        Ok(())
    }

    /// The answer of a receiver comes.
    pub fn answered(&mut self, number: usize) -> Result<(), Crashed> {
        let (passed, wall, uptime) = (self.clock.passed, self.clock.wall(), self.clock.uptime());
        let Some((sinks, _)) = self.sinks() else { return Ok(()) };
        let Sink { delivery, cursor, answer, .. } = &mut sinks.sinks[number];
        let Some((_, sent)) = answer.take_if(|(at, _)| *at <= passed) else { return Ok(()) };
        let mut refused = None;
        match sent {
            Sent::Failed => delivery.failed("there was no answer", None, uptime),
            Sent::Status(status) => match Answer::of(status, Some("120").filter(|_| status == 503), wall) {
                Answer::Accepted => {
                    let places = delivery.accepted(None, uptime);
                    commit(cursor, &mut sinks.tail, places);
                }
                Answer::Later(pause) => delivery.failed("busy", pause, uptime),
                Answer::Refused => {
                    if let Some((_, message)) = delivery.refused(false) {
                        cursor.commit(&mut sinks.tail, &message.place);
                        refused = Some((message.id, message.kind));
                    }
                }
            },
        }
        self.step()?;
        if let Some((id, kind)) = refused {
            self.receivers[number].set_aside.extend(id);
            // The entry that says so must not be refused and recorded again and again.
            if kind != "audit-sink-rejected" {
                self.say("audit-sink-rejected", 0, |_| {})?;
            }
        }
        self.save_soon();
        self.wake(number, 0.0);
        Ok(())
    }

    /// The process ends in an orderly way: what was given to the kernel will arrive.
    pub fn close_sinks(&mut self) {
        if let Some((sinks, _)) = self.sinks() {
            for sink in &mut sinks.sinks {
                let places = sink.delivery.finish();
                commit(&mut sink.cursor, &mut sinks.tail, places);
            }
            // What was given to the kernel arrives, and counts as certain.
            self.receivers[SINKS - 1].got.iter_mut().for_each(|(_, at)| *at = f64::NEG_INFINITY);
            self.save_positions();
        }
    }

    /// Whether everything was sent.
    pub fn all_is_sent(&mut self) -> bool {
        let wall = self.clock.wall();
        let Some((sinks, recorder)) = self.sinks() else { return true };
        let Sinks { tail, sinks, .. } = sinks;
        sinks.iter_mut().all(|sink| !sink.delivery.is_waiting_for(NUMBER) && sink.cursor.wants(tail, || recorder.id(wall)) == Want::Nothing)
    }

    /// Every receiver has everything, in order, and was told of what it could not get.
    pub fn check_sent(&mut self) {
        if !self.setup.has_readers || self.problem.is_some() {
            return;
        }
        let present = self.present();
        let numbers: BTreeMap<&String, u64> = self.model.entries.iter().map(|(id, known)| (id, known.number)).collect();
        let mut problem = None;
        for (number, receiver) in self.receivers.iter().enumerate() {
            let got: BTreeSet<&String> = receiver.got.iter().map(|(id, _)| id).collect();
            let has = |id: &String| got.contains(id) || receiver.forgot.contains(id) || receiver.set_aside.contains(id);
            let is_sent = |id: &&String| Uuid::try_parse(id).is_ok() && !has(id);
            let missing: Vec<&String> = present.iter().filter(is_sent).collect();
            if let Some(first) = missing.first() {
                problem = Some(format!("sink {number} has not sent {} entries, the first is {first}", missing.len()));
            }
            // What a rule has removed before it was sent is said to be missing.
            let gone = self.model.gone.iter().filter(|(_, gone)| **gone == Gone::ByRule).map(|(id, _)| id).filter(is_sent).count() as u64;
            let is_known = self.clock.boots == 1 && !self.has_gone_back && !self.model.has_unknown_position && !self.model.has_lost_content;
            if gone > receiver.missing && is_known {
                problem = Some(format!("sink {number} has not sent {gone} entries that have expired, and said so of {}", receiver.missing));
            }
            if let Some((id, _)) = receiver.got.iter().find(|(id, _)| self.model.known(id).is_none()) {
                problem = Some(format!("sink {number} has sent {id}, which was never recorded"));
            }
            // Those that came first, without summaries, whose ids are older than their places.
            let is_summary = |id: &String| self.model.known(id).is_some_and(|known| known.counted > 0);
            let mut met = BTreeSet::new();
            let first: Vec<&String> = receiver
                .got
                .iter()
                .map(|(id, _)| id)
                .filter(|id| !is_summary(id) && numbers.contains_key(*id) && met.insert(*id))
                .collect();
            let is_ordered = first.is_sorted_by_key(|id| numbers.get(*id).copied().unwrap_or(0));
            let is_whole = receiver.deaths == 0 && receiver.forgot.is_empty();
            if !is_ordered && is_whole && self.is_order_known() {
                problem = Some(format!("sink {number} has sent entries in another order"));
            }
        }
        if let Some(problem) = problem {
            self.wrong(problem);
        }
    }

    const fn is_order_known(&self) -> bool {
        // What is written directly may yield, and others are recorded meanwhile.
        !self.has_gone_back && self.clock.boots == 1 && !self.model.has_written_directly
    }
}

fn commit(cursor: &mut Cursor, tail: &mut Tail, places: impl IntoIterator<Item = HostPlace>) {
    places.into_iter().for_each(|(_, place)| cursor.commit(tail, &place));
}
