//! The evidence of a host as objects of the embedded Lua: what is about to be removed, and verifying the log.

pub(crate) mod exported;
pub(crate) mod seals;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use mlua::prelude::*;

use crate::archive::retention::Retention;
use crate::chain::anchors::Anchors;
use crate::chain::catch_up::{SEEN, newest};
use crate::chain::chains::{Chains, Progress, milliseconds};
use crate::chain::erased::Erased;
use crate::chain::hash::Bytes;
use crate::chain::link::Link;
use crate::chain::rules::Removed;
use crate::chain::seal::{SealKey, Sealer};
use crate::chain::seal_file::SealFile;
use crate::chain::sealed::{End, Seals};
use crate::chain::verify::Verifier;
use crate::entry::canon::Draft;
use crate::file::Disk;
use crate::journal::{Journal, Limits, Links as _, Snapshot};
use crate::lua::functions::Functions;
use crate::lua::hand_over::{Kept, Owned, Shared};
use crate::lua::read::rows;
use crate::lua::value::{self, Host, Text, partition, partitions};
use crate::random::OsRandom;

/// Adds the functions to a recorder's.
pub(crate) fn add(functions: &Functions<'_>) -> LuaResult<()> {
    let recorder = functions.recorder();
    // evidence(host, journal) -> evidence, of a host whose journal this process has
    let evidence = functions.lua().create_function(move |lua, (Host(host), journal): (Host, LuaUserDataRef<Owned>)| {
        let chains = recorder.borrow_mut().chains(&host);
        lua.create_userdata(Evidence { chains, writes: Writes::Shared(journal.share()) })
    })?;
    functions.set("evidence", evidence)?;
    // boot(host, name of the start of the machine) -> whether the store has to be looked at, see saw(), whether the machine was started
    functions.add("boot", |recorder, (Host(host), name): (Host, String)| recorder.chains(&host).borrow_mut().boot(&name))?;
    // progress(host) -> list of { chain, n, hash }: how far its chains have got
    let recorder = functions.recorder();
    let progress = functions.lua().create_function(move |lua, Host(host): Host| {
        let chains = recorder.borrow_mut().chains(&host);
        let progress: Vec<Progress> = chains.borrow().progress().filter(|of| of.n > 0 && of.until.is_none()).collect();
        let table =
            |of: Progress| lua.create_table_from([("chain", of.id.to_string()), ("n", of.n.to_string()), ("hash", of.hash.to_string())]);
        progress.into_iter().map(table).collect::<LuaResult<Vec<_>>>()
    })?;
    functions.set("progress", progress)?;
    // newest(archive users, now) -> those in which the last entries are
    functions.add("newest", |_, (users, now): (LuaTable, f64)| {
        newest(partitions(&users), now).iter().map(ToString::to_string).collect::<Vec<_>>()
    })?;
    // end_chains(host, now): the store could not be looked at
    functions.add("end_chains", |recorder, (Host(host), now): (Host, f64)| {
        recorder.chains(&host).borrow_mut().end(milliseconds(now));
    })?;
    // saw(host, rows): the store has these entries
    let recorder = functions.recorder();
    let saw = functions.lua().create_function(move |_, (Host(host), page): (Host, LuaValue)| {
        let chains = recorder.borrow_mut().chains(&host);
        for row in rows(&page)? {
            let draft = Draft::of_row(&row);
            if let Some((link, _)) = draft.and_then(|draft| Link::read(draft).ok()) {
                chains.borrow_mut().saw(&link);
            }
        }
        Ok(())
    })?;
    functions.set("saw", saw)?;
    // verifier(host, path of the journal) -> verifier | nil, message
    let recorder = functions.recorder();
    let new = functions.lua().create_function(move |lua, (Host(host), path): (Host, LuaString)| {
        let retention = recorder.borrow().settings(&host).retention.clone();
        verifier(lua, host, &path, retention)
    })?;
    functions.set("verifier", new)?;
    seals::add(functions)?;
    exported::add(functions)
}

