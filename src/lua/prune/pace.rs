//! The size of the batches of pruning, as objects of the embedded Lua.

use mlua::prelude::*;

use crate::archive::slices;
use crate::pace::Pace;
use crate::person;

/// Adds `row_pace(whether the store is native) -> pace`, `span_pace() -> pace` and `slices = { slice =, rest =, native_slice =,
/// native_rest =, damaged =, settle =, ask_again =, busy = }`, with times in seconds, and `erasures = { tries =, pause = }`.
pub(crate) fn add(lua: &Lua, native: &LuaTable) -> LuaResult<()> {
    native.set("row_pace", lua.create_function(|lua, is_native: bool| lua.create_userdata(slices::rows(is_native)))?)?;
    native.set("span_pace", lua.create_function(|lua, ()| lua.create_userdata(slices::span()))?)?;
    let numbers = lua.create_table()?;
    numbers.set("slice", slices::SLICE)?;
    numbers.set("rest", slices::REST)?;
    numbers.set("native_slice", slices::NATIVE_SLICE)?;
    numbers.set("native_rest", slices::NATIVE_REST)?;
    numbers.set("damaged", slices::DAMAGED)?;
    numbers.set("settle", slices::SETTLE)?;
    numbers.set("ask_again", slices::ASK_AGAIN)?;
    numbers.set("busy", slices::BUSY)?;
    native.set("slices", numbers)?;
    let erasures = lua.create_table()?;
    erasures.set("tries", person::TRIES)?;
    erasures.set("pause", person::PAUSE)?;
    native.set("erasures", erasures)
}

impl LuaUserData for Pace {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // size() -> the size of the next batch
        methods.add_method("size", |_, this, ()| Ok(this.size()));
        // took(seconds): a batch of that size took so long
        methods.add_method_mut("took", |_, this, seconds: f64| {
            this.took(seconds);
            Ok(())
        });
    }
}
