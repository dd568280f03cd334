//! Any element in the form that [`payload`](super::payload) describes, from parts that were not checked before. Texts are written as
//! they are; what the form can't hold is refused.

use crate::entry::payload::{self, Part, Parts, SEPARATOR};
use crate::entry::xml::Element;

/// Between the namespace and the name of an attribute in Prosody's stanzas.
const STANZA_SEPARATOR: u8 = 1;

/// The largest byte that has a meaning in the form.
const MARKS: u8 = SEPARATOR;

fn can_stand(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && !bytes.iter().any(|byte| (1..=MARKS).contains(byte))
}

/// Begins an element. Returns `false` if it can't have this name.
pub fn open(bytes: &mut Vec<u8>, name: &[u8]) -> bool {
    let is_good = !name.is_empty() && can_stand(name);
    if is_good {
        payload::open(bytes, name);
    }
    is_good
}

/// Adds an attribute to the element that was begun last. Returns `false` if it can't have it.
pub fn attribute(bytes: &mut Vec<u8>, name: &[u8], value: &[u8]) -> bool {
    let mut parts = name.splitn(2, |byte| *byte == STANZA_SEPARATOR);
    let is_good = !name.is_empty() && parts.all(can_stand) && can_stand(value);
    if is_good {
        payload::begin_name(bytes);
        bytes.extend(name.iter().map(|byte| if *byte == STANZA_SEPARATOR { SEPARATOR } else { *byte }));
        payload::begin_value(bytes);
        bytes.extend_from_slice(value);
    }
    is_good
}

/// Adds a text. Returns `false` if it can't stand there.
pub fn text(bytes: &mut Vec<u8>, text: &[u8]) -> bool {
    let is_good = can_stand(text);
    if is_good {
        payload::text(bytes, text);
    }
    is_good
}

/// Ends the element that was begun last.
pub fn close(bytes: &mut Vec<u8>) {
    payload::close(bytes);
}

/// An element without namespaces, as [`Element::parse`] reads it from XML. Returns `None` if it is damaged.
pub(crate) fn read(bytes: &[u8]) -> Option<Element> {
    payload::tree_of(Parts::from(bytes, 0))
}

/// The value of an attribute of the root, by its name without a namespace.
pub(crate) fn root_attribute<'a>(bytes: &'a [u8], name: &str) -> Option<&'a str> {
    payload::root_attribute(Parts::from(bytes, 0), name)
}

/// An element as XML, in the way in which Prosody writes a stanza. Returns `None` if it is damaged.
#[must_use]
pub fn to_xml(bytes: &[u8]) -> Option<String> {
    let mut xml = String::with_capacity(bytes.len().saturating_mul(2));
    // The names of the open elements, and their namespaces.
    let mut open: Vec<(&str, Option<&str>)> = Vec::new();
    let mut is_in_tag = false;
    let mut prefixes = 0_usize;
    let mut parts = Parts::from(bytes, 0);
    for part in parts.by_ref() {
        if is_in_tag && !matches!(part, Part::Attribute(..) | Part::Close) {
            xml.push('>');
            is_in_tag = false;
        }
        match part {
            Part::Open(name) => {
                let namespace = open.last().and_then(|(_, namespace)| *namespace);
                xml.push('<');
                xml.push_str(name);
                open.push((name, namespace));
                is_in_tag = true;
            }
            Part::Attribute(name, value) => {
                if !is_in_tag {
                    return None;
                }
                if name == "xmlns" {
                    let (_, namespace) = open.last_mut()?;
                    if *namespace == Some(value) {
                        continue;
                    }
                    *namespace = Some(value);
                }
                match name.split_once(char::from(SEPARATOR)) {
                    None => push_attribute(&mut xml, name, value),
                    Some((namespace, name)) => {
                        prefixes = prefixes.saturating_add(1);
                        push_attribute(&mut xml, &format!("xmlns:ns{prefixes}"), namespace);
                        push_attribute(&mut xml, &format!("ns{prefixes}:{name}"), value);
                    }
                }
            }
            Part::Text(text) => push_escaped(&mut xml, text),
            Part::Close => {
                let (name, _) = open.pop()?;
                if is_in_tag {
                    xml.push_str("/>");
                    is_in_tag = false;
                } else {
                    xml.push_str("</");
                    xml.push_str(name);
                    xml.push('>');
                }
                if open.is_empty() {
                    break;
                }
            }
        }
    }
    (open.is_empty() && parts.is_at_end() && !xml.is_empty()).then_some(xml)
}

