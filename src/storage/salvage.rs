//! Copies what can be read of a damaged database into an empty one.
//!
//! Items keep their numbers, so their order stays, and nothing can be copied twice. A part of the file that can't be read is stepped
//! over: usually that is a page, with a few items. The index is made again.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Statement, params_from_iter};

use super::error::StorageError;
use super::leaves;
use crate::file::ownership::make_file;

/// How many items are written in one transaction.
const TRANSACTION: u32 = 5000;

/// For how many numbers behind an unreadable one each is tried. The steps get larger behind that.
const TRIED: u32 = 4096;

/// How many items a page has at most.
const OF_ONE_PAGE: u32 = 256;

/// The size of a page, which is SQLite's default.
pub(super) const PAGE: u64 = 4096;

// Places in the first page.
/// The versions for writing and reading, which say whether there is a WAL.
const VERSIONS: usize = 18;
/// The number of pages.
const SIZE: usize = 28;
/// The first free page, and their number.
pub(super) const FREE_PAGES: usize = 32;

/// How many items of a host were copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The host.
    pub host: String,
    /// How many items were copied.
    pub count: u64,
    /// How many could not be read; `None` if that is not known.
    pub missing: Option<u64>,
}

/// Opens a damaged file as it is, to read from it.
pub(super) fn open(path: &Path) -> Result<Connection, StorageError> {
    // A WAL is read too. SQLite makes an index of it beside the file, for which it must be allowed to write.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection)?;
    // SQLite reads nothing before it has to.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    connection.prepare("SELECT id FROM item")?;
    Ok(connection)
}

/// Lets a connection only read, and with care.
pub(super) fn prepare(connection: &Connection) -> Result<(), StorageError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(())
}

/// Makes a copy of a file whose first page is not readable, with the first page of an empty database in its place. It says where the
/// tables begin, which is the same in every file. `template` is an empty database.
pub(super) fn copy_with_first_page(damaged: &Path, template: &Path, copy: &Path) -> Result<(), StorageError> {
    let io = |source| StorageError::Io { path: copy.to_owned(), source };
    let mut page = vec![0; usize::try_from(PAGE).unwrap_or_default()];
    fs::File::open(template).and_then(|file| file.read_exact_at(&mut page, 0)).map_err(io)?;
    let mut from = fs::File::open(damaged).map_err(io)?;
    let pages = from.metadata().map_err(io)?.len() / PAGE;
    let wal = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    // See https://www.sqlite.org/fileformat2.html#the_database_header.
    let mut put = |place: usize, bytes: &[u8]| {
        if let Some(field) = page.get_mut(place..place.saturating_add(bytes.len())) {
            field.copy_from_slice(bytes);
        }
    };
    put(SIZE, &u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes());
    put(FREE_PAGES, &[0; 8]);
    if wal(damaged).exists() {
        put(VERSIONS, &[2, 2]);
        fs::copy(wal(damaged), wal(copy)).map_err(io)?;
    }
    let _ = fs::remove_file(copy);
    let mut to = make_file(OpenOptions::new().write(true), copy).map_err(io)?;
    std::io::copy(&mut from, &mut to).map_err(io)?;
    to.write_all_at(&page, 0).map_err(io)
}

