//! Opening the file: which files are refused, and which are made anew.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::error::StorageError;
use crate::file::ownership::make_file;

/// Marks the file as ours: "PAud". `file(1)` shows it.
const APPLICATION: i64 = 0x5041_7564;

/// The format of the file.
const FORMAT: i64 = 1;

/// For how long a file is looked through for damage when it is opened. A large file is not read to its end.
const CHECK: Duration = Duration::from_millis(100);

/// How many steps of SQLite's machine lie between two looks at the clock.
const STEPS: i32 = 1000;

/// How many files are set aside before the next one is refused.
const SET_ASIDE: u32 = 100;

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

/// What was done with a damaged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Its name now.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

pub(super) fn open(path: &Path, opening: Opening) -> Result<(Connection, Option<SetAside>), StorageError> {
    match open_file(path) {
        Err(StorageError::Damaged(reason)) if opening == Opening::Server => {
            let path_now = set_aside(path)?;
            let connection = open_file(path)?;
            Ok((connection, Some(SetAside { path: path_now, reason })))
        }
        result => result.map(|connection| (connection, None)),
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
    match make_file(OpenOptions::new().write(true), path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if !fs::symlink_metadata(path).map_err(io)?.is_file() {
                return Err(io(std::io::Error::new(ErrorKind::InvalidInput, "not a plain file")));
            }
        }
        Err(error) => return Err(io(error)),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(CHECK)?;
    check_format(&connection, path)?;
    // Without a checkpoint of its own a commit never waits for the disk; see the sync thread.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    look_for_damage(&connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn check_format(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && format == 0 && tables == 0 {
        // WAL is a property of the file. It can't be set within a transaction.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        return create(connection);
    }
    if application != APPLICATION {
        return Err(StorageError::Foreign(path.to_owned()));
    }
    if format > FORMAT {
        return Err(StorageError::Newer { path: path.to_owned(), found: format, known: FORMAT });
    }
    Ok(())
}

fn create(connection: &Connection) -> Result<(), StorageError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    // Another process may have been faster.
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let made = if tables > 0 {
        Ok(())
    } else {
        connection.execute_batch(&format!("{SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};"))
    };
    let ended = connection.execute_batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" });
    Ok(made.and(ended)?)
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

/// Gives a damaged file another name, with the file that SQLite keeps beside it. Returns the name.
fn set_aside(path: &Path) -> Result<PathBuf, StorageError> {
    let beside = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
    for number in 1..=SET_ASIDE {
        let target = beside(&format!(".damaged-{number}"));
        match fs::hard_link(path, &target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            result => result,
        }
        .and_then(|()| fs::remove_file(path))
        .map_err(|source| StorageError::Io { path: path.to_owned(), source })?;
        // The index of the WAL is made again when it is needed.
        let _ = fs::rename(beside("-wal"), beside(&format!(".damaged-{number}-wal")));
        let _ = fs::remove_file(beside("-shm"));
        return Ok(target);
    }
    Err(StorageError::TooMany { what: "the number of damaged files beside the database", most: u64::from(SET_ASIDE) })
}
