//! Functions that do not need a log: cleaning text, options, the command's arguments.

use std::borrow::Cow;
use std::io::IsTerminal as _;

use mlua::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::NAMESPACE;
use crate::address::hash_key::{HashKey, HashKeyError};
use crate::archive::clock;
use crate::catalogue::{ACTOR_KINDS, EVENT_TYPES, UNKNOWN_ACTOR};
use crate::command::reader::Reader;
use crate::command::{Command, EvidenceCommand, FLAGS, Flag, Group, Lowercase, Stringprep, WebCommand, help, nearest, shell_help};
use crate::entry::text::{TextKind, clean, clean_jid, clean_name};
use crate::entry::{ascii, limits};
use crate::file::{Disk, ownership};
use crate::flood;
use crate::lua::read::LuaRequest;
use crate::lua::read::output::LuaOutput;
use crate::lua::signals;
use crate::lua::value::{option, path};
use crate::options::{ModuleValue, for_module, period};
use crate::random::OsRandom;
use crate::redact::{COMMANDS, KnownNames, field_value, is_shown_field, shell_line};

/// The functions, as a table.
pub(super) fn functions(lua: &Lua) -> LuaResult<LuaTable> {
    let exports = lua.create_table()?;
    exports.set("version", env!("CARGO_PKG_VERSION"))?;
    exports.set("namespace", NAMESPACE)?;
    exports.set("host_wide", limits::HOST_WIDE)?;
    exports.set("unknown", limits::UNKNOWN)?;
    exports.set("timing", timing(lua)?)?;
    exports.set("attribute_limit", limits::ATTRIBUTE)?;
    exports.set("text_limit", limits::TEXT)?;
    exports.set(
        "clean_attribute",
        lua.create_function(|lua, text: LuaString| cleaned(lua, text, |bytes| clean(bytes, TextKind::Attribute)))?,
    )?;
    exports.set("clean_text", lua.create_function(|lua, text: LuaString| cleaned(lua, text, |bytes| clean(bytes, TextKind::Text)))?)?;
    exports.set("clean_jid", lua.create_function(read_jid)?)?;
    exports.set("clean_name", lua.create_function(|lua, text: LuaString| cleaned(lua, text, clean_name))?)?;
    // ascii(text) -> the same in ASCII; in_ascii(payload) -> the payload of an entry in ASCII
    exports.set("ascii", lua.create_function(|_, text: LuaString| Ok(ascii::encoded(&text.to_string_lossy()).into_owned()))?)?;
    let in_ascii = lua.create_function(|lua, payload: LuaString| match ascii::encode(&payload.as_bytes()) {
        Some(encoded) => lua.create_string(encoded),
        None => Ok(payload),
    })?;
    exports.set("in_ascii", in_ascii)?;
    exports.set("period", lua.create_function(read_period)?)?;
    exports.set("option", lua.create_function(read_option)?)?;
    exports.set("command", lua.create_function(read_command)?)?;
    exports.set(
        "nearest",
        lua.create_function(|_, (typed, known): (String, Vec<String>)| {
            Ok(nearest(&typed, known.iter().map(String::as_str)).map(ToOwned::to_owned))
        })?,
    )?;
    exports.set("actor_kinds", ACTOR_KINDS)?;
    exports.set("unknown_actor", UNKNOWN_ACTOR)?;
    exports.set("event_types", lua.create_function(event_types)?)?;
    exports.set("shell_line", lua.create_function(redact_line)?)?;
    exports.set("shell_commands", lua.create_function(|_, ()| Ok(COMMANDS.iter().map(|command| command.name).collect::<Vec<_>>()))?)?;
    exports.set("shows_field", lua.create_function(shows_field)?)?;
    exports.set("field_value", lua.create_function(redact_value)?)?;
    exports.set("flags", lua.create_function(flags)?)?;
    exports.set("shell_help", lua.create_function(|_, (stats, indent): (bool, String)| Ok(shell_help(stats, &indent)))?)?;
    exports.set("reader", lua.create_function(reader)?)?;
    exports.set("help", lua.create_function(|_, ()| Ok(help()))?)?;
    exports.set("exit_on_interrupt", lua.create_function(|_, ()| Ok(signals::exit_on_interrupt()))?)?;
    exports.set("is_terminal", lua.create_function(is_terminal)?)?;
    exports.set("is_pipe_closed", lua.create_function(is_pipe_closed)?)?;
    exports.set("terminal_width", lua.create_function(|_, ()| Ok(terminal_width()))?)?;
    Ok(exports)
}

