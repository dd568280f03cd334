//! Reading items, a page at a time.

use std::collections::VecDeque;

use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, Row, params_from_iter};

use super::database::Database;
use super::key::Stored;
use super::select::Condition;
use super::shape::unpacked;
use super::{Archive, Item, Query, StorageError, Summary, Value};

/// How many items the first page has, and the largest one. Most callers read few items; a page is held in memory.
const FIRST_PAGE: u64 = 32;
const LARGEST_PAGE: u64 = 512;

/// Where a reading of items is.
#[derive(Debug)]
pub struct Cursor {
    condition: Condition,
    reverse: bool,
    /// Which file is read: [`Database::times`].
    times: u64,
    /// How many items are still wanted.
    wanted: u64,
    page: u64,
    items: VecDeque<Item>,
    is_at_end: bool,
}

impl Database {
    /// Begins to read the items that meet a query, at most `limit`, the last one first if `reverse`.
    ///
    /// What is appended meanwhile is read too, unless it is read in reverse. Nothing is read twice.
    ///
    /// # Errors
    ///
    /// [`StorageError::NotFound`] if `before` or `after` is no key of the archive.
    pub fn find(&mut self, archive: &Archive<'_>, query: &Query, limit: Option<u64>, reverse: bool) -> Result<Cursor, StorageError> {
        let range = self.range_of(archive, query)?;
        let condition = Condition::new(range, query)?;
        let wanted = limit.unwrap_or(u64::MAX);
        let is_at_end = wanted == 0 || range.is_empty();
        Ok(Cursor { condition, reverse, times: self.times(), wanted, page: FIRST_PAGE, items: VecDeque::new(), is_at_end })
    }

    /// The next item of a reading; `None` at the end.
    ///
    /// # Errors
    ///
    /// What SQLite reports.
    pub fn next(&mut self, cursor: &mut Cursor) -> Result<Option<Item>, StorageError> {
        if cursor.items.is_empty() && !cursor.is_at_end {
            self.read_page(cursor)?;
        }
        Ok(cursor.items.pop_front())
    }

    fn read_page(&mut self, cursor: &mut Cursor) -> Result<(), StorageError> {
        if cursor.times != self.times() {
            return Err(StorageError::Changed);
        }
        let order = if cursor.reverse { "DESC" } else { "ASC" };
        let sql =
            format!("SELECT id, key, kind, value, \"when\", \"with\" FROM item WHERE {} ORDER BY id {order} LIMIT ?", cursor.condition.sql);
        let size = cursor.page.min(cursor.wanted);
        let mut values = cursor.condition.values.clone();
        values.push(Sql::Integer(i64::try_from(size).unwrap_or(i64::MAX)));
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let (mut last, mut room) = (None, Vec::new());
        while let Some(row) = rows.next()? {
            last = Some(row.get::<_, i64>(0)?);
            let Stored(key) = row.get(1)?;
            let stored = Value { kind: row.get(2)?, bytes: row.get_ref(3)?.as_bytes().unwrap_or_default() };
            let value = unpacked(self.shape(), stored, &mut room);
            cursor.items.push_back(Item { key, kind: value.kind, value: value.bytes.to_vec(), when: row.get(4)?, with: row.get(5)? });
        }
        let read = cursor.items.len() as u64;
        cursor.wanted = cursor.wanted.saturating_sub(read);
        cursor.is_at_end = read < size || cursor.wanted == 0;
        cursor.page = cursor.page.saturating_mul(2).min(LARGEST_PAGE);
        if let Some(last) = last {
            let (bound, number) = if cursor.reverse { (1, last.saturating_sub(1)) } else { (0, last.saturating_add(1)) };
            if let Some(value) = cursor.condition.values.get_mut(bound) {
                *value = Sql::Integer(number);
            }
        }
        Ok(())
    }

    /// The time of the last item of an archive, and how many items it has, counted up to `most`.
    ///
    /// # Errors
    ///
    /// What SQLite reports.
    pub fn last(&mut self, archive: &Archive<'_>, most: u64) -> Result<(Option<f64>, u64), StorageError> {
        let Some(range) = self.range(archive)? else { return Ok((None, 0)) };
        let connection = self.connection()?;
        let when: Option<f64> = connection
            .prepare_cached("SELECT \"when\" FROM item WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1")?
            .query_row((range.first, range.last), |row| row.get(0))
            .optional()?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let count = connection
            .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM item WHERE id BETWEEN ? AND ? LIMIT ?)")?
            .query_row((range.first, range.last, most), |row| count_in(row, 0))?;
        Ok((when, count))
    }

    /// How many items meet a query. `before` and `after` do not count.
    ///
    /// # Errors
    ///
    /// What SQLite reports.
    pub fn total(&mut self, archive: &Archive<'_>, query: &Query) -> Result<u64, StorageError> {
        let Some(range) = self.range(archive)? else { return Ok(0) };
        let condition = Condition::new(range, query)?;
        let sql = format!("SELECT count(*) FROM item WHERE {}", condition.sql);
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        Ok(statement.query_row(params_from_iter(condition.values), |row| count_in(row, 0))?)
    }

    /// The items that meet a query, counted by whom they are connected with.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn summary(&mut self, archive: &Archive<'_>, query: &Query) -> Result<Vec<Summary>, StorageError> {
        let Some(range) = self.range(archive)? else { return Ok(Vec::new()) };
        let condition = Condition::new(self.narrowed(range, query)?, query)?;
        let sql = format!(
            "SELECT \"with\", count(*), min(\"when\"), max(\"when\") FROM item WHERE {} GROUP BY \"with\" ORDER BY 1",
            condition.sql
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(condition.values), |row| {
            Ok(Summary { with: row.get(0)?, count: count_in(row, 1)?, earliest: row.get(2)?, latest: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The users of a store that have items.
    ///
    /// # Errors
    ///
    /// What SQLite reports.
    pub fn users(&mut self, host: &str, store: &str) -> Result<Vec<String>, StorageError> {
        self.ready()?;
        let mut statement = self.connection()?.prepare_cached("SELECT user FROM archive WHERE host = ? AND store = ? ORDER BY user")?;
        let rows = statement.query_map((host, store), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The stores of a host in which a user, or anybody, has items.
    ///
    /// # Errors
    ///
    /// What SQLite reports.
    pub fn stores(&mut self, host: &str, user: Option<&str>) -> Result<Vec<String>, StorageError> {
        self.ready()?;
        let sql = "SELECT DISTINCT store FROM archive WHERE host = ?1 AND (?2 IS NULL OR user = ?2) ORDER BY store";
        let mut statement = self.connection()?.prepare_cached(sql)?;
        let rows = statement.query_map((host, user), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The days (UTC) on which there are items, as `YYYY-MM-DD`, the earliest first.
    ///
    /// # Errors
    ///
    /// What SQLite reports.
    pub fn dates(&mut self, archive: &Archive<'_>) -> Result<Vec<String>, StorageError> {
        let Some(range) = self.range(archive)? else { return Ok(Vec::new()) };
        let sql = "SELECT DISTINCT date(\"when\", 'unixepoch') FROM item WHERE id BETWEEN ? AND ? ORDER BY 1";
        let mut statement = self.connection()?.prepare_cached(sql)?;
        // A time that is beyond the year 9999 has no date.
        let rows = statement.query_map((range.first, range.last), |row| row.get::<_, Option<String>>(0))?;
        Ok(rows.filter_map(Result::transpose).collect::<Result<_, _>>()?)
    }
}

/// A count in a row. SQLite's numbers have a sign.
fn count_in(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}
