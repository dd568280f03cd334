//! What is being counted, on disk: so that a crash takes the last second of a count, and not all of it.
//!
//! The file is written whole, beside the place of the last one, and takes its place: a crash leaves one of the two. As with
//! the journal nothing waits for the disk.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::summary::FloodSummary;
use crate::file::ownership::replace_file;

/// The only version there is.
const VERSION: u32 = 1;

/// More than a checkpoint can have, in bytes: what is longer is none of ours.
const LIMIT: u64 = 32 << 20;

/// What a host has counted and not yet stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    version: u32,
    /// When it was written, in UNIX seconds.
    pub(super) at: f64,
    /// What was left of the host's budget then.
    pub(super) tokens: f64,
    /// What was left of its other budgets.
    #[serde(rename = "purses", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) budgets: Vec<SavedBudget>,
    pub(super) open: Vec<FloodSummary>,
}

/// What is left of a budget.
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

    /// Puts it in the place of the file at `path`.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        replace_file(path, &beside(path), &text)
    }

    /// Reads the file at `path`; nothing where there is none.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let length = match fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if length > LIMIT {
            return Err(io::Error::new(ErrorKind::InvalidData, "too long for what was being counted"));
        }
        Self::parse(&fs::read(path)?).map(Some)
    }

    pub(super) fn parse(text: &[u8]) -> io::Result<Self> {
        let checkpoint: Self = serde_json::from_slice(text)?;
        if checkpoint.version != VERSION {
            return Err(io::Error::new(ErrorKind::InvalidData, "of a version that is not known"));
        }
        Ok(checkpoint)
    }
}

/// Removes the file at `path`, if there is one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("flood-new")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_the_first_version_is_read() {
        let text = br#"{"version":1,"at":7.5,"tokens":400.0,"purses":[{"purse":"users events","tokens":9.0}],"open":[]}"#;
        let budget = SavedBudget { name: "users events".to_owned(), tokens: 9.0 };
        let checkpoint = Checkpoint::new(7.5, 400.0, vec![budget], Vec::new());
        assert_eq!(Checkpoint::parse(text).unwrap(), checkpoint);
        assert_eq!(serde_json::to_vec(&checkpoint).unwrap(), text);
    }

    /// A crash in the middle of a write must leave the file of before: so it is never written in place.
    #[test]
    fn a_checkpoint_takes_the_place_of_the_one_before() {
        let folder = std::env::temp_dir().join(format!("audit-checkpoint-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, before) = (folder.join("audit.flood"), folder.join("before"));
        let (first, second) = (Checkpoint::new(1.0, 2.0, Vec::new(), Vec::new()), Checkpoint::new(3.0, 4.0, Vec::new(), Vec::new()));
        first.write(&path).unwrap();
        // Another name of the same file keeps its content.
        fs::hard_link(&path, &before).unwrap();
        second.write(&path).unwrap();
        assert_eq!((Checkpoint::read(&before).unwrap(), Checkpoint::read(&path).unwrap()), (Some(first), Some(second.clone())));
        // Where it can't be written the one before stays, and no part of the new one.
        fs::create_dir(beside(&path)).unwrap();
        assert!(Checkpoint::new(5.0, 6.0, Vec::new(), Vec::new()).write(&path).is_err());
        assert_eq!(Checkpoint::read(&path).unwrap(), Some(second));
        fs::remove_dir_all(folder).unwrap();
    }
}
