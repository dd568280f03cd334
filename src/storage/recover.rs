//! What is done with a file that can't be used any longer: it was damaged, deleted or replaced by another one.
//!
//! A thread copies what can be read into a new file, which then takes its place. Until then nothing can be read or written, and
//! entries wait in the journal. So entries keep their order, and none is there twice. The damaged file stays, under another name.
//!
//! A small file `audit.sqlite3.recovery` is there meanwhile. Other programs wait for it to go, and a server that starts later
//! begins the copying again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::error::StorageError;
use super::open;
use super::salvage::{self, Copied};
use super::sync::Syncer;
use super::thread;
use crate::file::ownership::{folder_of, make_file};

/// How long the thread waits before it tries again.
const PAUSE: Duration = Duration::from_secs(5);

/// How many files are set aside before the next one is refused.
const SET_ASIDE: u32 = 100;

/// Why a file can't be used any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is damaged. The text says how.
    Damaged(String),
    /// It was deleted while it was open.
    Deleted,
    /// Another file took its place while it was open.
    Replaced,
    /// An earlier process did not finish the copying.
    Interrupted,
}

/// What became of a file that could not be used any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Why it could not be used.
    pub cause: Cause,
    /// The name that the damaged file has now, or the file that took its place. There is none if it was deleted.
    pub set_aside: Option<PathBuf>,
    /// What was copied.
    pub copied: Vec<Copied>,
}

/// What still is open of the old file.
pub(super) struct Source {
    pub(super) connection: Connection,
    /// It is stopped in the thread, as that may take a moment.
    pub(super) syncer: Option<Syncer>,
}

/// The copying.
#[derive(Debug)]
pub(super) struct Recovery {
    process: u32,
    stop: Option<Sender<()>>,
    /// What went wrong last.
    problem: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<Option<Recovered>>>,
}

impl Recovery {
    /// Begins it. `source` is the file as it was open so far.
    pub(super) fn start(path: &Path, cause: Cause, source: Option<Source>) -> Result<Self, StorageError> {
        let problem = Arc::new(Mutex::new(None));
        let (stop, stopped) = channel();
        let names = Names::new(path);
        // At once, so that no other program makes a file meanwhile. If it is not possible now, the thread tries it again.
        let _ = names.mark(&cause);
        let work = Work { names, cause, source, aside: None, stopped, problem: Arc::clone(&problem) };
        let thread = thread::start("audit-recovery", path, move || work.run())?;
        Ok(Self { process: std::process::id(), stop: Some(stop), problem, thread: Some(thread) })
    }

    /// Whether this process has begun it. Threads do not survive `fork`.
    pub(super) fn is_own(&self) -> bool {
        self.process == std::process::id()
    }

    /// What came of it, or why it is not ready yet.
    pub(super) fn result(&mut self) -> Result<Recovered, StorageError> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            if let Some(Ok(Some(recovered))) = self.thread.take().map(JoinHandle::join) {
                return Ok(recovered);
            }
        }
        let problem = self.problem.lock().ok().and_then(|problem| problem.clone());
        Err(StorageError::Recovering { problem })
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take().filter(|_| self.process == std::process::id()) {
            let _ = thread.join();
        }
    }
}

/// Whether a copying has begun, or was interrupted.
pub(super) fn is_pending(path: &Path) -> bool {
    fs::symlink_metadata(Names::new(path).marker).is_ok()
}

/// The files beside a database.
struct Names {
    path: PathBuf,
    marker: PathBuf,
    copy: PathBuf,
    /// The damaged file with another first page.
    repaired: PathBuf,
}

impl Names {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            marker: with(path, ".recovery"),
            copy: with(path, ".recovery-copy"),
            repaired: with(path, ".recovery-source"),
        }
    }

    fn io(&self, source: io::Error) -> StorageError {
        StorageError::Io { path: self.path.clone(), source }
    }

    /// Writes the marker, if it is not there: it has the name that the damaged file will have, or nothing. Returns the name.
    fn mark(&self, cause: &Cause) -> Result<Option<PathBuf>, StorageError> {
        let known = match fs::read_to_string(&self.marker) {
            Ok(name) => Some(name),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(self.io(error)),
        };
        // It was interrupted while it was written.
        let known = known.filter(|text| text.ends_with('\n'));
        let ending = match &known {
            Some(text) => text.trim_end().to_owned(),
            None => {
                let ending = match cause {
                    Cause::Deleted => String::new(),
                    Cause::Replaced => self.free("replaced")?,
                    Cause::Damaged(_) | Cause::Interrupted => self.free("damaged")?,
                };
                let _ = fs::remove_file(&self.marker);
                let written = make_file(OpenOptions::new().write(true), &self.marker)
                    .and_then(|mut file| file.write_all(format!("{ending}\n").as_bytes()).and_then(|()| file.sync_all()))
                    .and_then(|()| self.sync_folder());
                written.map_err(|error| self.io(error))?;
                ending
            }
        };
        Ok((!ending.is_empty()).then(|| with(&self.path, &ending)))
    }

    fn free(&self, kind: &str) -> Result<String, StorageError> {
        (1..=SET_ASIDE)
            .map(|number| format!(".{kind}-{number}"))
            .find(|ending| ["", "-wal"].iter().all(|end| fs::symlink_metadata(with(&self.path, &format!("{ending}{end}"))).is_err()))
            .ok_or(StorageError::TooMany { what: "the number of damaged files beside the database", most: u64::from(SET_ASIDE) })
    }

    /// Gives the database another name, with the files that SQLite keeps beside it.
    fn set_aside(&self, target: &Path, cause: &Cause) -> Result<(), StorageError> {
        if fs::symlink_metadata(target).is_err() {
            // The WAL first: beside a database that it does not belong to it would do harm. If the database was replaced, the WAL
            // probably is that of the file before.
            let wal = if *cause == Cause::Replaced { ".wal" } else { "-wal" };
            for (end, new_end) in [("-wal", wal), ("", "")] {
                match fs::rename(with(&self.path, end), with(target, new_end)) {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    result => result.map_err(|error| self.io(error))?,
                }
            }
        }
        self.remove_beside(&self.path).map_err(|error| self.io(error))
    }

    /// Removes what SQLite keeps beside a database.
    fn remove_beside(&self, path: &Path) -> io::Result<()> {
        for end in ["-wal", "-shm"] {
            remove(&with(path, end))?;
        }
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(folder_of(&self.path)).and_then(|folder| folder.sync_all())
    }

    /// Gives the copy the name of the database.
    fn put_in_place(&self) -> io::Result<()> {
        File::open(&self.copy)?.sync_all()?;
        self.remove_beside(&self.path)?;
        fs::rename(&self.copy, &self.path)?;
        self.sync_folder()
    }

    /// Removes what is not needed any more.
    fn clean(&self) -> io::Result<()> {
        for path in [&self.repaired, &self.copy] {
            self.remove_beside(path)?;
            remove(path)?;
        }
        remove(&self.marker)
    }
}

