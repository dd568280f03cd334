//! What the database of our own driver knows of the entries in it.

use crate::entry::compact;
use crate::filter::{Filter, terms};
use crate::storage::{Shape, Value, Wanted};

/// How the value of an item is stored.
pub mod kind {
    /// A stanza, as the journal keeps the element of an entry.
    pub const ELEMENT: u8 = 1;
    /// A value as JSON.
    pub const JSON: u8 = 2;
    /// A stanza in fewer bytes. Only the file has it: what is read from the database is an element.
    pub(super) const COMPACT: u8 = 3;
}

/// The store of the log.
const STORE: &str = "audit";

/// Items that are entries of the log, or items of other modules.
#[derive(Clone, Copy, Debug)]
pub struct Items;

impl Shape for Items {
    fn packed(&self, value: Value<'_>) -> Option<(u8, Vec<u8>)> {
        if value.kind == kind::ELEMENT { compact::pack(value.bytes).map(|bytes| (kind::COMPACT, bytes)) } else { None }
    }

    fn unpack(&self, value: Value<'_>, bytes: &mut Vec<u8>) -> Option<u8> {
        if value.kind == kind::COMPACT { compact::unpack(value.bytes, bytes).map(|()| kind::ELEMENT) } else { None }
    }

    fn has_terms(&self, store: &str) -> bool {
        store == STORE
    }

    fn add_terms(&self, with: &str, value: Value<'_>, terms: &mut Vec<u64>) -> bool {
        value.kind == kind::ELEMENT && terms::add_terms(with, value.bytes, terms)
    }

    fn may_have_text(&self, value: Value<'_>, text: &str) -> bool {
        value.kind != kind::ELEMENT || terms::may_have_text(value.bytes, text)
    }
}

/// What the driver is asked for. Returns `None` if it would be everything.
#[must_use]
pub fn wanted(filter: &Filter) -> Option<Wanted> {
    let wanted = Wanted { terms: terms::wanted(filter), text: filter.text.clone().filter(|text| !text.is_empty()) };
    (wanted != Wanted::default()).then_some(wanted)
}
