//! Any bytes as a segment of the journal: `cargo +nightly fuzz run journal_reader`.

#![no_main]

#[path = "../laws/journal_reader.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = std::env::temp_dir().join(format!("journal-reader-{}", std::process::id()));
    laws::check(&folder, bytes);
});
