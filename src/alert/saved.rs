//! What is known of the accounts of a host, and which messages were sent, in a file.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::alert::known::Known;
use crate::alert::limits::Limits;
use crate::file::Files;
use crate::file::whole::{self, Durability};

/// The version of the format.
const VERSION: u32 = 1;
/// More than the largest size of a file, in bytes.
const LIMIT: usize = 64 << 20;

/// Why the file could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// It can't be read now, and is not replaced before it was read.
    #[error("{}: {source}", path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It has the wrong content, and has another name now.
    #[error("{} is damaged ({source}) and is kept as {}", path.display(), aside.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
        /// Its new name.
        aside: PathBuf,
    },
}

/// The content of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u32,
    /// Up to when logins are in it, in UNIX seconds.
    pub(super) until: f64,
    pub(super) limits: Limits,
    #[serde(flatten)]
    pub(super) known: Known,
}

/// The same, to write it without a copy.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    until: f64,
    limits: &'a Limits,
    #[serde(flatten)]
    known: &'a Known,
}

/// Reads the file at `path`. Returns `None` if there is none.
pub(super) fn read(files: &dyn Files, path: &Path) -> Result<Option<Saved>, HistoryError> {
    let unread = |source| HistoryError::Unread { path: path.to_owned(), source };
    let parsed = match whole::read(files, path, LIMIT) {
        Ok(text) => text.map(|text| parse(&text)).transpose(),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(error),
        Err(error) => return Err(unread(error)),
    };
    parsed.or_else(|source| {
        let aside = whole::set_aside(files, path).map_err(unread)?;
        Err(HistoryError::Damaged { path: path.to_owned(), source, aside })
    })
}

/// Replaces the file at `path`.
pub(super) fn write(files: &dyn Files, path: &Path, until: f64, limits: &Limits, known: &Known) -> io::Result<()> {
    let text = serde_json::to_vec(&Written { version: VERSION, until, limits, known })?;
    whole::replace(files, path, &path.with_extension("alerts-new"), &text, Durability::Relaxed)
}

fn parse(text: &[u8]) -> io::Result<Saved> {
    let saved: Saved = serde_json::from_slice(text)?;
    if saved.version != VERSION || !saved.until.is_finite() {
        return Err(io::Error::new(ErrorKind::InvalidData, "a file of an unknown version"));
    }
    Ok(saved)
}
