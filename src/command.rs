//! The arguments of `prosodyctl mod_audit`: one table of flags that drives reading and help.

use std::fmt::Write as _;

use thiserror::Error;

/// A flag of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The long name, without `--`.
    pub name: &'static str,
    /// What stands in the help for its value; nothing where it takes none.
    pub value: Option<&'static str>,
    /// Whether `--no-…` turns it off.
    pub negatable: bool,
    /// What it does.
    pub meaning: &'static str,
}

/// Every flag of the command, in the order of the help.
pub const FLAGS: &[Flag] = &[
    Flag { name: "limit", value: Some("N"), negatable: false, meaning: "show the newest N entries only" },
    Flag { name: "global", value: None, negatable: true, meaning: "show only events of the whole host; --no-global hides them" },
    Flag { name: "show-user", value: None, negatable: true, meaning: "show the column with the account" },
    Flag { name: "show-ip", value: None, negatable: true, meaning: "show the column with the address" },
    Flag { name: "show-location", value: None, negatable: true, meaning: "show the column with the country" },
    Flag { name: "show-note", value: None, negatable: true, meaning: "show the column with everything else" },
    Flag { name: "prune", value: None, negatable: false, meaning: "remove what has expired, on one host or on all" },
    Flag { name: "events", value: None, negatable: false, meaning: "list the types of events that are recorded" },
    Flag { name: "help", value: None, negatable: false, meaning: "show this help" },
];

/// How the command is called; the flags follow.
const USAGE: &str = "\
Usage: prosodyctl mod_audit [FLAGS] HOST        everything of a host, newest first
       prosodyctl mod_audit [FLAGS] USER@HOST   one account
       prosodyctl mod_audit --prune [HOST]      remove what has expired
       prosodyctl mod_audit --events            list what is recorded";

/// Which columns were asked for; where nothing was said, a column is shown if it has something to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The account.
    pub user: Option<bool>,
    /// The address.
    pub ip: Option<bool>,
    /// The country.
    pub location: Option<bool>,
    /// Everything else.
    pub note: Option<bool>,
}

/// What the command is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Show the help.
    Help,
    /// List the event types.
    Events,
    /// Show entries.
    Show {
        /// The localpart of the account that is asked for, if one is.
        local: Option<String>,
        /// The host.
        host: String,
        /// `Some(true)`: only events of the whole host; `Some(false)`: none of them.
        global: Option<bool>,
        /// At most so many.
        limit: Option<usize>,
        /// The columns.
        columns: Columns,
    },
    /// Remove what has expired.
    Prune {
        /// On this host; nothing stands for all of them.
        host: Option<String>,
    },
}

/// Arguments that make no sense; says which and what would.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct UsageError(String);

impl Command {
    /// Reads the arguments. Flags may stand before and after the host, with `-` or `_`, and `--name=value` is `--name value`.
    ///
    /// # Errors
    ///
    /// [`UsageError`] with one line for the operator.
    ///
    /// ```
    /// use audit_core::command::Command;
    /// assert!(matches!(Command::parse(["example.com", "--limit=5"]), Ok(Command::Show { limit: Some(5), .. })));
    /// assert!(Command::parse(["--limt", "5", "example.com"]).is_err());
    /// ```
    pub fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, UsageError> {
        let mut arguments = arguments.into_iter();
        let (mut global, mut limit, mut columns, mut prune) = (None, None, Columns::default(), false);
        let mut target = None;
        let mut only_targets = false;
        while let Some(argument) = arguments.next() {
            if only_targets || !argument.starts_with('-') || argument == "-" {
                if let Some(first) = target.replace(argument) {
                    return Err(UsageError(format!("One host or account at a time, not {} and {}", quote(first), quote(argument))));
                }
                continue;
            }
            if argument == "--" {
                only_targets = true;
                continue;
            }
            let (flag, on, given) = read_flag(argument)?;
            let value = match (flag.value, given) {
                (None, None) => None,
                (None, Some(_)) => return Err(UsageError(format!("--{} takes no value", flag.name))),
                (Some(_), Some(value)) => Some(value),
                (Some(name), None) => {
                    Some(arguments.next().ok_or_else(|| UsageError(format!("--{} needs a value: --{} {name}", flag.name, flag.name)))?)
                }
            };
            match flag.name {
                "help" => return Ok(Self::Help),
                "events" => return Ok(Self::Events),
                "prune" => prune = true,
                "global" => global = Some(on),
                "limit" => limit = Some(read_limit(value.unwrap_or_default())?),
                "show-user" => columns.user = Some(on),
                "show-ip" => columns.ip = Some(on),
                "show-location" => columns.location = Some(on),
                _ => columns.note = Some(on),
            }
        }
        let target = target.map(read_target).transpose()?;
        match (prune, target) {
            (true, None) => Ok(Self::Prune { host: None }),
            (true, Some((None, host))) => Ok(Self::Prune { host: Some(host) }),
            (true, Some((Some(_), host))) => Err(UsageError(format!("--prune is for a whole host: --prune {host}"))),
            (false, None) => {
                Err(UsageError("Name a host or an account, such as example.com or user@example.com (--help shows more)".to_owned()))
            }
            (false, Some((local, host))) => Ok(Self::Show { local, host, global, limit, columns }),
        }
    }
}

