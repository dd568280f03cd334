//! What the glue asks of the recorder, as plain functions over one shared state: a method of a userdata costs twice as much.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use mlua::prelude::*;

use super::convert::{Host, Number, Text, option};
use crate::options::{Settings, Value};
use crate::partition::{DEFAULT_CLASS, Partition};
use crate::recorder::{Entry, Event, Recorder, Session, SessionEntry};

/// The functions of a new recorder.
pub(super) fn functions(lua: &Lua) -> LuaResult<LuaTable> {
    let functions = Functions { lua, recorder: Rc::default(), table: lua.create_table()? };

    // configure(host, get_option) -> list of refused values
    let recorder = Rc::clone(&functions.recorder);
    let configure = lua.create_function(move |_, (Host(host), get): (Host, LuaFunction)| {
        // The options are read before the recorder is borrowed: reading them runs Lua.
        let (settings, refused) = Settings::read(|name| get.call::<LuaValue>(name).map_or(Value::Nil, |value| option(&value)));
        recorder.borrow_mut().configure(&host, settings);
        Ok(refused)
    })?;
    functions.table.set("configure", configure)?;

    // prepare(host, user, source, type, now, timestamp, has_session, id, type, ip, client)
    //   -> partition, when, fresh, warned, id, user, source, type, occurred, then what `session` gives
    // A text that is good as it was given is nil: the glue has it already, and a string that does not cross the border
    // costs nothing. A user of false is none.
    functions.add("prepare", prepare)?;
    // session(host, id, type, ip, client) -> id, type, client, remote_ip, country, continent, name
    functions.add("session", |recorder, (Host(host), session): (Host, SessionText)| {
        let bytes = session.bytes();
        session_values(recorder.session(&host, bytes.session()))
    })?;

    // forget(host | nil)
    functions.add("forget", |recorder, host: Option<Host>| recorder.forget(host.as_ref().map(|Host(host)| host.as_str())))?;
    // use_single(host)
    functions.add("use_single", |recorder, Host(host): Host| recorder.use_single(&host))?;
    // slot(host, now) -> partition, when, fresh
    functions.add("slot", |recorder, (Host(host), now): (Host, f64)| {
        let slot = recorder.archive(&host).slot(DEFAULT_CLASS, now);
        (slot.partition, slot.when, slot.fresh)
    })?;
    // resume(host, now, newest | nil)
    functions.add("resume", |recorder, (Host(host), now, newest): (Host, f64, Number)| {
        recorder.archive(&host).resume(DEFAULT_CLASS, now, newest.0)
    })?;
    // full(host, now) -> whether there is another partition
    functions.add("full", |recorder, (Host(host), now): (Host, f64)| recorder.archive(&host).full(DEFAULT_CLASS, now))?;
    // pruned(host)
    functions.add("pruned", |recorder, Host(host): Host| recorder.archive(&host).pruned())?;

    // failed(host, cause, now) -> line | nil
    functions.add("failed", |recorder, (Host(host), cause, now): (Host, Text, f64)| {
        let cause = cause.bytes().map_or_else(|| "unknown cause".to_owned(), |cause| String::from_utf8_lossy(&cause).into_owned());
        recorder.trouble.failed(&host, &cause, now)
    })?;
    // stored(host, now) -> line | nil
    functions.add("stored", |recorder, (Host(host), now): (Host, f64)| recorder.trouble.stored(&host, now))?;
    // lost() -> number
    functions.add("lost", |recorder, ()| recorder.trouble.lost())?;
    // warnings() -> list of lines
    functions.add("warnings", |recorder, ()| recorder.take_warnings())?;

    // expires_after(host) -> seconds
    functions.add("expires_after", |recorder, Host(host): Host| recorder.settings(&host).expires_after.seconds())?;
    // expired(host, archive user, now) -> whether it is a partition whose entries have all expired
    functions.add("expired", |recorder, (Host(host), name, now): (Host, Text, f64)| {
        let cutoff = recorder.settings(&host).expires_after.cutoff(now);
        let partition = name.bytes().and_then(|name| std::str::from_utf8(&name).ok().and_then(|name| name.parse::<Partition>().ok()));
        partition.zip(cutoff).is_some_and(|(partition, cutoff)| partition.end() <= cutoff)
    })?;
    Ok(functions.table)
}

