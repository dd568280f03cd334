//! Log records of OpenTelemetry (OTLP 1.3), in its JSON encoding: one request for each entry, in a line of its own.
//!
//! Names of attributes are those of the format `json`. [`document`] makes one request of several records. Numbers of 64 bits are
//! texts in this encoding.

use serde_json::{Value as Json, json};

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::fields::{FIELDS, FieldValue, details};
use crate::render::formats::json::push;
use crate::render::note::note;
use crate::render::taxonomy::{Severity, meaning};

/// Writes OTLP.
#[derive(Debug)]
pub struct Otlp {
    host: String,
}

impl Otlp {
    /// A renderer for the log of `host`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned() }
    }

    /// One log record, as JSON in one line.
    #[must_use]
    pub fn record(&self, event: &StoredEvent) -> String {
        let (number, text) = severity(meaning(&event.kind).severity);
        let mut attributes = Vec::new();
        for field in FIELDS.iter().filter(|field| !matches!(field.name, "time" | "stored" | "host")) {
            let value = match (field.of)(event, &self.host) {
                Some(FieldValue::Text(text)) => json!({ "stringValue": text }),
                Some(FieldValue::Count(count)) => json!({ "intValue": i64::try_from(count).unwrap_or(i64::MAX).to_string() }),
                Some(FieldValue::Flag(flag)) => json!({ "boolValue": flag }),
                None => continue,
            };
            attributes.push(json!({ "key": field.name, "value": value }));
        }
        for (name, value) in details(event) {
            attributes.push(json!({ "key": name, "value": { "stringValue": value } }));
        }
        let message = Some(note(event)).filter(|note| !note.is_empty()).unwrap_or_else(|| event.kind.clone());
        let record = json!({
            "timeUnixNano": nanoseconds(event.milliseconds()),
            "observedTimeUnixNano": nanoseconds(crate::time::whole_milliseconds(event.stored)),
            "severityNumber": number,
            "severityText": text,
            "eventName": event.kind,
            "body": { "stringValue": message },
            "attributes": attributes,
        });
        line(&record)
    }

    /// One request of several records: its beginning and its end, with commas between the records.
    #[must_use]
    pub fn document(&self) -> (String, &'static str) {
        let attribute = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        let resource = line(&json!({ "attributes": [attribute("service.name", "prosody"), attribute("host.name", &self.host)] }));
        let scope = line(&json!({ "name": "prosody-audit", "version": env!("CARGO_PKG_VERSION") }));
        (format!(r#"{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"scope":{scope},"logRecords":["#), "]}]}]}")
    }
}

impl Renderer for Otlp {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        let (begin, end) = self.document();
        events.iter().map(|event| format!("{begin}{}{end}\n", self.record(event))).collect()
    }
}

fn line(value: &Json) -> String {
    let mut text = Vec::new();
    push(&mut text, value);
    String::from_utf8(text).unwrap_or_default()
}

/// A time in nanoseconds, as text: JSON's numbers have no room for it.
pub(crate) fn nanoseconds(milliseconds: i64) -> String {
    milliseconds.max(0).saturating_mul(1_000_000).to_string()
}

/// The number and the name of a severity in OpenTelemetry's model of logs.
const fn severity(severity: Severity) -> (u8, &'static str) {
    match severity.syslog() {
        0..=3 => (17, "ERROR"),
        4 => (13, "WARN"),
        5 => (10, "INFO2"),
        _ => (9, "INFO"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::printable::steers;
    use crate::render::sample;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_an_entry_says_it_is_one_request_in_one_line(event in sample::any_event()) {
            let text = Otlp::new("example.com").entries(std::slice::from_ref(&event));
            prop_assert!(!text.trim_end_matches('\n').chars().any(steers), "{}", text);
            let request: Json = serde_json::from_str(&text).unwrap();
            let record = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
            prop_assert_eq!(record["eventName"].as_str(), Some(event.kind.as_str()));
            prop_assert_eq!(record["timeUnixNano"].as_str().unwrap(), format!("{}000000", event.milliseconds()).trim_start_matches("0000000").to_owned());
        }
    }

    #[test]
    fn an_entry_is_a_log_record() {
        let text = Otlp::new("example.com").entries(&sample::events()[..1]);
        let request: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(request["resourceLogs"][0]["resource"]["attributes"][1]["value"]["stringValue"], "example.com");
        let record = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert_eq!((record["severityNumber"].as_u64(), record["eventName"].as_str()), (Some(9), Some("authentication-success")));
        let attributes = record["attributes"].as_array().unwrap();
        let value = |key: &str| attributes.iter().find(|attribute| attribute["key"] == key).map(|attribute| attribute["value"].clone());
        assert_eq!(value("asn"), Some(json!({ "intValue": "64500" })));
        assert_eq!(value("ip"), Some(json!({ "stringValue": "203.0.113.7" })));
        assert_eq!(value("authentication.mechanism"), Some(json!({ "stringValue": "SCRAM-SHA-1-PLUS" })));
    }
}
