//! The native archive driver for Lua: a database, readings of it, and values as bytes.
//!
//! Expected failures are returned as `nil, message`. `database.lua` makes Prosody's archive store API of it.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use mlua::prelude::*;

use super::recovery;
use crate::entry::Row;
use crate::filter::shape::{self, Items, kind};
use crate::lua::hand_over::parts::Opened;
use crate::lua::read::{LuaRequest, LuaRows};
use crate::random::OsRandom;
use crate::recorder::ids::Ids;
use crate::storage::{
    Archive, Change, Cursor, Database, Item, Keep, NewItem, Opening, Query, Rewriting, Search, StorageError, Value, Wanted,
};

/// How a value is stored, by name.
pub(crate) const KINDS: [(&str, u8); 2] = [("element", kind::ELEMENT), ("json", kind::JSON)];

/// A database with what reads the elements in it.
pub(crate) struct Driver {
    pub(crate) database: Database,
    opened: Opened,
}

impl Driver {
    /// What Lua gets of an operation.
    fn call<T>(&mut self, operation: impl FnOnce(&mut Database) -> Result<T, StorageError>) -> Returned<T> {
        returned(self.database.attend(operation))
    }

    /// The next item of a reading, or what Lua gets in its place: nothing at the end, or `nil, message`.
    fn next(&mut self, reading: &mut Reading) -> Result<Item, Returned<bool>> {
        match self.database.attend(|database| database.next(&mut reading.0)) {
            Ok(item) => item.ok_or((None, None)),
            Err(error) => Err((None, Some(error.to_string()))),
        }
    }
}

/// An item as a row of the log. A value that is no element can't be read as an entry.
fn row(item: Item) -> Row {
    let element = if item.kind == kind::ELEMENT { item.value } else { Vec::new() };
    Row { key: item.key, when: item.when, with: Some(item.with), xml: String::new(), element }
}

/// What a reading of the log asks the driver for.
struct LuaWanted(Wanted);

impl LuaUserData for LuaWanted {}

/// A reading of a page of the log. It is over when its rows were taken.
struct LuaSearch(Option<Search>);

impl LuaUserData for LuaSearch {}

/// The rewriting of a partition.
pub(crate) struct LuaRewriting(pub(crate) Rewriting);

impl LuaUserData for LuaRewriting {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // result() -> how many items were rewritten, how many could not be, the times of the first and the last | nil
        methods.add_method("result", |_, this, ()| {
            let done = this.0.so_far();
            let (first, last) = done.times.map(|(first, last)| (time(first), time(last))).unzip();
            Ok((done.items, done.refused, first, last))
        });
    }
}

/// A reading.
struct Reading(Cursor);

impl LuaUserData for Reading {}

/// A text that a driver is given. Prosody's names are UTF-8.
struct Utf8(String);

impl FromLua for Utf8 {
    fn from_lua(value: LuaValue, lua: &Lua) -> LuaResult<Self> {
        let text = LuaString::from_lua(value, lua)?;
        let text = text.to_str().map_err(|_| LuaError::runtime("a key, a user or a name is no UTF-8 text"))?;
        Ok(Self(text.to_owned()))
    }
}

/// Host, store and user of an archive; the user is `nil` for what belongs to the host.
type Where = (Utf8, Utf8, Option<Utf8>);

fn archive(place: &Where) -> Archive<'_> {
    let (host, store, user) = place;
    Archive { host: &host.0, store: &store.0, user: user.as_ref().map_or("", |user| &user.0) }
}

fn query_of(table: Option<&LuaTable>) -> LuaResult<Query> {
    let Some(table) = table else { return Ok(Query::default()) };
    let text = |name: &str| table.get::<Option<Utf8>>(name).map(|text| text.map(|text| text.0));
    let ids = table.get::<Option<Vec<Utf8>>>("ids")?;
    Ok(Query {
        key: text("key")?,
        ids: ids.map(|ids| ids.into_iter().map(|id| id.0).collect()),
        with: text("with")?,
        start: table.get("start")?,
        end: table.get("end")?,
        after: text("after")?,
        before: text("before")?,
    })
}

