//! The recorder, as plain functions for the embedded Lua that share one state. Calling a method of a userdata would take twice as long.

pub(crate) mod alerts;
pub(crate) mod entry;
pub(crate) mod flood;

use std::cell::RefCell;
use std::rc::Rc;

use mlua::prelude::*;

use crate::catalogue;
use crate::filter::pattern::Pattern;
use crate::flood::is_unauthenticated;
use crate::lua::clock::LuaClock;
use crate::lua::functions::Functions;
use crate::lua::person::person_on;
use crate::lua::read::{LuaFollower, LuaQuery, LuaRequest};
use crate::lua::value::{Host, Number, Text, option, partition, partitions, path};
use crate::options::{MoveFrom, Settings, UnknownNames, Value, Write};
use crate::query::account::horizon;
use crate::query::{Conditions, Follower, Request, Seeks};
use crate::recorder::trouble::{Fate, Trouble};
use crate::recorder::{Recorder, occurred};
use crate::time::date_time;
use crate::time::day;

/// Adds the functions that record and read.
pub(crate) fn add(functions: &Functions<'_>) -> LuaResult<()> {
    let lua = functions.lua();

    // configure(host, get_option, path of the key for hashes | nil) -> list of refused values, whether entries are written directly,
    // whether names that are no accounts are hashed, the driver that entries are moved from | false: none | nil: the default
    let recorder = functions.recorder();
    let configure = lua.create_function(move |lua, (Host(host), get, key): (Host, LuaFunction, Text)| {
        // The options are read before the recorder is borrowed: reading them runs Lua.
        let (settings, refused) = Settings::read(|name| get.call::<LuaValue>(name).map_or(Value::Nil, |value| option(&value)));
        let direct = settings.write == Write::Direct;
        let hashes_names = settings.unknown_names == UnknownNames::Hash;
        let move_from = match &settings.move_from {
            MoveFrom::Default => LuaValue::Nil,
            MoveFrom::Nowhere => LuaValue::Boolean(false),
            MoveFrom::Driver(name) => LuaValue::String(lua.create_string(name)?),
        };
        recorder.borrow_mut().configure(&host, settings, key.bytes().map(|key| path(&key).to_owned()));
        Ok((refused, direct, hashes_names, move_from))
    })?;
    functions.set("configure", configure)?;

    // class(host, event type) -> the name of its retention class
    functions.add("class", |recorder, (Host(host), event_type): (Host, Text)| {
        recorder
            .class_of(&host, &event_type.bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
            .to_owned()
    })?;
    // events(host) -> the registry of event types as text, with the classes of the host
    functions.add("events", |recorder, Host(host): Host| catalogue::listing(|event_type| recorder.class_of(&host, event_type)))?;
    // unreadable(host) -> how many events had an address that can't be read
    functions.add("unreadable", |recorder, Host(host): Host| recorder.unreadable(&host))?;
    // alias(host, name) -> the text that replaces a name that is not an account
    functions.add("alias", |recorder, (Host(host), name): (Host, LuaString)| recorder.alias(&host, &name.to_string_lossy()).to_string())?;
    // is_unauthenticated(event type) -> whether unauthenticated peers can cause it
    functions.add("is_unauthenticated", |_, kind: String| is_unauthenticated(&kind))?;
    // asked(host, event type, filter) -> the filter of a reading, with only as much of addresses as may be stored
    functions.add("asked", |recorder, (Host(host), kind, filter): (Host, String, LuaString)| {
        recorder.asked(&host, &kind, &filter.to_string_lossy())
    })?;
    // occurred(timestamp | nil, now, when) -> text | nil
    functions.add("occurred", |_, (timestamp, now, when): (Number, f64, i64)| occurred(timestamp.0, now, when))?;

    // forget(host | nil)
    functions.add("forget", |recorder, host: Option<Host>| recorder.forget(host.as_ref().map(|Host(host)| host.as_str())))?;
    // use_single(host)
    functions.add("use_single", |recorder, Host(host): Host| recorder.use_single(&host))?;
    // failed(host, cause, where the entry waits: "journal" | "memory" | nil: it is lost, now) -> line | nil
    functions.add("failed", |recorder, (Host(host), cause, fate, now): (Host, Text, Option<String>, f64)| {
        let cause = cause.bytes().map_or_else(|| "unknown cause".to_owned(), |cause| String::from_utf8_lossy(&cause).into_owned());
        let fate = match fate.as_deref() {
            Some("journal") => Fate::Waits,
            Some(_) => Fate::InMemory,
            None => Fate::Lost,
        };
        recorder.trouble.failed(&host, &cause, fate, now)
    })?;
    // lose(host, count)
    functions.add("lose", |recorder, (Host(host), count): (Host, u64)| recorder.trouble.lose(&host, count))?;
    // missing(host, count) -> line | nil
    functions.add("missing", |recorder, (Host(host), count): (Host, u64)| recorder.trouble.missing(&host, count))?;
    // ended(host, count, whether it is kept, cause | nil) -> line | nil
    functions.add("ended", |_, (Host(host), count, kept, cause): (Host, u64, bool, Option<String>)| {
        Trouble::ended(&host, count, kept, cause.as_deref())
    })?;
    // stored(host) -> line | nil
    functions.add("stored", |recorder, Host(host): Host| recorder.trouble.stored(&host))?;
    // lost() -> number
    functions.add("lost", |recorder, ()| recorder.trouble.lost())?;
    // warnings() -> list of lines
    functions.add("warnings", |recorder, ()| recorder.take_warnings())?;

    // query(asked, archive users, waiting since | nil, now, how long a page may take | nil, what the driver finds: "times" | "rows" | nil,
    // clock | nil, whether another driver has an archive user nil too, how long using a batch may take | nil) -> query
    let recorder = functions.recorder();
    type QueryArguments = (
        LuaUserDataRef<LuaRequest>,
        LuaTable,
        Option<f64>,
        f64,
        Option<f64>,
        Option<String>,
        Option<LuaUserDataRef<LuaClock>>,
        bool,
        Option<f64>,
    );
    let query = lua.create_function(move |_, (asked, users, waiting_since, now, slice, seeks, kept, former, batch): QueryArguments| {
        let recorder = recorder.borrow();
        let host = &asked.0.host;
        let retention = recorder.shown(host, &partitions(&users), now, kept.as_ref().map(|kept| &kept.0));
        let request = with_hashes(&recorder, &asked);
        let seeks = match seeks.as_deref() {
            Some("times") => Seeks::Times,
            Some("rows") => Seeks::Rows,
            _ => Seeks::Nothing,
        };
        let conditions = Conditions { retention, now, slice, seeks };
        Ok(LuaQuery::new(request, &users, waiting_since, conditions, former, batch))
    })?;
    functions.set("query", query)?;
    // account_horizon(host, now) -> since when the beginnings of accounts are in the log | nil
    functions.add("account_horizon", |recorder, (Host(host), now): (Host, f64)| horizon(&recorder.settings(&host).retention, now))?;
    // follower(asked) -> following
    functions.add("follower", |recorder, asked: LuaUserDataRef<LuaRequest>| LuaFollower {
        host: asked.0.host.clone(),
        follower: Rc::new(RefCell::new(Follower::new(with_hashes(recorder, &asked)))),
    })?;
    // look(following, archive users, whether entries wait, now) -> query
    functions.add("look", |recorder, (following, users, waits, now): (LuaUserDataRef<LuaFollower>, LuaTable, bool, f64)| {
        LuaQuery::look(&following, &users, waits, recorder.settings(&following.host).retention.clone(), now)
    })?;
    // may_hold(archive user, time) -> whether it is a partition that may have entries of that time or later
    functions.add("may_hold", |_, (name, time): (Text, f64)| partition(&name).is_some_and(|partition| partition.day >= day(time)))?;
    // date_time(time) -> text | nil
    functions.add("date_time", |_, time: f64| date_time(time))?;
    Ok(())
}

/// The request. An address in it also matches its hash, and a name also matches its alias, if names are stored as hashes.
fn with_hashes(recorder: &Recorder, asked: &LuaRequest) -> Request {
    let mut request = asked.0.request.clone();
    let whole = request.filter.networks.iter().filter(|network| network.prefix_len() == network.max_prefix_len());
    let hash = |network: &ipnet::IpNet| Some(recorder.hash(&asked.0.host, &network.addr().to_string())?.0);
    let hashes: Vec<String> = whole.filter_map(hash).collect();
    request.filter.addresses.extend(hashes);
    for alias in recorder.aliases(&asked.0.host, asked.0.request.filter.users.iter().filter_map(Pattern::word)) {
        request.filter.aliases.push(alias.to_string());
        request.filter.names.push(alias.hash);
    }
    if let Some(person) = request.filter.person.take() {
        request.filter.person = Some(person_on(recorder, &asked.0.host, person));
    }
    request
}
