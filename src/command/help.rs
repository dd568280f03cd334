//! The help text of the command, and of the shell's commands.

use std::fmt::Write as _;

use super::flags::of_shell;
use super::{FLAGS, Flag};
use crate::render::{columns, formats};

/// The usage, before the list of flags.
pub(crate) const USAGE: &str = "\
Usage: prosodyctl mod_audit [FLAGS] HOST        show the log of a host, newest entries first
       prosodyctl mod_audit [FLAGS] USER@HOST   show the log of one account
       prosodyctl mod_audit --prune [HOST]      remove what has expired
       prosodyctl mod_audit --host-data [--prune] HOST   the same for a host that is not configured any more
       prosodyctl mod_audit --verify HOST       check whether anybody has changed the log
       prosodyctl mod_audit --verify --from FILE   the same for a file of --export-evidence, on any machine
       prosodyctl mod_audit --export-evidence FILE HOST   all that is needed to verify the log elsewhere
       prosodyctl mod_audit --person USER@HOST --output FILE   all about a person, as JSON
       prosodyctl mod_audit --erase USER@HOST   erase the data of a person
       prosodyctl mod_audit --privacy HOST      which personal data are kept, why and how long
       prosodyctl mod_audit --new-key [HOST]    hash addresses with a new key
       prosodyctl mod_audit --events [HOST]     list what is recorded, and in which retention class
       prosodyctl mod_audit --alerts [HOST]     list the rules of the alerts";

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
        let _ = write!(help, "\n  {}", line(flag, "  "));
    }
    help
}

/// The flags of the shell's command for entries, or for totals (`stats`). Each line begins with `indent`.
#[must_use]
pub fn shell_help(stats: bool, indent: &str) -> String {
    of_shell(stats).map(|flag| format!("{indent}{}", line(flag, indent))).collect::<Vec<_>>().join("\n")
}

/// What is said of a flag. `indent` is what its line begins with.
fn line(flag: &Flag, indent: &str) -> String {
    let more = match flag.name {
        "columns" => format!(":\n{indent}{:22}{}", "", columns::names()),
        "format" => format!(": {}", formats::names()),
        _ => String::new(),
    };
    format!("{:<21} {}{more}", flag.usage(), flag.meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_the_shell_is_told_its_flags_in_the_same_words() {
        let (help, show) = (help(), shell_help(false, "    "));
        let lines: Vec<&str> = show.lines().map(|line| line.strip_prefix("    ").unwrap()).collect();
        assert!(lines.len() > of_shell(false).count(), "the columns have a line of their own");
        for line in lines {
            assert!(help.lines().any(|other| other.strip_prefix("  ") == Some(line)), "{line}");
        }
        assert_eq!(shell_help(true, "").lines().count(), of_shell(true).count());
    }
}
