//! Returns the parts of an entry one by one, so that Lua can make a stanza of them. Making the tables in Rust would take twice as long.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::prelude::*;

use crate::entry::payload::{Part, Parts, SEPARATOR, begin_of, time_of};

/// The kinds of parts that part() returns.
const END: u8 = 0;
const OPEN: u8 = 1;
const LEAF: u8 = 2;
const ATTRIBUTES: u8 = 3;
const TEXT: u8 = 4;
const CLOSE: u8 = 5;

/// The names of all kinds.
pub(crate) const ALL: [(&str, u8); 6] =
    [("end", END), ("open", OPEN), ("leaf", LEAF), ("attributes", ATTRIBUTES), ("text", TEXT), ("close", CLOSE)];

type Pair = Option<(String, String)>;

/// The result of part(): the kind, a name or a text, the text of an element that has nothing else in it, and attributes.
type PartResult = (u8, Option<String>, Option<String>, [Pair; 4]);

/// The payload that is being read. All functions that open a payload share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opened(Rc<RefCell<OpenPayload>>);

#[derive(Debug, Default)]
struct OpenPayload {
    payload: Vec<u8>,
    begin: usize,
    position: usize,
    depth: usize,
}

impl Opened {
    /// Opens a payload. Returns when its entry was recorded, or `None` if it is not an entry.
    pub(crate) fn open(&self, payload: &[u8]) -> Option<f64> {
        self.open_at(payload, begin_of(payload));
        time_of(payload)
    }

    /// Opens an element, without a time before it.
    pub(crate) fn open_element(&self, element: &[u8]) {
        self.open_at(element, 0);
    }

    fn open_at(&self, bytes: &[u8], begin: usize) {
        let mut reading = self.0.borrow_mut();
        reading.payload.clear();
        reading.payload.extend_from_slice(bytes);
        reading.begin = begin;
        reading.position = begin;
        reading.depth = 0;
    }

    /// The next part. Returns `None` if it is damaged.
    fn part(&self) -> Option<PartResult> {
        let reading = &mut *self.0.borrow_mut();
        let mut parts = Parts::from(&reading.payload, reading.position);
        let part = match parts.next() {
            Some(Part::Open(_)) if reading.position > reading.begin && reading.depth == 0 => None,
            Some(Part::Open(name)) => {
                let attributes = attributes(&mut parts, None);
                let mut ahead = parts.clone();
                let text = if ahead.is_text_next() { ahead.next() } else { None };
                let text = text.and_then(|part| if let Part::Text(text) = part { Some(text.to_owned()) } else { None });
                if ahead.is_close_next() && ahead.next().is_some() {
                    parts = ahead;
                    Some((LEAF, Some(name.into()), text, attributes))
                } else {
                    reading.depth = reading.depth.saturating_add(1);
                    Some((OPEN, Some(name.into()), None, attributes))
                }
            }
            None if parts.is_at_end() && reading.depth == 0 => Some((END, None, None, Default::default())),
            None => None,
            Some(_) if reading.depth == 0 => None,
            Some(Part::Attribute(name, value)) => Some((ATTRIBUTES, None, None, attributes(&mut parts, Some((name, value))))),
            Some(Part::Text(text)) => Some((TEXT, Some(text.into()), None, Default::default())),
            Some(Part::Close) => {
                reading.depth = reading.depth.saturating_sub(1);
                Some((CLOSE, None, None, Default::default()))
            }
        };
        reading.position = parts.position();
        part
    }
}

/// The next attributes, up to four, including one that was read already.
fn attributes(parts: &mut Parts<'_>, first: Option<(&str, &str)>) -> [Pair; 4] {
    // util.stanza has another separator.
    let pair = |(name, value): (&str, &str)| (name.replace(char::from(SEPARATOR), "\u{1}"), value.to_owned());
    let mut pairs: [Pair; 4] = [first.map(pair), None, None, None];
    for place in &mut pairs {
        if place.is_none() && parts.is_attribute_next() {
            *place = match parts.next() {
                Some(Part::Attribute(name, value)) => Some(pair((name, value))),
                _ => None,
            };
        }
    }
    pairs
}

/// Adds `open(payload) -> time | nil` and
/// `part() -> what, name or text, text of a leaf, name of an attribute, value, … | nil: it is damaged`.
pub(crate) fn add(lua: &Lua, native: &LuaTable, opened: &Opened) -> LuaResult<()> {
    let reading = opened.clone();
    native.set("open", lua.create_function(move |_, payload: LuaString| Ok(reading.open(&payload.as_bytes())))?)?;
    let reading = opened.clone();
    let part = lua.create_function(move |_, ()| {
        let (what, name, text, pairs) = match reading.part() {
            Some((what, name, text, pairs)) => (Some(what), name, text, pairs),
            None => (None, None, None, Default::default()),
        };
        let [(n1, v1), (n2, v2), (n3, v3), (n4, v4)] = pairs.map(Option::unzip);
        Ok((what, name, text, n1, v1, n2, v2, n3, v3, n4, v4))
    })?;
    native.set("part", part)
}
