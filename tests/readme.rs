//! The README's tables are what the code has.
#![allow(clippy::unwrap_used, missing_docs)]

use audit_core::catalogue::EVENT_TYPES;
use audit_core::command::FLAGS;
use audit_core::options::{CLASS_FIELDS, OPTIONS};
use audit_core::render::formats::FORMATS;

const README: &str = include_str!("../README.md");

#[test]
fn every_option_has_its_row() {
    for option in OPTIONS {
        let default = option.default.replacen("true", "`true`", 1);
        // What can stand in a configuration as it is.
        let default = if default.starts_with(['"', '{']) || default.parse::<f64>().is_ok() { format!("`{default}`") } else { default };
        let row = format!("| `{}` | {default} | {} | {} |", option.name, option.allowed.replace('\\', ""), option.meaning);
        assert!(README.contains(&row), "README.md lacks\n{row}");
    }
}

#[test]
fn every_field_of_a_class_has_its_row() {
    for field in CLASS_FIELDS {
        let row = format!("| `{}` | {} | {} | {} |", field.name, field.default, field.allowed, field.meaning);
        assert!(README.contains(&row), "README.md lacks\n{row}");
    }
}

#[test]
fn every_flag_has_its_row() {
    for flag in FLAGS {
        let name = if flag.negatable { format!("[no-]{}", flag.name) } else { flag.name.to_owned() };
        let value = flag.value.map(|value| format!(" {value}")).unwrap_or_default();
        let row = format!("| `--{name}{value}` | {} |", flag.meaning);
        assert!(README.contains(&row), "README.md lacks\n{row}");
    }
}

/// Rows of the table of event types, and nothing else, begin with a type.
#[test]
fn every_event_type_has_its_row_and_no_other_has() {
    let table = README.split_once("| Event type |").unwrap().1;
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let expected: Vec<String> = EVENT_TYPES
        .iter()
        .map(|event| {
            let details: Vec<String> = event.details.iter().map(|detail| format!("`{detail}`")).collect();
            format!("| `{}` | `{}` | {} | {} | {} |", event.name, event.module, event.meaning, event.since, details.join(" "))
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_format_is_described() {
    let formats = include_str!("../docs/formats.md");
    for format in FORMATS {
        let row = format!("| `{}` | {} | `.{}` |", format.name, format.meaning, format.extension);
        assert!(formats.contains(&row), "docs/formats.md lacks\n{row}");
        let row = format!("| `{}` | {} |\n", format.name, format.meaning);
        assert!(README.contains(&row), "README.md lacks\n{row}");
        assert!(
            formats.contains(&format!("\n## {}\n", format.name)) || format.name == "table",
            "docs/formats.md does not describe {}",
            format.name
        );
    }
}

#[test]
fn every_field_of_a_form_that_is_shown_is_named() {
    let text = README.split_once("Values only of those that").unwrap().1.split_once("Commands that anybody").unwrap().0;
    for field in audit_core::redact::SHOWN_FIELDS.iter().filter(|field| **field != "FORM_TYPE") {
        assert!(text.contains(&format!("`{field}`")), "{field}");
    }
}
