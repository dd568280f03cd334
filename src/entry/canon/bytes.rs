//! The bytes of the canonical form.

use std::borrow::Cow;

use crate::NAMESPACE;

/// The first byte of each part.
pub(super) mod tag {
    pub(in super::super) const END: u8 = 0;
    pub(in super::super) const ELEMENT: u8 = 1;
    pub(in super::super) const ATTRIBUTE: u8 = 2;
    pub(in super::super) const TEXT: u8 = 3;
}

/// The namespace of a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space<'a> {
    None,
    /// The log's.
    Own,
    Other(Cow<'a, str>),
}

impl<'a> Space<'a> {
    pub(super) fn of(namespace: Cow<'a, str>) -> Self {
        match namespace.as_ref() {
            "" => Self::None,
            NAMESPACE => Self::Own,
            _ => Self::Other(namespace),
        }
    }

    pub(super) const fn is_other(&self) -> bool {
        matches!(self, Self::Other(_))
    }
}

/// A name and its namespace.
pub(super) type Name<'a> = (Space<'a>, Cow<'a, str>);

pub(super) fn put_number(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend_from_slice(&number.to_be_bytes());
}

pub(super) fn put_string(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, u32::try_from(text.len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(text.as_bytes());
}

/// A namespace is one byte if it is none (0) or the log's (1).
pub(super) fn put_name(bytes: &mut Vec<u8>, namespace: &Space<'_>, local: &str) {
    match namespace {
        Space::None => bytes.push(0),
        Space::Own => bytes.push(1),
        Space::Other(namespace) => {
            bytes.push(2);
            put_string(bytes, namespace);
        }
    }
    put_string(bytes, local);
}

pub(super) fn put_attribute(bytes: &mut Vec<u8>, namespace: &Space<'_>, name: &str, value: &str) {
    bytes.push(tag::ATTRIBUTE);
    put_name(bytes, namespace, name);
    put_string(bytes, value);
}

pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(tag::TEXT);
    put_string(bytes, text);
}
