//! The record of a network in a location database, in the layouts of several publishers.
//!
//! | publisher | layout |
//! |---|---|
//! | MaxMind GeoIP2 and GeoLite2 (Country, City, Enterprise), DB-IP | `country.iso_code`, `country.names.en`, `continent.code`, `traits.autonomous_system_number` |
//! | IPinfo Country + ASN, Core | `country` is the code, `country_name`, `continent` is the code, `asn` is `AS15169`, `as_name` |
//! | IPinfo Lite | `country_code`, `country` is the name, `continent_code`, `continent` is the name, `asn`, `as_name` |
//! | ip-location-db (`geo-whois-asn-country` and others) | `country_code` |
//! | IP2Location | as MaxMind, or `country_code` and `country_name`; `as_number` and `as` in databases with ASNs |

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Location;
use crate::entry::text::{self, clean};

/// The keys that are read. The rest of a record is skipped.
const KEYS: &[&str] = &[
    "as",
    "as_name",
    "as_number",
    "as_organization",
    "asn",
    "autonomous_system_number",
    "autonomous_system_organization",
    "code",
    "continent",
    "continent_code",
    "country",
    "country_code",
    "country_long",
    "country_name",
    "country_short",
    "en",
    "iso_code",
    "names",
    "organization",
    "registered_country",
    "traits",
];

/// Where the country's code may be, the best first. Values that do not look like a code are skipped.
const COUNTRY: &[&[&str]] = &[
    &["country", "iso_code"],
    &["country", "code"],
    &["country_code"],
    &["country_short"],
    &["country"],
    &["registered_country", "iso_code"],
];
/// Where the country's name may be.
const NAME: &[&[&str]] = &[&["country", "names", "en"], &["country_name"], &["country_long"], &["country"]];
/// The name of the country that an address is registered in. It is only used with the code of the same country.
const REGISTERED_NAME: &[&str] = &["registered_country", "names", "en"];
/// Where the continent's code may be.
const CONTINENT: &[&[&str]] = &[&["continent", "code"], &["continent_code"], &["continent"]];
/// Where the number of the autonomous system may be.
const ASN: &[&[&str]] =
    &[&["autonomous_system_number"], &["traits", "autonomous_system_number"], &["asn"], &["as_number"], &["asn", "number"]];
/// Where the organization behind the autonomous system may be.
const ORGANIZATION: &[&[&str]] = &[
    &["autonomous_system_organization"],
    &["traits", "autonomous_system_organization"],
    &["as_name"],
    &["as_organization"],
    &["as"],
    &["traits", "organization"],
];

/// A value of a record. Unknown values are skipped without an error, so that an unknown layout has no location, and is not reported
/// as damaged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Data {
    Text(String),
    Number(u64),
    Map(BTreeMap<&'static str, Data>),
    Other,
}

impl Data {
    /// The location in the record. Returns `None` if there is none.
    pub(super) fn location(&self) -> Option<Location> {
        let country = self.first(COUNTRY, country_code);
        let name = country.as_ref().map(|code| {
            let usual = self.first(NAME, |name| Some(name).filter(|name| *name != code).and_then(shown));
            let is_registered = self.text(&["registered_country", "iso_code"]) == Some(code);
            let registered = || self.text(REGISTERED_NAME).filter(|_| is_registered).and_then(shown);
            usual.or_else(registered).unwrap_or_else(|| code.clone())
        });
        let location = Location {
            continent: self.first(CONTINENT, |code| letters(code, 2)).filter(|_| country.is_some()),
            country,
            name,
            asn: ASN.iter().find_map(|path| self.at(path)?.as_asn()),
            organization: self.first(ORGANIZATION, shown),
        };
        (location != Location::default()).then_some(location)
    }

    fn at(&self, path: &[&str]) -> Option<&Self> {
        let mut node = self;
        for key in path {
            let Self::Map(map) = node else { return None };
            node = map.get::<str>(key)?;
        }
        Some(node)
    }

    fn text(&self, path: &[&str]) -> Option<&str> {
        self.at(path).and_then(|node| if let Self::Text(text) = node { Some(text.as_str()) } else { None })
    }

    fn first(&self, paths: &[&[&str]], read: impl Fn(&str) -> Option<String>) -> Option<String> {
        paths.iter().find_map(|path| self.text(path).and_then(&read))
    }

    /// The number of an autonomous system, from a number or a text such as `AS64500` or `64500`. 0 means unknown.
    fn as_asn(&self) -> Option<u32> {
        let number = match self {
            Self::Number(number) => u32::try_from(*number).ok()?,
            Self::Text(text) => {
                let digits = text.trim();
                digits.strip_prefix("AS").or_else(|| digits.strip_prefix("as")).unwrap_or(digits).parse().ok()?
            }
            Self::Map(_) | Self::Other => return None,
        };
        Some(number).filter(|number| *number != 0)
    }
}

/// A country's code, of two letters. `ZZ`, `XX` and `--` mean unknown.
fn country_code(text: &str) -> Option<String> {
    letters(text, 2).filter(|code| code != "ZZ" && code != "XX")
}

/// A name, cleaned for an entry. Returns `None` if it is empty.
fn shown(name: &str) -> Option<String> {
    Some(name.trim()).filter(|name| !name.is_empty() && *name != "-").map(|name| clean(name.as_bytes(), text::TextKind::Text).into_owned())
}

