//! The journal and its hand-over to the store, as one object of the embedded Lua.

pub(crate) mod awake;
pub(crate) mod placement;
mod steps;
pub(crate) mod turns;

use mlua::prelude::*;

use crate::journal::hand_over::HandOver;
use crate::journal::{Appended, Journal, JournalError, Limits, Owner, Snapshot};
use crate::lua::value;

/// A journal that this process owns, until it is closed, and the state of its hand-over.
pub(crate) struct Owned {
    journal: Option<Journal>,
    hand_over: HandOver,
}

/// `journal(path, owner) -> journal`: without its files yet, see `attach`
pub(crate) fn open(lua: &Lua, (path, owner): (LuaString, LuaUserDataRef<Shared>)) -> LuaResult<LuaAnyUserData> {
    let journal = Journal::detached_under(value::path(&path.as_bytes()), Limits::default(), owner.0.clone());
    lua.create_userdata(Owned { journal: Some(journal), hand_over: HandOver::default() })
}

/// `owner(path of a lock file) -> owner`: of all journals that are opened with it
pub(crate) fn owner(lua: &Lua, path: LuaString) -> LuaResult<LuaAnyUserData> {
    lua.create_userdata(Shared(Owner::new(value::path(&path.as_bytes()))))
}

/// The right to change journals, which all journals of a process share.
pub(crate) struct Shared(Owner);

impl LuaUserData for Shared {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // hold() -> true | nil, message: takes the lock before there is a journal, and keeps it until release()
        methods.add_method("hold", |_, this, ()| {
            Ok(match this.0.hold() {
                Ok(()) => (Some(true), None),
                Err(error) => (None, Some(error.to_string())),
            })
        });
        methods.add_method("release", |_, this, ()| {
            this.0.release();
            Ok(())
        });
    }
}

