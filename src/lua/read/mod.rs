//! Queries and renderers as Lua objects. The events of a query stay in Rust.

pub(crate) mod output;
mod text;

use std::cell::RefCell;
use std::rc::Rc;

use mlua::prelude::*;

use crate::archive::retention::Retention;
use crate::command::{Made, ShowCommand};
use crate::entry::{Row, StoredEvent};
use crate::filter::beginning::Beginning;
use crate::filter::pattern::Pattern;
use crate::lua::value::number;
use crate::person::{self, Person};
use crate::query::{Conditions, Follower, Look, Page, Position, Query, ReadFrom, Request, Steps};
use crate::render::columns::Column;
use crate::render::fields::{FIELDS, FieldValue, details};
use crate::render::standing::{Health, Standing};
use crate::render::{Options, Renderer, renderer, report, statistics};
pub(crate) use text::LuaText;

/// How many entries are freed at once.
const RELEASED: usize = 200;

/// A request for entries, and how they are shown.
pub(crate) struct LuaRequest(pub(crate) ShowCommand);

impl LuaUserData for LuaRequest {
    fn add_fields<F: LuaUserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("host", |_, this| Ok(this.0.host.clone()));
        fields.add_field_method_get("limit", |_, this| Ok(this.0.request.limit));
        // Whether a file is to be written.
        fields.add_field_method_get("has_output", |_, this| Ok(this.0.output.is_some()));
        fields.add_field_method_get("follow", |_, this| Ok(this.0.follow));
        // The request, as flags.
        fields.add_field_method_get("asked", |_, this| Ok(this.0.asked.clone()));
        fields.add_field_method_get("format", |_, this| {
            Ok(match this.0.made {
                Made::Entries | Made::Stats => this.0.format.name(),
                Made::Report { .. } => "report",
            })
        });
    }

    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // page(limit, after | nil) -> the same request with another limit, for entries after that position
        methods.add_method("page", |lua, this, (limit, after): (usize, Option<String>)| {
            let after = after.and_then(|place| place.parse().ok());
            let request = Request { limit: Some(limit), after, ..this.0.request.clone() };
            lua.create_userdata(Self(ShowCommand { request, ..this.0.clone() }))
        });
        // beginning(since | nil) -> a request for the newest entry that begins or ends an account of that name
        methods.add_method("beginning", |lua, this, since: Option<f64>| {
            lua.create_userdata(Self(ShowCommand { request: this.0.request.beginning(since), ..this.0.clone() }))
        });
        // of_account(since | nil, place | nil, event type) -> the same request, for the account only that begins at that time, or
        // with the entry at that position
        methods.add_method("of_account", |lua, this, (since, place, kind): (Option<f64>, Option<String>, Option<String>)| {
            let place: Option<Position> = place.and_then(|place| place.parse().ok());
            let with = place.map(|place| Beginning::with(place, kind.as_deref().unwrap_or_default()));
            let mut request = this.0.request.clone();
            request.filter.begins = match since.map(Beginning::at) {
                Some(since) => Some(since.or_later(with)),
                None => with,
            };
            lua.create_userdata(Self(ShowCommand { request, ..this.0.clone() }))
        });
        // showing(list of types) -> the same request, for entries of these types only
        methods.add_method("showing", |lua, this, types: Vec<String>| {
            let mut request = this.0.request.clone();
            request.filter.shown_types = types.iter().map(|kind| Pattern::new(kind)).collect();
            lua.create_userdata(Self(ShowCommand { request, ..this.0.clone() }))
        });
        // limited(limit) -> the same request with another limit
        methods.add_method("limited", |lua, this, limit: usize| {
            let request = Request { limit: Some(limit), ..this.0.request.clone() };
            lua.create_userdata(Self(ShowCommand { request, ..this.0.clone() }))
        });
    }
}

