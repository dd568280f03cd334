//! Stanzas as the journal keeps elements ([`element`]).

use mlua::prelude::*;

use crate::entry::element;

/// How deep a stanza may be. Prosody's parser stops far earlier.
const DEPTH: u32 = 200;

/// The element of a stanza. Returns `None` if it can't be one.
pub(crate) fn of_stanza(stanza: &LuaTable) -> LuaResult<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    Ok(write(stanza, &mut bytes, 0)?.then_some(bytes))
}

fn write(stanza: &LuaTable, bytes: &mut Vec<u8>, depth: u32) -> LuaResult<bool> {
    let name: LuaString = stanza.raw_get("name")?;
    if depth > DEPTH || !element::open(bytes, &name.as_bytes()) {
        return Ok(false);
    }
    let attributes: LuaTable = stanza.raw_get("attr")?;
    for pair in attributes.pairs::<LuaValue, LuaValue>() {
        let (name, value) = pair?;
        let (Some(name), Some(value)) = (name.as_string(), value.as_string()) else { return Ok(false) };
        if !element::attribute(bytes, &name.as_bytes(), &value.as_bytes()) {
            return Ok(false);
        }
    }
    for child in stanza.sequence_values::<LuaValue>() {
        let is_written = match child? {
            LuaValue::String(text) => element::text(bytes, &text.as_bytes()),
            LuaValue::Table(child) => write(&child, bytes, depth.saturating_add(1))?,
            _ => false,
        };
        if !is_written {
            return Ok(false);
        }
    }
    element::close(bytes);
    Ok(true)
}
