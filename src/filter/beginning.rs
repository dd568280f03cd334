//! When an account begins. Another account may have had the same name before.

use crate::entry::{Row, StoredEvent};
use crate::filter::position::Position;
use crate::time::parse_seconds;

/// The event type that begins an account.
pub(crate) const BEGIN: &str = "user-registered";
/// The event types that end one.
pub(crate) const ENDS: [&str; 2] = ["user-deregistered", "user-deleted"];

/// When an account begins, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Beginning {
    /// UNIX seconds. Earlier events are about another account.
    time: f64,
    /// The entry that shows it. Entries before it are about another account, even in the same second.
    place: Option<Position>,
    /// Whether that entry is about the account itself.
    is_own: bool,
}

impl Beginning {
    /// An account that begins at `time`, in UNIX seconds. Nothing else is known of it.
    #[must_use]
    pub fn at(time: f64) -> Self {
        Self { time, place: None, is_own: false }
    }

    /// An account that begins with an entry of this type. If the type ends an account, the account begins after it.
    #[must_use]
    pub fn with(place: Position, event_type: &str) -> Self {
        Self { time: place.when, place: Some(place), is_own: event_type == BEGIN }
    }

    /// The later of two.
    #[must_use]
    pub fn or_later(self, other: Option<Self>) -> Self {
        other.filter(|other| other.time >= self.time).unwrap_or(self)
    }

    /// UNIX seconds.
    pub(crate) fn time(&self) -> f64 {
        self.time
    }

    /// Whether an entry is about this account, and not about an earlier one of the same name.
    pub(crate) fn admits(&self, row: &Row, event: &StoredEvent) -> bool {
        let place = || Position::of(row);
        let is_behind = self.place.as_ref().is_none_or(|begins| {
            let order = place().compare(begins);
            order.is_gt() || self.is_own && order.is_eq()
        });
        // A summary may have begun to count earlier, and an earlier event may be stored later.
        let first = event.repeated.as_ref().map(|repeated| repeated.first.as_deref().and_then(parse_seconds));
        is_behind
            && row.when >= self.time
            && event.time >= self.time
            && first.is_none_or(|first| first.is_some_and(|first| first > self.time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: f64 = 1_795_521_600.0;

    fn row(id: u8, when: f64, more: &str) -> Row {
        let xml = format!("<audit-event type='t' user='u@h' id='01a20e7e-d2b8-75d1-8370-6296c154b9{id:02x}'{more}</audit-event>");
        Row { key: format!("k{id}"), when, with: Some("u@h".to_owned()), xml, ..Row::default() }
    }

    fn admits(beginning: &Beginning, row: &Row) -> bool {
        beginning.admits(row, &StoredEvent::read(row).unwrap())
    }

    #[test]
    fn earlier_entries_are_about_another_account() {
        let at = |id| Position::of(&row(id, NOON, ">"));
        let registered = Beginning::with(at(5), "user-registered");
        for end in ENDS {
            let ended = Beginning::with(at(5), end);
            for (id, when, own, behind) in [
                (4, NOON, false, false),
                (5, NOON, true, false),
                (6, NOON, true, true),
                (1, NOON + 1.0, true, true),
                (9, NOON - 1.0, false, false),
            ] {
                assert_eq!(
                    (admits(&registered, &row(id, when, ">")), admits(&ended, &row(id, when, ">"))),
                    (own, behind),
                    "{id} {when} {end}"
                );
            }
        }
    }

    #[test]
    fn earlier_events_in_late_entries_are_about_another_account() {
        let beginning = Beginning::at(NOON);
        let repeated = |first: &str| row(1, NOON + 9.0, &format!("><repeated count='3' {first}/>"));
        assert!(admits(&beginning, &repeated("first='2026-11-24T12:00:01Z'")));
        for first in ["first='2026-11-24T12:00:00Z'", "first='2026-11-24T11:59:59Z'", "first='x'", ""] {
            assert!(!admits(&beginning, &repeated(first)), "{first}");
        }
        assert!(admits(&beginning, &row(1, NOON + 9.0, " occurred='2026-11-24T12:00:00Z'>")));
        assert!(!admits(&beginning, &row(1, NOON + 9.0, " occurred='2026-11-24T11:59:59Z'>")));
    }

    #[test]
    fn the_later_beginning_counts() {
        assert_eq!(Beginning::at(1.0).or_later(Some(Beginning::at(2.0))), Beginning::at(2.0));
        assert_eq!(Beginning::at(1.0).or_later(Some(Beginning::at(0.0))), Beginning::at(1.0));
        assert_eq!(Beginning::at(1.0).or_later(None), Beginning::at(1.0));
    }
}