/// `writing(asked, width | nil, coloured, name of the host in ASCII | nil) -> writing`. Without a width nothing is cut.
pub(crate) fn writing(
    _: &Lua,
    (asked, width, coloured, ascii_host): (LuaUserDataRef<LuaRequest>, Option<usize>, bool, Option<String>),
) -> LuaResult<LuaRenderer> {
    let ShowCommand { host, columns, zone, format, made, byte_order_mark, follow, .. } = asked.0.clone();
    let options = Options { host, ascii_host, columns, width, zone, coloured: coloured && asked.0.colour, live: follow, byte_order_mark };
    Ok(LuaRenderer(match made {
        Made::Entries => renderer(format, &options),
        Made::Stats => statistics(&options),
        Made::Report { at } => report(&options, at),
    }))
}

/// Rows that our own driver has read. Lua passes them on to the query as they are.
#[cfg(feature = "storage")]
pub(crate) struct LuaRows(pub(crate) Vec<Row>);

#[cfg(feature = "storage")]
impl LuaUserData for LuaRows {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(LuaMetaMethod::Len, |_, this, ()| Ok(this.0.len()));
        // As with a list, there is nothing under any other name.
        methods.add_meta_method(LuaMetaMethod::Index, |_, _, _: LuaValue| Ok(LuaNil));
    }
}

/// The rows of a page, as a store's driver gives them.
pub(crate) fn rows(page: &LuaValue) -> LuaResult<Vec<Row>> {
    match page {
        LuaValue::Table(list) => listed(list),
        #[cfg(feature = "storage")]
        LuaValue::UserData(rows) => Ok(std::mem::take(&mut rows.borrow_mut::<LuaRows>()?.0)),
        _ => Err(LuaError::runtime("a page is a list of rows")),
    }
}

/// Rows from a flat list: key, when, with, xml, and so on. Invalid rows are skipped.
fn listed(list: &LuaTable) -> LuaResult<Vec<Row>> {
    let values: Vec<LuaValue> = list.sequence_values().collect::<LuaResult<_>>()?;
    let row = |values: &[LuaValue]| match values {
        [key, when, with, xml] => Some(Row {
            key: key.as_string()?.to_string_lossy(),
            when: number(when)?,
            with: with.as_string().map(LuaString::to_string_lossy),
            xml: xml.as_string()?.to_string_lossy(),
            element: Vec::new(),
        }),
        _ => None,
    };
    Ok(values.chunks_exact(4).filter_map(row).collect())
}

/// Names of archive users. Users that are not strings are skipped: the memory driver's key of user `nil` is a function.
fn names(users: &LuaTable) -> impl Iterator<Item = String> + '_ {
    users.sequence_values::<LuaValue>().filter_map(|user| user.ok()?.as_string()?.to_str().ok().map(|user| user.to_owned()))
}

/// A follower of a host's log.
pub(crate) struct LuaFollower {
    pub(crate) host: String,
    pub(crate) follower: Rc<RefCell<Follower>>,
}

impl LuaUserData for LuaFollower {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // saw(query): events that are taken from the query from now on are not new for the follower
        methods.add_method("saw", |_, this, query: LuaAnyUserData| {
            query.borrow_mut::<LuaQuery>()?.seen_by = Some(Rc::clone(&this.follower));
            Ok(())
        });
    }
}

/// A query, or a look of a follower.
pub(crate) struct LuaQuery {
    query: Box<dyn Steps>,
    page: Option<Page>,
    shown: usize,
    hidden: usize,
    seen_by: Option<Rc<RefCell<Follower>>>,
    /// To whom the entries are shown, and the host whose log it is: what they say of others is withheld.
    shown_to: Option<(Person, String)>,
}

impl LuaQuery {
    /// Begins a query over the archive users that a store lists. `waiting_since` is the time of the oldest entry in the journal, if
    /// any. `former` is whether another driver has an archive user `nil` too. `batch` is for [`Query::in_batches`].
    pub(crate) fn new(
        request: Request,
        users: &LuaTable,
        waiting_since: Option<f64>,
        conditions: Conditions,
        former: bool,
        batch: Option<f64>,
    ) -> Self {
        let shown_to = request.filter.person.clone().map(|person| (person, request.filter.host.clone()));
        let query = Query::new(request, conditions, names(users), waiting_since);
        let query = if former { query.with_former() } else { query };
        Self { shown_to, ..Self::of(if let Some(slice) = batch { query.in_batches(slice) } else { query }) }
    }

