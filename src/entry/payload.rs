//! An entry as the journal keeps it: when it was recorded, and its element, as one string of bytes.
//!
//! `<UNIX time> 00 <element>`. In the element a control character says what follows: 01 a name, which begins an element, 02 the
//! name of an attribute, 03 its value, 04 a text; 05 ends an element. In the name of an attribute 06 stands between a namespace
//! and the local name. Texts are clean ([`clean`](super::text::clean)), so they have no control characters but tab and newline.
//!
//! Older versions wrote the same, so what they left in a journal can be read. `tests/vectors/payload.json` has examples.

use crate::entry::xml::{DEPTH, Element, Node};

const ELEMENT: u8 = 1;
const ATTRIBUTE: u8 = 2;
const VALUE: u8 = 3;
const TEXT: u8 = 4;
const END: u8 = 5;
/// Between the namespace and the local name of an attribute.
pub const SEPARATOR: u8 = 6;

/// Begins a payload of an entry that was recorded at `at`, in UNIX seconds. It is written in milliseconds.
pub(crate) fn begin(payload: &mut Vec<u8>, at: f64) {
    payload.clear();
    let at = at.max(0.0);
    let seconds = at.floor();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Not negative; `as` saturates.
    let (seconds, milliseconds) = (seconds as u64, ((at - seconds) * 1000.0) as u64);
    // To format numbers in the general way takes longer than all the rest of a root element.
    let mut digits = [0; 20];
    payload.extend_from_slice(written(seconds, &mut digits));
    if milliseconds > 0 {
        payload.push(b'.');
        // With a digit before them, so that zeros at their beginning are written.
        payload.extend_from_slice(written(milliseconds.saturating_add(1000), &mut digits).get(1..).unwrap_or_default());
    }
    payload.push(0);
}

/// Adds a number.
pub(crate) fn number(payload: &mut Vec<u8>, number: u64) {
    payload.extend_from_slice(written(number, &mut [0; 20]));
}

/// Writes a number at the end of `digits`, which has room for every number, and returns what was written.
fn written(number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut rest = number;
    let mut begin = digits.len();
    for digit in digits.iter_mut().rev() {
        #[allow(clippy::cast_possible_truncation)] // Below 10.
        let last = (rest % 10) as u8;
        *digit = b'0'.saturating_add(last);
        rest /= 10;
        begin = begin.saturating_sub(1);
        if rest == 0 {
            break;
        }
    }
    digits.get(begin..).unwrap_or_default()
}

/// Begins an element. The name must be clean, as all that the following functions are given.
pub(crate) fn open(payload: &mut Vec<u8>, name: &[u8]) {
    payload.push(ELEMENT);
    payload.extend_from_slice(name);
}

/// Adds an attribute to the element that was begun last. Nothing else may have been added to that element.
pub(crate) fn attribute(payload: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    begin_attribute(payload, name);
    payload.extend_from_slice(value);
}

/// Like [`attribute`], but the value is what the caller appends next.
pub(crate) fn begin_attribute(payload: &mut Vec<u8>, name: &[u8]) {
    payload.push(ATTRIBUTE);
    payload.extend_from_slice(name);
    payload.push(VALUE);
}

/// Begins an attribute by its name, which is what the caller appends; [`begin_value`] must follow.
pub(crate) fn begin_name(payload: &mut Vec<u8>) {
    payload.push(ATTRIBUTE);
}

/// Begins the value of an attribute.
pub(crate) fn begin_value(payload: &mut Vec<u8>) {
    payload.push(VALUE);
}

/// Adds a text.
pub(crate) fn text(payload: &mut Vec<u8>, text: &[u8]) {
    begin_text(payload);
    payload.extend_from_slice(text);
}

/// Like [`text`], but the text is what the caller appends next.
pub(crate) fn begin_text(payload: &mut Vec<u8>) {
    payload.push(TEXT);
}

