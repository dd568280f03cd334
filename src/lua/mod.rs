//! The binding: what `require "audit_core"` gives to Lua.
//!
//! | export | |
//! |---|---|
//! | `new(environment) -> log` | an audit log; `glue.lua` describes both tables |
//! | `detail(name, attr, text, children) -> stanza` | something to add to an event |
//! | `period(value) -> seconds \| nil, allowed` | a length of time as Prosody's options write it |
//! | `command(arguments, now) -> command \| nil, message` | the arguments of `prosodyctl mod_audit` |
//! | `nearest(name, list of names) -> name \| nil` | the name that was meant |
//! | `flags() -> list` | the flags of the command: name, value, negatable, meaning, group |
//! | `writing(asked, width, coloured) -> writing` | entries in the format that was asked for |
//! | `new_file(path) -> file \| nil, message` | a file that appears whole or not at all |
//! | `help() -> text` | the help of that command |
//! | `event_types() -> list` | the registry of event types: name, module, meaning, since, details |
//! | `shell_line(line, hosts, commands) -> text` | a line of Prosody's shell, without what is secret in it |
//! | `shell_commands() -> list` | the names of the commands of which it is known what they take |
//! | `shows_field(name, type) -> boolean` | whether the value of a form's field may be recorded |
//! | `field_value(name, value, hosts) -> text` | what may be recorded of such a value |
//! | `terminal_width() -> cells \| nil` | how wide the terminal at standard output is |
//! | `uptime(now) -> seconds, boot \| nil` | how long the machine has been up, and the name of that start |
//! | `written_elsewhere(now, uptime, folders, files) -> time \| nil` | when something was written last that is not ours |
//! | `is_terminal("stdout" \| "stderr") -> boolean` | whether that is a terminal |
//! | `exit_on_interrupt() -> boolean` | lets Ctrl-C end the process |
//! | `version` | the version of this library |

mod clock;
mod convert;
mod embedded;
mod export;
mod flood;
mod journal;
mod patience;
mod pruning;
mod reader;
mod recorder;
mod signals;

use mlua::prelude::*;

/// The embedded Lua, in the order in which it is loaded; each chunk is given a table of what those before it returned, by
/// name. Everything that calls a store is here, since a driver may yield and a yield can't cross Rust.
const CHUNKS: &[(&str, &str)] = &[
    ("stanza", include_str!("stanza.lua")),
    ("bounds", include_str!("bounds.lua")),
    ("store", include_str!("store.lua")),
    ("embedded", include_str!("embedded.lua")),
    ("trust", include_str!("trust.lua")),
    ("collector", include_str!("collector.lua")),
    ("classes", include_str!("classes.lua")),
    ("writer", include_str!("writer.lua")),
    ("queue", include_str!("queue.lua")),
    ("flood", include_str!("flood.lua")),
    ("clock", include_str!("clock.lua")),
    ("strangers", include_str!("strangers.lua")),
    ("slices", include_str!("slices.lua")),
    ("cut", include_str!("cut.lua")),
    ("older", include_str!("older.lua")),
    ("prune", include_str!("prune.lua")),
    ("schedule", include_str!("schedule.lua")),
    ("read", include_str!("read.lua")),
    ("names", include_str!("names.lua")),
    ("glue", include_str!("glue.lua")),
];

/// Makes the table of exports.
///
/// # Errors
///
/// [`LuaError`] where Lua is out of memory.
pub fn exports(lua: &Lua) -> LuaResult<LuaTable> {
    let native = export::functions(lua)?;
    native.set("recorder", lua.create_function(|lua, ()| recorder::functions(lua))?)?;
    native.set("writing", lua.create_function(reader::writing)?)?;
    native.set("new_file", lua.create_function(reader::new_file)?)?;
    native.set("journal", lua.create_function(journal::open)?)?;
    native.set("is_owned", lua.create_function(journal::is_owned)?)?;
    native.set("lists", lua.create_function(embedded::lists)?)?;
    native.set("is_root", lua.create_function(embedded::is_root)?)?;
    native.set("give_from_root", lua.create_function(embedded::give_from_root)?)?;
    native.set("patience", lua.create_function(patience::new)?)?;
    native.set("lock", lua.create_function(pruning::lock)?)?;
    native.set("sync", lua.create_function(pruning::sync)?)?;
    native.set("clock", lua.create_function(clock::open)?)?;
    native.set("uptime", lua.create_function(clock::uptime)?)?;
    native.set("newest_file", lua.create_function(clock::newest_file)?)?;
    native.set("written_elsewhere", lua.create_function(clock::written_elsewhere)?)?;
    native.set("new_key", lua.create_function(recorder::new_key)?)?;
    native.set("read_journal", lua.create_function(journal::read)?)?;
    let chunks = lua.create_table()?;
    for (name, source) in CHUNKS {
        let value: LuaValue = lua.load(*source).set_name(format!("=audit_core/{name}.lua")).call((&native, &chunks))?;
        chunks.set(*name, value)?;
    }
    chunks.get("glue")
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
