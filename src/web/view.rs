//! One reading of the log, as a page shows it: some entries, and numbers of many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use maud::Markup;

use super::page::entry_row;
use crate::entry::StoredEvent;
use crate::filter::position::Position;
use crate::render::formats::Format;
use crate::render::taxonomy::{Outcome, meaning};
use crate::render::totals::Totals;
use crate::render::totals::tally::Counts;
use crate::render::{Options, Renderer, renderer};
use crate::time::zone::Zone;

/// How many of the newest failures, and of the newest privileged actions, a page about an account or a network shows.
const NEWEST: usize = 10;

/// What was read for a page. Its entries are written as they are read, so that this is done in steps, too.
#[derive(Debug)]
pub struct Seen {
    /// The entries of the page.
    pub rows: Vec<Markup>,
    /// Where the first of them is in the order of the log.
    pub first: Option<Position>,
    /// The entries of an answer for a program, as JSON with commas between them.
    pub json: String,
    /// Numbers of the newest entries that fit.
    pub totals: Totals,
    /// Events by client, which the other totals do not have.
    pub clients: Counts,
    /// The newest failures among them.
    pub failures: Vec<StoredEvent>,
    /// The newest privileged actions among them.
    pub privileged: Vec<StoredEvent>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            first: None,
            json: String::new(),
            totals: Totals::new(Zone::Utc),
            clients: Counts::default(),
            failures: Vec::new(),
            privileged: Vec::new(),
        }
    }
}

/// A page that is being read. It is given to two readings: one for the entries, and one for the numbers.
#[derive(Clone, Debug, Default)]
pub struct View(Arc<Mutex<Seen>>);

impl View {
    /// What writes the entries of a reading, for a page.
    #[must_use]
    pub fn rows(&self) -> Box<dyn Renderer> {
        Box::new(WritingRows(self.clone()))
    }

    /// What writes the entries of a reading of `host` as JSON, for a program.
    #[must_use]
    pub fn json(&self, host: &str) -> Box<dyn Renderer> {
        Box::new(WritingJson(self.clone(), renderer(Format::Json, &Options::new(host))))
    }

    /// What counts the entries of a reading.
    #[must_use]
    pub fn numbers(&self) -> Box<dyn Renderer> {
        Box::new(Counting(self.clone()))
    }

    /// What was read so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        // Everything that is done with it is complete in itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct WritingRows(View);

impl Renderer for WritingRows {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        let mut seen = self.0.seen();
        if seen.first.is_none() {
            seen.first = events.first().and_then(place);
        }
        seen.rows.extend(events.iter().map(|event| entry_row(event, false)));
        String::new()
    }
}

/// Where an entry is in the order of the log. `None` if it has no identifier.
fn place(event: &StoredEvent) -> Option<Position> {
    event.id.as_ref().map(|id| Position { when: event.stored, has_id: true, name: id.clone() })
}

struct WritingJson(View, Box<dyn Renderer>);

impl Renderer for WritingJson {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        let lines = self.1.entries(events);
        let mut seen = self.0.seen();
        // Each line is an object that was written by the same code as all JSON.
        for line in lines.lines() {
            if !seen.json.is_empty() {
                seen.json.push_str(",\n");
            }
            seen.json.push_str(line);
        }
        String::new()
    }
}

struct Counting(View);

impl Renderer for Counting {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        let mut seen = self.0.seen();
        for event in events {
            seen.totals.add(event);
            if let Some(client) = &event.client {
                seen.clients.add(client, event.count());
            }
            let meaning = meaning(&event.kind);
            if meaning.outcome == Outcome::Failure && seen.failures.len() < NEWEST {
                seen.failures.push(event.clone());
            }
            if meaning.privileged && seen.privileged.len() < NEWEST {
                seen.privileged.push(event.clone());
            }
        }
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample;

    #[test]
    fn a_page_has_entries_of_one_reading_and_numbers_of_another() {
        let view = View::default();
        let events = sample::events();
        assert_eq!(view.rows().entries(&events[..1]), "");
        assert_eq!(view.numbers().entries(&events), "");
        let seen = view.seen();
        assert_eq!((seen.rows.len(), seen.totals.events, seen.failures.len()), (1, 21, 1));
    }
}