/// Ends the element that was begun last.
pub(crate) fn close(payload: &mut Vec<u8>) {
    payload.push(END);
}

/// A part of an element, in the order in which they stand in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// An element with this name begins.
    Open(&'a str),
    /// The element has this attribute. A namespace stands before the name, between them U+0006.
    Attribute(&'a str, &'a str),
    /// The element has this text.
    Text(&'a str),
    /// The element ends.
    Close,
}

/// When the entry of a payload was recorded, in UNIX seconds.
#[must_use]
pub fn time_of(payload: &[u8]) -> Option<f64> {
    let end = payload.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(payload.get(..end)?).ok()?.parse().ok().filter(|time: &f64| time.is_finite())
}

/// The parts of the element in a payload. What is damaged ends them early; [`is_whole`] tells.
#[must_use]
pub fn parts(payload: &[u8]) -> Parts<'_> {
    Parts::from(payload, begin_of(payload))
}

/// Where the element of a payload begins.
#[must_use]
pub fn begin_of(payload: &[u8]) -> usize {
    payload.iter().position(|byte| *byte == 0).map_or(payload.len(), |end| end.saturating_add(1))
}

/// See [`parts`].
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    payload: &'a [u8],
    position: usize,
    /// The text from `begin` on, up to the end or the first damage. To check it once takes less time than to check each part.
    text: &'a str,
    begin: usize,
}

impl<'a> Parts<'a> {
    /// The parts from a position on, which another reader gave.
    #[must_use]
    pub fn from(payload: &'a [u8], position: usize) -> Self {
        let bytes = payload.get(position..).unwrap_or_default();
        let whole = |error: std::str::Utf8Error| std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default());
        let text = std::str::from_utf8(bytes).or_else(whole).unwrap_or_default();
        Self { payload, position, text, begin: position }
    }

    /// Where the next part begins.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Whether everything was read. If it was not, what follows is damaged.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.position == self.payload.len()
    }

    /// The mark of the next part.
    fn mark(&self) -> Option<u8> {
        self.payload.get(self.position).copied()
    }

    /// Whether the next part is a text.
    #[must_use]
    pub fn is_text_next(&self) -> bool {
        self.mark() == Some(TEXT)
    }

    /// Whether the next part is an attribute.
    #[must_use]
    pub fn is_attribute_next(&self) -> bool {
        self.mark() == Some(ATTRIBUTE)
    }

    /// Whether the next part ends the element.
    #[must_use]
    pub fn is_close_next(&self) -> bool {
        self.mark() == Some(END)
    }

    /// The mark at a position, what stands up to the next mark, and where that is.
    fn marked(&self, position: usize) -> Option<(u8, &'a str, usize)> {
        let mark = *self.payload.get(position)?;
        let begin = position.saturating_add(1);
        let end = begin.saturating_add(until_mark(self.payload.get(begin..)?));
        let content = self.text.get(begin.checked_sub(self.begin)?..end.checked_sub(self.begin)?)?;
        Some((mark, content, end))
    }
}

const fn is_mark(byte: u8) -> bool {
    matches!(byte, ELEMENT..=END)
}

/// How many bytes stand before the first mark.
fn until_mark(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    // Eight bytes at a time, as long as none of them is below SEPARATOR. Such a byte borrows from its highest bit.
    let is_free = |word: &&[u8]| {
        let word = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        word.wrapping_sub(ONES.wrapping_mul(u64::from(SEPARATOR))) & !word & HIGHS == 0
    };
    let begin = bytes.chunks_exact(8).take_while(is_free).count().saturating_mul(8);
    let rest = bytes.get(begin..).unwrap_or_default();
    begin.saturating_add(rest.iter().position(|byte| is_mark(*byte)).unwrap_or(rest.len()))
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let (mark, content, mut end) = self.marked(self.position)?;
        let part = match mark {
            ELEMENT => Part::Open(content),
            ATTRIBUTE => match self.marked(end)? {
                (VALUE, value, after) => {
                    end = after;
                    Part::Attribute(content, value)
                }
                _ => return None,
            },
            TEXT => Part::Text(content),
            END if content.is_empty() => Part::Close,
            _ => return None,
        };
        self.position = end;
        Some(part)
    }
}

