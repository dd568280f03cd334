//! The simulated disk, and what people and power cuts do to the files on it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use audit_core::file::{Access, Files, Memory, Operation};

use crate::script::{Damage, Errno};

pub const FOLDER: &str = "/example%2ecom";

pub fn journal() -> PathBuf {
    Path::new(FOLDER).join("audit_journal")
}

#[derive(Debug, Default)]
pub struct Disk {
    pub files: Memory,
    /// Whether some operations fail now.
    pub is_ill: bool,
}

impl Disk {
    pub fn shared(&self) -> Rc<dyn Files> {
        Rc::new(self.files.clone())
    }

    pub fn fail(&mut self, operation: Operation, errno: Errno, times: usize) {
        let kind = match errno {
            Errno::Io => ErrorKind::Other,
            Errno::NoSpace => ErrorKind::StorageFull,
            Errno::ReadOnly => ErrorKind::ReadOnlyFilesystem,
        };
        self.files.fail(operation, kind, times);
        self.is_ill = true;
    }

    /// Nothing more is written.
    #[cfg(feature = "storage")]
    pub fn fail_to_write(&mut self) {
        let operations =
            [Operation::Append, Operation::WriteAt, Operation::SetLength, Operation::Create, Operation::Rename, Operation::Remove];
        operations.into_iter().for_each(|operation| self.files.fail(operation, ErrorKind::Other, 1000));
    }

    pub fn set_room(&mut self, room: usize) {
        self.files.set_room(Some(room));
        self.is_ill = true;
    }

    pub fn heal(&mut self) {
        self.files.heal();
        self.files.set_room(None);
        self.is_ill = false;
    }

    /// The files of the journal, in the order of their names.
    fn paths(&self) -> Vec<PathBuf> {
        let mut names = self.files.list(Path::new(FOLDER)).unwrap_or_default();
        names.sort();
        names.iter().map(|name| Path::new(FOLDER).join(name)).filter(|path| is_of_journal(path)).collect()
    }

    /// How many bytes all files have.
    pub fn size(&self) -> u64 {
        let names = self.files.list(Path::new(FOLDER)).unwrap_or_default();
        names.iter().filter_map(|name| Some(self.files.status(&Path::new(FOLDER).join(name)).ok()?.length)).sum()
    }

    /// Damages a file. Returns whether it was the ledger; `None` if nothing was damaged.
    pub fn damage(&self, damage: Damage, number: u64) -> Option<bool> {
        let paths = self.paths();
        let path = paths.get((number % 65_536) as usize % paths.len().max(1))?;
        let place = number >> 20;
        let mut file = self.files.open(path, Access::Write).ok()?;
        let length = file.length().unwrap_or(0);
        if length == 0 {
            return None;
        }
        let is_done = match damage {
            Damage::Flip => {
                let mut byte = [0];
                let at = place % length;
                file.read_at(&mut byte, at).is_ok() && file.write_at(&[byte[0] ^ (1 << ((number >> 16) & 7))], at).is_ok()
            }
            Damage::Truncate => file.set_length(place % length).is_ok(),
            Damage::Remove => self.files.remove(path).is_ok(),
            Damage::Replace => {
                let made = self.files.remove(path).and_then(|()| self.files.create_new(path, Access::Write));
                made.and_then(|mut file| file.append(b"something else")).is_ok()
            }
        };
        is_done.then(|| path.extension().is_some_and(|extension| extension == "losses"))
    }

    /// Takes back what was not written back. Before, some files are, by the bits of `written`.
    pub fn cut_power(&mut self, written: u64) {
        self.heal();
        let count = std::cell::Cell::new(0);
        self.files.write_back(|_| (written >> (count.replace(count.get() + 1) % 64)) & 1 == 1);
        self.files.cut_power();
    }
}

/// The ledger and the segments, which are tried alike. The lock, the heads of the chains and the state of the clock are not among them.
fn is_of_journal(path: &Path) -> bool {
    let name = path.to_string_lossy();
    !name.ends_with(".lock")
        && !name.ends_with(".clock")
        && !name.ends_with(".flood")
        && !name.contains(".key")
        && !name.contains(".new")
        && !name.ends_with(".heads")
        && ![".seal", ".position", ".alerts"].iter().any(|ending| name.ends_with(ending))
}
