//! The journals that may have files open, as an object of the embedded Lua.

use mlua::prelude::*;

use crate::journal::awake::Awake;
use crate::lua::value::Host;

/// `awake() -> awake`
pub(crate) fn new(lua: &Lua, (): ()) -> LuaResult<LuaAnyUserData> {
    lua.create_userdata(Awake::default())
}

impl LuaUserData for Awake {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // touch(host, now) -> host | nil: the caller must call rest() of this host's journal
        methods.add_method_mut("touch", |_, this, (Host(host), now): (Host, f64)| Ok(this.touch(&host, now)));
        // is_idle(host, now) -> whether its journal may rest
        methods.add_method("is_idle", |_, this, (Host(host), now): (Host, f64)| Ok(this.is_idle(&host, now)));
        // leave(host): its journal rests, and nothing is pending in it
        methods.add_method_mut("leave", |_, this, Host(host): Host| {
            this.leave(&host);
            Ok(())
        });
        // hosts() -> list of hosts
        methods.add_method("hosts", |_, this, ()| Ok(this.hosts().into_iter().map(ToOwned::to_owned).collect::<Vec<String>>()));
    }
}