/// `evidence(host, path, owner, now) -> evidence | nil, message`. Opens the journal, for a process that has none.
pub(crate) fn open(
    lua: &Lua,
    (Host(host), path, owner, now): (Host, LuaString, LuaUserDataRef<Shared>, f64),
) -> LuaResult<(Option<LuaAnyUserData>, Option<String>)> {
    let chains = Rc::new(RefCell::new(Chains::new(&host, Rc::new(OsRandom))));
    let mut journal = Journal::detached_under(value::path(&path.as_bytes()), Limits::default(), owner.owner());
    journal.keep_links(Rc::<RefCell<Chains>>::clone(&chains));
    if let Err(error) = journal.attach(now) {
        return Ok((None, Some(error.to_string())));
    }
    let evidence = Evidence { chains, writes: Writes::Own(Some(Box::new(journal))) };
    Ok((Some(lua.create_userdata(evidence)?), None))
}

/// What is known of the chains of a host, for those that remove entries.
struct Evidence {
    chains: Rc<RefCell<Chains>>,
    writes: Writes,
}

/// The journal that keeps it.
enum Writes {
    Shared(Rc<RefCell<Kept>>),
    Own(Option<Box<Journal>>),
}

impl LuaUserData for Evidence {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // remove(chain, from, to, hash, at, now): entries that are about to be removed by a rule: their chain, the numbers of the first and
        // the last, the hash of the last, and when that was recorded; all are texts of a link, and anything else is ignored.
        methods.add_method("remove", |_, this, (id, from, upto, hash, at, now): (Text, Text, Text, Text, Text, f64)| {
            let text = |text: &Text| text.bytes().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
            let number = |of: &Text| text(of).and_then(|number| number.parse::<u64>().ok());
            let read = || {
                let (from, upto, at) = (number(&from)?, number(&upto)?, number(&at)?);
                let hash = Bytes::read(&text(&hash)?)?;
                Some((Bytes::read(&text(&id)?)?, Removed { from, upto, hash, at, when: milliseconds(now) }))
            };
            if let Some((id, removed)) = read() {
                this.chains.borrow_mut().remove(id, removed);
            }
            Ok(())
        });
        // announce() -> true | nil, message: to be called before they are removed
        methods.add_method_mut("announce", |_, this, ()| {
            if !this.chains.borrow_mut().announce() {
                return Ok((Some(true), None));
            }
            let written = match &mut this.writes {
                Writes::Shared(kept) => kept.borrow_mut().write_heads(),
                Writes::Own(journal) => journal.as_mut().map_or(Ok(()), |journal| journal.write_heads()),
            };
            Ok(match written {
                Ok(()) => (Some(true), None),
                Err(problem) => (None, Some(problem)),
            })
        });
        // close()
        methods.add_method_mut("close", |_, this, ()| {
            if let Writes::Own(journal) = &mut this.writes {
                *journal = None;
            }
            Ok(())
        });
    }
}

/// What is said if a seal key does not fit.
const FOREIGN_KEY: &str = "the seal key is of another server: none of the seals was made with it";

/// How many entries are verified at a time: as few as fit into a slice of the server's loop, or as many as a partition has. How often
/// the seals are read again, if the server makes one meanwhile.
const NUMBERS: [(&str, usize); 3] = [("slice", 100), ("page", 500), ("tries", 3)];

/// Adds `seen`, how many of the last entries are looked at, and the numbers of a verification: `verifying = { slice, page, tries }`.
pub(crate) fn add_numbers(lua: &Lua, exports: &LuaTable) -> LuaResult<()> {
    exports.set("seen", SEEN)?;
    exports.set("verifying", lua.create_table_from(NUMBERS)?)
}

/// A log that is being verified.
pub(crate) struct LuaVerifier {
    host: String,
    path: std::path::PathBuf,
    verifier: Option<Verifier>,
    waiting: Snapshot,
    next: usize,
    proof: Option<Proof>,
}

/// The seals of the log, while they are collected.
struct Proof {
    keys: Vec<SealKey>,
    file: Option<Sealer>,
    seals: Seals,
}

