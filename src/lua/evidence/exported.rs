//! Evidence that leaves the machine as objects of the embedded Lua: files with all that is needed to verify a log elsewhere, and the
//! heads of chains as anchors.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use mlua::prelude::*;

use super::{ordered, read};
use crate::chain::anchors::Anchors;
use crate::chain::chains::link_in;
use crate::chain::erased::Erased;
use crate::chain::exported::{self, Export};
use crate::chain::heads::Heads;
use crate::chain::link::Link;
use crate::chain::seal::SealKey;
use crate::chain::seal_file::SealFile;
use crate::chain::sealed::{End, Proved};
use crate::entry::canon::Draft;
use crate::file::Disk;
use crate::journal::Snapshot;
use crate::lua::functions::Functions;
use crate::lua::read::rows;
use crate::lua::value::{self, Host, Text, partition};

/// Adds the functions to a recorder's.
pub(super) fn add(functions: &Functions<'_>) -> LuaResult<()> {
    // exporter(host, path of the journal, now, path of the seal file, path of the list of what was erased) -> exporter | nil, message
    let recorder = functions.recorder();
    type Arguments = (Host, LuaString, f64, Option<LuaString>, Option<LuaString>);
    let exporter = functions.lua().create_function(move |lua, (Host(host), path, now, seal, erased): Arguments| {
        let path = value::path(&path.as_bytes()).to_owned();
        let seal = match seal.map_or(Ok(None), |seal| SealFile::look(&Disk, value::path(&seal.as_bytes()))) {
            Ok(found) => found.map(|file| End { key: file.id, epoch: file.epoch, last: file.last.get(&host).copied() }),
            Err(error) => return Ok((None, Some(error.to_string()))),
        };
        let (waiting, progress) = match read(&host, &path) {
            Ok(read) => read,
            Err(problem) => return Ok((None, Some(problem))),
        };
        let list = erased.map(|list| value::path(&list.as_bytes()).to_owned());
        let erased = match erased_of(list.as_deref()) {
            Ok(erased) => erased,
            Err(error) => return Ok((None, Some(error.to_string()))),
        };
        let recorder = recorder.borrow();
        let export = Export::begin(&host, now, progress, &recorder.settings(&host).retention, seal.as_ref(), erased.as_ref());
        let exporter = LuaExporter { host, path, list, export, waiting, next: 0 };
        Ok((Some(lua.create_userdata(exporter)?), None))
    })?;
    functions.set("exporter", exporter)?;
    // heads(host, path of the journal) -> heads | nil, message
    let heads = functions.lua().create_function(|lua, (Host(host), path): (Host, LuaString)| {
        let (waiting, progress) = match read(&host, value::path(&path.as_bytes())) {
            Ok(read) => read,
            Err(problem) => return Ok((None, Some(problem))),
        };
        let mut heads = Heads::new(progress);
        for index in (0..waiting.len()).rev() {
            if heads.are_known() {
                break;
            }
            if let Some(link) = waiting.get(index).and_then(|(_, payload)| link_in(&payload?).ok()) {
                heads.saw(&link);
            }
        }
        Ok((Some(lua.create_userdata(LuaHeads(heads))?), None))
    })?;
    functions.set("heads", heads)
}

fn erased_of(list: Option<&Path>) -> io::Result<Option<Erased>> {
    list.map(|list| Erased::open(&Disk, list)).transpose()
}

/// A file that is being made. It takes the entries in the way of a verifier.
struct LuaExporter {
    host: String,
    path: PathBuf,
    /// The list of what was erased.
    list: Option<PathBuf>,
    export: Export,
    waiting: Snapshot,
    next: usize,
}

