//! The archive stores: how long one is waited for, and the files of the embedded driver.

#[cfg(feature = "storage")]
pub(crate) mod database;
pub(crate) mod element;
pub(crate) mod embedded;
pub(crate) mod patience;
#[cfg(feature = "storage")]
mod recovery;

use mlua::prelude::*;

use crate::archive::trust;

/// Adds `trust = { searched =, refused =, unchanged = }` and `native_patience`, with times in seconds.
pub(crate) fn add(lua: &Lua, native: &LuaTable) -> LuaResult<()> {
    let numbers = lua.create_table()?;
    numbers.set("searched", trust::SEARCHED)?;
    numbers.set("refused", trust::REFUSED)?;
    numbers.set("unchanged", trust::UNCHANGED)?;
    native.set("native_patience", crate::archive::patience::NATIVE)?;
    native.set("trust", numbers)
}
