//! Adds functions to a recorder's table for Lua. They are plain functions that share one state, because calling a method of a userdata
//! would take twice as long.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::prelude::*;

use crate::recorder::Recorder;

/// The functions of a recorder, as they are made.
pub(crate) struct Functions<'lua> {
    lua: &'lua Lua,
    recorder: Rc<RefCell<Recorder>>,
    table: LuaTable,
}

impl<'lua> Functions<'lua> {
    /// No functions yet, over a new recorder.
    pub(crate) fn new(lua: &'lua Lua) -> LuaResult<Self> {
        Ok(Self { lua, recorder: Rc::default(), table: lua.create_table()? })
    }

    /// The table of the functions.
    pub(crate) fn into_table(self) -> LuaTable {
        self.table
    }

    pub(crate) fn lua(&self) -> &Lua {
        self.lua
    }

    pub(crate) fn recorder(&self) -> Rc<RefCell<Recorder>> {
        Rc::clone(&self.recorder)
    }

    pub(crate) fn set(&self, name: &str, function: LuaFunction) -> LuaResult<()> {
        self.table.set(name, function)
    }

    pub(crate) fn add<A: FromLuaMulti, R: IntoLuaMulti>(
        &self,
        name: &str,
        function: impl Fn(&mut Recorder, A) -> R + 'static,
    ) -> LuaResult<()> {
        let recorder = Rc::clone(&self.recorder);
        let function = self.lua.create_function(move |_, arguments: A| Ok(function(&mut recorder.borrow_mut(), arguments)))?;
        self.table.set(name, function)
    }
}
