//! Seals as objects of the modules: making and recording them, and replacing the key in the file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread::{self, JoinHandle};

use mlua::prelude::*;

use crate::chain::seal::{Seal, SealKey, Sealer};
use crate::chain::seal_file::SealFile;
use crate::chain::sealing::Sealing;
use crate::entry::anchor;
use crate::file::ownership::folder_of;
use crate::file::{Disk, ownership, whole};
use crate::lua::functions::Functions;
use crate::lua::value::{self, Host};
use crate::random::{OsRandom, Random};
use crate::recorder::Recorder;

/// `seal_key(text) -> true | nil, message`: whether a text is a seal key.
pub(crate) fn is_key(_: &Lua, text: LuaString) -> LuaResult<(Option<bool>, Option<String>)> {
    Ok(match SealKey::read(&text.to_string_lossy()) {
        Ok(_) => (Some(true), None),
        Err(error) => (None, Some(error.to_string())),
    })
}

/// `new_seal(path) -> key as a text | nil, message`: writes a file with a new key, for the seals of a server to adopt.
pub(crate) fn new_file(_: &Lua, path: LuaString) -> LuaResult<(Option<String>, Option<String>)> {
    let path = path.as_bytes();
    let path = value::path(&path);
    let mut bytes = [0; 32];
    Ok(match OsRandom.fill(&mut bytes) {
        Err(error) => (None, Some(format!("there are no random bytes: {error}"))),
        Ok(()) => {
            let key = SealKey::new(bytes);
            match SealFile::create(Rc::new(Disk), path, &Sealer::new(key.clone())) {
                Ok(_) => {
                    ownership::give_from_root(path);
                    (Some(key.text()), None)
                }
                Err(error) => (None, Some(error.to_string())),
            }
        }
    })
}

