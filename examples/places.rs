//! Writes the small database of places that the end-to-end tests use: `cargo run --example places -- FILE`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../spec/support/places.rs"]
mod places;

fn main() {
    let path = std::env::args().nth(1).unwrap_or_else(|| "target/places.mmdb".to_owned());
    if let Err(error) = std::fs::write(&path, places::small()) {
        eprintln!("{path}: {error}");
        std::process::exit(1);
    }
}
