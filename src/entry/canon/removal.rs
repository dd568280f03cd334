//! Removing groups of values from an entry. All else stays, and has the same canonical form.

use std::collections::{BTreeSet, HashMap};

use super::writer::{Mark, Writer};
use super::{CHAIN, NAMESPACE};
use crate::entry::payload::{self, Part};
use crate::entry::personal::{Aspect, Group};

/// An entry, as the journal keeps it, without the groups in `removed` ([`Canon::to_remove`](super::Canon::to_remove)), and without its
/// `<chain/>`. If the address of somebody is removed and the network is not, `narrow` returns what is left of the address. `add` may
/// add elements behind the others. Returns `None` if the payload is damaged.
#[must_use]
pub fn without(
    payload: &[u8],
    removed: &BTreeSet<Group>,
    narrow: impl Fn(&str) -> Option<String>,
    add: impl FnOnce(&mut Vec<u8>),
) -> Option<Vec<u8>> {
    let mut writer = Writer::default();
    writer.marks = Some(Vec::new());
    if !payload::is_whole(payload) || !writer.add(payload) {
        return None;
    }
    let marks: HashMap<usize, Mark> = writer.marks.take()?.into_iter().collect();
    let mut written = payload.get(..payload::begin_of(payload))?.to_vec();
    // How many elements are open, and at which depth the element began that is left out.
    let (mut depth, mut left_out) = (0_usize, None);
    let mut add = Some(add);
    let mut is_text_left_out = false;
    let parts: Vec<Part<'_>> = payload::parts(payload).collect();
    for (number, part) in parts.iter().enumerate() {
        let mark = marks.get(&number);
        match part {
            Part::Open(name) => {
                depth = depth.saturating_add(1);
                let is_chain = depth == 2 && *name == CHAIN && is_ours(parts.get(number.saturating_add(1)..).unwrap_or_default());
                let is_gone = matches!(mark, Some(Mark::Element(group)) if removed.contains(group));
                if left_out.is_none() && (is_chain || is_gone) {
                    left_out = Some(depth);
                }
                if left_out.is_none() {
                    payload::open(&mut written, name.as_bytes());
                }
            }
            Part::Close => {
                if left_out.is_none() {
                    if depth == 1 {
                        if let Some(add) = add.take() {
                            add(&mut written);
                        }
                    }
                    payload::close(&mut written);
                } else if left_out == Some(depth) {
                    left_out = None;
                }
                depth = depth.saturating_sub(1);
            }
            Part::Attribute(..) | Part::Text(_) if left_out.is_some() => {}
            Part::Attribute(name, value) => {
                if let Some(value) = what_is_left(value, mark, removed, &narrow) {
                    payload::attribute(&mut written, name.as_bytes(), value.as_bytes());
                }
            }
            Part::Text(text) => {
                // A text may come in several parts. The first one has the mark.
                let goes_on = number.checked_sub(1).and_then(|before| parts.get(before)).is_some_and(|part| matches!(part, Part::Text(_)));
                let left = if goes_on && is_text_left_out { None } else { what_is_left(text, mark, removed, &narrow) };
                is_text_left_out = left.is_none();
                if let Some(text) = left {
                    payload::text(&mut written, text.as_bytes());
                }
            }
        }
    }
    Some(written)
}

/// What is left of a value. Returns `None` if nothing is.
fn what_is_left(value: &str, mark: Option<&Mark>, removed: &BTreeSet<Group>, narrow: &impl Fn(&str) -> Option<String>) -> Option<String> {
    match mark {
        Some(Mark::Value(group)) if removed.contains(group) => None,
        Some(Mark::Address(role, within)) if removed.contains(&within.unwrap_or(Group::Person(*role, Aspect::Network))) => None,
        Some(Mark::Address(role, _)) if removed.contains(&Group::Person(*role, Aspect::Address)) => narrow(value),
        _ => Some(value.to_owned()),
    }
}

/// Whether an element with these parts behind its name is in the log's namespace.
fn is_ours(parts: &[Part<'_>]) -> bool {
    let mut attributes = parts.iter().map_while(|part| match part {
        Part::Attribute(name, value) => Some((*name, *value)),
        _ => None,
    });
    attributes.any(|attribute| attribute == ("xmlns", NAMESPACE))
}
