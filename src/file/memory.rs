//! Files in memory, whose operations can be made to fail.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::lock::LockError;
use super::{Access, FileId, Files, HeldLock, OpenFile, Stamp, Status};

/// Files in memory. A clone is another handle of the same files, as another process has one. All folders exist.
///
/// ```
/// use std::io::ErrorKind;
/// use std::path::Path;
/// use audit_core::file::{Access, Files, Memory, Operation};
///
/// let files = Memory::default();
/// let mut file = files.create_new(Path::new("/audit.journal"), Access::Append).unwrap();
/// files.fail(Operation::Append, ErrorKind::StorageFull, 1);
/// assert!(file.append(b"lost").is_err());
/// assert!(file.append(b"kept").is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Memory(Rc<RefCell<State>>);

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`Files::open`].
    Open,
    /// [`Files::create_new`].
    Create,
    /// [`Files::rename`].
    Rename,
    /// [`Files::link`].
    Link,
    /// [`Files::remove`].
    Remove,
    /// [`Files::list`].
    List,
    /// [`Files::make_folder`].
    MakeFolder,
    /// [`Files::lock`].
    Lock,
    /// [`OpenFile::append`].
    Append,
    /// [`OpenFile::write_at`].
    WriteAt,
    /// [`OpenFile::read_at`] and [`OpenFile::read_some_at`].
    ReadAt,
    /// [`OpenFile::set_length`].
    SetLength,
    /// [`OpenFile::sync`].
    Sync,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, SharedBytes>,
    /// The numbers of the locked files.
    locked: BTreeSet<u64>,
    faults: Vec<(Operation, ErrorKind, usize)>,
    /// How many more bytes fit. `None` if there is no end.
    room: Option<usize>,
    /// Counts files that were made and writes, in place of inode numbers and of a clock.
    count: u64,
}

type SharedBytes = Rc<RefCell<Bytes>>;

#[derive(Debug)]
struct Bytes {
    bytes: Vec<u8>,
    /// What is left after [`Memory::cut_power`].
    synced: Vec<u8>,
    number: u64,
    written: u64,
}

impl Memory {
    /// Makes the next `times` calls of an operation fail.
    pub fn fail(&self, operation: Operation, kind: ErrorKind, times: usize) {
        self.0.borrow_mut().faults.push((operation, kind, times));
    }

    /// Lets no operation fail any more, unless there is no room.
    pub fn heal(&self) {
        self.0.borrow_mut().faults.clear();
    }

    /// Lets files grow by this many more bytes together. A write that does not fit is done in part, and fails. Bytes can always be
    /// overwritten. `None` removes the limit.
    pub fn set_room(&self, room: Option<usize>) {
        self.0.borrow_mut().room = room;
    }

    /// Writes all that was written so far to the disk, for the files whose paths fulfil `is_chosen`. A kernel does so now and then.
    pub fn write_back(&self, is_chosen: impl Fn(&Path) -> bool) {
        for (_, content) in self.0.borrow().names.iter().filter(|(path, _)| is_chosen(path)) {
            let mut content = content.borrow_mut();
            content.synced = content.bytes.clone();
        }
    }

    /// Takes back what was written since the last [`OpenFile::sync`] or [`write_back`](Self::write_back) of each file, as a power cut
    /// may. The names of files stay.
    pub fn cut_power(&self) {
        for content in self.0.borrow().names.values() {
            let mut content = content.borrow_mut();
            content.bytes = content.synced.clone();
        }
    }

    fn check(&self, operation: Operation) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let Some(index) = state.faults.iter().position(|(of, ..)| *of == operation) else { return Ok(()) };
        let (_, kind, times) = state.faults.remove(index);
        if times > 1 {
            state.faults.insert(index, (operation, kind, times - 1));
        }
        Err(kind.into())
    }

    fn find(&self, path: &Path) -> io::Result<SharedBytes> {
        self.0.borrow().names.get(path).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// The next number, for a file or a write.
    fn next(&self) -> u64 {
        let mut state = self.0.borrow_mut();
        state.count = state.count.saturating_add(1);
        state.count
    }

    fn status_of(&self, content: &SharedBytes) -> Status {
        let is_named = self.0.borrow().names.values().any(|named| Rc::ptr_eq(named, content));
        let content = content.borrow();
        Status {
            stamp: Stamp { file: FileId(0, content.number), written: (i64::try_from(content.written).unwrap_or(i64::MAX), 0) },
            length: u64::try_from(content.bytes.len()).unwrap_or(u64::MAX),
            is_plain: true,
            is_named,
        }
    }

    /// How many of `wanted` bytes fit.
    fn take_room(&self, wanted: usize) -> usize {
        let mut state = self.0.borrow_mut();
        let taken = state.room.map_or(wanted, |room| room.min(wanted));
        state.room = state.room.map(|room| room.saturating_sub(taken));
        taken
    }
}

