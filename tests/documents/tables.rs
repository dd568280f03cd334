//! Tables and lists that are made from the registries of the code.

use audit_core::address::location::USUAL_PLACES;
use audit_core::alert::RULES;
use audit_core::catalogue::EVENT_TYPES;
use audit_core::command::FLAGS;
use audit_core::options::sinks::SINK_FIELDS;
use audit_core::options::{CLASS_FIELDS, OPTIONS, RULE_FIELDS};
use audit_core::redact::SHOWN_FIELDS;
use audit_core::render::fields::{FIELDS, FieldType};
use audit_core::render::formats::FORMATS;

use crate::{DOCUMENTS, read, root};

/// What is between two marks of a document.
struct Made {
    path: &'static str,
    mark: &'static str,
    text: String,
}

const END: &str = "<!-- end -->\n";

fn all() -> Vec<Made> {
    let made = |path, mark, text| Made { path, mark, text };
    vec![
        made("docs/options.md", "table: options", options()),
        made("docs/retention.md", "table: class fields", class_fields()),
        made("docs/sinks.md", "table: sink fields", sink_fields()),
        made("docs/reading.md", "table: flags", flags()),
        made("docs/module-api.md", "table: query fields", query_fields()),
        made("docs/alerts.md", "table: rules", rules()),
        made("docs/alerts.md", "table: rule fields", rule_fields()),
        made("docs/evidence-bytes.md", "table: values", values()),
        made("docs/events.md", "table: events", events()),
        made("docs/events.md", "list: shown fields", shown_fields()),
        made("docs/formats.md", "table: formats", formats()),
        made("docs/schema.md", "table: fields", fields()),
        made("docs/privacy.md", "list: location databases", USUAL_PLACES.iter().map(|path| format!("- `{path}`\n")).collect()),
    ]
}

fn table<const N: usize>(titles: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: [String; N]| format!("| {} |\n", cells.join(" | "));
    let head = format!("{}|{}\n", line(titles.map(ToOwned::to_owned)), "---|".repeat(N));
    head + &rows.into_iter().map(line).collect::<String>()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn options() -> String {
    let rows = OPTIONS.iter().map(|option| {
        let default = option.default.replacen("true", "`true`", 1);
        // What can stand in a configuration as it is.
        let default = if default.starts_with(['"', '{']) || default.parse::<f64>().is_ok() { code(&default) } else { default };
        [code(option.name), default, option.allowed.to_owned(), option.meaning.to_owned()]
    });
    table(["Option", "Default", "Allowed", "Meaning"], rows)
}

fn rules() -> String {
    let rows = RULES.iter().map(|built_in| {
        let types = built_in.types.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
        let [name, _, key, number, window] = built_in.rule().cells();
        [code(&name), built_in.meaning.to_owned(), types, key, number, window]
    });
    table(["Rule", "Fires when", "Events", "Counted by", "At", "Within"], rows)
}

fn rule_fields() -> String {
    let rows =
        RULE_FIELDS.iter().map(|field| [code(field.name), field.default.to_owned(), field.allowed.to_owned(), field.meaning.to_owned()]);
    table(["Field", "Default", "Allowed", "Meaning"], rows)
}

fn class_fields() -> String {
    let rows =
        CLASS_FIELDS.iter().map(|field| [code(field.name), field.default.to_owned(), field.allowed.to_owned(), field.meaning.to_owned()]);
    table(["Field", "Default", "Allowed", "Meaning"], rows)
}

fn sink_fields() -> String {
    let rows =
        SINK_FIELDS.iter().map(|field| [code(field.name), field.default.to_owned(), field.allowed.to_owned(), field.meaning.to_owned()]);
    table(["Field", "Default", "Allowed", "Meaning"], rows)
}

fn flags() -> String {
    let rows = FLAGS.iter().map(|flag| {
        let name = if flag.negatable { format!("[no-]{}", flag.name) } else { flag.name.to_owned() };
        let value = flag.value.map(|value| format!(" {value}")).unwrap_or_default();
        [code(&format!("--{name}{value}")), flag.meaning.to_owned()]
    });
    table(["Flag", "Meaning"], rows)
}

fn query_fields() -> String {
    let rows = FLAGS.iter().filter_map(|flag| {
        let value = match flag.name {
            "since" | "until" => "time",
            "limit" => "number",
            _ if flag.value.is_none() => "`true` or `false`",
            _ if flag.takes_list() => "text or list",
            _ => "text",
        };
        Some([code(&flag.field()?), value.to_owned(), code(&format!("--{}", flag.name))])
    });
    table(["Field", "Value", "As the flag"], rows)
}

fn events() -> String {
    let rows = EVENT_TYPES.iter().map(|event| {
        let details: Vec<String> = event.details.iter().map(|detail| code(detail)).collect();
        let hidden = if event.housekeeping { "; shown only if it is asked for" } else { "" };
        [code(event.name), code(event.module), format!("{}{hidden}", event.meaning), event.since.to_string(), details.join(" ")]
    });
    table(["Event type", "Module", "When", "Since Prosody", "Elements"], rows)
}

fn values() -> String {
    let rows = audit_core::entry::personal::described();
    let rows = rows.iter().map(|(element, values)| format!("| `{element}` | {values} |")).collect::<Vec<_>>();
    format!("| Element | Its values |\n|---|---|\n{}", rows.join("\n"))
}

fn shown_fields() -> String {
    let names: Vec<String> = SHOWN_FIELDS.iter().filter(|field| **field != "FORM_TYPE").map(|field| code(field)).collect();
    format!("{}.\n", names.join(", "))
}

fn formats() -> String {
    let rows = FORMATS.iter().map(|format| [code(format.name), format.meaning.to_owned(), code(&format!(".{}", format.extension))]);
    table(["Format", "What it is", "Files end in"], rows)
}

fn fields() -> String {
    let rows = FIELDS.iter().map(|field| {
        let kind = match field.kind {
            FieldType::Text => "text",
            FieldType::Time => "time",
            FieldType::Count => "number",
            FieldType::Flag => "true",
        };
        let always = if field.always { "always" } else { "" };
        [code(field.name), kind.to_owned(), always.to_owned(), field.meaning.to_owned()]
    });
    table(["Name", "Kind", "Always there", "Meaning"], rows)
}

/// The text before the mark and with it, between the marks, and from the end on.
fn parts<'a>(text: &'a str, made: &Made) -> (&'a str, &'a str, &'a str) {
    let mark = format!("<!-- {} -->\n", made.mark);
    let start = text.find(&mark).unwrap_or_else(|| panic!("{} lacks {mark}", made.path)) + mark.len();
    let end = start + text[start..].find(END).unwrap_or_else(|| panic!("{}: nothing ends {mark}", made.path));
    (&text[..start], &text[start..end], &text[end..])
}

