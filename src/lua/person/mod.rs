//! A person's rights over their data, as objects of the embedded Lua.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use mlua::prelude::*;

use crate::chain::erased::{Erased, Gone};
use crate::file::Disk;
use crate::file::whole::{self, Durability};
use crate::filter::hold::Hold;
use crate::lua::functions::Functions;
use crate::lua::hand_over::parts::Opened;
use crate::lua::store::element::of_stanza as element_of;
use crate::lua::value::{Host, path};
use crate::options::privacy::record;
use crate::person::{Acted, Erasure, Look, Person, receipt};
use crate::random::OsRandom;
use crate::recorder::Recorder;
use crate::time::period::Period;

/// The largest file that says what is being erased, in bytes.
const LARGEST: usize = 64 * 1024;

/// Adds `receipt() -> number of an erasure`, and `save_erasure(path, fields) -> true`, `read_erasure(path) -> fields`,
/// `forget_erasure(path) -> true`, each `| nil, message`: the file that says what is being erased. Fields are texts.
pub(crate) fn add_files(lua: &Lua, native: &LuaTable) -> LuaResult<()> {
    native.set("receipt", lua.create_function(|_, ()| receipt(&OsRandom).map_err(|error| LuaError::runtime(error.to_string())))?)?;
    native.set("is_person", lua.create_function(|_, jid: String| Ok(Person::new(&jid).is_some()))?)?;
    let save = lua.create_function(|_, (file, fields): (LuaString, LuaTable)| {
        let fields = fields.pairs::<String, String>().collect::<LuaResult<BTreeMap<_, _>>>()?;
        let content = serde_json::to_vec(&fields).map_err(|error| LuaError::runtime(error.to_string()))?;
        let file = file.as_bytes();
        let file = path(&file);
        Ok(returned(whole::replace(&Disk, file, &file.with_extension("new"), &content, Durability::Synced).map(|()| true)))
    })?;
    native.set("save_erasure", save)?;
    let read = lua.create_function(|lua, file: LuaString| {
        let file = file.as_bytes();
        let content = match whole::read(&Disk, path(&file), LARGEST) {
            Ok(Some(content)) => content,
            Ok(None) => return Ok((None, Some("there is no such file".to_owned()))),
            Err(error) => return Ok((None, Some(error.to_string()))),
        };
        match serde_json::from_slice::<BTreeMap<String, String>>(&content) {
            Ok(fields) => Ok((Some(lua.create_table_from(fields)?), None)),
            Err(error) => Ok((None, Some(error.to_string()))),
        }
    })?;
    native.set("read_erasure", read)?;
    let forget = lua.create_function(|_, file: LuaString| Ok(returned(whole::remove(&Disk, path(&file.as_bytes())).map(|()| true))))?;
    native.set("forget_erasure", forget)
}

fn returned<T>(result: std::io::Result<T>) -> (Option<T>, Option<String>) {
    match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error.to_string())),
    }
}

/// What is to be erased, as `erasure()` describes it.
type Asked = (Host, String, f64, bool, String, Option<f64>);

/// A person, with the hashes that may stand for the name on a host.
pub(crate) fn person_on(recorder: &Recorder, host: &str, person: Person) -> Person {
    let aliases = recorder.aliases(host, [person.jid()].into_iter());
    let (hashes, names) = aliases.into_iter().map(|alias| (alias.hash.clone(), alias.to_string())).unzip();
    person.with_hashes(hashes, names)
}

