//! The entries as they are stored, in one well-formed XML document.

use std::fmt::Write as _;
use std::str::from_utf8;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::entry::StoredEvent;
use crate::entry::text::is_xml;
use crate::entry::xml::resolve;
use crate::render::Renderer;
use crate::render::printable::steers;
use crate::time::rfc3339;

/// Writes XML: `<audit-log host="…">` with an `<entry stored="…" class="…" anchor="…">` for each `<audit-event/>`, which is written as
/// it is stored.
#[derive(Debug)]
pub struct Xml {
    host: String,
}

impl Xml {
    /// A renderer for the log of `host`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned() }
    }
}

impl Renderer for Xml {
    fn begin(&mut self) -> String {
        let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<audit-log version=\"1\" host=\"".to_owned();
        push_escaped(&mut text, &self.host);
        text.push_str("\">\n");
        text
    }

    fn entries(&mut self, events: &[StoredEvent]) -> String {
        let mut text = String::with_capacity(events.len().saturating_mul(512));
        for event in events {
            text.push_str("<entry stored=\"");
            text.push_str(&rfc3339(event.stored));
            if let Some(class) = &event.class {
                text.push_str("\" class=\"");
                push_escaped(&mut text, class);
            }
            // The account of an entry without the attribute may be in the archive's `with`.
            if let Some(user) = &event.user {
                text.push_str("\" user=\"");
                push_escaped(&mut text, user);
            }
            // The element has the same in its `<chain/>`, but anchors are looked for in any text, where they have one form.
            if let Some(anchor) = &event.anchor {
                text.push_str("\" anchor=\"");
                push_escaped(&mut text, anchor);
            }
            let xml = event.xml();
            if is_element(&xml) {
                text.push_str("\">");
                push_visible(&mut text, &xml);
            } else {
                text.push_str("\" as=\"text\">");
                push_escaped(&mut text, &xml);
            }
            text.push_str("</entry>\n");
        }
        text
    }

    fn end(&mut self) -> String {
        "</audit-log>\n".to_owned()
    }
}

/// Whether `xml` can be copied into a document: one element with plain names, declared prefixes, and valid characters only. This is
/// true of all that Prosody stores. Other content is written as text.
fn is_element(xml: &str) -> bool {
    let mut reader = Reader::from_str(xml);
    let mut prefixes: Vec<Vec<String>> = Vec::new();
    let mut roots = 0_usize;
    if !xml.chars().all(is_xml) {
        return false;
    }
    loop {
        let inside = !prefixes.is_empty();
        let good = match reader.read_event() {
            Ok(Event::Start(start)) => {
                roots = roots.saturating_add(usize::from(!inside));
                is_tag(&start, &mut prefixes)
            }
            Ok(Event::Empty(start)) => {
                roots = roots.saturating_add(usize::from(!inside));
                let good = is_tag(&start, &mut prefixes);
                prefixes.pop();
                good
            }
            Ok(Event::End(_)) => prefixes.pop().is_some(),
            Ok(Event::Text(text)) => {
                let Ok(text) = text.decode() else { return false };
                if inside { !text.contains("]]>") } else { text.trim().is_empty() }
            }
            Ok(Event::GeneralRef(reference)) => inside && resolve(&reference).is_ok_and(|text| text.chars().all(is_xml)),
            Ok(Event::Eof) => return !inside && roots == 1,
            // Declarations, comments and so on, which Prosody does not write.
            Ok(_) | Err(_) => false,
        };
        if !good {
            return false;
        }
    }
}

/// Whether a start tag can be copied into a document, inside elements with the given prefixes. Adds the prefixes that it declares.
fn is_tag(tag: &BytesStart<'_>, prefixes: &mut Vec<Vec<String>>) -> bool {
    let Ok(whole) = from_utf8(tag) else { return false };
    let Ok(name) = from_utf8(tag.name().into_inner()).map(ToOwned::to_owned) else { return false };
    let mut names = vec![name];
    let mut declared = vec!["xml".to_owned()];
    for attribute in tag.attributes() {
        let Ok(attribute) = attribute else { return false };
        let (Ok(name), Ok(written)) = (from_utf8(attribute.key.into_inner()), from_utf8(&attribute.value)) else {
            return false;
        };
        let good = attribute.normalized_value(XmlVersion::Implicit1_0).is_ok_and(|value| value.chars().all(is_xml));
        if !good || written.contains('<') {
            return false;
        }
        match name.strip_prefix("xmlns:") {
            Some(prefix) => declared.push(prefix.to_owned()),
            None => names.push(name.to_owned()),
        }
    }
    prefixes.push(declared);
    let is_declared = |prefix: &str| prefixes.iter().flatten().any(|declared| declared == prefix);
    !whole.contains('\r')
        && names.iter().all(|name| match name.split_once(':') {
            Some((prefix, name)) => is_name(prefix) && is_name(name) && is_declared(prefix),
            None => is_name(name),
        })
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

fn push_escaped(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            // A parser replaces these by spaces in an attribute.
            '\n' | '\t' => {
                let _ = write!(text, "&#x{:x};", u32::from(c));
            }
            c if !is_xml(c) => text.push(char::REPLACEMENT_CHARACTER),
            c => push_character(text, c),
        }
    }
}

fn push_visible(text: &mut String, xml: &str) {
    if xml.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        text.push_str(xml);
    } else {
        xml.chars().for_each(|c| push_character(text, c));
    }
}

