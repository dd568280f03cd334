//! Links, sessions and tokens as objects for Lua.

use mlua::prelude::*;

use crate::random::OsRandom;
use crate::web::gate::{Gate, Holder, Sight};
use crate::web::token::Tokens;

pub(super) fn add(lua: &Lua, table: &LuaTable) -> LuaResult<()> {
    table.set("gate", lua.create_function(|_, ()| Ok(LuaGate(Gate::default())))?)?;
    table.set("tokens", lua.create_function(tokens)?)
}

struct LuaGate(Gate);

/// The account, whether it sees its own account only, and its role.
fn parts(holder: &Holder) -> (String, bool, String) {
    (holder.account.clone(), holder.sight == Sight::Own, holder.role.clone())
}

impl LuaUserData for LuaGate {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // invite(account, own, role, now) -> link | nil
        methods.add_method_mut("invite", |_, this, (account, own, role, now): (String, bool, String, f64)| {
            let sight = if own { Sight::Own } else { Sight::Log };
            Ok(this.0.invite(&OsRandom, Holder { account, sight, role }, now))
        });
        // guest(link, now) -> account, own, role | nil
        methods.add_method("guest", |lua, this, (link, now): (LuaString, f64)| {
            this.0
                .guest(&link.to_string_lossy(), now)
                .map_or_else(|| LuaNil.into_lua_multi(lua), |holder| parts(holder).into_lua_multi(lua))
        });
        // admit(link, now) -> session, account, own | nil
        methods.add_method_mut("admit", |lua, this, (link, now): (LuaString, f64)| {
            match this.0.admit(&OsRandom, &link.to_string_lossy(), now) {
                Some((session, holder)) => (session, holder.account, holder.sight == Sight::Own).into_lua_multi(lua),
                None => LuaNil.into_lua_multi(lua),
            }
        });
        // enter(session, now) -> account, own, role, secret of forms | nil
        methods.add_method_mut("enter", |lua, this, (session, now): (LuaString, f64)| {
            match this.0.enter(&session.to_string_lossy(), now) {
                Some((holder, csrf)) => {
                    let (account, own, role) = parts(holder);
                    (account, own, role, csrf.to_owned()).into_lua_multi(lua)
                }
                None => LuaNil.into_lua_multi(lua),
            }
        });
        // is_open(session, now) -> boolean
        methods.add_method("is_open", |_, this, (session, now): (LuaString, f64)| Ok(this.0.is_open(&session.to_string_lossy(), now)));
        // is_own_form(session, secret) -> boolean
        methods.add_method("is_own_form", |_, this, (session, csrf): (LuaString, LuaString)| {
            Ok(this.0.is_own_form(&session.to_string_lossy(), &csrf.to_string_lossy()))
        });
        // leave(session)
        methods.add_method_mut("leave", |_, this, session: LuaString| {
            this.0.leave(&session.to_string_lossy());
            Ok(())
        });
        // dismiss(account)
        methods.add_method_mut("dismiss", |_, this, account: String| {
            this.0.dismiss(&account);
            Ok(())
        });
    }
}

struct LuaTokens(Tokens);

#[allow(clippy::unnecessary_wraps)] // As mlua calls it.
fn tokens(_: &Lua, text: Option<String>) -> LuaResult<(Option<LuaTokens>, Option<String>)> {
    Ok(match text.map_or_else(|| Ok(Tokens::default()), |text| Tokens::read(&text)) {
        Ok(tokens) => (Some(LuaTokens(tokens)), None),
        Err(error) => (None, Some(error.to_string())),
    })
}

impl LuaUserData for LuaTokens {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // add(name, list of types, time of its end | nil, now) -> secret | nil, message
        methods.add_method_mut("add", |_, this, (name, types, expires, now): (String, Vec<String>, Option<f64>, f64)| {
            Ok(match this.0.add(&OsRandom, &name, types, expires, now) {
                Ok(secret) => (Some(secret), None),
                Err(error) => (None, Some(error.to_string())),
            })
        });
        // revoke(name) -> true | nil, message
        methods.add_method_mut("revoke", |_, this, name: String| {
            Ok(match this.0.revoke(&name) {
                Ok(()) => (Some(true), None),
                Err(error) => (None, Some(error.to_string())),
            })
        });
        // find(secret, now) -> name, list of types | nil
        methods.add_method("find", |lua, this, (secret, now): (LuaString, f64)| match this.0.find(&secret.to_string_lossy(), now) {
            Some(token) => (token.name.clone(), token.types.clone()).into_lua_multi(lua),
            None => LuaNil.into_lua_multi(lua),
        });
        // list(now) -> list of { name, types = list, created, expires | nil, is_open }
        methods.add_method("list", |lua, this, now: f64| {
            this.0
                .iter()
                .map(|token| {
                    let row = lua.create_table()?;
                    row.set("name", token.name.clone())?;
                    row.set("types", token.types.clone())?;
                    row.set("created", token.created)?;
                    row.set("expires", token.expires)?;
                    row.set("is_open", token.is_open(now))?;
                    Ok(row)
                })
                .collect::<LuaResult<Vec<_>>>()
        });
        // text() -> the tokens, to be stored
        methods.add_method("text", |_, this, ()| Ok(this.0.text()));
    }
}
