//! The journal as an object of the glue.

use mlua::prelude::*;

use super::convert;
use crate::journal::{Appended, Journal, Limits, Snapshot};

/// A journal that this process owns, until it is closed.
pub(super) struct Owned(Option<Journal>);

/// `journal(path) -> journal | nil, message`
pub(super) fn open(lua: &Lua, path: LuaString) -> LuaResult<(Option<LuaAnyUserData>, Option<String>)> {
    match Journal::open(convert::path(&path.as_bytes()), Limits::default()) {
        Ok(journal) => Ok((Some(lua.create_userdata(Owned(Some(journal)))?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

/// `read_journal(path) -> snapshot | nil, message`
pub(super) fn read(lua: &Lua, path: LuaString) -> LuaResult<(Option<LuaAnyUserData>, Option<String>)> {
    match Snapshot::read(convert::path(&path.as_bytes())) {
        Ok(snapshot) => Ok((Some(lua.create_userdata(Reader(snapshot))?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

/// `is_owned(path) -> whether a process has the journal`
pub(super) fn is_owned(_: &Lua, path: LuaString) -> LuaResult<bool> {
    Ok(crate::journal::is_owned(convert::path(&path.as_bytes())))
}

/// What is pending in a journal at one moment.
pub(super) struct Reader(Snapshot);

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
        // append(payload) -> sequence | nil, whether it is on disk
        methods.add_method_mut("append", |_, this, payload: LuaString| {
            Ok(match this.journal()?.append(&payload.as_bytes()) {
                Appended::Durable(sequence) => (Some(sequence), true),
                Appended::Volatile(sequence) => (Some(sequence), false),
                Appended::Lost => (None, false),
            })
        });
        // first() -> sequence of the first entry that waits; next() -> one above that of the last
        methods.add_method_mut("first", |_, this, ()| Ok(this.journal()?.first()));
        methods.add_method_mut("next", |_, this, ()| Ok(this.journal()?.end()));
        // get(sequence) -> payload | nil: there is none | nil, message: it can't be read now
        methods.add_method_mut("get", |lua, this, sequence: u64| match this.journal()?.get(sequence) {
            Ok(payload) => Ok((payload.map(|payload| lua.create_string(payload)).transpose()?, None)),
            Err(error) => Ok((None, Some(error.to_string()))),
        });
        // release(to): all before it were taken by the store
        methods.add_method_mut("release", |_, this, to: u64| {
            this.journal()?.release(to);
            Ok(())
        });
        // snapshot() -> snapshot
        methods.add_method_mut("snapshot", |lua, this, ()| lua.create_userdata(Reader(this.journal()?.snapshot())));
        // damaged() -> number of records that were left out when it was opened
        methods.add_method_mut("damaged", |_, this, ()| Ok(this.journal()?.damaged()));
        // trouble() -> why it can't be written | nil
        methods.add_method_mut("trouble", |_, this, ()| Ok(this.journal()?.trouble().map(ToOwned::to_owned)));
        // close()
        methods.add_method_mut("close", |_, this, ()| {
            if let Some(journal) = this.0.take() {
                journal.close();
            }
            Ok(())
        });
    }
}

impl Owned {
    fn journal(&mut self) -> LuaResult<&mut Journal> {
        self.0.as_mut().ok_or_else(|| LuaError::runtime("the journal is closed"))
    }
}
