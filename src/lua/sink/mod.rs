//! Sinks as objects of the modules: what to send next, and what came of it. The modules have the connections.

mod hosts;

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use mlua::prelude::*;

use crate::file::Disk;
use crate::file::log_file::LogFile;
use crate::file::whole::{self, Durability};
use crate::lua::value;
use crate::options::sinks::{SinkOptions, Target, sinks};
use crate::render::framing::Framing;
use crate::sink::delivery::{Certainty, HostPlace};
use crate::sink::{Answer, Delivery, Step, compress, signature};
use hosts::{COLLECT, Hosts};

/// How often hosts without wanted entries are passed over in one step, before the loop goes on.
const MOST_UNWANTED: usize = 5;
/// How long messages are made in one step, and how many at least. After that a batch is sent as it is.
const HELD: Duration = Duration::from_micros(500);
const CHUNK: usize = 10;

/// A sink of the configuration, with the hosts whose entries it sends.
pub(crate) struct LuaSink {
    options: SinkOptions,
    state: RefCell<(Delivery, Hosts)>,
}

/// Adds `sinks(value of the option) -> list of sinks, list of refused values`, `log_file(path) -> file | nil, message` and
/// `write_position(path, text) -> true | nil, message`.
pub(crate) fn add(lua: &Lua, native: &LuaTable) -> LuaResult<()> {
    let read = |lua: &Lua, value: LuaValue| {
        let (found, refused) = sinks(&value::option(&value));
        let found: Vec<LuaAnyUserData> =
            found.into_iter().map(|options| lua.create_userdata(LuaSink::new(options))).collect::<LuaResult<_>>()?;
        Ok((found, refused))
    };
    native.set("sinks", lua.create_function(read)?)?;
    let open = |lua: &Lua, path: LuaString| match LogFile::open(value::path(&path.as_bytes())) {
        Ok(file) => Ok((Some(lua.create_userdata(LuaLogFile(file))?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    };
    native.set("log_file", lua.create_function(open)?)?;
    let write = |_: &Lua, (path, text): (LuaString, LuaString)| {
        let path = path.as_bytes();
        let path = value::path(&path);
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        Ok(match whole::replace(&Disk, path, Path::new(&beside), &text.as_bytes(), Durability::Relaxed) {
            Ok(()) => (Some(true), None),
            Err(error) => (None, Some(error.to_string())),
        })
    };
    native.set("write_position", lua.create_function(write)?)
}

/// A file that entries are appended to.
struct LuaLogFile(LogFile);

impl LuaUserData for LuaLogFile {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // append(text) -> true | nil, message: adds the text and a newline
        methods.add_method_mut("append", |_, this, text: LuaString| {
            let line = [&*text.as_bytes(), b"\n"].concat();
            Ok(match this.0.append(&line) {
                Ok(()) => (Some(true), None),
                Err(error) => (None, Some(error.to_string())),
            })
        });
    }
}

impl LuaSink {
    fn new(options: SinkOptions) -> Self {
        let certainty = match options.to {
            Target::Http { .. } | Target::File(_) => Certainty::Answer,
            // A datagram that the kernel has taken is lost if its receiver dies, too.
            Target::Tls(_) | Target::Tcp(_) | Target::Udp(_) | Target::Unix(_) => Certainty::Time,
        };
        let delivery = Delivery::new(options.batch, certainty);
        let hosts = Hosts::new(&options);
        Self { options, state: RefCell::new((delivery, hosts)) }
    }

    /// Whether each entry is sent for itself.
    const fn sends_each(&self) -> bool {
        matches!(self.options.to, Target::Udp(_) | Target::Unix(_) | Target::File(_))
    }

    fn settings(&self, lua: &Lua) -> LuaResult<LuaTable> {
        let options = &self.options;
        let table = lua.create_table()?;
        table.set("name", options.name.as_str())?;
        table.set("transport", options.to.transport())?;
        table.set("shown", options.to.shown())?;
        match &options.to {
            Target::Tls(address) | Target::Tcp(address) | Target::Udp(address) => {
                table.set("host", address.host.as_str())?;
                table.set("port", address.port)?;
            }
            Target::Unix(path) | Target::File(path) => table.set("path", path.as_str())?,
            Target::Http { url, .. } => table.set("url", url.as_str())?,
        }
        table.set("format", options.format.name())?;
        table.set("content_type", options.framing.content_type(options.format))?;
        table.set("content_encoding", options.is_compressed.then_some("gzip"))?;
        table.set("collects", COLLECT)?;
        table.set("timeout", options.timeout)?;
        table.set("headers", lua.create_table_from(options.headers.iter().map(|(name, text)| (name.as_str(), text.as_str())))?)?;
        table.set("token_file", options.token_file.as_deref())?;
        table.set("sign_file", options.sign_file.as_deref())?;
        let [cafile, certificate, key] = &options.tls_files;
        table.set("cafile", cafile.as_deref())?;
        table.set("certificate", certificate.as_deref())?;
        table.set("key", key.as_deref())?;
        Ok(table)
    }

    /// Takes messages of a host for the next batch. Returns its name if more must be read first.
    fn take(delivery: &mut Delivery, hosts: &mut Hosts, host: usize, time: f64, began: Instant) -> Option<String> {
        let mut messages = Vec::new();
        loop {
            let left = delivery.batch().saturating_sub(messages.len());
            match hosts.take(host, left.min(CHUNK), time) {
                Err(name) if messages.is_empty() => return Some(name),
                Err(name) => {
                    hosts.news(&name, true);
                    break;
                }
                Ok(some) => messages.extend(some),
            }
            if messages.len() >= delivery.batch() || began.elapsed() >= HELD {
                break;
            }
        }
        let done = delivery.offer(host, messages);
        commit(hosts, done);
        None
    }

    /// Gives the messages of the next batch to Lua: a text, or a list of texts.
    fn send(&self, lua: &Lua, delivery: &mut Delivery, hosts: &Hosts, count: usize) -> LuaResult<LuaMultiValue> {
        if self.sends_each() {
            return ("send", delivery.texts(count)).into_lua_multi(lua);
        }
        let wrap = delivery.host().and_then(|host| hosts.wrap(host));
        let body = delivery.body(count, self.options.framing, wrap);
        ("send", lua.create_string(&self.compressed(body)?)?).into_lua_multi(lua)
    }

    fn compressed(&self, body: Vec<u8>) -> LuaResult<Vec<u8>> {
        if self.options.is_compressed { compress::gzip(&body).map_err(LuaError::external) } else { Ok(body) }
    }
}

/// Commits places, each of a host.
fn commit(hosts: &mut Hosts, places: impl IntoIterator<Item = HostPlace>) {
    for (host, place) in places {
        hosts.commit(host, &place);
    }
}

impl LuaUserData for LuaSink {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // settings() -> { name, transport, shown = the address without secrets, host, port, path, url, format, content_type,
        // content_encoding | nil, collects: how long entries are collected for a batch, timeout, headers, token_file, sign_file, cafile,
        // certificate, key }
        methods.add_method("settings", |lua, this, ()| this.settings(lua));
        // wants(host) -> whether it sends entries of the host
        methods.add_method("wants", |_, this, host: String| {
            Ok(this.options.hosts.is_empty() || this.options.hosts.iter().any(|pattern| pattern.matches(&host)))
        });
        // join(host, cursor, name in ASCII | nil): begins to send its entries; leave(host)
        methods.add_method("join", |_, this, (host, cursor, ascii): (String, LuaAnyUserData, Option<String>)| {
            this.state.borrow_mut().1.join(&this.options, host, cursor, ascii);
            Ok(())
        });
        methods.add_method("leave", |_, this, host: String| {
            let (delivery, hosts) = &mut *this.state.borrow_mut();
            if let Some(host) = hosts.leave(&host) {
                delivery.forget(host);
            }
            Ok(())
        });
        // take_alerts(host, whether it gets the alerts of the host in any case)
        methods.add_method("take_alerts", |_, this, (host, takes_alerts): (String, bool)| {
            this.state.borrow_mut().1.take_alerts(&host, takes_alerts);
            Ok(())
        });
        // news(host, whether there is something to read)
        methods.add_method("news", |_, this, (host, has_more): (String, bool)| {
            this.state.borrow_mut().1.news(&host, has_more);
            Ok(())
        });
        // step(now, time) -> "send", text or list of texts | "fill", host: read more, and call news() | "wait", seconds | nil: there is
        // nothing to do before an answer or an entry comes. `now` is on a clock that does not jump.
        methods.add_method("step", |lua, this, (now, time): (f64, f64)| {
            let (delivery, hosts) = &mut *this.state.borrow_mut();
            let began = Instant::now();
            for turn in 0..MOST_UNWANTED {
                match delivery.step(now) {
                    Step::Answer => return ().into_lua_multi(lua),
                    Step::Wait(seconds) => return ("wait", seconds).into_lua_multi(lua),
                    Step::Send(count) => return this.send(lua, delivery, hosts, count),
                    Step::More => {
                        if turn > 0 && began.elapsed() >= HELD {
                            break;
                        }
                        let host = match hosts.next(now) {
                            Ok(host) => host,
                            Err(Some(seconds)) => return ("wait", seconds).into_lua_multi(lua),
                            Err(None) => return ().into_lua_multi(lua),
                        };
                        if let Some(name) = Self::take(delivery, hosts, host, time, began) {
                            return ("fill", name).into_lua_multi(lua);
                        }
                        hosts.collect(host, now, delivery.batch());
                    }
                }
            }
            ("wait", 0.0).into_lua_multi(lua)
        });
        // hurry(): entries are not collected any more
        methods.add_method("hurry", |_, this, ()| {
            this.state.borrow_mut().1.hurry();
            Ok(())
        });
        // accepted(count | nil, now): the receiver has what was sent, or the first ones
        methods.add_method("accepted", |_, this, (count, now): (Option<usize>, f64)| {
            let (delivery, hosts) = &mut *this.state.borrow_mut();
            commit(hosts, delivery.accepted(count, now));
            Ok(())
        });
        // pause(seconds, now): the receiver is busy
        methods.add_method("pause", |_, this, (seconds, now): (f64, f64)| {
            this.state.borrow_mut().0.pause(now, seconds);
            Ok(())
        });
        // refused(whether it is the next one | nil) -> host, id | nil, event type of the entry that is set aside | nil: what was sent is split
        methods.add_method("refused", |_, this, is_one: Option<bool>| {
            let (delivery, hosts) = &mut *this.state.borrow_mut();
            let Some((host, message)) = delivery.refused(is_one.unwrap_or(false)) else { return Ok((None, None, None)) };
            hosts.commit(host, &message.place);
            Ok((hosts.name(host), message.id, Some(message.kind)))
        });
        // failed(problem, pause | nil, now): what was sent did not arrive
        methods.add_method("failed", |_, this, (problem, pause, now): (String, Option<f64>, f64)| {
            this.state.borrow_mut().0.failed(&problem, pause, now);
            Ok(())
        });
        // broken(problem, now): a connection without answers broke
        methods.add_method("broken", |_, this, (problem, now): (String, f64)| {
            let (delivery, hosts) = &mut *this.state.borrow_mut();
            delivery.broken(&problem, now);
            hosts.rewind();
            Ok(())
        });
        // answer(status, Retry-After | nil, time, body | nil) -> "accepted" | "refused" | "later", pause | nil
        methods.add_method("answer", |_, this, (status, retry_after, time, body): (u16, Option<String>, f64, Option<LuaString>)| {
            let answer = match Answer::of(status, retry_after.as_deref(), time) {
                Answer::Accepted if this.options.framing == Framing::Bulk => {
                    Answer::of_bulk(body.as_ref().map(|body| body.as_bytes()).as_deref())
                }
                answer => answer,
            };
            Ok(match answer {
                Answer::Accepted => ("accepted", None),
                Answer::Refused => ("refused", None),
                Answer::Later(pause) => ("later", pause),
            })
        });
        // sign(secret in the file, body, time) -> { name of a header = text } | nil, what is wrong with the secret
        methods.add_method("sign", |lua, _, (secret, body, time): (LuaString, LuaString, f64)| {
            match signature::headers(&secret.as_bytes(), &body.as_bytes(), time) {
                Ok(headers) => (lua.create_table_from(headers)?, LuaNil).into_lua_multi(lua),
                Err(problem) => (LuaNil, problem.to_string()).into_lua_multi(lua),
            }
        });
        // tick(now): time passes
        methods.add_method("tick", |_, this, now: f64| {
            let (delivery, hosts) = &mut *this.state.borrow_mut();
            commit(hosts, delivery.tick(now));
            Ok(())
        });
        // finish(): the sink ends
        methods.add_method("finish", |_, this, ()| {
            let (delivery, hosts) = &mut *this.state.borrow_mut();
            commit(hosts, delivery.finish());
            Ok(())
        });
        // trouble() -> "begins", why | "ends" | nil: as before
        methods.add_method("trouble", |_, this, ()| {
            Ok(match this.state.borrow_mut().0.news() {
                None => (None, None),
                Some(None) => (Some("ends"), None),
                Some(Some(problem)) => (Some("begins"), Some(problem)),
            })
        });
        // saved(host, time) -> its position | nil: the same as when this was last asked
        methods.add_method("saved", |_, this, (host, time): (String, f64)| Ok(this.state.borrow_mut().1.saved(&host, time)));
        // state(host | nil) -> { delivered, errors, refused, problem | nil } of all hosts, and { behind, oldest | nil: the time of
        // the oldest entry that is late } of the host or all
        methods.add_method("state", |lua, this, host: Option<String>| {
            let (delivery, hosts) = &*this.state.borrow();
            let table = lua.create_table()?;
            table.set("delivered", delivery.delivered)?;
            table.set("errors", delivery.errors)?;
            table.set("refused", delivery.refused)?;
            table.set("problem", delivery.trouble())?;
            let (behind, oldest) = hosts.behind(host.as_deref());
            // What a stream has taken is not late, although it may be sent again.
            let late = if delivery.has_answers() { oldest } else { hosts.unsent(host.as_deref()) };
            table.set("behind", behind)?;
            table.set("oldest", late)?;
            Ok(table)
        });
        // test(host, time) -> a test entry as it is sent | nil: it sends nothing of the host
        methods.add_method("test", |lua, this, (host, time): (String, f64)| {
            let hosts = &mut this.state.borrow_mut().1;
            let Some((text, wrap)) = hosts.test(&host, time) else { return Ok(LuaNil) };
            if this.sends_each() {
                return vec![text].into_lua(lua);
            }
            let mut body = Vec::new();
            match wrap {
                Some((begin, end)) => body.extend([begin.as_str(), &text, end].concat().bytes()),
                None => {
                    Framing::push(this.options.framing, &mut body, &text, true);
                    this.options.framing.end(&mut body);
                }
            }
            lua.create_string(&this.compressed(body)?)?.into_lua(lua)
        });
    }
}
