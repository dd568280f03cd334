//! Removing items and archives.

use rusqlite::params_from_iter;
use rusqlite::types::Value as Sql;

use super::database::Database;
use super::select::Condition;
use super::{Archive, Query, StorageError};

/// How many items are to be left of those that a query selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The number of items.
    pub count: u64,
    /// Whether the oldest are kept, in place of the newest.
    pub oldest: bool,
}

impl Database {
    /// Removes the items of an archive that meet all criteria of a query, or all but some of them. Returns how many.
    ///
    /// # Errors
    ///
    /// [`StorageError::NotFound`] if `before` or `after` is no key of the archive.
    pub fn delete(&mut self, archive: &Archive<'_>, query: &Query, keep: Option<Keep>) -> Result<u64, StorageError> {
        let Some(range) = self.range(archive)? else {
            return if query.before.is_some() || query.after.is_some() { Err(StorageError::NotFound) } else { Ok(0) };
        };
        self.write(|database| {
            let condition = Condition::new(database.narrowed(range, query)?, query)?;
            let (sql, mut values) = (condition.sql, condition.values);
            let sql = match keep {
                None => format!("DELETE FROM item WHERE {sql}"),
                Some(keep) => {
                    values.push(Sql::Integer(i64::try_from(keep.count).unwrap_or(i64::MAX)));
                    let order = if keep.oldest { "ASC" } else { "DESC" };
                    format!("DELETE FROM item WHERE id IN (SELECT id FROM item WHERE {sql} ORDER BY id {order} LIMIT -1 OFFSET ?)")
                }
            };
            let removed = database.connection()?.prepare_cached(&sql)?.execute(params_from_iter(values))?;
            database.forget_if_empty(range)?;
            Ok(removed as u64)
        })
    }

    /// Removes the items that meet a query in each archive of a store. Returns how many.
    ///
    /// # Errors
    ///
    /// What SQLite reports. Then nothing has changed.
    pub fn delete_of_all(&mut self, host: &str, store: &str, query: &Query, keep: Option<Keep>) -> Result<u64, StorageError> {
        let users = self.users(host, store)?;
        self.write(|database| {
            let mut removed = 0_u64;
            for user in &users {
                removed = removed.saturating_add(match database.delete(&Archive { host, store, user }, query, keep) {
                    // The key is in another archive.
                    Err(StorageError::NotFound) => 0,
                    result => result?,
                });
            }
            Ok(removed)
        })
    }

    /// Removes all archives of a user of a host.
    ///
    /// # Errors
    ///
    /// What SQLite reports. Then nothing has changed.
    pub fn purge(&mut self, host: &str, user: &str) -> Result<(), StorageError> {
        let stores = self.stores(host, Some(user))?;
        self.write(|database| {
            for store in &stores {
                database.delete(&Archive { host, store, user }, &Query::default(), None)?;
            }
            Ok(())
        })
    }
}
