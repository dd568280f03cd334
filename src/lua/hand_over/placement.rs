//! Where an entry goes, as functions of the recorder.

use mlua::prelude::*;

use crate::archive::placement::PlacementStep;
use crate::lua::functions::Functions;
use crate::lua::value::{Host, Number, partitions};

/// Adds the functions to a recorder's.
pub(crate) fn add(functions: &Functions<'_>) -> LuaResult<()> {
    // place(host, class, now, number of entries appended since the last answer | nil: not known)
    //   -> "append", partition | nil, when, how many entries may be appended there | nil: any number
    //    | "list": list the archive users of the store, call listed(), and ask again
    //    | "survey", partition | nil, most: look for the newest entry and count up to `most`, call surveyed(), and ask again
    //    | "full", partition, number of entries, whether its class has a limit: ask again
    let recorder = functions.recorder();
    type PlaceArguments = (Host, String, f64, Option<u64>);
    let place = functions.lua().create_function(move |lua, (Host(host), class, now, appended): PlaceArguments| {
        let step = recorder.borrow_mut().place(&host, &class, now, appended);
        match step {
            PlacementStep::List => "list".into_lua_multi(lua),
            PlacementStep::Survey { partition, most } => ("survey", partition, most).into_lua_multi(lua),
            PlacementStep::Full { partition, entries, is_limited } => ("full", partition, entries, is_limited).into_lua_multi(lua),
            PlacementStep::Append { partition, when, left } => ("append", partition, when, left).into_lua_multi(lua),
        }
    })?;
    functions.set("place", place)?;
    // listed(host, archive users, now, those to which nothing may be appended | nil)
    functions.add("listed", |recorder, (Host(host), users, now, closed): (Host, LuaTable, f64, Option<LuaTable>)| {
        let closed = closed.as_ref().map(partitions).unwrap_or_default();
        let placement = recorder.placement(&host);
        placement.listed(partitions(&users), now);
        placement.closed(closed);
    })?;
    // surveyed(host, class, now, time of the newest entry | nil, number of entries)
    functions.add("surveyed", |recorder, (Host(host), class, now, newest, entries): (Host, String, f64, Number, u64)| {
        recorder.placement(&host).surveyed(&class, now, newest.0, entries)
    })?;
    // full(host, class, now): the driver has no room there -> whether there is another place
    functions.add("full", |recorder, (Host(host), class, now): (Host, String, f64)| recorder.placement(&host).full(&class, now))?;
    // appended(host, class, entries | nil: not known): they were appended since the last step, and the next one is not told
    functions.add("appended", |recorder, (Host(host), class, entries): (Host, String, Option<u64>)| {
        recorder.placement(&host).appended(&class, entries);
    })?;
    // pruned(host): archive user nil may have room again
    functions.add("pruned", |recorder, Host(host): Host| recorder.placement(&host).pruned())
}
