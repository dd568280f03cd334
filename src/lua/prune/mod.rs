//! Pruning, as functions of the recorder for the embedded Lua.

pub(crate) mod limits;
pub(crate) mod pace;
mod rewrite;
pub(crate) mod schedule;

use std::fs::File;
use std::path::Path;

use mlua::prelude::*;

use crate::archive::moving::Move;
use crate::archive::partition::Partition;
use crate::archive::pruning::visible;
use crate::file::lock::Lock;
use crate::lua::clock::LuaClock;
use crate::lua::functions::Functions;
use crate::lua::hand_over::parts::Opened;
use crate::lua::value::{Host, Text, names, partition, partitions};
use crate::time::period::Period;

/// Adds the functions to a recorder's.
pub(crate) fn add(functions: &Functions<'_>, opened: &Opened) -> LuaResult<()> {
    rewrite::add(functions, opened)?;
    let recorder = functions.recorder();
    type PlanArguments = (Host, LuaTable, bool, f64, Option<LuaUserDataRefMut<LuaClock>>);
    // plan(host, archive users, whether nil is empty, now, clock | nil) -> what to do. If the clock is in doubt, the plan has nothing
    // that depends on the time.
    let plan = functions.lua().create_function(move |lua, (Host(host), users, old_is_empty, now, mut kept): PlanArguments| {
        let mut recorder = recorder.borrow_mut();
        let all = partitions(&users);
        let plan = recorder.plan(&host, &all, old_is_empty, now, kept.as_mut().map(|kept| &mut kept.0));
        let retention = &recorder.settings(&host).retention;
        let result = lua.create_table()?;
        result.set("unfinished", names(&plan.unfinished))?;
        result.set("markers", names(&plan.markers))?;
        result.set("cut", names(&plan.cut))?;
        for (name, classes) in [("expired", &plan.expired), ("limited", &plan.limited)] {
            let list = lua.create_table()?;
            for (class, partitions) in classes {
                let own = lua.create_table()?;
                own.set("class", class.as_str())?;
                own.set("partitions", names(partitions))?;
                list.push(own)?;
            }
            result.set(name, list)?;
        }
        let mut former: Vec<&str> = all.iter().filter(|partition| !partition.is_marker()).map(Partition::home).collect();
        former.retain(|class| !retention.has(class));
        former.sort_unstable();
        former.dedup();
        result.set("former", former)?;
        result.set("next", plan.next)?;
        Ok(result)
    })?;
    functions.set("plan", plan)?;

    // limit(host, class) -> how many entries the class keeps | nil: it has no limit
    functions.add("limit", |recorder, (Host(host), class): (Host, String)| recorder.settings(&host).retention.rules(&class).limit)?;
    // room(host, class) -> how many entries a partition takes, whether the class has a limit
    functions.add("room", |recorder, (Host(host), class): (Host, String)| {
        let settings = recorder.settings(&host);
        let rules = settings.retention.rules(&class);
        (rules.room(), rules.limit.is_some())
    })?;
    // is_past(host, class, when, now, clock | nil) -> whether an entry has expired
    functions.add(
        "is_past",
        |recorder, (Host(host), class, when, now, kept): (Host, String, f64, f64, Option<LuaUserDataRef<LuaClock>>)| {
            let written = when + kept.map_or(0.0, |kept| kept.0.timeline(now).shift_of_time(when));
            recorder.settings(&host).retention.cutoff(&class, now).is_some_and(|cutoff| written < cutoff)
        },
    )?;
    // last_cutoff(host, now, clock | nil, oldest | nil) -> the time before which entries of every class have expired, if no entry is
    // stored under an earlier time than `oldest` | nil
    type Cutoff = (Host, f64, Option<LuaUserDataRef<LuaClock>>, Option<f64>);
    functions.add("last_cutoff", |recorder, (Host(host), now, kept, oldest): Cutoff| {
        let oldest = oldest.unwrap_or(f64::NEG_INFINITY);
        let cutoff = recorder.settings(&host).retention.last_cutoff(now);
        cutoff.filter(|cutoff| kept.is_none_or(|kept| !kept.0.timeline(now).was_behind(oldest, *cutoff)))
    })?;
    // first_cutoff(host, now) -> the time before which something has expired | nil
    functions.add("first_cutoff", |recorder, (Host(host), now): (Host, f64)| recorder.settings(&host).retention.first_cutoff(now))?;
    // in_use(host) -> partitions that this process writes to
    functions
        .add("in_use", |recorder, Host(host): Host| names(&recorder.placement(&host).archive().in_use().cloned().collect::<Vec<_>>()))?;
    // clock_trust(host) -> for how many seconds a clock must agree
    functions.add("clock_trust", |recorder, Host(host): Host| recorder.settings(&host).clock_trust.seconds())?;
    // clock_way_out(host) -> a sentence that says when entries are removed again
    functions.add("clock_way_out", |recorder, Host(host): Host| {
        let by_hand = format!("prosodyctl mod_audit --prune --trust-clock {host}");
        match recorder.settings(&host).clock_trust {
            Period::Seconds(_) => format!("It goes on when the clock has agreed for audit_log_clock_trust, or by {by_hand}"),
            Period::Never => format!("It goes on by {by_hand}"),
        }
    })?;
    // before(time) -> the last whole second before it
    functions.add("before", |_, time: f64| time.ceil() - 1.0)?;
    // is_single(host) -> whether entries go to archive user nil
    functions.add("is_single", |recorder, Host(host): Host| recorder.placement(&host).archive().is_single())?;

    // visible(archive users, whether nil is empty) -> those that hold entries
    functions.add("visible", |_, (users, old_is_empty): (LuaTable, bool)| names(&visible(&partitions(&users), old_is_empty)))?;
    // is_moving(archive users) -> whether a move of archive user nil is not over
    functions.add("is_moving", |_, users: LuaTable| partitions(&users).iter().any(Partition::is_marker))?;
    // new_move(archive users) -> the next move of archive user nil
    functions.add("new_move", |_, users: LuaTable| Moving(Move::new(&partitions(&users))))?;
    // move_of(marker) -> the move of its generation | nil
    functions.add("move_of", |_, marker: Text| partition(&marker).map(|marker| Moving(Move::of(marker.number))))?;
    // place_moved(move, host, class, when) -> partition, the time under which to append
    functions.add("place_moved", |recorder, (mut moving, Host(host), class, when): (LuaUserDataRefMut<Moving>, Host, String, f64)| {
        let (partition, when) = moving.0.place(&class, recorder.room(&host, &class), when);
        (partition.to_owned(), when)
    })?;
    // cut_name(partition) -> the name of its copy in which addresses are shortened or removed
    functions.add("cut_name", |_, name: Text| partition(&name).map(|partition| partition.cut().to_string()))?;
    // home(partition) -> the class whose entries it holds
    functions.add("home", |_, name: Text| partition(&name).map(|partition| partition.home().to_owned()))?;
    // hash(host, address) -> its hash, the key's name | nil
    functions.add("hash", |recorder, (Host(host), ip): (Host, Text)| {
        let ip = ip.bytes().map(|ip| String::from_utf8_lossy(&ip).into_owned()).unwrap_or_default();
        recorder.hash(&host, &ip).unzip()
    })?;
    // look_at_key(host) -> whether its file has changed, names of the key that was replaced and of the new one | nil
    functions.add("look_at_key", |recorder, Host(host): Host| {
        let looked = recorder.look_at_key(&host);
        let (old, new) = looked.clone().flatten().unzip();
        (looked.is_some(), old, new)
    })?;
    Ok(())
}

