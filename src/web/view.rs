//! One reading of the log, as a page shows it: some entries, and numbers of many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::taxonomy::{Outcome, meaning};
use crate::render::totals::Totals;
use crate::render::totals::tally::Counts;
use crate::time::zone::Zone;

/// How many of the newest failures, and of the newest privileged actions, a page about an account or a network shows.
const NEWEST: usize = 10;

/// What was read for a page.
#[derive(Debug)]
pub struct Seen {
    /// The entries of the page.
    pub entries: Vec<StoredEvent>,
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
            entries: Vec::new(),
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
    /// What keeps the entries of a reading.
    #[must_use]
    pub fn entries(&self) -> Box<dyn Renderer> {
        Box::new(Keeping(self.clone()))
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

struct Keeping(View);

impl Renderer for Keeping {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        self.0.seen().entries.extend_from_slice(events);
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
        assert_eq!(view.entries().entries(&events[..1]), "");
        assert_eq!(view.numbers().entries(&events), "");
        let seen = view.seen();
        assert_eq!((seen.entries.len(), seen.totals.events, seen.failures.len()), (1, 21, 1));
    }
}
