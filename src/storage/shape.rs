//! What a database has to know about the values in it. The caller knows what they mean.

use std::fmt::Debug;

use super::Value;

/// What the values of a database look like.
///
/// A *term* is a number that stands for something that a filter may ask for, such as an account. A filter that asks for it needs to
/// look only where the term is.
pub trait Shape: Debug + Sync {
    /// A value in fewer bytes: its kind, and the bytes. Returns `None` if it stays as it is.
    fn packed(&self, value: Value<'_>) -> Option<(u8, Vec<u8>)>;

    /// Puts the value that was packed into `bytes`, and returns its kind. Returns `None` if it is not packed, or damaged.
    fn unpack(&self, value: Value<'_>, bytes: &mut Vec<u8>) -> Option<u8>;

    /// Whether filters are used on the archives of a store.
    fn has_terms(&self, store: &str) -> bool;

    /// Adds the terms of an item. Returns `false` if it can't tell all of them. Then no filter passes over the item.
    fn add_terms(&self, with: &str, value: Value<'_>, terms: &mut Vec<u64>) -> bool;

    /// Whether a text, which is in lower case, may be in a value. `false` is certain.
    fn may_have_text(&self, value: Value<'_>, text: &str) -> bool;
}

/// Values whose shape is unknown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unknown;

impl Shape for Unknown {
    fn packed(&self, _value: Value<'_>) -> Option<(u8, Vec<u8>)> {
        None
    }

    fn unpack(&self, _value: Value<'_>, _bytes: &mut Vec<u8>) -> Option<u8> {
        None
    }

    fn has_terms(&self, _store: &str) -> bool {
        false
    }

    fn add_terms(&self, _with: &str, _value: Value<'_>, _terms: &mut Vec<u64>) -> bool {
        false
    }

    fn may_have_text(&self, _value: Value<'_>, _text: &str) -> bool {
        true
    }
}

/// A value as it was before it was packed. `bytes` is room for it.
pub(super) fn unpacked<'a>(shape: &dyn Shape, value: Value<'a>, bytes: &'a mut Vec<u8>) -> Value<'a> {
    bytes.clear();
    match shape.unpack(value, bytes) {
        Some(kind) => Value { kind, bytes },
        None => value,
    }
}

/// What is asked for. An item that does not meet it is passed over, and one that meets it may still be another: the caller looks at
/// what it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of each of these lists an item has a term.
    pub terms: Vec<Vec<u64>>,
    /// An item has this text, which is in lower case.
    pub text: Option<String>,
}

impl Wanted {
    /// Whether there may be something that `has` these terms.
    pub(super) fn may_be(&self, has: impl Fn(u64) -> bool) -> bool {
        self.terms.iter().all(|any_of| any_of.iter().any(|term| has(*term)))
    }
}