/// A character as XML. One that controls a terminal is written as a reference, which means the same.
fn push_character(text: &mut String, c: char) {
    if steers(c) && !matches!(c, '\n' | '\t') {
        let _ = write!(text, "&#x{:x};", u32::from(c));
    } else {
        text.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::xml::Element;
    use crate::render::sample;
    use expect_test::expect;
    use proptest::prelude::*;

    fn document(events: &[StoredEvent]) -> String {
        let mut xml = Xml::new("example.com");
        [xml.begin(), xml.entries(events), xml.end()].concat()
    }

    #[test]
    fn entries_are_as_they_are_stored() {
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <audit-log version="1" host="example.com">
            <entry stored="2026-11-24T12:00:00Z" class="events" user="juliet@example.com"><audit-event source='mod_audit_auth' type='authentication-success' user='juliet@example.com' xmlns:ns1='xmpp:prosody.im/audit' ns1:id='01a20e7e-d2b8-75d1-8370-6296c154b976'><session xmlns='xmpp:prosody.im/audit' id='c2s1' type='c2s'><remote-ip>203.0.113.7</remote-ip><location country='DE' continent='EU'>Germany</location><asn number='64500'>Example Net</asn><client>d4565fa7</client></session><authentication xmlns='xmpp:prosody.im/audit' mechanism='SCRAM-SHA-1-PLUS'/><tls xmlns='xmpp:prosody.im/audit' version='TLSv1.3' cipher='TLS_AES_256_GCM_SHA384'/></audit-event></entry>
            <entry stored="2026-11-24T11:59:51Z" class="failures" user="mallory@example.com"><audit-event source='mod_audit_auth' type='authentication-failure' user='mallory@example.com'><session xmlns='xmpp:prosody.im/audit' id='c2s1' type='c2s'><remote-ip>198.51.100.0/24</remote-ip><location country='DE' continent='EU'>Germany</location><asn number='64500'>Example Net</asn><client>d4565fa7</client></session><authentication xmlns='xmpp:prosody.im/audit' mechanism='PLAIN' condition='not-authorized'>=2+5|a\b "c" ]x</authentication><repeated xmlns='xmpp:prosody.im/audit' count='17' first='2026-11-24T11:59:00Z' last='2026-11-24T12:00:00Z' accounts='1' networks='3' at-least='true'><sample ip='198.51.100.7'/></repeated></audit-event></entry>
            <entry stored="2026-11-24T11:58:50Z" class="accounts" user="juliet@example.com"><audit-event source='mod_audit_user_accounts' type='user-password-changed' user='juliet@example.com' xmlns:ns1='xmpp:prosody.im/audit' ns1:occurred='2026-11-24T11:00:00Z'><actor xmlns='xmpp:prosody.im/audit' kind='adhoc' jid='admin@example.com/desk' caused-by='0193'><remote-ip>2001:db8::1</remote-ip></actor></audit-event></entry>
            <entry stored="2026-11-24T11:58:40Z" class="events"><audit-event source='mod_audit_status' type='server-stopped'><note>Received SIGTERM
            bye</note></audit-event></entry>
            <entry stored="2026-11-24T11:58:30Z" class="events"><audit-event source='mod_elsewhere' type='thing-happened'><thing colour='red'/></audit-event></entry>
            </audit-log>
        "#]].assert_eq(&document(&sample::events()));
    }

    #[test]
    fn content_that_could_break_the_document_is_written_as_text() {
        for (xml, good) in [
            ("<a/>", true),
            ("<a b='1' xml:lang='de'><c>x &amp; &#228;</c></a>", true),
            ("<a xmlns:n='urn:x' n:b='1'><n:c/></a>", true),
            ("<a n:b='1'/>", false),
            ("<a><n:c xmlns:n='urn:x'/><n:c/></a>", false),
            ("<a/><b/>", false),
            ("<a", false),
            ("</entry></audit-log>", false),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", false),
            ("<?xml version='1.0'?><a/>", false),
            ("<a><!-- -- --></a>", false),
            ("<a>&#1;</a>", false),
            ("<a b='&#0;'/>", false),
            ("<a b='<'/>", false),
            ("<a>]]></a>", false),
            ("<a>\u{1}</a>", false),
            ("<1a/>", false),
            ("text", false),
            ("", false),
        ] {
            assert_eq!(is_element(xml), good, "{xml}");
            let event = StoredEvent { xml: xml.to_owned(), ..StoredEvent::default() };
            let parsed = Element::parse(&document(&[event])).unwrap();
            let entry = parsed.child("entry").unwrap();
            assert_eq!(entry.elements().count(), usize::from(good), "{xml}");
            if !good {
                assert_eq!(entry.text(), xml.replace('\u{1}', "\u{fffd}"));
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_an_entry_says_it_is_one_document(text in sample::hostile(), user in sample::hostile(), class in sample::hostile()) {
            let stored = format!("<audit-event type='x'><note>{}</note></audit-event>", quick_xml::escape::escape(&text));
            for xml in [stored, text.clone()] {
                let event = StoredEvent { xml, user: Some(user.clone()), class: Some(class.clone()), ..StoredEvent::default() };
                let document = document(&[event]);
                prop_assert!(!document.chars().any(|c| steers(c) && !matches!(c, '\n' | '\t')), "{}", document);
                let parsed = Element::parse(&document).unwrap();
                let entry = parsed.child("entry").unwrap();
                prop_assert_eq!(entry.attribute("class"), Some(class.as_str()));
                if let Some(stored) = entry.child("audit-event") {
                    prop_assert_eq!(stored.child("note").unwrap().text(), text.as_str());
                }
            }
        }
    }
}