    /// Begins a look over the archive users that a store lists. `waits` is whether entries wait in the journal.
    pub(crate) fn look(following: &LuaFollower, users: &LuaTable, waits: bool, retention: Retention, now: f64) -> Self {
        Self::of(Look::new(&following.follower, names(users), waits, retention, now))
    }

    fn of(query: impl Steps + 'static) -> Self {
        Self { query: Box::new(query), page: None, shown: 0, hidden: 0, seen_by: None, shown_to: None }
    }

    /// Takes the events that are found.
    pub(crate) fn take(&mut self) -> Vec<StoredEvent> {
        let events = self.query.take();
        self.shown = self.shown.saturating_add(events.len());
        if let Some(follower) = &self.seen_by {
            let mut follower = follower.borrow_mut();
            events.iter().for_each(|event| follower.saw(event));
        }
        if let Some((person, host)) = &self.shown_to {
            return events.iter().filter_map(|event| person::shown(event, person, host)).collect();
        }
        events
    }

    /// Takes the events that the filter hides, and counts them.
    fn take_hidden(&mut self) -> Vec<StoredEvent> {
        let events = self.query.take_hidden();
        self.hidden = self.hidden.saturating_add(events.len());
        events
    }
}

impl LuaUserData for LuaQuery {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // next_page() -> { limit, journal, former, partition, with, oldest_first, behind, near, bound } | nil if no page is needed
        methods.add_method_mut("next_page", |lua, this, ()| {
            this.page = this.query.next_page();
            let Some(page) = &this.page else { return Ok(None) };
            let table = lua.create_table()?;
            table.set("limit", page.limit)?;
            match &page.from {
                ReadFrom::Store(partition) => table.set("partition", partition.clone())?,
                ReadFrom::Former => table.set("former", true)?,
                ReadFrom::Journal => table.set("journal", true)?,
            }
            table.set("with", page.with.clone())?;
            table.set("oldest_first", page.oldest_first)?;
            table.set("behind", page.behind.clone())?;
            table.set("near", page.near)?;
            table.set("bound", page.bound)?;
            Ok(Some(table))
        });
        // moved(users): the archive users that the store lists now, before an empty page of archive user nil is fed
        methods.add_method_mut("moved", |_, this, users: LuaTable| {
            if let Some(page) = &this.page {
                this.query.moved(page, names(&users).collect());
            }
            Ok(())
        });
        // lost_place(): instead of feed(), if the store does not know the row that the page begins after
        methods.add_method_mut("lost_place", |_, this, ()| {
            if let Some(page) = this.page.take() {
                this.query.lost_place(&page);
            }
            Ok(())
        });
        // feed(rows, skipped, seconds): the rows of the page, how many more could not be read, and how long it took
        methods.add_method_mut("feed", |_, this, (rows, skipped, seconds): (LuaValue, usize, f64)| {
            let rows = self::rows(&rows)?;
            if let Some(page) = this.page.take() {
                this.query.feed(&page, rows, skipped, seconds);
            }
            Ok(())
        });
        // use_took(seconds): what was done with the entries that were taken last took so long
        methods.add_method_mut("use_took", |_, this, seconds: f64| {
            this.query.use_took(seconds);
            Ok(())
        });
        // release() -> whether nothing is left to free: frees some of what was read and is not wanted any more, at the end of a reading
        methods.add_method_mut("release", |_, this, ()| Ok(this.query.release(RELEASED)));
        // cells(columns) -> list of events, each a list of texts; takes the events that are found
        methods.add_method_mut("cells", |_, this, names: Vec<String>| {
            let columns: Vec<Column> = names.iter().filter_map(|name| name.parse().ok()).collect();
            let cells = |event: StoredEvent| columns.iter().map(|column| column.on_page(&event)).collect::<Vec<_>>();
            this.take_hidden();
            Ok(this.take().into_iter().map(cells).collect::<Vec<_>>())
        });
        // tables(host) -> list of events, each a table with the fields of the schema; takes the events that are found
        methods.add_method_mut("tables", |lua, this, host: String| {
            this.take_hidden();
            this.take().iter().map(|event| fields_of(lua, event, &host)).collect::<LuaResult<Vec<_>>>()
        });
        // is_taken() -> whether all events that are found were taken
        methods.add_method("is_taken", |_, this, ()| Ok(this.query.is_taken()));
        // shown() -> number of entries; hidden() -> number of entries that are hidden unless they are asked for; damaged() -> number, text that says where the first are
        methods.add_method("shown", |_, this, ()| Ok(this.shown));
        methods.add_method("hidden", |_, this, ()| Ok(this.hidden));
        methods.add_method("damaged", |_, this, ()| {
            let damaged = this.query.damaged();
            Ok((damaged.count, damaged.places.join("; ")))
        });
        // last() -> position of the last event that was found | nil
        methods.add_method("last", |_, this, ()| Ok(this.query.last().map(ToString::to_string)));
    }
}

