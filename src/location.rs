//! Where an address is, from a database in MaxMind's `.mmdb` format.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use maxminddb::Reader;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::is_public;

/// Where packages and their updaters put a database, in the order in which they are tried.
pub const USUAL_PLACES: &[&str] = &[
    "/var/lib/GeoIP/GeoLite2-Country.mmdb",
    "/var/lib/GeoIP/GeoLite2-City.mmdb",
    "/usr/share/GeoIP/GeoLite2-Country.mmdb",
    "/usr/share/GeoIP/GeoLite2-City.mmdb",
    "/usr/local/share/GeoIP/GeoLite2-Country.mmdb",
    "/var/lib/GeoIP/dbip-country-lite.mmdb",
    "/usr/share/GeoIP/dbip-country-lite.mmdb",
];

/// The place of an address, as far as the database knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The country's two letters (ISO 3166-1).
    pub country: String,
    /// The continent's two letters, such as `EU`.
    pub continent: Option<String>,
    /// The country's name in English; its two letters where the database has no names.
    pub name: String,
}

/// A database that can't be used, and why.
#[derive(Debug, Error)]
#[error("{}: {reason}", path.display())]
pub struct LocationError {
    path: PathBuf,
    reason: String,
}

/// A database of places, read into memory whole.
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
    /// [`LocationError`] where the file is missing, can't be read, or is no such database.
    pub fn open(path: &Path) -> Result<Self, LocationError> {
        let error = |reason: String| LocationError { path: path.to_owned(), reason };
        let reader =
            guarded(|| Reader::open_readfile(path)).map_err(|damage| error(damage.to_owned()))?.map_err(|e| error(e.to_string()))?;
        Ok(Self { reader, path: path.to_owned() })
    }

    /// The first of [`USUAL_PLACES`] that exists.
    #[must_use]
    pub fn usual_place() -> Option<&'static Path> {
        USUAL_PLACES.iter().map(Path::new).find(|path| path.is_file())
    }

    /// The place of `address`; nothing where the database does not know it or the address is not public.
    ///
    /// # Errors
    ///
    /// [`LocationError`] where the database turns out to be damaged at that address.
    pub fn lookup(&self, address: IpAddr) -> Result<Option<Location>, LocationError> {
        if !is_public(address) {
            return Ok(None);
        }
        let error = |reason: String| LocationError { path: self.path.clone(), reason };
        // An IPv4 address can be looked up in a database of either kind, an IPv6 address in one of IPv6 only.
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        let record = guarded(|| self.reader.lookup(address).and_then(|found| found.decode::<Record>()))
            .map_err(|damage| error(damage.to_owned()))?
            .map_err(|e| error(e.to_string()))?;
        Ok(record.and_then(Record::into_location))
    }
}

/// Runs a reader over bytes from outside: where it panics on damaged ones, that is an error of the database.
fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, &'static str> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| "the database is damaged")
}

/// What GeoLite2, DB-IP (nested) and ip-location-db (flat) call a country.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    country: Option<Country>,
    registered_country: Option<Country>,
    continent: Option<Continent>,
    country_code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Country {
    iso_code: Option<String>,
    names: Option<Names>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Continent {
    code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    en: Option<String>,
}

impl Record {
    fn into_location(self) -> Option<Location> {
        let nested = self.country.filter(|country| country.iso_code.is_some()).or(self.registered_country).unwrap_or_default();
        let country = nested.iso_code.or(self.country_code).filter(|code| !code.is_empty())?;
        let name = nested.names.and_then(|names| names.en).unwrap_or_else(|| country.clone());
        Some(Location { name, country, continent: self.continent.and_then(|continent| continent.code) })
    }
}

#[cfg(test)]
#[path = "../spec/support/places.rs"]
mod places;

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
            Some(Location { country: country.to_owned(), continent: continent.map(ToOwned::to_owned), name: name.to_owned() })
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn a_damaged_database_gives_an_error_or_a_place_but_never_a_panic(
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
