//! Locations of addresses, from a database in MaxMind's `.mmdb` format.

pub mod country;
mod record;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use maxminddb::{Reader, WithinOptions};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::is_public;
use record::Data;

/// Where packages and updaters install a database. The first one that exists is used.
pub const USUAL_PLACES: &[&str] = &[
    "/var/lib/GeoIP/GeoLite2-Country.mmdb",
    "/var/lib/GeoIP/GeoLite2-City.mmdb",
    "/usr/share/GeoIP/GeoLite2-Country.mmdb",
    "/usr/share/GeoIP/GeoLite2-City.mmdb",
    "/usr/local/share/GeoIP/GeoLite2-Country.mmdb",
    "/var/lib/GeoIP/dbip-country-lite.mmdb",
    "/usr/share/GeoIP/dbip-country-lite.mmdb",
];

/// How many records are searched for a country, before a database is considered to have none.
const LOOKED_AT: usize = 1000;

/// The location of an address. At least one field is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Location {
    /// The country's two letters (ISO 3166-1).
    pub country: Option<String>,
    /// The continent's two letters, such as `EU`.
    pub continent: Option<String>,
    /// The country's name in English, or its two letters if the database has no names.
    pub name: Option<String>,
    /// The number of the autonomous system that announces the address.
    pub asn: Option<u32>,
    /// The organization behind the autonomous system.
    pub organization: Option<String>,
}

/// A database that can't be used, and why.
#[derive(Debug, Error)]
#[error("{}: {reason}", path.display())]
pub struct LocationError {
    path: PathBuf,
    reason: String,
}

/// A database of locations, which is read into memory.
pub struct Database {
    reader: Reader<Vec<u8>>,
    path: PathBuf,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Database {
    /// Reads the database at `path`. The file may be replaced afterwards.
    ///
    /// # Errors
    ///
    /// Returns [`LocationError`] if the file is missing, can't be read, is not a database, or has no countries (but autonomous
    /// systems or anonymous addresses, for example).
    pub fn open(path: &Path) -> Result<Self, LocationError> {
        let error = |reason: String| LocationError { path: path.to_owned(), reason };
        let reader =
            guarded(|| Reader::open_readfile(path)).map_err(|damage| error(damage.to_owned()))?.map_err(|e| error(e.to_string()))?;
        match guarded(|| has_countries(&reader)) {
            Ok(true) => Ok(Self { reader, path: path.to_owned() }),
            Ok(false) => Err(error(format!(
                "it is a database of the type \"{}\", which has no countries; use one of countries or cities",
                shown_type(&reader.metadata().database_type)
            ))),
            Err(damage) => Err(error(damage.to_owned())),
        }
    }

    /// The first of [`USUAL_PLACES`] that exists.
    #[must_use]
    pub fn usual_place() -> Option<&'static Path> {
        USUAL_PLACES.iter().map(Path::new).find(|path| path.is_file())
    }

    /// The location of `address`. Returns `None` if it is not in the database, or the address is not public.
    ///
    /// # Errors
    ///
    /// Returns [`LocationError`] if the database is damaged at that address.
    pub fn lookup(&self, address: IpAddr) -> Result<Option<Location>, LocationError> {
        if !is_public(address) {
            return Ok(None);
        }
        let error = |reason: String| LocationError { path: self.path.clone(), reason };
        // An IPv4 address is in both kinds of databases, an IPv6 address only in those of IPv6.
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        let record = guarded(|| self.reader.lookup(address).and_then(|found| found.decode::<Data>()))
            .map_err(|damage| error(damage.to_owned()))?
            .map_err(|e| error(e.to_string()))?;
        Ok(record.and_then(|record| record.location()))
    }

    /// The latitude and longitude of `address`. Returns `None` if the database does not have them.
    #[must_use]
    pub fn coordinates(&self, address: IpAddr) -> Option<(f64, f64)> {
        if !is_public(address) || address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return None;
        }
        let record = guarded(|| self.reader.lookup(address).and_then(|found| found.decode::<Placed>()));
        let Placed { location, flat } = record.ok()?.ok()??;
        location.and_then(Point::degrees).or_else(|| flat.degrees())
    }
}

/// What a record says of coordinates: in `location`, or beside everything else.
#[derive(Deserialize)]
struct Placed {
    location: Option<Point>,
    #[serde(flatten)]
    flat: Point,
}

#[derive(Deserialize)]
struct Point {
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
}

/// Some databases have numbers as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Degrees {
    Number(f64),
    Text(String),
}

