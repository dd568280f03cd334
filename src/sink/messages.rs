//! From an entry to a message: whether it is wanted, how much of its addresses is sent, and its text.

use crate::address::Policy;
use crate::address::replaced;
use crate::alert::ALERT;
use crate::entry::personal::{ADDRESS_ATTRIBUTES, ADDRESS_ELEMENTS, HASH_ELEMENTS, TEXT_ATTRIBUTES, TEXT_ELEMENT};
use crate::entry::xml::{Element, Node};
use crate::entry::{Row, StoredEvent};
use crate::filter::Filter;
use crate::journal::cursor::{Gap, Place, Read};
use crate::render::formats::Format;
use crate::render::formats::otlp::{Otlp, nanoseconds};
use crate::render::framing::Framing;
use crate::render::{Options, Renderer, renderer};
use crate::time::date_time;
use serde_json::json;

/// The type of the record that says how many entries are missing. It is sent, and never stored.
pub const GAP: &str = "audit-sink-gap";
/// The type of a test.
pub const TEST: &str = "audit-sink-test";
/// The module in whose name both are sent.
const SOURCE: &str = "mod_audit_sinks";
/// What is sent in the place of an address in a text.
const HIDDEN: &str = "***";

/// A message for a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The text, without a newline. `None` for an entry that is not wanted: only its place counts.
    pub text: Option<String>,
    /// The id of the entry, if it has one.
    pub id: Option<String>,
    /// The event type.
    pub kind: String,
    /// The place after it.
    pub place: Place,
}

/// Makes messages of the entries of one host.
pub struct Messages {
    host: String,
    filter: Filter,
    addresses: Policy,
    form: Form,
    /// The name of the sink.
    sink: String,
    takes_alerts: bool,
}

enum Form {
    Rendered(Box<dyn Renderer>),
    Records(Otlp),
    /// With a line before each entry that names its id, so that what is sent twice is stored once.
    Bulk(Box<dyn Renderer>),
    /// Pairs of a time and a line.
    Loki(Box<dyn Renderer>),
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").field("host", &self.host).finish_non_exhaustive()
    }
}

/// How an address is hashed: returns the hash.
type Hash<'a> = &'a mut dyn FnMut(&str) -> Option<String>;

impl Messages {
    /// Messages in `format` of the entries of `host`, whose name in ASCII is `ascii_host`. For the bodies of
    /// `framing`, `None` if they are no bodies of HTTP. Messages in OTLP are single records there, for [`wrap`](Self::wrap).
    #[must_use]
    pub fn new(
        host: &str,
        ascii_host: Option<String>,
        format: Format,
        framing: Option<Framing>,
        filter: Filter,
        addresses: Policy,
    ) -> Self {
        let rendered = || renderer(format, &Options { ascii_host, ..Options::new(host) });
        let form = match framing {
            Some(_) if format == Format::Otlp => Form::Records(Otlp::new(host)),
            Some(Framing::Bulk) => Form::Bulk(rendered()),
            Some(Framing::Loki) => Form::Loki(rendered()),
            _ => Form::Rendered(rendered()),
        };
        Self {
            host: host.to_owned(),
            filter: Filter { host: host.to_owned(), ..filter },
            addresses,
            form,
            sink: String::new(),
            takes_alerts: false,
        }
    }

    /// Says for which sink they are. Alerts about it are not for it.
    #[must_use]
    pub fn of_sink(mut self, name: &str) -> Self {
        name.clone_into(&mut self.sink);
        self
    }

    /// Whether alerts are wanted in any case, also if the filter leaves them out.
    pub const fn take_alerts(&mut self, takes_alerts: bool) {
        self.takes_alerts = takes_alerts;
    }

