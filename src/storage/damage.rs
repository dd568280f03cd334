//! Notices that the file can't be used any longer, and has what can be read of it copied.

use super::database::Database;
use super::device;
use super::error::StorageError;
use super::open::{self, Opening};
use super::recover::{Cause, Recovered, Recovery, Source};

/// What an error of an operation makes likely. It is looked at before the next operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// The file is damaged.
    Damaged(String),
    /// The disk did not return a part of it.
    Unreadable(String),
    /// It must be checked again.
    Doubtful,
}

impl Database {
    /// What became of a file that could not be used any longer, once.
    pub const fn take_recovered(&mut self) -> Option<Recovered> {
        self.recovered.take()
    }

    /// Does an operation, and notices errors that say that the file is damaged. What can be read of it is copied into a new file
    /// then, by the server. The operations that follow fail until that is done.
    ///
    /// # Errors
    ///
    /// What the operation returns.
    pub fn attend<T>(&mut self, operation: impl FnOnce(&mut Self) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let result = operation(self);
        if let Err(error) = &result {
            self.notice(error);
        }
        result
    }

    /// Notices an error of an operation that was not done by [`attend`](Self::attend).
    pub fn notice(&mut self, error: &StorageError) {
        match error {
            StorageError::Damaged(reason) => self.suspicion = Some(Suspicion::Damaged(reason.clone())),
            StorageError::Unreadable(reason) => self.suspicion = Some(Suspicion::Unreadable(reason.clone())),
            error if error.is_doubtful() => self.suspicion = self.suspicion.take().or(Some(Suspicion::Doubtful)),
            _ => {}
        }
    }

    /// Looks whether the file can still be used. Within a transaction nothing is changed.
    pub(super) fn check(&mut self) -> Result<(), StorageError> {
        self.recovery = self.recovery.take().filter(Recovery::is_own);
        if let Some(recovery) = &mut self.recovery {
            self.recovered = Some(recovery.result()?);
            self.recovery = None;
        }
        let Some(opened) = self.opened.as_ref() else {
            self.suspicion = None;
            return Ok(());
        };
        if opened.depth > 0 {
            return match &self.suspicion {
                Some(Suspicion::Damaged(reason)) => Err(StorageError::Damaged(reason.clone())),
                Some(Suspicion::Unreadable(reason)) => Err(StorageError::Unreadable(reason.clone())),
                _ => Ok(()),
            };
        }
        let cause = match self.suspicion.take() {
            Some(Suspicion::Damaged(reason)) => Some(Cause::Damaged(reason)),
            Some(Suspicion::Unreadable(reason)) => {
                // First, as closing any other descriptor of the file gives up the locks that SQLite has.
                self.opened = None;
                Some(device::judge(&self.path, reason)?)
            }
            Some(Suspicion::Doubtful) => {
                self.opened = None;
                return Ok(());
            }
            None => match open::identity(&self.path) {
                Ok(None) => Some(Cause::Deleted),
                Ok(Some((_, 0))) => Some(Cause::Damaged("the file was emptied".to_owned())),
                Ok(found) if found != opened.identity => Some(Cause::Replaced),
                _ => None,
            },
        };
        match cause {
            None => Ok(()),
            Some(cause) if self.opening == Opening::Server => self.recover(cause),
            Some(_) => {
                // The server is at it, or has done it.
                self.opened = None;
                Ok(())
            }
        }
    }

    /// Begins to copy what can be read.
    pub(super) fn recover(&mut self, cause: Cause) -> Result<(), StorageError> {
        let source = self.opened.take().map(|opened| Source { connection: opened.connection, syncer: opened.syncer });
        self.recovery = Some(Recovery::start(&self.path, cause, source)?);
        Err(StorageError::Recovering { problem: None })
    }
}
