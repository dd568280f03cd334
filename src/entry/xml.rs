//! A small XML tree, read from the XML that a store returns.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use thiserror::Error;

/// How deep elements may lie in each other; an entry of ours is far flatter.
pub(crate) const DEPTH: usize = 64;

/// An element with its attributes and children. Namespaces are left as prefixes and `xmlns` attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The name, without a prefix.
    pub name: String,
    /// Attributes in the order in which they stand, names without their prefixes, without declarations of namespaces.
    pub attributes: Vec<(String, String)>,
    /// Child elements and texts.
    pub children: Vec<Node>,
}

/// A child of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// A text, unescaped.
    Text(String),
}

/// Why bytes are no element, and where they stop to be one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason} (at byte {offset})")]
pub struct XmlError {
    reason: String,
    offset: u64,
}

impl Element {
    /// Reads one element.
    ///
    /// # Errors
    ///
    /// [`XmlError`] where `text` is not one well-formed element, names an entity that XML does not define, or nests too deep.
    ///
    /// ```
    /// use audit_core::entry::xml::Element;
    /// let event = Element::parse("<audit-event type='test'><note>a &amp; b</note></audit-event>").unwrap();
    /// assert_eq!(event.attribute("type"), Some("test"));
    /// assert_eq!(event.child("note").unwrap().text(), "a & b");
    /// ```
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        let mut tree = Tree::default();
        let end = walk(text, &mut tree)?;
        tree.root.ok_or_else(|| XmlError { reason: "there is no element".to_owned(), offset: end })
    }

    /// The value of the attribute `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(attribute, _)| attribute == name).map(|(_, value)| value.as_str())
    }

    /// Child elements, in order.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child element called `name`.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.elements().find(|element| element.name == name)
    }

    /// Takes the first child element called `name` out of this one.
    pub fn take_child(&mut self, name: &str) -> Option<Self> {
        let index = self.children.iter().position(|child| matches!(child, Node::Element(element) if element.name == name))?;
        match self.children.remove(index) {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        }
    }

    /// Child elements, in order, as their own.
    pub fn into_elements(self) -> impl Iterator<Item = Self> {
        self.children.into_iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// Its own texts, one for each place between its children.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.children.iter().filter_map(|child| match child {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        })
    }

    /// The element's own text, without that of its children.
    #[must_use]
    pub fn text(&self) -> String {
        self.texts().collect()
    }

    fn start(start: &BytesStart<'_>) -> Result<Self, String> {
        let name = own_str(start.local_name().into_inner())?;
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| e.to_string())?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let key = own_str(attribute.key.local_name().into_inner())?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| e.to_string())?.into_owned();
            attributes.push((key, value));
        }
        Ok(Self { name, attributes, children: Vec::new() })
    }

    /// quick-xml returns a text in pieces, split at each entity. Here they are joined.
    fn push_text(&mut self, text: String) {
        match self.children.last_mut() {
            Some(Node::Text(before)) => before.push_str(&text),
            _ => self.children.push(Node::Text(text)),
        }
    }
}

