//! The file system.

use std::borrow::Borrow;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::lock::{Lock, LockError, is_held};
use super::ownership::{give_from_root, make_file, make_folder};
use super::{Access, FileId, Files, HeldLock, OpenFile, Stamp, Status};

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn OpenFile>> {
        // To open a pipe would wait for somebody at its other end.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        Ok(Box::new(options(access).open(path).map(|file| DiskFile { file, access })?))
    }

    fn create_new(&self, path: &Path, access: Access) -> io::Result<Box<dyn OpenFile>> {
        let access = if access == Access::Read { Access::Write } else { access };
        Ok(Box::new(make_file(&mut options(access), path).map(|file| DiskFile { file, access })?))
    }

    fn status(&self, path: &Path) -> io::Result<Status> {
        fs::metadata(path).map(|metadata| status_of(&metadata))
    }

    fn is_missing(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        make_folder(path)
    }

    fn give_from_root(&self, path: &Path) {
        give_from_root(path);
    }

    fn lock(&self, path: &Path) -> Result<HeldLock, LockError> {
        Ok(Box::new(DiskFile { file: Lock::take(path)?, access: Access::Write }))
    }

    fn is_locked(&self, path: &Path) -> bool {
        is_held(path)
    }
}

/// A file, or a [`Lock`].
#[derive(Debug)]
struct DiskFile<F> {
    file: F,
    access: Access,
}

impl<F: Borrow<File> + fmt::Debug> OpenFile for DiskFile<F> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file: &File = self.file.borrow();
        if self.access == Access::Write {
            file.seek(SeekFrom::End(0))?;
        }
        file.write_all(bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.borrow().write_all_at(bytes, offset)
    }

    fn read_some_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.borrow().read_at(bytes, offset)
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.file.borrow().set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.borrow().sync_all()
    }

    fn status(&self) -> io::Result<Status> {
        self.file.borrow().metadata().map(|metadata| status_of(&metadata))
    }
}

fn options(access: Access) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(access == Access::Append).write(access == Access::Write);
    options
}

fn status_of(metadata: &Metadata) -> Status {
    Status {
        stamp: Stamp { file: FileId(metadata.dev(), metadata.ino()), written: (metadata.mtime(), metadata.mtime_nsec()) },
        length: metadata.len(),
        is_plain: metadata.is_file(),
        is_named: metadata.nlink() > 0,
    }
}

/// A file to which every write fails for lack of space, and which can't be truncated.
#[cfg(test)]
pub(crate) fn full() -> Box<dyn OpenFile> {
    Box::new(DiskFile { file: options(Access::Append).open("/dev/full").unwrap(), access: Access::Append })
}
