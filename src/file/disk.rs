//! The file system.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::lock::{Lock, LockError};
use super::ownership::{give_from_root, make_file, make_folder};
use super::{Access, Files, HeldLock, OpenFile, Stamp};

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

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        fs::metadata(path).ok().map(|metadata| stamp_of(&metadata))
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
        Ok(Box::new(Lock::take(path)?))
    }
}

#[derive(Debug)]
struct DiskFile {
    file: File,
    access: Access,
}

impl OpenFile for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.access == Access::Write {
            self.file.seek(SeekFrom::End(0))?;
        }
        self.file.write_all(bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Ok(stamp_of(&self.file.metadata()?))
    }
}

fn options(access: Access) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(access == Access::Append).write(access == Access::Write);
    options
}

fn stamp_of(metadata: &Metadata) -> Stamp {
    Stamp { file: (metadata.dev(), metadata.ino()), written: (metadata.mtime(), metadata.mtime_nsec()) }
}