impl Files for Memory {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn OpenFile>> {
        self.check(Operation::Open)?;
        Ok(Box::new(MemoryFile { files: self.clone(), content: self.find(path)?, access, is_lock: false }))
    }

    fn create_new(&self, path: &Path, access: Access) -> io::Result<Box<dyn OpenFile>> {
        self.check(Operation::Create)?;
        if self.find(path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let access = if access == Access::Read { Access::Write } else { access };
        let bytes = Bytes { bytes: Vec::new(), synced: Vec::new(), number: self.next(), written: self.next() };
        let content = Rc::new(RefCell::new(bytes));
        self.0.borrow_mut().names.insert(path.to_owned(), Rc::clone(&content));
        Ok(Box::new(MemoryFile { files: self.clone(), content, access, is_lock: false }))
    }

    fn status(&self, path: &Path) -> io::Result<Status> {
        self.find(path).map(|content| self.status_of(&content))
    }

    fn is_missing(&self, path: &Path) -> bool {
        self.find(path).is_err()
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.find(path).is_err()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Operation::Rename)?;
        let content = self.find(from)?;
        let mut state = self.0.borrow_mut();
        state.names.remove(from);
        state.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Operation::Link)?;
        let content = self.find(from)?;
        if self.find(to).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.0.borrow_mut().names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Operation::Remove)?;
        self.0.borrow_mut().names.remove(path).map(|_| ()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Names are always as on the disk.
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.check(Operation::Sync)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.check(Operation::List)?;
        let state = self.0.borrow();
        let inside = state.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| path.file_name().map(ToOwned::to_owned)).collect())
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        self.check(Operation::MakeFolder)
    }

    fn give_from_root(&self, _: &Path) {}

    fn lock(&self, path: &Path) -> Result<HeldLock, LockError> {
        let error = |source| LockError::Io { path: path.to_owned(), source };
        self.check(Operation::Lock).map_err(error)?;
        if self.find(path).is_err() {
            self.create_new(path, Access::Write).map_err(error)?;
        }
        let content = self.find(path).map_err(error)?;
        let number = content.borrow().number;
        if !self.0.borrow_mut().locked.insert(number) {
            return Err(LockError::Held(path.to_owned()));
        }
        Ok(Box::new(MemoryFile { files: self.clone(), content, access: Access::Write, is_lock: true }))
    }

    fn is_locked(&self, path: &Path) -> bool {
        self.find(path).is_ok_and(|content| self.0.borrow().locked.contains(&content.borrow().number))
    }
}

#[derive(Debug)]
struct MemoryFile {
    files: Memory,
    content: SharedBytes,
    access: Access,
    /// Whether it is unlocked when this is dropped.
    is_lock: bool,
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        if self.is_lock {
            self.files.0.borrow_mut().locked.remove(&self.content.borrow().number);
        }
    }
}

impl MemoryFile {
    fn write(&self, bytes: &[u8], offset: usize) -> io::Result<()> {
        if self.access == Access::Read {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let mut content = self.content.borrow_mut();
        let overwritten = content.bytes.len().saturating_sub(offset).min(bytes.len());
        let fits = overwritten.saturating_add(self.files.take_room(bytes.len().saturating_sub(overwritten)));
        let written = bytes.get(..fits).unwrap_or(bytes);
        content.written = self.files.next();
        let end = offset.saturating_add(written.len());
        let length = content.bytes.len().max(end);
        content.bytes.resize(length, 0);
        if let Some(place) = content.bytes.get_mut(offset..end) {
            place.copy_from_slice(written);
        }
        if written.len() == bytes.len() { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
    }
}

impl OpenFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.files.check(Operation::Append)?;
        let end = self.content.borrow().bytes.len();
        self.write(bytes, end)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.files.check(Operation::WriteAt)?;
        self.write(bytes, usize::try_from(offset).map_err(io::Error::other)?)
    }

    fn read_some_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.files.check(Operation::ReadAt)?;
        let content = self.content.borrow();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        content.bytes.get(start..).unwrap_or_default().read(bytes)
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.files.check(Operation::SetLength)?;
        let mut content = self.content.borrow_mut();
        content.bytes.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        content.written = self.files.next();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.files.check(Operation::Sync)?;
        let mut content = self.content.borrow_mut();
        content.synced = content.bytes.clone();
        Ok(())
    }

    fn status(&self) -> io::Result<Status> {
        Ok(self.files.status_of(&self.content))
    }
}