fn cleaned(lua: &Lua, text: LuaString, clean: impl Fn(&[u8]) -> Cow<'_, str>) -> LuaResult<LuaString> {
    let changed = match clean(&text.as_bytes()) {
        Cow::Borrowed(_) => None,
        Cow::Owned(changed) => Some(changed),
    };
    changed.map_or(Ok(text), |changed| lua.create_string(changed))
}

/// `clean_jid(user) -> bare JID | nil`. Returns `nil` for a text that does not name an account.
fn read_jid(lua: &Lua, user: LuaString) -> LuaResult<Option<LuaString>> {
    clean_jid(&user.as_bytes()).map(|jid| lua.create_string(jid.as_bytes())).transpose()
}

/// `period(value) -> seconds | nil, allowed`. Returns `math.huge` for "never", and `nil` without a second value for `nil`.
fn read_period(_: &Lua, value: LuaValue) -> LuaResult<(Option<f64>, Option<String>)> {
    Ok(match period(&option(&value)) {
        Ok(period) => (period.map(crate::time::period::Period::seconds), None),
        Err(error) => (None, Some(error.to_string())),
    })
}

/// `option(name, value) -> boolean or seconds, message | nil`. Reads an option of a module. With a message, the value was refused
/// and the default is used.
fn read_option(_: &Lua, (name, value): (String, LuaValue)) -> LuaResult<(LuaValue, Option<String>)> {
    let Some((value, refused)) = for_module(&name, &option(&value)) else {
        return Err(LuaError::RuntimeError(format!("{name} is not an option of a module")));
    };
    let value = match value {
        ModuleValue::Boolean(value) => LuaValue::Boolean(value),
        ModuleValue::Seconds(seconds) => LuaValue::Number(seconds),
    };
    Ok((value, refused))
}

/// Prosody's own functions to prepare names. They return nil for a name that is not valid.
struct Prepare<'a>(&'a LuaTable);

impl Prepare<'_> {
    fn call(&self, what: &str, text: &str) -> Option<String> {
        self.0.get::<LuaFunction>(what).ok()?.call::<Option<String>>(text).ok()?
    }
}

impl Stringprep for Prepare<'_> {
    fn node(&self, text: &str) -> Option<String> {
        self.call("node", text)
    }

    fn host(&self, text: &str) -> Option<String> {
        self.call("host", text)
    }

    fn resource(&self, text: &str) -> Option<String> {
        self.call("resource", text)
    }
}

/// `command(arguments, now, { node =, host =, resource = } | nil) -> { action = "help" | "events" | "alerts" | "show" | "prune" | "verify" |
/// "new-key" | "new-seal" | "link" | "token" | "tokens" | "revoke" | "sinks" | "sink-test" | "anchors" | "export-evidence" | "verify-file", host, sink,
/// output | nil, file, anchors, asked, host_data = true | nil, user, name, types,
/// seconds } | nil, message`
fn read_command(
    lua: &Lua,
    (arguments, now, names): (Vec<LuaString>, f64, Option<LuaTable>),
) -> LuaResult<(Option<LuaTable>, Option<String>)> {
    let arguments: Vec<String> = arguments.iter().map(LuaString::to_string_lossy).collect();
    let prepare = names.as_ref().map(Prepare);
    let names: &dyn Stringprep = prepare.as_ref().map_or(&Lowercase, |prepare| prepare);
    let command = match Command::parse_with(arguments.iter().map(String::as_str), now, names) {
        Ok(command) => command,
        Err(error) => return Ok((None, Some(error.to_string()))),
    };
    let result = lua.create_table()?;
    let command = match command {
        Command::HostData(command) => {
            result.set("host_data", true)?;
            *command
        }
        command => command,
    };
    match command {
        // These are never nested.
        Command::HostData(_) => {}
        Command::Help => result.set("action", "help")?,
        Command::Events { host } => {
            result.set("action", "events")?;
            result.set("host", host)?;
        }
        Command::NewSeal { yes } => {
            result.set("action", "new-seal")?;
            result.set("yes", yes)?;
        }
        Command::Verify { host, anchors, seal_key } => {
            result.set("anchors", anchors)?;
            result.set("seal_key", seal_key)?;
            result.set("action", "verify")?;
            result.set("host", host)?;
        }
        Command::Evidence(command) => set_evidence(lua, &result, command)?,
        Command::Alerts { host } => {
            result.set("action", "alerts")?;
            result.set("host", host)?;
        }
        Command::NewKey { host } => {
            result.set("action", "new-key")?;
            result.set("host", host)?;
        }
        Command::Sinks { host } => {
            result.set("action", "sinks")?;
            result.set("host", host)?;
        }
        Command::SinkTest { host, name } => {
            result.set("action", "sink-test")?;
            result.set("host", host)?;
            result.set("sink", name)?;
        }
        Command::Prune { host, trust_clock } => {
            result.set("action", "prune")?;
            result.set("trust_clock", trust_clock)?;
            result.set("host", host)?;
        }
        Command::Web { host, what } => {
            result.set("host", host)?;
            set_web(&result, what)?;
        }
        Command::Erase(erase) => {
            result.set("action", "erase")?;
            result.set("person", erase.person)?;
            result.set("before", erase.before)?;
            result.set("reason", erase.reason)?;
            result.set("acted", erase.acted)?;
            result.set("yes", erase.yes)?;
        }
        Command::Privacy { host } => {
            result.set("action", "privacy")?;
            result.set("host", host)?;
        }
        Command::Show(show) => {
            result.set("action", "show")?;
            result.set("host", show.host.clone())?;
            result.set("asked", LuaRequest(*show))?;
        }
    }
    Ok((Some(result), None))
}