/// What [`walk`] tells of a text.
pub(crate) trait Visitor<'a> {
    /// An element begins. An error ends the walk.
    fn open(&mut self, start: BytesStart<'a>) -> Result<(), String>;
    /// The element that is open has a text, which may come in pieces.
    fn text(&mut self, text: Cow<'a, str>);
    /// The element that was begun last ends.
    fn close(&mut self);
}

/// Reads one element and tells the visitor of its parts. Returns the offset of the end, in bytes.
pub(crate) fn walk<'a>(text: &'a str, visitor: &mut impl Visitor<'a>) -> Result<u64, XmlError> {
    let mut reader = Reader::from_str(text);
    let (mut depth, mut has_root) = (0_usize, false);
    loop {
        let offset = reader.buffer_position();
        let error = |reason: String| XmlError { reason, offset };
        let content = match reader.read_event().map_err(|e| error(e.to_string()))? {
            event @ (Event::Start(_) | Event::Empty(_)) if depth == 0 && has_root => {
                drop(event);
                return Err(error("a second element".to_owned()));
            }
            Event::Start(_) if depth >= DEPTH => return Err(error("elements nest too deep".to_owned())),
            Event::Start(start) => {
                (depth, has_root) = (depth.saturating_add(1), true);
                visitor.open(start).map_err(error)?;
                continue;
            }
            Event::Empty(start) => {
                has_root = true;
                visitor.open(start).map_err(error)?;
                visitor.close();
                continue;
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                visitor.close();
                continue;
            }
            Event::Text(text) => text.xml_content(XmlVersion::Implicit1_0).map_err(|e| error(e.to_string()))?,
            Event::CData(data) => data.xml_content(XmlVersion::Implicit1_0).map_err(|e| error(e.to_string()))?,
            Event::GeneralRef(reference) => Cow::Owned(resolve(&reference).map_err(error)?),
            Event::Eof => break,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => continue,
        };
        if depth > 0 {
            visitor.text(content);
        } else if !content.trim().is_empty() {
            return Err(error("text outside an element".to_owned()));
        }
    }
    let end = reader.buffer_position();
    if depth > 0 {
        return Err(XmlError { reason: "an element is not closed".to_owned(), offset: end });
    }
    Ok(end)
}

/// Makes the tree of what is read.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
}

impl<'a> Visitor<'a> for Tree {
    fn open(&mut self, start: BytesStart<'a>) -> Result<(), String> {
        self.open.push(Element::start(&start)?);
        Ok(())
    }

    fn text(&mut self, text: Cow<'a, str>) {
        if let Some(parent) = self.open.last_mut() {
            parent.push_text(text.into_owned());
        }
    }

    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
    }
}

/// A name, which the reader gives as bytes.
fn own_str(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(ToOwned::to_owned).map_err(|e| e.to_string())
}

/// What a reference in a text stands for.
///
/// # Errors
///
/// A reason, where it is none of XML's own.
pub(crate) fn resolve(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|e| e.to_string())? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(|e| e.to_string())?;
    quick_xml::escape::resolve_xml_entity(&name).map(ToOwned::to_owned).ok_or_else(|| format!("&{name}; is not defined"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_entry_is_read_as_prosody_writes_it() {
        let element = Element::parse(
            "<audit-event xmlns:ns1='xmpp:prosody.im/audit' ns1:id='7' type='a&apos;b'><session xmlns='xmpp:prosody.im/audit'>\
             <remote-ip>203.0.113.80</remote-ip></session><note>a &lt;b&gt; &amp;#x; &#228; ]]&gt;</note><y/></audit-event>",
        )
        .unwrap();
        assert_eq!(element.attributes, [("id".to_owned(), "7".to_owned()), ("type".to_owned(), "a'b".to_owned())]);
        assert_eq!(element.child("session").and_then(|s| s.child("remote-ip")).unwrap().text(), "203.0.113.80");
        assert_eq!(element.child("note").unwrap().children, [Node::Text("a <b> &#x; ä ]]>".to_owned())]);
        assert_eq!(element.elements().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["session", "note", "y"]);
    }

    #[test]
    fn what_is_no_element_is_an_error_that_says_where() {
        for (text, reason) in [
            ("", "there is no element"),
            ("text", "text outside"),
            ("<a>", "not closed"),
            ("<a></b>", "</b>"),
            ("<a/><b/>", "second element"),
            ("<a>&nbsp;</a>", "&nbsp; is not defined"),
            ("<a b='1' b='2'/>", "duplicate"),
            ("<a b=1/>", ""),
        ] {
            let error = Element::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("at byte"), "{text}: {error}");
        }
        assert!(Element::parse(&"<a>".repeat(100_000)).unwrap_err().to_string().contains("too deep"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[<>/a='\"&;#x!\\[\\]? -]{0,60}") {
            let _ = Element::parse(&text);
        }
    }
}