/// `lock(path) -> lock | nil, message`
pub(crate) fn lock(lua: &Lua, path: LuaString) -> LuaResult<(Option<LuaAnyUserData>, Option<String>)> {
    match Lock::take(crate::lua::value::path(&path.as_bytes())) {
        Ok(lock) => Ok((Some(lua.create_userdata(LuaLock(Some(lock)))?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

/// `sync(path) -> true | nil, message`: forces a file to disk.
pub(crate) fn sync(_: &Lua, path: LuaString) -> LuaResult<(Option<bool>, Option<String>)> {
    let path = path.as_bytes();
    let path: &Path = crate::lua::value::path(&path);
    Ok(match File::open(path).and_then(|file| file.sync_all()) {
        Ok(()) => (Some(true), None),
        Err(error) => (None, Some(format!("{}: {error}", path.display()))),
    })
}

/// A move of archive user nil.
struct Moving(Move);

impl LuaUserData for Moving {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // marker(now) -> partition
        methods.add_method("marker", |_, this, now: f64| Ok(this.0.marker(now).to_string()));
        // made() -> names of the partitions that were made
        methods.add_method("made", |_, this, ()| Ok(this.0.made().to_vec()));
    }
}

/// A lock, until it is released.
struct LuaLock(Option<Lock>);

impl LuaUserData for LuaLock {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        methods.add_method_mut("release", |_, this, ()| {
            this.0 = None;
            Ok(())
        });
    }
}
