//! The binding: the table that `require "audit_core"` returns to Lua.
//!
//! | export | |
//! |---|---|
//! | `new(environment) -> log` | an audit log; `log/log.lua` describes both tables |
//! | `detail(name, attr, text, children) -> stanza` | an element to add to an event |
//! | `period(value) -> seconds \| nil, allowed` | a length of time as Prosody's options write it |
//! | `option(name, value) -> boolean or seconds, message \| nil` | an option that a module reads; the message says that the value is refused |
//! | `command(arguments, now) -> command \| nil, message` | the arguments of `prosodyctl mod_audit` |
//! | `nearest(name, list of names) -> name \| nil` | the most similar name |
//! | `flags() -> list` | the flags of the command: name, value, negatable, needs_process, meaning, group, list, field |
//! | `shell_help(stats, indent) -> text` | the flags of the shell's command for entries, or for totals |
//! | `reader() -> name, "login" \| "environment" \| nil` | who runs this process, and how that is known |
//! | `writing(asked, width, coloured) -> writing` | entries in the format that was asked for |
//! | `new_file(asked) -> file \| nil, message` | the file to write, which is created atomically |
//! | `help() -> text` | the help of that command |
//! | `event_types() -> list` | the registry of event types: name, module, meaning, since, details |
//! | `shell_line(line, hosts, commands) -> text` | a line of Prosody's shell, without what is secret in it |
//! | `shell_commands() -> list` | the names of the commands whose arguments are known |
//! | `shows_field(name, type) -> boolean` | whether the value of a form's field may be recorded |
//! | `field_value(name, value, hosts) -> text` | what may be recorded of such a value |
//! | `terminal_width() -> cells \| nil` | how wide the terminal at standard output is |
//! | `uptime(now) -> seconds, boot \| nil` | how long the machine has been up, and the name of that start |
//! | `written_elsewhere(now, uptime, folders, files) -> time \| nil` | when another program last wrote a file |
//! | `others_can_read(path) -> boolean` | whether other users of the machine can read a file, or the files in a folder |
//! | `is_terminal("stdin" \| "stdout" \| "stderr") -> boolean` | whether that is a terminal |
//! | `is_pipe_closed() -> boolean` | whether standard output is a pipe that nobody reads any more |
//! | `exit_on_interrupt() -> boolean` | lets Ctrl-C end the process |
//! | `sinks(value) -> list of sinks, list of refused values` | the option `audit_log_sinks`; `sink/mod.rs` describes a sink |
//! | `log_file(path) -> file \| nil, message` | a file that is appended to: `file:append(text)` |
//! | `write_position(path, text) -> true \| nil, message` | replaces a small file |
//! | `storage(environment) -> driver \| nil, message` | the archive driver `audit` of a host; `store/database.lua` describes both |
//! | `later(make, names) -> table of functions` | those of what `make()` returns at the first call; `log/later.lua` describes it |
//! | `web` | the log in a browser; `web/mod.rs` describes it |
//! | `version` | the version of this library |

mod clock;
mod evidence;
mod functions;
mod hand_over;
mod library;
mod log;
mod person;
mod prune;
mod read;
mod signals;
mod sink;
mod store;
mod transfer;
mod value;
mod web;

use mlua::prelude::*;

use crate::lua::hand_over::parts::Opened;
use crate::query::slices;