/// A time as Lua has it: whole seconds are an integer, as other drivers return them.
fn time(seconds: f64) -> LuaValue {
    /// Up to here every integer is a float too.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if seconds.fract() == 0.0 && seconds.abs() < EXACT {
        #[allow(clippy::cast_possible_truncation)] // It is whole, and small enough.
        LuaValue::Integer(seconds as i64)
    } else {
        LuaValue::Number(seconds)
    }
}

/// A result as Lua's convention has it.
type Returned<T> = (Option<T>, Option<String>);

fn returned<T>(result: Result<T, StorageError>) -> Returned<T> {
    match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error.to_string())),
    }
}

impl LuaUserData for Driver {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // append(host, store, user, key, whether the key was just made, when, with, kind, bytes) -> true
        type Append = (Utf8, Utf8, Option<Utf8>, Utf8, bool, f64, Utf8, u8, LuaString);
        methods.add_method_mut("append", |_, this, (host, store, user, key, is_new, when, with, kind, bytes): Append| {
            let place = (host, store, user);
            let bytes = bytes.as_bytes();
            let value = Value { kind, bytes: &bytes };
            let item = NewItem { key: &key.0, is_new, value, when, with: &with.0 };
            Ok(this.call(|database| database.append(&archive(&place), &item).map(|()| true)))
        });
        // set(host, store, user, key, when | nil, with | nil, kind | nil, bytes | nil) -> true
        type Set = (Utf8, Utf8, Option<Utf8>, Utf8, Option<f64>, Option<Utf8>, Option<u8>, Option<LuaString>);
        methods.add_method_mut("set", |_, this, (host, store, user, key, when, with, kind, bytes): Set| {
            let place = (host, store, user);
            let bytes = bytes.as_ref().map(LuaString::as_bytes);
            let value = kind.zip(bytes.as_deref()).map(|(kind, bytes)| Value { kind, bytes });
            let change = Change { value, when, with: with.as_ref().map(|with| with.0.as_str()) };
            Ok(this.call(|database| database.set(&archive(&place), &key.0, &change).map(|()| true)))
        });
        // find(host, store, user, query | nil, limit | nil, in reverse) -> reading
        type Find = (Utf8, Utf8, Option<Utf8>, Option<LuaTable>, Option<u64>, bool);
        methods.add_method_mut("find", |_, this, (host, store, user, query, limit, reverse): Find| {
            let place = (host, store, user);
            let query = query_of(query.as_ref())?;
            Ok(this.call(|database| database.find(&archive(&place), &query, limit, reverse).map(Reading)))
        });
        // next(reading) -> key, when, with, kind, bytes | nil: the end | nil, message. An element is opened in place of the bytes.
        methods.add_method_mut("next", |lua, this, mut reading: LuaUserDataRefMut<Reading>| {
            let item = match this.next(&mut reading) {
                Ok(item) => item,
                Err(end) => return end.into_lua_multi(lua),
            };
            let bytes = if item.kind == kind::ELEMENT {
                this.opened.open_element(&item.value);
                None
            } else {
                Some(lua.create_string(&item.value)?)
            };
            (item.key, time(item.when), item.with, item.kind, bytes).into_lua_multi(lua)
        });
        // search(host, store, user, query | nil, limit, in reverse, wanted | nil) -> search, a reading of a page of the log
        type Page = (Utf8, Utf8, Option<Utf8>, Option<LuaTable>, usize, bool, Option<LuaUserDataRef<LuaWanted>>);
        methods.add_method_mut("search", |_, this, (host, store, user, query, limit, reverse, wanted): Page| {
            let place = (host, store, user);
            let (query, wanted) = (query_of(query.as_ref())?, wanted.map(|wanted| wanted.0.clone()).unwrap_or_default());
            let search = this.database.search(&archive(&place), &query, wanted, limit, reverse);
            Ok(returned(search.map(|search| LuaSearch(Some(search)))))
        });
        // rows(search) -> the rows of the page, which a reading of the log takes | false: call it again | nil, message
        methods.add_method_mut("rows", |lua, this, mut search: LuaUserDataRefMut<LuaSearch>| {
            let Some(on) = &mut search.0 else { return (LuaNil, "the rows were taken").into_lua_multi(lua) };
            match this.database.search_on(on) {
                Ok(false) => false.into_lua_multi(lua),
                Ok(true) => {
                    let found = search.0.take().map(Search::into_found).unwrap_or_default();
                    LuaRows(found.into_iter().map(row).collect()).into_lua_multi(lua)
                }
                Err(error) => (LuaNil, error.to_string()).into_lua_multi(lua),
            }
        });
        // users_with(host, store, wanted, user | nil) -> list of the users behind that one who may have what is wanted, the user behind
        // whom the next list begins | nil if it is the last one | nil, message
        type Users = (Utf8, Utf8, LuaUserDataRef<LuaWanted>, Option<Utf8>);
        methods.add_method_mut("users_with", |lua, this, (host, store, wanted, behind): Users| {
            match this.database.users_with(&host.0, &store.0, &wanted.0, behind.as_ref().map(|user| user.0.as_str())) {
                Ok(found) => found.into_lua_multi(lua),
                Err(error) => (LuaNil, error.to_string()).into_lua_multi(lua),
            }
        });
        methods.add_method_mut("total", |_, this, (host, store, user, query): (Utf8, Utf8, Option<Utf8>, Option<LuaTable>)| {
            let place = (host, store, user);
            let query = query_of(query.as_ref())?;
            Ok(this.call(|database| database.total(&archive(&place), &query)))
        });
        // summary(host, store, user, query | nil) -> { counts =, earliest =, latest = }, each by the connection
        methods.add_method_mut("summary", |lua, this, (host, store, user, query): (Utf8, Utf8, Option<Utf8>, Option<LuaTable>)| {
            let place = (host, store, user);
            let query = query_of(query.as_ref())?;
            let found = match this.database.attend(|database| database.summary(&archive(&place), &query)) {
                Ok(found) => found,
                Err(error) => return Ok((None, Some(error.to_string()))),
            };
            let (counts, earliest, latest) = (lua.create_table()?, lua.create_table()?, lua.create_table()?);
            for summary in found {
                counts.set(summary.with.as_str(), summary.count)?;
                earliest.set(summary.with.as_str(), time(summary.earliest))?;
                latest.set(summary.with, time(summary.latest))?;
            }
            let tables = lua.create_table_from([("counts", counts), ("earliest", earliest), ("latest", latest)])?;
            Ok((Some(tables), None))
        });
        methods.add_method_mut("dates", |_, this, place: Where| Ok(this.call(|database| database.dates(&archive(&place)))));
        // delete(host, store, user | true: all of them, query | nil, how many to keep | nil, keeps the oldest) -> number
        type Delete = (Utf8, Utf8, LuaValue, Option<LuaTable>, Option<u64>, bool);
        methods.add_method_mut("delete", |lua, this, (host, store, user, query, count, oldest): Delete| {
            let query = query_of(query.as_ref())?;
            let keep = count.map(|count| Keep { count, oldest });
            if user == LuaValue::Boolean(true) {
                return Ok(this.call(|database| database.delete_of_all(&host.0, &store.0, &query, keep)));
            }
            let place = (host, store, Option::from_lua(user, lua)?);
            Ok(this.call(|database| database.delete(&archive(&place), &query, keep)))
        });
        // users(host, store), stores(host, user | nil) -> list
        methods.add_method_mut("users", |_, this, (host, store): (Utf8, Utf8)| Ok(this.call(|database| database.users(&host.0, &store.0))));
        methods.add_method_mut("stores", |_, this, (host, user): (Utf8, Option<Utf8>)| {
            Ok(this.call(|database| database.stores(&host.0, user.as_ref().map(|user| user.0.as_str()))))
        });
        methods.add_method_mut("purge", |_, this, (host, user): (Utf8, Utf8)| {
            Ok(this.call(|database| database.purge(&host.0, &user.0).map(|()| true)))
        });
        // begin(), commit() -> true; roll_back(). What is written between them is one write.
        methods.add_method_mut("begin", |_, this, ()| Ok(this.call(|database| database.begin().map(|()| true))));
        methods.add_method_mut("commit", |_, this, ()| Ok(this.call(|database| database.commit().map(|()| true))));
        methods.add_method_mut("roll_back", |_, this, ()| {
            this.database.roll_back();
            Ok(())
        });
        // set_patience(seconds): how long a write waits for another process
        methods.add_method_mut("set_patience", |_, this, seconds: f64| {
            let patience = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            Ok(this.call(|database| database.set_patience(patience).map(|()| true)))
        });
        // is_synced() -> whether all that this process has written is on disk
        methods.add_method("is_synced", |_, this, ()| Ok(this.database.is_synced()));
        // sync_problem() -> why what was written can't be brought to the disk | nil
        methods.add_method("sync_problem", |_, this, ()| Ok(this.database.sync_problem()));
        // scrub() -> true: the file beside the database will have nothing of what was removed; is_scrubbed() -> whether that is done
        methods.add_method_mut("scrub", |_, this, ()| Ok(this.call(|database| database.scrub().map(|()| true))));
        methods.add_method("is_scrubbed", |_, this, ()| Ok(this.database.is_scrubbed()));
        // recovered() -> what became of a file that could not be used any longer, once | nil; see database.lua
        methods.add_method_mut("recovered", |lua, this, ()| {
            let Some(recovered) = this.database.take_recovered() else { return Ok(None) };
            recovery::table(lua, this.database.path(), &recovered).map(Some)
        });
    }
}

