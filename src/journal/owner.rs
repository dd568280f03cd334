//! Which process may change journals: one lock file for all journals of a folder.
//!
//! A lock of its own for each journal would keep a file open for each host, and a process may not have that many. So the
//! file that is locked lists the journals that its owner has, one a line. It is empty if they could not be written down: then
//! all journals are taken to be the owner's.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::file::lock::{Lock, LockError, is_held};

use super::error::JournalError;
use super::ledger::is_at;
use super::segment::{folder, with_ending};

/// The right to change journals, shared by all that have it. It is held as long as there is a journal that was
/// [attached](super::Journal::attach) under it, or since [`hold`](Self::hold).
#[derive(Clone, Debug)]
pub struct Owner(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    path: PathBuf,
    lock: Option<Lock>,
    is_held: bool,
    journals: BTreeSet<PathBuf>,
}

impl Owner {
    /// By a lock file, which is made when it is needed. Nothing is locked yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(Arc::new(Mutex::new(State { path: path.to_owned(), lock: None, is_held: false, journals: BTreeSet::new() })))
    }

    /// Takes the lock before there is a journal, and keeps it until [`release`](Self::release).
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] if another process has it, [`JournalError::Io`] if the file can't be made.
    pub fn hold(&self) -> Result<(), JournalError> {
        let mut state = self.state();
        state.take()?;
        state.is_held = true;
        Ok(())
    }

    /// Lets go of the lock, unless a journal needs it.
    pub fn release(&self) {
        let mut state = self.state();
        state.is_held = false;
        state.tidy();
    }

    /// Adds a journal to those that this process has.
    pub(super) fn enter(&self, base: &Path) -> Result<(), JournalError> {
        let own = with_ending(base, ".lock");
        let mut state = self.state();
        // COMPAT 0.1: locks a file beside each journal. In a server that was not started again it does so still.
        if own != state.path && is_held(&own) {
            return Err(JournalError::Locked { path: own });
        }
        state.take()?;
        if state.journals.insert(base.to_owned()) {
            state.add(base);
        }
        Ok(())
    }

    /// Takes a journal away from them.
    pub(super) fn leave(&self, base: &Path) {
        let mut state = self.state();
        state.journals.remove(base);
        if !state.tidy() {
            state.write();
        }
    }

    /// Locks another file if somebody has removed or replaced this one.
    pub(super) fn look(&self) {
        let mut state = self.state();
        // If the whole folder was moved away, the lock goes with it.
        if state.lock.as_ref().is_some_and(|lock| !is_at(lock.file(), &state.path))
            && folder(&state.path).is_dir()
            && let Ok(lock) = Lock::take(&state.path)
        {
            state.lock = Some(lock);
            state.write();
        }
    }

    #[cfg(test)]
    pub(super) fn file(&self) -> File {
        self.state().lock.as_ref().unwrap().file().try_clone().unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Result<(), JournalError> {
        if self.lock.is_none() {
            let lock = Lock::take(&self.path).map_err(|error| match error {
                LockError::Held(path) => JournalError::Locked { path },
                LockError::Io { path, source } => JournalError::Io { path, source },
            })?;
            self.lock = Some(lock);
            self.write();
        }
        Ok(())
    }

    /// Whether nobody needs the lock: then it is let go.
    fn tidy(&mut self) -> bool {
        let is_free = !self.is_held && self.journals.is_empty();
        if is_free {
            self.lock = None;
        }
        is_free
    }

    /// Writes all journals down.
    fn write(&self) {
        let Some(lock) = &self.lock else { return };
        let lines: String = self.journals.iter().map(|base| line(base)).collect();
        let mut file = lock.file();
        let written = file.set_len(0).and_then(|()| std::io::Seek::rewind(&mut file)).and_then(|()| file.write_all(lines.as_bytes()));
        if written.is_err() {
            let _ = file.set_len(0);
        }
    }

    /// Writes one more journal down.
    fn add(&self, base: &Path) {
        let Some(lock) = &self.lock else { return };
        if lock.file().write_all(line(base).as_bytes()).is_err() {
            let _ = lock.file().set_len(0);
        }
    }
}

/// Whether a process has the journal at `base`, as the lock file at `lock` says. Looks by taking the lock for a moment: whoever
/// opens a journal in just that moment is refused and tries again, so this is for when nothing else tells.
#[must_use]
pub fn is_owned(lock: &Path, base: &Path) -> bool {
    is_held(&with_ending(base, ".lock")) || is_held(lock) && lists(lock, base)
}

fn lists(lock: &Path, base: &Path) -> bool {
    let mut text = String::new();
    let read = File::open(lock).and_then(|mut file| file.read_to_string(&mut text));
    read.is_err() || text.is_empty() || text.split_inclusive('\n').any(|found| found == line(base))
}

/// How a journal is written down: in one line, whatever its path has.
fn line(base: &Path) -> String {
    format!("{base:?}\n")
}