/// Adds the functions to a recorder's.
pub(crate) fn add(functions: &Functions<'_>, opened: &Opened) -> LuaResult<()> {
    // erasure(host, bare JID, time before which entries were stored, whether to erase what the person did to others, receipt,
    //   time after which entries are meant, too | nil)
    //   -> erasure | nil: it is no bare JID
    let (shared, parts) = (functions.recorder(), opened.clone());
    functions.add("erasure", move |recorder, (Host(host), jid, before, acted, receipt, beyond): Asked| {
        let person = person_on(recorder, &host, Person::new(&jid)?);
        let acted = if acted { Acted::Goes } else { Acted::Stays };
        let hold = recorder.settings(&host).hold.clone();
        let erasure = Erasure::new(&host, person, before, acted, &receipt, hold);
        let erasure = erasure.beyond(beyond.unwrap_or(f64::INFINITY));
        Some(LuaErasure { host, erasure, opened: parts.clone(), recorder: Rc::clone(&shared), announced: Gone::default() })
    })?;
    // erasure_again(host, path of the list of what was erased, receipt) -> erasure of what is there again | nil: nothing was erased
    // | nil, message
    let (shared, parts) = (functions.recorder(), opened.clone());
    functions.add("erasure_again", move |recorder, (Host(host), file, receipt): (Host, LuaString, String)| {
        let erased = match Erased::open(&Disk, path(&file.as_bytes())) {
            Ok(erased) => erased,
            Err(error) => return (None, Some(error.to_string())),
        };
        if erased.is_empty() {
            return (None, None);
        }
        let erasure = Erasure::again(&host, erased, &receipt, recorder.settings(&host).hold.clone());
        (Some(LuaErasure { host, erasure, opened: parts.clone(), recorder: Rc::clone(&shared), announced: Gone::default() }), None)
    })?;
    // privacy(host) -> which personal data are kept, as a text
    functions.add("privacy", |recorder, Host(host): Host| record(&host, recorder.settings(&host)))?;
    // on_user_deleted(host) -> after how many seconds the data of an account that was deleted are erased | nil: never
    functions.add("on_user_deleted", |recorder, Host(host): Host| match recorder.settings(&host).on_user_deleted {
        Period::Seconds(seconds) => Some(seconds),
        Period::Never => None,
    })?;
    // holds_anything(host) -> whether entries are kept for a legal procedure
    functions.add("holds_anything", |recorder, Host(host): Host| !recorder.settings(&host).hold.is_empty())?;
    // holds_class(host, class) -> whether all entries of a class are kept
    functions.add("holds_class", |recorder, (Host(host), class): (Host, String)| recorder.settings(&host).hold.holds_class(&class))?;
    // holds(host, class, with, stanza) -> whether an entry is kept. One that can't be read is.
    let recorder = functions.recorder();
    let holds = functions.lua().create_function(move |_, (Host(host), class, with, stanza): (Host, String, LuaValue, LuaTable)| {
        let recorder = recorder.borrow();
        let hold: &Hold = &recorder.settings(&host).hold;
        if hold.holds_class(&class) {
            return Ok(true);
        }
        let Some(element) = element_of(&stanza)? else { return Ok(true) };
        Ok(hold.holds(&host, &class, &with_of(&with), &payload_of(&element)))
    })?;
    functions.set("holds", holds)
}

fn with_of(with: &LuaValue) -> String {
    with.as_string().map(LuaString::to_string_lossy).unwrap_or_default()
}

fn payload_of(element: &[u8]) -> Vec<u8> {
    [b"0\0".as_slice(), element].concat()
}

/// An erasure from the log of one host.
struct LuaErasure {
    host: String,
    erasure: Erasure,
    opened: Opened,
    recorder: Rc<RefCell<Recorder>>,
    /// What was announced last.
    announced: Gone,
}

impl LuaErasure {
    /// Adds what is erased next to the file that lists it. What was announced before has been removed. What rules have removed since is
    /// left out of it.
    fn announce(&mut self, file: &Path) -> std::io::Result<()> {
        let next = self.erasure.take_done();
        if next.is_empty() && self.announced.is_empty() {
            return Ok(());
        }
        let mut erased = Erased::open(&Disk, file)?;
        erased.confirm(std::mem::replace(&mut self.announced, next.clone()));
        erased.announce(next);
        for of in self.recorder.borrow().progress(&self.host) {
            if let Some(first) = of.removed.first().filter(|first| first.from == 1) {
                erased.forget(&of.id, first.upto);
            }
        }
        erased.save(&Disk, file)
    }
}

impl LuaUserData for LuaErasure {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // look(class, stanza, when, with) -> true, with | nil if it stays: the entry changes, and what is left is opened
        //   | false: it stays | nil: it can't be read
        methods.add_method_mut("look", |_, this, (class, stanza, when, with): (String, LuaTable, f64, LuaValue)| {
            let Some(element) = element_of(&stanza)? else { return Ok((None, None)) };
            Ok(match this.erasure.look(&class, when, &with_of(&with), &payload_of(&element)) {
                Look::Stays => (Some(false), None),
                Look::Changes { payload, with } => {
                    this.opened.open(&payload);
                    (Some(true), with)
                }
            })
        });
        // announce(path of the list of what was erased) -> true | nil, message: to be called before entries are changed, and in the end
        methods.add_method_mut("announce", |_, this, file: LuaString| Ok(returned(this.announce(path(&file.as_bytes())).map(|()| true))));
        // totals() -> list of { class, type, count }; held(), kept() -> numbers of entries that stay
        methods.add_method("totals", |lua, this, ()| {
            let table = |total: crate::person::Total| {
                let table = lua.create_table()?;
                table.set("class", total.class)?;
                table.set("type", total.kind)?;
                table.set("count", total.count)?;
                Ok(table)
            };
            this.erasure.totals().into_iter().map(table).collect::<LuaResult<Vec<_>>>()
        });
        methods.add_method("held", |_, this, ()| Ok(this.erasure.held()));
        methods.add_method("kept", |_, this, ()| Ok(this.erasure.kept()));
    }
}