    /// The message of what was read. `now` is in UNIX seconds, and `hash` hashes an address with the key of the host.
    pub fn message(&mut self, read: Read, place: Place, now: f64, hash: Hash<'_>) -> Message {
        match read {
            Read::Event(mut event) => {
                let is_wanted = self.wants(&event);
                if is_wanted {
                    narrow(&mut event, self.addresses, hash);
                }
                let text = is_wanted.then(|| self.text(&event));
                Message { text, id: event.id, kind: event.kind, place }
            }
            Read::Gap(gap) => {
                let text = Some(self.text(&gap_event(&gap, now)));
                Message { text, id: None, kind: GAP.to_owned(), place }
            }
        }
    }

    /// The text of a test entry.
    pub fn test(&mut self, now: f64) -> String {
        self.text(&own_event(TEST, now, "test", Vec::new()))
    }

    /// What stands before and behind the messages of one body.
    #[must_use]
    pub fn wrap(&self) -> Option<(String, &'static str)> {
        match &self.form {
            Form::Records(otlp) => Some(otlp.document()),
            Form::Loki(_) => {
                let labels = json!({ "job": "prosody-audit", "host": self.host });
                Some((format!("{{\"streams\":[{{\"stream\":{labels},\"values\":["), "]}]}"))
            }
            Form::Rendered(_) | Form::Bulk(_) => None,
        }
    }

    fn wants(&self, event: &StoredEvent) -> bool {
        if event.kind == ALERT {
            let sink = event.details.iter().find_map(|detail| detail.attribute("sink"));
            if self.takes_alerts || sink == Some(&self.sink) {
                return sink != Some(&self.sink);
            }
        }
        let class = event.class.as_deref().unwrap_or_default();
        let row = Row { when: event.stored, with: event.user.clone(), ..Row::default() };
        self.filter.wants_class(class) && self.filter.admits(&row, event)
    }

    fn text(&mut self, event: &StoredEvent) -> String {
        match &mut self.form {
            Form::Records(otlp) => otlp.record(event),
            Form::Rendered(renderer) => line(renderer.as_mut(), event),
            Form::Bulk(renderer) => {
                // What is there already is not written again (Elasticsearch's Bulk API).
                let action = event.id.as_ref().map_or_else(|| json!({ "create": {} }), |id| json!({ "create": { "_id": id } }));
                format!("{action}\n{}", line(renderer.as_mut(), event))
            }
            Form::Loki(renderer) => {
                let line = line(renderer.as_mut(), event);
                json!([nanoseconds(event.milliseconds()), line]).to_string()
            }
        }
    }
}

