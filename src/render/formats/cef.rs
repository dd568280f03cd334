//! ArcSight's Common Event Format, version 0, with one line for each entry.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::fields::{Link, plain_address};
use crate::render::note::note;
use crate::render::printable::steers;
use crate::render::taxonomy::meaning;
use crate::time::parse_milliseconds;

/// The key of the anchor. All custom strings have a meaning already, so it has a name as the specification wants it for keys of vendors:
/// vendor, product and meaning in one word.
const ANCHOR: &str = "ProsodyAuditAnchor";

/// Writes CEF.
#[derive(Debug)]
pub struct Cef {
    host: String,
}

impl Cef {
    /// A renderer for the log of `host`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned() }
    }

    fn push(&self, line: &mut String, event: &StoredEvent) {
        let meaning = meaning(&event.kind);
        line.push_str(concat!("CEF:0|prosody-audit|prosody-audit|", env!("CARGO_PKG_VERSION"), "|"));
        push_escaped(line, &event.kind, '|');
        line.push('|');
        push_escaped(line, &event.kind.replace('-', " "), '|');
        let _ = write!(line, "|{}|rt={}", meaning.severity.cef(), event.milliseconds());
        let mut put = |key: &str, value: Option<&str>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                line.push(' ');
                line.push_str(key);
                line.push('=');
                push_escaped(line, value, '=');
            }
        };
        let actor = event.actor.as_ref();
        let ip = event.ip.as_deref().or_else(|| actor?.ip.as_deref());
        // The peer is the source, unless this server opened the connection.
        let link = Link::of(event);
        let [peer, own, address, label, address6] = if link.is_some_and(|link| link.is_outgoing) {
            ["dhost", "shost", "dst", "Destination IPv6 Address", "c6a3"]
        } else {
            ["shost", "dhost", "src", "Source IPv6 Address", "c6a2"]
        };
        put(own, Some(&self.host));
        put(peer, link.map(|link| link.remote));
        put("deviceDirection", link.map(|link| if link.is_outgoing { "1" } else { "0" }));
        put("cat", Some(meaning.ecs.0));
        put("outcome", Some(meaning.outcome.name()));
        put("duser", event.user.as_deref());
        put("suser", actor.and_then(|actor| actor.jid.as_deref()));
        match ip.map(|ip| (ip, plain_address(ip))) {
            Some((ip, Some(IpAddr::V4(_)))) => put(address, Some(ip)),
            Some((ip, Some(IpAddr::V6(_)))) => {
                put(&format!("{address6}Label"), Some(label));
                put(address6, Some(ip));
            }
            Some((network, None)) if link.is_none() => put(peer, Some(network)),
            Some((network, None)) => {
                put("flexString2Label", Some("network"));
                put("flexString2", Some(network));
            }
            None => {}
        }
        let reason = event.details.iter().find_map(|detail| detail.attribute("condition").or_else(|| detail.attribute("reason")));
        put("reason", reason);
        put("externalId", event.id.as_deref());
        if let Some(repeated) = &event.repeated {
            put("cnt", Some(&repeated.count.to_string()));
            put("start", time(repeated.first.as_deref()).as_deref());
            put("end", time(repeated.last.as_deref()).as_deref());
        }
        let own = [
            ("module", Some(event.source.as_str())),
            ("country", event.country.as_deref()),
            ("client", event.client.as_deref()),
            ("session", event.session_id.as_deref()),
            ("class", event.class.as_deref()),
            ("actor", actor.map(|actor| actor.kind.as_str())),
        ];
        for ((label, value), number) in own.into_iter().zip(1..) {
            if value.is_some_and(|value| !value.is_empty()) {
                put(&format!("cs{number}Label"), Some(label));
                put(&format!("cs{number}"), value);
            }
        }
        if let Some(hash) = &event.ip_hash {
            put("flexString1Label", Some("address hash"));
            put("flexString1", Some(hash));
        }
        put(ANCHOR, event.anchor.as_deref());
        put("msg", Some(&note(event)));
        line.push('\n');
    }
}

impl Renderer for Cef {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        let mut lines = String::with_capacity(events.len().saturating_mul(512));
        for event in events {
            self.push(&mut lines, event);
        }
        lines
    }
}

