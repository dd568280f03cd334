//! Names in the documents are names of the code: options, and lines of Prosody's log.

use audit_core::options::OPTIONS;

use crate::markdown::Document;
use crate::{DOCUMENTS, check_each, files, read, root};

fn unknown_options(_: &str, document: &Document) -> Vec<String> {
    let modules = files("lua", "lua").into_iter().filter_map(|path| {
        let name = path.rsplit('/').next()?.strip_suffix(".lua")?.to_owned();
        Some(name.strip_prefix("mod_").map(ToOwned::to_owned).unwrap_or(name))
    });
    let options = OPTIONS.iter().map(|option| option.name.to_owned());
    let known: Vec<String> = options.chain(modules).collect();
    let is_known = |name: &str| match name.split_once('*') {
        Some((start, end)) => known.iter().any(|name| name.starts_with(start) && name.ends_with(end)),
        None => known.iter().any(|known| known == name),
    };
    let code = document.spans().into_iter().chain(document.blocks.iter().map(|block| block.text.clone()));
    let names = code.flat_map(|text| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '*');
        words
            .filter(|word| ["audit_log_", "audit_auth_", "audit_status_", "audit_user_"].iter().any(|start| word.starts_with(start)))
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    });
    names.filter(|name| !is_known(name)).map(|name| format!("there is no option {name}")).collect()
}

#[test]
fn every_option_exists() {
    check_each(unknown_options);
}

fn missing_libraries(_: &str, document: &Document) -> Vec<String> {
    let code = document.spans().into_iter().chain(document.blocks.iter().map(|block| block.text.clone()));
    let names = code.flat_map(|text| {
        let required = text.split("module:require(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
        required.collect::<Vec<_>>()
    });
    names.filter(|name| !root().join(format!("lua/{name}.lib.lua")).exists()).map(|name| format!("there is no library {name}")).collect()
}

#[test]
fn every_library_exists() {
    check_each(missing_libraries);
}

/// The code as text in which a message stands in one line.
fn sources() -> String {
    let paths = [files("src", "rs"), files("src", "lua"), files("lua", "lua")].concat();
    let mut text = String::new();
    for path in paths {
        // A text may go on in the next line: after a backslash in Rust, with `..` in Lua.
        let joined = read(&path).split("\\\n").map(str::trim_start).collect::<String>();
        text += &joined.lines().map(str::trim).collect::<Vec<_>>().join("\n").replace("\"\n..\"", "");
    }
    text
}

/// Rows of troubleshooting quote lines of Prosody's log. `…` stands for what differs.
#[test]
fn every_quoted_line_of_the_log_exists() {
    let sources = sources();
    let mut quoted = 0;
    for path in ["README.md", "docs/troubleshooting.md"] {
        let rows = DOCUMENTS[path]
            .text
            .split("| Prosody's log says |")
            .skip(1)
            .flat_map(|table| table.lines().skip(2).take_while(|row| row.starts_with('|')));
        for line in rows.filter_map(|row| row.split('`').nth(1)) {
            for part in line.split('…').filter(|part| part.trim().len() > 5) {
                quoted += 1;
                assert!(sources.contains(part.trim_end_matches(": ")), "{path}: no line of the log has \"{part}\"");
            }
        }
    }
    assert!(quoted > 10, "{quoted}");
}
