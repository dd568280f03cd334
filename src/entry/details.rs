//! What a module adds to an event, on its way into a payload: cleaned, and within the limits of one event.

use std::ops::Range;

use crate::NAMESPACE;
use crate::entry::limits::{BYTES, DEPTH, ELEMENTS};
use crate::entry::payload;
use crate::entry::text::{self, TextKind};

/// What a module adds to an event, as it comes in: the parts of its elements, in order, with any bytes in them. The memory is used
/// again for the next event.
///
/// What is beyond the limits is left out, and an element `<truncated/>` says so.
///
/// ```
/// use audit_core::entry::details::Details;
/// let mut details = Details::default();
/// details.open(b"note");
/// details.attribute(b"lang", b"en");
/// details.text(b"a\x00b");
/// details.close();
/// assert!(!details.is_truncated() && details.weight() == 5);
/// ```
#[derive(Debug)]
pub struct Details {
    bytes: Vec<u8>,
    elements_left: usize,
    bytes_left: usize,
    depth: usize,
    /// How many elements are open that were left out.
    skipped: usize,
    is_truncated: bool,
    /// How many elements of depth 1 there are.
    children: usize,
    weight: u64,
    /// Where the values lie that flood control tells events apart by.
    condition: Option<Range<usize>>,
    remote: Option<Range<usize>>,
}

impl Default for Details {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            elements_left: ELEMENTS,
            bytes_left: BYTES,
            depth: 0,
            skipped: 0,
            is_truncated: false,
            children: 0,
            weight: 0,
            condition: None,
            remote: None,
        }
    }
}

impl Details {
    /// Forgets everything, for the next event.
    pub fn clear(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        *self = Self { bytes, ..Self::default() };
    }

    /// Begins an element. Returns whether there was room for it; what is added to one that had no room is left out with it.
    pub fn open(&mut self, name: &[u8]) -> bool {
        if self.skipped > 0 || !self.has_room() {
            self.is_truncated = true;
            self.skipped = self.skipped.saturating_add(1);
            return false;
        }
        self.elements_left = self.elements_left.saturating_sub(1);
        if self.depth == 0 {
            self.children = self.children.saturating_add(1);
        }
        self.depth = self.depth.saturating_add(1);
        payload::open(&mut self.bytes, b"");
        self.take(|bytes| text::append_name(bytes, name));
        true
    }

    /// Adds an attribute to the element that was begun last. Its namespace, if it has one, stands before the name, between them
    /// U+0001.
    pub fn attribute(&mut self, name: &[u8], value: &[u8]) {
        self.weigh(value);
        if self.skipped > 0 {
            return;
        } else if self.bytes_left == 0 {
            self.is_truncated = true;
            return;
        }
        payload::begin_name(&mut self.bytes);
        self.take(|bytes| match name.iter().position(|byte| *byte == 1).map(|at| name.split_at(at)) {
            Some((namespace, [_, local @ ..])) if !namespace.is_empty() && !local.is_empty() => {
                text::append(bytes, namespace, TextKind::Attribute);
                bytes.push(payload::SEPARATOR);
                text::append_name(bytes, local);
            }
            _ => text::append_name(bytes, name),
        });
        payload::begin_value(&mut self.bytes);
        let begin = self.bytes.len();
        self.take(|bytes| text::append(bytes, value, TextKind::Attribute));
        if self.depth == 1 && self.children == 1 {
            match name {
                b"condition" => self.condition = Some(begin..self.bytes.len()),
                b"remote" => self.remote = Some(begin..self.bytes.len()),
                _ => {}
            }
        }
    }

    /// Adds a text to the element that is open.
    pub fn text(&mut self, text: &[u8]) {
        self.weigh(text);
        if self.skipped > 0 {
            return;
        } else if !self.has_room() {
            self.is_truncated = true;
            return;
        }
        payload::begin_text(&mut self.bytes);
        self.take(|bytes| text::append(bytes, text, TextKind::Text));
    }

    /// Ends the element that was begun last.
    pub fn close(&mut self) {
        if self.skipped > 0 {
            self.skipped = self.skipped.saturating_sub(1);
        } else if self.depth > 0 {
            self.depth = self.depth.saturating_sub(1);
            payload::close(&mut self.bytes);
        }
    }

