//! Blocks: some neighbouring items of an archive, and a digest of their terms. A filter passes over a block that can't have what it
//! asks for.
//!
//! A block is made of the items as they are stored, when the last of them is appended. Nothing has to be done for it with each item,
//! and little when items are removed: a digest may have terms of items that are gone. Items that are in no block are looked at one by
//! one, such as those of a file of an older version.
//!
//! `archive.sealed` says that all items of an archive are in blocks.

use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::database::{Database, Range};
use super::digest::{digest, may_have};
use super::shape::unpacked;
use super::{StorageError, Value, Wanted};

/// How many items a block has. A partition of the log has a multiple of it.
const ITEMS: i64 = 100;

/// How many blocks are made at a time, at most, and how many archives get their last block when a new one is begun.
const BLOCKS: usize = 2;
const ARCHIVES: i64 = 4;

/// How many archives [`Database::users_with`] looks at in a step.
pub(super) const ARCHIVES_EACH_STEP: usize = 500;

impl Database {
    /// Whether the next item of an archive of a store is to be noted by [`note_appended`](Self::note_appended).
    pub(super) fn is_noted(&self, store: &str, range: Range) -> Result<bool, StorageError> {
        Ok(self.shape().has_terms(store) && (!self.is_unsealed(range) || is_last_of_block(range, self.last_used(range)?.saturating_add(1))))
    }

    /// Notes that an item was appended to an archive.
    pub(super) fn note_appended(&mut self, range: Range, number: i64) -> Result<(), StorageError> {
        if !self.is_unsealed(range) {
            self.connection()?.prepare_cached("UPDATE archive SET sealed = 0 WHERE id = ? AND sealed = 1")?.execute([range.archive()])?;
            self.set_unsealed(range);
        }
        if is_last_of_block(range, number) { self.seal(range, number) } else { Ok(()) }
    }

    /// Notes that an archive of a store was made: nothing more is likely to be appended to those before it.
    pub(super) fn note_made(&mut self, host: &str, store: &str, range: Range) -> Result<(), StorageError> {
        if !self.shape().has_terms(store) {
            return Ok(());
        }
        let sql = "SELECT id FROM archive WHERE host = ? AND store = ? AND sealed = 0 AND id <> ? LIMIT ?";
        let mut statement = self.connection()?.prepare_cached(sql)?;
        let rows = statement.query_map(params![host, store, range.archive(), ARCHIVES], |row| row.get(0))?;
        let archives: Vec<i64> = rows.collect::<Result<_, _>>()?;
        drop(statement);
        for archive in archives {
            let range = Range::of(archive)?;
            let newest = self.newest(range)?.unwrap_or(range.first);
            self.seal(range, newest)?;
        }
        Ok(())
    }

    /// Makes blocks of the items up to the one with a number, which is the last one.
    fn seal(&mut self, range: Range, number: i64) -> Result<(), StorageError> {
        for _ in 0..BLOCKS {
            let first = self.behind_blocks(range)?;
            if first > number {
                break;
            }
            self.make_block(first, number)?;
        }
        if self.behind_blocks(range)? > number {
            self.connection()?.prepare_cached("UPDATE archive SET sealed = 1 WHERE id = ?")?.execute([range.archive()])?;
            self.set_sealed(range);
        }
        Ok(())
    }

    /// The first number behind all blocks of an archive.
    fn behind_blocks(&self, range: Range) -> Result<i64, StorageError> {
        let sql = "SELECT last FROM block WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1";
        let mut statement = self.connection()?.prepare_cached(sql)?;
        let last: Option<i64> = statement.query_row((range.first, range.last), |row| row.get(0)).optional()?;
        Ok(last.map_or(range.first, |last| last.saturating_add(1)))
    }

    /// Makes a block of the first items of a part of an archive.
    fn make_block(&self, first: i64, last: i64) -> Result<(), StorageError> {
        let connection = self.connection()?;
        let sql = "SELECT id, kind, value, \"with\" FROM item WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query((first, last, ITEMS))?;
        let (mut terms, mut room) = (Vec::new(), Vec::new());
        let (mut is_known, mut count, mut reached) = (true, 0, first);
        while let Some(row) = rows.next()? {
            (reached, count) = (row.get(0)?, count + 1);
            let stored = Value { kind: row.get(1)?, bytes: row.get_ref(2)?.as_bytes().unwrap_or_default() };
            let value = unpacked(self.shape(), stored, &mut room);
            let with = row.get_ref(3)?.as_str().unwrap_or_default();
            is_known = is_known && self.shape().add_terms(with, value, &mut terms);
        }
        let end = if count < ITEMS { last } else { reached };
        let digest = if is_known { digest(&mut terms) } else { Vec::new() };
        connection.prepare_cached("INSERT INTO block (id, last, digest) VALUES (?, ?, ?)")?.execute((first, end, digest))?;
        Ok(())
    }

