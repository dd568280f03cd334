//! Lock files, which one process at a time can hold.

use std::borrow::Borrow;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use thiserror::Error;

use crate::file::ownership::{folder_of, give_from_root, make_file, make_folder};

/// Why a lock can't be taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process, or another [`Lock`] of this process, holds it.
    #[error("{}: in use by another process", .0.display())]
    Held(PathBuf),
    /// The file can't be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A lock file that is locked until this is dropped. The file is not removed.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Locks a file. If the file (0600) or its folders (0700) are missing, they are made.
    ///
    /// # Errors
    ///
    /// Returns [`LockError::Held`] if another owner holds the lock, and [`LockError::Io`] if the file can't be made.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let folder = folder_of(path);
        make_folder(folder).map_err(|source| LockError::Io { path: folder.to_owned(), source })?;
        let opened = make_file(OpenOptions::new().write(true), path).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                // The server can't open a file that an earlier release made as root.
                give_from_root(path);
                OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
            }
            _ => Err(error),
        });
        let file = opened.map_err(|source| LockError::Io { path: path.to_owned(), source })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(Errno::WOULDBLOCK) => Err(LockError::Held(path.to_owned())),
            Err(error) => Err(LockError::Io { path: path.to_owned(), source: error.into() }),
        }
    }
}

impl Borrow<File> for Lock {
    /// The locked file.
    fn borrow(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child of this process between `fork` and `exec` may have it open, too.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Whether somebody has the lock. Looks by taking it for a moment.
pub(crate) fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let locked = flock(&file, FlockOperation::NonBlockingLockShared);
    // Closing the file lets go of it.
    matches!(locked, Err(Errno::WOULDBLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_process_does_not_keep_the_lock() {
        let path = std::env::temp_dir().join(format!("audit-lock-{}", std::process::id()));
        let lock = Lock::take(&path).unwrap();
        let child = lock.0.try_clone().unwrap();
        assert!(matches!(Lock::take(&path), Err(LockError::Held(_))) && is_held(&path));
        drop(lock);
        assert!(!is_held(&path));
        drop(Lock::take(&path).unwrap());
        drop(child);
        std::fs::remove_file(path).unwrap();
    }
}
