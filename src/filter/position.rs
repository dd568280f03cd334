//! The position of an entry in the order of the log.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::entry::Row;
use crate::entry::element::root_attribute;

/// The position of an entry in the order of the log: the second in which it was recorded, then its identifier.
///
/// Entries of the community's modules have no identifier. Their archive key is used instead, and they come before the other entries
/// of the same second.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// UNIX seconds.
    pub when: f64,
    /// Whether `name` is the entry's own identifier.
    pub has_id: bool,
    /// The identifier, or the key.
    pub name: String,
}

/// A text that is not a position. The message says what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the id of an entry, which is in the column \"id\" and in the formats for programs")]
pub struct PositionError;

impl Position {
    /// The position of a row. Only its attribute `id` is read.
    pub(crate) fn of(row: &Row) -> Self {
        let id = if row.element.is_empty() { own_id(&row.xml) } else { own_id_of(&row.element) };
        Self { when: row.when, has_id: id.is_some(), name: id.unwrap_or(&row.key).to_owned() }
    }

    /// Compares two positions, older first.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        self.when.total_cmp(&other.when).then(self.has_id.cmp(&other.has_id)).then_with(|| self.name.cmp(&other.name))
    }
}

impl fmt::Display for Position {
    /// An identifier includes its second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_id && second_of(&self.name) == Some(self.when) {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}{}", self.when, if self.has_id { "" } else { "/" }, self.name)
        }
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let Some((when, name)) = text.split_once('/') else {
            let name = text.to_ascii_lowercase();
            let when = second_of(&name).ok_or(PositionError)?;
            return Ok(Self { when, has_id: true, name });
        };
        let when = when.parse().ok().filter(|when: &f64| when.is_finite()).ok_or(PositionError)?;
        let (has_id, name) = name.strip_prefix('/').map_or((true, name), |key| (false, key));
        if name.is_empty() { Err(PositionError) } else { Ok(Self { when, has_id, name: name.to_owned() }) }
    }
}

/// The second in which an identifier was made. Only a UUID of version 7 includes it.
fn second_of(id: &str) -> Option<f64> {
    let (seconds, _) =
        Uuid::try_parse(id).ok().filter(|id| id.get_version_num() == 7 && id.to_string().len() == 36)?.get_timestamp()?.to_unix();
    #[allow(clippy::cast_precision_loss)] // 48 bits of milliseconds.
    return Some(seconds as f64);
}

/// The same of an element as our own driver has it.
fn own_id_of(element: &[u8]) -> Option<&str> {
    root_attribute(element, "id").filter(|id| Uuid::try_parse(id).is_ok())
}

/// The attribute `id` of the root element, with any prefix. An `id` after the first `>` belongs to a child.
fn own_id(xml: &str) -> Option<&str> {
    let root = xml.split_once('>').map_or(xml, |(root, _)| root);
    let mut rest = root;
    while let Some((before, behind)) = rest.split_once("id=") {
        let is_attribute = before.ends_with([':', ' ', '\t', '\n']);
        if let Some(quote) = behind.chars().next().filter(|quote| is_attribute && matches!(quote, '\'' | '"')) {
            return behind.get(1..)?.split_once(quote).map(|(id, _)| id).filter(|id| Uuid::try_parse(id).is_ok());
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a20e7e-d2b8-75d1-8370-6296c154b976";

    #[test]
    fn a_place_reads_back() {
        for (text, when, has_id, name) in [
            (ID, 1_795_521_565.0, true, ID),
            ("1000/01a20e7e-d2b8-75d1-8370-6296c154b976", 1000.0, true, ID),
            ("1000.5//k/1", 1000.5, false, "k/1"),
        ] {
            let place: Position = text.parse().unwrap();
            assert_eq!((place.has_id, place.name.as_str(), place.to_string().as_str()), (has_id, name, text));
            assert!(text == ID || place.when == when, "{place:?}");
        }
        let place: Position = ID.to_uppercase().parse().unwrap();
        assert_eq!(place.to_string(), ID);
    }

    #[test]
    fn text_that_is_not_a_position_is_refused() {
        for text in ["", "x", "1000", "1000/", "1000//", "x/y", "inf/x", "d4565fa7-4d72-4749-b3d3-740edbf87770"] {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text}");
        }
    }

    #[test]
    fn the_id_of_an_entry_is_its_own() {
        for (xml, id) in [
            (format!("<audit-event type='t' id='{ID}'/>"), Some(ID)),
            (format!("<audit-event xmlns:a='xmpp:prosody.im/audit' a:id=\"{ID}\"><x/></audit-event>"), Some(ID)),
            (format!("<audit-event user='id=x' ns1:id='{ID}'/>"), Some(ID)),
            (format!("<audit-event><session id='{ID}'/></audit-event>"), None),
            ("<audit-event id='c2s5'/>".to_owned(), None),
            ("<audit-event id=".to_owned(), None),
        ] {
            assert_eq!(own_id(&xml), id, "{xml}");
        }
    }
}
