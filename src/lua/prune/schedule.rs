//! The schedule of prunes, as an object of the embedded Lua.

use mlua::prelude::*;

use crate::archive::schedule::{PruneExtent, Schedule, Turn, Watch};
use crate::lua::value::Host;

/// `prune_schedule() -> schedule`
pub(crate) fn new(lua: &Lua, (): ()) -> LuaResult<LuaAnyUserData> {
    lua.create_userdata(Schedule::default())
}

const fn extent(limits: Option<bool>) -> PruneExtent {
    match limits {
        Some(true) => PruneExtent::Limits,
        _ => PruneExtent::Full,
    }
}

impl LuaUserData for Schedule {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // ask(host, now, delay, whether only limits) -> time | nil: no timer is needed
        methods.add_method_mut("ask", |_, this, (Host(host), now, delay, limits): (Host, f64, f64, Option<bool>)| {
            Ok(this.ask(&host, now, delay, extent(limits)))
        });
        // ask_for_limits(host, now) -> time, delay | nil
        methods.add_method_mut("ask_for_limits", |_, this, (Host(host), now): (Host, f64)| Ok(this.ask_for_limits(&host, now).unzip()));
        // rings(host, time, whether only limits) -> whether the prune begins that was asked for
        methods.add_method_mut("rings", |_, this, (Host(host), at, limits): (Host, f64, Option<bool>)| {
            Ok(this.rings(&host, at, extent(limits)))
        });
        // delay_until(next, now) -> the delay of the prune for what expires then
        methods.add_method("delay_until", |_, _, (next, now): (f64, f64)| Ok(Schedule::delay_until(next, now)));
        // failed(host, whether trouble with its store was reported) -> pause before the next attempt, whether to report it
        methods.add_method_mut("failed", |_, this, (Host(host), is_in_trouble): (Host, bool)| {
            let failure = this.failed(&host, is_in_trouble);
            Ok((failure.retry, failure.is_news))
        });
        methods.add_method_mut("succeeded", |_, this, Host(host): Host| {
            this.succeeded(&host);
            Ok(())
        });
        // turn(host, now, whether to wait) -> "free" | "busy" | "silent": give_up() first | "wait", seconds
        methods.add_method_mut("turn", |_, this, (Host(host), now, may_wait): (Host, f64, Option<bool>)| {
            Ok(match this.turn(&host, now, may_wait.unwrap_or(false)) {
                Turn::Free => ("free", None),
                Turn::Busy => ("busy", None),
                Turn::Silent => ("silent", None),
                Turn::Wait(seconds) => ("wait", Some(seconds)),
            })
        });
        // begin(host, now) -> ticket | nil: another prune runs
        methods.add_method_mut("begin", |_, this, (Host(host), now): (Host, f64)| Ok(this.begin(&host, now)));
        // goes_on(host, ticket, now) -> whether it was not given up
        methods.add_method_mut("goes_on", |_, this, (Host(host), ticket, now): (Host, u64, f64)| Ok(this.goes_on(&host, ticket, now)));
        // watch(host, ticket, now) -> nil: it has ended | "silent" | "later", seconds
        methods.add_method_mut("watch", |_, this, (Host(host), ticket, now): (Host, u64, f64)| {
            Ok(match this.watch(&host, ticket, now) {
                Watch::Over => (None, None),
                Watch::Silent => (Some("silent"), None),
                Watch::Later(seconds) => (Some("later"), Some(seconds)),
            })
        });
        // give_up(host) -> for how many seconds it was silent | nil: not to be reported, pause before the next attempt
        methods.add_method_mut("give_up", |_, this, Host(host): Host| Ok(this.give_up(&host)));
        // ended(host, ticket) -> whether it was not given up before
        methods.add_method_mut("ended", |_, this, (Host(host), ticket): (Host, u64)| Ok(this.ended(&host, ticket)));
    }
}