/// `read_journal(path) -> snapshot | nil, message`
pub(crate) fn read(lua: &Lua, path: LuaString) -> LuaResult<(Option<LuaAnyUserData>, Option<String>)> {
    match Snapshot::read(value::path(&path.as_bytes())) {
        Ok(snapshot) => Ok((Some(lua.create_userdata(Reader(snapshot))?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

/// `is_owned(path of the lock file, path) -> whether a process has the journal`
pub(crate) fn is_owned(_: &Lua, (lock, path): (LuaString, LuaString)) -> LuaResult<bool> {
    Ok(crate::journal::is_owned(value::path(&lock.as_bytes()), value::path(&path.as_bytes())))
}

/// What is pending in a journal at one moment.
pub(crate) struct Reader(Snapshot);

impl LuaUserData for Reader {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // count() -> entries, damaged records
        methods.add_method("count", |_, this, ()| Ok((this.0.len(), this.0.damaged())));
        // get(index) -> sequence, payload | nil where it has none on disk; index is from 1
        methods.add_method("get", |lua, this, index: usize| {
            Ok(match index.checked_sub(1).and_then(|index| this.0.get(index)) {
                Some((sequence, payload)) => (Some(sequence), payload.map(|payload| lua.create_string(payload)).transpose()?),
                None => (None, None),
            })
        });
    }
}

impl LuaUserData for Owned {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // attach(now) -> true | nil, message | nil: not while a slice runs, pause before the next attempt, whether to report it.
        // Takes the files. What was appended before waits in memory, and has another sequence from then on.
        methods.add_method_mut("attach", |_, this, now: f64| {
            if let Some(pause) = this.hand_over.attach_pause() {
                return Ok((None, None, Some(pause), false));
            }
            let journal = this.journal()?;
            Ok(match journal.attach(now) {
                Ok(()) => {
                    let (first, end) = (journal.first(), journal.end());
                    this.hand_over.attached(first, end);
                    (Some(true), None, None, false)
                }
                Err(error) => {
                    let (pause, is_news) = this.hand_over.not_attached(matches!(error, JournalError::Locked { .. }));
                    (None, Some(error.to_string()), Some(pause), is_news)
                }
            })
        });
        methods.add_method_mut("is_attached", |_, this, ()| Ok(this.journal()?.is_attached()));
        // append(payload, event type, time, whether the caller keeps what is refused) -> sequence | nil, whether it is on disk,
        // whether something is amiss that look() tells of. What is refused is counted, if the caller does not keep it.
        methods.add_method_mut("append", |_, this, (payload, kind, at, is_kept): (LuaString, LuaString, f64, Option<bool>)| {
            let journal = this.journal()?;
            let (kind, is_kept) = (kind.as_bytes(), is_kept.unwrap_or(false));
            let kind = String::from_utf8_lossy(&kind);
            let appended = journal.append(&payload.as_bytes(), &kind, at);
            let is_amiss = journal.is_amiss();
            if !matches!(appended, Appended::Refused) {
                this.hand_over.added(at);
            }
            let journal = this.journal()?;
            Ok(match appended {
                Appended::Durable(sequence) => (Some(sequence), true, is_amiss),
                Appended::Volatile(sequence) => (Some(sequence), false, is_amiss),
                Appended::Refused => {
                    if !is_kept {
                        journal.lose(&kind, 1, at);
                    }
                    (None, false, is_amiss)
                }
            })
        });
        // look(now) -> sequences of entries whose records are gone; restore(sequence, payload, event type, time) gives one back,
        // and settle() must follow
        methods.add_method_mut("look", |_, this, now: f64| Ok(this.journal()?.look(now)));
        methods.add_method_mut("restore", |_, this, (sequence, payload, kind, at): (u64, LuaString, LuaString, f64)| {
            let kind = kind.as_bytes();
            this.journal()?.restore(sequence, &payload.as_bytes(), &String::from_utf8_lossy(&kind), at);
            Ok(())
        });
        methods.add_method_mut("settle", |_, this, ()| {
            this.journal()?.settle();
            Ok(())
        });
        // rest(): closes its files until they are needed again
        methods.add_method_mut("rest", |_, this, ()| {
            this.journal()?.rest();
            Ok(())
        });
        // count() -> how many entries wait; in_memory() -> how many of them are in memory only
        methods.add_method_mut("count", |_, this, ()| Ok(this.journal()?.len()));
        methods.add_method_mut("in_memory", |_, this, ()| Ok(this.journal()?.in_memory()));
        // first() -> sequence of the first entry that waits; next() -> one above that of the last
        methods.add_method_mut("first", |_, this, ()| Ok(this.journal()?.first()));
        methods.add_method_mut("next", |_, this, ()| Ok(this.journal()?.end()));
        // get(sequence) -> payload | nil: there is none | nil, message: it can't be read now
        methods.add_method_mut("get", |lua, this, sequence: u64| match this.journal()?.get(sequence) {
            Ok(payload) => Ok((payload.map(|payload| lua.create_string(payload)).transpose()?, None)),
            Err(error) => Ok((None, Some(error.to_string()))),
        });
        // spoil(sequence): its content is no entry
        methods.add_method_mut("spoil", |_, this, sequence: u64| {
            this.journal()?.spoil(sequence);
            Ok(())
        });
        // release(to): all before it were taken by the store
        methods.add_method_mut("release", |_, this, to: u64| {
            this.journal()?.release(to);
            Ok(())
        });
        // snapshot() -> snapshot
        methods.add_method_mut("snapshot", |lua, this, ()| lua.create_userdata(Reader(this.journal()?.snapshot())));
        // trouble() -> why it can't be written | nil
        methods.add_method_mut("trouble", |_, this, ()| Ok(this.journal()?.trouble().map(ToOwned::to_owned)));

        // lose(event type, count, time): counts entries as lost; lost() -> how many were lost in all
        methods.add_method_mut("lose", |_, this, (kind, count, at): (LuaString, u64, f64)| {
            let kind = kind.as_bytes();
            this.journal()?.lose(&String::from_utf8_lossy(&kind), count, at);
            Ok(())
        });
        methods.add_method_mut("lost", |_, this, ()| Ok(this.journal()?.losses().total()));
        // missing() -> how many entries were found to be missing since this was asked last
        methods.add_method_mut("missing", |_, this, ()| Ok(this.journal()?.take_missing()));
        // has_lost() -> whether something is to be recorded; take_lost() -> what: { count, since, till, types = { [type] = count } }.
        // tell(sequence | nil: the store has it) or not_told() must follow.
        methods.add_method_mut("has_lost", |_, this, ()| Ok(this.journal()?.losses().is_open()));
        methods.add_method_mut("take_lost", |lua, this, ()| {
            let Some(lost) = this.journal()?.take_lost() else { return Ok(None) };
            let table = lua.create_table()?;
            table.set("count", lost.count)?;
            table.set("since", lost.since)?;
            table.set("till", lost.until)?;
            table.set("types", lost.types)?;
            Ok(Some(table))
        });
        methods.add_method_mut("tell", |_, this, sequence: Option<u64>| {
            this.journal()?.tell(sequence);
            Ok(())
        });
        methods.add_method_mut("not_told", |_, this, ()| {
            this.journal()?.not_told();
            Ok(())
        });
        // give_up(now) -> how many entries were in memory only and are lost now, how many losses are in no entry, whether their
        // number is kept for the next start
        methods.add_method_mut("give_up", |_, this, now: f64| {
            let journal = this.journal()?;
            let lost = journal.give_up(now);
            let unrecorded = journal.losses().unrecorded().map_or(0, |lost| lost.count);
            Ok((lost, unrecorded, journal.is_kept()))
        });
        // is_kept() -> whether what is counted would survive the death of the process, why not | nil; counted() -> how many events flood control
        // had counted when the last one died; set_counted(count)
        methods.add_method_mut("is_kept", |_, this, ()| {
            let journal = this.journal()?;
            Ok((journal.is_kept(), journal.ledger_trouble().map(ToOwned::to_owned)))
        });
        methods.add_method_mut("counted", |_, this, ()| Ok(this.journal()?.counted()));
        methods.add_method_mut("set_counted", |_, this, count: u64| {
            this.journal()?.set_counted(count);
            Ok(())
        });
        // close()
        methods.add_method_mut("close", |_, this, ()| {
            if let Some(journal) = this.journal.take() {
                journal.close();
            }
            Ok(())
        });
        steps::add(methods);
    }
}

impl Owned {
    fn journal(&mut self) -> LuaResult<&mut Journal> {
        self.journal.as_mut().ok_or_else(|| LuaError::runtime("the journal is closed"))
    }
}
