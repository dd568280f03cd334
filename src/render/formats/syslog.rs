//! Syslog messages with structured data (RFC 5424), one in each line.
//!
//! HOSTNAME is the host in ASCII: RFC 5424 §6.2.4 requires the name as in DNS, which has A-labels (RFC 5890) for an
//! internationalized name. The facility is 13, "log audit". The element `origin` is registered with IANA. The entry itself is in
//! `audit@32473`, as a name without `@` would have to be registered, and RFC 5612 reserves the enterprise number 32473 for such
//! use.

use std::fmt::Write as _;

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::fields::{FIELDS, FieldValue, details};
use crate::render::note::note;
use crate::render::printable::printable;
use crate::render::taxonomy::meaning;

/// The facility "log audit" (RFC 5424, section 6.2.1).
const FACILITY: u32 = 13;

/// The element with the entry.
const ELEMENT: &str = "audit@32473";

/// The longest name of a parameter or of a message type.
const NAME: usize = 32;

/// Writes syslog messages.
#[derive(Debug)]
pub struct Syslog {
    host: String,
    hostname: String,
}

impl Syslog {
    /// A renderer for the log of `host`, whose name in ASCII is `ascii`. Without that name, HOSTNAME is the nil value, `-`.
    #[must_use]
    pub fn new(host: &str, ascii: Option<&str>) -> Self {
        Self {
            host: host.to_owned(),
            hostname: ascii.filter(|name| name.is_ascii()).map_or_else(|| "-".to_owned(), |name| word(name, 255)),
        }
    }

    fn push(&self, line: &mut String, event: &StoredEvent) {
        let priority = FACILITY.saturating_mul(8).saturating_add(meaning(&event.kind).severity.syslog());
        let _ = write!(line, "<{priority}>1 {} {} prosody-audit - {} ", event.date_time(), self.hostname, word(&event.kind, NAME));
        let _ = write!(line, "[origin software=\"prosody-audit\" swVersion=\"{}\"][{ELEMENT}", env!("CARGO_PKG_VERSION"));
        for field in FIELDS {
            match (field.of)(event, &self.host) {
                Some(FieldValue::Text(text)) => push_parameter(line, field.name, &text),
                Some(FieldValue::Count(count)) => push_parameter(line, field.name, &count.to_string()),
                Some(FieldValue::Flag(flag)) => push_parameter(line, field.name, if flag { "true" } else { "false" }),
                None => {}
            }
        }
        // A value whose name is not allowed here is only in the message.
        for (name, value) in details(event).iter().filter(|(name, _)| name.len() <= NAME && name.bytes().all(is_name)) {
            push_parameter(line, name, value);
        }
        line.push(']');
        let note = note(event);
        if !note.is_empty() {
            line.push(' ');
            line.push_str(&printable(&note));
        }
        line.push('\n');
    }
}

impl Renderer for Syslog {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        let mut lines = String::with_capacity(events.len().saturating_mul(768));
        for event in events {
            self.push(&mut lines, event);
        }
        lines
    }
}

/// A text as a header field: printable ASCII without spaces, at most `longest` characters, or `-` if it is empty.
fn word(text: &str, longest: usize) -> String {
    let word: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(longest).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"')
}