    /// Whether there is room for a further element or text where the next would be added.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.elements_left > 0 && self.bytes_left > 0 && self.depth <= DEPTH
    }

    /// Whether something was left out.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// How many bytes of values and texts came in, whether they were kept or not.
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// The attribute `condition` of the first element.
    #[must_use]
    pub fn condition(&self) -> Option<&[u8]> {
        self.bytes.get(self.condition.clone()?)
    }

    /// The attribute `remote` of the first element.
    #[must_use]
    pub fn remote(&self) -> Option<&[u8]> {
        self.bytes.get(self.remote.clone()?)
    }

    /// Appends all of it to a payload. Elements that are still open are closed.
    pub(crate) fn write(&mut self, payload: &mut Vec<u8>) {
        self.skipped = 0;
        while self.depth > 0 {
            self.close();
        }
        payload.extend_from_slice(&self.bytes);
        if self.is_truncated {
            payload::open(payload, b"truncated");
            payload::attribute(payload, b"xmlns", NAMESPACE.as_bytes());
            payload::close(payload);
        }
    }

    fn weigh(&mut self, bytes: &[u8]) {
        self.weight = self.weight.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// Appends what `append` does, and takes its length off what may still come.
    fn take(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        append(&mut self.bytes);
        self.bytes_left = self.bytes_left.saturating_sub(self.bytes.len().saturating_sub(before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::payload::element_of;
    use crate::entry::xml::Element;

    fn element(details: &mut Details) -> (Element, usize) {
        let mut payload = b"1\0\x01audit-event".to_vec();
        details.write(&mut payload);
        payload.push(5);
        (element_of(&payload).unwrap(), payload.len())
    }

    fn names(element: &Element) -> Vec<&str> {
        element.elements().map(|element| element.name.as_str()).collect()
    }

    fn depth(element: &Element) -> usize {
        1 + element.elements().map(depth).max().unwrap_or_default()
    }

    #[test]
    fn many_elements_are_cut_and_the_entry_says_so() {
        let mut details = Details::default();
        for _ in 0..ELEMENTS {
            details.open(b"n");
            details.close();
        }
        assert!(!details.is_truncated());
        details.open(b"n");
        details.attribute(b"a", b"b");
        details.text(b"left out");
        details.close();
        let (element, _) = element(&mut details);
        assert_eq!(element.elements().count(), ELEMENTS + 1);
        assert_eq!(element.elements().last().unwrap().name, "truncated");
        details.clear();
        details.open(b"n");
        details.close();
        let (element, _) = self::element(&mut details);
        assert_eq!(names(&element), ["n"]);
    }

    #[test]
    fn deep_elements_are_cut() {
        let mut details = Details::default();
        for _ in 0..1000 {
            details.open(b"d");
        }
        for _ in 0..1000 {
            details.close();
        }
        details.open(b"e");
        details.close();
        let (element, _) = element(&mut details);
        assert_eq!(names(&element), ["d", "e", "truncated"]);
        assert_eq!(depth(&element), DEPTH + 2);
    }

    #[test]
    fn an_entry_always_fits_into_a_record() {
        let long = [b'x'; 100_000];
        for what in 0..4 {
            let mut details = Details::default();
            for _ in 0..300 {
                details.open(if what == 0 { &long } else { b"n" });
                for number in 0..100 {
                    match what {
                        1 => details.attribute(b"a", &long),
                        2 => details.attribute(&long, b""),
                        3 if number == 0 => details.text(&long),
                        _ => {}
                    }
                }
                details.close();
            }
            let (element, length) = element(&mut details);
            assert_eq!(element.elements().last().unwrap().name, "truncated", "{what}");
            // A record of the journal has room for 64 KiB.
            assert!(length < 48 * 1024, "{what}: {length}");
        }
    }

    #[test]
    fn flood_control_sees_all_that_came_and_the_first_element() {
        let mut details = Details::default();
        details.open(b"s2s");
        details.attribute(b"remote", b"a\x00b");
        details.open(b"inner");
        details.attribute(b"condition", b"inner");
        details.close();
        details.close();
        details.open(b"second");
        details.attribute(b"condition", &[b'x'; 5000]);
        details.close();
        assert_eq!((details.condition(), details.remote()), (None, Some("a\u{fffd}b".as_bytes())));
        assert_eq!(details.weight(), 5008);
    }
}
