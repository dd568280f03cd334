//! The journal and its hand-over to the store, as one object of the embedded Lua.

pub(crate) mod awake;
#[cfg(feature = "storage")]
pub(crate) mod bytes;
pub(crate) mod cursor;
pub(crate) mod parts;
pub(crate) mod placement;
mod steps;
pub(crate) mod turns;

use std::cell::{RefCell, RefMut};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use mlua::prelude::*;

use crate::chain::chains::Chains;
use crate::entry::payload::attribute_of;
use crate::journal::hand_over::HandOver;
use crate::journal::tail::Tail;
use crate::journal::{Appended, Journal, JournalError, Limits, Owner, Snapshot};
use crate::lua::hand_over::parts::Opened;
use crate::lua::value;

/// How many bytes of entries a journal also keeps in memory: some hundred entries, which are handed over soon.
const RECENT: usize = 896 << 10;
/// How many bytes of entries are kept for readers beside the hand-over that have not read them yet: some hundred entries.
const TAIL: usize = 512 << 10;
/// How many entries at the end of a journal are searched for one that a crash may have left there: more than are added in one turn of
/// the loop.
const LAST: u64 = 1000;

/// A journal that this process owns, until it is closed, and the state of its hand-over.
pub(crate) struct Owned {
    kept: Rc<RefCell<Kept>>,
    opened: Opened,
}

/// The journal and the state of its hand-over, shared with the functions that append entries.
pub(crate) struct Kept {
    journal: Option<Journal>,
    hand_over: HandOver,
    /// The last entries, for readers beside the hand-over.
    pub(crate) tail: Tail,
}

type OpenArguments = (LuaString, LuaUserDataRef<Shared>, Option<f64>);

/// `journal(path, owner, now | nil) -> journal`. The journal opens its files in attach().
pub(crate) fn open(lua: &Lua, (path, owner, now): OpenArguments, opened: Opened) -> LuaResult<LuaAnyUserData> {
    let limits = Limits { recent: RECENT, ..Limits::default() };
    let journal = Journal::detached_under(value::path(&path.as_bytes()), limits, owner.0.clone());
    let tail = Tail::new(TAIL, now.unwrap_or_default());
    lua.create_userdata(Owned {
        kept: Rc::new(RefCell::new(Kept { journal: Some(journal), hand_over: HandOver::default(), tail })),
        opened,
    })
}

/// `owner(path of a lock file) -> owner`, for all journals that share the lock file
pub(crate) fn owner(lua: &Lua, path: LuaString) -> LuaResult<LuaAnyUserData> {
    lua.create_userdata(Shared(Owner::new(value::path(&path.as_bytes()))))
}

/// The right to change journals, which all journals of a process share.
pub(crate) struct Shared(Owner);

