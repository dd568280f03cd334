//! New entries, for each browser that watches.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::page::entry_row;
use crate::entry::limits::HOST_WIDE;
use crate::entry::{Row, StoredEvent};
use crate::filter::{Filter, position::Position};
use crate::render::Renderer;

/// How many entries, and how many bytes of them, are sent to a browser at once. It is told how many more there were.
const AT_ONCE: usize = 50;
const LARGEST: usize = 32 * 1024;

/// How many entries of one look are kept.
const KEPT: usize = 1000;

/// What one look at the log has found.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    /// The entries, each with its message, which is made when the first browser wants it.
    events: Vec<(StoredEvent, Option<String>)>,
    more: usize,
}

impl Feed {
    /// What takes the entries of a look.
    #[must_use]
    pub fn entries(&self) -> Box<dyn Renderer> {
        Box::new(Taking(self.clone()))
    }

    /// Forgets them, before the next look.
    pub fn clear(&self) {
        *self.found() = Found::default();
    }

    /// The entries that fit a filter, as messages of an event stream (HTML, section "Server-sent events"). Empty if there are none.
    #[must_use]
    pub fn messages(&self, filter: &Filter) -> String {
        let mut found = self.found();
        let known_more = found.more;
        let mut wanted: Vec<_> = found.events.iter_mut().filter(|(event, _)| is_wanted(filter, event)).collect();
        let filtered = wanted.len();
        // The newest, as many as there is room for.
        let (mut sent, mut size) = (Vec::new(), 0_usize);
        for (event, made) in wanted.iter_mut().rev().take(AT_ONCE) {
            let message = made.get_or_insert_with(|| message("entry", Some(&place(event)), &entry_row(event, false).into_string()));
            size = size.saturating_add(message.len());
            if size > LARGEST && !sent.is_empty() {
                break;
            }
            sent.push(message.as_str());
        }
        let more = filtered.saturating_sub(sent.len()).saturating_add(known_more);
        let mut messages = if more > 0 { message("more", None, &more.to_string()) } else { String::new() };
        messages.extend(sent.into_iter().rev());
        messages
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Taking(Feed);

impl Renderer for Taking {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        let mut found = self.0.found();
        let room = KEPT.saturating_sub(found.events.len()).min(events.len());
        found.events.extend(events.iter().take(room).cloned().map(|event| (event, None)));
        found.more = found.more.saturating_add(events.len().saturating_sub(room));
        String::new()
    }
}

/// Whether a filter admits an entry that was read without one.
fn is_wanted(filter: &Filter, event: &StoredEvent) -> bool {
    let row = Row {
        key: String::new(),
        when: event.stored,
        with: Some(event.user.clone().unwrap_or_else(|| HOST_WIDE.to_owned())),
        xml: event.xml.clone(),
        element: event.element.clone(),
    };
    filter.wants_class(event.class.as_deref().unwrap_or_default()) && filter.admits(&row, event) && !filter.hides(&event.kind)
}

/// The position of an entry, which a browser names when it comes back.
fn place(event: &StoredEvent) -> String {
    let name = event.id.clone().unwrap_or_default();
    Position { when: event.stored, has_id: event.id.is_some(), name }.to_string()
}

/// One message. Data of several lines would be several fields.
fn message(kind: &str, id: Option<&str>, data: &str) -> String {
    let id = id.map(|id| format!("id: {}\n", one_line(id))).unwrap_or_default();
    format!("event: {kind}\n{id}data: {}\n\n", one_line(data))
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r', '\0'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::pattern::Pattern;
    use crate::render::sample;

    #[test]
    fn each_browser_gets_what_it_asks_for() {
        let feed = Feed::default();
        feed.entries().entries(&sample::events());
        let of = |kind: &str| {
            let types = if kind.is_empty() { vec![] } else { vec![Pattern::new(kind)] };
            feed.messages(&Filter { types, host: "example.com".to_owned(), ..Filter::default() }).matches("event: entry\n").count()
        };
        assert_eq!((of(""), of("authentication-*"), of("nothing")), (5, 2, 0));
        feed.clear();
        assert_eq!(of(""), 0);
    }

    #[test]
    fn a_message_is_one_field_whatever_an_entry_has() {
        let feed = Feed::default();
        let hostile = "<audit-event type='a&#10;&#10;data: x' user='b&#13;event: y'><note>c&#10;id: z</note></audit-event>";
        feed.entries().entries(&[sample::event(0.0, "events", None, hostile)]);
        let messages = feed.messages(&Filter { host: "example.com".to_owned(), ..Filter::default() });
        let lines: Vec<&str> = messages.split(['\n', '\r']).map(|line| line.split(':').next().unwrap()).collect();
        assert!(lines == ["event", "data", "", ""] || lines == ["event", "id", "data", "", ""], "{messages}");
    }

    #[test]
    fn a_flood_is_cut_and_its_number_is_told() {
        let feed = Feed::default();
        let events: Vec<StoredEvent> = std::iter::repeat_with(sample::events).take(300).flatten().collect();
        feed.entries().entries(&events);
        let messages = feed.messages(&Filter { host: "example.com".to_owned(), ..Filter::default() });
        let sent = messages.matches("event: entry\n").count();
        assert!((10..=AT_ONCE).contains(&sent), "{sent}");
        assert!(messages.starts_with(&format!("event: more\ndata: {}\n\n", 1500 - sent)), "{}", &messages[..60]);
        assert!(messages.len() <= LARGEST + 100, "{}", messages.len());
    }
}
