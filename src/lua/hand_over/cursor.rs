//! Readers of a host's entries beside the hand-over, as objects of the embedded Lua.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::prelude::*;

use super::{Kept, Owned};
use crate::command::{Made, ShowCommand};
use crate::journal::cursor::{Cursor, Place, Read, Saved, Want};
use crate::lua::functions::Functions;
use crate::lua::read::{LuaQuery, LuaRequest};
use crate::lua::value::Host;
use crate::query::{Filter, Position, Request};
use crate::recorder::Recorder;
use crate::render::columns::Columns;
use crate::render::formats::Format;
use crate::time::zone::Zone;

/// A reader of the entries of a host. Other objects of the library take entries from it ([`LuaCursor::take`]), so that they need not
/// become tables of Lua.
pub(crate) struct LuaCursor {
    pub(crate) host: String,
    cursor: RefCell<Option<Cursor>>,
    kept: Rc<RefCell<Kept>>,
    recorder: Rc<RefCell<Recorder>>,
}

/// Adds `cursor(host, journal, saved position | nil, now) -> cursor | nil, message`.
pub(crate) fn add(functions: &Functions<'_>) -> LuaResult<()> {
    let recorder = functions.recorder();
    let open = move |lua: &Lua, (Host(host), journal, saved, now): (Host, LuaUserDataRef<Owned>, Option<String>, f64)| {
        let saved = match saved.map(|text| text.parse::<Saved>()).transpose() {
            Ok(saved) => saved,
            Err(error) => return Ok((None, Some(error.to_string()))),
        };
        let kept = journal.share();
        let fresh = recorder.borrow_mut().id(now);
        let cursor = Cursor::open(&mut kept.borrow_mut().tail, saved.as_ref(), fresh);
        let cursor = LuaCursor { host, cursor: RefCell::new(Some(cursor)), kept, recorder: Rc::clone(&recorder) };
        Ok((Some(lua.create_userdata(cursor)?), None))
    };
    functions.set("cursor", functions.lua().create_function(open)?)
}

impl LuaCursor {
    /// The next entries, at most `most`, with their classes, and each with the place after it.
    pub(crate) fn take(&self, most: usize) -> Vec<(Read, Place)> {
        let kept = self.kept.borrow();
        let mut taken = self.cursor.borrow_mut().as_mut().map_or_else(Vec::new, |cursor| cursor.take(&kept.tail, most));
        let recorder = self.recorder.borrow();
        for (read, _) in &mut taken {
            if let Read::Event(event) = read {
                event.class.get_or_insert_with(|| recorder.class_of(&self.host, &event.kind).to_owned());
            }
        }
        taken
    }

    /// The reader is done with everything before a place.
    pub(crate) fn commit(&self, place: &Place) {
        if let Some(cursor) = self.cursor.borrow_mut().as_mut() {
            cursor.commit(&mut self.kept.borrow_mut().tail, place);
        }
    }

    /// The position of the last commit, as text.
    pub(crate) fn saved(&self, now: f64) -> Option<String> {
        let tail = &self.kept.borrow().tail;
        self.cursor.borrow().as_ref().map(|cursor| cursor.saved(tail, now).to_string())
    }

    /// The hash of an address, with the key of the host.
    pub(crate) fn hash(&self, address: &str) -> Option<String> {
        self.recorder.borrow().hash(&self.host, address).map(|(hash, _)| hash)
    }

    /// Goes back to the last commit.
    pub(crate) fn rewind(&self) {
        if let Some(cursor) = self.cursor.borrow_mut().as_mut() {
            cursor.rewind();
        }
    }

    /// How many entries are not committed, and a time before which none of them was recorded.
    pub(crate) fn behind(&self) -> (u64, Option<f64>) {
        let tail = &self.kept.borrow().tail;
        self.cursor.borrow().as_ref().map_or((0, None), |cursor| (cursor.behind(tail), cursor.oldest(tail)))
    }

    /// When the next entry was recorded that was not taken. Returns `None` if all were.
    pub(crate) fn next_time(&self) -> Option<f64> {
        self.cursor.borrow().as_ref().and_then(|cursor| cursor.next_time(&self.kept.borrow().tail))
    }

    fn request(&self, since: f64, after: Option<(f64, String)>) -> LuaRequest {
        let place = match after {
            Some((when, name)) => Position { when, has_id: true, name },
            // Before all entries of that second that have an id.
            None => Position { when: since, has_id: false, name: String::new() },
        };
        let filter = Filter { host: self.host.clone(), ..Filter::default() };
        LuaRequest(ShowCommand {
            host: self.host.clone(),
            request: Request { filter, oldest_first: true, limit: None, after: Some(place) },
            columns: Columns::default(),
            zone: Zone::Utc,
            format: Format::default(),
            made: Made::Entries,
            output: None,
            follow: false,
            colour: false,
            byte_order_mark: false,
            asked: String::new(),
        })
    }
}

impl LuaUserData for LuaCursor {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // wants(now) -> "take": there is something to read | "search", request: read what is asked for, and give it to feed() |
        // nil: there is nothing
        methods.add_method("wants", |lua, this, now: f64| {
            let fresh = || this.recorder.borrow_mut().id(now);
            let kept = this.kept.borrow();
            let want = this.cursor.borrow_mut().as_mut().map_or(Want::Nothing, |cursor| cursor.wants(&kept.tail, fresh));
            match want {
                Want::Take => "take".into_lua_multi(lua),
                Want::Search(since, after) => ("search", this.request(since, after)).into_lua_multi(lua),
                Want::Nothing => ().into_lua_multi(lua),
            }
        });
        // feed(query) -> whether it wants more for now: takes the events that are found
        methods.add_method("feed", |_, this, query: LuaAnyUserData| {
            let events = query.borrow_mut::<LuaQuery>()?.take();
            let kept = this.kept.borrow();
            Ok(this.cursor.borrow_mut().as_mut().is_some_and(|cursor| cursor.feed(&kept.tail, events)))
        });
        // searched(now): all that was asked for was read
        methods.add_method("searched", |_, this, now: f64| {
            let kept = this.kept.borrow();
            if let Some(cursor) = this.cursor.borrow_mut().as_mut() {
                cursor.searched(&kept.tail, now);
            }
            Ok(())
        });
        // behind() -> how many entries are not committed, a time before which none of them was recorded | nil
        methods.add_method("behind", |_, this, ()| Ok(this.behind()));
        // rewind(): goes back to the last commit
        methods.add_method("rewind", |_, this, ()| {
            this.rewind();
            Ok(())
        });
        // saved(now) -> the position of the last commit, as text
        methods.add_method("saved", |_, this, now: f64| Ok(this.saved(now)));
        // close(): nothing is kept for it any more
        methods.add_method("close", |_, this, ()| {
            if let Some(cursor) = this.cursor.borrow_mut().take() {
                cursor.close(&mut this.kept.borrow_mut().tail);
            }
            Ok(())
        });
        // types(most) -> list of the event types that were taken, which are committed at once; for specs
        methods.add_method("types", |_, this, most: usize| {
            let taken = this.take(most);
            if let Some((_, place)) = taken.last() {
                this.commit(place);
            }
            let name = |(read, _): (Read, Place)| match read {
                Read::Event(event) => event.kind,
                Read::Gap(gap) => format!("gap of {}", gap.count),
            };
            Ok(taken.into_iter().map(name).collect::<Vec<_>>())
        });
    }
}