/// Reads how far the chains of a host have got, and what waits. The store must be read afterwards.
fn verifier(lua: &Lua, host: String, path: &LuaString, retention: Retention) -> LuaResult<(Option<LuaAnyUserData>, Option<String>)> {
    let path = value::path(&path.as_bytes()).to_owned();
    Ok(match read(&host, &path) {
        Ok((waiting, progress)) => {
            let verifier = Some(Verifier::new(&host, progress).with_classes(retention));
            (Some(lua.create_userdata(LuaVerifier { host, path, verifier, waiting, next: 0, proof: None })?), None)
        }
        Err(problem) => (None, Some(problem)),
    })
}

fn read(host: &str, path: &Path) -> Result<(Snapshot, Vec<Progress>), String> {
    let (snapshot, chains) = read_chains(host, path)?;
    Ok((snapshot, chains.progress().collect()))
}

fn read_chains(host: &str, path: &Path) -> Result<(Snapshot, Chains), String> {
    let mut chains = Chains::new(host, Rc::new(OsRandom));
    let snapshot = Snapshot::read_with(&Disk, path, Some(&mut chains)).map_err(|error| error.to_string())?;
    if let Some(problem) = snapshot.problem() {
        return Err(problem.to_owned());
    }
    chains.resume();
    Ok((snapshot, chains))
}

fn open_proof(host: &str, journal: &Path, keys: &[LuaString], path: &Path) -> Result<Proof, String> {
    let keys = keys.iter().map(|key| SealKey::read(&key.to_string_lossy())).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let file = SealFile::look(&Disk, path).map_err(|error| error.to_string())?;
    // The store is read after the journal: a seal that goes there in between is read twice.
    let (waiting, _) = read(host, journal)?;
    let mut seals = Seals::default();
    let mut next = 0_usize;
    while let Some((_, payload)) = waiting.get(next) {
        next = next.saturating_add(1);
        if let Some(payload) = payload {
            seals.feed_waiting(&payload);
        }
    }
    Ok(Proof { keys, file, seals })
}

/// The partitions among archive users, in the order in which they are to be read.
fn ordered(users: &LuaTable) -> Vec<String> {
    let mut all = partitions(users);
    all.retain(|partition| !partition.is_marker());
    // What was moved from archive user `nil` is older than the rest.
    all.sort_by_key(|of| (of.home().to_owned(), of.day, of.generation().is_none(), of.number));
    all.iter().map(ToString::to_string).collect()
}

impl LuaVerifier {
    fn verifier(&mut self) -> LuaResult<&mut Verifier> {
        self.verifier.as_mut().ok_or_else(|| LuaError::runtime("the verification has ended"))
    }
}

