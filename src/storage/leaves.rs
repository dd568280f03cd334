//! Reads the pages of a damaged database that have items, without the pages that lead to them.
//!
//! If such a page is damaged, hundreds of pages below it can't be found any more. SQLite can read each of them as a table of its own,
//! once the schema says so. That is done with a copy of the file.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File as Opened};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::Value as Sql;

use super::error::StorageError;
use super::salvage::{FREE_PAGES, File, PAGE, Work};

/// The first byte of a page with rows of a table.
const LEAF: u8 = 0x0d;

/// How many pages become tables at a time.
const TABLES: usize = 500;

/// Copies the items that were not found before. `counts` has the known archives, and how many items each has.
pub(super) fn copy(file: &File<'_>, work: &mut Work<'_>, counts: &mut BTreeMap<i64, u64>) -> Result<(), StorageError> {
    // What does not work here is no error: the rest has been copied.
    let Ok((copy, pages)) = prepare(file) else { return Ok(()) };
    let table: String = work.target.query_row("SELECT sql FROM sqlite_schema WHERE name = 'item'", [], |row| row.get(0))?;
    for group in pages.chunks(TABLES) {
        if make_tables(&copy, &table, group).is_err() {
            return Ok(());
        }
        for page in group {
            copy_page(&copy, *page, work, counts)?;
        }
        if copy.execute("DELETE FROM sqlite_schema WHERE name LIKE 'leaf%'", []).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Makes a copy that can be changed, and finds the pages in it.
fn prepare(file: &File<'_>) -> Result<(Connection, Vec<u64>), StorageError> {
    let io = |source| StorageError::Io { path: file.scratch.to_owned(), source };
    let wal = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    if !file.scratch.exists() {
        fs::copy(file.damaged, file.scratch).map_err(io)?;
        if wal(file.damaged).exists() {
            fs::copy(wal(file.damaged), wal(file.scratch)).map_err(io)?;
        }
    }
    let copy = Connection::open(file.scratch)?;
    // Moves what is in the WAL into the file.
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    copy.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    copy.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
    let bytes = Opened::open(file.scratch).map_err(io)?;
    let count = bytes.metadata().map_err(io)?.len() / PAGE;
    let free = free_pages(&bytes, count);
    let is_leaf = |page: &u64| {
        let mut kind = [0];
        bytes.read_exact_at(&mut kind, page.saturating_sub(1).saturating_mul(PAGE)).is_ok() && kind == [LEAF]
    };
    Ok((copy, (2..=count).filter(|page| !free.contains(page)).filter(is_leaf).collect()))
}

/// The pages that are not used. They may have items that were removed. Each page of the list has the number of the next one, a count,
/// and as many numbers.
fn free_pages(bytes: &Opened, count: u64) -> HashSet<u64> {
    let number = |place: u64| {
        let mut bytes_of = [0; 4];
        bytes.read_exact_at(&mut bytes_of, place).ok().map(|()| u64::from(u32::from_be_bytes(bytes_of)))
    };
    let mut free = HashSet::new();
    let mut next = number(FREE_PAGES as u64);
    while let Some(page) = next.filter(|page| (1..=count).contains(page)) {
        if !free.insert(page) {
            break;
        }
        let begin = page.saturating_sub(1).saturating_mul(PAGE);
        let entries = number(begin.saturating_add(4)).unwrap_or_default().min(PAGE / 4);
        free.extend((0..entries).filter_map(|entry| number(begin.saturating_add(8).saturating_add(entry.saturating_mul(4)))));
        next = number(begin);
    }
    free
}

fn make_tables(copy: &Connection, table: &str, pages: &[u64]) -> rusqlite::Result<()> {
    let mut insert = copy.prepare("INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', ?1, ?1, ?2, ?3)")?;
    for page in pages {
        let name = format!("leaf{page}");
        let sql = table.replacen("item", &name, 1);
        insert.execute((&name, i64::try_from(*page).unwrap_or(i64::MAX), sql))?;
    }
    drop(insert);
    // Reads the schema again.
    copy.execute_batch("PRAGMA writable_schema = RESET")?;
    copy.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
    Ok(())
}

fn copy_page(copy: &Connection, page: u64, work: &mut Work<'_>, counts: &mut BTreeMap<i64, u64>) -> Result<(), StorageError> {
    let Ok(mut read) = copy.prepare(&format!("SELECT * FROM leaf{page}")) else { return Ok(()) };
    let columns = read.column_count();
    let target = work.target;
    let mut write = target.prepare(&format!("INSERT OR IGNORE INTO item VALUES ({})", vec!["?"; columns].join(",")))?;
    let Ok(mut rows) = read.query([]) else { return Ok(()) };
    while let Ok(Some(row)) = rows.next() {
        let values = (0..columns).map(|column| row.get::<_, Sql>(column)).collect::<Result<Vec<_>, _>>();
        let (Ok(number), Ok(values)) = (row.get::<_, i64>(0), values) else { return Ok(()) };
        // A row of another table has no archive.
        if let Some(count) = counts.get_mut(&(number >> 32)) {
            *count = count.saturating_add(work.write(&mut write, values)?);
        }
    }
    Ok(())
}
