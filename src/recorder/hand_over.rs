//! Hands the entries of a journal over to the storage driver of this library. Their bytes go from one to the other, and no Lua value
//! is made of them.
//!
//! What is decided is the same as for any other driver: where an entry goes and under which time ([`Placement`]), which entries the
//! store has already ([`HandOver`]), that the first entry of each partition is read back, and that what the store has taken is
//! released from the journal afterwards.
//!
//! [`Placement`]: crate::archive::placement::Placement

use std::borrow::Cow;
use std::collections::HashMap;

use thiserror::Error;

use crate::archive::placement::PlacementStep;
use crate::entry::outline::Outline;
use crate::journal::hand_over::HandOver;
use crate::journal::{Journal, JournalError};
use crate::recorder::{Recorder, occurred};
use crate::storage::{Archive, Database, NewItem, StorageError, Value};
use crate::time::whole_seconds;

/// The store of a host.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The host.
    pub host: &'a str,
    /// The name of the store.
    pub store: &'a str,
    /// The kind of a value that is an element, see [`Value::kind`].
    pub kind: u8,
}

/// How much is handed over at once, in one transaction.
pub struct Bounds<'a> {
    /// How many entries at most.
    pub entries: usize,
    /// Asked before each entry but the first.
    pub goes_on: &'a dyn Fn() -> bool,
}

/// What was handed over.
#[derive(Debug, Default)]
pub struct HandedOver {
    /// How many entries the store took.
    pub entries: usize,
    /// The partitions that take no more.
    pub full: Vec<FullPartition>,
}

/// A partition that takes no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullPartition {
    /// Its name.
    pub partition: String,
    /// How many entries it has.
    pub entries: u64,
    /// Whether its class has a limit.
    pub is_limited: bool,
}

/// Why nothing was handed over.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// The journal can't be read now.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The database refuses.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The database does not return what it has taken.
    #[error("the storage driver audit said that it took an entry, and does not give it back")]
    NotKept,
}

/// Where entries of a class go within one second.
#[derive(Debug)]
struct Slot {
    second: i64,
    partition: Option<String>,
    when: i64,
    left: Option<u64>,
    /// How many were appended that the placement does not know of.
    used: u64,
}

/// A batch that is being appended.
struct Batch<'a> {
    target: Target<'a>,
    slots: HashMap<String, Slot>,
    done: HandedOver,
}

/// What became of an entry.
enum Fate {
    Appended,
    /// The store has it already.
    Known,
    /// It is no entry.
    Spoiled,
}

impl Recorder {
    /// Appends the next entries of a journal to the store, in one transaction, and releases them from the journal.
    ///
    /// # Errors
    ///
    /// [`HandOverError`]. Then the store has taken nothing, and all entries still wait.
    pub fn hand_over(
        &mut self,
        target: Target<'_>,
        journal: &mut Journal,
        known: &HandOver,
        database: &mut Database,
        bounds: &Bounds<'_>,
    ) -> Result<HandedOver, HandOverError> {
        if known.recognises() {
            // Otherwise there would be more of them after each crash.
            release_known(journal, known)?;
        }
        database.begin_at_once()?;
        let mut batch = Batch { target, slots: HashMap::new(), done: HandedOver::default() };
        let appended = self.append_waiting(&mut batch, journal, known, database, bounds);
        let behind = match appended {
            Ok(behind) => database.commit().map(|()| behind).map_err(HandOverError::from),
            Err(error) => {
                database.roll_back();
                Err(error)
            }
        };
        let host = self.host(target.host);
        let behind = behind.inspect_err(|_| {
            host.placement.undone();
            host.proven.clear();
        })?;
        for (class, slot) in &batch.slots {
            host.placement.appended(class, Some(slot.used));
        }
        journal.release(behind);
        Ok(batch.done)
    }

    /// Returns the sequence after the last entry that was looked at.
    fn append_waiting(
        &mut self,
        batch: &mut Batch<'_>,
        journal: &mut Journal,
        known: &HandOver,
        database: &mut Database,
        bounds: &Bounds<'_>,
    ) -> Result<u64, HandOverError> {
        let (first, end) = (journal.first(), journal.end());
        let mut sequence = first;
        while sequence < end && batch.done.entries < bounds.entries && (sequence == first || (bounds.goes_on)()) {
            let read = journal.read(sequence, |payload| {
                let Some(outline) = Outline::read(payload) else { return Ok(Fate::Spoiled) };
                if has(known, &outline) {
                    return Ok(Fate::Known);
                }
                self.append(batch, database, &outline).map(|()| Fate::Appended)
            });
            match read {
                Ok(None) => {}
                Ok(Some(fate)) => match fate? {
                    Fate::Appended => batch.done.entries = batch.done.entries.saturating_add(1),
                    Fate::Known => {}
                    Fate::Spoiled => journal.spoil(sequence),
                },
                // The entries before it are handed over. It must not count as lost.
                Err(_) if batch.done.entries > 0 => break,
                Err(error) => return Err(error.into()),
            }
            sequence = sequence.saturating_add(1);
        }
        Ok(sequence)
    }

