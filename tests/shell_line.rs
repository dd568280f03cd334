//! The laws of the fuzz target `shell_line`, for lines from proptest.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, missing_docs)]

#[path = "../fuzz/laws/shell_line.rs"]
mod laws;

use audit_core::redact::COMMANDS;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_secret_survives(text in any::<String>(), lua in "[ab \"'\\\\\\[\\]=\\-\n\r.:,z(){};@<>]{0,24}") {
        laws::check(&text);
        laws::check(&lua);
    }

    #[test]
    fn no_mistake_shows_a_secret(slip in "[\"',;:.(){}@/ =\\-a-zA-Z0-9]{0,3}") {
        for command in COMMANDS {
            laws::check_mistakes(command, &slip);
        }
    }
}

#[test]
fn slips_that_once_showed_a_secret() {
    for command in COMMANDS {
        laws::check_mistakes(command, ".a");
    }
}

#[test]
fn inputs_that_once_broke_it() {
    for text in [
        "",
        "\"",
        "'",
        "\\",
        "]",
        "]]",
        "=]",
        "--",
        "--[[",
        "\\\n",
        "\r\n",
        ")",
        "a b",
        "\u{b}",
        "\u{e9}",
        ":",
        "-",
        "{",
        ",",
        ";",
        "\" \"",
        "\"; \"",
        "\", \"",
        "&3",
        "-horse-battery",
        "@",
        "@a.example",
        "/",
        "_",
        "-",
        " or ",
        "\")--",
        "\"..\"",
        "{\"a\",\"",
        "...",
    ] {
        laws::check(text);
    }
}
