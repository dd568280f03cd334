//! Conversion of Lua values, which may have any type.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mlua::prelude::*;

use crate::archive::partition::Partition;
use crate::options::Value;

/// A string, or a number as a string. Values of other types are treated as `nil`.
#[derive(Clone, Debug, Default)]
pub(super) struct Text(Option<LuaString>);

impl Text {
    /// The bytes of the string. Returns `None` for `nil`.
    pub(super) fn bytes(&self) -> Option<mlua::BorrowedBytes<'_>> {
        self.0.as_ref().map(LuaString::as_bytes)
    }
}

impl FromLua for Text {
    fn from_lua(value: LuaValue, lua: &Lua) -> LuaResult<Self> {
        Ok(Self(match value {
            LuaValue::String(text) => Some(text),
            LuaValue::Integer(_) | LuaValue::Number(_) => lua.coerce_string(value)?,
            _ => None,
        }))
    }
}

/// The name of a host. A name that is not UTF-8 is converted, and does not match any host.
#[derive(Clone, Debug)]
pub(super) struct Host(pub(super) String);

impl FromLua for Host {
    fn from_lua(value: LuaValue, _: &Lua) -> LuaResult<Self> {
        Ok(Self(value.as_string().map(LuaString::to_string_lossy).unwrap_or_default()))
    }
}

/// A number. Values of other types are treated as `nil`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number(pub(super) Option<f64>);

impl FromLua for Number {
    fn from_lua(value: LuaValue, _: &Lua) -> LuaResult<Self> {
        Ok(Self(number(&value)))
    }
}

/// The value as a number. Returns `None` if it is not a number.
pub(super) fn number(value: &LuaValue) -> Option<f64> {
    match value {
        LuaValue::Integer(value) => Some(integer(*value)),
        LuaValue::Number(value) => Some(*value),
        _ => None,
    }
}

/// The path that bytes name.
pub(super) fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// How deep tables in an option may be nested, and how many fields each may have. No option needs more.
const DEPTH: usize = 4;
const FIELDS: usize = 10_000;

/// The value of an option.
pub(super) fn option(value: &LuaValue) -> Value {
    option_within(value, DEPTH)
}

fn option_within(value: &LuaValue, depth: usize) -> Value {
    match value {
        LuaValue::Nil => Value::Nil,
        LuaValue::Boolean(value) => Value::Boolean(*value),
        LuaValue::Integer(value) => Value::Number(integer(*value)),
        LuaValue::Number(value) => Value::Number(*value),
        LuaValue::String(value) => Value::String(value.to_string_lossy()),
        LuaValue::Table(fields) if depth > 0 => {
            let depth = depth.saturating_sub(1);
            let fields: LuaResult<Vec<(Value, Value)>> = fields
                .pairs::<LuaValue, LuaValue>()
                .take(FIELDS)
                .map(|pair| pair.map(|(key, value)| (option_within(&key, depth), option_within(&value, depth))))
                .collect();
            fields.map_or(Value::Other("table"), Value::table)
        }
        other => Value::Other(other.type_name()),
    }
}

#[allow(clippy::cast_precision_loss)] // Times, periods and prefixes are far below 2^53.
const fn integer(value: i64) -> f64 {
    value as f64
}

pub(crate) fn partition(name: &Text) -> Option<Partition> {
    name.bytes().and_then(|name| std::str::from_utf8(&name).ok()?.parse().ok())
}

pub(crate) fn partitions(users: &LuaTable) -> Vec<Partition> {
    // Users that are not strings are skipped: the memory driver's key of user `nil` is a function.
    let users = users.sequence_values::<LuaValue>().filter_map(|user| user.ok()?.as_string()?.to_str().ok().map(|user| user.to_owned()));
    users.filter_map(|name| name.parse().ok()).collect()
}

pub(crate) fn names(partitions: &[Partition]) -> Vec<String> {
    partitions.iter().map(ToString::to_string).collect()
}