struct Functions<'lua> {
    lua: &'lua Lua,
    recorder: Rc<RefCell<Recorder>>,
    table: LuaTable,
}

impl Functions<'_> {
    fn add<A: FromLuaMulti, R: IntoLuaMulti>(&self, name: &str, function: impl Fn(&mut Recorder, A) -> R + 'static) -> LuaResult<()> {
        let recorder = Rc::clone(&self.recorder);
        let function = self.lua.create_function(move |_, arguments: A| Ok(function(&mut recorder.borrow_mut(), arguments)))?;
        self.table.set(name, function)
    }
}

/// The arguments `id, type, ip, client`.
struct SessionText {
    id: Text,
    kind: Text,
    ip: Text,
    client: Text,
}

impl FromLuaMulti for SessionText {
    fn from_lua_multi(values: LuaMultiValue, lua: &Lua) -> LuaResult<Self> {
        let (id, kind, ip, client) = FromLuaMulti::from_lua_multi(values, lua)?;
        Ok(Self { id, kind, ip, client })
    }
}

impl SessionText {
    fn bytes(&self) -> SessionBytes {
        SessionBytes { id: self.id.bytes(), kind: self.kind.bytes(), ip: self.ip.bytes(), client: self.client.bytes() }
    }
}

struct SessionBytes {
    id: Option<mlua::BorrowedBytes>,
    kind: Option<mlua::BorrowedBytes>,
    ip: Option<mlua::BorrowedBytes>,
    client: Option<mlua::BorrowedBytes>,
}

impl SessionBytes {
    fn session(&self) -> Session<'_> {
        Session { id: self.id.as_deref(), kind: self.kind.as_deref(), ip: self.ip.as_deref(), client: self.client.as_deref() }
    }
}

/// `id, type, client`, then `remote_ip, country, continent, name`; of the first three only what had to be changed.
type SessionValues = (Option<String>, Option<String>, Option<String>, Option<String>, Option<String>, Option<String>, Option<String>);

fn session_values(session: SessionEntry<'_>) -> SessionValues {
    let (country, continent, name) = match session.location {
        Some(location) => (Some(location.country), location.continent, Some(location.name)),
        None => (None, None, None),
    };
    (
        session.id.and_then(changed),
        session.kind.and_then(changed),
        session.client.and_then(changed),
        session.remote_ip,
        country,
        continent,
        name,
    )
}

fn changed(text: Cow<'_, str>) -> Option<String> {
    match text {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text),
    }
}

type Arguments = (Host, Text, Text, Text, f64, Number, bool, SessionText);
type Prepared = (Option<String>, i64, bool, bool, String, Changed, Option<String>, Option<String>, Option<String>, SessionValues);

/// A text that may be gone: `nil` as it was given, `false` where there is none, or the text.
enum Changed {
    Not,
    Gone,
    To(String),
}

impl IntoLua for Changed {
    fn into_lua(self, lua: &Lua) -> LuaResult<LuaValue> {
        match self {
            Self::Not => Ok(LuaValue::Nil),
            Self::Gone => Ok(LuaValue::Boolean(false)),
            Self::To(text) => text.into_lua(lua),
        }
    }
}

fn prepare(recorder: &mut Recorder, (Host(host), user, source, kind, now, timestamp, has_session, session): Arguments) -> Prepared {
    let (given, source, kind, session) = (user.bytes(), source.bytes(), kind.bytes(), session.bytes());
    let event = Event {
        user: given.as_deref(),
        source: source.as_deref().unwrap_or_default(),
        kind: kind.as_deref().unwrap_or_default(),
        session: has_session.then(|| session.session()),
        timestamp: timestamp.0,
    };
    let Entry { id, user, source, kind, session, occurred, slot } = recorder.entry(&host, event, now);
    let user = match user {
        None => Changed::Gone,
        Some(Cow::Borrowed(user)) if given.as_deref().is_some_and(|given| given.len() == user.len()) => Changed::Not,
        Some(user) => Changed::To(user.into_owned()),
    };
    let session = session.map(session_values).unwrap_or_default();
    let warned = recorder.is_warned();
    (slot.partition, slot.when, slot.fresh, warned, id.hyphenated().to_string(), user, changed(source), changed(kind), occurred, session)
}
