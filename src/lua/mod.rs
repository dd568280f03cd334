//! The binding: what `require "audit_core"` gives to Lua.
//!
//! | export | |
//! |---|---|
//! | `new(environment) -> log` | an audit log; see `glue.lua` for both tables |
//! | `detail(name, attr, text, children) -> stanza` | something to add to an event |
//! | `period(value) -> seconds \| nil, allowed` | a length of time as Prosody's options write it |
//! | `command(arguments) -> command \| nil, message` | the arguments of `prosodyctl mod_audit` |
//! | `help() -> text` | the help of that command |
//! | `terminal_width() -> cells \| nil` | how wide the terminal at standard output is |
//! | `version` | the version of this library |

mod convert;
mod export;
mod reader;
mod recorder;

use mlua::prelude::*;

/// The embedded Lua: everything that calls a store, since a driver may yield and a yield can't cross Rust.
const GLUE: &str = include_str!("glue.lua");

/// Makes the table of exports.
///
/// # Errors
///
/// [`LuaError`] where Lua is out of memory.
pub fn exports(lua: &Lua) -> LuaResult<LuaTable> {
    let native = export::functions(lua)?;
    native.set("recorder", lua.create_function(|lua, ()| recorder::functions(lua))?)?;
    native.set("query", lua.create_function(reader::query)?)?;
    native.set("table", lua.create_function(reader::table)?)?;
    lua.load(GLUE).set_name("=audit_core").call(native)
}

#[cfg(feature = "module")]
#[allow(unsafe_code)] // The entry point that Lua calls has a C name and signature; the macro writes it.
mod entry {
    use mlua::prelude::*;

    #[mlua::lua_module(name = "audit_core")]
    fn open(lua: &Lua) -> LuaResult<LuaTable> {
        super::exports(lua)
    }
}