fn letters(text: &str, count: usize) -> Option<String> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase())
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Data;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of a record")
    }

    fn visit_str<E>(self, text: &str) -> Result<Data, E> {
        Ok(Data::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Data, E> {
        Ok(Data::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Data, E> {
        Ok(u64::try_from(number).map_or(Data::Other, Data::Number))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Data, E> {
        Ok(Data::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Data, E> {
        Ok(Data::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Data, E> {
        Ok(Data::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Data, E> {
        Ok(Data::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Data, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Data::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Data, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = entries.next_key::<&str>()? {
            match KEYS.iter().find(|known| **known == key) {
                Some(known) => {
                    map.insert(*known, entries.next_value()?);
                }
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Data::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(record: &str) -> Option<Location> {
        // JSON stands in for the database's own encoding: both are read through serde.
        serde_json::from_str::<Data>(record).unwrap().location()
    }

    #[test]
    fn each_layout_in_use_is_read() {
        let place = |country: &str, continent: Option<&str>, name: &str, asn: Option<u32>, organization: Option<&str>| {
            let text = |text: &str| text.to_owned();
            Some(Location {
                country: Some(text(country)),
                continent: continent.map(text),
                name: Some(text(name)),
                asn,
                organization: organization.map(text),
            })
        };
        for (layout, record, expected) in [
            (
                "GeoLite2 Country, DB-IP Country",
                r#"{"continent":{"code":"EU","geoname_id":6255148,"names":{"de":"Europa","en":"Europe"}},
                    "country":{"geoname_id":2921044,"is_in_european_union":true,"iso_code":"DE","names":{"de":"Deutschland","en":"Germany"}},
                    "registered_country":{"iso_code":"US","names":{"en":"United States"}}}"#,
                place("DE", Some("EU"), "Germany", None, None),
            ),
            (
                "GeoIP2 City",
                r#"{"city":{"names":{"en":"Berlin"}},"continent":{"code":"EU"},"country":{"iso_code":"DE","names":{"en":"Germany"}},
                    "location":{"accuracy_radius":100,"latitude":52.5,"longitude":13.4,"time_zone":"Europe/Berlin"},
                    "postal":{"code":"10115"},"subdivisions":[{"iso_code":"BE","names":{"en":"Land Berlin"}}]}"#,
                place("DE", Some("EU"), "Germany", None, None),
            ),
            (
                "GeoIP2 Enterprise",
                r#"{"country":{"confidence":99,"iso_code":"DE","names":{"en":"Germany"}},"continent":{"code":"EU"},
                    "traits":{"autonomous_system_number":64500,"autonomous_system_organization":"Example Net","isp":"Example"}}"#,
                place("DE", Some("EU"), "Germany", Some(64500), Some("Example Net")),
            ),
            (
                "a network that is only registered",
                r#"{"registered_country":{"iso_code":"US","names":{"en":"United States"}},"continent":{"code":"NA"}}"#,
                place("US", Some("NA"), "United States", None, None),
            ),
            (
                "IPinfo Country + ASN",
                r#"{"country":"JP","country_name":"Japan","continent":"AS","continent_name":"Asia","asn":"AS64501","as_name":"Example K.K.","as_domain":"example.jp"}"#,
                place("JP", Some("AS"), "Japan", Some(64501), Some("Example K.K.")),
            ),
            (
                "IPinfo Lite",
                r#"{"asn":"AS64502","as_name":"Example LLC","as_domain":"example.com","country_code":"US","country":"United States","continent_code":"NA","continent":"North America"}"#,
                place("US", Some("NA"), "United States", Some(64502), Some("Example LLC")),
            ),
            (
                "IPinfo Location, with numbers as texts",
                r#"{"city":"Paris","region":"Ile-de-France","country":"FR","latitude":"48.8","postal_code":"75001","timezone":"Europe/Paris"}"#,
                place("FR", None, "FR", None, None),
            ),
            ("ip-location-db", r#"{"country_code":"FR"}"#, place("FR", None, "FR", None, None)),
            (
                "ip-location-db with a continent, at the top",
                r#"{"country_code":"fr","continent_code":"EU","country_name":"France","is_eu":true}"#,
                place("FR", Some("EU"), "France", None, None),
            ),
            (
                "IP2Location, nested",
                r#"{"country":{"iso_code":"NZ","names":{"en":"New Zealand"}},"as_number":"64503","as":"Example Ltd"}"#,
                place("NZ", None, "New Zealand", Some(64503), Some("Example Ltd")),
            ),
            (
                "IP2Location, flat",
                r#"{"country_short":"NZ","country_long":"New Zealand","asn":64503}"#,
                place("NZ", None, "New Zealand", Some(64503), None),
            ),
            (
                "a network without a country, in a database with both",
                r#"{"country_code":"ZZ","asn":"AS64504","as_name":"-"}"#,
                Some(Location { asn: Some(64504), ..Location::default() }),
            ),
        ] {
            assert_eq!(location(record), expected, "{layout}");
        }
    }

    #[test]
    fn a_record_of_no_known_layout_has_no_location() {
        for record in [
            r#"{"is_anonymous":true,"is_tor_exit_node":true}"#,
            r#"{"country":7,"continent":[1,2],"asn":0,"as_name":{}}"#,
            r#"{"country":"Germany"}"#,
            r#"{"country":{"iso_code":""},"continent":{"code":"EU"}}"#,
            r#""DE""#,
            "-1",
            "1.5",
            "[]",
            "{}",
        ] {
            assert_eq!(location(record), None, "{record}");
        }
    }
}
