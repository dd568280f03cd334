//! Opening the file: which files are refused, and which are made anew.

use std::cmp::Ordering;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::device;
use super::error::StorageError;
use super::recover::{self, Cause};
use super::sync;
use crate::file::ownership::make_file;

/// Marks the file as ours: "PAud". `file(1)` shows it.
const APPLICATION: i64 = 0x5041_7564;

/// The format of the file.
const FORMAT: i64 = 2;

/// For how long a file is looked through for damage when it is opened. A large file is not read to its end.
const CHECK: Duration = Duration::from_millis(100);

/// How many steps of SQLite's machine lie between two looks at the clock.
const STEPS: i32 = 1000;

/// The smallest size of a page. SQLite takes a smaller file for a new one.
const SMALLEST: u64 = 512;

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

const SCHEMA: &str = "
    CREATE TABLE archive (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        host TEXT NOT NULL, store TEXT NOT NULL, user TEXT NOT NULL,
        UNIQUE (host, store, user)
    ) STRICT;
    CREATE TABLE item (
        id INTEGER PRIMARY KEY,
        key ANY NOT NULL, \"when\" REAL NOT NULL, \"with\" TEXT NOT NULL,
        kind INTEGER NOT NULL, value BLOB NOT NULL
    ) STRICT;
    CREATE INDEX item_key ON item (key);
    CREATE TABLE turn (id INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT;
    INSERT INTO turn VALUES (1, 0);";

/// What each format has that the one before it has not, from the second format on. A new file gets all of them.
const UPGRADES: [&str; 1] = ["
    ALTER TABLE archive ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX archive_unsealed ON archive (host, store) WHERE sealed = 0;
    CREATE TABLE block (id INTEGER PRIMARY KEY, last INTEGER NOT NULL, digest BLOB NOT NULL) STRICT;"];

/// File systems that several machines use, by the number that Linux has for them.
const NETWORK: [(u64, &str); 9] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
];

/// Who opens the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The server. It sets a damaged file aside, and syncs what it writes.
    Server,
    /// Another program, such as `prosodyctl`.
    Other,
}

/// What opening a file came to.
pub(super) enum Found {
    /// It can be used.
    Usable(Connection),
    /// What can be read of it must be copied first.
    Damaged(Cause),
}

pub(super) fn open(path: &Path, opening: Opening) -> Result<Found, StorageError> {
    if recover::is_pending(path) {
        return match opening {
            Opening::Server => Ok(Found::Damaged(Cause::Interrupted)),
            Opening::Other => Err(StorageError::Recovering { problem: None }),
        };
    }
    match open_file(path) {
        Err(StorageError::Damaged(reason)) if opening == Opening::Server => Ok(Found::Damaged(Cause::Damaged(reason))),
        Err(StorageError::Unreadable(reason)) if opening == Opening::Server => device::judge(path, reason).map(Found::Damaged),
        Err(StorageError::ReadOnly) => Err(device::why_not(path)),
        result => result.map(Found::Usable),
    }
}

/// Which file is at a path, as the system counts them; `None` if there is none. An error may be over soon.
pub(super) fn identity(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // Emptied, which is as good as deleted.
        result => result.map(|file| Some((file.dev(), if file.len() == 0 { 0 } else { file.ino() }))),
    }
}

fn open_file(path: &Path) -> Result<Connection, StorageError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let io = |source| StorageError::Io { path: path.to_owned(), source };
    let kind = rustix::fs::statfs(folder).map_err(|error| io(error.into()))?.f_type;
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)] // Its sign depends on the machine.
    let kind = u64::from(kind as u32);
    if let Some((_, kind)) = NETWORK.iter().find(|(number, _)| *number == kind) {
        return Err(StorageError::Network { path: path.to_owned(), kind });
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => create(path)?,
        Err(error) => return Err(io(error)),
        Ok(found) if !found.is_file() => return Err(io(io::Error::new(ErrorKind::InvalidInput, "not a plain file"))),
        // A new file is never empty, see `create`.
        Ok(found) if found.len() < SMALLEST => return Err(StorageError::Damaged(format!("the file has {} bytes", found.len()))),
        Ok(_) => {}
    }
    let connection = Connection::open_with_flags(path, FLAGS)?;
    connection.busy_timeout(CHECK)?;
    // A file that turns out to be damaged stays as it is. Otherwise SQLite would write the WAL into it when it is closed.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let checked = prepare(&connection, path);
    if !matches!(checked, Err(StorageError::Damaged(_) | StorageError::Unreadable(_))) {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    }
    checked.map(|()| connection)
}

fn prepare(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    check_format(connection, path)?;
    // Without a checkpoint of its own a commit never waits for the disk; see the sync thread.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", sync::CUT)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // What is removed is overwritten, also in pages that are free then. Pruning takes no longer.
    connection.pragma_update(None, "secure_delete", "ON")?;
    look_for_damage(connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn check_format(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    // Reads the first page.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    if application != APPLICATION {
        return Err(StorageError::Foreign(path.to_owned()));
    }
    match format.cmp(&FORMAT) {
        Ordering::Greater => Err(StorageError::Newer { path: path.to_owned(), found: format, known: FORMAT }),
        Ordering::Equal => Ok(()),
        Ordering::Less => upgrade(connection),
    }
}

/// Makes an empty database. It gets its name when it is whole, so a file of no length is one that somebody emptied.
fn create(path: &Path) -> Result<(), StorageError> {
    let io = |source| StorageError::Io { path: path.to_owned(), source };
    let beside = PathBuf::from(format!("{}.new-{}", path.display(), std::process::id()));
    let _ = fs::remove_file(&beside);
    let made = create_plain(&beside).and_then(|connection| {
        // WAL is a property of the file.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.close().map_err(|(_, error)| error)?;
        fs::File::open(&beside).and_then(|file| file.sync_all()).map_err(io)?;
        match fs::hard_link(&beside, path) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            result => result.map_err(io),
        }
    });
    let _ = fs::remove_file(&beside);
    made
}

/// Makes an empty database, and opens it in a way that is fast but not safe: it is of no use after a crash.
pub(super) fn create_plain(path: &Path) -> Result<Connection, StorageError> {
    make_file(OpenOptions::new().write(true), path).map_err(|source| StorageError::Io { path: path.to_owned(), source })?;
    let connection = Connection::open_with_flags(path, FLAGS)?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1; COMMIT"))?;
    upgrade(&connection)?;
    Ok(connection)
}

/// Gives a file of an older version the present format. What is in it stays as it is, so that this takes no time.
fn upgrade(connection: &Connection) -> Result<(), StorageError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let upgraded = add_what_is_missing(connection);
    let ended = connection.execute_batch(if upgraded.is_ok() { "COMMIT" } else { "ROLLBACK" });
    Ok(upgraded.and(ended)?)
}

fn add_what_is_missing(connection: &Connection) -> rusqlite::Result<()> {
    // Another process may have been faster.
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (from, sql) in (1..).zip(UPGRADES).skip_while(|(from, _)| *from < format) {
        connection.execute_batch(&format!("{sql} PRAGMA user_version = {};", from + 1))?;
    }
    Ok(())
}

/// Looks for damage, but not for long.
fn look_for_damage(connection: &Connection) -> Result<(), StorageError> {
    let began = Instant::now();
    connection.progress_handler(STEPS, Some(move || began.elapsed() > CHECK))?;
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    connection.progress_handler(0, None::<fn() -> bool>)?;
    match found {
        Ok(text) if text == "ok" => Ok(()),
        Ok(text) => Err(StorageError::Damaged(text.replace('\n', " "))),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
