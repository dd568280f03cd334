//! The one place where `<audit-event>` is written, as a payload.

use crate::NAMESPACE;
use crate::entry::payload;
use crate::entry::text::{self, TextKind};

/// The root element of every entry.
pub(crate) const ROOT: &str = "audit-event";

/// What the root element of an entry says. Any bytes may stand in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Root<'a> {
    /// The entry's own identifier.
    pub(crate) id: &'a [u8],
    /// The module that reports it.
    pub(crate) source: &'a [u8],
    /// The event type.
    pub(crate) kind: &'a [u8],
    /// The account that it concerns; `None` for an event of the whole host.
    pub(crate) user: Option<&'a [u8]>,
    /// When it happened (XEP-0082), if that is not when it was recorded.
    pub(crate) occurred: Option<&'a str>,
}

/// Begins the payload of an entry that was recorded at `at`, in UNIX seconds. Its children follow, and then [`end`].
pub(crate) fn begin(payload: &mut Vec<u8>, at: f64, root: &Root<'_>) {
    payload::begin(payload, at);
    payload::open(payload, ROOT.as_bytes());
    attribute(payload, b"source", root.source);
    attribute(payload, b"type", root.kind);
    if let Some(user) = root.user {
        attribute(payload, b"user", user);
    }
    own_attribute(payload, b"id", root.id);
    if let Some(occurred) = root.occurred {
        own_attribute(payload, b"occurred", occurred.as_bytes());
    }
}

/// Ends the entry.
pub(crate) fn end(payload: &mut Vec<u8>) {
    payload::close(payload);
}

/// Begins a child of the root, in the log's namespace.
pub(crate) fn open(payload: &mut Vec<u8>, name: &[u8]) {
    payload::open(payload, name);
    payload::attribute(payload, b"xmlns", NAMESPACE.as_bytes());
}

/// Adds an attribute with a value from outside.
pub(crate) fn attribute(payload: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    payload::begin_attribute(payload, name);
    text::append(payload, value, TextKind::Attribute);
}

/// The same, if there is a value that is not empty.
pub(crate) fn optional(payload: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        attribute(payload, name, value);
    }
}

/// Adds an element with a text from outside, and nothing else.
pub(crate) fn leaf(payload: &mut Vec<u8>, name: &[u8], text: &[u8], kind: TextKind) {
    payload::open(payload, name);
    payload::begin_text(payload);
    text::append(payload, text, kind);
    payload::close(payload);
}

/// Adds a text from outside, if there is one.
pub(crate) fn text(payload: &mut Vec<u8>, content: Option<&str>) {
    if let Some(content) = content {
        payload::begin_text(payload);
        text::append(payload, content.as_bytes(), TextKind::Text);
    }
}

/// Adds an attribute of the log's namespace.
fn own_attribute(payload: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    payload::begin_name(payload);
    payload.extend_from_slice(NAMESPACE.as_bytes());
    payload.push(payload::SEPARATOR);
    payload.extend_from_slice(name);
    payload::begin_value(payload);
    payload.extend_from_slice(value);
}