impl LuaUserData for LuaExporter {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // order(), begin(), feed(), feed_waiting(): as those of a verifier
        methods.add_method("order", |_, _, users: LuaTable| Ok(ordered(&users)));
        methods.add_method_mut("begin", |_, this, user: Text| {
            this.export.place(partition(&user));
            Ok(())
        });
        methods.add_method_mut("feed", |_, this, (page, damaged): (LuaValue, u64)| {
            let rows = rows(&page)?;
            rows.iter().for_each(|row| this.export.row(row));
            this.export.unreadable(damaged);
            Ok((rows.len(), rows.last().map(|row| row.key.clone()), rows.last().map(|row| row.when)))
        });
        methods.add_method_mut("feed_waiting", |_, this, most: usize| {
            for _ in 0..most {
                let Some((_, payload)) = this.waiting.get(this.next) else { return Ok(false) };
                this.next = this.next.saturating_add(1);
                if let Some(payload) = payload {
                    this.export.waiting(&payload);
                }
            }
            Ok(true)
        });
        // take() -> the text that was not taken yet
        methods.add_method_mut("take", |lua, this, ()| lua.create_string(this.export.take()));
        // finish() -> number of entries | nil, message
        methods.add_method_mut("finish", |_, this, ()| match read(&this.host, &this.path) {
            Ok((_, progress)) => match erased_of(this.list.as_deref()) {
                Ok(erased) => Ok((Some(this.export.end(progress, erased.as_ref())), None)),
                Err(error) => Ok((None, Some(error.to_string()))),
            },
            Err(problem) => Ok((None, Some(problem))),
        });
    }
}

/// Anchors of where chains have got to.
struct LuaHeads(Heads);

impl LuaUserData for LuaHeads {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // are_known() -> whether no more rows are needed
        methods.add_method("are_known", |_, this, ()| Ok(this.0.are_known()));
        // saw(rows): the store has these entries
        methods.add_method_mut("saw", |_, this, page: LuaValue| {
            for row in rows(&page)? {
                let draft = Draft::of_row(&row);
                if let Some((link, _)) = draft.and_then(|draft| Link::read(draft).ok()) {
                    this.0.saw(&link);
                }
            }
            Ok(())
        });
        // lines() -> list of anchors
        methods.add_method("lines", |_, this, ()| Ok(this.0.lines().collect::<Vec<_>>()));
    }
}

/// `verify_evidence { path | nil for standard input, anchors = lines | nil, host | nil, keys = seal keys | nil, interval } -> { host =,
/// intact =, status =, lines = } | nil, message`. Verifies a file of `--export-evidence`. For a process that has nothing else to do.
pub(crate) fn verify(lua: &Lua, asked: LuaTable) -> LuaResult<(Option<LuaTable>, Option<String>)> {
    let (path, host): (Option<LuaString>, Option<String>) = (asked.get("path")?, asked.get("host")?);
    let mut kept = Anchors::default();
    for line in asked.get::<Option<Vec<LuaString>>>("anchors")?.iter().flatten() {
        kept.read(&line.to_string_lossy());
    }
    let keys: Option<Vec<LuaString>> = asked.get("keys")?;
    let interval: Option<f64> = asked.get("interval")?;
    let verified = prove(path.as_ref(), host.as_deref(), keys.as_deref()).and_then(|proved| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates.
        let proved = proved.map(|proved| (proved, interval.unwrap_or_default().max(0.0) as u64));
        let mut input = open(path.as_ref()).map_err(|error| error.to_string())?;
        exported::verify(&mut *input, kept, host.as_deref(), proved).map_err(|error| error.to_string())
    });
    let verified = match verified {
        Ok(verified) => verified,
        Err(problem) => return Ok((None, Some(problem))),
    };
    let result = lua.create_table()?;
    result.set("intact", verified.verdict.is_intact())?;
    result.set("status", verified.verdict.status())?;
    result.set("lines", verified.verdict.lines(&verified.host))?;
    result.set("host", verified.host)?;
    Ok((Some(result), None))
}

/// What the seals of the file prove, if there are keys.
fn prove(path: Option<&LuaString>, host: Option<&str>, keys: Option<&[LuaString]>) -> Result<Option<Proved>, String> {
    let Some(keys) = keys else { return Ok(None) };
    let keys: Vec<SealKey> =
        keys.iter().map(|key| SealKey::read(&key.to_string_lossy())).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let mut input = open(path).map_err(|error| error.to_string())?;
    let (host, seals, end) = exported::seals(&mut *input, host).map_err(|error| error.to_string())?;
    let proved = seals.verify(&host, &keys, end);
    if proved.is_foreign { Err(super::FOREIGN_KEY.to_owned()) } else { Ok(Some(proved)) }
}

fn open(path: Option<&LuaString>) -> io::Result<Box<dyn BufRead>> {
    Ok(match path {
        None => Box::new(BufReader::new(io::stdin())),
        Some(path) => Box::new(BufReader::with_capacity(1 << 16, File::open(value::path(&path.as_bytes()))?)),
    })
}
