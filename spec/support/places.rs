//! The small database of places that the tests use, written anew each time: addresses of documentation (RFC 5737, RFC 3849).

use std::net::Ipv4Addr;

use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde::Serialize;

#[derive(Serialize)]
struct Names {
    en: &'static str,
}

#[derive(Serialize)]
struct Country {
    iso_code: &'static str,
    names: Names,
}

#[derive(Serialize)]
struct Continent {
    code: &'static str,
}

/// As GeoLite2 and DB-IP write a country.
#[derive(Serialize)]
struct Nested {
    continent: Continent,
    country: Country,
}

/// GeoLite2's record for a network whose users' country is not known.
#[derive(Serialize)]
struct Registered {
    continent: Continent,
    registered_country: Country,
}

/// As ip-location-db writes a country.
#[derive(Serialize)]
struct Flat {
    country_code: &'static str,
}

/// As IPinfo writes a country and an autonomous system.
#[derive(Serialize)]
struct FlatWithSystem {
    country: &'static str,
    country_name: &'static str,
    continent: &'static str,
    asn: &'static str,
    as_name: &'static str,
}

/// As GeoLite2 writes an autonomous system.
#[derive(Serialize)]
struct System {
    autonomous_system_number: u32,
    autonomous_system_organization: &'static str,
}

fn empty(database_type: &str) -> Database {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.database_type = database_type.to_owned();
    database.metadata.binary_format_major_version = 2;
    database
}

/// A database of the flat layout, with the autonomous system of each address.
pub(crate) fn flat() -> Vec<u8> {
    let mut database = empty("Test-Country-ASN");
    let record = FlatWithSystem { country: "DE", country_name: "Germany", continent: "EU", asn: "AS64500", as_name: "Example Net" };
    let germany = database.insert_value(record).unwrap();
    database.insert_node(v4(203, 0, 113), germany);
    database.write_to(Vec::new()).unwrap()
}

/// A database of autonomous systems only.
pub(crate) fn autonomous_systems() -> Vec<u8> {
    let mut database = empty("Test-ASN");
    let system = database.insert_value(System { autonomous_system_number: 64500, autonomous_system_organization: "Example Net" }).unwrap();
    database.insert_node(v4(203, 0, 113), system);
    database.write_to(Vec::new()).unwrap()
}

/// As GeoLite2 writes a city.
#[derive(Serialize)]
struct City {
    country: Country,
    location: Point,
}

#[derive(Serialize)]
struct Point {
    latitude: f64,
    longitude: f64,
}

/// As IPinfo writes a city.
#[derive(Serialize)]
struct FlatCity {
    country_code: &'static str,
    latitude: &'static str,
    longitude: &'static str,
}

/// A database of cities, with coordinates of some.
pub(crate) fn cities() -> Vec<u8> {
    let mut database = empty("Test-City");
    let country = |iso_code, en| Country { iso_code, names: Names { en } };
    let berlin = City { country: country("DE", "Germany"), location: Point { latitude: 52.5, longitude: 13.4 } };
    let paris = FlatCity { country_code: "FR", latitude: "48.9", longitude: "2.4" };
    let auckland = City { country: country("NZ", "New Zealand"), location: Point { latitude: -36.8, longitude: 174.8 } };
    let nowhere = City { country: country("US", "United States"), location: Point { latitude: 0.0, longitude: 0.0 } };
    for (network, value) in [
        (v4(203, 0, 113), database.insert_value(berlin).unwrap()),
        (v4(198, 51, 100), database.insert_value(paris).unwrap()),
        (v4(192, 0, 2), database.insert_value(nowhere).unwrap()),
        ("2001:db8::/32".parse::<IpAddrWithMask>().unwrap(), database.insert_value(auckland).unwrap()),
    ] {
        database.insert_node(network, value);
    }
    database.write_to(Vec::new()).unwrap()
}

/// A small database of countries, in the layouts of GeoLite2 and ip-location-db.
pub(crate) fn small() -> Vec<u8> {
    let mut database = empty("Test-Country");
    let country = |iso_code, en| Country { iso_code, names: Names { en } };
    let germany = database.insert_value(Nested { continent: Continent { code: "EU" }, country: country("DE", "Germany") }).unwrap();
    let zealand = database.insert_value(Nested { continent: Continent { code: "OC" }, country: country("NZ", "New Zealand") }).unwrap();
    let states = database
        .insert_value(Registered { continent: Continent { code: "NA" }, registered_country: country("US", "United States") })
        .unwrap();
    let france = database.insert_value(Flat { country_code: "FR" }).unwrap();
    database.insert_node(v4(203, 0, 113), germany);
    database.insert_node(v4(198, 51, 100), france);
    database.insert_node(v4(192, 0, 2), states);
    database.insert_node("2001:db8::/32".parse::<IpAddrWithMask>().unwrap(), zealand);
    database.write_to(Vec::new()).unwrap()
}

/// The /24 network of an IPv4 address, as it lies in a database of IPv6.
fn v4(a: u8, b: u8, c: u8) -> IpAddrWithMask {
    let address = Ipv4Addr::new(a, b, c, 0).octets();
    let hex = format!("::{:02x}{:02x}:{:02x}{:02x}/120", address[0], address[1], address[2], address[3]);
    hex.parse().unwrap()
}
