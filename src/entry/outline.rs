//! What a store has to know of an entry, read from the entry's payload in one pass.

use crate::NAMESPACE;
use crate::entry::limits::HOST_WIDE;
use crate::entry::payload::{self, Part, Parts, SEPARATOR, begin_of, time_of};

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outline<'a> {
    /// When the entry was recorded, in UNIX seconds.
    pub at: f64,
    /// Its element, without the time before it.
    pub element: &'a [u8],
    /// Its event type; empty if it has none.
    pub event_type: &'a str,
    /// The JID of its user, or `@` for an event of the whole host.
    pub with: &'a str,
    /// Its own identifier.
    pub id: Option<&'a str>,
    /// Whether it says when its event happened.
    pub has_occurred: bool,
    /// Where the attributes of the root end in the element.
    attributes: usize,
}

impl<'a> Outline<'a> {
    /// Reads a payload. Returns `None` if it is not a time and one whole element.
    #[must_use]
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let at = time_of(payload)?;
        let element = payload.get(begin_of(payload)..)?;
        let mut outline = Self { at, element, event_type: "", with: HOST_WIDE, id: None, has_occurred: false, attributes: 0 };
        let mut parts = Parts::from(element, 0);
        if !matches!(parts.next()?, Part::Open(_)) {
            return None;
        }
        while parts.is_attribute_next() {
            if let Part::Attribute(name, value) = parts.next()? {
                outline.add(name, value);
            }
        }
        outline.attributes = parts.position();
        let mut depth = 1_usize;
        while depth > 0 {
            match parts.next()? {
                Part::Open(_) => depth = depth.saturating_add(1),
                Part::Close => depth = depth.saturating_sub(1),
                Part::Attribute(name, value) if depth == 1 => outline.add(name, value),
                Part::Attribute(..) | Part::Text(_) => {}
            }
        }
        parts.is_at_end().then_some(outline)
    }

    /// The element, with the time at which its event happened.
    #[must_use]
    pub fn element_with_occurred(&self, time: &str) -> Vec<u8> {
        let (root, rest) = self.element.split_at_checked(self.attributes).unwrap_or((self.element, &[]));
        let mut element = Vec::with_capacity(self.element.len().saturating_add(64));
        element.extend_from_slice(root);
        payload::begin_name(&mut element);
        element.extend_from_slice(NAMESPACE.as_bytes());
        element.push(SEPARATOR);
        element.extend_from_slice(b"occurred");
        payload::begin_value(&mut element);
        element.extend_from_slice(time.as_bytes());
        element.extend_from_slice(rest);
        element
    }

    /// Notes an attribute of the root. Of two with one name the last counts, as in a table of Lua.
    fn add(&mut self, name: &str, value: &'a str) {
        match name {
            "type" => self.event_type = value,
            "user" => self.with = value,
            _ => match name.strip_prefix(NAMESPACE).and_then(|name| name.strip_prefix(char::from(SEPARATOR))) {
                Some("id") => self.id = Some(value),
                Some("occurred") => self.has_occurred = true,
                _ => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::payload::{attribute_of, is_whole, parts};

    const WHOLE: &[u8] = b"1795521600.250\0\x01audit-event\x02type\x03t\x02user\x03u@h\x02xmpp:prosody.im/audit\x06id\x037\x02id\x038\
        \x01session\x02type\x03no\x02user\x03no\x05\x05";

    #[test]
    fn only_attributes_of_the_root_are_read() {
        let outline = Outline::read(WHOLE).unwrap();
        assert_eq!((outline.at, outline.event_type, outline.with, outline.id), (1_795_521_600.25, "t", "u@h", Some("7")));
        assert!(!outline.has_occurred && outline.element == &WHOLE[15..]);
        let none = Outline::read(b"1\0\x01audit-event\x05").unwrap();
        assert_eq!((none.event_type, none.with, none.id), ("", "@", None));
    }

    #[test]
    fn the_time_of_the_event_becomes_an_attribute_of_the_root() {
        let outline = Outline::read(WHOLE).unwrap();
        let later = [b"1795521600.250\0", outline.element_with_occurred("2026-11-24T11:59:00Z").as_slice()].concat();
        assert_eq!(attribute_of(&later, "occurred"), Some("2026-11-24T11:59:00Z"));
        let changed = Outline::read(&later).unwrap();
        assert!(changed.has_occurred);
        assert_eq!((changed.event_type, changed.with, changed.id), (outline.event_type, outline.with, outline.id));
        assert_eq!(parts(&later).count(), parts(WHOLE).count() + 1);
    }

    #[test]
    fn what_is_not_whole_has_no_head() {
        let end = WHOLE.len();
        let mut texts: Vec<Vec<u8>> = (0..end).map(|end| WHOLE[..end].to_vec()).collect();
        texts.extend(
            [&b"1\0\x01a\x05\x05"[..], b"1\0\x01a\x05\x01b\x05", b"1\0\x04text", b"nan\0\x01a\x05", b"1\0\x01\xff\x05"].map(<[u8]>::to_vec),
        );
        // Attributes may stand behind a child, and every byte may be damaged.
        texts.push(b"1\0\x01a\x01b\x05\x02type\x03late\x05".to_vec());
        for place in 0..end {
            for byte in [0, 1, 2, 3, 4, 5, 6, b'x', 0xff] {
                let mut text = WHOLE.to_vec();
                text[place] = byte;
                texts.push(text);
            }
        }
        for text in texts {
            assert_eq!(Outline::read(&text).is_some(), is_whole(&text), "{text:?}");
        }
        assert_eq!(Outline::read(b"1\0\x01a\x01b\x05\x02type\x03late\x05").unwrap().event_type, "late");
    }
}