fn set_evidence(lua: &Lua, result: &LuaTable, command: EvidenceCommand) -> LuaResult<()> {
    match command {
        EvidenceCommand::Anchors { host } => {
            result.set("action", "anchors")?;
            result.set("host", host)
        }
        EvidenceCommand::Export { host, output } => {
            result.set("action", "export-evidence")?;
            result.set("host", host)?;
            result.set("output", output.map(|output| lua.create_userdata(LuaOutput(output))).transpose()?)
        }
        EvidenceCommand::VerifyFile { file, host, anchors, seal_key } => {
            result.set("action", "verify-file")?;
            result.set("seal_key", seal_key)?;
            result.set("file", file)?;
            result.set("anchors", anchors)?;
            result.set("host", host)
        }
    }
}

fn set_web(result: &LuaTable, what: WebCommand) -> LuaResult<()> {
    match what {
        WebCommand::Link { user } => {
            result.set("action", "link")?;
            result.set("user", user)
        }
        WebCommand::Token { name, types, seconds } => {
            result.set("action", "token")?;
            result.set("name", name)?;
            result.set("types", types)?;
            result.set("seconds", seconds)
        }
        WebCommand::Tokens => result.set("action", "tokens"),
        WebCommand::Revoke { name } => {
            result.set("action", "revoke")?;
            result.set("name", name)
        }
    }
}

/// `flags() -> list of { name, value | nil, negatable, needs_process, meaning, group = "filter" | "page" | "view" | "action", list,
/// field | nil }`. `list` is whether the value is a list. A flag with a field is also a field of a query of another module.
fn flags(lua: &Lua, (): ()) -> LuaResult<Vec<LuaTable>> {
    let table = |flag: &Flag| {
        let table = lua.create_table()?;
        table.set("name", flag.name)?;
        table.set("value", flag.value)?;
        table.set("negatable", flag.negatable)?;
        table.set("needs_process", flag.needs_process)?;
        table.set("meaning", flag.meaning)?;
        let group = match flag.group {
            Group::Filter => "filter",
            Group::Page => "page",
            Group::View => "view",
            Group::Action => "action",
        };
        table.set("group", group)?;
        table.set("list", flag.takes_list())?;
        table.set("field", flag.field())?;
        Ok(table)
    };
    FLAGS.iter().map(table).collect()
}

/// `event_types() -> list of { name, module, meaning, since, details }`
fn event_types(lua: &Lua, (): ()) -> LuaResult<Vec<LuaTable>> {
    EVENT_TYPES
        .iter()
        .map(|event| {
            let row = lua.create_table()?;
            row.set("name", event.name)?;
            row.set("module", event.module)?;
            row.set("meaning", event.meaning)?;
            row.set("since", event.since.to_string())?;
            row.set("details", event.details)?;
            Ok(row)
        })
        .collect()
}

/// `shows_field(name, type | nil) -> boolean`. Whether the value of a form's field may be recorded.
fn shows_field(_: &Lua, (name, kind): (LuaString, Option<LuaString>)) -> LuaResult<bool> {
    Ok(is_shown_field(&name.to_string_lossy(), kind.map(|kind| kind.to_string_lossy()).as_deref()))
}

