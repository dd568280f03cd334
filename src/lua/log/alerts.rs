//! Alerts, as functions of the recorder for the embedded Lua.

use mlua::prelude::*;

use crate::alert::{self, Login, Moment, Notice};
use crate::lua::functions::Functions;
use crate::lua::value::{Host, Text, option, path};
use crate::options::{Value, alerts as read_options};
use crate::recorder::alerts::{News, ShownAlert};

/// Adds the functions. `now` is always a time of the monotonic clock, and `unix` the UNIX time at that moment.
pub(crate) fn add(functions: &Functions<'_>) -> LuaResult<()> {
    let lua = functions.lua();
    // start_alerts(host, get_option, path of the file for what accounts are known for | nil)
    //   -> { to = list | nil, rooms = list, sinks = list, notices =, everyone = whether the history of all accounts matters }, list of refused
    //      values, problem | nil
    let recorder = functions.recorder();
    let start = lua.create_function(move |lua, (Host(host), get, file): (Host, LuaFunction, Text)| {
        // The options are read before the recorder is borrowed: reading them runs Lua.
        let (settings, texts, refused) = read_options(|name| get.call::<LuaValue>(name).map_or(Value::Nil, |value| option(&value)));
        let table = lua.create_table()?;
        table.set("to", settings.to.clone())?;
        table.set("rooms", settings.rooms.clone())?;
        table.set("sinks", settings.sinks.clone())?;
        table.set("notices", settings.notices)?;
        table.set("everyone", settings.notices || settings.rules.iter().any(|rule| rule.everyone))?;
        let file = file.bytes().map(|file| path(&file).to_owned());
        let problem = recorder.borrow_mut().start_alerts(&host, settings, texts, file).err();
        Ok((table, refused, problem.map(|problem| problem.to_string())))
    })?;
    functions.set("start_alerts", start)?;
    // stop_alerts(host, now, unix) -> problem | nil
    functions
        .add("stop_alerts", |recorder, (Host(host), now, unix): (Host, f64, f64)| recorder.stop_alerts(&host, Moment { now, unix }))?;
    // list_alerts(get_option) -> the rules as text, list of refused values
    let list = lua.create_function(move |_, get: LuaFunction| {
        let (settings, _, refused) = read_options(|name| get.call::<LuaValue>(name).map_or(Value::Nil, |value| option(&value)));
        Ok((alert::listing(&settings.rules), refused))
    })?;
    functions.set("list_alerts", list)?;
    // alert_admins(host, list of JIDs) -> list of those that nothing is known of
    functions.add("alert_admins", |recorder, (Host(host), admins): (Host, Vec<String>)| {
        recorder.alerts().map(|alerts| alerts.set_admins(&host, admins)).unwrap_or_default()
    })?;
    // alert_history(host) -> since when logins must be read from the log | nil: nothing has to be read
    functions.add("alert_history", |recorder, Host(host): Host| recorder.alerts().and_then(|alerts| alerts.history(&host)))?;
    // learn_login(host, account, country | nil, client | nil, unix)
    type LoginArguments = (Host, String, Option<String>, Option<String>, f64);
    functions.add("learn_login", |recorder, (Host(host), account, country, client, at): LoginArguments| {
        if let Some(alerts) = recorder.alerts() {
            let login = Login { country: country.as_deref(), client: client.as_deref(), coordinates: None, at };
            alerts.learn(&host, &account, &login);
        }
    })?;
    // learned_logins(host): all logins of the log were read
    functions.add("learned_logins", |recorder, Host(host): Host| {
        if let Some(alerts) = recorder.alerts() {
            alerts.learned(&host);
        }
    })?;
    // forget_account(host, bare JID): forgets what an account is known for
    functions.add("forget_account", |recorder, (Host(host), account): (Host, String)| {
        if let Some(alerts) = recorder.alerts() {
            alerts.forget(&host, &account);
        }
    })?;
    // alert_trouble(host, subject, problem | nil, patience in seconds, sink | nil, now, unix)
    type TroubleArguments = (Host, String, Option<LuaString>, f64, Option<String>, f64, f64);
    functions.add("alert_trouble", |recorder, (Host(host), subject, problem, patience, sink, now, unix): TroubleArguments| {
        if let Some(alerts) = recorder.alerts() {
            let problem = problem.map(|problem| problem.to_string_lossy());
            alerts.trouble(&host, &subject, sink.as_deref(), problem.as_deref(), patience, Moment { now, unix });
        }
    })?;
    // with_alert_news() -> list of the hosts on which alert_news() has something to do
    functions.add("with_alert_news", |recorder, ()| {
        let hosts: Vec<String> = recorder.alerts().map(|alerts| alerts.with_news().map(ToOwned::to_owned).collect()).unwrap_or_default();
        hosts
    })?;
    // alert_news(host, now, unix) -> list of alerts, list of notices, problem | nil
    functions.add("alert_news", |recorder, (Host(host), now, unix): (Host, f64, f64)| {
        let News { alerts, notices, problem } = recorder.alert_news(&host, Moment { now, unix });
        let alerts: Vec<LuaAlert> = alerts.into_iter().map(LuaAlert).collect();
        let notices: Vec<LuaNotice> = notices.into_iter().map(LuaNotice).collect();
        (alerts, notices, problem)
    })?;
    // notice_text(host, language | nil, notice) -> text
    functions.add("notice_text", |recorder, (Host(host), language, notice): (Host, Option<String>, LuaTable)| {
        let notice = Notice {
            account: notice.get("account")?,
            session: None,
            at: notice.get("at")?,
            client: notice.get("client")?,
            country: notice.get("country")?,
            address: notice.get("address")?,
        };
        Ok::<_, LuaError>(recorder.notice_text(&host, language.as_deref(), &notice))
    })
}

/// An alert as a table.
struct LuaAlert(ShownAlert);

impl IntoLua for LuaAlert {
    fn into_lua(self, lua: &Lua) -> LuaResult<LuaValue> {
        let ShownAlert { rule, key, account, network, count, since, text, once, sink } = self.0;
        let table = lua.create_table()?;
        table.set("rule", rule)?;
        table.set("key", key)?;
        table.set("account", account)?;
        table.set("network", network)?;
        table.set("count", count)?;
        table.set("since", since)?;
        table.set("text", text)?;
        table.set("once", once)?;
        table.set("sink", sink)?;
        table.into_lua(lua)
    }
}

/// A notice as a table.
struct LuaNotice(Notice);

impl IntoLua for LuaNotice {
    fn into_lua(self, lua: &Lua) -> LuaResult<LuaValue> {
        let Notice { account, session, at, client, country, address } = self.0;
        let table = lua.create_table()?;
        table.set("account", account)?;
        table.set("session", session)?;
        table.set("at", at)?;
        table.set("client", client)?;
        table.set("country", country)?;
        table.set("address", address)?;
        table.into_lua(lua)
    }
}
