//! The formats that entries are written in: one table that drives the reading of `--format`, the help and the README.

pub mod cef;
pub mod csv;
pub mod ecs;
pub mod json;
pub mod ocsf;
pub mod otlp;
pub mod syslog;
pub mod table;
pub mod xml;

use std::str::FromStr;

use thiserror::Error;

/// A format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON Lines.
    Json,
    /// Comma-separated values.
    Csv,
    /// The entries as they are stored.
    Xml,
    /// The Open Cybersecurity Schema Framework.
    Ocsf,
    /// The Elastic Common Schema.
    Ecs,
    /// ArcSight's Common Event Format.
    Cef,
    /// Syslog.
    Syslog,
    /// OpenTelemetry's protocol.
    Otlp,
}

/// A format in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatInfo {
    /// The format.
    pub format: Format,
    /// Its name on the command line.
    pub name: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
    /// The usual extension of a file, without the dot.
    pub extension: &'static str,
}

/// Every format, in the order of the help. The first is the default.
pub const FORMATS: &[FormatInfo] = &[
    info(Format::Table, "table", "txt", "a table for people"),
    info(Format::Json, "json", "jsonl", "JSON Lines, one flat object for each entry"),
    info(Format::Csv, "csv", "csv", "comma-separated values, safe to open in a spreadsheet"),
    info(Format::Xml, "xml", "xml", "the entries as they are stored, in one document"),
    info(Format::Ocsf, "ocsf", "jsonl", "OCSF 1.8.0 (Open Cybersecurity Schema Framework), as JSON Lines"),
    info(Format::Ecs, "ecs", "jsonl", "ECS 8.17 (Elastic Common Schema), as JSON Lines"),
    info(Format::Cef, "cef", "cef", "CEF (ArcSight Common Event Format), one line for each entry"),
    info(Format::Syslog, "syslog", "log", "syslog messages with structured data (RFC 5424), one line for each entry"),
    info(Format::Otlp, "otlp", "jsonl", "log records of OpenTelemetry (OTLP 1.3), as JSON Lines"),
];

const fn info(format: Format, name: &'static str, extension: &'static str, meaning: &'static str) -> FormatInfo {
    FormatInfo { format, name, meaning, extension }
}

impl Format {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|info| info.format == self).map_or("", |info| info.name)
    }
}

/// A name that is not a format. The message lists the formats.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name:?} is not a format; the formats are {}", names())]
pub struct UnknownFormat {
    name: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let info = FORMATS.iter().find(|info| info.name == name);
        info.map(|info| info.format).ok_or_else(|| UnknownFormat { name: name.to_owned() })
    }
}

/// The names of all formats, for help and errors.
#[must_use]
pub fn names() -> String {
    FORMATS.iter().map(|info| info.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_name_and_is_there_once() {
        for (index, info) in FORMATS.iter().enumerate() {
            assert_eq!(info.name.parse(), Ok(info.format));
            assert!(FORMATS.iter().skip(index + 1).all(|other| other.format != info.format && other.name != info.name));
        }
        assert_eq!(FORMATS.first().map(|info| info.format), Some(Format::default()));
    }

    #[test]
    fn an_unknown_format_is_refused_with_the_list_of_formats() {
        assert_eq!(
            "yaml\u{1b}".parse::<Format>().unwrap_err().to_string(),
            format!("\"yaml\\u{{1b}}\" is not a format; the formats are {}", names())
        );
    }
}
