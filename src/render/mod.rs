//! Showing events: one reading of the log, in the format that was asked for.
//!
//! | | |
//! |---|---|
//! | [`formats`] | the registry of formats, and one file for each: a table, JSON, CSV, XML, OCSF, ECS, CEF, syslog |
//! | [`fields`] | the registry of what an entry has in every format |
//! | [`columns`] | the registry of what a table can show of an entry |
//! | [`note`] | what an entry records beyond who, what and where, in words |
//! | [`taxonomy`] | the registry of what event types mean to others |
//! | [`totals`] | what an overview counts, in bounded memory, and its text for a terminal |
//! | [`page`] | the same as an HTML page |
//!
//! *Invariant*: a renderer keeps no entries. It returns each entry as text at once. (A table holds back the first few rows, as
//! text, until it knows its columns.)

pub mod columns;
pub mod fields;
pub mod formats;
pub mod note;
pub mod page;
pub mod printable;
#[cfg(test)]
pub(crate) mod sample;
pub mod taxonomy;
pub mod totals;

use crate::entry::StoredEvent;
use crate::time::zone::Zone;
use columns::Columns;
use formats::{Format, cef, csv, ecs, json, ocsf, syslog, table, xml};
use totals::stats;

/// Writes entries in one format, in as many pieces as they arrive in.
pub trait Renderer: Send {
    /// What stands before the first entry: nothing, in most formats.
    fn begin(&mut self) -> String {
        String::new()
    }

    /// The next entries.
    fn entries(&mut self, events: &[StoredEvent]) -> String;

    /// What stands after the last entry: nothing, in most formats.
    fn end(&mut self) -> String {
        String::new()
    }
}

/// What a renderer has to know beside the entries.
#[derive(Clone, Debug)]
pub struct Options {
    /// The host whose log it is.
    pub host: String,
    /// The host's name in ASCII, with A-labels (RFC 5890) where it is internationalized; `None` if there is no such form.
    pub ascii_host: Option<String>,
    /// Which columns a table has.
    pub columns: Columns,
    /// How many cells a row of the terminal has; nothing where the output is no terminal, and nothing is cut.
    pub width: Option<usize>,
    /// The zone that a table shows times in; the other formats have times in UTC.
    pub zone: Zone,
    /// Whether what is shown in a terminal is coloured.
    pub coloured: bool,
    /// Whether entries are shown as they come.
    pub live: bool,
    /// Whether CSV begins with a byte order mark.
    pub byte_order_mark: bool,
}

impl Options {
    /// For the log of `host`, with nothing else asked for.
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
    }
}

/// Totals over the entries instead of the entries: text for a terminal, at the end.
#[must_use]
pub fn statistics(options: &Options) -> Box<dyn Renderer> {
    Box::new(stats::Stats::new(&options.host, options.width, options.zone, options.coloured))
}

/// Totals over the entries, and a few entries behind each of them: one HTML page, at the end. `made` is when it is made, in
/// UNIX seconds.
#[must_use]
pub fn page(options: &Options, made: f64) -> Box<dyn Renderer> {
    Box::new(page::Report::new(&options.host, options.zone, made))
}
