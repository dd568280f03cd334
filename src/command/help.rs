//! The help text of the command.

use std::fmt::Write as _;

use super::FLAGS;
use crate::render::{columns, formats};

/// The usage, before the list of flags.
pub(crate) const USAGE: &str = "\
Usage: prosodyctl mod_audit [FLAGS] HOST        show the log of a host, newest entries first
       prosodyctl mod_audit [FLAGS] USER@HOST   show the log of one account
       prosodyctl mod_audit --prune [HOST]      remove what has expired
       prosodyctl mod_audit --host-data [--prune] HOST   the same for a host that is not configured any more
       prosodyctl mod_audit --new-key [HOST]    hash addresses with a new key
       prosodyctl mod_audit --events [HOST]     list what is recorded, and in which retention class";

/// The help text of the command.
#[must_use]
pub fn help() -> String {
    let mut help = USAGE.to_owned();
    let mut group = None;
    for flag in FLAGS {
        // Writing to a string can't fail.
        if group.replace(flag.group) != Some(flag.group) {
            let _ = write!(help, "\n\n{}:", flag.group.heading());
        }
        let mut name = format!("--{}", flag.name);
        if let Some(value) = flag.value {
            name = format!("{name} {value}");
        } else if flag.negatable {
            name = format!("--[no-]{}", flag.name);
        }
        let _ = write!(help, "\n  {name:<21} {}", flag.meaning);
        match flag.name {
            "columns" => {
                let _ = write!(help, ":\n{:24}{}", "", columns::names());
            }
            "format" => {
                let _ = write!(help, ": {}", formats::names());
            }
            _ => {}
        }
    }
    help
}
