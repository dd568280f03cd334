//! The thread that waits for the disk, so that nobody else has to.
//!
//! It has a connection of its own and never touches Lua. Twice a second it syncs what was written since. When the WAL has grown it
//! moves its pages into the database ("checkpoint"). Readers and writers go on meanwhile.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{Database, StorageError, thread};

/// How long a write may stay in the memory of the system. Entries come from the journal a quarter of a second after their event, so
/// an event is on the disk within a second, if the disk needs less than a quarter of a second for it.
const INTERVAL: Duration = Duration::from_millis(500);

/// How large the WAL may get before its pages are moved, in bytes.
const LARGE: u64 = 4 << 20;

/// To how many bytes the file of the WAL is cut when it begins again. SQLite would leave its size as it is, and then the size would
/// not say any more how much is in it.
pub(super) const CUT: i64 = 1 << 20;

/// Up to which size a database is written anew to get rid of what was removed, in bytes. It takes less than a second.
const ANEW: i64 = 64 << 20;

/// The thread. It ends when this is dropped, after it has synced what was written.
#[derive(Debug)]
pub struct Syncer {
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the others tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// Whether something was written that is not synced.
    is_written: AtomicBool,
    /// How often something was written, and how often when the last sync began that succeeded.
    writes: AtomicU64,
    synced_writes: AtomicU64,
    /// How many bytes of the WAL the last sync has covered for certain.
    synced: AtomicU64,
    /// Why what was written is not on disk, if the last sync has failed.
    problem: Mutex<Option<String>>,
    /// How often the WAL was to be emptied, and how often when it was.
    scrubs: AtomicU64,
    scrubbed: AtomicU64,
}

impl Syncer {
    /// Starts the thread for a database.
    ///
    /// # Errors
    ///
    /// What the system says if it makes no thread.
    pub fn start(database: &Path) -> Result<Self, StorageError> {
        let shared = Arc::new(Shared { is_written: AtomicBool::new(true), ..Shared::default() });
        let (stop, stopped) = channel();
        let work =
            Work { database: database.to_owned(), shared: Arc::clone(&shared), knows_folder: false, has_failed: false, connection: None };
        let thread = thread::start("audit-sync", database, move || work.run(&stopped))?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Says that something was written.
    pub fn written(&self) {
        self.shared.writes.fetch_add(1, Ordering::AcqRel);
        self.shared.is_written.store(true, Ordering::Release);
    }

    /// Whether all that was written is on disk.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.shared.synced_writes.load(Ordering::Acquire) == self.shared.writes.load(Ordering::Acquire)
    }

    /// Why what was written can't be brought to the disk. It is tried again twice a second.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for the WAL to be emptied, so that it has nothing of what was removed.
    pub fn scrub(&self) {
        self.shared.scrubs.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the WAL was emptied since it was last asked for.
    #[must_use]
    pub fn is_scrubbed(&self) -> bool {
        self.shared.scrubbed.load(Ordering::Acquire) == self.shared.scrubs.load(Ordering::Acquire)
    }

    /// How many bytes of the WAL are on the disk for certain.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.shared.synced.load(Ordering::Acquire)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    database: PathBuf,
    shared: Arc<Shared>,
    /// Whether the folder was synced, which has the names of the files.
    knows_folder: bool,
    /// Whether a sync has failed. The system says so once, and may take what it could not write for written after that. So the pages
    /// have to be written again, into the database.
    has_failed: bool,
    connection: Option<Connection>,
}

impl Work {
    fn run(mut self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            self.step();
        }
        self.sync();
    }

    fn step(&mut self) {
        let is_synced = self.sync();
        let asked = self.shared.scrubs.load(Ordering::Acquire);
        if self.shared.scrubbed.load(Ordering::Acquire) != asked {
            match self.scrub() {
                Ok(true) => self.shared.scrubbed.store(asked, Ordering::Release),
                // Somebody reads or writes. It is tried again in a moment.
                Ok(false) => {}
                Err(_) => self.connection = None,
            }
            return;
        }
        if !is_synced {
            return;
        }
        let is_large = std::fs::metadata(self.wal()).is_ok_and(|wal| wal.len() > LARGE);
        if is_large && self.checkpoint().is_err() {
            // It is tried again in a moment, with another connection.
            self.connection = None;
        }
    }

