//! The connection to the file: it is opened when it is needed first, and knows where each archive lies.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::damage::Suspicion;
use super::error::StorageError;
use super::key::Key;
use super::open::{self, Found};
pub(super) use super::range::Range;
use super::recover::{Recovered, Recovery};
use super::shape::{Shape, Unknown};
use super::sync::Syncer;
use super::{Archive, open::Opening};

/// How many items an archive can have in its life.
pub(super) const LARGEST_PLACE: u64 = u32::MAX as u64;

/// A store of archives in one file. See the [module](super).
///
/// The file is opened by the first operation, and again in a child process: SQLite's connections and threads do not survive
/// `fork`, and Prosody forks when it becomes a daemon.
#[derive(Debug)]
pub struct Database {
    pub(super) path: PathBuf,
    pub(super) opening: Opening,
    pub(super) patience: Duration,
    shape: &'static dyn Shape,
    pub(super) opened: Option<Opened>,
    /// How often a file was opened. A reading of one file can't go on in another.
    times: u64,
    pub(super) suspicion: Option<Suspicion>,
    pub(super) recovery: Option<Recovery>,
    pub(super) recovered: Option<Recovered>,
}

#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) syncer: Option<Syncer>,
    process: u32,
    /// Which file it is.
    pub(super) identity: Option<(u64, u64)>,
    /// Changes when another connection has written to the file.
    version: i64,
    ranges: HashMap<String, Range>,
    /// The largest number that was used, by the first number of the archive.
    used: HashMap<i64, Used>,
    /// The archives that are known not to be sealed, by their first numbers. See [`blocks`](super::blocks).
    unsealed: HashSet<i64>,
    pub(super) depth: u32,
}

/// The largest number that was used in an archive.
#[derive(Clone, Copy, Debug)]
struct Used {
    number: i64,
    /// Whether no other connection can have used a larger one.
    is_known: bool,
}

impl Database {
    /// A database in a file, which need not exist. `patience` is how long a write waits for another process that writes.
    #[must_use]
    pub fn new(path: &Path, opening: Opening, patience: Duration) -> Self {
        let path = path.to_owned();
        Self { path, opening, patience, shape: &Unknown, opened: None, times: 0, suspicion: None, recovery: None, recovered: None }
    }

    /// The same database, whose values have a shape.
    #[must_use]
    pub const fn with_shape(mut self, shape: &'static dyn Shape) -> Self {
        self.shape = shape;
        self
    }

