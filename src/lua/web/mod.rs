//! The log in a browser, as objects for Lua: the table `web` of the library.
//!
//! | export | |
//! |---|---|
//! | `gate() -> gate` | links and sessions of a host |
//! | `tokens(text \| nil) -> tokens \| nil, message` | the tokens of a host |
//! | `address(text) -> address \| nil, message` | the part of an address behind the `?` |
//! | `form(text) -> { name = value } \| nil, message` | the fields of a form |
//! | `view() -> view` | what a page shows |
//! | `feed() -> feed` | new entries for browsers that watch |
//! | `own(page) -> text`, `sign_in(link, account, host, own) -> text`, `notice(title, text) -> text` | other pages |
//! | `problem(condition, text) -> text` | what a program is told |
//! | `openapi() -> text` | what programs may ask |
//! | `style`, `script`, `icon`, `headers`, `limits` | the files of the pages, the headers of every answer, numbers |
//! | `token_prefix` | how the tokens begin that are made here |

mod gate;
mod page;

use mlua::prelude::*;

use crate::lua::read::LuaRequest;
use crate::query::Request;
use crate::web::address::{Address, fields};
use crate::web::{self, api, openapi};

/// The picture in the browser's tab.
const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><rect width=\"16\" height=\"16\" rx=\"3\" \
    fill=\"#27618d\"/><path d=\"M4 5h8M4 8h8M4 11h5\" stroke=\"#fff\" stroke-width=\"1.5\"/></svg>";

/// Adds the table `web`.
pub(super) fn add(lua: &Lua, native: &LuaTable) -> LuaResult<()> {
    let table = lua.create_table()?;
    gate::add(lua, &table)?;
    page::add(lua, &table)?;
    table.set("address", lua.create_function(address)?)?;
    table.set("form", lua.create_function(form)?)?;
    table.set("problem", lua.create_function(|_, (condition, text): (String, String)| Ok(api::problem(&condition, &text)))?)?;
    table.set("openapi", lua.create_function(|_, ()| Ok(openapi::document()))?)?;
    table.set("style", web::page::STYLE)?;
    table.set("script", web::page::SCRIPT)?;
    table.set("icon", ICON)?;
    table.set("headers", lua.create_table_from(web::HEADERS.iter().copied())?)?;
    table.set("limits", limits(lua)?)?;
    table.set("token_prefix", web::token::PREFIX)?;
    native.set("web", table)
}

fn limits(lua: &Lua) -> LuaResult<LuaTable> {
    let limits = lua.create_table()?;
    for (name, number) in [
        ("live_views", web::LIVE_VIEWS),
        ("unsent", web::UNSENT),
        ("piece", web::PIECE),
        ("readings", web::READINGS),
        ("page", web::PAGE),
        ("largest_page", web::LARGEST_PAGE),
        ("counted", web::COUNTED),
        ("largest_answer", web::LARGEST_ANSWER),
        ("largest_form", web::LARGEST_FORM),
    ] {
        limits.set(name, number)?;
    }
    for (name, seconds) in [("comment", web::COMMENT), ("look", web::LOOK), ("stalled", web::STALLED), ("link", web::gate::LINK)] {
        limits.set(name, seconds)?;
    }
    Ok(limits)
}

/// An address, for Lua.
pub(super) struct LuaAddress(pub(super) Address);

impl LuaUserData for LuaAddress {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // arguments(host) -> the arguments of the command that ask for the same
        methods.add_method("arguments", |_, this, host: String| Ok(this.0.arguments(&host)));
        // value(name) -> the last value of a field | ""
        methods.add_method("value", |_, this, name: String| Ok(this.0.value(&name).to_owned()));
    }
}

#[allow(clippy::unnecessary_wraps)] // As mlua calls it.
fn address(_: &Lua, query: LuaString) -> LuaResult<(Option<LuaAddress>, Option<String>)> {
    Ok(match Address::parse(&query.to_string_lossy()) {
        Ok(address) => (Some(LuaAddress(address)), None),
        Err(error) => (None, Some(error.to_string())),
    })
}

fn form(lua: &Lua, text: LuaString) -> LuaResult<(Option<LuaTable>, Option<String>)> {
    Ok(match fields(&text.to_string_lossy()) {
        Ok(fields) => (Some(lua.create_table_from(fields)?), None),
        Err(error) => (None, Some(error.to_string())),
    })
}

/// The request for what comes after a position in time, oldest first; a live view that comes back asks for it.
pub(super) fn since(asked: &LuaRequest, place: &str, limit: usize) -> Option<LuaRequest> {
    let after = place.parse().ok()?;
    let request = Request { limit: Some(limit), after: Some(after), oldest_first: true, ..asked.0.request.clone() };
    Some(LuaRequest(crate::command::ShowCommand { request, ..asked.0.clone() }))
}
