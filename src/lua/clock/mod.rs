//! The clock of a host's log as an object of the embedded Lua, and other sources for the time on this machine.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use mlua::prelude::*;

use crate::archive::clock::{ClockCheck, ClockReading, KeptClock, Witnesses};
use crate::file::Disk;
use crate::lua::value::partitions;
use crate::lua::value::{Number, path};
use crate::time::date_time;

/// How many files of a folder are looked at.
const MOST_FILES: usize = 2000;
/// Files written within this many seconds of the machine's start are ignored: they may have been written during the start, before
/// NTP corrected the clock.
const START: f64 = 300.0;
/// By how much the clock of this process may differ from the machine's, in seconds.
const SAME: f64 = 600.0;

/// The clock of a host's log.
pub(crate) struct LuaClock(pub(crate) KeptClock);

/// `clock(path | nil) -> clock`
pub(crate) fn open(lua: &Lua, file: Option<LuaString>) -> LuaResult<LuaAnyUserData> {
    let file = file.map(|file| path(&file.as_bytes()).to_owned());
    lua.create_userdata(LuaClock(KeptClock::open(Rc::new(Disk), file)))
}

type ReadingArguments = (f64, f64, Option<String>);
type Told = (&'static str, bool, Option<String>, Option<String>, Option<String>);

impl LuaUserData for LuaClock {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // unread() -> why its file can't be read | nil: it was read, or there is none. Tries again.
        methods.add_method_mut("unread", |_, this, ()| Ok(this.0.unread().map(ToOwned::to_owned)));
        // is_exact(now, uptime, boot | nil) -> whether the time that has passed since the last look is known
        methods.add_method("is_exact", |_, this, moment: ReadingArguments| Ok(this.0.is_exact(&reading(moment))));
        // look(now, uptime, boot | nil, heartbeat | nil, files | nil, elsewhere | nil, trust)
        //   -> "same" | "jumped" | "settled", whether to tell, text, expected, shown
        methods.add_method_mut(
            "look",
            |_, this, (wall, uptime, boot, heartbeat, files, elsewhere, trust): (f64, f64, Option<String>, Number, Number, Number, f64)| {
                let witnesses = Witnesses { heartbeat: heartbeat.0, files: files.0, elsewhere: elsewhere.0 };
                Ok(told(this.0.look(&reading((wall, uptime, boot)), &witnesses, trust)))
            },
        );
        // look_at(archive users, now, uptime, boot | nil, elsewhere | nil) -> the same
        methods.add_method_mut(
            "look_at",
            |_, this, (users, wall, uptime, boot, elsewhere): (LuaTable, f64, f64, Option<String>, Number)| {
                let witnesses = Witnesses { elsewhere: elsewhere.0, ..Witnesses::default() };
                Ok(told(this.0.look_at_partitions(&partitions(&users), &reading((wall, uptime, boot)), &witnesses)))
            },
        );
        // note(partitions): those that were written to when the clock jumped
        methods.add_method_mut("note", |_, this, users: LuaTable| {
            this.0.note(&partitions(&users));
            Ok(())
        });
        // removed(partition): its name may be used again
        methods.add_method_mut("removed", |_, this, user: LuaString| {
            if let Some(partition) = user.to_str().ok().and_then(|user| user.parse().ok()) {
                this.0.removed(&partition);
            }
            Ok(())
        });
        // doubt() -> why the clock is not trusted | nil
        methods.add_method("doubt", |_, this, ()| Ok(this.0.doubt()));
        // remaining(trust) -> for how many more seconds it has to agree
        methods.add_method("remaining", |_, this, trust: f64| Ok(this.0.remaining(trust)));
        // trust(): ends the doubt -> whether it was in doubt
        methods.add_method_mut("trust", |_, this, ()| Ok(this.0.trust()));
        // save(): keeps it for the next process -> the new name of the file that was there, if that one was damaged | nil
        methods
            .add_method_mut("save", |lua, this, ()| this.0.save().map(|aside| lua.create_string(aside.as_os_str().as_bytes())).transpose());
    }
}

fn reading((wall, uptime, boot): ReadingArguments) -> ClockReading {
    ClockReading { wall, uptime, boot }
}

fn told(seen: ClockCheck) -> Told {
    match seen {
        ClockCheck::Same => ("same", false, None, None, None),
        ClockCheck::Settled => ("settled", true, None, None, None),
        ClockCheck::Jumped { jump, is_told } => ("jumped", is_told, Some(jump.describe()), date_time(jump.expected), date_time(jump.shown)),
    }
}

/// `uptime(now) -> seconds since the machine was started, suspended or not, the name of that start | nil` or `nil`.
///
/// There is no name if this process does not use the clock of the machine, for example in a test with libfaketime.
pub(crate) fn uptime(_: &Lua, now: f64) -> LuaResult<(Option<f64>, Option<String>)> {
    let Some(uptime) = up() else { return Ok((None, None)) };
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let started: Option<f64> = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    let is_same = started.is_some_and(|started| (started + uptime - now).abs() < SAME);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().filter(|_| is_same);
    Ok((Some(uptime), boot.map(|boot| boot.trim().to_owned())))
}

fn up() -> Option<f64> {
    fs::read_to_string("/proc/uptime").ok()?.split(' ').next()?.parse().ok()
}

/// `newest_file(list of files and folders) -> when one of them, or of the files in them, was written last | nil`
pub(crate) fn newest_file(_: &Lua, paths: Vec<LuaString>) -> LuaResult<Option<f64>> {
    Ok(paths.iter().flat_map(|file| times(path(&file.as_bytes()))).reduce(f64::max))
}

/// `written_elsewhere(now, uptime, folders that programs often write to, files that only a person writes) -> time | nil`: the last
/// time of writing. Of the folders, only times before the machine was started count. Of the files, also times after the start, except
/// for those of the first minutes.
pub(crate) fn written_elsewhere(
    _: &Lua,
    (now, uptime, folders, files): (f64, f64, Vec<LuaString>, Vec<LuaString>),
) -> LuaResult<Option<f64>> {
    let started = now - uptime;
    let before = folders.iter().flat_map(|folder| times(path(&folder.as_bytes()))).filter(|time| *time < started - 1.0);
    let by_hand = files.iter().flat_map(|file| times(path(&file.as_bytes())));
    let by_hand = by_hand.filter(|time| *time < started - 1.0 || *time > started + START && *time <= now + 1.0);
    Ok(before.chain(by_hand).reduce(f64::max))
}

/// When a file was written last. For a folder, the times of the files in it.
fn times(path: &Path) -> Vec<f64> {
    let inside = fs::read_dir(path).into_iter().flatten().take(MOST_FILES).filter_map(|entry| entry.ok()?.metadata().ok());
    let all = fs::metadata(path).into_iter().chain(inside).filter(fs::Metadata::is_file);
    all.filter_map(|file| Some(file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())).collect()
}
