//! Any element in the form that [`payload`](super::payload) describes, from parts that were not checked before. Texts are written as
//! they are; what the form can't hold is refused.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;

use crate::entry::payload::{self, Part, Parts, SEPARATOR};
use crate::entry::xml::{Element, Visitor, walk};

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

/// An element from XML, with the namespaces that are declared in it. Returns `None` if it is not one well-formed element, or can't stand
/// in the form.
#[must_use]
pub fn of_xml(xml: &str) -> Option<Vec<u8>> {
    let mut writer = OfXml::default();
    walk(xml, &mut writer).ok()?;
    (!writer.bytes.is_empty()).then_some(writer.bytes)
}

/// Writes an element that is read from XML.
#[derive(Default)]
struct OfXml {
    bytes: Vec<u8>,
    /// The prefixes that are declared, each with the number of elements that were open.
    prefixes: Vec<(usize, String, String)>,
    depth: usize,
}

impl OfXml {
    /// The namespace of a prefix.
    fn namespace(&self, prefix: &str) -> Option<&str> {
        self.prefixes.iter().rev().find(|(_, known, _)| known == prefix).map(|(_, _, namespace)| namespace.as_str())
    }
}

impl<'a> Visitor<'a> for OfXml {
    fn open(&mut self, start: BytesStart<'a>) -> Result<(), String> {
        let refused = || "it can't stand here".to_owned();
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(ToOwned::to_owned).map_err(|error| error.to_string());
        self.depth = self.depth.saturating_add(1);
        let (mut plain, mut default) = (Vec::new(), None);
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?.into_owned();
            let name = text(attribute.key.into_inner())?;
            match name.strip_prefix("xmlns:") {
                Some(prefix) => self.prefixes.push((self.depth, prefix.to_owned(), value)),
                None if name == "xmlns" => default = Some(value),
                None => plain.push((name, value)),
            }
        }
        let name = text(start.name().into_inner())?;
        let local = match name.split_once(':') {
            Some((prefix, local)) => {
                default = self.namespace(prefix).map(ToOwned::to_owned).or(default);
                local
            }
            None => name.as_str(),
        };
        if !open(&mut self.bytes, local.as_bytes()) {
            return Err(refused());
        }
        let declared = default.map(|namespace| ("xmlns".to_owned(), namespace));
        for (name, value) in declared.into_iter().chain(plain) {
            let known = name.split_once(':').and_then(|(prefix, local)| Some((self.namespace(prefix)?, local)));
            let name =
                known.map_or_else(|| name.clone(), |(namespace, local)| format!("{namespace}{}{local}", char::from(STANZA_SEPARATOR)));
            if !attribute(&mut self.bytes, name.as_bytes(), value.as_bytes()) {
                return Err(refused());
            }
        }
        Ok(())
    }

    fn text(&mut self, content: Cow<'a, str>) {
        // XML has no character that can't stand here.
        let _ = text(&mut self.bytes, content.as_bytes());
    }

    fn close(&mut self) {
        close(&mut self.bytes);
        self.depth = self.depth.saturating_sub(1);
        while self.prefixes.last().is_some_and(|(depth, ..)| *depth > self.depth) {
            self.prefixes.pop();
        }
    }
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
    fn xml_is_read_with_its_namespaces() {
        let xml = "<a xmlns:x='urn:x' x:id='&amp;'><b xmlns='urn:1'>t &lt; u<c/></b><x:d xmlns:x='urn:2'/><e x:f='' g='h'/></a>";
        let bytes = of_xml(xml).unwrap();
        let written = "<a xmlns:ns1='urn:x' ns1:id='&amp;'><b xmlns='urn:1'>t &lt; u<c/></b><d xmlns='urn:2'/><e xmlns:ns2='urn:x' ns2:f='' g='h'/></a>";
        assert_eq!(to_xml(&bytes).as_deref(), Some(written));
        assert_eq!(of_xml(written), Some(bytes));
        for wrong in ["", "x", "<a>", "<a/><b/>", "<a b='&#1;'/>"] {
            assert_eq!(of_xml(wrong), None, "{wrong}");
        }
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
