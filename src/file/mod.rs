//! Files of the log's own: the journal, checkpoints, keys, the state of the clock.
//!
//! [`Files`] is the seam between them and the file system. [`Disk`] is the file system, [`Memory`] a stand-in whose operations
//! can be made to fail. Both pass the same tests. [`whole`] reads and writes files in one piece.
//!
//! What the log makes belongs to the owner of its folder, see [`ownership`].

mod disk;
pub mod lock;
pub mod log_file;
mod memory;
pub mod new_file;
pub mod others;
pub mod ownership;
#[cfg(test)]
mod tests;
pub mod whole;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

pub use disk::Disk;
#[cfg(test)]
pub(crate) use disk::full;
use lock::LockError;
pub use memory::{Memory, Operation};

/// Where files are.
pub trait Files: fmt::Debug {
    /// Opens a plain file that exists.
    ///
    /// # Errors
    ///
    /// What the system says; `NotFound` if there is no such file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn OpenFile>>;

    /// Makes an empty file that only its owner may use (0600), and gives it to the owner of its folder.
    ///
    /// # Errors
    ///
    /// What the system says; `AlreadyExists` if there is something of that name.
    fn create_new(&self, path: &Path, access: Access) -> io::Result<Box<dyn OpenFile>>;

    /// Returns the status of the file at `path`. Links are followed.
    ///
    /// # Errors
    ///
    /// What the system says; `NotFound` if there is no such file.
    fn status(&self, path: &Path) -> io::Result<Status>;

    /// What tells whether the file at `path` is another one, or was written to. Returns `None` if there is none.
    fn stamp(&self, path: &Path) -> Option<Stamp> {
        self.status(path).ok().map(|status| status.stamp)
    }

    /// Whether `file` is still the file at `path`.
    fn is_at(&self, file: &dyn OpenFile, path: &Path) -> bool {
        let (Ok(open), Ok(there)) = (file.status(), self.status(path)) else { return false };
        open.is_named && open.stamp.file == there.stamp.file
    }

    /// Whether nothing has the name `path`. A link counts as something, even if its target does not exist.
    fn is_missing(&self, path: &Path) -> bool;

    /// Whether `path` is a folder.
    fn is_folder(&self, path: &Path) -> bool;

    /// Gives a file another name, in place of the file that has it now.
    ///
    /// # Errors
    ///
    /// What the system says. Then both names stand for what they stood for before.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    ///
    /// What the system says; `AlreadyExists` if there is something of that name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. A process that has it open can still use it.
    ///
    /// # Errors
    ///
    /// What the system says; `NotFound` if there is no such file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Waits until the names in a folder are on the disk as they are now.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// The names in a folder, in no order.
    ///
    /// # Errors
    ///
    /// What the system says; `NotFound` if there is no such folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Makes a folder and those above it (0700) that are missing. Each belongs to the owner of the one above it.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or folder of root's to the owner of its folder, see [`ownership::give_from_root`].
    fn give_from_root(&self, path: &Path);

    /// Locks a file, which is made if it is missing, until the lock is dropped. Returns the file, open for [`Access::Write`].
    ///
    /// # Errors
    ///
    /// Returns [`LockError::Held`] if another process, or another lock of this one, has it, and [`LockError::Io`] if the file
    /// can't be made.
    fn lock(&self, path: &Path) -> Result<HeldLock, LockError>;

    /// Whether a process holds the lock of a file. On a real disk this takes the lock for a moment.
    fn is_locked(&self, path: &Path) -> bool;
}

/// A locked file. The lock is held until this is dropped.
pub type HeldLock = Box<dyn OpenFile>;

/// What an open file is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading, and writing at its end. Two processes that do so never write over each other.
    Append,
    /// Reading, and writing anywhere.
    Write,
}

/// An open file. It stays the same file when another one gets its name.
pub trait OpenFile: fmt::Debug {
    /// Writes at the end, with one call to the system if that takes all.
    ///
    /// # Errors
    ///
    /// What the system says. A part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes at `offset`. Only for [`Access::Write`].
    ///
    /// # Errors
    ///
    /// What the system says. A part may have been written.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads from `offset` on, at most as many bytes as there is room for. Returns their number, which is 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn read_some_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills `bytes` with what the file has from `offset` on.
    ///
    /// # Errors
    ///
    /// What the system says; `UnexpectedEof` if the file ends before.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let (mut rest, mut offset) = (bytes, offset);
        while !rest.is_empty() {
            match self.read_some_at(rest, offset) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    rest = rest.get_mut(count..).unwrap_or_default();
                    offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How long the file is, in bytes.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn length(&self) -> io::Result<u64> {
        self.status().map(|status| status.length)
    }

    /// Makes the file this long: cuts it, or fills it up with zeros.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn set_length(&mut self, length: u64) -> io::Result<()>;

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn sync(&self) -> io::Result<()>;

    /// Returns the status of this file, whatever its name is now.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn status(&self) -> io::Result<Status>;

    /// The same as [`Files::stamp`] for this file, whatever its name is now.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn stamp(&self) -> io::Result<Stamp> {
        self.status().map(|status| status.stamp)
    }
}

/// Reads an open file from its beginning to its end.
#[derive(Debug)]
pub struct FileReader<'a> {
    file: &'a dyn OpenFile,
    offset: u64,
}

impl<'a> FileReader<'a> {
    /// Begins at the first byte of `file`.
    #[must_use]
    pub const fn new(file: &'a dyn OpenFile) -> Self {
        Self { file, offset: 0 }
    }
}

impl io::Read for FileReader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_some_at(bytes, self.offset)?;
        self.offset = self.offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

/// The status of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What tells whether the file is another one, or was written to.
    pub stamp: Stamp,
    /// How long it is, in bytes.
    pub length: u64,
    /// Whether it is a plain file: not a folder, a pipe or a device.
    pub is_plain: bool,
    /// Whether it has a name. A file that is open and was removed has none.
    pub is_named: bool,
}

/// The identity of a file: its device and its inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileId(u64, u64);

/// What tells whether a file is another one than before, or was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    file: FileId,
    written: (i64, i64),
}

impl Stamp {
    /// The identity of the file.
    #[must_use]
    pub const fn file(&self) -> FileId {
        self.file
    }

    /// Whether both are of the same file.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.file == other.file
    }
}