/// Adds a text in which the backslash and the separator `special` are escaped. The text stays in one line, and can't control a
/// terminal.
fn push_escaped(line: &mut String, text: &str, special: char) {
    for c in text.chars() {
        match c {
            '\\' => line.push_str("\\\\"),
            '\n' if special == '=' => line.push_str("\\n"),
            '\r' if special == '=' => line.push_str("\\r"),
            '\n' | '\t' => line.push(' '),
            c if c == special => line.extend(['\\', c]),
            c if steers(c) => {
                let _ = write!(line, "\\\\u{{{:x}}}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}

fn time(text: Option<&str>) -> Option<String> {
    parse_milliseconds(text?).map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample;
    use expect_test::expect;
    use proptest::prelude::*;

    /// Reads a line as a receiver does: header fields, and the extension's keys with their values.
    fn read(line: &str) -> (Vec<String>, Vec<(String, String)>) {
        let mut header = vec![String::new()];
        let mut characters = line.chars();
        while header.len() < 8 {
            match characters.next().unwrap() {
                '\\' => header.last_mut().unwrap().push(characters.next().unwrap()),
                '|' => header.push(String::new()),
                c => header.last_mut().unwrap().push(c),
            }
        }
        header.pop();
        let extension: String = characters.collect();
        // Where an equals sign is not escaped, the word before it is a key.
        let mut equals = Vec::new();
        let bytes = extension.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            match bytes[index] {
                b'\\' => index += 2,
                b'=' => {
                    equals.push(index);
                    index += 1;
                }
                _ => index += 1,
            }
        }
        let key_of = |equal: usize| extension[..equal].rfind(' ').map_or(0, |space| space + 1);
        let pairs = equals.iter().enumerate().map(|(number, equal)| {
            let end = equals.get(number + 1).map_or(extension.len(), |next| key_of(*next) - 1);
            let value = extension[equal + 1..end].replace("\\=", "=").replace("\\n", "\n").replace("\\\\", "\\");
            (extension[key_of(*equal)..*equal].to_owned(), value)
        });
        (header, pairs.collect())
    }

    #[test]
    fn an_entry_is_one_line() {
        expect![[r#"
            CEF:0|prosody-audit|prosody-audit|0.1.0|authentication-success|authentication success|1|rt=1795521600000 dhost=example.com cat=authentication outcome=success duser=juliet@example.com src=203.0.113.7 externalId=01a20e7e-d2b8-75d1-8370-6296c154b976 cs1Label=module cs1=mod_audit_auth cs2Label=country cs2=DE cs3Label=client cs3=d4565fa7 cs4Label=session cs4=c2s1 cs5Label=class cs5=events msg=SCRAM-SHA-1-PLUS; TLSv1.3
            CEF:0|prosody-audit|prosody-audit|0.1.0|authentication-failure|authentication failure|3|rt=1795521591000 dhost=example.com cat=authentication outcome=failure duser=mallory@example.com shost=198.51.100.0/24 reason=not-authorized cnt=17 start=1795521540000 end=1795521600000 cs1Label=module cs1=mod_audit_auth cs2Label=country cs2=DE cs3Label=client cs3=d4565fa7 cs4Label=session cs4=c2s1 cs5Label=class cs5=failures msg=at least 17 times, 1 account, 3 networks; PLAIN not-authorized (\=2+5|a\\b "c" ]x)
            CEF:0|prosody-audit|prosody-audit|0.1.0|user-password-changed|user password changed|3|rt=1795518000000 dhost=example.com cat=iam outcome=success duser=juliet@example.com suser=admin@example.com/desk c6a2Label=Source IPv6 Address c6a2=2001:db8::1 cs1Label=module cs1=mod_audit_user_accounts cs5Label=class cs5=accounts cs6Label=actor cs6=adhoc msg=by admin@example.com/desk (adhoc) at 2001:db8::1
            CEF:0|prosody-audit|prosody-audit|0.1.0|server-stopped|server stopped|3|rt=1795521520000 dhost=example.com cat=process outcome=success cs1Label=module cs1=mod_audit_status cs5Label=class cs5=events msg=Received SIGTERM\nbye
            CEF:0|prosody-audit|prosody-audit|0.1.0|thing-happened|thing happened|1|rt=1795521510000 dhost=example.com cat=session outcome=success cs1Label=module cs1=mod_elsewhere cs5Label=class cs5=events msg=thing: colour\=red
        "#]].assert_eq(&Cef::new("example.com").entries(&sample::events()));
    }

    #[test]
    fn separators_are_escaped() {
        let hostile = |text: &str| StoredEvent { kind: text.to_owned(), client: Some(text.to_owned()), ..StoredEvent::default() };
        let line = Cef::new("h").entries(&[hostile("a|b=c\\d\ne src=1.2.3.4")]);
        let (header, extension) = read(line.trim_end_matches('\n'));
        assert_eq!((header.len(), header[4].as_str()), (7, "a|b=c\\d e src=1.2.3.4"));
        assert!(!extension.iter().any(|(key, _)| key == "src"), "{extension:?}");
        assert_eq!(extension.iter().find(|(key, _)| key == "cs3").unwrap().1, "a|b=c\\d\ne src=1.2.3.4");
    }

    #[test]
    fn a_connection_runs_from_the_server_that_opened_it() {
        for (direction, ip, expected) in [
            (
                "incoming",
                "203.0.113.7",
                "dhost=example.com shost=remote.example deviceDirection=0 cat=network outcome=success src=203.0.113.7",
            ),
            (
                "outgoing",
                "203.0.113.7",
                "shost=example.com dhost=remote.example deviceDirection=1 cat=network outcome=success dst=203.0.113.7",
            ),
            (
                "outgoing",
                "2001:db8::7",
                "shost=example.com dhost=remote.example deviceDirection=1 cat=network outcome=success \
                 c6a3Label=Destination IPv6 Address c6a3=2001:db8::7",
            ),
            (
                "incoming",
                "203.0.113.0/24",
                "dhost=example.com shost=remote.example deviceDirection=0 cat=network outcome=success \
                 flexString2Label=network flexString2=203.0.113.0/24",
            ),
        ] {
            let line = Cef::new("example.com").entries(&[sample::link("s2s-established", direction, Some(ip))]);
            assert!(line.contains(expected), "{line}");
        }
    }

    proptest! {
        #[test]
        fn whatever_an_entry_says_it_is_one_line_with_known_keys(event in sample::any_event()) {
            let text = Cef::new("example.com").entries(std::slice::from_ref(&event));
            let line = text.strip_suffix('\n').unwrap();
            prop_assert!(!line.chars().any(steers), "{}", line);
            let (header, extension) = read(line);
            prop_assert_eq!(header.len(), 7);
            for (key, _) in &extension {
                let known = ["rt", "dhost", "cat", "outcome", "duser", "suser", "src", "c6a2", "c6a2Label", "shost", "reason", "externalId", "cnt",
                    "start", "end", "flexString1", "flexString1Label", "msg"];
                prop_assert!(known.contains(&key.as_str()) || key.starts_with("cs"), "{} in {}", key, line);
            }
        }
    }
}