impl Point {
    fn degrees(self) -> Option<(f64, f64)> {
        let number = |degrees: Option<Degrees>| match degrees? {
            Degrees::Number(number) => Some(number),
            Degrees::Text(text) => text.trim().parse().ok(),
        };
        let (latitude, longitude) = (number(self.latitude)?, number(self.longitude)?);
        let is_real = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        // Publishers write 0, 0 for a place that they don't know.
        (is_real && (latitude, longitude) != (0.0, 0.0)).then_some((latitude, longitude))
    }
}

/// Whether one of the first records has a country.
fn has_countries(reader: &Reader<Vec<u8>>) -> bool {
    let Ok(records) = reader.networks(WithinOptions::default()) else { return false };
    let location = |record: Result<maxminddb::LookupResult<'_, _>, _>| record.ok()?.decode::<Data>().ok()??.location();
    records.take(LOOKED_AT).filter_map(location).any(|location| location.country.is_some())
}

/// The type of a database, made safe for a line of a log.
fn shown_type(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(60).collect()
}

/// Runs a reader over bytes from outside. If it panics because of damaged bytes, returns an error.
fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, &'static str> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| "the database is damaged")
}

#[cfg(test)]
#[path = "../../../spec/support/places.rs"]
pub(crate) mod places;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::parse;
    use proptest::prelude::*;

    fn database(bytes: &[u8]) -> Result<Database, LocationError> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/scratch");
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("{}-{:?}.mmdb", std::process::id(), std::thread::current().id()));
        std::fs::write(&path, bytes).unwrap();
        let database = Database::open(&path);
        std::fs::remove_file(&path).unwrap();
        database
    }

    #[test]
    fn an_address_is_found_as_far_as_it_is_known() {
        let database = database(&places::small()).unwrap();
        let found = |country: &str, continent: Option<&str>, name: &str| {
            Some(Location {
                country: Some(country.to_owned()),
                continent: continent.map(ToOwned::to_owned),
                name: Some(name.to_owned()),
                ..Location::default()
            })
        };
        for (address, expected) in [
            ("203.0.113.80", found("DE", Some("EU"), "Germany")),
            ("::ffff:203.0.113.80", found("DE", Some("EU"), "Germany")),
            ("2001:db8::1", found("NZ", Some("OC"), "New Zealand")),
            ("198.51.100.1", found("FR", None, "FR")),
            ("192.0.2.1", found("US", Some("NA"), "United States")),
            ("8.8.8.8", None),
            ("127.0.0.1", None),
            ("10.0.0.1", None),
            ("::1", None),
        ] {
            assert_eq!(database.lookup(parse(address).unwrap()).unwrap(), expected, "{address}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_an_error_that_names_it() {
        let error = Database::open(Path::new("/nowhere/places.mmdb")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/places.mmdb: "), "{error}");
        let small = places::small();
        for bytes in [&small[..small.len() / 2], b"", b"no database"] {
            assert!(database(bytes).unwrap_err().to_string().contains(".mmdb: "));
        }
    }

    #[test]
    fn the_autonomous_system_is_found_if_the_database_has_it() {
        let database = database(&places::flat()).unwrap();
        let found = database.lookup(parse("203.0.113.80").unwrap()).unwrap().unwrap();
        assert_eq!(
            (found.country.as_deref(), found.continent.as_deref(), found.name.as_deref()),
            (Some("DE"), Some("EU"), Some("Germany"))
        );
        assert_eq!((found.asn, found.organization.as_deref()), (Some(64500), Some("Example Net")));
    }

    #[test]
    fn coordinates_are_found_if_the_database_has_them() {
        let cities = database(&places::cities()).unwrap();
        for (address, expected) in [
            ("203.0.113.80", Some((52.5, 13.4))),
            ("198.51.100.1", Some((48.9, 2.4))),
            ("192.0.2.1", None),
            ("8.8.8.8", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(cities.coordinates(parse(address).unwrap()), expected, "{address}");
        }
        assert_eq!(database(&places::small()).unwrap().coordinates(parse("203.0.113.80").unwrap()), None);
    }

    #[test]
    fn a_database_without_countries_is_refused_by_name() {
        let error = database(&places::autonomous_systems()).unwrap_err().to_string();
        assert!(
            error.ends_with(": it is a database of the type \"Test-ASN\", which has no countries; use one of countries or cities"),
            "{error}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn a_damaged_database_is_an_error_and_never_a_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            address in any::<u32>(),
        ) {
            let mut bytes = places::small();
            for (index, byte) in damage {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            if let Ok(database) = database(&bytes) {
                let _ = database.lookup(IpAddr::V4(address.into()));
                for known in ["203.0.113.80", "2001:db8::1"] {
                    let _ = database.lookup(parse(known).unwrap());
                }
            }
        }
    }
}
