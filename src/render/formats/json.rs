//! JSON Lines: one flat object for each entry. `docs/schema.md` describes it, and `docs/audit-event.schema.json` is its schema.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::ser::Formatter;

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::fields::{FIELDS, FieldValue, details};
use crate::render::printable::steers;

/// Writes JSON Lines.
#[derive(Debug)]
pub struct Json {
    host: String,
}

impl Json {
    /// A renderer for the log of `host`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned() }
    }
}

impl Renderer for Json {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        lines(events, |event| Line { event, host: &self.host })
    }
}

/// Entries as JSON, each in a line of its own.
pub(super) fn lines<'a, T: Serialize>(events: &'a [StoredEvent], json: impl Fn(&'a StoredEvent) -> T) -> String {
    let mut lines = Vec::with_capacity(events.len().saturating_mul(1024));
    for event in events {
        push(&mut lines, &json(event));
        lines.push(b'\n');
    }
    String::from_utf8(lines).unwrap_or_default()
}

/// Adds a value as JSON in one line, without a newline.
pub(super) fn push(text: &mut Vec<u8>, value: &impl Serialize) {
    // Writing to memory can't fail, and all keys are strings.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(text, OneLine));
}

/// Details as one object.
pub(super) fn object(details: &[(String, &str)]) -> String {
    let mut text = Vec::new();
    push(&mut text, &Object(details));
    String::from_utf8(text).unwrap_or_default()
}

/// Details, to be written as an object.
pub(super) struct Object<'a>(pub(super) &'a [(String, &'a str)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

struct Line<'a> {
    event: &'a StoredEvent,
    host: &'a str,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for field in FIELDS {
            match (field.of)(self.event, self.host) {
                Some(FieldValue::Text(text)) => object.serialize_entry(field.name, &text)?,
                Some(FieldValue::Count(count)) => object.serialize_entry(field.name, &count)?,
                Some(FieldValue::Flag(flag)) => object.serialize_entry(field.name, &flag)?,
                None => {}
            }
        }
        for (name, value) in details(self.event) {
            object.serialize_entry(&name, value)?;
        }
        object.end()
    }
}

/// Compact JSON in which characters are escaped that control a terminal, or that some readers take for the end of a line.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut buffer = [0; 4];
        for c in fragment.chars() {
            if steers(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_all(c.encode_utf8(&mut buffer).as_bytes())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample;
    use expect_test::expect;
    use proptest::prelude::*;
    use serde_json::Value as Json_;

    #[test]
    fn an_entry_is_one_flat_object() {
        expect![[r#"
            {"schema":1,"id":"01a20e7e-d2b8-75d1-8370-6296c154b976","time":"2026-11-24T12:00:00Z","host":"example.com","class":"events","type":"authentication-success","user":"juliet@example.com","source":"mod_audit_auth","session.id":"c2s1","session.type":"c2s","ip":"203.0.113.7","country":"DE","continent":"EU","asn":64500,"as_organization":"Example Net","client":"d4565fa7","authentication.mechanism":"SCRAM-SHA-1-PLUS","tls.cipher":"TLS_AES_256_GCM_SHA384","tls.version":"TLSv1.3"}
            {"schema":1,"time":"2026-11-24T11:59:51Z","host":"example.com","class":"failures","type":"authentication-failure","user":"mallory@example.com","source":"mod_audit_auth","session.id":"c2s1","session.type":"c2s","network":"198.51.100.0/24","country":"DE","continent":"EU","asn":64500,"as_organization":"Example Net","client":"d4565fa7","repeated.count":17,"repeated.first":"2026-11-24T11:59:00Z","repeated.last":"2026-11-24T12:00:00Z","repeated.accounts":1,"repeated.networks":3,"repeated.at_least":true,"repeated.sample.ip":"198.51.100.7","authentication.condition":"not-authorized","authentication.mechanism":"PLAIN","authentication.text":"=2+5|a\\b \"c\" ]x"}
            {"schema":1,"time":"2026-11-24T11:00:00Z","stored":"2026-11-24T11:58:50Z","host":"example.com","class":"accounts","type":"user-password-changed","user":"juliet@example.com","source":"mod_audit_user_accounts","actor.kind":"adhoc","actor.jid":"admin@example.com/desk","actor.ip":"2001:db8::1","actor.caused_by":"0193"}
            {"schema":1,"time":"2026-11-24T11:58:40Z","host":"example.com","class":"events","type":"server-stopped","source":"mod_audit_status","note.text":"Received SIGTERM\nbye"}
            {"schema":1,"time":"2026-11-24T11:58:30Z","host":"example.com","class":"events","type":"thing-happened","source":"mod_elsewhere","thing.colour":"red"}
        "#]].assert_eq(&Json::new("example.com").entries(&sample::events()));
    }

    proptest! {
        #[test]
        fn whatever_an_entry_says_it_is_one_line_and_reads_back(event in sample::any_event()) {
            let text = Json::new("example.com").entries(std::slice::from_ref(&event));
            prop_assert!(!text.trim_end_matches('\n').chars().any(steers), "{}", text);
            let object: serde_json::Map<String, Json_> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(object["type"].as_str(), Some(event.kind.as_str()));
            prop_assert_eq!(object.get("user").and_then(Json_::as_str), event.user.as_deref());
            for (name, value) in details(&event) {
                prop_assert_eq!(object[&name].as_str(), Some(value));
            }
        }
    }
}