/// Writes all of them into the documents anew.
pub(crate) fn update() {
    for made in all() {
        let text = read(made.path);
        let (before, _, after) = parts(&text, &made);
        // Blank lines keep a comment from being a part of the table.
        std::fs::write(root().join(made.path), format!("{before}\n{}\n{after}", made.text)).unwrap();
    }
}

#[test]
fn tables_are_what_the_code_has() {
    for made in all() {
        let (_, between, _) = parts(&DOCUMENTS[made.path].text, &made);
        assert_eq!(
            between.trim_matches('\n'),
            made.text.trim_matches('\n'),
            "{}: \"{}\" is not what the code has; UPDATE_DOCUMENTS=1 cargo test --no-default-features --test documents writes it anew",
            made.path,
            made.mark
        );
    }
}

#[test]
fn every_mark_is_known() {
    let made = all();
    for (path, document) in &*DOCUMENTS {
        let marks =
            document.text.split("\n<!-- ").skip(1).filter_map(|rest| Some(rest.split_once(" -->")?.0)).filter(|mark| *mark != "end");
        for mark in marks {
            assert!(made.iter().any(|made| made.path == path && made.mark == mark), "{path}: nothing makes \"{mark}\"");
        }
    }
}

#[test]
fn every_format_is_described() {
    let document = &DOCUMENTS["docs/formats.md"];
    for format in FORMATS.iter().filter(|format| format.name != "table") {
        assert!(document.anchors().contains(format.name), "docs/formats.md does not describe {}", format.name);
    }
    // The page that says where each of them is described.
    let spans = DOCUMENTS["docs/reading.md"].spans();
    for format in FORMATS {
        assert!(spans.iter().any(|span| span == format.name), "docs/reading.md does not name the format {}", format.name);
    }
}

#[test]
fn every_module_that_records_is_in_the_readme() {
    let readme = &DOCUMENTS["README.md"].text;
    for event in EVENT_TYPES {
        assert!(readme.contains(&format!("\n| `{}` | ", event.module)), "README.md has no row for {}", event.module);
    }
}