/// Whether a payload is a time and one whole element.
#[must_use]
pub fn is_whole(payload: &[u8]) -> bool {
    let (mut depth, mut roots) = (0_usize, 0_usize);
    let mut parts = parts(payload);
    for part in parts.by_ref() {
        match part {
            Part::Open(_) => {
                roots = roots.saturating_add(usize::from(depth == 0));
                depth = depth.saturating_add(1);
            }
            _ if depth == 0 => return false,
            Part::Close => depth = depth.saturating_sub(1),
            Part::Attribute(..) | Part::Text(_) => {}
        }
    }
    depth == 0 && roots == 1 && parts.is_at_end() && time_of(payload).is_some()
}

/// An attribute of the root, by its name without a namespace.
#[must_use]
pub fn attribute_of<'a>(payload: &'a [u8], name: &str) -> Option<&'a str> {
    root_attribute(parts(payload), name)
}

/// The same, of the element that begins with the next part.
pub(crate) fn root_attribute<'a>(parts: Parts<'a>, name: &str) -> Option<&'a str> {
    let of_root = parts.skip(1).map_while(|part| match part {
        Part::Attribute(name, value) => Some((local(name), value)),
        _ => None,
    });
    of_root.filter(|(of, _)| *of == name).map(|(_, value)| value).last()
}

