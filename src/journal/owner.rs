//! Which process may change journals: one lock file for all journals of a folder.
//!
//! A lock of its own for each journal would keep a file open for each host, and a process may not have that many. So the
//! file that is locked lists the journals that its owner has, one a line. It is empty if they could not be written down: then
//! all journals are taken to be the owner's.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::file::lock::LockError;
use crate::file::{Disk, Files, HeldLock, whole};

use super::error::JournalError;
use super::segment::{folder, with_ending};

/// The right to change journals, shared by all that have it. It is held as long as there is a journal that was
/// [attached](super::Journal::attach) under it, or since [`hold`](Self::hold).
#[derive(Clone, Debug)]
pub struct Owner(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    files: Rc<dyn Files>,
    path: PathBuf,
    lock: Option<HeldLock>,
    is_held: bool,
    journals: BTreeSet<PathBuf>,
}

impl Owner {
    /// By a lock file, which is made when it is needed. Nothing is locked yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self::on(Rc::new(Disk), path)
    }

    /// The same with other files than those of the disk. The journals of this owner are in them, too.
    #[must_use]
    pub fn on(files: Rc<dyn Files>, path: &Path) -> Self {
        let state = State { files, path: path.to_owned(), lock: None, is_held: false, journals: BTreeSet::new() };
        Self(Rc::new(RefCell::new(state)))
    }

    pub(super) fn files(&self) -> Rc<dyn Files> {
        Rc::clone(&self.0.borrow().files)
    }

    /// Takes the lock before there is a journal, and keeps it until [`release`](Self::release).
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] if another process has it, [`JournalError::Io`] if the file can't be made.
    pub fn hold(&self) -> Result<(), JournalError> {
        let mut state = self.0.borrow_mut();
        state.take()?;
        state.is_held = true;
        Ok(())
    }

    /// Lets go of the lock, unless a journal needs it.
    pub fn release(&self) {
        let mut state = self.0.borrow_mut();
        state.is_held = false;
        state.tidy();
    }

    /// Adds a journal to those that this process has.
    pub(super) fn enter(&self, base: &Path) -> Result<(), JournalError> {
        let own = with_ending(base, ".lock");
        let mut state = self.0.borrow_mut();
        // COMPAT 0.1: locks a file beside each journal. In a server that was not started again it does so still.
        if own != state.path && state.files.is_locked(&own) {
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
        let mut state = self.0.borrow_mut();
        state.journals.remove(base);
        if !state.tidy() {
            state.write();
        }
    }

    /// Locks another file if somebody has removed or replaced this one.
    pub(super) fn look(&self) {
        let mut state = self.0.borrow_mut();
        // If the whole folder was moved away, the lock goes with it.
        let is_gone = state.lock.as_ref().is_some_and(|lock| !state.files.is_at(&**lock, &state.path));
        if is_gone && state.files.is_folder(folder(&state.path)) {
            if let Ok(lock) = state.files.lock(&state.path) {
                state.lock = Some(lock);
                state.write();
            }
        }
    }
}

impl State {
    fn take(&mut self) -> Result<(), JournalError> {
        if self.lock.is_none() {
            let lock = self.files.lock(&self.path).map_err(|error| match error {
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
    fn write(&mut self) {
        let Some(lock) = &mut self.lock else { return };
        let lines: String = self.journals.iter().map(|base| line(base)).collect();
        if lock.set_length(0).and_then(|()| lock.append(lines.as_bytes())).is_err() {
            let _ = lock.set_length(0);
        }
    }

    /// Writes one more journal down.
    fn add(&mut self, base: &Path) {
        let Some(lock) = &mut self.lock else { return };
        if lock.append(line(base).as_bytes()).is_err() {
            let _ = lock.set_length(0);
        }
    }
}

/// Whether a process has the journal at `base`, according to the lock file at `lock`. This takes the lock for a moment. A process that
/// opens a journal at that moment is refused and tries again, so call this only if there is no other way to know.
#[must_use]
pub fn is_owned(lock: &Path, base: &Path) -> bool {
    Disk.is_locked(&with_ending(base, ".lock")) || Disk.is_locked(lock) && lists(&Disk, lock, base)
}

fn lists(files: &dyn Files, lock: &Path, base: &Path) -> bool {
    let Ok(Some(text)) = whole::read(files, lock, usize::MAX) else { return true };
    text.is_empty() || text.split_inclusive(|byte| *byte == b'\n').any(|found| found == line(base).as_bytes())
}

/// How a journal is written down: in one line, whatever its path has.
fn line(base: &Path) -> String {
    format!("{base:?}\n")
}
