//! Flood control, as functions of the recorder for the embedded Lua.

use mlua::prelude::*;

use crate::flood::{Account, CheckpointError, FloodEvent, FloodSummary, Verdict, beside};
use crate::lua::functions::Functions;
use crate::lua::value::{self, Host, Text};
use crate::recorder::summaries::summary as write_summary;

/// Adds the functions. `now` is always a time of the monotonic clock, and `unix` the UNIX time at that moment.
pub(crate) fn add(functions: &Functions<'_>) -> LuaResult<()> {
    // outcome(host, event type, module that reports it, now, unix) -> number of the outcome | nil: all of that type are stored
    functions.add("outcome", |recorder, (Host(host), kind, source, now, unix): (Host, String, String, f64, f64)| {
        recorder.flood.set_clock(now, unix);
        recorder.outcome(&host, &kind, &source, now)
    })?;
    // admits(outcome, name of an account of the host, address, condition, now) -> whether to store it. If not: whether the caller
    // should check that there is such an account.
    functions.add("admits", |recorder, (outcome, name, address, condition, now): (usize, Text, Text, Text, f64)| {
        let (name, address, condition) = (name.bytes(), address.bytes(), condition.bytes());
        let account = name.as_deref().map_or(Account::Unknown, Account::Name);
        let event = FloodEvent { account, address: address.as_deref(), condition: condition.as_deref(), ..FloodEvent::default() };
        let verdict = recorder.ask(outcome, &event, now);
        (verdict == Verdict::Store, verdict == Verdict::CountedAsks)
    })?;
    // exists(): the account that was asked about last exists
    functions.add("exists", |recorder, ()| recorder.flood.exists())?;
    // counting() -> names of hosts
    functions.add("counting", |recorder, ()| {
        let names: Vec<String> = recorder.flood.counting().into_iter().map(ToOwned::to_owned).collect();
        names
    })?;
    // summaries(host, now, unix, whether the host is closing) -> list of summaries
    functions.add("summaries", |recorder, (Host(host), now, unix, closing): (Host, f64, f64, bool)| {
        recorder.flood.set_clock(now, unix);
        recorder.summaries(&host, now, unix, closing).into_iter().map(|summary| Shown::new(summary, unix)).collect::<Vec<_>>()
    })?;
    // settle(host, number): that many of the summaries, from the first on, are stored
    functions.add("settle", |recorder, (Host(host), stored): (Host, usize)| recorder.flood.settle(&host, stored))?;
    // checkpoint(host, path of the journal, now, whether the host is closing) -> message | nil
    functions.add("checkpoint", |recorder, (Host(host), path, now, closing): (Host, LuaString, f64, bool)| {
        let path = beside(value::path(&path.as_bytes()));
        recorder.checkpoint(&host, &path, now, closing).err().map(|error| format!("{}: {error}", path.display()))
    })?;
    // restore(host, path of the journal, now, unix) -> number of summaries that are due, message | nil, whether the file can't be read
    // now: then this has to be called again
    functions.add("restore", |recorder, (Host(host), path, now, unix): (Host, LuaString, f64, f64)| {
        let path = beside(value::path(&path.as_bytes()));
        recorder.flood.set_clock(now, unix);
        match recorder.flood.restore(&host, &path, now) {
            Ok(number) => (number, None, false),
            Err(error) => (0, Some(error.to_string()), matches!(error, CheckpointError::Unread { .. })),
        }
    })?;
    // counted(host) -> how many events are counted and in no stored summary
    functions.add("counted", |recorder, Host(host): Host| recorder.flood.counted(&host))?;
    // suppressed(host, now) -> { [event type] = number }, number within the last minute
    functions.add("suppressed", |recorder, (Host(host), now): (Host, f64)| {
        let types: Vec<(String, u64)> = recorder.flood.suppressed(&host).map(|(kind, number)| (kind.to_owned(), number)).collect();
        (TypeCounts(types), recorder.flood.suppressed_lately(&host, now))
    })
}

/// A summary as a table: { id, type, at = when it is recorded, offered = whether a store may have it, entry = its payload }
struct Shown {
    summary: FloodSummary,
    at: f64,
    entry: Vec<u8>,
}

impl Shown {
    fn new(summary: FloodSummary, unix: f64) -> Self {
        let mut entry = Vec::new();
        let at = write_summary(&summary, unix, &mut entry);
        Self { summary, at, entry }
    }
}

impl IntoLua for Shown {
    fn into_lua(self, lua: &Lua) -> LuaResult<LuaValue> {
        let table = lua.create_table()?;
        table.set("id", self.summary.id)?;
        table.set("type", self.summary.kind)?;
        table.set("at", self.at)?;
        table.set("offered", self.summary.offered)?;
        table.set("entry", lua.create_string(self.entry)?)?;
        table.into_lua(lua)
    }
}

/// Numbers by event type, as a table.
struct TypeCounts(Vec<(String, u64)>);

impl IntoLua for TypeCounts {
    fn into_lua(self, lua: &Lua) -> LuaResult<LuaValue> {
        lua.create_table_from(self.0)?.into_lua(lua)
    }
}