/// An event as a table, with the names and values that it has as JSON.
fn fields_of(lua: &Lua, event: &StoredEvent, host: &str) -> LuaResult<LuaTable> {
    let table = lua.create_table()?;
    for field in FIELDS {
        match (field.of)(event, host) {
            Some(FieldValue::Text(text)) => table.raw_set(field.name, &*text)?,
            Some(FieldValue::Count(count)) => table.raw_set(field.name, count)?,
            Some(FieldValue::Flag(flag)) => table.raw_set(field.name, flag)?,
            None => {}
        }
    }
    for (name, value) in details(event) {
        table.raw_set(name, value)?;
    }
    Ok(table)
}

/// What is known of the log itself: a list of `{ standing = "good" | "note" | "bad", text }`.
pub(crate) fn health(list: Vec<LuaTable>) -> LuaResult<Vec<Health>> {
    let read = |state: LuaTable| Ok(Health { standing: Standing::named(&state.get::<String>("standing")?), text: state.get("text")? });
    list.into_iter().map(read).collect()
}

/// A renderer: entries in one format.
pub(crate) struct LuaRenderer(pub(crate) Box<dyn Renderer>);

impl LuaRenderer {
    fn entries(&mut self, query: &mut LuaQuery, backwards: bool) -> String {
        let mut events = query.take();
        if backwards {
            while !query.query.is_taken() {
                events.extend(query.take());
            }
            events.reverse();
        }
        self.0.note_hidden(&query.take_hidden());
        self.0.entries(&events)
    }
}

impl LuaUserData for LuaRenderer {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        methods.add_method_mut("begin", |lua, this, ()| lua.create_string(this.0.begin()));
        // entries(query, backwards) -> text of the events that are found, which are taken from the query
        methods.add_method_mut("entries", |lua, this, (query, backwards): (LuaAnyUserData, Option<bool>)| {
            lua.create_string(this.entries(&mut *query.borrow_mut::<LuaQuery>()?, backwards == Some(true)))
        });
        // text(query) -> the same as a long text, see text.rs
        methods.add_method_mut("text", |_, this, query: LuaAnyUserData| {
            Ok(LuaText::new(this.entries(&mut *query.borrow_mut::<LuaQuery>()?, false)))
        });
        // know(list of { standing, text }): what the server knows of the log itself, for a report
        methods.add_method_mut("know", |_, this, list: Vec<LuaTable>| {
            this.0.know(health(list)?);
            Ok(())
        });
        // ending() -> text; `end` is a keyword in Lua
        methods.add_method_mut("ending", |lua, this, ()| lua.create_string(this.0.end()));
    }
}
