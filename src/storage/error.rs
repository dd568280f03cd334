//! Why the database does not do what it is asked for.

use std::io;
use std::path::PathBuf;

use rusqlite::{ErrorCode, ffi};
use thiserror::Error;

/// An error of the storage driver. The texts are for an operator.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no item with the key of `before`, `after`, `get` or `set`.
    #[error("item-not-found")]
    NotFound,
    /// Another process is writing, and the time to wait for it is over.
    #[error("the database is locked by another process")]
    Busy,
    /// There is no room left.
    #[error("the disk is full")]
    Full,
    /// The file, or its folder, can't be written to.
    #[error("the file or its folder can't be written to by this user")]
    ReadOnly,
    /// The file is damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The disk does not return a part of the file, or all of it.
    #[error("the disk can't read the file: {0}")]
    Unreadable(String),
    /// What can be read of a damaged file is being copied, and that is not ready yet.
    #[error("what can be read of a damaged database is being copied by the server{}", .problem.as_ref().map(|problem| format!(" (it is tried again: {problem})")).unwrap_or_default())]
    Recovering {
        /// Why it did not work at first.
        problem: Option<String>,
    },
    /// The file was replaced while it was read.
    #[error("the database was replaced while it was read; try again")]
    Changed,
    /// A newer version of the program made the file.
    #[error("{} was made by a newer version (its format is {found}, this version knows up to {known})", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this version knows.
        known: i64,
    },
    /// Another program made the file.
    #[error("{} is a database of another program", .0.display())]
    Foreign(PathBuf),
    /// The file is on a network file system, where processes can't share memory.
    #[error("{} is on a network file system ({kind}), which SQLite's WAL does not support; use a local folder or storage = {{ audit = \"sql\" }}", .path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// A number is too large, such as the number of keys in a query.
    #[error("{what} must be at most {most}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// The system reports an error.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// SQLite reports another error.
    #[error("SQLite: {0}")]
    Other(rusqlite::Error),
}

impl StorageError {
    /// Whether the same may succeed a little later.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Busy)
    }

    /// Whether the system reports an error of the disk, behind which damage may be.
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(self, Self::Other(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::ReadOnly,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ if is_unreadable(&error) => Self::Unreadable(error.to_string()),
            _ => Self::Other(error),
        }
    }
}

fn is_unreadable(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_DATA | ffi::SQLITE_IOERR_CORRUPTFS))
}