/// Adds `seals(path) -> seals, message | nil` to a recorder's functions. The seals are those of the server whose chains it has. If the
/// file can't be used, nothing is sealed.
pub(crate) fn add(functions: &Functions<'_>) -> LuaResult<()> {
    let recorder = functions.recorder();
    let open = functions.lua().create_function(move |lua, path: LuaString| {
        let path = value::path(&path.as_bytes()).to_owned();
        let (found, problem) = match SealFile::open(Rc::new(Disk), &path) {
            Ok(found) => (found, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let sealing = found.map(|(_, sealer)| Sealing::new(sealer));
        let seals = Seals { recorder: Rc::clone(&recorder), path, sealing, made: BTreeMap::new(), saving: None };
        Ok((lua.create_userdata(seals)?, problem))
    })?;
    functions.set("seals", open)
}

/// The seals of a server.
struct Seals {
    recorder: Rc<RefCell<Recorder>>,
    path: PathBuf,
    /// `None` if there is no key: nothing is sealed.
    sealing: Option<Sealing>,
    /// What was sealed and not recorded yet.
    made: BTreeMap<String, Seal>,
    /// The file is being written. A thread does that, as it waits for the disk. It ends by itself, and none is there before the
    /// server has gone to the background, as the first seal is made later.
    saving: Option<JoinHandle<Written>>,
}

/// What a thread has made of the file.
enum Written {
    /// The key of the next epoch is in it, or not.
    Saved(Result<(), String>),
    /// It has the first epoch of another key now. There may be something to say nevertheless.
    Adopted(Sealer, Result<(), String>),
    /// Another key could not be adopted: the file is the same as before.
    Refused(String),
}

impl Seals {
    fn make(&mut self, hosts: Vec<String>, time: f64) -> Vec<String> {
        let Some(sealing) = self.sealing.as_mut().filter(|_| self.saving.is_none()) else { return Vec::new() };
        let mut moved = BTreeMap::new();
        for host in hosts {
            let chains = self.recorder.borrow_mut().chains(&host);
            let chains = chains.borrow();
            if let Some(heads) = sealing.moved(&host, *chains.run(), chains.progress()) {
                moved.insert(host, heads);
            }
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates.
        let time = time.max(0.0) as u64;
        self.made = sealing.seal(time, &moved);
        self.made.keys().cloned().collect()
    }

    /// Replaces the key in the file, after all that was recorded is on disk: after a loss of power nothing is missing that was sealed.
    fn save(&mut self) {
        let Some(sealing) = self.sealing.as_ref().filter(|_| self.saving.is_none()) else { return };
        let Some(next) = sealing.next().cloned() else { return };
        let (path, before) = (self.path.clone(), sealing.sealer().clone());
        self.saving = Some(thread::spawn(move || Written::Saved(save(&path, &before, &next))));
    }

    /// What came of writing the file: `None` while it is being written.
    fn poll(&mut self, waits: bool) -> Option<Result<(), String>> {
        let saving = self.saving.take_if(|saving| waits || saving.is_finished())?;
        let failed = || Written::Saved(Err("the thread that writes the seal file has failed".to_owned()));
        match (saving.join().unwrap_or_else(|_| failed()), &mut self.sealing) {
            (Written::Saved(Ok(())), Some(sealing)) => sealing.saved(),
            (Written::Saved(Err(problem)), Some(sealing)) => {
                sealing.failed();
                return Some(Err(problem));
            }
            (Written::Adopted(sealer, result), sealing) => {
                *sealing = Some(Sealing::new(sealer));
                return Some(result);
            }
            (Written::Refused(problem), _) => return Some(Err(problem)),
            (Written::Saved(result), None) => return Some(result),
        }
        Some(Ok(()))
    }

    /// Goes on with the key of another file, which is removed.
    fn adopt(&mut self, new: &Path) {
        let (new, path) = (new.to_owned(), self.path.clone());
        self.saving.get_or_insert_with(|| thread::spawn(move || adopt(&new, &path).unwrap_or_else(Written::Refused)));
    }
}

fn adopt(new: &Path, path: &Path) -> Result<Written, String> {
    let files = Rc::new(Disk);
    let found = SealFile::open(files.clone(), new).map_err(|error| error.to_string())?;
    let (file, sealer) = found.ok_or_else(|| format!("{}: there is no new seal key", new.display()))?;
    SealFile::create(files, path, &sealer).map_err(|error| error.to_string())?;
    ownership::give_from_root(path);
    // A key that was not used yet is no secret to the operator, but it should not lie about.
    let removed = file.clear().and_then(|()| whole::remove(&Disk, new));
    Ok(Written::Adopted(sealer, removed.map_err(|error| format!("{}: {error}", new.display()))))
}

fn save(path: &Path, before: &Sealer, next: &Sealer) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let folder = File::open(folder_of(path)).map_err(|error| text(&error))?;
    rustix::fs::syncfs(&folder).map_err(|error| text(&error))?;
    let found = SealFile::open(Rc::new(Disk), path).map_err(|error| error.to_string())?;
    match found {
        Some((mut file, kept)) if kept.id == before.id && kept.epoch == before.epoch => file.save(next).map_err(|error| error.to_string()),
        Some(_) => Err(text(&"somebody has put another seal file in its place")),
        None => Err(text(&"somebody has removed the seal file")),
    }
}

fn table_of(lua: &Lua, seal: &Seal) -> LuaResult<LuaTable> {
    let attributes = lua.create_table()?;
    attributes.set("key", seal.key.to_string())?;
    attributes.set("epoch", seal.epoch.to_string())?;
    attributes.set("run", seal.run.to_string())?;
    attributes.set("time", seal.time.to_string())?;
    attributes.set("before", seal.before.to_string())?;
    attributes.set("authenticator", seal.authenticator.to_string())?;
    let heads = lua.create_table()?;
    let mut anchors = Vec::new();
    for head in &seal.heads {
        let (chain, n, hash) = (head.id.to_string(), head.n.to_string(), head.hash.to_string());
        anchors.push(anchor::text([&chain, &seal.run.to_string(), &n, &hash]));
        heads.push(lua.create_table_from([("chain", chain), ("n", n), ("hash", hash), ("rules", head.rules.to_string())])?)?;
    }
    let table = lua.create_table()?;
    table.set("attributes", attributes)?;
    table.set("heads", heads)?;
    table.set("anchors", anchors)?;
    Ok(table)
}

impl LuaUserData for Seals {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // key() -> the name of the key | nil: nothing is sealed
        methods.add_method("key", |_, this, ()| Ok(this.sealing.as_ref().map(|sealing| sealing.sealer().id.to_string())));
        // make(hosts, time) -> list of the hosts that have a seal to be recorded: see take(). save() must be called afterwards.
        methods.add_method_mut("make", |_, this, (hosts, time): (Vec<String>, f64)| Ok(this.make(hosts, time)));
        // take(host) -> { attributes, heads = list of { chain, n, hash, rules }, anchors = list of texts } | nil
        methods.add_method("take", |lua, this, Host(host): Host| this.made.get(&host).map(|seal| table_of(lua, seal)).transpose());
        // recorded(host): the seal is in the log
        methods.add_method_mut("recorded", |_, this, Host(host): Host| {
            let seal = this.made.remove(&host);
            let chains = this.recorder.borrow_mut().chains(&host);
            if let Some((sealing, seal)) = this.sealing.as_mut().zip(seal) {
                sealing.recorded(&host, &seal, chains.borrow().progress());
            }
            Ok(())
        });
        // not_recorded(host): there was no room for the seal in the log
        methods.add_method_mut("not_recorded", |_, this, Host(host): Host| {
            this.made.remove(&host);
            if let Some(sealing) = this.sealing.as_mut() {
                sealing.not_recorded(&host);
            }
            Ok(())
        });
        // save(): begins to replace the key in the file
        methods.add_method_mut("save", |_, this, ()| {
            this.save();
            Ok(())
        });
        // poll(whether to wait) -> nil while the file is being written, true, false and a message
        methods.add_method_mut("poll", |_, this, waits: bool| {
            Ok(match this.poll(waits) {
                None => (None, None),
                Some(Ok(())) => (Some(true), None),
                Some(Err(problem)) => (Some(false), Some(problem)),
            })
        });
        // end(host) -> { former, epoch, authenticator | nil, proof | nil }: how the seals of the key end
        methods.add_method("ending", |lua, this, Host(host): Host| {
            let Some(end) = this.sealing.as_ref().map(|sealing| sealing.end(&host)) else { return Ok(None) };
            let table = lua.create_table_from([("former", end.key.to_string()), ("epoch", end.epoch.to_string())])?;
            if let Some(last) = end.last {
                table.set("authenticator", last.authenticator.to_string())?;
                table.set("proof", last.proof.to_string())?;
            }
            Ok(Some(table))
        });
        // adopt(path): begins to go on with the key in that file, which is removed. Nothing else may be written to the file meanwhile.
        methods.add_method_mut("adopt", |_, this, path: LuaString| {
            this.adopt(value::path(&path.as_bytes()));
            Ok(())
        });
        // is_writing() -> whether the file is being written, or was and poll() was not called since
        methods.add_method("is_writing", |_, this, ()| Ok(this.saving.is_some()));
    }
}