/// The embedded Lua. A chunk gets a table with the results of all chunks, by file name, and asks for those before it in this list only. All calls of a store are in Lua, because a driver may yield and a yield can't cross Rust.
const CHUNKS: &[(&str, &str)] = &[
    ("log/stanza", include_str!("log/stanza.lua")),
    ("store/bounds", include_str!("store/bounds.lua")),
    ("store/driver", include_str!("store/driver.lua")),
    ("store/sql", include_str!("store/sql.lua")),
    ("store/batch", include_str!("store/batch.lua")),
    ("store/page", include_str!("store/page.lua")),
    ("store/embedded", include_str!("store/embedded.lua")),
    ("store/trust", include_str!("store/trust.lua")),
    ("store/database", include_str!("store/database.lua")),
    ("hand_over/collector", include_str!("hand_over/collector.lua")),
    ("hand_over/writes", include_str!("hand_over/writes.lua")),
    ("log/entry", include_str!("log/entry.lua")),
    ("log/classes", include_str!("log/classes.lua")),
    ("hand_over/writer", include_str!("hand_over/writer.lua")),
    ("hand_over/pending", include_str!("hand_over/pending.lua")),
    ("hand_over/slice", include_str!("hand_over/slice.lua")),
    ("hand_over/reports", include_str!("hand_over/reports.lua")),
    ("hand_over/queue", include_str!("hand_over/queue.lua")),
    ("log/flood", include_str!("log/flood.lua")),
    ("clock/clock", include_str!("clock/clock.lua")),
    ("log/strangers", include_str!("log/strangers.lua")),
    ("prune/slices", include_str!("prune/slices.lua")),
    ("prune/turn", include_str!("prune/turn.lua")),
    ("prune/rewrite", include_str!("prune/rewrite.lua")),
    ("evidence/evidence", include_str!("evidence/evidence.lua")),
    ("prune/removal", include_str!("prune/removal.lua")),
    ("prune/older", include_str!("prune/older.lua")),
    ("prune/prune", include_str!("prune/prune.lua")),
    ("prune/schedule", include_str!("prune/schedule.lua")),
    ("person/remains", include_str!("person/remains.lua")),
    ("person/erase", include_str!("person/erase.lua")),
    ("transfer/marks", include_str!("transfer/marks.lua")),
    ("transfer/joined", include_str!("transfer/joined.lua")),
    ("transfer/rounds", include_str!("transfer/rounds.lua")),
    ("transfer/transfer", include_str!("transfer/transfer.lua")),
    ("read/read", include_str!("read/read.lua")),
    ("read/seals", include_str!("read/seals.lua")),
    ("read/verify", include_str!("read/verify.lua")),
    ("read/reader", include_str!("read/reader.lua")),
    ("read/names", include_str!("read/names.lua")),
    ("log/hosts", include_str!("log/hosts.lua")),
    ("log/record", include_str!("log/record.lua")),
    ("log/alerts", include_str!("log/alerts.lua")),
    ("log/later", include_str!("log/later.lua")),
    ("log/log", include_str!("log/log.lua")),
    ("log/exports", include_str!("log/exports.lua")),
];

/// The functions of a new recorder.
fn recorder(lua: &Lua, opened: &Opened) -> LuaResult<LuaTable> {
    let functions = functions::Functions::new(lua)?;
    log::add(&functions)?;
    log::entry::add(&functions, opened)?;
    log::flood::add(&functions)?;
    log::alerts::add(&functions)?;
    hand_over::placement::add(&functions)?;
    hand_over::cursor::add(&functions)?;
    #[cfg(feature = "storage")]
    hand_over::bytes::add(&functions)?;
    prune::add(&functions, opened)?;
    evidence::add(&functions)?;
    person::add(&functions, opened)?;
    Ok(functions.into_table())
}