/// An entry without a newline at its end.
fn line(renderer: &mut dyn Renderer, event: &StoredEvent) -> String {
    let mut text = renderer.entries(std::slice::from_ref(event));
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// An event that is sent and never stored.
fn own_event(kind: &str, now: f64, detail: &str, attributes: Vec<(String, String)>) -> StoredEvent {
    let detail = Element { name: detail.to_owned(), attributes, children: Vec::new() };
    let now = now.floor();
    StoredEvent {
        time: now,
        stored: now,
        source: SOURCE.to_owned(),
        kind: kind.to_owned(),
        details: vec![detail],
        ..StoredEvent::default()
    }
}

fn gap_event(gap: &Gap, now: f64) -> StoredEvent {
    let time = |name: &str, time: f64| Some((name.to_owned(), date_time(time)?));
    let count = ("count".to_owned(), gap.count.to_string());
    let attributes = [Some(count), time("since", gap.since), time("until", gap.until)].into_iter().flatten().collect();
    own_event(GAP, now, "missing", attributes)
}

/// Shortens or removes the addresses of an entry. What is left is never more than the store has.
fn narrow(event: &mut StoredEvent, policy: Policy, hash: Hash<'_>) {
    if policy == Policy::Full {
        return;
    }
    if policy == Policy::Hash {
        let address = event.ip.as_deref().filter(|ip| !ip.contains('/'));
        if let Some(address) = address.filter(|_| event.ip_hash.is_none()) {
            event.ip_hash = hash(address);
        }
    } else {
        event.ip_hash = None;
    }
    event.ip = event.ip.as_deref().and_then(|ip| policy.narrow(ip));
    if let Some(actor) = &mut event.actor {
        actor.ip = actor.ip.as_deref().and_then(|ip| policy.narrow(ip));
    }
    let samples = event.repeated.iter_mut().flat_map(|repeated| &mut repeated.samples);
    for element in samples.chain(&mut event.details) {
        narrow_element(element, policy);
    }
}

fn narrow_element(element: &mut Element, policy: Policy) {
    let is_text = element.name == TEXT_ELEMENT;
    element.attributes.retain_mut(|(name, value)| {
        if ADDRESS_ATTRIBUTES.contains(&name.as_str()) {
            let left = policy.narrow(value);
            let stays = left.is_some();
            *value = left.unwrap_or_default();
            return stays;
        }
        if is_text && TEXT_ATTRIBUTES.contains(&name.as_str()) {
            *value = replaced(value, |address| policy.narrow(address).unwrap_or_else(|| HIDDEN.to_owned()));
        }
        true
    });
    element.children.retain_mut(|child| {
        let Node::Element(child) = child else { return true };
        if ADDRESS_ELEMENTS.contains(&child.name.as_str()) {
            let left = policy.narrow(&child.text());
            let stays = left.is_some();
            child.children = left.into_iter().map(Node::Text).collect();
            return stays;
        }
        if HASH_ELEMENTS.contains(&child.name.as_str()) {
            return policy == Policy::Hash;
        }
        narrow_element(child, policy);
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::pattern::Pattern;
    use crate::journal::cursor::Cursor;
    use crate::journal::tail::Tail;
    use crate::render::sample;

    fn place() -> Place {
        Cursor::open(&mut Tail::new(0, 0.0), None, uuid::Uuid::nil()).place().clone()
    }

    fn text_of(messages: &mut Messages, event: &StoredEvent) -> Option<String> {
        let mut hash = |address: &str| Some(format!("hash-of-{address}"));
        messages.message(Read::Event(Box::new(event.clone())), place(), 5.0, &mut hash).text
    }

    fn messages(format: Format, filter: Filter, addresses: Policy) -> Messages {
        Messages::new("example.com", None, format, None, filter, addresses)
    }

    #[test]
    fn an_entry_is_one_message_without_a_newline_in_every_format_of_lines() {
        for format in [Format::Json, Format::Ocsf, Format::Ecs, Format::Cef, Format::Syslog, Format::Otlp] {
            for event in sample::events() {
                let text = text_of(&mut messages(format, Filter::default(), Policy::Full), &event).unwrap();
                assert!(!text.contains('\n') && !text.is_empty(), "{text}");
            }
        }
    }

    #[test]
    fn a_bulk_request_names_the_id_of_each_entry_before_it() {
        let bulk = Some(Framing::Bulk);
        let mut messages = Messages::new("example.com", None, Format::Ecs, bulk, Filter::default(), Policy::Full);
        for event in sample::events() {
            let text = text_of(&mut messages, &event).unwrap();
            let (action, entry) = text.split_once('\n').unwrap();
            let (action, entry): (serde_json::Value, serde_json::Value) = (action.parse().unwrap(), entry.parse().unwrap());
            assert_eq!(action["create"].get("_id").and_then(|id| id.as_str()), event.id.as_deref());
            assert!(entry["@timestamp"].is_string(), "{entry}");
        }
        assert!(messages.test(5.0).starts_with("{\"create\":{}}\n"));
        assert_eq!(messages.wrap(), None);
    }

    #[test]
    fn loki_gets_the_nanoseconds_and_the_line_of_each_entry() {
        let mut messages = Messages::new("a\".example.com", None, Format::Json, Some(Framing::Loki), Filter::default(), Policy::Full);
        let (begin, end) = messages.wrap().unwrap();
        for event in sample::events() {
            let text = text_of(&mut messages, &event).unwrap();
            let body: serde_json::Value = format!("{begin}{text},{text}{end}").parse().unwrap();
            let stream = &body["streams"][0];
            assert_eq!(stream["stream"], json!({ "job": "prosody-audit", "host": "a\".example.com" }));
            assert_eq!(stream["values"][1][0], format!("{}000000", event.milliseconds()));
            let line: serde_json::Value = stream["values"][1][1].as_str().unwrap().parse().unwrap();
            assert_eq!(line["type"], event.kind);
        }
    }

    #[test]
    fn only_wanted_entries_have_a_text() {
        let filter = Filter { types: vec![Pattern::new("*-failure")], classes: vec![Pattern::new("failures")], ..Filter::default() };
        let mut messages = messages(Format::Json, filter, Policy::Full);
        let wanted: Vec<bool> = sample::events().iter().map(|event| text_of(&mut messages, event).is_some()).collect();
        assert_eq!(wanted, [false, true, false, false, false]);
    }

    #[test]
    fn alerts_are_for_the_sinks_that_are_told_to_take_them_but_not_those_about_themselves() {
        let alert = |sink: Option<&str>| {
            let attributes = sink.map(|name| ("sink".to_owned(), name.to_owned())).into_iter().collect();
            own_event(ALERT, 5.0, "alert", attributes)
        };
        let only_failures = || Filter { types: vec![Pattern::new("*-failure")], ..Filter::default() };
        for (filter, takes_alerts, about, expected) in [
            (Filter::default(), false, None, true),
            (Filter::default(), false, Some("other"), true),
            (Filter::default(), false, Some("siem"), false),
            (only_failures(), false, None, false),
            (only_failures(), true, None, true),
            (only_failures(), true, Some("other"), true),
            (only_failures(), true, Some("siem"), false),
        ] {
            let mut messages = messages(Format::Json, filter, Policy::Full).of_sink("siem");
            messages.take_alerts(takes_alerts);
            assert_eq!(text_of(&mut messages, &alert(about)).is_some(), expected, "{takes_alerts} {about:?}");
        }
    }

    #[test]
    fn no_more_of_an_address_is_sent_than_the_policy_allows() {
        let text = |policy| {
            let mut messages = messages(Format::Json, Filter::default(), policy);
            sample::events().iter().filter_map(|event| text_of(&mut messages, event)).collect::<String>()
        };
        let addresses = ["203.0.113.7", "198.51.100.0/24", "198.51.100.7", "2001:db8::1"];
        assert!(addresses.iter().all(|address| text(Policy::Full).contains(address)));
        let prefix = text(Policy::prefix(Some(16), None));
        assert!(prefix.contains("203.0.0.0/16") && prefix.contains("198.51.0.0/16") && prefix.contains("2001:db8::/48"), "{prefix}");
        for policy in [Policy::Hash, Policy::None] {
            let text = text(policy).replace("hash-of-203.0.113.7", "HASH");
            assert!(!addresses.iter().any(|address| text.contains(address)), "{text}");
            assert_eq!(text.contains(r#""ip_hash":"HASH""#), policy == Policy::Hash);
        }
    }

    #[test]
    fn a_gap_says_how_many_are_missing_and_since_when() {
        let gap = Read::Gap(Gap { count: 7, since: 1000.0, until: 2000.0 });
        let message = messages(Format::Json, Filter::default(), Policy::Full).message(gap, place(), 3000.5, &mut |_| None);
        let expected = r#"{"schema":1,"time":"1970-01-01T00:50:00Z","host":"example.com","type":"audit-sink-gap","source":"mod_audit_sinks","missing.count":"7","missing.since":"1970-01-01T00:16:40Z","missing.until":"1970-01-01T00:33:20Z"}"#;
        assert_eq!((message.text.as_deref(), message.id), (Some(expected), None));
    }
}
