//! A copy of the open counts on disk. After a crash only the last second of a count is lost.
//!
//! The file is replaced atomically: after a crash there is either the old or the new one. As with the journal, nothing waits for
//! the disk.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::summary::FloodSummary;
use crate::file::Files;
use crate::file::whole::{self, Durability};

/// The version of the file format.
const VERSION: u32 = 1;

/// More than the largest size of a checkpoint, in bytes. A longer file is not read.
const LIMIT: usize = 32 << 20;

/// Why the counts of the previous process are not known.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file can't be read now. It is not replaced before it was read.
    #[error("{}: {source}", path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file has the wrong content.
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

/// The open counts of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    version: u32,
    /// When it was written, in UNIX seconds.
    pub(super) at: f64,
    /// The tokens left in the budget for failures.
    pub(super) tokens: f64,
    /// The other budgets.
    #[serde(rename = "purses", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) budgets: Vec<SavedBudget>,
    pub(super) open: Vec<FloodSummary>,
}

/// The tokens left in a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedBudget {
    #[serde(rename = "purse")]
    pub(super) name: String,
    pub(super) tokens: f64,
}

impl Checkpoint {
    pub(super) const fn new(at: f64, tokens: f64, budgets: Vec<SavedBudget>, open: Vec<FloodSummary>) -> Self {
        Self { version: VERSION, at, tokens, budgets, open }
    }

    /// Replaces the file at `path`.
    pub(super) fn write(&self, files: &dyn Files, path: &Path) -> io::Result<()> {
        whole::replace(files, path, &beside(path), &serde_json::to_vec(self)?, Durability::Relaxed)
    }

    /// Reads the file at `path`. Returns `None` if there is none. A damaged file gets another name.
    pub(super) fn read(files: &dyn Files, path: &Path) -> Result<Option<Self>, CheckpointError> {
        let unread = |source| CheckpointError::Unread { path: path.to_owned(), source };
        let parsed = match whole::read(files, path, LIMIT) {
            Ok(text) => text.map(|text| Self::parse(&text)).transpose(),
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(error),
            Err(error) => return Err(unread(error)),
        };
        parsed.or_else(|source| {
            let aside = whole::set_aside(files, path).map_err(unread)?;
            Err(CheckpointError::Damaged { path: path.to_owned(), source, aside })
        })
    }

    pub(super) fn parse(text: &[u8]) -> io::Result<Self> {
        let checkpoint: Self = serde_json::from_slice(text)?;
        if checkpoint.version != VERSION {
            return Err(io::Error::new(ErrorKind::InvalidData, "a checkpoint of an unknown version"));
        }
        Ok(checkpoint)
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("flood-new")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Disk;
    use std::fs;

    #[test]
    fn a_checkpoint_of_the_first_version_is_read() {
        let text = br#"{"version":1,"at":7.5,"tokens":400.0,"purses":[{"purse":"users events","tokens":9.0}],"open":[]}"#;
        let budget = SavedBudget { name: "users events".to_owned(), tokens: 9.0 };
        let checkpoint = Checkpoint::new(7.5, 400.0, vec![budget], Vec::new());
        assert_eq!(Checkpoint::parse(text).unwrap(), checkpoint);
        assert_eq!(serde_json::to_vec(&checkpoint).unwrap(), text);
    }

    /// After a crash during a write the old file must still be there. So the file is never written in place.
    #[test]
    fn a_checkpoint_replaces_the_one_before() {
        let folder = std::env::temp_dir().join(format!("audit-checkpoint-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, before) = (folder.join("audit.flood"), folder.join("before"));
        let (first, second) = (Checkpoint::new(1.0, 2.0, Vec::new(), Vec::new()), Checkpoint::new(3.0, 4.0, Vec::new(), Vec::new()));
        first.write(&Disk, &path).unwrap();
        // The old file keeps its content under another name.
        fs::hard_link(&path, &before).unwrap();
        second.write(&Disk, &path).unwrap();
        assert_eq!(
            (Checkpoint::read(&Disk, &before).unwrap(), Checkpoint::read(&Disk, &path).unwrap()),
            (Some(first), Some(second.clone()))
        );
        // If the new one can't be written, the old one stays.
        fs::create_dir(beside(&path)).unwrap();
        assert!(Checkpoint::new(5.0, 6.0, Vec::new(), Vec::new()).write(&Disk, &path).is_err());
        assert_eq!(Checkpoint::read(&Disk, &path).unwrap(), Some(second));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_is_too_long_gets_another_name() {
        let folder = std::env::temp_dir().join(format!("audit-long-checkpoint-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("audit.flood");
        fs::File::create(&path).unwrap().set_len(LIMIT as u64 + 1).unwrap();
        assert!(matches!(Checkpoint::read(&Disk, &path), Err(CheckpointError::Damaged { .. })));
        assert_eq!(Checkpoint::read(&Disk, &path).unwrap(), None);
        fs::remove_dir_all(folder).unwrap();
    }
}
