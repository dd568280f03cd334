//! Names with their namespaces.

use std::borrow::Cow;

use super::bytes::{Name, Space};
use crate::entry::payload;

/// The prefixes that are declared, each with the number of elements that were open when the element with the declaration was.
#[derive(Default)]
pub(super) struct Prefixes<'a>(Vec<(usize, Cow<'a, str>, Space<'a>)>);

impl<'a> Prefixes<'a> {
    /// Declares a prefix in an element at this depth.
    pub(super) fn declare(&mut self, depth: usize, prefix: Cow<'a, str>, namespace: Cow<'a, str>) {
        self.0.push((depth, prefix, Space::of(namespace)));
    }

    /// Forgets the prefixes of elements that have ended: those below this depth.
    pub(super) fn forget_below(&mut self, depth: usize) {
        while self.0.last().is_some_and(|(of, ..)| *of > depth) {
            self.0.pop();
        }
    }

    /// A name with its namespace. A prefix that was not declared is part of the name, as `xml:` is.
    pub(super) fn expanded(&self, name: Cow<'a, str>, default: &Space<'a>) -> Name<'a> {
        let Some(first) = name.bytes().position(|byte| matches!(byte, payload::SEPARATOR | b':')) else {
            return (default.clone(), name);
        };
        // A namespace has colons in it, too.
        let at = name.bytes().position(|byte| byte == payload::SEPARATOR).unwrap_or(first);
        let (before, local) = match name {
            Cow::Borrowed(name) => (Cow::Borrowed(name.get(..at).unwrap_or_default()), name.get(at.saturating_add(1)..).map(Cow::Borrowed)),
            Cow::Owned(ref name) => (
                Cow::Owned(name.get(..at).unwrap_or_default().to_owned()),
                name.get(at.saturating_add(1)..).map(|name| Cow::Owned(name.to_owned())),
            ),
        };
        // The journal writes the namespace of an attribute before its name, XML a prefix.
        let space = if name.as_bytes().get(at) == Some(&payload::SEPARATOR) {
            Some(Space::of(before))
        } else {
            self.0.iter().rev().find(|(_, known, _)| *known == before).map(|(_, _, space)| space.clone())
        };
        match (space, local) {
            (Some(space), Some(local)) => (space, local),
            _ => (Space::None, name),
        }
    }
}
