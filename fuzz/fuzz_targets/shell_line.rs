//! Any text as a line of the shell, and as a password in one: `cargo +nightly fuzz run shell_line`.

#![no_main]

#[path = "../laws/shell_line.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|text: &str| laws::check(text));
