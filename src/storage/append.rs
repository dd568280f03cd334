//! Adding items and changing them.

use rusqlite::params;
use rusqlite::types::{ToSql, Value as Sql};

use super::database::{Database, LARGEST_PLACE, Range};
use super::key::Key;
use super::{Archive, Change, Item, NewItem, Query, StorageError, Value};

impl Database {
    /// Appends an item.
    ///
    /// # Errors
    ///
    /// What SQLite reports. Then nothing has changed.
    pub fn append(&mut self, archive: &Archive<'_>, item: &NewItem<'_>) -> Result<(), StorageError> {
        // A single statement leaves nothing behind if it fails, so no further transaction is needed within one.
        let range = if item.is_new && self.is_writing() { self.range(archive)? } else { None };
        match range {
            Some(range) if !self.is_noted(archive.store, range)? => self.insert(range, item).map(drop),
            _ => self.write(|database| {
                let range = database.range_to_write(archive)?;
                if !item.is_new {
                    let remove = "DELETE FROM item WHERE id BETWEEN ? AND ? AND key = ?";
                    let key = Key::parse(item.key);
                    database.connection()?.prepare_cached(remove)?.execute(params![range.first, range.last, key])?;
                }
                let is_noted = database.is_noted(archive.store, range)?;
                let number = database.insert(range, item)?;
                if is_noted { database.note_appended(range, number) } else { Ok(()) }
            }),
        }
    }

    /// Inserts an item behind the last one. Returns its number.
    fn insert(&mut self, range: Range, item: &NewItem<'_>) -> Result<i64, StorageError> {
        // A number is not used again: a reading goes on behind the number that it read last.
        let used = self.last_used(range)?;
        if used >= range.last {
            return Err(StorageError::TooMany { what: "the number of items in an archive", most: LARGEST_PLACE });
        }
        let number = used.saturating_add(1);
        let insert = "INSERT INTO item (id, key, \"when\", \"with\", kind, value) VALUES (?, ?, ?, ?, ?, ?)";
        let packed = self.shape().packed(item.value);
        let value = packed.as_ref().map_or(item.value, |(kind, bytes)| Value { kind: *kind, bytes });
        let values = params![number, Key::parse(item.key), item.when, item.with, value.kind, value.bytes];
        self.connection()?.prepare_cached(insert)?.execute(values)?;
        self.set_used(range, number);
        Ok(number)
    }

    /// The item with a key.
    ///
    /// # Errors
    ///
    /// [`StorageError::NotFound`] if there is none.
    pub fn get(&mut self, archive: &Archive<'_>, key: &str) -> Result<Item, StorageError> {
        let query = Query { key: Some(key.to_owned()), ..Query::default() };
        let mut cursor = self.find(archive, &query, Some(1), false)?;
        self.next(&mut cursor)?.ok_or(StorageError::NotFound)
    }

    /// Changes the item with a key. It keeps its place.
    ///
    /// # Errors
    ///
    /// [`StorageError::NotFound`] if there is none.
    pub fn set(&mut self, archive: &Archive<'_>, key: &str, change: &Change<'_>) -> Result<(), StorageError> {
        let range = self.range(archive)?.ok_or(StorageError::NotFound)?;
        self.write(|database| {
            let number = database.find_number(range, key)?.ok_or(StorageError::NotFound)?;
            let mut set = Vec::new();
            let mut values: Vec<Box<dyn ToSql>> = Vec::new();
            if let Some(value) = change.value {
                set.extend(["kind = ?", "value = ?"]);
                let (kind, bytes) = database.shape().packed(value).unwrap_or_else(|| (value.kind, value.bytes.to_vec()));
                values.push(Box::new(kind));
                values.push(Box::new(bytes));
            }
            if let Some(when) = change.when {
                set.push("\"when\" = ?");
                values.push(Box::new(when));
            }
            if let Some(with) = change.with {
                set.push("\"with\" = ?");
                values.push(Box::new(Sql::Text(with.to_owned())));
            }
            if set.is_empty() {
                return Ok(());
            }
            values.push(Box::new(number));
            let sql = format!("UPDATE item SET {} WHERE id = ?", set.join(", "));
            database.connection()?.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values))?;
            database.note_changed(range, number)
        })
    }
}
