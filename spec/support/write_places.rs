//! Writes the small location databases that the end-to-end tests use: `cargo run --example places -- FOLDER`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "places.rs"]
mod places;

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "target".to_owned());
    let databases = [
        ("places.mmdb", places::small()),
        ("cities.mmdb", places::cities()),
        ("systems.mmdb", places::flat()),
        ("no-countries.mmdb", places::autonomous_systems()),
    ];
    for (name, bytes) in databases {
        let path = std::path::Path::new(&folder).join(name);
        if let Err(error) = std::fs::write(&path, bytes) {
            eprintln!("{}: {error}", path.display());
            std::process::exit(1);
        }
    }
}