fn push_parameter(line: &mut String, name: &str, value: &str) {
    line.push(' ');
    line.push_str(name);
    line.push_str("=\"");
    for c in printable(value).chars() {
        if matches!(c, '"' | '\\' | ']') {
            line.push('\\');
        }
        line.push(c);
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::printable::steers;
    use crate::render::sample;
    use expect_test::expect;
    use proptest::prelude::*;

    /// An element of structured data: its name, its parameters.
    type Structured = (String, Vec<(String, String)>);

    /// Reads a message as RFC 5424 writes it: header fields, structured data, message.
    fn read(line: &str) -> Option<(Vec<&str>, Vec<Structured>, String)> {
        let mut rest = line;
        let mut header = Vec::new();
        for _ in 0..6 {
            let (field, after) = rest.split_once(' ')?;
            header.push(field);
            rest = after;
        }
        let mut elements = Vec::new();
        let mut characters = rest.chars().peekable();
        while characters.next_if_eq(&'[').is_some() {
            let take = |characters: &mut std::iter::Peekable<std::str::Chars<'_>>| {
                std::iter::from_fn(|| characters.next_if(|c| c.is_ascii_graphic() && !"=]\" ".contains(*c))).collect::<String>()
            };
            let id = take(&mut characters);
            let mut parameters = Vec::new();
            while characters.next_if_eq(&' ').is_some() {
                let name = take(&mut characters);
                if name.is_empty() || name.len() > 32 || characters.next()? != '=' || characters.next()? != '"' {
                    return None;
                }
                let mut value = String::new();
                loop {
                    match characters.next()? {
                        '\\' => value.push(characters.next()?),
                        '"' => break,
                        ']' => return None,
                        c => value.push(c),
                    }
                }
                parameters.push((name, value));
            }
            if characters.next()? != ']' {
                return None;
            }
            elements.push((id, parameters));
        }
        match characters.next() {
            None | Some(' ') => Some((header, elements, characters.collect())),
            Some(_) => None,
        }
    }

    #[test]
    fn an_entry_is_one_message() {
        expect![[r#"
            <110>1 2026-11-24T12:00:00Z example.com prosody-audit - authentication-success [origin software="prosody-audit" swVersion="0.1.0"][audit@32473 schema="1" id="01a20e7e-d2b8-75d1-8370-6296c154b976" time="2026-11-24T12:00:00Z" host="example.com" class="events" type="authentication-success" user="juliet@example.com" source="mod_audit_auth" session.id="c2s1" session.type="c2s" ip="203.0.113.7" country="DE" continent="EU" asn="64500" as_organization="Example Net" client="d4565fa7" authentication.mechanism="SCRAM-SHA-1-PLUS" tls.cipher="TLS_AES_256_GCM_SHA384" tls.version="TLSv1.3"] SCRAM-SHA-1-PLUS; TLSv1.3
            <109>1 2026-11-24T11:59:51Z example.com prosody-audit - authentication-failure [origin software="prosody-audit" swVersion="0.1.0"][audit@32473 schema="1" time="2026-11-24T11:59:51Z" host="example.com" class="failures" type="authentication-failure" user="mallory@example.com" source="mod_audit_auth" session.id="c2s1" session.type="c2s" network="198.51.100.0/24" country="DE" continent="EU" asn="64500" as_organization="Example Net" client="d4565fa7" repeated.count="17" repeated.first="2026-11-24T11:59:00Z" repeated.last="2026-11-24T12:00:00Z" repeated.accounts="1" repeated.networks="3" repeated.at_least="true" repeated.sample.ip="198.51.100.7" authentication.condition="not-authorized" authentication.mechanism="PLAIN" authentication.text="=2+5|a\\b \"c\" \]x"] at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b "c" ]x)
            <109>1 2026-11-24T11:00:00Z example.com prosody-audit - user-password-changed [origin software="prosody-audit" swVersion="0.1.0"][audit@32473 schema="1" time="2026-11-24T11:00:00Z" stored="2026-11-24T11:58:50Z" host="example.com" class="accounts" type="user-password-changed" user="juliet@example.com" source="mod_audit_user_accounts" actor.kind="adhoc" actor.jid="admin@example.com/desk" actor.ip="2001:db8::1" actor.caused_by="0193"] by admin@example.com/desk (adhoc) at 2001:db8::1
            <109>1 2026-11-24T11:58:40Z example.com prosody-audit - server-stopped [origin software="prosody-audit" swVersion="0.1.0"][audit@32473 schema="1" time="2026-11-24T11:58:40Z" host="example.com" class="events" type="server-stopped" source="mod_audit_status" note.text="Received SIGTERM bye"] Received SIGTERM bye
            <110>1 2026-11-24T11:58:30Z example.com prosody-audit - thing-happened [origin software="prosody-audit" swVersion="0.1.0"][audit@32473 schema="1" time="2026-11-24T11:58:30Z" host="example.com" class="events" type="thing-happened" source="mod_elsewhere" thing.colour="red"] thing: colour=red
        "#]].assert_eq(&Syslog::new("example.com", Some("example.com")).entries(&sample::events()));
    }

    #[test]
    fn an_internationalized_host_is_in_a_labels() {
        for (host, ascii, shown) in [
            ("bücher.example", Some("xn--bcher-kva.example"), "xn--bcher-kva.example"),
            ("bücher.example", Some("bücher.example"), "-"),
            ("bücher.example", None, "-"),
            ("example.com", Some("example.com"), "example.com"),
        ] {
            let text = Syslog::new(host, ascii).entries(&sample::events()[..1]);
            assert_eq!(text.split(' ').nth(2), Some(shown), "{text}");
            assert!(text.contains(&format!(" host=\"{host}\"")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_an_entry_says_it_is_one_message_that_reads_back(event in sample::any_event()) {
            let text = Syslog::new("example.com", Some("example.com")).entries(std::slice::from_ref(&event));
            let line = text.strip_suffix('\n').unwrap();
            prop_assert!(!line.chars().any(steers), "{}", line);
            let (header, elements, message) = read(line).ok_or_else(|| TestCaseError::fail(line.to_owned()))?;
            prop_assert_eq!(header[2], "example.com");
            prop_assert!(header[5].len() <= 32);
            let (id, parameters) = &elements[1];
            prop_assert_eq!((elements.len(), id.as_str()), (2, ELEMENT));
            let value = |name: &str| parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
            prop_assert_eq!(value("type"), Some(printable(&event.kind)));
            prop_assert_eq!(value("user"), event.user.as_deref().map(printable));
            prop_assert_eq!(message, printable(&note(&event)));
        }
    }
}
