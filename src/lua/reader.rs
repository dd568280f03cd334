//! Queries and tables, as objects of the glue: the events of a query stay on this side of the border.

use mlua::prelude::*;

use super::convert::number;
use crate::command::Columns;
use crate::event::{Row, StoredEvent};
use crate::query::{Filter, Page, Query, User};
use crate::report::table::Table;
use crate::report::zone::Zone;
use crate::retention::Retention;

/// `table(columns, width | nil) -> table`; `columns` maps `user`, `ip`, `location`, `note` to whether they are shown.
pub(super) fn table(_: &Lua, (columns, width): (LuaTable, Option<usize>)) -> LuaResult<Listing> {
    let columns =
        Columns { user: columns.get("user")?, ip: columns.get("ip")?, location: columns.get("location")?, note: columns.get("note")? };
    Ok(Listing(Table::new(columns, width, Zone::Local)))
}

/// Rows as the glue lists them: key, when, with, xml, one after the other. What is no row is left out.
fn rows(list: &LuaTable) -> LuaResult<Vec<Row>> {
    let values: Vec<LuaValue> = list.sequence_values().collect::<LuaResult<_>>()?;
    let row = |values: &[LuaValue]| match values {
        [key, when, with, xml] => Some(Row {
            key: key.as_string()?.to_string_lossy(),
            when: number(when)?,
            with: with.as_string().map(LuaString::to_string_lossy),
            xml: xml.as_string()?.to_string_lossy(),
        }),
        _ => None,
    };
    Ok(values.chunks_exact(4).filter_map(row).collect())
}

/// A query that is being read.
pub(super) struct Reading {
    query: Query,
    page: Option<Page>,
    shown: usize,
}

impl Reading {
    /// Begins a query of the entries of a host: `filter` has the wishes, `users` are the archive users that its store lists, and
    /// `waiting` the rows that the store has not taken yet.
    pub(super) fn new(
        host: &str,
        filter: &LuaTable,
        users: &LuaTable,
        waiting: &LuaTable,
        retention: Retention,
        now: f64,
    ) -> LuaResult<Self> {
        let username: Option<String> = filter.get("username")?;
        let filter = Filter {
            user: username.map(|local| User { jid: format!("{local}@{host}"), local }),
            global: filter.get("global")?,
            limit: filter.get("limit")?,
            retention,
            now,
        };
        // A driver may list users that are no strings: the memory driver's key of user `nil` is a function.
        let users =
            users.sequence_values::<LuaValue>().filter_map(|user| user.ok()?.as_string()?.to_str().ok().map(|user| user.to_owned()));
        Ok(Self { query: Query::new(filter, users, rows(waiting)?), page: None, shown: 0 })
    }

    fn take(&mut self) -> Vec<StoredEvent> {
        let events = self.query.take();
        self.shown = self.shown.saturating_add(events.len());
        events
    }
}

impl LuaUserData for Reading {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // next_page() -> limit, partition | nil, key before which to read | nil; nothing where no page is needed
        methods.add_method_mut("next_page", |_, this, ()| {
            this.page = this.query.next_page();
            Ok(match &this.page {
                Some(page) => (Some(page.limit), page.partition.clone(), page.before.clone()),
                None => (None, None, None),
            })
        });
        // feed(rows, skipped): the page, newest first, and how many rows of it could not be read
        methods.add_method_mut("feed", |_, this, (rows, skipped): (LuaTable, usize)| {
            let rows = self::rows(&rows)?;
            if let Some(page) = this.page.take() {
                this.query.feed(&page, rows, skipped);
            }
            Ok(())
        });
        // counts() -> entries shown, entries that could not be read
        methods.add_method("counts", |_, this, ()| Ok((this.shown, this.query.damaged())));
    }
}

/// A table that is being written.
pub(super) struct Listing(Table);

impl LuaUserData for Listing {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // lines(query) -> text: the events of the query that are certain and were not shown yet
        methods.add_method_mut("lines", |_, this, query: LuaAnyUserData| {
            let events = query.borrow_mut::<Reading>()?.take();
            Ok(this.0.lines(&events))
        });
    }
}
