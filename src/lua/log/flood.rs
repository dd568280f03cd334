//! What the glue asks of flood control: functions of the recorder.

use mlua::prelude::*;

use super::location_table;
use crate::flood::{Account, Event, FloodSummary, Often, Sample, Verdict, beside, weight};
use crate::lua::functions::Functions;
use crate::lua::value::{self, Host, Text};

/// Adds the functions. `now` is always the clock of flood control, and `unix` the time that it is then.
pub(crate) fn add(functions: &Functions<'_>) -> LuaResult<()> {
    // outcome(host, event type, module that reports it, now, unix) -> number of the outcome | nil: all of that type are stored
    functions.add("outcome", |recorder, (Host(host), kind, source, now, unix): (Host, String, String, f64, f64)| {
        recorder.flood.set_clock(now, unix);
        recorder.flood.outcome(&host, &kind, &source, now)
    })?;
    // ask(outcome, user, address, condition, actor, bytes of text that are to be stored, now) -> whether it is to be stored; if not it was counted
    functions.add(
        "ask",
        |recorder, (outcome, user, address, condition, actor, bytes, now): (usize, Text, Text, Text, Text, u64, f64)| {
            let (user, address, condition, actor) = (user.bytes(), address.bytes(), condition.bytes(), actor.bytes());
            let account = user.as_deref().map_or(Account::Unknown, Account::Jid);
            let (address, condition, actor) = (address.as_deref(), condition.as_deref(), actor.as_deref());
            recorder.flood.ask(outcome, &Event { account, address, condition, actor, weight: weight(bytes) }, now) == Verdict::Store
        },
    )?;
    // admits(outcome, name of an account of the host, address, condition, now) -> whether it is to be stored, and if not whether it
    // should be asked if there is such an account
    functions.add("admits", |recorder, (outcome, name, address, condition, now): (usize, Text, Text, Text, f64)| {
        let (name, address, condition) = (name.bytes(), address.bytes(), condition.bytes());
        let account = name.as_deref().map_or(Account::Unknown, Account::Name);
        let event = Event { account, address: address.as_deref(), condition: condition.as_deref(), ..Event::default() };
        let verdict = recorder.flood.ask(outcome, &event, now);
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
        recorder.summaries(&host, now, unix, closing).into_iter().map(Shown).collect::<Vec<_>>()
    })?;
    // settle(host, stored): the first so many of them are stored
    functions.add("settle", |recorder, (Host(host), stored): (Host, usize)| recorder.flood.settle(&host, stored))?;
    // checkpoint(host, path of the journal, now, whether the host is closing) -> message | nil
    functions.add("checkpoint", |recorder, (Host(host), path, now, closing): (Host, LuaString, f64, bool)| {
        let path = beside(value::path(&path.as_bytes()));
        recorder.checkpoint(&host, &path, now, closing).err().map(|error| format!("{}: {error}", path.display()))
    })?;
    // restore(host, path of the journal, now, unix) -> number of summaries that are due, message | nil
    functions.add("restore", |recorder, (Host(host), path, now, unix): (Host, LuaString, f64, f64)| {
        let path = beside(value::path(&path.as_bytes()));
        recorder.flood.set_clock(now, unix);
        match recorder.flood.restore(&host, &path, now) {
            Ok(number) => (number, None),
            Err(error) => (0, Some(format!("{}: {error}", path.display()))),
        }
    })?;
    // counted(host) -> how many events are counted and in no stored summary
    functions.add("counted", |recorder, Host(host): Host| recorder.flood.counted(&host))?;
    // suppressed(host, now) -> { [event type] = number }, number within the last minute
    functions.add("suppressed", |recorder, (Host(host), now): (Host, f64)| {
        let types: Vec<(String, u64)> = recorder.flood.suppressed(&host).map(|(kind, number)| (kind.to_owned(), number)).collect();
        (Totals(types), recorder.flood.suppressed_lately(&host, now))
    })
}

/// A summary as a table; what it has not is nil.
struct Shown(FloodSummary);

impl IntoLua for Shown {
    fn into_lua(self, lua: &Lua) -> LuaResult<LuaValue> {
        let FloodSummary { id, kind, source, user, remote_ip, location, count, first, last, accounts, networks, .. } = self.0;
        let table = lua.create_table()?;
        table.set("id", id)?;
        table.set("type", kind)?;
        table.set("source", source)?;
        table.set("user", user)?;
        table.set("remote_ip", remote_ip)?;
        if let Some(location) = location {
            table.set("location", location_table(lua, location)?)?;
        }
        table.set("count", count)?;
        table.set("first", first)?;
        table.set("last", last)?;
        table.set("accounts", accounts)?;
        table.set("networks", networks)?;
        table.set("actor", self.0.actor)?;
        table.set("remote", self.0.remote)?;
        table.set("actors", self.0.actors)?;
        table.set("at_least", self.0.at_least)?;
        table.set("distinct_at_least", self.0.distinct_at_least)?;
        table.set("offered", self.0.offered)?;
        table.set("others", self.0.others)?;
        table.set("names", self.0.names)?;
        // Each as the attributes of an element.
        let samples = self.0.samples.into_iter().map(|Sample { user, network, condition }| {
            let shown = lua.create_table()?;
            shown.set("user", user)?;
            shown.set("network", network)?;
            shown.set("condition", condition)?;
            Ok(shown)
        });
        table.set("samples", samples.collect::<LuaResult<Vec<_>>>()?)?;
        let often = self.0.often.into_iter().map(|Often { user, network, actor, count, exists }| {
            let shown = lua.create_table()?;
            shown.set("user", user)?;
            shown.set("network", network)?;
            shown.set("actor", actor)?;
            shown.set("count", count.to_string())?;
            shown.set("exists", exists.then_some("true"))?;
            Ok(shown)
        });
        table.set("often", often.collect::<LuaResult<Vec<_>>>()?)?;
        table.into_lua(lua)
    }
}

/// Numbers by event type, as a table.
struct Totals(Vec<(String, u64)>);

impl IntoLua for Totals {
    fn into_lua(self, lua: &Lua) -> LuaResult<LuaValue> {
        lua.create_table_from(self.0)?.into_lua(lua)
    }
}