/// Adds `database(path, is the server, seconds) -> driver`, `busy`, which is the message of a write while another process writes, `kinds`, `item_key(now) -> a UUID, which is larger than those before it`,
/// `wanted(asked) -> wanted | nil: everything`, and `rewriting(host, store, user, user of the copy) -> rewriting`.
pub(crate) fn add(lua: &Lua, native: &LuaTable, opened: &Opened) -> LuaResult<()> {
    let opened = opened.clone();
    let database = lua.create_function(move |_, (path, is_server, seconds): (LuaString, bool, f64)| {
        let path = PathBuf::from(crate::lua::value::path(&path.as_bytes()));
        let opening = if is_server { Opening::Server } else { Opening::Other };
        let patience = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Ok(Driver { database: Database::new(&path, opening, patience).with_shape(&Items), opened: opened.clone() })
    })?;
    native.set("database", database)?;
    native.set("busy", StorageError::Busy.to_string())?;
    native.set("kinds", lua.create_table_from(KINDS)?)?;
    let wanted = lua.create_function(|_, asked: LuaUserDataRef<LuaRequest>| Ok(shape::wanted(&asked.0.request.filter).map(LuaWanted)))?;
    native.set("wanted", wanted)?;
    let rewriting = lua.create_function(|_, (host, store, user, to): (Utf8, Utf8, Utf8, Utf8)| {
        Ok(LuaRewriting(Rewriting::new(&archive(&(host, store, Some(user))), &to.0)))
    })?;
    native.set("rewriting", rewriting)?;
    let ids = RefCell::new(Ids::new(Rc::new(OsRandom)));
    native.set("item_key", lua.create_function(move |_, now: f64| Ok(ids.borrow_mut().next(now).to_string()))?)
}
