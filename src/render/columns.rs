//! The columns of a table: one registry for the table, `--columns` and the `--show-…` flags.

use std::str::FromStr;

use thiserror::Error;

use crate::address::location::country;
use crate::entry::StoredEvent;
use crate::render::note::note_with_times;
use crate::time::date_time;
use crate::time::zone::Zone;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// When it happened.
    Time,
    /// The event type.
    Event,
    /// The account.
    User,
    /// The address.
    Ip,
    /// The country.
    Location,
    /// The note: everything that has no column of its own.
    Note,
    /// The module that recorded it.
    Source,
    /// The client.
    Client,
    /// The actor.
    Actor,
    /// The retention class.
    Class,
    /// The entry's identifier.
    Id,
}

/// A column in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// The column.
    pub column: Column,
    /// Its name on the command line.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Whether a table shows it without being asked to, if it has something to show.
    pub usual: bool,
}

/// Every column. Those that are shown without being asked for have this order.
#[rustfmt::skip] // A table: one row a line.
pub const COLUMNS: &[ColumnInfo] = &[
    ColumnInfo { column: Column::Time, name: "time", title: "TIME", usual: true },
    ColumnInfo { column: Column::Event, name: "event", title: "EVENT", usual: true },
    ColumnInfo { column: Column::User, name: "user", title: "USER", usual: true },
    ColumnInfo { column: Column::Ip, name: "ip", title: "ADDRESS", usual: true },
    ColumnInfo { column: Column::Location, name: "location", title: "COUNTRY", usual: true },
    ColumnInfo { column: Column::Note, name: "note", title: "NOTE", usual: true },
    ColumnInfo { column: Column::Source, name: "source", title: "SOURCE", usual: false },
    ColumnInfo { column: Column::Client, name: "client", title: "CLIENT", usual: false },
    ColumnInfo { column: Column::Actor, name: "actor", title: "ACTOR", usual: false },
    ColumnInfo { column: Column::Class, name: "class", title: "CLASS", usual: false },
    ColumnInfo { column: Column::Id, name: "id", title: "ID", usual: false },
];

/// A name that is not a column. The message lists the columns.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name:?} is not a column; the columns are {}", names())]
pub struct UnknownColumn {
    name: String,
}

impl Column {
    /// Its row in the registry.
    #[must_use]
    pub fn info(self) -> Option<&'static ColumnInfo> {
        COLUMNS.iter().find(|info| info.column == self)
    }

    /// Its text for an entry. The time has the form of XEP-0082. Times in the note are in `zone`.
    #[must_use]
    pub fn text(self, event: &StoredEvent, zone: Zone) -> String {
        let text = match self {
            Self::Time => date_time(event.time),
            Self::Event => Some(event.kind.clone()),
            Self::User => event.user.clone(),
            Self::Ip => event.ip.clone().or_else(|| event.ip_hash.clone()),
            Self::Location => event.country.clone(),
            Self::Note => Some(note_with_times(event, zone)),
            Self::Source => Some(event.source.clone()),
            Self::Client => event.client.clone(),
            Self::Actor => event.actor.as_ref().map(|actor| actor.jid.clone().unwrap_or_else(|| actor.kind.clone())),
            Self::Class => event.class.clone(),
            Self::Id => event.id.clone(),
        };
        text.unwrap_or_default()
    }

    /// Its text for an entry on a page that has room for the names of countries. Times are in UTC.
    #[must_use]
    pub fn on_page(self, event: &StoredEvent) -> String {
        match self {
            Self::Location => country::of(event).unwrap_or_default().to_owned(),
            _ => self.text(event, Zone::Utc),
        }
    }

    /// Its title.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.info().map_or("", |info| info.title)
    }
}

impl FromStr for Column {
    type Err = UnknownColumn;

    fn from_str(name: &str) -> Result<Self, UnknownColumn> {
        COLUMNS.iter().find(|info| info.name == name).map(|info| info.column).ok_or_else(|| UnknownColumn { name: name.to_owned() })
    }
}

/// Which columns were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Only these columns, in this order. `None` for the usual ones.
    pub chosen: Option<Vec<Column>>,
    /// Usual columns that are always shown (`true`) or never (`false`).
    pub said: Vec<(Column, bool)>,
}

impl Columns {
    /// The columns in order, each with whether it is shown. `None` if it is shown when it has something to show.
    #[must_use]
    pub fn wanted(&self) -> Vec<(Column, Option<bool>)> {
        let said = |column: Column| self.said.iter().rev().find(|(named, _)| *named == column).map(|(_, shown)| *shown);
        match &self.chosen {
            Some(chosen) => chosen.iter().map(|column| (*column, said(*column).or(Some(true)))).collect(),
            None => {
                let usual = COLUMNS.iter().filter(|info| info.usual).map(|info| info.column);
                let always = |column| matches!(column, Column::Time | Column::Event).then_some(true);
                usual.map(|column| (column, always(column).or_else(|| said(column)))).collect()
            }
        }
    }
}

/// The names of all columns, for help and errors.
#[must_use]
pub fn names() -> String {
    COLUMNS.iter().map(|info| info.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_name_and_is_there_once() {
        for (index, info) in COLUMNS.iter().enumerate() {
            assert_eq!(info.name.parse(), Ok(info.column));
            assert!(COLUMNS.iter().skip(index + 1).all(|other| other.column != info.column && other.name != info.name));
        }
        assert_eq!(
            "ip\u{1b}".parse::<Column>().unwrap_err().to_string(),
            format!("\"ip\\u{{1b}}\" is not a column; the columns are {}", names())
        );
    }

    #[test]
    fn a_table_has_the_code_of_a_country_and_a_page_its_name() {
        let event = StoredEvent { country: Some("FR".to_owned()), kind: "x".to_owned(), ..StoredEvent::default() };
        let texts = |column: Column| (column.text(&event, Zone::Utc), column.on_page(&event));
        assert_eq!(texts(Column::Location), ("FR".to_owned(), "France".to_owned()));
        assert_eq!(texts(Column::Event), ("x".to_owned(), "x".to_owned()));
    }

    #[test]
    fn flags_determine_the_columns() {
        let columns = Columns { chosen: None, said: vec![(Column::Ip, false), (Column::Note, true)] };
        let said: Vec<Option<bool>> = columns.wanted().into_iter().map(|(_, shown)| shown).collect();
        assert_eq!(said, [Some(true), Some(true), None, Some(false), None, Some(true)]);
        let columns = Columns { chosen: Some(vec![Column::Id, Column::Time]), said: vec![] };
        assert_eq!(columns.wanted(), [(Column::Id, Some(true)), (Column::Time, Some(true))]);
    }
}