/// A path with something at its end.
pub(super) fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

struct Work {
    names: Names,
    cause: Cause,
    source: Option<Source>,
    aside: Option<PathBuf>,
    stopped: Receiver<()>,
    problem: Arc<Mutex<Option<String>>>,
}

impl Work {
    fn run(mut self) -> Option<Recovered> {
        if let Some(source) = &mut self.source {
            drop(source.syncer.take());
        }
        loop {
            match self.attempt() {
                Ok(copied) => return Some(Recovered { cause: self.cause, set_aside: self.aside, copied }),
                Err(error) => {
                    if let Ok(mut problem) = self.problem.lock() {
                        *problem = Some(error.to_string());
                    }
                }
            }
            if self.stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                return None;
            }
        }
    }

    fn attempt(&mut self) -> Result<Vec<Copied>, StorageError> {
        let names = &self.names;
        let io = |error| names.io(error);
        self.aside = names.mark(&self.cause)?;
        if self.cause == Cause::Interrupted && is_in_place(names, self.aside.as_deref()) {
            names.clean().map_err(io)?;
            return Ok(Vec::new());
        }
        if let Some(aside) = &self.aside {
            names.set_aside(aside, &self.cause)?;
            self.aside = self.aside.take().filter(|path| path.exists());
        }
        for path in [&names.copy, &names.repaired] {
            remove(path).and_then(|()| names.remove_beside(path)).map_err(io)?;
        }
        let target = open::create_plain(&names.copy)?;
        let copied = match &self.source {
            Some(source) => self.copy(&source.connection, &target, self.aside.as_deref())?,
            None => match &self.aside {
                Some(aside) => self.copy_file(aside, &target)?,
                None => Vec::new(),
            },
        };
        target.pragma_update(None, "journal_mode", "WAL")?;
        target.close().map_err(|(_, error)| error)?;
        // Closed before the files change their names.
        self.source = None;
        let names = &self.names;
        names.put_in_place().and_then(|()| names.clean()).map_err(|error| names.io(error))?;
        Ok(copied)
    }

    fn copy(&self, source: &Connection, target: &Connection, damaged: Option<&Path>) -> Result<Vec<Copied>, StorageError> {
        salvage::prepare(source)?;
        // Another file that took its place is not read.
        let file =
            damaged.filter(|_| self.cause != Cause::Replaced).map(|damaged| salvage::File { damaged, scratch: &self.names.repaired });
        salvage::copy(source, target, file.as_ref(), &|| self.stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected))
    }

    fn copy_file(&self, aside: &Path, target: &Connection) -> Result<Vec<Copied>, StorageError> {
        let names = &self.names;
        // A file of another kind has nothing to copy, and is no error.
        let copied = match salvage::open(aside) {
            Ok(source) => self.copy(&source, target, Some(aside)),
            Err(_) => match salvage::copy_with_first_page(aside, &names.copy, &names.repaired) {
                Ok(()) => salvage::open(&names.repaired).map_or_else(|_| Ok(Vec::new()), |source| self.copy(&source, target, Some(aside))),
                Err(error) => Err(error),
            },
        };
        // SQLite has made them.
        let _ = remove(&with(aside, "-shm"));
        let wal = with(aside, "-wal");
        if fs::metadata(&wal).is_ok_and(|file| file.len() == 0) {
            let _ = remove(&wal);
        }
        copied
    }
}

/// Whether the copy was already put in the place of the damaged file.
fn is_in_place(names: &Names, aside: Option<&Path>) -> bool {
    let is_there = |path: &Path| fs::metadata(path).is_ok_and(|file| file.len() > 0);
    is_there(&names.path) && !names.copy.exists() && aside.is_none_or(|aside| aside.exists())
}