    pub(super) const fn shape(&self) -> &'static dyn Shape {
        self.shape
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether all that this process has written is on disk.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        let syncer = self.opened.as_ref().and_then(|opened| opened.syncer.as_ref());
        self.recovery.is_none() && syncer.is_none_or(Syncer::is_synced)
    }

    /// Why what was written can't be brought to the disk, if that has failed; `None` also if this is not the server.
    #[must_use]
    pub fn sync_problem(&self) -> Option<String> {
        self.opened.as_ref()?.syncer.as_ref()?.problem()
    }

    /// How many bytes of the WAL, the file beside the database, are on the disk for certain; `None` if this is not the server.
    #[must_use]
    pub fn synced(&self) -> Option<u64> {
        Some(self.opened.as_ref()?.syncer.as_ref()?.synced())
    }

    /// Sets how long a write waits for another process that writes.
    ///
    /// # Errors
    ///
    /// What SQLite reports.
    pub fn set_patience(&mut self, patience: Duration) -> Result<(), StorageError> {
        if self.patience != patience {
            self.patience = patience;
            if let Some(opened) = &self.opened {
                opened.connection.busy_timeout(patience)?;
            }
        }
        Ok(())
    }

    /// Does several writes as one: all of them, or none if one fails.
    ///
    /// # Errors
    ///
    /// What `work` returns, and what SQLite reports.
    pub fn write<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StorageError>) -> Result<T, StorageError> {
        self.begin()?;
        match work(self) {
            Ok(value) => self.commit().map(|()| value),
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }

    /// Like [`begin`](Self::begin), but does not wait for another process that writes.
    ///
    /// # Errors
    ///
    /// [`StorageError::Busy`] if another process, or the thread that syncs, is writing.
    pub fn begin_at_once(&mut self) -> Result<(), StorageError> {
        let patience = self.patience;
        self.set_patience(Duration::ZERO)?;
        let begun = self.begin();
        self.set_patience(patience)?;
        begun
    }

    /// Begins what [`commit`](Self::commit) ends. Further ones may lie in it.
    ///
    /// # Errors
    ///
    /// What SQLite reports, such as [`StorageError::Busy`]. Then nothing was begun.
    pub fn begin(&mut self) -> Result<(), StorageError> {
        let opened = self.open()?;
        if opened.depth == 0 {
            opened.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            // From here on no other connection writes.
            if let Err(error) = opened.look_for_others() {
                self.roll_back();
                return Err(error);
            }
        } else {
            opened.connection.prepare_cached("SAVEPOINT nested")?.execute([])?;
        }
        opened.depth = opened.depth.saturating_add(1);
        Ok(())
    }

    /// Ends what was begun last, and keeps it.
    ///
    /// # Errors
    ///
    /// What SQLite reports. Then nothing of it is kept.
    pub fn commit(&mut self) -> Result<(), StorageError> {
        let opened = self.opened()?;
        let sql = if opened.depth > 1 { "RELEASE nested" } else { "COMMIT" };
        let result = opened.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        if let Err(error) = result {
            self.roll_back();
            return Err(error.into());
        }
        opened.depth = opened.depth.saturating_sub(1);
        if let Some(syncer) = opened.syncer.as_ref().filter(|_| opened.depth == 0) {
            syncer.written();
        }
        Ok(())
    }

    /// Ends what was begun last, and keeps nothing of it.
    pub fn roll_back(&mut self) {
        let Some(opened) = &mut self.opened else { return };
        // Some errors, such as a full disk, have ended the transaction already: then SQLite says so, and all is well.
        let _ = if opened.depth > 1 {
            opened.connection.execute_batch("ROLLBACK TO nested; RELEASE nested")
        } else {
            opened.connection.execute_batch("ROLLBACK")
        };
        opened.depth = opened.depth.saturating_sub(1);
        opened.ranges.clear();
        opened.used.clear();
        opened.unsealed.clear();
    }

    /// The numbers of an archive's items; `None` if there is no such archive.
    pub(super) fn range(&mut self, archive: &Archive<'_>) -> Result<Option<Range>, StorageError> {
        self.ready()?;
        let name = name_of(archive);
        let opened = self.opened()?;
        if let Some(range) = opened.ranges.get(&name) {
            return Ok(Some(*range));
        }
        let number: Option<i64> = opened
            .connection
            .prepare_cached("SELECT id FROM archive WHERE host = ? AND store = ? AND user = ?")?
            .query_row((archive.host, archive.store, archive.user), |row| row.get(0))
            .optional()?;
        let Some(number) = number else { return Ok(None) };
        let range = Range::of(number)?;
        opened.ranges.insert(name, range);
        Ok(Some(range))
    }

    /// The same, and the archive is made if it is missing.
    pub(super) fn range_to_write(&mut self, archive: &Archive<'_>) -> Result<Range, StorageError> {
        if let Some(range) = self.range(archive)? {
            return Ok(range);
        }
        let opened = self.opened()?;
        opened.connection.prepare_cached("INSERT INTO archive (host, store, user) VALUES (?, ?, ?)")?.execute((
            archive.host,
            archive.store,
            archive.user,
        ))?;
        let range = Range::of(opened.connection.last_insert_rowid())?;
        opened.ranges.insert(name_of(archive), range);
        self.note_made(archive.host, archive.store, range)?;
        Ok(range)
    }

    /// Forgets an archive if it has no items any more.
    pub(super) fn forget_if_empty(&mut self, range: Range) -> Result<(), StorageError> {
        let newest = self.newest(range)?;
        self.note_removed(range, newest)?;
        if newest.is_none() {
            let opened = self.opened()?;
            opened.connection.prepare_cached("DELETE FROM archive WHERE id = ?")?.execute([range.archive()])?;
            opened.ranges.retain(|_, known| *known != range);
            opened.used.remove(&range.first);
        }
        Ok(())
    }

    /// The number of the last item of an archive.
    pub(super) fn newest(&self, range: Range) -> Result<Option<i64>, StorageError> {
        let mut statement = self.connection()?.prepare_cached("SELECT max(id) FROM item WHERE id BETWEEN ? AND ?")?;
        Ok(statement.query_row((range.first, range.last), |row| row.get(0))?)
    }

    /// Whether an archive is known not to be sealed.
    pub(super) fn is_unsealed(&self, range: Range) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.unsealed.contains(&range.first))
    }

    pub(super) fn set_unsealed(&mut self, range: Range) {
        if let Some(opened) = &mut self.opened {
            opened.unsealed.insert(range.first);
        }
    }

    pub(super) fn set_sealed(&mut self, range: Range) {
        if let Some(opened) = &mut self.opened {
            opened.unsealed.remove(&range.first);
        }
    }

    /// The number of the item with a key.
    pub(super) fn find_number(&self, range: Range, key: &str) -> Result<Option<i64>, StorageError> {
        let mut statement = self.connection()?.prepare_cached("SELECT id FROM item WHERE key = ? AND id BETWEEN ? AND ?")?;
        Ok(statement.query_row(params![Key::parse(key), range.first, range.last], |row| row.get(0)).optional()?)
    }

    /// The largest number that was used in an archive, even if this process has removed the item since.
    pub(super) fn last_used(&self, range: Range) -> Result<i64, StorageError> {
        let used = self.opened.as_ref().and_then(|opened| opened.used.get(&range.first)).copied();
        if let Some(used) = used.filter(|used| used.is_known) {
            return Ok(used.number);
        }
        let newest = self.newest(range)?;
        let used = used.map_or(i64::MIN, |used| used.number);
        Ok(newest.unwrap_or(range.first.saturating_sub(1)).max(used))
    }

    /// Notes the largest number that was used in an archive. A transaction must have begun.
    pub(super) fn set_used(&mut self, range: Range, number: i64) {
        if let Some(opened) = &mut self.opened {
            opened.used.insert(range.first, Used { number, is_known: true });
        }
    }

    /// Whether a transaction has begun.
    pub(super) fn is_writing(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.depth > 0)
    }

    pub(super) fn connection(&self) -> Result<&Connection, StorageError> {
        self.opened.as_ref().map(|opened| &opened.connection).ok_or(StorageError::Changed)
    }

    pub(super) fn opened(&mut self) -> Result<&mut Opened, StorageError> {
        self.opened.as_mut().ok_or(StorageError::Changed)
    }

    /// The number of the file that is open now.
    pub(super) const fn times(&self) -> u64 {
        self.times
    }

    /// Opens the file if that is to be done, and forgets what is remembered if another process has written to it.
    pub(super) fn ready(&mut self) -> Result<(), StorageError> {
        let opened = self.open()?;
        if opened.depth == 0 { opened.look_for_others() } else { Ok(()) }
    }

    /// Opens the file if that is to be done.
    fn open(&mut self) -> Result<&mut Opened, StorageError> {
        let process = std::process::id();
        if let Some(inherited) = self.opened.take_if(|opened| opened.process != process) {
            // It is the parent's. To close it would release the parent's locks.
            std::mem::forget(inherited);
        }
        self.check()?;
        if self.opened.is_none() {
            let connection = match open::open(&self.path, self.opening)? {
                Found::Usable(connection) => connection,
                Found::Damaged(cause) => {
                    self.recover(cause)?;
                    return self.opened();
                }
            };
            connection.busy_timeout(self.patience)?;
            let identity = open::identity(&self.path).ok().flatten();
            let syncer = if self.opening == Opening::Server { Some(Syncer::start(&self.path)?) } else { None };
            let (ranges, used, unsealed) = Default::default();
            self.times = self.times.saturating_add(1);
            self.opened = Some(Opened { connection, syncer, process, identity, version: 0, ranges, used, unsealed, depth: 0 });
        }
        self.opened()
    }
}

impl Opened {
    /// Forgets what is remembered if another connection has written to the file.
    fn look_for_others(&mut self) -> Result<(), StorageError> {
        let version = self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version != version {
            self.version = version;
            self.ranges.clear();
            self.used.values_mut().for_each(|used| used.is_known = false);
            self.unsealed.clear();
        }
        Ok(())
    }
}

/// The name of an archive by which its range is remembered.
fn name_of(archive: &Archive<'_>) -> String {
    // No part of a JID, nor the name of a store, has such a character.
    format!("{}\0{}\0{}", archive.host, archive.store, archive.user)
}
