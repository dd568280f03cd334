//! Comma-separated values (RFC 4180), safe to open in a spreadsheet.
//!
//! The text is UTF-8. Excel only recognises that if the file begins with a byte order mark, which `--bom` adds.
//!
//! Every field of [`FIELDS`] is a column. The column `note` has the rest in words, and `details` has it as JSON.

use csv::{Terminator, WriterBuilder};

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::fields::{FIELDS, FieldValue, details};
use crate::render::formats::json::object;
use crate::render::note::note;
use crate::render::printable::printable;

/// Writes CSV.
#[derive(Debug)]
pub struct Csv {
    host: String,
    byte_order_mark: bool,
}

impl Csv {
    /// A renderer for the log of `host`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned(), byte_order_mark: false }
    }

    /// Sets whether the text begins with a byte order mark.
    #[must_use]
    pub fn with_byte_order_mark(mut self, wanted: bool) -> Self {
        self.byte_order_mark = wanted;
        self
    }

    fn record(&self, event: &StoredEvent) -> Vec<String> {
        let fields = FIELDS.iter().map(|field| match (field.of)(event, &self.host) {
            Some(FieldValue::Text(text)) => cell(&text),
            Some(FieldValue::Count(count)) => count.to_string(),
            Some(FieldValue::Flag(flag)) => flag.to_string(),
            None => String::new(),
        });
        let details = details(event);
        let details = if details.is_empty() { String::new() } else { object(&details) };
        fields.chain([cell(&note(event)), details]).collect()
    }
}

impl Renderer for Csv {
    fn begin(&mut self) -> String {
        let mark = if self.byte_order_mark { "\u{feff}" } else { "" };
        mark.to_owned()
            + &rows(
                [FIELDS.iter().map(|field| field.name.to_owned()).chain(["note".to_owned(), "details".to_owned()]).collect()].into_iter(),
            )
    }

    fn entries(&mut self, events: &[StoredEvent]) -> String {
        rows(events.iter().map(|event| self.record(event)))
    }
}

fn rows(records: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    for record in records {
        // Writing to memory can't fail, and all records have the same length.
        let _ = writer.write_record(record);
    }
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// A text that is safe for a spreadsheet: a cell that begins like a formula would be run (OWASP, CSV injection), so an apostrophe
/// is put before it.
fn cell(text: &str) -> String {
    let shown = printable(text);
    // A character that `printable` replaces by a space could begin a formula, too.
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) { format!("'{shown}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::printable::steers;
    use crate::render::sample;
    use expect_test::expect;
    use proptest::prelude::*;

    #[test]
    fn an_entry_is_one_row() {
        let mut csv = Csv::new("example.com");
        let text = [csv.begin(), csv.entries(&sample::events()), csv.end()].concat();
        expect![[r#"
            schema,id,time,stored,host,class,type,user,source,session.id,session.type,ip,network,ip_hash,country,continent,asn,as_organization,client,actor.kind,actor.jid,actor.ip,actor.network,actor.caused_by,repeated.count,repeated.first,repeated.last,repeated.accounts,repeated.networks,repeated.actors,repeated.match,repeated.at_least,repeated.distinct_at_least,anchor,note,details
            1,01a20e7e-d2b8-75d1-8370-6296c154b976,2026-11-24T12:00:00Z,,example.com,events,authentication-success,juliet@example.com,mod_audit_auth,c2s1,c2s,203.0.113.7,,,DE,EU,64500,Example Net,d4565fa7,,,,,,,,,,,,,,,,SCRAM-SHA-1-PLUS; TLSv1.3,"{""authentication.mechanism"":""SCRAM-SHA-1-PLUS"",""tls.cipher"":""TLS_AES_256_GCM_SHA384"",""tls.version"":""TLSv1.3""}"
            1,,2026-11-24T11:59:51Z,,example.com,failures,authentication-failure,mallory@example.com,mod_audit_auth,c2s1,c2s,,198.51.100.0/24,,DE,EU,64500,Example Net,d4565fa7,,,,,,17,2026-11-24T11:59:00Z,2026-11-24T12:00:00Z,1,3,,,true,,,"at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b ""c"" ]x)","{""repeated.sample.ip"":""198.51.100.7"",""authentication.condition"":""not-authorized"",""authentication.mechanism"":""PLAIN"",""authentication.text"":""=2+5|a\\b \""c\"" ]x""}"
            1,,2026-11-24T11:00:00Z,2026-11-24T11:58:50Z,example.com,accounts,user-password-changed,juliet@example.com,mod_audit_user_accounts,,,,,,,,,,,adhoc,admin@example.com/desk,2001:db8::1,,0193,,,,,,,,,,,by admin@example.com/desk (adhoc) at 2001:db8::1,
            1,,2026-11-24T11:58:40Z,,example.com,events,server-stopped,,mod_audit_status,,,,,,,,,,,,,,,,,,,,,,,,,,Received SIGTERM bye,"{""note.text"":""Received SIGTERM\nbye""}"
            1,,2026-11-24T11:58:30Z,,example.com,events,thing-happened,,mod_elsewhere,,,,,,,,,,,,,,,,,,,,,,,,,,thing: colour=red,"{""thing.colour"":""red""}"
        "#]].assert_eq(&text.replace('\r', ""));
    }

    #[test]
    fn a_byte_order_mark_comes_first_and_once_if_it_is_wanted() {
        let text = |wanted| {
            let mut csv = Csv::new("example.com").with_byte_order_mark(wanted);
            [csv.begin(), csv.entries(&sample::events()), csv.entries(&sample::events()), csv.end()].concat()
        };
        assert_eq!(text(true), format!("\u{feff}{}", text(false)));
        assert!(!text(false).contains('\u{feff}'));
    }

    #[test]
    fn a_cell_never_begins_like_a_formula() {
        for (text, shown) in [
            ("=1+2", "'=1+2"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "' =1"),
            ("\r=1", "'\\u{d}=1"),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠SUM(A1)", "'＠SUM(A1)"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(cell(text), shown, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_an_entry_says_it_is_one_row_that_reads_back(events in prop::collection::vec(sample::any_event(), 1..4)) {
            let mut csv = Csv::new("example.com");
            let text = [csv.begin(), csv.entries(&events), csv.end()].concat();
            prop_assert!(!text.replace("\r\n", "").chars().any(steers), "{}", text);
            prop_assert_eq!(text.lines().count(), events.len() + 1);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let kind = reader.headers().unwrap().iter().position(|name| name == "type").unwrap();
            let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(records.len(), events.len());
            for (record, event) in records.iter().zip(&events) {
                prop_assert_eq!(record.get(kind).map(ToOwned::to_owned), Some(cell(&event.kind)));
                prop_assert!(record.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'])), "{:?}", record);
            }
        }
    }
}