    /// Notes that items were removed from an archive, or all of them (`newest` is `None`). Numbers behind the newest item may be used
    /// again.
    pub(super) fn note_removed(&mut self, range: Range, newest: Option<i64>) -> Result<(), StorageError> {
        let newest = newest.unwrap_or(range.first.saturating_sub(1));
        let mut remove = self.connection()?.prepare_cached("DELETE FROM block WHERE id BETWEEN ? AND ? AND last > ?")?;
        let removed = remove.execute((range.first, range.last, newest))?;
        drop(remove);
        if removed > 0 {
            self.connection()?.prepare_cached("UPDATE archive SET sealed = 0 WHERE id = ?")?.execute([range.archive()])?;
        }
        Ok(())
    }

    /// Notes that an item was changed: the terms of its block are not known any more.
    pub(super) fn note_changed(&self, range: Range, number: i64) -> Result<(), StorageError> {
        let sql = "UPDATE block SET digest = x'' WHERE last >= ?2 AND \
                   id = (SELECT id FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1)";
        self.connection()?.prepare_cached(sql)?.execute((range.first, number))?;
        Ok(())
    }

    /// The users of a store in whose archives there may be something that is wanted. Some are looked at in a step: those behind the
    /// user `behind`. Also returns the user behind whom the next step begins; `None` if this is the last one.
    ///
    /// # Errors
    ///
    /// What SQLite reports.
    pub fn users_with(
        &mut self,
        host: &str,
        store: &str,
        wanted: &Wanted,
        behind: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), StorageError> {
        self.ready()?;
        let connection = self.connection()?;
        let sql =
            "SELECT id, user, sealed FROM archive WHERE host = ?1 AND store = ?2 AND (?3 IS NULL OR user > ?3) ORDER BY user LIMIT ?4";
        let mut archives = connection.prepare_cached(sql)?;
        let most = i64::try_from(ARCHIVES_EACH_STEP).unwrap_or(i64::MAX);
        let rows = archives.query_map(params![host, store, behind, most], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let archives: Vec<(i64, String, bool)> = rows.collect::<Result<_, _>>()?;
        let next = if archives.len() < ARCHIVES_EACH_STEP { None } else { archives.last().map(|(_, user, _)| user.clone()) };
        let mut blocks = connection.prepare_cached("SELECT digest FROM block WHERE id BETWEEN ? AND ?")?;
        let mut users = Vec::new();
        for (archive, user, sealed) in archives {
            let range = Range::of(archive)?;
            let mut found = !sealed;
            let mut rows = blocks.query((range.first, range.last))?;
            while let Some(row) = if found { None } else { rows.next()? } {
                found = is_wanted(row.get_ref(0)?.as_bytes().unwrap_or_default(), wanted);
            }
            if found {
                users.push(user);
            }
        }
        Ok((users, next))
    }

    /// The next part of a range in which something that is wanted may be; `None` if there is no more. Also returns how many blocks
    /// were looked at.
    pub(super) fn next_part(&self, range: Range, wanted: &Wanted, reverse: bool) -> Result<(Option<Range>, usize), StorageError> {
        let order = if reverse { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT id, last, digest FROM block \
             WHERE id BETWEEN coalesce((SELECT id FROM block WHERE id <= ?1 ORDER BY id DESC LIMIT 1), ?1) AND ?2 ORDER BY id {order}"
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let mut rows = statement.query((range.first, range.last))?;
        let (mut rest, mut count) = (range, 0_usize);
        while let Some(row) = rows.next()? {
            count = count.saturating_add(1);
            let block = Range { first: row.get(0)?, last: row.get(1)? };
            if block.last < rest.first || block.first > rest.last {
                continue;
            }
            let gap = if reverse {
                Range { first: block.last.saturating_add(1).max(rest.first), last: rest.last }
            } else {
                Range { first: rest.first, last: block.first.saturating_sub(1) }
            };
            if !gap.is_empty() {
                return Ok((Some(gap), count));
            }
            if is_wanted(row.get_ref(2)?.as_bytes().unwrap_or_default(), wanted) {
                return Ok((Some(Range { first: block.first.max(rest.first), last: block.last.min(rest.last) }), count));
            }
            if reverse {
                rest.last = block.first.saturating_sub(1);
            } else {
                rest.first = block.last.saturating_add(1);
            }
            if rest.is_empty() {
                return Ok((None, count));
            }
        }
        Ok((Some(rest), count))
    }
}

/// Whether a block is made when the item with a number is there.
fn is_last_of_block(range: Range, number: i64) -> bool {
    number.saturating_sub(range.first) % ITEMS == ITEMS - 1
}

fn is_wanted(digest: &[u8], wanted: &Wanted) -> bool {
    wanted.may_be(|term| may_have(digest, term))
}
