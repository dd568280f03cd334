//! The hand-over of a journal's entries to the driver "audit", as a function of the recorder. The bytes of the entries don't go through
//! Lua.

use std::time::Instant;

use mlua::prelude::*;

use super::Owned;
use crate::filter::shape::kind;
use crate::lua::functions::Functions;
use crate::lua::store::database::Driver;
use crate::lua::value::Host;
use crate::recorder::hand_over::{Bounds, FullPartition, HandOverError, Target};

/// Adds the function to a recorder's.
pub(crate) fn add(functions: &Functions<'_>) -> LuaResult<()> {
    // hand_over(host, store, journal, database, entries, now, deadline) -> how many entries the store took, list of the partitions that
    // take no more: the name, how many entries each has, whether its class has a limit
    //    | nil, message: it took none
    // Reports to the journal, too. If another process writes to the database, the slice is over.
    type Arguments = (Host, String, LuaUserDataRef<Owned>, LuaUserDataRefMut<Driver>, usize, f64, f64);
    let recorder = functions.recorder();
    let hand_over = move |lua: &Lua, (Host(host), store, owned, mut driver, entries, now, deadline): Arguments| {
        let began = Instant::now();
        let elapsed = || began.elapsed().as_secs_f64();
        let bounds = Bounds { entries, goes_on: &|| now + elapsed() < deadline };
        let target = Target { host: &host, store: &store, kind: kind::ELEMENT };
        let mut kept = owned.kept();
        let (journal, hand_over) = kept.both()?;
        let result = recorder.borrow_mut().hand_over(target, journal, hand_over, &mut driver.database, &bounds);
        if let Err(HandOverError::Storage(error)) = &result {
            driver.database.notice(error);
        }
        match result {
            Ok(done) => {
                hand_over.handed_over(now + elapsed(), done.entries, done.entries);
                (done.entries, full(lua, done.full)?).into_lua_multi(lua)
            }
            Err(HandOverError::Storage(error)) if error.is_busy() && hand_over.blocked(now) => (0, full(lua, vec![])?).into_lua_multi(lua),
            Err(error) => (LuaNil, error.to_string()).into_lua_multi(lua),
        }
    };
    functions.set("hand_over", functions.lua().create_function(hand_over)?)
}

fn full(lua: &Lua, partitions: Vec<FullPartition>) -> LuaResult<LuaTable> {
    let list = lua.create_table()?;
    for FullPartition { partition, entries, is_limited } in partitions {
        list.push(partition)?;
        list.push(entries)?;
        list.push(is_limited)?;
    }
    Ok(list)
}