/// `shell_line(line, hosts | nil, commands | nil) -> text`. Removes secrets from a line of the shell. `hosts` has the server's
/// hosts as keys. `commands` has the sections of the shell as keys, and a table with the section's commands as values.
fn redact_line(_: &Lua, (line, hosts, commands): (LuaString, Option<LuaTable>, Option<LuaTable>)) -> LuaResult<String> {
    let is_host = |host: &str| has_key(hosts.as_ref(), host);
    let is_command = |section: &str, name: &str| {
        let section = commands.as_ref().and_then(|commands| commands.raw_get::<LuaTable>(section).ok());
        section.is_some_and(|section| matches!(section.raw_get(name), Ok(LuaValue::Function(_))))
    };
    let known = KnownNames { hosts: if hosts.is_some() { Some(&is_host) } else { None }, command: &is_command };
    Ok(shell_line(&line.to_string_lossy(), &known))
}

/// `field_value(name, value, hosts | nil) -> text`. The part of a field's value that may be recorded.
fn redact_value(_: &Lua, (name, value, hosts): (LuaString, LuaString, Option<LuaTable>)) -> LuaResult<String> {
    let is_host = |host: &str| has_key(hosts.as_ref(), host);
    let known = KnownNames { hosts: if hosts.is_some() { Some(&is_host) } else { None }, ..KnownNames::default() };
    Ok(field_value(&name.to_string_lossy(), &value.to_string_lossy(), &known))
}

fn has_key(table: Option<&LuaTable>, key: &str) -> bool {
    table.is_some_and(|table| table.raw_get::<LuaValue>(key).is_ok_and(|value| !value.is_nil()))
}

/// `is_terminal("stdin" | "stdout" | "stderr") -> boolean`
fn is_terminal(_: &Lua, name: LuaString) -> LuaResult<bool> {
    Ok(match &*name.as_bytes() {
        b"stdout" => std::io::stdout().is_terminal(),
        b"stderr" => std::io::stderr().is_terminal(),
        b"stdin" => std::io::stdin().is_terminal(),
        _ => false,
    })
}

/// `reader() -> name, "login" | "environment" | nil`. Who runs this process, and how that is known.
#[allow(clippy::unnecessary_wraps)] // As mlua calls it.
fn reader(_: &Lua, (): ()) -> LuaResult<(String, Option<&'static str>)> {
    let login_uid = std::fs::read_to_string("/proc/self/loginuid").ok();
    let reader = Reader::find(login_uid.as_deref(), ownership::user_name, |name| std::env::var(name).ok());
    Ok((reader.name, reader.source.name()))
}

/// `is_pipe_closed() -> boolean`. Whether standard output is a pipe that nobody reads any more.
#[allow(clippy::unnecessary_wraps)] // As mlua calls it.
fn is_pipe_closed(_: &Lua, (): ()) -> LuaResult<bool> {
    let stdout = std::io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let is_ready = poll(&mut polled, Some(&at_once)).is_ok_and(|count| count > 0);
    Ok(is_ready && polled.iter().any(|stdout| stdout.revents().contains(PollFlags::ERR)))
}

/// The width of the terminal, in cells. Returns `None` if standard output is not a terminal. `COLUMNS` takes precedence, as in
/// Prosody.
fn terminal_width() -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    asked.or_else(|| terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0))
}

/// How often the embedded Lua does certain things, in seconds. The core defines the numbers.
fn timing(lua: &Lua) -> LuaResult<LuaTable> {
    let timing = lua.create_table()?;
    timing.set("clock_save", clock::SAVE)?;
    timing.set("clock_step", clock::STEP)?;
    timing.set("flood_first_look", flood::FIRST_LOOK)?;
    timing.set("flood_look", flood::LOOK)?;
    Ok(timing)
}

/// `new_key(path) -> name of the old key | nil, name of the new key | nil, message`
pub(crate) fn new_key(_: &Lua, file: LuaString) -> LuaResult<(Option<String>, Option<String>, Option<String>)> {
    let file = file.as_bytes();
    let old = match HashKey::read(&Disk, path(&file)) {
        Ok(old) => old.map(|key| key.id()),
        // It may be a valid key, so it is not replaced.
        Err(error @ HashKeyError::Io { .. }) => return Ok((None, None, Some(error.to_string()))),
        Err(_) => None,
    };
    Ok(match HashKey::replace(&Disk, &OsRandom, path(&file)) {
        Ok(new) => (old, Some(new.id()), None),
        Err(error) => (old, None, Some(error.to_string())),
    })
}
