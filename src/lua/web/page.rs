//! What pages and programs are shown, as objects for Lua.

use mlua::prelude::*;

use super::LuaAddress;
use crate::lua::read::{LuaRenderer, LuaRequest, LuaText, health};
use crate::web::api::{self, Ending};
use crate::web::feed::Feed;
use crate::web::page::{LogPage, OwnPage, Reader, Subject, log_page, notice, own_page, sign_in};
use crate::web::view::View;

pub(super) fn add(lua: &Lua, table: &LuaTable) -> LuaResult<()> {
    table.set("view", lua.create_function(|_, ()| Ok(LuaView(View::default())))?)?;
    table.set("feed", lua.create_function(|_, ()| Ok(LuaFeed(Feed::default())))?)?;
    table.set("own", lua.create_function(own)?)?;
    table.set(
        "sign_in",
        lua.create_function(|_, (link, account, host, own): (String, String, String, bool)| Ok(sign_in(&link, &account, &host, own)))?,
    )?;
    table.set("notice", lua.create_function(|_, (title, text): (String, String)| Ok(notice(&title, &text)))?)
}

struct LuaView(View);

impl LuaUserData for LuaView {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // rows() -> writing: what writes the entries of a reading for page(); as_json(host): for json()
        methods.add_method("rows", |_, this, ()| Ok(LuaRenderer(this.0.rows())));
        methods.add_method("as_json", |_, this, host: String| Ok(LuaRenderer(this.0.json(&host))));
        // numbers() -> writing: what counts the entries of a reading
        methods.add_method("numbers", |_, this, ()| Ok(LuaRenderer(this.0.numbers())));
        // page(address, { subject, host, account, csrf, next, health = list of { standing, text }, remarks = list of texts }) -> long
        // text
        methods.add_method("page", |_, this, (address, page): (LuaUserDataRef<LuaAddress>, LuaTable)| {
            let (host, account, csrf): (String, String, String) = (page.get("host")?, page.get("account")?, page.get("csrf")?);
            let next: Option<String> = page.get("next")?;
            let remarks: Vec<String> = page.get("remarks")?;
            let health = health(page.get("health")?)?;
            let subject = match page.get::<String>("subject")?.as_str() {
                "account" => Subject::Account,
                "network" => Subject::Network,
                _ => Subject::Log,
            };
            let shown = LogPage {
                subject,
                host: &host,
                address: &address.0,
                reader: Reader { account: &account, csrf: &csrf },
                health: &health,
                next: next.as_deref(),
                remarks: &remarks,
            };
            Ok(LuaText::new(log_page(&shown, &this.0.seen())))
        });
        // json(what = "entries" | "stats", host, next | nil, damaged, hidden) -> long text
        methods.add_method("json", |_, this, (what, host, next, damaged, hidden): (String, String, Option<String>, u64, u64)| {
            let ending = Ending { next, damaged, hidden };
            let answer = if what == "stats" { api::stats } else { api::entries };
            Ok(LuaText::new(answer(&this.0.seen(), &host, &ending)))
        });
    }
}

/// `own({ account, csrf, columns, rows, next | nil, is_first, remarks }) -> text`
fn own(_: &Lua, page: LuaTable) -> LuaResult<String> {
    let (account, csrf): (String, String) = (page.get("account")?, page.get("csrf")?);
    let (columns, rows): (Vec<String>, Vec<Vec<String>>) = (page.get("columns")?, page.get("rows")?);
    let (next, remarks): (Option<String>, Vec<String>) = (page.get("next")?, page.get("remarks")?);
    Ok(own_page(&OwnPage {
        reader: Reader { account: &account, csrf: &csrf },
        columns: &columns,
        rows: &rows,
        next: next.as_deref(),
        is_first: page.get("is_first")?,
        remarks: &remarks,
    }))
}

struct LuaFeed(Feed);

impl LuaUserData for LuaFeed {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // entries() -> writing: what takes the entries of a look
        methods.add_method("entries", |_, this, ()| Ok(LuaRenderer(this.0.entries())));
        // clear(): before a look
        methods.add_method("clear", |_, this, ()| {
            this.0.clear();
            Ok(())
        });
        // messages(asked) -> text of the messages for a browser that asked for this
        methods.add_method("messages", |_, this, asked: LuaUserDataRef<LuaRequest>| Ok(this.0.messages(&asked.0.request.filter)));
        // since(asked, place, limit) -> the request for what came after an entry | nil, if that is no place
        methods.add_method("since", |_, _, (asked, place, limit): (LuaUserDataRef<LuaRequest>, String, usize)| {
            Ok(super::since(&asked, &place, limit))
        });
    }
}
