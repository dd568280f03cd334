//! Which process may change journals: one lock file for all journals of a folder.
//!
//! A lock of its own for each journal would keep a file open for each host, and a process may not have that many. So the
//! file that is locked lists the journals that its owner has, one a line. A line with a minus in front takes a journal away
//! again: a process that ends gives up thousands of them, and must not write the whole list for each. The file is empty if they
//! could not be written down: then all journals are taken to be the owner's.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::file::lock::LockError;
use crate::file::{Disk, Files, HeldLock, whole};

use super::error::JournalError;
use super::segment::{folder, with_ending};

/// The list is written anew if it has more than this many lines for each journal.
const LINES: usize = 3;

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
    /// How many lines the file has. `None` if it does not list the journals.
    lines: Option<usize>,
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
        let state = State { files, path: path.to_owned(), lock: None, is_held: false, journals: BTreeSet::new(), lines: None };
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
            state.add(&line(base));
        }
        Ok(())
    }

    /// Takes a journal away from them.
    pub(super) fn leave(&self, base: &Path) {
        let mut state = self.0.borrow_mut();
        state.journals.remove(base);
        if !state.tidy() {
            state.add(&without(base));
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
        let written = lock.set_length(0).and_then(|()| lock.append(lines.as_bytes()));
        self.wrote(written, self.journals.len());
    }

    /// Adds a line to the list.
    fn add(&mut self, line: &str) {
        let most = self.journals.len().saturating_mul(LINES);
        let (Some(lock), Some(lines)) = (&mut self.lock, self.lines.filter(|lines| *lines < most)) else {
            self.write();
            return;
        };
        let written = lock.append(line.as_bytes());
        self.wrote(written, lines.saturating_add(1));
    }

    /// Notes that the list has this many lines now, or that it could not be written.
    fn wrote(&mut self, written: io::Result<()>, lines: usize) {
        self.lines = Some(lines).filter(|_| written.is_ok());
        if let (Err(_), Some(lock)) = (written, &mut self.lock) {
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
    let (line, without) = (line(base), without(base));
    let last = text.split_inclusive(|byte| *byte == b'\n').rfind(|found| [line.as_bytes(), without.as_bytes()].contains(found));
    text.is_empty() || last == Some(line.as_bytes())
}

/// How a journal is written down: in one line, whatever its path has.
fn line(base: &Path) -> String {
    format!("{base:?}\n")
}

/// How it is written down that the owner has a journal no longer.
fn without(base: &Path) -> String {
    format!("-{base:?}\n")
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::file::{Access, Memory, Operation};

    const LOCK: &str = "/audit.lock";

    fn bases(count: usize) -> Vec<PathBuf> {
        (0..count).map(|host| PathBuf::from(format!("/host{host}.example/journal"))).collect()
    }

    /// Those that the list says are the owner's.
    fn listed(files: &Memory, bases: &[PathBuf]) -> Vec<PathBuf> {
        bases.iter().filter(|base| lists(files, Path::new(LOCK), base)).cloned().collect()
    }

    fn length(files: &Memory) -> usize {
        usize::try_from(files.open(Path::new(LOCK), Access::Read).unwrap().length().unwrap()).unwrap()
    }

    fn owner_of(files: &Memory, bases: &[PathBuf]) -> Owner {
        let owner = Owner::on(Rc::new(files.clone()), Path::new(LOCK));
        owner.hold().unwrap();
        bases.iter().for_each(|base| owner.enter(base).unwrap());
        owner
    }

    #[test]
    fn the_list_is_not_written_anew_for_each_journal_that_is_given_up() {
        let (files, bases) = (Memory::default(), bases(300));
        let owner = owner_of(&files, &bases);
        let whole = length(&files);
        // What is written takes room, also if it is removed later.
        files.set_room(Some(whole * 3));
        for (index, base) in bases.iter().enumerate().take(299) {
            owner.leave(base);
            if index % 23 == 0 {
                assert_eq!(listed(&files, &bases), bases[index + 1..], "{index}");
            }
        }
        assert_eq!(listed(&files, &bases), bases[299..]);
    }

    #[test]
    fn a_journal_that_comes_and_goes_does_not_make_the_list_longer() {
        let (files, bases) = (Memory::default(), bases(10));
        let owner = owner_of(&files, &bases);
        let whole = length(&files);
        for _ in 0..100 {
            owner.leave(&bases[3]);
            assert!(!listed(&files, &bases).contains(&bases[3]));
            owner.enter(&bases[3]).unwrap();
            assert_eq!(listed(&files, &bases), bases);
            assert!(length(&files) <= whole * (LINES + 1));
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_with_the_next_change() {
        let (files, bases) = (Memory::default(), bases(10));
        let owner = owner_of(&files, &bases[..8]);
        files.fail(Operation::Append, ErrorKind::StorageFull, 1);
        owner.leave(&bases[0]);
        assert_eq!(listed(&files, &bases), bases, "an empty list is that of all journals");
        owner.enter(&bases[8]).unwrap();
        assert_eq!(listed(&files, &bases), bases[1..9]);
    }
}
