//! `prosody-audit(1)`, for groff's macros `man`.

use std::fmt::Write as _;

use crate::command::{FLAGS, USAGE};
use crate::render::columns;
use crate::render::formats::FORMATS;

/// Commands that an operator starts with, and what each of them is for.
const EXAMPLES: &[(&str, &str)] = &[
    ("prosodyctl mod_audit --limit 20 example.com", "The newest 20 entries of a host."),
    ("prosodyctl mod_audit --since 2d --type 'user-*' example.com", "What happened to accounts in the last two days."),
    ("prosodyctl mod_audit --ip 203.0.113.0/24 example.com", "Everything that came from a network."),
    ("prosodyctl mod_audit --follow --type '*-failure' example.com", "Failed logins, as they happen."),
    ("prosodyctl mod_audit --stats --since 7d example.com", "Totals of a week."),
    ("prosodyctl mod_audit --format json example.com | jq .type", "The log for another program."),
];

/// The manual page, as groff reads it. `version` is the version of prosody-audit.
#[must_use]
pub fn page(version: &str) -> String {
    let mut page = format!(".TH PROSODY\\-AUDIT 1 \"\" \"prosody\\-audit {}\" \"Prosody\"\n", escape(version));
    section(&mut page, "NAME");
    page.push_str("prosody\\-audit \\- the security audit log of the Prosody XMPP server\n");
    synopsis(&mut page);
    section(&mut page, "DESCRIPTION");
    paragraph(
        &mut page,
        "prosody-audit records logins, failed logins, changes of accounts and administration of a Prosody XMPP server. \
         The modules mod_audit_* record, and the command of mod_audit shows what was recorded.",
    );
    paragraph(
        &mut page,
        "HOST is a host of the server: a VirtualHost or a Component. USER@HOST shows one account only. \
         The command works while the server runs and when it is stopped. \
         Flags may stand before or after the host, and --name=value is the same as --name value. \
         Flags that take several values take them with commas, or are given several times.",
    );
    options(&mut page);
    section(&mut page, "COLUMNS");
    paragraph(&mut page, &format!("--columns takes these names: {}.", columns::names()));
    section(&mut page, "FORMATS");
    for format in FORMATS {
        entry(&mut page, &format!("\\fB{}\\fR", escape(format.name)), format.meaning);
    }
    section(&mut page, "EXIT STATUS");
    for (status, meaning) in [
        ("0", "The command did what it was asked for, even if no entry was found."),
        ("1", "It failed, or entries are damaged. Standard error says why, in one line."),
        ("2", "The arguments make no sense. Standard error says which."),
    ] {
        entry(&mut page, &format!("\\fB{status}\\fR"), meaning);
    }
    section(&mut page, "ENVIRONMENT");
    entry(&mut page, "\\fBNO_COLOR\\fR", "No colours if it is set and not empty.");
    entry(&mut page, "\\fBTZ\\fR", "The time zone in which times are shown and read, unless --zone or --utc is given.");
    entry(&mut page, "\\fBPWD\\fR", "The folder to which the names of --output and --report are relative. sudo does not pass it on.");
    let users = "Who reads the log, if the process belongs to no login. The log marks such a name as claimed.";
    entry(&mut page, "\\fBSUDO_USER\\fR, \\fBUSER\\fR, \\fBLOGNAME\\fR", users);
    section(&mut page, "FILES");
    entry(&mut page, "\\fI/etc/prosody/prosody.cfg.lua\\fR", "The configuration of the server, with the options audit_*.");
    entry(
        &mut page,
        "\\fI/var/lib/prosody\\fR",
        "The server's data. The folder of each host holds the journal of its audit log, the key for hashed addresses, and with \
         the embedded storage driver the log itself.",
    );
    section(&mut page, "EXAMPLES");
    for (command, meaning) in EXAMPLES {
        entry(&mut page, &format!("\\fB{}\\fR", escape(command)), meaning);
    }
    section(&mut page, "SEE ALSO");
    page.push_str(".BR prosodyctl (1),\n.BR prosody (8)\n");
    page
}

fn synopsis(page: &mut String) {
    section(page, "SYNOPSIS");
    for line in USAGE.lines() {
        let line = line.trim().trim_start_matches("Usage:").trim();
        let (command, meaning) = line.split_once("  ").unwrap_or((line, ""));
        entry(page, &format!("\\fB{}\\fR", escape(command)), meaning.trim());
    }
}

fn options(page: &mut String) {
    section(page, "OPTIONS");
    let mut group = None;
    for flag in FLAGS {
        if group.replace(flag.group) != Some(flag.group) {
            // Writing to a string can't fail.
            let _ = writeln!(page, ".PP\n{}:", escape(flag.group.heading()));
        }
        let mut name = if flag.negatable {
            format!("\\fB\\-\\-[no\\-]{}\\fR", escape(flag.name))
        } else {
            format!("\\fB\\-\\-{}\\fR", escape(flag.name))
        };
        if let Some(value) = flag.value {
            let _ = write!(name, " \\fI{}\\fR", escape(value));
        }
        entry(page, &name, &capitalized(flag.meaning));
    }
}

fn section(page: &mut String, title: &str) {
    let _ = writeln!(page, ".SH {title}");
}

fn paragraph(page: &mut String, text: &str) {
    let _ = writeln!(page, ".PP\n{}", escape(text));
}

/// `tag` is in groff's language already.
fn entry(page: &mut String, tag: &str, text: &str) {
    let _ = writeln!(page, ".TP\n{tag}\n{}", escape(text));
}

/// As a sentence begins and ends.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(letters).chain(if text.ends_with('.') { None } else { Some('.') }).collect()
}

/// Text as groff shows it unchanged, on every device: without escapes, quotes become typographic and the dash a hyphen.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '`' => escaped.push_str("\\(ga"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            '…' => escaped.push_str("..."),
            letter if !letter.is_ascii() => {
                let _ = write!(escaped, "\\[u{:04X}]", u32::from(letter));
            }
            letter => escaped.push(letter),
        }
    }
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_it_is() {
        for (text, expected) in [
            ("a-b", "a\\-b"),
            ("it's", "it\\(aqs"),
            (".x", "\\&.x"),
            ("...", "\\&..."),
            ("…", "\\&..."),
            ("C:\\", "C:\\e"),
            ("é", "\\[u00E9]"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }

    #[test]
    fn the_page_is_ascii() {
        assert!(page("1.0").is_ascii());
    }

    #[test]
    fn a_meaning_becomes_a_sentence() {
        assert_eq!(capitalized("at most N entries"), "At most N entries.");
    }
}