/// Copies all that can be read. `is_stopped` is asked now and then.
///
/// # Errors
///
/// Whatever is wrong with the new database. What is wrong with the old one is no error.
///
/// `file` is the damaged file, from which the rest is copied if a page is damaged that leads to many others.
pub(super) fn copy(
    source: &Connection,
    target: &Connection,
    file: Option<&File<'_>>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Vec<Copied>, StorageError> {
    let mut work = Work { source, target, is_stopped, written: 0, is_torn: false };
    target.execute_batch("BEGIN")?;
    for table in tables_of(target)? {
        if table != "item" && table != "block" {
            work.copy_rows(&table, i64::MIN, i64::MAX)?;
        }
    }
    work.copy_archives_of_index()?;
    let mut archives = Vec::new();
    let mut statement = target.prepare("SELECT id, host FROM archive ORDER BY id")?;
    for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
        archives.push(row?);
    }
    let all = items_of_index(source);
    let mut counts = BTreeMap::new();
    for (archive, _) in &archives {
        let archive: i64 = *archive;
        counts.insert(archive, work.copy_rows("item", archive << 32, archive << 32 | 0xFFFF_FFFF)?);
    }
    if let Some(file) = file.filter(|_| work.is_torn) {
        leaves::copy(file, &mut work, &mut counts)?;
    }
    let mut hosts = BTreeMap::new();
    for (archive, host) in archives {
        let count = counts.get(&archive).copied().unwrap_or_default();
        let sum: &mut Copied =
            hosts.entry(host).or_insert_with_key(|host: &String| Copied { host: host.clone(), count: 0, missing: all.as_ref().map(|_| 0) });
        sum.count = sum.count.saturating_add(count);
        let missing = all.as_ref().map(|all| all.get(&archive).copied().unwrap_or_default().saturating_sub(count));
        if missing == Some(0) {
            work.copy_blocks(archive)?;
        }
        sum.missing = sum.missing.zip(missing).map(|(sum, missing)| sum.saturating_add(missing));
    }
    // Looked at again when the next archive is made.
    target.execute("UPDATE archive SET sealed = 0", [])?;
    // Archives without any item left.
    target.execute("DELETE FROM archive WHERE NOT EXISTS (SELECT 1 FROM item WHERE item.id BETWEEN archive.id << 32 AND archive.id << 32 | 0xFFFFFFFF)", [])?;
    target.execute_batch("COMMIT")?;
    Ok(hosts.into_values().collect())
}

fn tables_of(database: &Connection) -> Result<Vec<String>, StorageError> {
    // The last number that an archive had is in SQLite's own table.
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND (name = 'sqlite_sequence' OR name NOT LIKE 'sqlite_%')";
    let mut statement = database.prepare(sql)?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names)
}

/// How many items each archive has by the index of their keys; `None` if the index can't be read.
fn items_of_index(source: &Connection) -> Option<BTreeMap<i64, u64>> {
    let mut statement = source.prepare("SELECT id >> 32, count(*) FROM item INDEXED BY item_key GROUP BY 1").ok()?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))).ok()?;
    rows.collect::<Result<_, _>>().ok()
}

/// A damaged file, and a name for a copy of it that may be changed.
pub(super) struct File<'a> {
    pub(super) damaged: &'a Path,
    pub(super) scratch: &'a Path,
}

pub(super) struct Work<'a> {
    source: &'a Connection,
    pub(super) target: &'a Connection,
    is_stopped: &'a dyn Fn() -> bool,
    written: u32,
    /// Whether more is missing than one page can have.
    is_torn: bool,
}

/// How a reading ended.
enum Ended {
    /// At the last row.
    Whole,
    /// At a row that can't be read. The number is that of the row before it.
    Damaged(Option<i64>),
}