impl LuaUserData for LuaVerifier {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // order(archive users) -> list of those that are partitions, in the order in which they are to be read, before archive user nil
        methods.add_method("order", |_, _, users: LuaTable| Ok(ordered(&users)));
        // compare(lines): a list of texts with anchors that were kept -> how many there are
        methods.add_method_mut("compare", |_, this, lines: Vec<LuaString>| {
            let mut anchors = Anchors::default();
            let count = lines.iter().map(|line| anchors.read(&line.to_string_lossy())).sum::<usize>();
            this.verifier()?.compare(anchors);
            Ok(count)
        });
        // know_erased(path of the list of what was erased, whether all entries were fed) -> true | nil, message. To be called before the
        // first entry, and again after the last one.
        methods.add_method_mut("know_erased", |_, this, (path, is_end): (LuaString, bool)| {
            Ok(match Erased::open(&Disk, value::path(&path.as_bytes())) {
                Ok(erased) => {
                    let verifier = this.verifier()?;
                    if is_end {
                        verifier.know_erased_now(erased)
                    } else {
                        verifier.know_erased(erased)
                    }
                    (Some(true), None)
                }
                Err(error) => (None, Some(error.to_string())),
            })
        });
        // open_seals(keys, path of the seal file) -> true | nil, message: the log must agree with the seals that were made with these
        // keys. The rows of all partitions that concern the whole host must be given to feed_seals(), and before the first row of feed()
        // close_seals() must be called.
        methods.add_method_mut("open_seals", |_, this, (keys, path): (Vec<LuaString>, LuaString)| {
            Ok(match open_proof(&this.host, &this.path, &keys, value::path(&path.as_bytes())) {
                Ok(proof) => {
                    this.proof = Some(proof);
                    (Some(true), None)
                }
                Err(problem) => (None, Some(problem)),
            })
        });
        // feed_seals(rows) -> how many they were, key and time of the last one
        methods.add_method_mut("feed_seals", |_, this, page: LuaValue| {
            let rows = rows(&page)?;
            if let Some(proof) = &mut this.proof {
                rows.iter().for_each(|row| proof.seals.feed(row));
            }
            Ok((rows.len(), rows.last().map(|row| row.key.clone()), rows.last().map(|row| row.when)))
        });
        // close_seals(path, interval in seconds) -> true | false: the key was replaced meanwhile, so the seals must be read again
        // | nil, message
        methods.add_method_mut("close_seals", |_, this, (path, interval): (LuaString, f64)| {
            let Some(Proof { keys, file, seals }) = this.proof.take() else { return Ok((Some(true), None)) };
            let now = match SealFile::look(&Disk, value::path(&path.as_bytes())) {
                Ok(found) => found,
                Err(error) => return Ok((None, Some(error.to_string()))),
            };
            if now.as_ref().map(|now| (now.id, now.epoch)) != file.as_ref().map(|file| (file.id, file.epoch)) {
                return Ok((Some(false), None));
            }
            let host = this.host.clone();
            let end = file.map(|file| End { key: file.id, epoch: file.epoch, last: file.last.get(&host).copied() });
            let proved = seals.verify(&host, &keys, end);
            if proved.is_foreign {
                return Ok((None, Some(FOREIGN_KEY.to_owned())));
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates.
            this.verifier()?.rely_on(proved, interval.max(0.0) as u64);
            Ok((Some(true), None))
        });
        // begin(archive user | nil): the rows that follow are there
        methods.add_method_mut("begin", |_, this, user: Text| {
            this.verifier()?.begin(partition(&user));
            Ok(())
        });
        // feed(rows, how many more could not be read) -> how many they were, key and time of the last one
        methods.add_method_mut("feed", |_, this, (page, damaged): (LuaValue, u64)| {
            let rows = rows(&page)?;
            let verifier = this.verifier()?;
            rows.iter().for_each(|row| verifier.feed(row));
            verifier.damaged(damaged);
            Ok((rows.len(), rows.last().map(|row| row.key.clone()), rows.last().map(|row| row.when)))
        });
        // feed_waiting(most) -> whether there is more: the next entries that wait in the journal
        methods.add_method_mut("feed_waiting", |_, this, most: usize| {
            for _ in 0..most {
                let Some((_, payload)) = this.waiting.get(this.next) else { return Ok(false) };
                this.next = this.next.saturating_add(1);
                if let (Some(payload), Some(verifier)) = (payload, &mut this.verifier) {
                    verifier.feed_waiting(&payload);
                }
            }
            Ok(true)
        });
        // finish(now, name of the start of the machine | nil: the journal may know less than the store) -> { intact =, verified =, unprotected =, removed =, faults =, status =, again =, sealed = UNIX time | nil,
        // lines = list of texts } | nil, message
        methods.add_method_mut("finish", |lua, this, (now, boot): (f64, Option<String>)| {
            let chains = match read_chains(&this.host, &this.path) {
                Ok((_, chains)) => chains,
                Err(problem) => return Ok((None, Some(problem))),
            };
            let Some(mut verifier) = this.verifier.take() else { return Ok((None, None)) };
            // Something may have been removed since the beginning.
            verifier.update(chains.progress());
            if boot.is_some_and(|boot| !chains.may_lag(&boot)) {
                verifier.bound(chains.progress());
            }
            verifier.judge(milliseconds(now));
            let verdict = verifier.finish();
            let result = lua.create_table()?;
            result.set("intact", verdict.is_intact())?;
            result.set("verified", verdict.verified)?;
            result.set("unprotected", verdict.unprotected)?;
            result.set("removed", verdict.removed)?;
            result.set("faults", verdict.faults)?;
            result.set("status", verdict.status())?;
            result.set("again", verdict.again.len())?;
            result.set("sealed", verdict.sealing.and_then(|sealing| sealing.time))?;
            result.set("lines", verdict.lines(&this.host))?;
            Ok((Some(result), None))
        });
    }
}
