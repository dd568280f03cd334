//! Entries in ASCII, for databases whose encoding lacks some of the characters. The link of such an entry says so, and what it proves is
//! the entry as it was: it is decoded first.

use std::borrow::Cow;

use crate::entry::canon::CHAIN;
use crate::entry::payload::{self, Part, Parts};

/// The attribute of `<chain/>` that marks such an entry.
pub const MARK: &str = "ascii";

/// A text in ASCII: all other characters, and backslashes, are written as `\u{…}`.
///
/// ```
/// use audit_core::entry::ascii::{decoded, encoded};
/// assert_eq!(encoded(r"naïve\u{ef}"), r"na\u{ef}ve\u{5c}u{ef}");
/// assert_eq!(decoded(&encoded(r"naïve\u{ef}")), r"naïve\u{ef}");
/// ```
#[must_use]
pub fn encoded(text: &str) -> Cow<'_, str> {
    let stays = |c: char| c.is_ascii() && c != '\\';
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len().saturating_mul(2));
    for c in text.chars() {
        if stays(c) {
            plain.push(c);
        } else {
            plain.extend(c.escape_unicode());
        }
    }
    Cow::Owned(plain)
}

/// What [`encoded`] was given. What it never writes stays as it is.
#[must_use]
pub fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\u{") {
        plain.push_str(before);
        let digits = after.split_once('}').filter(|(digits, _)| !digits.is_empty() && digits.len() <= 6);
        let character = digits.and_then(|(digits, behind)| Some((u32::from_str_radix(digits, 16).ok()?, behind)));
        match character.and_then(|(number, behind)| Some((char::from_u32(number)?, behind))) {
            Some((character, behind)) => {
                plain.push(character);
                rest = behind;
            }
            None => {
                plain.push_str("\\u{");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The payload of an entry in ASCII. If it has a link, that is marked.
#[must_use]
pub fn encode(payload: &[u8]) -> Option<Vec<u8>> {
    let mut written = payload.get(..payload::begin_of(payload))?.to_vec();
    rewrite(payload::parts(payload), &mut written, encoded, true).then_some(written)
}

/// The parts of an element that is marked, as they were before. Returns `None` if it is not marked, or damaged.
pub(super) fn decode(parts: Parts<'_>) -> Option<Vec<u8>> {
    let mut written = Vec::new();
    rewrite(parts, &mut written, decoded, false).then_some(written)
}

/// Writes all parts, each with its texts changed. If `marks`, the link gets the mark. Returns whether none was damaged.
fn rewrite(mut parts: Parts<'_>, written: &mut Vec<u8>, change: fn(&str) -> Cow<'_, str>, marks: bool) -> bool {
    let mut depth = 0_usize;
    // Whether the attributes of the link are being read.
    let mut is_in_link = false;
    for part in parts.by_ref() {
        if is_in_link && !matches!(part, Part::Attribute(..)) {
            payload::attribute(written, MARK.as_bytes(), b"1");
            is_in_link = false;
        }
        match part {
            Part::Open(name) => {
                is_in_link = marks && depth == 1 && name == CHAIN;
                depth = depth.saturating_add(1);
                payload::open(written, change(name).as_bytes());
            }
            Part::Attribute(name, value) => payload::attribute(written, name.as_bytes(), change(value).as_bytes()),
            Part::Text(text) => payload::text(written, change(text).as_bytes()),
            Part::Close => {
                depth = depth.saturating_sub(1);
                payload::close(written);
            }
        }
    }
    parts.is_at_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_is_there_again(text in ".*|[\\\\u{}a-f0-9é]{0,12}") {
            let plain = encoded(&text).into_owned();
            prop_assert!(plain.is_ascii());
            prop_assert_eq!(decoded(&plain), &*text);
        }

        #[test]
        fn any_text_can_be_decoded(text in "[\\\\u{}a-f0-9é]{0,12}") {
            prop_assert!(decoded(&text).len() <= text.len());
        }
    }

    #[test]
    fn an_entry_is_there_again_and_its_link_is_marked() {
        let payload = "7\0\u{1}audit-event\u{2}type\u{3}t\u{1}note\u{4}naïve \\u{ef}\u{5}\u{1}chain\u{2}n\u{3}1\u{5}\u{5}".as_bytes();
        let plain = encode(payload).unwrap();
        assert!(plain.is_ascii());
        let text = String::from_utf8(plain.clone()).unwrap();
        assert!(text.contains("\u{1}chain\u{2}n\u{3}1\u{2}ascii\u{3}1\u{5}"), "{text:?}");
        let back = decode(payload::parts(&plain)).unwrap();
        assert_eq!(String::from_utf8(back).unwrap().replace("\u{2}ascii\u{3}1", ""), String::from_utf8(payload[2..].to_vec()).unwrap());
    }
}
