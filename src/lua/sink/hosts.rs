//! The hosts whose entries a sink sends, each with its reader.

use mlua::prelude::*;

use crate::journal::cursor::Place;
use crate::lua::hand_over::cursor::LuaCursor;
use crate::options::sinks::{SinkOptions, Target};
use crate::render::framing::Framing;
use crate::sink::{Message, Messages};

/// How long entries are collected before the next batch, if there are no more, in seconds. A batch costs much, whatever is in it: most of
/// it is garbage for Lua's collector.
pub(super) const COLLECT: f64 = 1.0;
/// The same if there were many. The log keeps only some of them in memory.
const COLLECT_MANY: f64 = 0.2;

/// The hosts of a sink.
pub(super) struct Hosts {
    /// A host that left leaves its place empty, as messages on their way name their host by its number.
    hosts: Vec<Option<Host>>,
    /// The host that is read next.
    turn: usize,
    framing: Option<Framing>,
}

struct Host {
    name: String,
    cursor: LuaAnyUserData,
    messages: Messages,
    /// Whether there may be something to read.
    has_more: bool,
    /// Until when entries are collected, after all that there was had been read, and how many were taken since they were collected last.
    collects_until: f64,
    taken: usize,
    /// Whether its position is not saved.
    has_moved: bool,
    /// How many entries were not delivered when the position was saved.
    behind: u64,
}

impl Hosts {
    pub(super) const fn new(options: &SinkOptions) -> Self {
        let framing = if matches!(options.to, Target::Http { .. }) { Some(options.framing) } else { None };
        Self { hosts: Vec::new(), turn: 0, framing }
    }

    pub(super) fn join(&mut self, options: &SinkOptions, name: String, cursor: LuaAnyUserData, ascii: Option<String>) {
        let messages =
            Messages::new(&name, ascii, options.format, self.framing, options.filter.clone(), options.addresses).of_sink(&options.name);
        self.hosts.push(Some(Host {
            name,
            cursor,
            messages,
            has_more: true,
            collects_until: f64::NEG_INFINITY,
            taken: 0,
            has_moved: true,
            behind: 0,
        }));
    }

    pub(super) fn leave(&mut self, name: &str) -> Option<usize> {
        let index = self.find(name)?;
        if let Some(place) = self.hosts.get_mut(index) {
            *place = None;
        }
        Some(index)
    }

    pub(super) fn take_alerts(&mut self, name: &str, takes_alerts: bool) {
        if let Some(host) = self.find(name).and_then(|index| self.get_mut(index)) {
            host.messages.take_alerts(takes_alerts);
        }
    }

    pub(super) fn news(&mut self, name: &str, has_more: bool) {
        if let Some(host) = self.find(name).and_then(|index| self.get_mut(index)) {
            host.has_more = has_more;
        }
    }

    /// The next host with something to read at the time `now`. `Err` if there is none: after how many seconds there is one, if there
    /// is one that collects entries.
    pub(super) fn next(&mut self, now: f64) -> Result<usize, Option<f64>> {
        let mut wait: Option<f64> = None;
        let count = self.hosts.len();
        for index in (self.turn..count).chain(0..self.turn.min(count)) {
            let Some(host) = self.hosts.get(index).and_then(Option::as_ref).filter(|host| host.has_more) else { continue };
            let left = host.collects_until - now;
            if left <= 0.0 {
                self.turn = index.saturating_add(1);
                return Ok(index);
            }
            wait = Some(wait.map_or(left, |wait| wait.min(left)));
        }
        Err(wait)
    }

    /// If all entries of a host were read, further ones are collected from `now` on: for a shorter time if there were more than fit into
    /// a batch.
    pub(super) fn collect(&mut self, index: usize, now: f64, batch: usize) {
        if let Some(host) = self.get_mut(index) {
            let is_done = host.cursor.borrow::<LuaCursor>().is_ok_and(|cursor| cursor.next_time().is_none());
            if is_done {
                host.collects_until = now + if host.taken > batch { COLLECT_MANY } else { COLLECT };
                host.taken = 0;
            } else {
                host.collects_until = f64::NEG_INFINITY;
            }
        }
    }