    fn append(&mut self, batch: &mut Batch<'_>, database: &mut Database, outline: &Outline<'_>) -> Result<(), HandOverError> {
        let Target { host, store, kind } = batch.target;
        let second = whole_seconds(outline.at);
        let class = self.class_of(host, outline.event_type);
        if batch.slots.get(class).is_none_or(|slot| slot.second != second || slot.left == Some(0)) {
            let class = class.to_owned();
            self.find_slot(batch, database, class, outline.at)?;
        }
        let key = self.id(outline.at);
        let mut text = [0; 36];
        let key: &str = key.hyphenated().encode_lower(&mut text);
        let class = self.class_of(host, outline.event_type);
        let Some(slot) = batch.slots.get_mut(class) else { return Ok(()) };
        let archive = Archive { host, store, user: slot.partition.as_deref().unwrap_or_default() };
        let occurred = if slot.when == second || outline.has_occurred { None } else { occurred(None, outline.at, slot.when) };
        let element = occurred.map_or(Cow::Borrowed(outline.element), |time| Cow::Owned(outline.element_with_occurred(&time)));
        #[allow(clippy::cast_precision_loss)] // Seconds of a date are far below that.
        let when = slot.when as f64;
        let value = Value { kind, bytes: &element };
        database.append(&archive, &NewItem { key, is_new: true, value, when, with: outline.with })?;
        slot.left = slot.left.map(|left| left.saturating_sub(1));
        slot.used = slot.used.saturating_add(1);
        let is_proven = self.hosts.get(host).is_some_and(|host| host.proven.get(class) == Some(&slot.partition));
        if !is_proven {
            let found = database.get(&archive, key).map_err(|error| match error {
                StorageError::NotFound => HandOverError::NotKept,
                error => error.into(),
            })?;
            if (found.kind, found.value.as_slice(), found.with.as_str()) != (kind, &*element, outline.with) {
                return Err(HandOverError::NotKept);
            }
            let class = class.to_owned();
            self.host(host).proven.insert(class, slot.partition.clone());
        }
        Ok(())
    }

    /// Finds out where the entries of a class go, and looks up in the store what has to be known for that.
    fn find_slot(&mut self, batch: &mut Batch<'_>, database: &mut Database, class: String, at: f64) -> Result<(), StorageError> {
        let Target { host, store, .. } = batch.target;
        let mut appended = batch.slots.remove(&class).map_or(0, |slot| slot.used);
        loop {
            match self.place(host, &class, at, Some(appended)) {
                PlacementStep::List => {
                    let partitions = database.users(host, store)?.iter().filter_map(|name| name.parse().ok()).collect();
                    self.placement(host).listed(partitions, at);
                }
                PlacementStep::Survey { partition, most } => {
                    let archive = Archive { host, store, user: partition.as_deref().unwrap_or_default() };
                    let (newest, entries) = database.last(&archive, most)?;
                    self.placement(host).surveyed(&class, at, newest, entries);
                }
                PlacementStep::Full { partition, entries, is_limited } => {
                    batch.done.full.push(FullPartition { partition, entries, is_limited });
                }
                PlacementStep::Append { partition, when, left } => {
                    batch.slots.insert(class, Slot { second: whole_seconds(at), partition, when, left, used: 0 });
                    return Ok(());
                }
            }
            appended = 0;
        }
    }
}

/// Releases the entries before the first one that the store does not have.
fn release_known(journal: &mut Journal, known: &HandOver) -> Result<(), JournalError> {
    let mut sequence = journal.first();
    while sequence < journal.end()
        && journal.read(sequence, |payload| Outline::read(payload).is_some_and(|outline| has(known, &outline)))? == Some(true)
    {
        sequence = sequence.saturating_add(1);
    }
    journal.release(sequence);
    Ok(())
}

fn has(known: &HandOver, outline: &Outline<'_>) -> bool {
    known.recognises() && outline.id.is_some_and(|id| known.is_recognised(id))
}

#[cfg(test)]
#[path = "hand_over_tests.rs"]
mod tests;