/// The help text of the command.
#[must_use]
pub fn help() -> String {
    let mut help = format!("{USAGE}\n\nFlags:\n");
    for flag in FLAGS {
        let mut name = format!("--{}", flag.name);
        if let Some(value) = flag.value {
            name = format!("{name} {value}");
        } else if flag.negatable {
            name = format!("--[no-]{}", flag.name);
        }
        // Writing to a string can't fail.
        let _ = writeln!(help, "  {name:<21} {}", flag.meaning);
    }
    help.truncate(help.trim_end().len());
    help
}

fn read_flag(argument: &str) -> Result<(&'static Flag, bool, Option<&str>), UsageError> {
    let (name, value) = argument.split_once('=').map_or((argument, None), |(name, value)| (name, Some(value)));
    let unknown = || {
        let names: Vec<String> = FLAGS.iter().map(|flag| format!("--{}", flag.name)).collect();
        UsageError(format!("Unknown flag {}; there are {}", quote(name), names.join(", ")))
    };
    if matches!(name, "-h" | "-?") {
        return FLAGS.iter().find(|flag| flag.name == "help").map(|flag| (flag, true, None)).ok_or_else(unknown);
    }
    let plain = name.strip_prefix("--").map(|name| name.replace('_', "-")).ok_or_else(unknown)?;
    let find = |name: &str| FLAGS.iter().find(|flag| flag.name == name);
    match (find(&plain), plain.strip_prefix("no-").and_then(find)) {
        (Some(flag), _) => Ok((flag, true, value)),
        (None, Some(flag)) if flag.negatable => Ok((flag, false, value)),
        _ => Err(unknown()),
    }
}

fn read_limit(text: &str) -> Result<usize, UsageError> {
    text.parse()
        .ok()
        .filter(|limit| *limit > 0)
        .ok_or_else(|| UsageError(format!("--limit is {}, but takes a whole number from 1", quote(text))))
}

/// Splits a JID into localpart and host. A resource is left out: events are of accounts.
fn read_target(target: &str) -> Result<(Option<String>, String), UsageError> {
    let bare = target.split_once('/').map_or(target, |(bare, _)| bare);
    let (local, host) = bare.rsplit_once('@').map_or((None, bare), |(local, host)| (Some(local), host));
    if host.is_empty() || local == Some("") {
        return Err(UsageError(format!("{} is no host and no account; example.com and user@example.com are", quote(target))));
    }
    // Prosody's nodeprep and nameprep lower the case of letters.
    Ok((local.map(str::to_lowercase), host.to_lowercase()))
}

