//! Names of countries, for pages and sentences that people read. Formats for programs, and filters, have codes.

use std::collections::HashMap;

use crate::entry::StoredEvent;

/// Names in a shorter form than that of ISO 3166-1, which databases of locations use as well, and codes that ISO has left free but
/// databases have.
const SHORT: &[(&str, &str)] = &[
    ("BN", "Brunei"),
    ("BO", "Bolivia"),
    ("CD", "DR Congo"),
    ("FK", "Falkland Islands"),
    ("FM", "Micronesia"),
    ("GB", "United Kingdom"),
    ("IR", "Iran"),
    ("KP", "North Korea"),
    ("KR", "South Korea"),
    ("LA", "Laos"),
    ("MD", "Moldova"),
    ("MF", "Saint Martin"),
    ("NL", "Netherlands"),
    ("PS", "Palestine"),
    ("RU", "Russia"),
    ("SX", "Sint Maarten"),
    ("SY", "Syria"),
    ("TW", "Taiwan"),
    ("TZ", "Tanzania"),
    ("US", "United States"),
    ("VA", "Vatican City"),
    ("VE", "Venezuela"),
    ("VG", "British Virgin Islands"),
    ("VI", "U.S. Virgin Islands"),
    ("VN", "Vietnam"),
    ("XK", "Kosovo"),
];

/// For how many countries the stored name is remembered. There are fewer than 300.
const MOST: usize = 1000;

/// The English name of the country with a code of two letters. `None` if no country has it.
#[must_use]
pub fn name(code: &str) -> Option<&'static str> {
    let short = SHORT.iter().find(|(short, _)| *short == code).map(|(_, name)| *name);
    short.or_else(|| rust_iso3166::from_alpha2(code).map(|country| country.name))
}

/// What people read of a country: `stored`, the name that came with the code from a database of locations, if it has names; the
/// English name of the code; or else the code.
#[must_use]
pub fn shown<'a>(code: &'a str, stored: Option<&'a str>) -> &'a str {
    // A database without names has the code instead.
    let stored = stored.filter(|stored| !stored.is_empty() && *stored != code);
    stored.or_else(|| name(code)).unwrap_or(code)
}

/// What people read of the country of an entry.
#[must_use]
pub fn of(event: &StoredEvent) -> Option<&str> {
    event.country.as_deref().map(|code| shown(code, event.country_name.as_deref()))
}

/// What people read of countries that are counted by their codes: the names that the entries have.
#[derive(Clone, Debug, Default)]
pub struct Names {
    stored: HashMap<String, String>,
}

impl Names {
    /// Remembers the name that an entry has for its country, if none is known. Entries often come newest first.
    pub fn add(&mut self, event: &StoredEvent) {
        let (Some(code), Some(name)) = (&event.country, &event.country_name) else { return };
        if name != code && !self.stored.contains_key(code) && self.stored.len() < MOST {
            self.stored.insert(code.clone(), name.clone());
        }
    }

    /// What people read of the country with this code.
    #[must_use]
    pub fn of<'a>(&'a self, code: &'a str) -> &'a str {
        shown(code, self.stored.get(code).map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(code: Option<&str>, name: Option<&str>) -> StoredEvent {
        let (country, country_name) = (code.map(ToOwned::to_owned), name.map(ToOwned::to_owned));
        StoredEvent { country, country_name, ..StoredEvent::default() }
    }

    #[test]
    fn a_country_without_a_name_has_that_of_its_code() {
        for (code, stored, expected) in [
            (Some("BR"), Some("Brasil"), Some("Brasil")),
            (Some("BR"), Some("BR"), Some("Brazil")),
            (Some("BR"), Some(""), Some("Brazil")),
            (Some("BR"), None, Some("Brazil")),
            (Some("KR"), None, Some("South Korea")),
            (Some("CI"), None, Some("Côte d'Ivoire")),
            (Some("XK"), None, Some("Kosovo")),
            (Some("XK"), Some("Republic of Kosovo"), Some("Republic of Kosovo")),
            (Some("T1"), None, Some("T1")),
            (Some("A1"), None, Some("A1")),
            (Some("EU"), None, Some("EU")),
            (Some("ZZ"), None, Some("ZZ")),
            (Some("br"), None, Some("br")),
            (Some(""), None, Some("")),
            (None, Some("Brazil"), None),
        ] {
            assert_eq!(of(&event(code, stored)), expected, "{code:?} {stored:?}");
        }
    }

    #[test]
    fn names_are_short_and_different() {
        for country in rust_iso3166::ALL {
            let found = name(country.alpha2).unwrap();
            // "Cocos (Keeling) Islands", and groups of several islands.
            let is_short = !found.contains(['(', ',']) || ["CC", "BQ", "SH"].contains(&country.alpha2);
            assert!(is_short && found.len() <= 50, "{found}");
            let same = rust_iso3166::ALL.iter().filter(|other| name(other.alpha2) == Some(found));
            assert_eq!(same.count(), 1, "{found}");
        }
        for (code, short) in SHORT.iter().filter(|(code, _)| *code != "XK") {
            let long = rust_iso3166::from_alpha2(code).map(|country| country.name);
            assert!(long.is_some_and(|long| long != *short), "{code} needs no other name");
        }
    }

    #[test]
    fn countries_that_are_counted_have_the_first_name_that_an_entry_has() {
        let mut names = Names::default();
        for (code, name) in [("TR", "TR"), ("TR", "Türkiye"), ("TR", "Turkey"), ("FR", "FR")] {
            names.add(&event(Some(code), Some(name)));
        }
        assert_eq!((names.of("TR"), names.of("FR"), names.of("T1")), ("Türkiye", "France", "T1"));
        for number in 0..2 * MOST {
            names.add(&event(Some(&number.to_string()), Some("x")));
        }
        assert_eq!((names.of("5"), names.of("1999"), names.stored.len()), ("x", "1999", MOST));
    }
}
