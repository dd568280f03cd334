//! Reading the items that a filter asks for, some at a time.

use rusqlite::params_from_iter;
use rusqlite::types::Value as Sql;

use super::database::{Database, Range};
use super::key::Stored;
use super::select::Condition;
use super::shape::unpacked;
use super::{Archive, Item, Query, StorageError, Value, Wanted};

/// How many items and blocks are looked at in a step, which takes a few milliseconds.
const STEP: usize = 2000;

/// A reading of the items of an archive that a filter may want.
#[derive(Debug)]
pub struct Search {
    condition: Condition,
    rest: Range,
    wanted: Wanted,
    limit: usize,
    reverse: bool,
    found: Vec<Item>,
}

impl Search {
    /// What was found so far, at most as much as the limit.
    #[must_use]
    pub fn into_found(self) -> Vec<Item> {
        self.found
    }

    fn is_complete(&self) -> bool {
        self.rest.is_empty() || self.found.len() >= self.limit
    }
}

impl Database {
    /// Begins to read the items that meet a query and may be wanted, the last one first if `reverse`.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn search(
        &mut self,
        archive: &Archive<'_>,
        query: &Query,
        wanted: Wanted,
        limit: usize,
        reverse: bool,
    ) -> Result<Search, StorageError> {
        let rest = self.range_of(archive, query)?;
        Ok(Search { condition: Condition::new(rest, query)?, rest, wanted, limit, reverse, found: Vec::new() })
    }

    /// Reads on. Returns whether everything was read.
    ///
    /// # Errors
    ///
    /// What SQLite reports.
    pub fn search_on(&mut self, search: &mut Search) -> Result<bool, StorageError> {
        self.ready()?;
        let mut looked_at = 0;
        while !search.is_complete() && looked_at < STEP {
            let (part, blocks) = if search.wanted.terms.is_empty() {
                (Some(search.rest), 0)
            } else {
                self.next_part(search.rest, &search.wanted, search.reverse)?
            };
            looked_at += blocks;
            match part {
                Some(part) => looked_at += self.search_part(search, part, STEP.saturating_sub(looked_at).max(1))?,
                None => search.rest = Range::EMPTY,
            }
        }
        Ok(search.is_complete())
    }

    /// Looks at the items of a part, and at not more than `most` of them. Returns how many it were.
    fn search_part(&self, search: &mut Search, part: Range, most: usize) -> Result<usize, StorageError> {
        let order = if search.reverse { "DESC" } else { "ASC" };
        let sql = format!("SELECT id, key, kind, value, \"when\", \"with\" FROM item WHERE {} ORDER BY id {order}", search.condition.sql);
        let mut values = search.condition.values.clone();
        for (place, bound) in values.iter_mut().zip([part.first, part.last]) {
            *place = Sql::Integer(bound);
        }
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let (mut count, mut terms, mut room) = (0, Vec::new(), Vec::new());
        let mut reached = if search.reverse { part.first } else { part.last };
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            count += 1;
            let stored = Value { kind: row.get(2)?, bytes: row.get_ref(3)?.as_bytes().unwrap_or_default() };
            let value = unpacked(self.shape(), stored, &mut room);
            if self.may_be_wanted(&search.wanted, row.get_ref(5)?.as_str().unwrap_or_default(), value, &mut terms) {
                let Stored(key) = row.get(1)?;
                let (when, with) = (row.get(4)?, row.get(5)?);
                search.found.push(Item { key, kind: value.kind, value: value.bytes.to_vec(), when, with });
            }
            if count >= most || search.found.len() >= search.limit {
                reached = id;
                break;
            }
        }
        if search.reverse {
            search.rest.last = reached.saturating_sub(1);
        } else {
            search.rest.first = reached.saturating_add(1);
        }
        Ok(count.max(1))
    }

    fn may_be_wanted(&self, wanted: &Wanted, with: &str, value: Value<'_>, terms: &mut Vec<u64>) -> bool {
        if *wanted == Wanted::default() {
            return true;
        }
        terms.clear();
        if !self.shape().add_terms(with, value, terms) {
            // The caller says what is wrong with it.
            return true;
        }
        let has_text = || wanted.text.as_ref().is_none_or(|text| self.shape().may_have_text(value, text));
        wanted.may_be(|term| terms.contains(&term)) && has_text()
    }
}