/// Text from the command line in an error: nothing of it may steer a terminal.
fn quote(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn show(local: Option<&str>, host: &str) -> Command {
        Command::Show { local: local.map(ToOwned::to_owned), host: host.to_owned(), global: None, limit: None, columns: Columns::default() }
    }

    fn with(command: Command, change: impl FnOnce(&mut Option<bool>, &mut Option<usize>, &mut Columns)) -> Command {
        let Command::Show { local, host, mut global, mut limit, mut columns } = command else { panic!() };
        change(&mut global, &mut limit, &mut columns);
        Command::Show { local, host, global, limit, columns }
    }

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace()).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_say_what_to_do() {
        let host = || show(None, "example.com");
        for (line, command) in [
            ("example.com", host()),
            ("Example.COM", host()),
            ("user@example.com", show(Some("user"), "example.com")),
            ("user@example.com/phone", show(Some("user"), "example.com")),
            ("--limit 5 example.com", with(host(), |_, limit, _| *limit = Some(5))),
            ("example.com --limit 5", with(host(), |_, limit, _| *limit = Some(5))),
            ("example.com --limit=5", with(host(), |_, limit, _| *limit = Some(5))),
            ("--global example.com", with(host(), |global, _, _| *global = Some(true))),
            ("example.com --no-global", with(host(), |global, _, _| *global = Some(false))),
            ("--no_global example.com", with(host(), |global, _, _| *global = Some(false))),
            ("--show-ip example.com", with(host(), |_, _, columns| columns.ip = Some(true))),
            ("--show_ip example.com", with(host(), |_, _, columns| columns.ip = Some(true))),
            ("--no-show-user example.com", with(host(), |_, _, columns| columns.user = Some(false))),
            ("--no_show_location example.com", with(host(), |_, _, columns| columns.location = Some(false))),
            ("--no-show-note -- example.com", with(host(), |_, _, columns| columns.note = Some(false))),
            ("--prune", Command::Prune { host: None }),
            ("--prune example.com", Command::Prune { host: Some("example.com".to_owned()) }),
            ("example.com --prune", Command::Prune { host: Some("example.com".to_owned()) }),
            ("--events", Command::Events),
            ("example.com --events", Command::Events),
            ("--help", Command::Help),
            ("example.com -h", Command::Help),
        ] {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_one_line_that_says_why() {
        let errors: Vec<String> = [
            "",
            "--limit",
            "--limit x example.com",
            "--limit 0 example.com",
            "--limit -5 example.com",
            "--colour example.com",
            "--no-limit example.com",
            "--no-prune",
            "--global=yes example.com",
            "-x example.com",
            "a.example b.example",
            "@example.com",
            "user@",
            "--prune user@example.com",
        ]
        .iter()
        .map(|line| format!("{line:<26}{}\n", parse(line).unwrap_err()))
        .collect();
        expect![[r#"
                                      Name a host or an account, such as example.com or user@example.com (--help shows more)
            --limit                   --limit needs a value: --limit N
            --limit x example.com     --limit is "x", but takes a whole number from 1
            --limit 0 example.com     --limit is "0", but takes a whole number from 1
            --limit -5 example.com    --limit is "-5", but takes a whole number from 1
            --colour example.com      Unknown flag "--colour"; there are --limit, --global, --show-user, --show-ip, --show-location, --show-note, --prune, --events, --help
            --no-limit example.com    Unknown flag "--no-limit"; there are --limit, --global, --show-user, --show-ip, --show-location, --show-note, --prune, --events, --help
            --no-prune                Unknown flag "--no-prune"; there are --limit, --global, --show-user, --show-ip, --show-location, --show-note, --prune, --events, --help
            --global=yes example.com  --global takes no value
            -x example.com            Unknown flag "-x"; there are --limit, --global, --show-user, --show-ip, --show-location, --show-note, --prune, --events, --help
            a.example b.example       One host or account at a time, not "a.example" and "b.example"
            @example.com              "@example.com" is no host and no account; example.com and user@example.com are
            user@                     "user@" is no host and no account; example.com and user@example.com are
            --prune user@example.com  --prune is for a whole host: --prune example.com
        "#]]
        .assert_eq(&errors.concat());
    }

    #[test]
    fn the_help_names_every_flag() {
        expect![[r#"
            Usage: prosodyctl mod_audit [FLAGS] HOST        everything of a host, newest first
                   prosodyctl mod_audit [FLAGS] USER@HOST   one account
                   prosodyctl mod_audit --prune [HOST]      remove what has expired
                   prosodyctl mod_audit --events            list what is recorded

            Flags:
              --limit N             show the newest N entries only
              --[no-]global         show only events of the whole host; --no-global hides them
              --[no-]show-user      show the column with the account
              --[no-]show-ip        show the column with the address
              --[no-]show-location  show the column with the country
              --[no-]show-note      show the column with everything else
              --prune               remove what has expired, on one host or on all
              --events              list the types of events that are recorded
              --help                show this help"#]]
        .assert_eq(&help());
    }
}
