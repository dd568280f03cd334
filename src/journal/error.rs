//! The errors of a journal.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a journal can't be opened or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process, or another [`Journal`](super::Journal) of this one, owns it.
    #[error("{}: in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file can't be read, or the lock can't be created.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}