fn push_attribute(xml: &mut String, name: &str, value: &str) {
    xml.push(' ');
    xml.push_str(name);
    xml.push_str("='");
    push_escaped(xml, value);
    xml.push('\'');
}

fn push_escaped(xml: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '\'', '"']) {
        let (before, behind) = rest.split_at(at);
        xml.push_str(before);
        let mut characters = behind.chars();
        xml.push_str(match characters.next() {
            Some('&') => "&amp;",
            Some('<') => "&lt;",
            Some('>') => "&gt;",
            Some('"') => "&quot;",
            _ => "&apos;",
        });
        rest = characters.as_str();
    }
    xml.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        assert!(open(&mut bytes, b"message") && attribute(&mut bytes, b"xmlns", b"jabber:client"));
        assert!(attribute(&mut bytes, b"urn:x\x01lang", b"") && text(&mut bytes, "\0 ü\n\x07".as_bytes()) && text(&mut bytes, b""));
        close(&mut bytes);
        let parts: Vec<_> = Parts::from(&bytes, 0).collect();
        let attributes = [Part::Attribute("xmlns", "jabber:client"), Part::Attribute("urn:x\x06lang", "")];
        let expected = [&[Part::Open("message")], &attributes[..], &[Part::Text("\0 ü\n\x07"), Part::Text(""), Part::Close]].concat();
        assert_eq!(parts, expected);
    }

    #[test]
    fn xml_is_what_prosody_writes() {
        let mut bytes = Vec::new();
        assert!(open(&mut bytes, b"a") && attribute(&mut bytes, b"xmlns", b"urn:1") && attribute(&mut bytes, b"urn:2\x01id", b"'&"));
        for namespace in ["urn:1", "urn:3"] {
            assert!(open(&mut bytes, b"b") && attribute(&mut bytes, b"xmlns", namespace.as_bytes()));
            assert!(text(&mut bytes, b"<\"> "));
            close(&mut bytes);
        }
        assert!(open(&mut bytes, b"c"));
        close(&mut bytes);
        close(&mut bytes);
        let expected =
            "<a xmlns='urn:1' xmlns:ns1='urn:2' ns1:id='&apos;&amp;'><b>&lt;&quot;&gt; </b><b xmlns='urn:3'>&lt;&quot;&gt; </b><c/></a>";
        assert_eq!(to_xml(&bytes).as_deref(), Some(expected));
        for end in 0..bytes.len() {
            assert_eq!(to_xml(&bytes[..end]), None, "{end}");
        }
        bytes.push(b'x');
        assert_eq!(to_xml(&bytes), None);
    }

    #[test]
    fn what_would_be_read_as_something_else_is_refused() {
        for bad in [&b"a\x01b"[..], b"\x05", b"a\x06", b"\xff"] {
            let mut bytes = Vec::new();
            assert!(!open(&mut bytes, bad) && !text(&mut bytes, bad) && !attribute(&mut bytes, b"name", bad));
            assert!(bytes.is_empty());
        }
        for bad in [&b""[..], b"a\x01b\x01c", b"a\x06b", b"\xff"] {
            assert!(!attribute(&mut Vec::new(), bad, b""));
        }
        assert!(!open(&mut Vec::new(), b""));
    }
}
