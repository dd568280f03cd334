//! Addresses that have expired, as functions of the recorder.

use mlua::prelude::*;

use crate::lua::functions::Functions;
use crate::lua::hand_over::parts::Opened;
use crate::lua::store::element;
use crate::lua::value::Host;

/// Adds the functions to a recorder's.
pub(crate) fn add(functions: &Functions<'_>, opened: &Opened) -> LuaResult<()> {
    // without_addresses(host, class, stanza) -> whether it can be rewritten. What is left of it is opened, for decode() in stanza.lua.
    let (recorder, opened) = (functions.recorder(), opened.clone());
    let without = functions.lua().create_function(move |_, (Host(host), class, stanza): (Host, String, LuaTable)| {
        let left = element::of_stanza(&stanza)?.and_then(|element| recorder.borrow().without_addresses(&host, &class, &element));
        if let Some(left) = &left {
            opened.open_element(left);
        }
        Ok(left.is_some())
    })?;
    functions.set("without_addresses", without)?;
    #[cfg(feature = "storage")]
    native::add(functions)?;
    Ok(())
}

#[cfg(feature = "storage")]
mod native {
    use super::{Functions, Host, LuaResult};
    use crate::filter::shape::kind;
    use crate::lua::store::database::{Driver, LuaRewriting};
    use mlua::prelude::*;

    pub(super) fn add(functions: &Functions<'_>) -> LuaResult<()> {
        // cut(host, class, database, rewriting, most) -> "done" | "more": call it again | nil, message. Takes the next entries of a
        // partition.
        type Arguments = (Host, String, LuaUserDataRefMut<Driver>, LuaUserDataRefMut<LuaRewriting>, usize);
        let recorder = functions.recorder();
        let cut = move |_: &Lua, (Host(host), class, mut driver, mut rewriting, most): Arguments| {
            let recorder = recorder.borrow();
            let done = driver.database.attend(|database| {
                database.rewrite_on(&mut rewriting.0, most, |value| {
                    let element = Some(value.bytes).filter(|_| value.kind == kind::ELEMENT)?;
                    recorder.without_addresses(&host, &class, element)
                })
            });
            Ok(match done {
                Ok(done) => (Some(if done { "done" } else { "more" }), None),
                Err(error) => (None, Some(error.to_string())),
            })
        };
        functions.set("cut", functions.lua().create_function(cut)?)
    }
}