impl Shared {
    /// The right itself.
    pub(crate) fn owner(&self) -> Owner {
        self.0.clone()
    }
}

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
        Ok(snapshot) => Ok((Some(lua.create_userdata(LuaSnapshot(snapshot))?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

/// `is_owned(path of the lock file, path) -> whether a process has the journal`
pub(crate) fn is_owned(_: &Lua, (lock, path): (LuaString, LuaString)) -> LuaResult<bool> {
    Ok(crate::journal::is_owned(value::path(&lock.as_bytes()), value::path(&path.as_bytes())))
}

/// The pending entries of a journal at one moment.
pub(crate) struct LuaSnapshot(Snapshot);

impl LuaUserData for LuaSnapshot {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // count() -> entries, damaged records, why entries may be missing | nil
        methods.add_method("count", |_, this, ()| Ok((this.0.len(), this.0.damaged(), this.0.problem().map(ToOwned::to_owned))));
        // since() -> a time before which none of them was recorded | nil: there are none
        methods.add_method("since", |_, this, ()| Ok(this.0.since().filter(|time| time.is_finite())));
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
        // Opens the files. Entries that were appended before wait in memory, and get other sequences.
        methods.add_method("attach", |_, this, now: f64| {
            let Kept { journal, hand_over, .. } = &mut *this.kept();
            if let Some(pause) = hand_over.attach_pause() {
                return Ok((None, None, Some(pause), false));
            }
            let journal = open_one(journal)?;
            Ok(match journal.attach(now) {
                Ok(()) => {
                    hand_over.attached(journal.first(), journal.end());
                    (Some(true), None, None, false)
                }
                Err(error) => {
                    let (pause, is_news) = hand_over.not_attached(matches!(error, JournalError::Locked { .. }));
                    (None, Some(error.to_string()), Some(pause), is_news)
                }
            })
        });
        methods.add_method("is_attached", |_, this, ()| Ok(this.kept().journal()?.is_attached()));
        // write_heads(): writes down where the chains of the host have got to, after an entry was written to the store directly
        methods.add_method("write_heads", |_, this, ()| {
            // If that fails, the next append says why.
            let _ = this.kept().write_heads();
            Ok(())
        });
        // look(now): checks whether somebody has changed the files, and finds entries that are still in memory. Call settle() afterwards:
        // it counts entries that are gone as lost, and writes the others again.
        methods.add_method("look", |_, this, now: f64| {
            this.kept().journal()?.look(now);
            Ok(())
        });
        methods.add_method("settle", |_, this, ()| {
            this.kept().journal()?.settle();
            Ok(())
        });
        // rest(): closes its files until they are needed again
        methods.add_method("rest", |_, this, ()| {
            this.kept().journal()?.rest();
            Ok(())
        });
        // count() -> how many entries wait; in_memory() -> how many of them are in memory only
        methods.add_method("count", |_, this, ()| Ok(this.kept().journal()?.len()));
        // since() -> a time before which none of them was recorded | nil: there are none
        methods.add_method("since", |_, this, ()| Ok(this.kept().journal()?.since().filter(|time| time.is_finite())));
        methods.add_method("in_memory", |_, this, ()| Ok(this.kept().journal()?.in_memory()));
        // first() -> sequence of the first entry that waits; next() -> one above that of the last
        methods.add_method("first", |_, this, ()| Ok(this.kept().journal()?.first()));
        methods.add_method("next", |_, this, ()| Ok(this.kept().journal()?.end()));
        // get(sequence) -> payload | nil: there is none | nil, message: it can't be read now
        methods.add_method("get", |lua, this, sequence: u64| match this.kept().journal()?.get(sequence) {
            Ok(payload) => Ok((payload.map(|payload| lua.create_string(payload)).transpose()?, None)),
            Err(error) => Ok((None, Some(error.to_string()))),
        });
        // open(sequence) -> whether there is such an entry, when it was recorded | nil: the record is not an entry, message | nil: it
        // can't be read now. Afterwards native.part() returns its parts.
        methods.add_method("open", |_, this, sequence: u64| {
            let opened = this.kept().journal()?.read(sequence, |payload| this.opened.open(payload));
            Ok(match opened {
                Ok(Some(time)) => (true, time, None),
                Ok(None) => (false, None, None),
                Err(error) => (true, None, Some(error.to_string())),
            })
        });
        // holds(id) -> whether the entry with that id is one of the last that wait
        methods.add_method("holds", |_, this, id: String| {
            let mut kept = this.kept();
            let journal = kept.journal()?;
            let from = journal.end().saturating_sub(LAST).max(journal.first());
            let waiting: Vec<u64> = journal.pending(from).collect();
            let mut is_it = |sequence: u64| journal.read(sequence, |payload| attribute_of(payload, "id") == Some(&id));
            Ok(waiting.into_iter().rev().any(|sequence| matches!(is_it(sequence), Ok(Some(true)))))
        });
        // spoil(sequence): counts an entry as lost, because its content is not an entry
        methods.add_method("spoil", |_, this, sequence: u64| {
            this.kept().journal()?.spoil(sequence);
            Ok(())
        });
        // release(to): the store has taken all entries before this sequence
        methods.add_method("release", |_, this, to: u64| {
            this.kept().journal()?.release(to);
            Ok(())
        });
        // stored(payload, time): an entry went to the store without the journal; for readers
        methods.add_method("stored", |_, this, (payload, at): (LuaString, f64)| {
            this.kept().tail.push(&payload.as_bytes(), at);
            Ok(())
        });
        // snapshot() -> snapshot
        methods.add_method("snapshot", |lua, this, ()| lua.create_userdata(LuaSnapshot(this.kept().journal()?.snapshot())));
        // trouble() -> why it can't be written | nil
        methods.add_method("trouble", |_, this, ()| Ok(this.kept().journal()?.trouble().map(ToOwned::to_owned)));

        // lose(event type, count, time): counts entries as lost; lost() -> how many were lost in all
        methods.add_method("lose", |_, this, (kind, count, at): (LuaString, u64, f64)| {
            let kind = kind.as_bytes();
            this.kept().journal()?.lose(&String::from_utf8_lossy(&kind), count, at);
            Ok(())
        });
        methods.add_method("lost", |_, this, ()| Ok(this.kept().journal()?.losses().total()));
        // damaged_ledger() -> the name under which a damaged file of losses is kept | nil; only the first call after attach() returns it
        methods.add_method("damaged_ledger", |lua, this, ()| {
            let aside = this.kept().journal()?.take_damaged_ledger();
            aside.map(|aside| lua.create_string(aside.as_os_str().as_bytes())).transpose()
        });
        // missing() -> how many entries were found to be missing since this was asked last
        methods.add_method("missing", |_, this, ()| Ok(this.kept().journal()?.take_missing()));
        // has_lost() -> whether there are losses to record; take_lost() -> the losses: { count, since, till, types = { [type] =
        // count } }. Call tell(sequence | nil: the store has the entry) or not_told() afterwards.
        methods.add_method("has_lost", |_, this, ()| Ok(this.kept().journal()?.losses().is_open()));
        methods.add_method("take_lost", |lua, this, ()| {
            let Some(lost) = this.kept().journal()?.take_lost() else { return Ok(None) };
            let table = lua.create_table()?;
            table.set("count", lost.count)?;
            table.set("since", lost.since)?;
            table.set("till", lost.until)?;
            table.set("types", lost.types)?;
            Ok(Some(table))
        });
        methods.add_method("tell", |_, this, sequence: Option<u64>| {
            this.kept().journal()?.tell(sequence);
            Ok(())
        });
        methods.add_method("not_told", |_, this, ()| {
            this.kept().journal()?.not_told();
            Ok(())
        });
        // give_up(now) -> how many entries were in memory only and are lost now, how many losses are in no entry, whether their
        // number is kept for the next start
        methods.add_method("give_up", |_, this, now: f64| {
            let mut kept = this.kept();
            let journal = kept.journal()?;
            let lost = journal.give_up(now);
            let unrecorded = journal.losses().unrecorded().map_or(0, |lost| lost.count);
            Ok((lost, unrecorded, journal.is_kept()))
        });
        // is_kept() -> whether what is counted would survive the death of the process, why not | nil; counted() -> how many events flood control
        // had counted when the last one died; set_counted(count)
        methods.add_method("is_kept", |_, this, ()| {
            let mut kept = this.kept();
            let journal = kept.journal()?;
            Ok((journal.is_kept(), journal.ledger_trouble().map(ToOwned::to_owned)))
        });
        methods.add_method("counted", |_, this, ()| Ok(this.kept().journal()?.counted()));
        methods.add_method("set_counted", |_, this, count: u64| {
            this.kept().journal()?.set_counted(count);
            Ok(())
        });
        // close()
        methods.add_method("close", |_, this, ()| {
            if let Some(journal) = this.kept().journal.take() {
                journal.close();
            }
            Ok(())
        });
        steps::add(methods);
    }
}

/// The result of recording an event or appending an entry.
pub(crate) mod outcome {
    /// It is in the journal's file.
    pub(crate) const DURABLE: u8 = 0;
    /// It is in the journal's memory only.
    pub(crate) const VOLATILE: u8 = 1;
    /// There was no room for it.
    pub(crate) const REFUSED: u8 = 2;
    /// Flood control has counted it.
    pub(crate) const COUNTED: u8 = 3;
    /// Its entry was made, but not appended to a journal.
    pub(crate) const MADE: u8 = 4;

    /// The names of all results, for Lua.
    pub(crate) const ALL: [(&str, u8); 5] =
        [("durable", DURABLE), ("volatile", VOLATILE), ("refused", REFUSED), ("counted", COUNTED), ("made", MADE)];
}

impl Owned {
    fn kept(&self) -> RefMut<'_, Kept> {
        self.kept.borrow_mut()
    }

    /// Keeps where the chains of the host have got to in the journal.
    pub(crate) fn keep_links(&self, chains: Rc<RefCell<Chains>>) {
        if let Some(journal) = &mut self.kept().journal {
            journal.keep_links(chains);
        }
    }

    /// The journal, for those that append entries.
    pub(crate) fn share(&self) -> Rc<RefCell<Kept>> {
        Rc::clone(&self.kept)
    }
}

impl Kept {
    /// Appends an entry. Returns the result, the sequence, and whether [`Journal::look`] must be called. A refused entry is counted as
    /// lost, unless the caller keeps it. A closed journal refuses every entry.
    pub(crate) fn append(&mut self, payload: &[u8], kind: &str, at: f64, is_kept: bool) -> (u8, u64, bool) {
        let Some(journal) = &mut self.journal else { return (outcome::REFUSED, 0, false) };
        let (outcome, sequence) = match journal.append(payload, kind, at) {
            Appended::Durable(sequence) => (outcome::DURABLE, sequence),
            Appended::Volatile(sequence) => (outcome::VOLATILE, sequence),
            Appended::Refused => {
                if !is_kept {
                    journal.lose(kind, 1, at);
                }
                return (outcome::REFUSED, 0, journal.is_amiss());
            }
        };
        self.hand_over.added(at);
        self.tail.push(payload, at);
        (outcome, sequence, journal.is_amiss())
    }

    /// Writes down where the chains of the host have got to.
    pub(crate) fn write_heads(&mut self) -> Result<(), String> {
        self.journal.as_mut().map_or(Ok(()), Journal::write_heads)
    }

    /// Whether it is open.
    pub(crate) const fn is_open(&self) -> bool {
        self.journal.is_some()
    }

    fn journal(&mut self) -> LuaResult<&mut Journal> {
        open_one(&mut self.journal)
    }

    /// The journal and the state of its hand-over.
    #[cfg(feature = "storage")]
    fn both(&mut self) -> LuaResult<(&mut Journal, &mut HandOver)> {
        Ok((open_one(&mut self.journal)?, &mut self.hand_over))
    }
}

fn open_one(journal: &mut Option<Journal>) -> LuaResult<&mut Journal> {
    journal.as_mut().ok_or_else(|| LuaError::runtime("the journal is closed"))
}
