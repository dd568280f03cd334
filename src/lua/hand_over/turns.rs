//! The turns of hosts, as an object of the embedded Lua.

use mlua::prelude::*;

use crate::journal::turns::{Timer, Turns};
use crate::lua::value::Host;

/// `turns() -> turns`
pub(crate) fn new(lua: &Lua, (): ()) -> LuaResult<LuaAnyUserData> {
    lua.create_userdata(Turns::default())
}

impl LuaUserData for Turns {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // ask(host, now, delay) -> delay of a new timer | nil: no timer is needed, the time that it is for | nil: for a turn
        methods.add_method_mut("ask", |_, this, (Host(host), now, delay): (Host, f64, f64)| {
            Ok(match this.ask(&host, now, delay) {
                None => (None, None),
                Some(Timer::Turn) => (Some(0.0), None),
                Some(Timer::Host(due)) => (Some(delay), Some(due)),
            })
        });
        // rings(host, time) -> whether a timer for a turn is needed
        methods.add_method_mut("rings", |_, this, (Host(host), due): (Host, f64)| Ok(this.rings(&host, due)));
        // take() -> host | nil, whether a further timer for a turn is needed
        methods.add_method_mut("take", |_, this, ()| Ok(this.take().unzip()));
    }
}
