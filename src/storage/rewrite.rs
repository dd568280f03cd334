//! Rewriting all items of an archive, some at a time.

use super::database::{Database, Range};
use super::key::Stored;
use super::shape::unpacked;
use super::{Archive, Item, NewItem, Query, StorageError, Value};

/// The rewriting of an archive into a new one, which takes its place in the last step. Keys, times and connections stay as they are.
#[derive(Debug)]
pub struct Rewriting {
    host: String,
    store: String,
    from: String,
    to: String,
    /// Which file it is ([`Database::times`]), and the number of the next item.
    place: Option<(u64, i64)>,
    so_far: Rewritten,
}

/// What a rewriting has done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rewritten {
    /// How many items could be rewritten.
    pub items: u64,
    /// How many could not. Then the archive stays as it is, and the new one is removed.
    pub refused: u64,
    /// The times of the first item and the last one, in UNIX seconds.
    pub times: Option<(f64, f64)>,
}

impl Rewriting {
    /// Of an archive into the one of another user.
    #[must_use]
    pub fn new(archive: &Archive<'_>, to: &str) -> Self {
        let Archive { host, store, user } = archive;
        let (host, store, from, to) = ((*host).to_owned(), (*store).to_owned(), (*user).to_owned(), to.to_owned());
        Self { host, store, from, to, place: None, so_far: Rewritten::default() }
    }

    /// What was done so far.
    #[must_use]
    pub const fn so_far(&self) -> Rewritten {
        self.so_far
    }

    fn archive<'a>(&'a self, user: &'a str) -> Archive<'a> {
        Archive { host: &self.host, store: &self.store, user }
    }
}

impl Database {
    /// Rewrites the next items, `most` of them at most, in one write. `rewrite` returns the new bytes of a value, or `None` if it can't
    /// be rewritten. Returns whether it is done.
    ///
    /// # Errors
    ///
    /// What SQLite reports. Then nothing has changed. [`StorageError::Changed`] if the rewriting can't go on.
    pub fn rewrite_on(
        &mut self,
        rewriting: &mut Rewriting,
        most: usize,
        rewrite: impl Fn(Value<'_>) -> Option<Vec<u8>>,
    ) -> Result<bool, StorageError> {
        let (place, so_far, is_done) = self.write(|database| {
            let (from, to) = (rewriting.archive(&rewriting.from), rewriting.archive(&rewriting.to));
            let mut so_far = rewriting.so_far;
            let times = database.times();
            let Some(range) = database.range(&from)? else { return Ok((rewriting.place, so_far, true)) };
            let (file, next) = rewriting.place.unwrap_or((times, range.first));
            if file != times || !(range.first..=range.last).contains(&next) {
                return Err(StorageError::Changed);
            }
            let items = database.items_from(Range { first: next, last: range.last }, most)?;
            for (_, item) in &items {
                let Some(bytes) = rewrite(Value { kind: item.kind, bytes: &item.value }) else {
                    so_far.refused = so_far.refused.saturating_add(1);
                    continue;
                };
                so_far.items = so_far.items.saturating_add(1);
                so_far.times = Some((so_far.times.map_or(item.when, |(first, _)| first), item.when));
                if so_far.refused == 0 {
                    let value = Value { kind: item.kind, bytes: &bytes };
                    database.append(&to, &NewItem { key: &item.key, is_new: true, value, when: item.when, with: &item.with })?;
                }
            }
            let is_done = items.len() < most;
            if is_done {
                // Nothing was appended meanwhile, as this is a write.
                database.delete(if so_far.refused == 0 { &from } else { &to }, &Query::default(), None)?;
            }
            let place = items.last().map_or(next, |(number, _)| number.saturating_add(1));
            Ok((Some((times, place)), so_far, is_done))
        })?;
        rewriting.place = place;
        rewriting.so_far = so_far;
        Ok(is_done)
    }

    fn items_from(&self, range: Range, most: usize) -> Result<Vec<(i64, Item)>, StorageError> {
        let sql = "SELECT id, key, kind, value, \"when\", \"with\" FROM item WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?";
        let mut statement = self.connection()?.prepare_cached(sql)?;
        let mut rows = statement.query((range.first, range.last, i64::try_from(most).unwrap_or(i64::MAX)))?;
        let (mut items, mut room) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let Stored(key) = row.get(1)?;
            let stored = Value { kind: row.get(2)?, bytes: row.get_ref(3)?.as_bytes().unwrap_or_default() };
            let value = unpacked(self.shape(), stored, &mut room);
            let item = Item { key, kind: value.kind, value: value.bytes.to_vec(), when: row.get(4)?, with: row.get(5)? };
            items.push((row.get(0)?, item));
        }
        Ok(items)
    }
}