impl Work<'_> {
    /// Copies the rows of a table with these numbers. Returns how many.
    fn copy_rows(&mut self, table: &str, first: i64, last: i64) -> Result<u64, StorageError> {
        let mut copied = 0;
        let mut next = Some(first);
        while let Some(start) = next {
            next = match self.copy_readable(table, start, last, &mut copied)? {
                Ended::Whole => None,
                Ended::Damaged(Some(before)) => self.seek(table, before.saturating_add(1), last)?,
                Ended::Damaged(None) if start == first => self.seek(table, start, last)?.map(|found| found.max(start.saturating_add(1))),
                Ended::Damaged(None) => self.seek(table, start.saturating_add(1), last)?,
            };
        }
        Ok(copied)
    }

    fn copy_readable(&mut self, table: &str, first: i64, last: i64, copied: &mut u64) -> Result<Ended, StorageError> {
        let mut before = None;
        let Ok(mut read) =
            self.source.prepare(&format!("SELECT rowid, * FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid"))
        else {
            return Ok(Ended::Whole);
        };
        let columns: Vec<String> = read.column_names().iter().skip(1).map(|name| format!("\"{name}\"")).collect();
        let places = vec!["?"; columns.len()].join(",");
        let sql = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({places})", columns.join(","));
        // A table that an older version did not have in this form.
        let Ok(mut write) = self.target.prepare(&sql) else { return Ok(Ended::Whole) };
        let Ok(mut rows) = read.query((first, last)) else { return Ok(Ended::Damaged(None)) };
        loop {
            let Ok(row) = rows.next() else { return Ok(Ended::Damaged(before)) };
            let Some(row) = row else { return Ok(Ended::Whole) };
            let values = (1..=columns.len()).map(|column| row.get::<_, Sql>(column)).collect::<Result<Vec<_>, _>>();
            let (Ok(number), Ok(values)) = (row.get::<_, i64>(0), values) else { return Ok(Ended::Damaged(before)) };
            if before.is_some_and(|before| number <= before) || !(first..=last).contains(&number) {
                // A page that stands in the place of another one.
                return Ok(Ended::Damaged(before));
            }
            before = Some(number);
            *copied = copied.saturating_add(self.write(&mut write, values)?);
        }
    }

    /// Writes a row. Returns how many were written: one that is there already, or has the wrong types as it was damaged, is left out.
    pub(super) fn write(&mut self, write: &mut Statement<'_>, values: Vec<Sql>) -> Result<u64, StorageError> {
        let written = match write.execute(params_from_iter(values)) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => 0,
            result => result? as u64,
        };
        self.written = self.written.saturating_add(1);
        if self.written >= TRANSACTION {
            self.written = 0;
            self.target.execute_batch("COMMIT; BEGIN")?;
            if (self.is_stopped)() {
                return Err(StorageError::Recovering { problem: None });
            }
        }
        Ok(written)
    }

    /// The first number, from `from` on, at which a row can be found again.
    fn seek(&mut self, table: &str, from: i64, last: i64) -> Result<Option<i64>, StorageError> {
        let sql = format!("SELECT rowid FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid LIMIT 1");
        let Ok(mut statement) = self.source.prepare(&sql) else { return Ok(None) };
        let mut look = |at: i64| statement.query_row((at, last), |row| row.get::<_, i64>(0)).optional();
        let (mut at, mut step, mut tried, mut failed) = (from, 1_i64, 0_u32, from);
        let mut found = loop {
            if at > last || (self.is_stopped)() {
                return Ok(None);
            }
            match look(at) {
                Ok(None) => return Ok(None),
                Ok(Some(number)) if number >= at => break number,
                _ => {}
            }
            failed = at;
            tried = tried.saturating_add(1);
            self.is_torn |= tried > OF_ONE_PAGE;
            if tried > TRIED {
                step = step.saturating_mul(2);
            }
            at = match at.checked_add(step) {
                Some(next) => next,
                None => return Ok(None),
            };
        };
        // What lies between the last number that failed and this one may be readable too.
        while at.saturating_sub(failed) > 1 {
            let middle = failed.saturating_add(at.saturating_sub(failed) / 2);
            match look(middle) {
                Ok(Some(number)) if number >= middle => (at, found) = (middle, number),
                _ => failed = middle,
            }
        }
        Ok(Some(found))
    }

    /// Copies the blocks of an archive that lacks no item, if they have no gap. They can be made again. But the numbers of missing
    /// items are given to new ones, which a block would hide.
    fn copy_blocks(&mut self, archive: i64) -> Result<(), StorageError> {
        let (first, last) = (archive << 32, archive << 32 | 0xFFFF_FFFF);
        self.copy_rows("block", first, last)?;
        let mut statement = self.target.prepare_cached("SELECT id, last FROM block WHERE id BETWEEN ? AND ? ORDER BY id")?;
        let mut rows = statement.query((first, last))?;
        let mut expected = first;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(0)? != expected {
                self.target.execute("DELETE FROM block WHERE id BETWEEN ? AND ?", (first, last))?;
                break;
            }
            expected = row.get::<_, i64>(1)?.saturating_add(1);
        }
        Ok(())
    }

    /// Copies the archives by the index of their names. It has all that is in their table but what is known of their blocks.
    fn copy_archives_of_index(&self) -> Result<(), StorageError> {
        let sql = "SELECT id, host, store, user FROM archive INDEXED BY sqlite_autoindex_archive_1 ORDER BY host, store, user";
        let Ok(mut read) = self.source.prepare(sql) else { return Ok(()) };
        let Ok(mut rows) = read.query([]) else { return Ok(()) };
        let mut write = self.target.prepare("INSERT OR IGNORE INTO archive (id, host, store, user) VALUES (?, ?, ?, ?)")?;
        while let Ok(Some(row)) = rows.next() {
            let values = (0..4).map(|column| row.get::<_, Sql>(column)).collect::<Result<Vec<_>, _>>();
            match values.map(|values| write.execute(params_from_iter(values))) {
                Ok(Err(error)) if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}
