//! From a query to the condition of an SQL statement.

use std::fmt::Write;

use rusqlite::types::Value as Sql;

use super::database::{Database, Range};
use super::key::Key;
use super::{Archive, Query, StorageError};

/// How many keys a query may name. SQLite allows 32,766 parameters in a statement.
const KEYS: usize = 30_000;

/// A condition, and the values of its parameters.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// `id BETWEEN ? AND ? AND …`
    pub(super) sql: String,
    /// The first two are the bounds of the item's numbers.
    pub(super) values: Vec<Sql>,
}

impl Condition {
    /// The items of a range that meet all criteria of a query but `before` and `after`, which are bounds of the range.
    pub(super) fn new(range: Range, query: &Query) -> Result<Self, StorageError> {
        let mut condition =
            Self { sql: "id BETWEEN ? AND ?".to_owned(), values: vec![Sql::Integer(range.first), Sql::Integer(range.last)] };
        if let Some(key) = &query.key {
            condition.add(" AND key = ?", value_of(key));
        }
        if let Some(keys) = &query.ids {
            if keys.len() > KEYS {
                return Err(StorageError::TooMany { what: "the number of ids in a query", most: KEYS as u64 });
            }
            let _ = write!(condition.sql, " AND key IN ({})", vec!["?"; keys.len()].join(","));
            condition.values.extend(keys.iter().map(|key| value_of(key)));
        }
        if let Some(with) = &query.with {
            condition.add(" AND \"with\" = ?", Sql::Text(with.clone()));
        }
        if let Some(start) = query.start {
            condition.add(" AND \"when\" >= ?", Sql::Real(start));
        }
        if let Some(end) = query.end {
            condition.add(" AND \"when\" <= ?", Sql::Real(end));
        }
        Ok(condition)
    }

    fn add(&mut self, sql: &str, value: Sql) {
        self.sql.push_str(sql);
        self.values.push(value);
    }
}

fn value_of(key: &str) -> Sql {
    match Key::parse(key) {
        Key::Uuid(uuid) => Sql::Blob(uuid.as_bytes().to_vec()),
        Key::Text(text) => Sql::Text(text.to_owned()),
    }
}

impl Database {
    /// The part of an archive that `before` and `after` leave.
    pub(super) fn range_of(&mut self, archive: &Archive<'_>, query: &Query) -> Result<Range, StorageError> {
        match self.range(archive)? {
            Some(range) => self.narrowed(range, query),
            None if query.before.is_some() || query.after.is_some() => Err(StorageError::NotFound),
            None => Ok(Range::EMPTY),
        }
    }

    /// The part of a range that `before` and `after` leave.
    pub(super) fn narrowed(&self, range: Range, query: &Query) -> Result<Range, StorageError> {
        let mut narrowed = range;
        if let Some(after) = &query.after {
            narrowed.first = self.number_of(range, after)?.saturating_add(1);
        }
        if let Some(before) = &query.before {
            narrowed.last = self.number_of(range, before)?.saturating_sub(1);
        }
        Ok(narrowed)
    }

    fn number_of(&self, range: Range, key: &str) -> Result<i64, StorageError> {
        self.find_number(range, key)?.ok_or(StorageError::NotFound)
    }
}