/// How many events an entry stands for: the `count` of its `<repeated/>`, and 1 if there is none.
#[must_use]
pub fn events_of(payload: &[u8]) -> u64 {
    let (mut depth, mut is_repeated) = (0_usize, false);
    for part in parts(payload) {
        match part {
            Part::Open(name) => {
                is_repeated = depth == 1 && local(name) == "repeated";
                depth = depth.saturating_add(1);
            }
            Part::Attribute("count", count) if is_repeated => return count.parse().unwrap_or(1),
            Part::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    1
}

/// The element of a payload, without namespaces, as [`Element::parse`] reads it from XML; `None` if it is not whole.
#[must_use]
pub fn element_of(payload: &[u8]) -> Option<Element> {
    time_of(payload)?;
    tree_of(parts(payload))
}

/// The element that begins with the next part and ends with the last one, without namespaces.
pub(crate) fn tree_of(mut parts: Parts<'_>) -> Option<Element> {
    let mut open: Vec<Element> = Vec::new();
    while let Some(part) = parts.next() {
        let depth = open.len();
        match (part, open.last_mut()) {
            (Part::Open(_), _) if depth >= DEPTH => return None,
            (Part::Open(name), _) => open.push(Element { name: local(name).to_owned(), ..Element::default() }),
            (Part::Attribute("xmlns", _), _) => {}
            (Part::Attribute(name, value), Some(element)) => {
                let name = local(name);
                element.attributes.retain(|(before, _)| before != name);
                element.attributes.push((name.to_owned(), value.to_owned()));
            }
            (Part::Text(""), Some(_)) => {}
            (Part::Text(text), Some(element)) => match element.children.last_mut() {
                Some(Node::Text(before)) => before.push_str(text),
                _ => element.children.push(Node::Text(text.to_owned())),
            },
            (Part::Close, _) => {
                let element = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(Node::Element(element)),
                    None => return parts.is_at_end().then_some(element),
                }
            }
            (Part::Attribute(..) | Part::Text(_), None) => return None,
        }
    }
    None
}

/// A name without its namespace or prefix.
pub(crate) fn local(name: &str) -> &str {
    name.rsplit([char::from(SEPARATOR), ':']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::entry::details::Details;
    use crate::entry::event::{self, Root};
    use crate::entry::text::{TextKind, clean, clean_name};

    #[test]
    fn a_time_is_written_in_milliseconds_and_stays_within_its_second() {
        for (at, text) in [
            (1_795_521_600.0, "1795521600"),
            (1_795_521_600.25, "1795521600.250"),
            (1_795_521_600.000_9, "1795521600"),
            (1_795_521_600.999_999_7, "1795521600.999"),
            (0.0, "0"),
            (-1.5, "0"),
            (f64::NAN, "0"),
        ] {
            let mut payload = b"rest".to_vec();
            begin(&mut payload, at);
            assert_eq!(payload, [text.as_bytes(), b"\0"].concat(), "{at}");
            assert!(at.is_nan() || at < 0.0 || time_of(&payload).unwrap().floor() == at.floor(), "{at}");
        }
    }

    /// An element of the vectors: `[name, { attribute: value }, child, …]`.
    fn value(parts: &mut Parts<'_>, name: &str) -> Value {
        let (mut attributes, mut children) = (serde_json::Map::new(), Vec::new());
        while let Some(part) = parts.next() {
            match part {
                Part::Attribute(name, value) => {
                    attributes.insert(name.replace('\u{6}', "\u{1}"), value.into());
                }
                Part::Text(text) => children.push(text.into()),
                Part::Open(name) => children.push(self::value(parts, name)),
                Part::Close => break,
            }
        }
        [vec![name.into(), attributes.into()], children].concat().into()
    }

    /// Real entries of the version before this, which Lua wrote. `spec/core/entry_spec.lua` reads them, too.
    #[test]
    fn what_older_versions_left_in_a_journal_is_read() {
        let vectors: Vec<Value> = serde_json::from_str(include_str!("../../tests/vectors/payload.json")).unwrap();
        assert!(vectors.len() >= 8);
        for vector in vectors {
            let payload = vector["payload"].as_str().unwrap().as_bytes();
            assert!(is_whole(payload), "{}", vector["name"]);
            assert_eq!(time_of(payload), vector["time"].as_f64());
            let mut read = parts(payload);
            let Some(Part::Open(name)) = read.next() else { panic!("{}", vector["name"]) };
            assert_eq!(value(&mut read, name), vector["element"], "{}", vector["name"]);
            // And it is written as it was.
            let mut written = payload[..begin_of(payload)].to_vec();
            for part in parts(payload) {
                match part {
                    Part::Open(name) => open(&mut written, name.as_bytes()),
                    Part::Attribute(name, value) => attribute(&mut written, name.as_bytes(), value.as_bytes()),
                    Part::Text(content) => text(&mut written, content.as_bytes()),
                    Part::Close => close(&mut written),
                }
            }
            assert_eq!(written, payload);
        }
    }

    #[test]
    fn what_is_no_entry_is_not_read() {
        let whole = b"1795521600.25\0\x01a\x02x\x03y\x04text\x01b\x05\x05";
        assert!(is_whole(whole));
        for end in 0..whole.len() {
            assert!(!is_whole(&whole[..end]), "{end}");
        }
        for damaged in [
            &b"\0\x01a\x05"[..],
            b"noon\0\x01a\x05",
            b"1\0a\x05",
            b"1\0\x01a\x05\x01b\x05",
            b"1\0\x01a\x05\x04text",
            b"1\0\x01a\x05\x05",
            b"1\0\x01a\x05more",
            b"1\0\x02x\x03y\x01a\x05",
            b"1\0\x01a\x02x\x05",
            b"1\0\x01a\x03y\x05",
            b"1\0\x01\xff\x05",
            b"nan\0\x01a\x05",
        ] {
            assert!(!is_whole(damaged) && element_of(damaged).is_none(), "{damaged:?}");
        }
    }

    #[test]
    fn an_attribute_of_the_root_is_found_without_its_namespace() {
        let payload = b"1\0\x01a\x02type\x03t\x02urn:x\x06id\x037\x01b\x02user\x03u\x05\x05";
        assert_eq!((attribute_of(payload, "type"), attribute_of(payload, "id")), (Some("t"), Some("7")));
        assert_eq!(attribute_of(payload, "user"), None);
    }

    /// An element as a module may give it, with any bytes in it.
    #[derive(Clone, Debug)]
    struct Given {
        name: Vec<u8>,
        attributes: Vec<(Vec<u8>, Vec<u8>)>,
        children: Vec<Result<Given, Vec<u8>>>,
    }

    fn given() -> impl Strategy<Value = Given> {
        let bytes = || prop::collection::vec(prop_oneof![b' '..=b'~', 0..8_u8, any::<u8>()], 0..12);
        let attributes = move || prop::collection::vec((bytes(), bytes()), 0..4);
        let leaf =
            (bytes(), attributes(), bytes()).prop_map(|(name, attributes, text)| Given { name, attributes, children: vec![Err(text)] });
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let child = prop_oneof![inner.prop_map(Ok), bytes().prop_map(Err)];
            let children = prop::collection::vec(child, 0..4);
            (bytes(), attributes(), children).prop_map(|(name, attributes, children)| Given { name, attributes, children })
        })
    }

    fn add(details: &mut Details, given: &Given) {
        details.open(&given.name);
        for (name, value) in &given.attributes {
            details.attribute(name, value);
        }
        for child in &given.children {
            match child {
                Ok(child) => add(details, child),
                Err(text) => details.text(text),
            }
        }
        details.close();
    }

    /// What is to be stored of it.
    fn cleaned(given: &Given) -> Element {
        let mut element = Element { name: local(&clean_name(&given.name)).to_owned(), ..Element::default() };
        for (name, value) in &given.attributes {
            let local_part = match name.iter().position(|byte| *byte == 1) {
                Some(at) if at > 0 && at + 1 < name.len() => &name[at + 1..],
                _ => name,
            };
            let name = clean_name(local_part);
            if name == "xmlns" {
                continue;
            }
            let name = local(&name).to_owned();
            element.attributes.retain(|(before, _)| *before != name);
            element.attributes.push((name, clean(value, TextKind::Attribute).into_owned()));
        }
        for child in &given.children {
            match (child, element.children.last_mut()) {
                (Ok(child), _) => element.children.push(Node::Element(cleaned(child))),
                // XML has no empty texts.
                (Err(text), _) if clean(text, TextKind::Text).is_empty() => {}
                (Err(text), Some(Node::Text(before))) => before.push_str(&clean(text, TextKind::Text)),
                (Err(text), _) => element.children.push(Node::Text(clean(text, TextKind::Text).into_owned())),
            }
        }
        element
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_as_it_was_cleaned(given in prop::collection::vec(given(), 0..4), bytes in any::<[u8; 5]>()) {
            let mut details = Details::default();
            given.iter().for_each(|given| add(&mut details, given));
            prop_assume!(!details.is_truncated());
            let mut payload = Vec::new();
            let root = Root { id: b"7", source: &bytes, kind: b"test", user: Some(&bytes), occurred: None };
            event::begin(&mut payload, 1_795_521_600.25, &root);
            details.write(&mut payload);
            event::end(&mut payload);
            prop_assert!(is_whole(&payload));
            prop_assert_eq!(time_of(&payload), Some(1_795_521_600.25));
            let element = element_of(&payload).unwrap();
            prop_assert_eq!(element.attribute("user").unwrap(), clean(&bytes, TextKind::Attribute));
            prop_assert_eq!(element.into_elements().collect::<Vec<_>>(), given.iter().map(cleaned).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(0..8_u8, 0..40)) {
            let payload = [b"1\0", &bytes[..]].concat();
            prop_assert_eq!(is_whole(&payload), element_of(&payload).is_some());
            let _ = attribute_of(&payload, "type");
        }
    }
}