/// Makes the table of exports.
///
/// # Errors
///
/// Returns [`LuaError`] if Lua is out of memory.
pub fn exports(lua: &Lua) -> LuaResult<LuaTable> {
    let native = library::functions(lua)?;
    let opened = Opened::default();
    hand_over::parts::add(lua, &native, &opened)?;
    let reading = opened.clone();
    native.set("recorder", lua.create_function(move |lua, ()| recorder(lua, &reading))?)?;
    native.set("writing", lua.create_function(read::writing)?)?;
    native.set("new_file", lua.create_function(read::output::new_file)?)?;
    let reading = opened.clone();
    native.set("journal", lua.create_function(move |lua, arguments| hand_over::open(lua, arguments, reading.clone()))?)?;
    native.set("parts", lua.create_table_from(hand_over::parts::ALL)?)?;
    native.set("event_bits", lua.create_table_from(log::entry::BITS)?)?;
    native.set("outcomes", lua.create_table_from(hand_over::outcome::ALL)?)?;
    native.set("turns", lua.create_function(hand_over::turns::new)?)?;
    native.set("awake", lua.create_function(hand_over::awake::new)?)?;
    native.set("is_owned", lua.create_function(hand_over::is_owned)?)?;
    native.set("owner", lua.create_function(hand_over::owner)?)?;
    native.set("lists", lua.create_function(store::embedded::lists)?)?;
    native.set("is_root", lua.create_function(store::embedded::is_root)?)?;
    native.set("others_can_read", lua.create_function(store::embedded::others_can_read)?)?;
    native.set("give_from_root", lua.create_function(store::embedded::give_from_root)?)?;
    native.set("patience", lua.create_function(store::patience::new)?)?;
    let element =
        lua.create_function(|lua, stanza| store::element::of_stanza(&stanza)?.map(|bytes| lua.create_string(bytes)).transpose())?;
    native.set("element", element)?;
    native.set("lock", lua.create_function(prune::lock)?)?;
    store::add(lua, &native)?;
    sink::add(lua, &native)?;
    #[cfg(feature = "storage")]
    store::database::add(lua, &native, &opened)?;
    native.set("reading_slice", slices::SLICE)?;
    native.set("reading_page", slices::PAGE)?;
    native.set("brief_slice", slices::BRIEF)?;
    native.set("beside_slice", slices::BESIDE)?;
    evidence::add_numbers(lua, &native)?;
    prune::pace::add(lua, &native)?;
    person::add_files(lua, &native)?;
    transfer::add(lua, &native)?;
    web::add(lua, &native)?;
    native.set("prune_schedule", lua.create_function(prune::schedule::new)?)?;
    native.set("limits", lua.create_function(prune::limits::new)?)?;
    native.set("sync", lua.create_function(prune::sync)?)?;
    native.set("clock", lua.create_function(clock::open)?)?;
    native.set("uptime", lua.create_function(clock::uptime)?)?;
    native.set("newest_file", lua.create_function(clock::newest_file)?)?;
    native.set("written_elsewhere", lua.create_function(clock::written_elsewhere)?)?;
    native.set("new_key", lua.create_function(library::new_key)?)?;
    native.set("evidence", lua.create_function(evidence::open)?)?;
    native.set("seal_key", lua.create_function(evidence::seals::is_key)?)?;
    native.set("new_seal", lua.create_function(evidence::seals::new_file)?)?;
    native.set("verify_evidence", lua.create_function(evidence::exported::verify)?)?;
    native.set("read_journal", lua.create_function(hand_over::read)?)?;
    let chunks = chunks(lua, &native)?;
    chunks.get("exports")
}

/// The table of the chunks' results. A chunk is loaded when its result is first asked for: Prosody's garbage collector looks at each
/// object again and again, also at those of code that a server rarely uses.
fn chunks(lua: &Lua, native: &LuaTable) -> LuaResult<LuaTable> {
    let chunks = lua.create_table()?;
    let native = native.clone();
    let load = lua.create_function(move |lua, (chunks, wanted): (LuaTable, LuaString)| {
        let wanted = wanted.to_string_lossy();
        let Some((name, source)) = CHUNKS.iter().find(|(name, _)| name.rsplit('/').next() == Some(&wanted)) else {
            return Ok(LuaNil);
        };
        let value: LuaValue = lua.load(*source).set_name(format!("=audit_core/{name}.lua")).call((&native, &chunks))?;
        chunks.raw_set(wanted, &value)?;
        Ok(value)
    })?;
    chunks.set_metatable(Some(lua.create_table_from([("__index", load)])?))?;
    Ok(chunks)
}

#[cfg(feature = "module")]
#[allow(unsafe_code)] // The entry point that Lua calls has a C name and signature; the macro writes it.
mod entry {
    use mlua::prelude::*;

    // Prosody sets no limit to Lua's memory. Without this, each string and table for Lua is made in a protected call, which takes five
    // times as long as the string.
    #[mlua::lua_module(name = "audit_core", skip_memory_check)]
    fn open(lua: &Lua) -> LuaResult<LuaTable> {
        super::exports(lua)
    }
}