    fn wal(&self) -> PathBuf {
        PathBuf::from(format!("{}-wal", self.database.display()))
    }

    /// Syncs what was written. Returns whether there was something.
    fn sync(&mut self) -> bool {
        let is_written = self.shared.is_written.swap(false, Ordering::AcqRel);
        let writes = self.shared.writes.load(Ordering::Acquire);
        if is_written {
            let problem = self.bring_to_disk().err();
            if problem.is_none() {
                self.shared.synced_writes.store(writes, Ordering::Release);
            } else {
                self.has_failed = true;
                self.shared.is_written.store(true, Ordering::Release);
            }
            *self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        }
        is_written
    }

    /// Returns why it did not work.
    fn bring_to_disk(&mut self) -> Result<(), String> {
        self.sync_files().map_err(|error| error.to_string())?;
        if self.has_failed {
            match self.checkpoint() {
                Ok(true) => self.has_failed = false,
                Ok(false) => return Err("a reader holds up the writing of what could not be written before".to_owned()),
                Err(error) => {
                    self.connection = None;
                    return Err(StorageError::from(error).to_string());
                }
            }
        }
        Ok(())
    }

    fn sync_files(&mut self) -> std::io::Result<()> {
        // Closing a file releases the locks that a process has on it (POSIX), but SQLite has none on the WAL.
        let wal = File::open(self.wal())?;
        let length = wal.metadata()?.len();
        wal.sync_data()?;
        if !self.knows_folder {
            File::open(self.database.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()?;
            self.knows_folder = true;
        }
        self.shared.synced.store(length, Ordering::Release);
        Ok(())
    }

    fn connect(&mut self) -> rusqlite::Result<Connection> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let connection = Connection::open_with_flags(&self.database, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "journal_size_limit", CUT)?;
        Ok(connection)
    }

    /// Moves all pages of the WAL, and empties it. Returns `false` if somebody reads or writes.
    fn scrub(&mut self) -> rusqlite::Result<bool> {
        let connection = self.connect()?;
        let is_empty = empty_wal(&connection)?;
        self.connection = Some(connection);
        Ok(is_empty)
    }

    /// Moves the pages of the WAL into the database, and syncs both. Returns whether all of them were moved.
    fn checkpoint(&mut self) -> rusqlite::Result<bool> {
        let connection = self.connect()?;
        let (pages, moved): (i64, i64) =
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
        if pages == moved {
            // The next write begins the WAL again, and syncs the first page of it. It is done here, so that the server does not
            // wait for that. If the server is writing, it is too late.
            let _ = connection.execute("UPDATE turn SET number = number + 1", []);
        }
        self.connection = Some(connection);
        Ok(pages == moved)
    }
}

impl Database {
    /// Sees to it that the WAL, the file beside the database, has nothing of what was removed. The server's thread does that in a moment.
    ///
    /// # Errors
    ///
    /// What SQLite reports; [`StorageError::Busy`] if somebody reads or writes, and this is not the server.
    pub fn scrub(&mut self) -> Result<(), StorageError> {
        self.ready()?;
        let patience = self.patience;
        let opened = self.opened()?;
        match &opened.syncer {
            Some(syncer) => syncer.scrub(),
            None if empty_wal(&opened.connection)? => opened.connection.busy_timeout(patience)?,
            None => return Err(StorageError::Busy),
        }
        Ok(())
    }

    /// Whether that is done.
    #[must_use]
    pub fn is_scrubbed(&self) -> bool {
        self.opened.as_ref().and_then(|opened| opened.syncer.as_ref()).is_none_or(Syncer::is_scrubbed)
    }
}

