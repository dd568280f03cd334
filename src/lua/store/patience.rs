//! How long to wait for a database, as an object of the embedded Lua.

use mlua::prelude::*;

use crate::archive::patience::Patience;

/// `patience(may_wait) -> patience`
pub(crate) fn new(lua: &Lua, may_wait: bool) -> LuaResult<LuaAnyUserData> {
    lua.create_userdata(Patience::new(may_wait))
}

impl LuaUserData for Patience {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // bounds() -> milliseconds for a lock, milliseconds for a statement, seconds for a connection
        methods.add_method("bounds", |_, this, ()| {
            let bounds = this.bounds();
            Ok((bounds.lock, bounds.statement, bounds.connect))
        });
        // wait(now) -> seconds, 0 if the database may be asked
        methods.add_method("wait", |_, this, now: f64| Ok(this.wait(now)));
        // unanswered(now, seconds that it took)
        methods.add_method_mut("unanswered", |_, this, (now, took): (f64, f64)| {
            this.unanswered(now, took);
            Ok(())
        });
        methods.add_method_mut("answered", |_, this, ()| {
            this.answered();
            Ok(())
        });
        methods.add_method_mut("try_again", |_, this, ()| {
            this.try_again();
            Ok(())
        });
    }
}
