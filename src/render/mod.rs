//! Showing events: one reading of the log, in the format that was asked for.
//!
//! | | |
//! |---|---|
//! | [`formats`] | the registry of formats, and one file for each: a table, JSON, CSV, XML, OCSF, ECS, CEF, syslog, OTLP |
//! | [`fields`] | the registry of what an entry has in every format |
//! | [`columns`] | the registry of what a table can show of an entry |
//! | [`framing`] | how messages follow each other |
//! | [`note`] | the details of an entry, in words |
//! | [`taxonomy`] | the registry of what event types mean to OCSF, ECS, CEF and syslog |
//! | [`totals`] | statistics: counting in bounded memory, and the text for a terminal |
//! | [`page`](mod@page) | the report: the same as an HTML page |
//!
//! *Invariant*: a renderer keeps no entries. It returns each entry as text at once. (A table holds back the first few rows, as
//! text, until it knows its columns.)

pub mod columns;
pub mod fields;
pub mod formats;
pub mod framing;
pub mod note;
pub mod page;
pub mod printable;
#[cfg(test)]
pub(crate) mod sample;
pub mod standing;
pub mod taxonomy;
pub mod totals;

use crate::entry::StoredEvent;
use crate::time::zone::Zone;
use columns::Columns;
use formats::{Format, cef, csv, ecs, json, ocsf, otlp, syslog, table, xml};
use totals::stats;

/// Writes entries in one format, piece by piece.
pub trait Renderer: Send {
    /// The text before the first entry. Most formats have none.
    fn begin(&mut self) -> String {
        String::new()
    }

    /// The text of the next entries.
    fn entries(&mut self, events: &[StoredEvent]) -> String;

    /// Takes note of entries that are hidden, as nobody asked for them. They are neither shown nor counted
    /// like others.
    fn note_hidden(&mut self, events: &[StoredEvent]) {
        let _ = events;
    }

    /// Takes note of what the server knows of the log itself.
    fn know(&mut self, health: Vec<standing::Health>) {
        let _ = health;
    }

    /// The text after the last entry. Most formats have none.
    fn end(&mut self) -> String {
        String::new()
    }
}

/// What a renderer needs to know besides the entries.
#[derive(Clone, Debug)]
pub struct Options {
    /// The host whose log it is.
    pub host: String,
    /// The host's name in ASCII, an internationalized name with A-labels (RFC 5890). `None` if there is no such form.
    pub ascii_host: Option<String>,
    /// Which columns a table has.
    pub columns: Columns,
    /// The width of the terminal, in cells. `None` if the output is not a terminal. Nothing is cut then.
    pub width: Option<usize>,
    /// The zone of times in a table, in statistics and in the report. All other formats have times in UTC.
    pub zone: Zone,
    /// Whether to use colours.
    pub coloured: bool,
    /// Whether entries are shown as they are recorded.
    pub live: bool,
    /// Whether CSV begins with a byte order mark.
    pub byte_order_mark: bool,
}

impl Options {
    /// Defaults for the log of `host`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            ascii_host: Some(host.to_owned()).filter(|host| host.is_ascii()),
            columns: Columns::default(),
            width: None,
            zone: Zone::Utc,
            coloured: false,
            live: false,
            byte_order_mark: false,
        }
    }
}

/// A renderer for `format`.
///
/// ```
/// use audit_core::entry::{Row, StoredEvent};
/// use audit_core::render::{Options, formats::Format, renderer};
///
/// let options = Options::new("example.com");
/// let row = Row { when: 0.0, xml: "<audit-event type='server-started' source='mod_audit_status'/>".to_owned(), ..Row::default() };
/// let mut json = renderer(Format::Json, &options);
/// let text = [json.begin(), json.entries(&[StoredEvent::read(&row).unwrap()]), json.end()].concat();
/// assert!(text.starts_with(r#"{"schema":1,"time":"1970-01-01T00:00:00Z","host":"example.com","type":"server-started""#));
/// ```
#[must_use]
pub fn renderer(format: Format, options: &Options) -> Box<dyn Renderer> {
    match format {
        Format::Table => {
            Box::new(table::Table::new(options.columns.clone(), options.width, options.zone).coloured(options.coloured).live(options.live))
        }
        Format::Json => Box::new(json::Json::new(&options.host)),
        Format::Csv => Box::new(csv::Csv::new(&options.host).with_byte_order_mark(options.byte_order_mark)),
        Format::Xml => Box::new(xml::Xml::new(&options.host)),
        Format::Ocsf => Box::new(ocsf::Ocsf::new(&options.host)),
        Format::Ecs => Box::new(ecs::Ecs::new(&options.host)),
        Format::Cef => Box::new(cef::Cef::new(&options.host)),
        Format::Syslog => Box::new(syslog::Syslog::new(&options.host, options.ascii_host.as_deref())),
        Format::Otlp => Box::new(otlp::Otlp::new(&options.host)),
    }
}

/// A renderer for statistics: totals as text for a terminal, written at the end.
#[must_use]
pub fn statistics(options: &Options) -> Box<dyn Renderer> {
    Box::new(stats::Stats::new(&options.host, options.width, options.zone, options.coloured))
}

/// A renderer for the report: totals and the newest entries behind each of them, as one HTML page that is written at the end.
/// `made` is when it is made, in UNIX seconds.
#[must_use]
pub fn report(options: &Options, made: f64) -> Box<dyn Renderer> {
    Box::new(page::Report::new(&options.host, options.zone, made))
}