/// Moves all pages of the WAL into the database, and empties it. Returns `false` if somebody reads or writes.
///
/// When SQLite moves items between pages, copies of them stay in the unused room of a page, and are not overwritten when the item is
/// changed later. So a database that is not too large is written anew. Others can read meanwhile, but not write.
pub(super) fn empty_wal(connection: &Connection) -> rusqlite::Result<bool> {
    // Others can't write while it waits for those who read, so it does not wait.
    connection.busy_timeout(Duration::ZERO)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("page_count")?.saturating_mul(number("page_size")?) <= ANEW {
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        match connection.execute_batch("VACUUM") {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => return Ok(false),
            result => result?,
        }
    }
    // Most of the work is done while others go on.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

#[cfg(test)]
mod tests {
    use super::super::{Archive, Database, NewItem, Opening, Value};
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_sync_that_fails_is_known_until_it_works() {
        let folder = std::env::temp_dir().join(format!("audit-unsynced-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("audit.sqlite3");
        let until = |syncer: &Syncer, is_it: fn(&Syncer) -> bool| {
            let began = Instant::now();
            while !is_it(syncer) && began.elapsed() < 20 * INTERVAL {
                std::thread::sleep(INTERVAL / 10);
            }
            assert!(is_it(syncer), "{:?}", syncer.problem());
        };
        // There is no such file yet.
        let syncer = Syncer::start(&path).unwrap();
        syncer.written();
        until(&syncer, |syncer| syncer.problem().is_some_and(|problem| problem.contains("No such file")));
        assert!(!syncer.is_synced());
        let mut database = Database::new(&path, Opening::Other, Duration::from_secs(1));
        let archive = Archive { host: "example.com", store: "audit", user: "a" };
        let item = NewItem { key: "key", is_new: false, value: Value { kind: 1, bytes: b"x" }, when: 0.0, with: "" };
        database.append(&archive, &item).unwrap();
        until(&syncer, Syncer::is_synced);
        assert_eq!(syncer.problem(), None);
        // The pages were written again, into the database.
        let in_file = std::fs::read(&path).unwrap();
        assert!(in_file.windows(11).any(|bytes| bytes == b"example.com"));
        drop((syncer, database));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn nothing_is_left_in_the_wal_of_what_was_removed() {
        for opening in [Opening::Server, Opening::Other] {
            let folder = std::env::temp_dir().join(format!("audit-scrubbed-{opening:?}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join("audit.sqlite3");
            let mut database = Database::new(&path, opening, Duration::from_secs(1));
            let archive = Archive { host: "example.com", store: "audit", user: "a" };
            let item = NewItem { key: "key", is_new: true, value: Value { kind: 1, bytes: b"a secret" }, when: 0.0, with: "" };
            database.append(&archive, &item).unwrap();
            database.delete(&archive, &super::super::Query::default(), None).unwrap();
            database.scrub().unwrap();
            let began = Instant::now();
            while !database.is_scrubbed() && began.elapsed() < 20 * INTERVAL {
                std::thread::sleep(INTERVAL / 10);
            }
            assert!(database.is_scrubbed());
            for file in std::fs::read_dir(&folder).unwrap() {
                let content = std::fs::read(file.unwrap().path()).unwrap();
                assert!(!content.windows(8).any(|bytes| bytes == b"a secret"));
            }
            drop(database);
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }

    #[test]
    fn what_was_written_is_on_disk_soon_and_this_is_known() {
        let folder = std::env::temp_dir().join(format!("audit-synced-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut database = Database::new(&folder.join("audit.sqlite3"), Opening::Server, Duration::from_secs(1));
        assert!(database.is_synced(), "nothing was written");
        let archive = Archive { host: "example.com", store: "audit", user: "a" };
        let item = NewItem { key: "key", is_new: false, value: Value { kind: 1, bytes: b"x" }, when: 0.0, with: "" };
        // On a slow machine the sync may come between the two.
        let is_noticed = |_| {
            database.append(&archive, &item).unwrap();
            !database.is_synced()
        };
        assert!((0..5).any(is_noticed));
        let began = Instant::now();
        while !database.is_synced() && began.elapsed() < 20 * INTERVAL {
            std::thread::sleep(INTERVAL / 10);
        }
        assert!(database.is_synced());
        drop(database);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
