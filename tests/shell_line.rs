//! The laws of a redacted line of the shell, for lines that proptest makes up; the fuzz target holds the same.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, missing_docs)]

#[path = "../fuzz/laws/shell_line.rs"]
mod laws;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_secret_survives(text in any::<String>(), lua in "[ab \"'\\\\\\[\\]=\\-\n\r.:,z(){};@<>]{0,24}") {
        laws::check(&text);
        laws::check(&lua);
    }
}

#[test]
fn what_broke_it_once_does_not() {
    for text in ["", "\"", "'", "\\", "]", "]]", "=]", "--", "--[[", "\\\n", "\r\n", ")", "a b", "\u{b}", "\u{e9}", ":", "-", "{", ",", ";"]
    {
        laws::check(text);
    }
}