    /// No host collects entries any more.
    pub(super) fn hurry(&mut self) {
        self.hosts.iter_mut().flatten().for_each(|host| host.collects_until = f64::NEG_INFINITY);
    }

    /// Messages of a host. Returns its name if more must be read first.
    pub(super) fn take(&mut self, index: usize, most: usize, time: f64) -> Result<Vec<Message>, String> {
        let Some(host) = self.get_mut(index) else { return Ok(Vec::new()) };
        let Ok(cursor) = host.cursor.borrow::<LuaCursor>() else { return Ok(Vec::new()) };
        let taken = cursor.take(most);
        host.has_moved = true;
        if taken.is_empty() {
            host.has_more = false;
            return Err(host.name.clone());
        }
        host.taken = host.taken.saturating_add(taken.len());
        let mut hash = |address: &str| cursor.hash(address);
        Ok(taken.into_iter().map(|(read, place)| host.messages.message(read, place, time, &mut hash)).collect())
    }

    pub(super) fn commit(&mut self, index: usize, place: &Place) {
        if let Some(host) = self.get_mut(index) {
            host.has_moved = true;
            if let Ok(cursor) = host.cursor.borrow::<LuaCursor>() {
                cursor.commit(place);
            }
        }
    }

    /// All readers go back to what is certain.
    pub(super) fn rewind(&mut self) {
        for host in self.hosts.iter_mut().flatten() {
            if let Ok(cursor) = host.cursor.borrow::<LuaCursor>() {
                cursor.rewind();
            }
            host.has_more = true;
        }
    }

    pub(super) fn saved(&mut self, name: &str, time: f64) -> Option<String> {
        let host = self.find(name).and_then(|index| self.get_mut(index))?;
        let cursor = host.cursor.borrow::<LuaCursor>().ok()?;
        // How many wait is part of the position: by it, a later start knows how many are missing.
        let (behind, _) = cursor.behind();
        let is_same = !std::mem::take(&mut host.has_moved) && behind == host.behind;
        host.behind = behind;
        if is_same { None } else { cursor.saved(time) }
    }

    /// How many entries are not delivered, and a time before which none of them was recorded: of a host, or of all.
    pub(super) fn behind(&self, name: Option<&str>) -> (u64, Option<f64>) {
        let of = self.hosts.iter().flatten().filter(|host| name.is_none_or(|name| host.name == name));
        let each = of.filter_map(|host| host.cursor.borrow::<LuaCursor>().ok().map(|cursor| cursor.behind()));
        each.fold((0, None), |(count, oldest), (more, other)| {
            let oldest = [oldest, other].into_iter().flatten().reduce(f64::min);
            (count.saturating_add(more), oldest)
        })
    }

    /// When the next entry was recorded that was not sent, of a host or of all.
    pub(super) fn unsent(&self, name: Option<&str>) -> Option<f64> {
        let of = self.hosts.iter().flatten().filter(|host| name.is_none_or(|name| host.name == name));
        of.filter_map(|host| host.cursor.borrow::<LuaCursor>().ok()?.next_time()).reduce(f64::min)
    }

    pub(super) fn name(&self, index: usize) -> Option<String> {
        self.hosts.get(index).and_then(|host| host.as_ref().map(|host| host.name.clone()))
    }

    /// What stands before and behind the messages of a host in one body.
    pub(super) fn wrap(&self, index: usize) -> Option<(String, &'static str)> {
        self.hosts.get(index).and_then(|host| host.as_ref()?.messages.wrap())
    }

    /// A test entry, and what stands before and behind it.
    pub(super) fn test(&mut self, name: &str, time: f64) -> Option<(String, Option<(String, &'static str)>)> {
        let host = self.find(name).and_then(|index| self.get_mut(index))?;
        Some((host.messages.test(time), host.messages.wrap()))
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.as_ref().is_some_and(|host| host.name == name))
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Host> {
        self.hosts.get_mut(index).and_then(Option::as_mut)
    }
}
