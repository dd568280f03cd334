//! The arguments of `prosodyctl mod_audit`. The shell's commands and the ad-hoc form are translated to these.

mod arguments;
mod evidence;
pub mod flags;
mod help;
pub mod manual;
mod names;
pub mod output;
mod pairs;
pub mod reader;
mod web;

use thiserror::Error;

use crate::query::Request;
use crate::render::columns::Columns;
use crate::render::formats::Format;
use crate::time::zone::Zone;
use arguments::{Arguments, quote, read_flag};
pub use evidence::EvidenceCommand;
pub use flags::{FLAGS, Flag, Group};
pub(crate) use help::USAGE;
pub use help::{help, shell_help};
pub use names::{Lowercase, Stringprep, nearest};
use names::{read_person, read_target};
use output::Output;
pub use web::WebCommand;

/// What the command is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Show the help.
    Help,
    /// List the event types.
    Events {
        /// The host whose classes are shown. `None` for those of the configuration's global section.
        host: Option<String>,
    },
    /// List the rules of alerts.
    Alerts {
        /// The host whose rules are shown. `None` for those of the configuration's global section.
        host: Option<String>,
    },
    /// Show entries.
    Show(Box<ShowCommand>),
    /// Remove what has expired.
    Prune {
        /// The host. `None` for all hosts.
        host: Option<String>,
        /// Whether to trust the clock even if it has jumped.
        trust_clock: bool,
    },
    /// Read or prune what is left of the log of a host that is not configured any more.
    HostData(Box<Command>),
    /// Check whether anybody has changed the log.
    Verify {
        /// The host. `None` for all hosts.
        host: Option<String>,
        /// Files with anchors that were kept.
        anchors: Vec<String>,
        /// Whether the seals are verified, with a key that is read from standard input.
        seal_key: bool,
    },
    /// Make a key to seal the logs of all hosts with.
    NewSeal {
        /// Whether not to ask.
        yes: bool,
    },
    /// Evidence that leaves the machine.
    Evidence(EvidenceCommand),
    /// List the sinks.
    Sinks {
        /// The host. `None` for all hosts.
        host: Option<String>,
    },
    /// Send a test entry to a sink.
    SinkTest {
        /// The host in whose name it is sent. `None` for any.
        host: Option<String>,
        /// The name of the sink.
        name: String,
    },
    /// Erase a person's data.
    Erase(Box<EraseCommand>),
    /// Show which personal data are kept.
    Privacy {
        /// The host.
        host: String,
    },
    /// Replace the key that addresses are hashed with.
    NewKey {
        /// The host. `None` for all hosts.
        host: Option<String>,
    },
    /// Links and tokens for reading the log of a host over HTTP.
    Web {
        /// The host.
        host: String,
        /// What to do.
        what: WebCommand,
    },
}

/// Whose data to erase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EraseCommand {
    /// The account, as a bare JID.
    pub person: String,
    /// Only from entries that were stored before this time, in UNIX seconds.
    pub before: Option<f64>,
    /// Why.
    pub reason: Option<String>,
    /// Also that the person acted on others.
    pub acted: bool,
    /// Whether not to ask.
    pub yes: bool,
}

/// Which entries to show, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShowCommand {
    /// The host whose log it is.
    pub host: String,
    /// Which entries, how many, in which order.
    pub request: Request,
    /// The columns of a table.
    pub columns: Columns,
    /// The zone of times in the output and in the arguments.
    pub zone: Zone,
    /// The format.
    pub format: Format,
    /// What is made of the entries.
    pub made: Made,
    /// The file to write. `None` for standard output.
    pub output: Option<Output>,
    /// Whether to show new entries as they are recorded.
    pub follow: bool,
    /// Whether colours may be used.
    pub colour: bool,
    /// Whether CSV begins with a byte order mark.
    pub byte_order_mark: bool,
    /// The request as flags. It is recorded in the log when somebody reads the log.
    pub asked: String,
}

/// What is made of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Made {
    /// The entries themselves, in a format.
    #[default]
    Entries,
    /// Statistics.
    Stats,
    /// The report, an HTML page.
    Report {
        /// When it is made, in UNIX seconds.
        at: f64,
    },
}

/// Wrong arguments. The message is one line for the operator: what is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct UsageError(String);

impl Command {
    /// Reads the arguments. Flags may come before and after the host, and be written with `-` or `_`. `--name=value` is the same as
    /// `--name value`. `now` is in UNIX seconds.
    ///
    /// # Errors
    ///
    /// Returns [`UsageError`] if the arguments are wrong.
    ///
    /// ```
    /// use audit_core::command::Command;
    /// let Ok(Command::Show(show)) = Command::parse(["example.com", "--limit=5"], 0.0) else { panic!() };
    /// assert_eq!(show.request.limit, Some(5));
    /// assert!(Command::parse(["--limt", "5", "example.com"], 0.0).is_err());
    /// ```
    pub fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>, now: f64) -> Result<Self, UsageError> {
        Self::parse_with(arguments, now, &Lowercase)
    }

    /// The same, with names prepared like the server prepares them.
    ///
    /// # Errors
    ///
    /// Returns [`UsageError`] if the arguments are wrong.
    pub fn parse_with<'a>(arguments: impl IntoIterator<Item = &'a str>, now: f64, names: &dyn Stringprep) -> Result<Self, UsageError> {
        let mut arguments = arguments.into_iter();
        let mut given = Arguments::default();
        let mut target = None;
        let mut only_targets = false;
        while let Some(argument) = arguments.next() {
            if only_targets || !argument.starts_with('-') || argument == "-" {
                if let Some(first) = target.replace(argument) {
                    return Err(UsageError(format!("Name one host or account, not {} and {}", quote(first), quote(argument))));
                }
                continue;
            }
            if argument == "--" {
                only_targets = true;
                continue;
            }
            let (flag, on, value) = read_flag(argument)?;
            let value = match (flag.value, value) {
                (None, None) => "",
                (None, Some(_)) => return Err(UsageError(format!("--{} takes no value", flag.name))),
                (Some(_), Some(value)) => value,
                (Some(name), None) => {
                    arguments.next().ok_or_else(|| UsageError(format!("--{} needs a value: --{} {name}", flag.name, flag.name)))?
                }
            };
            match flag.name {
                "help" => return Ok(Self::Help),
                _ => given.take(flag, on, value)?,
            }
        }
        let target = target.map(|target| read_target(target, names)).transpose()?;
        let host_data = given.host_data;
        let command = Self::of(target, given, now, names)?;
        match command {
            Self::Prune { host: None, .. } if host_data => Err(UsageError("Name the host: --host-data --prune old.example.com".to_owned())),
            command if host_data => Ok(Self::HostData(Box::new(command))),
            command => Ok(command),
        }
    }

    fn of(target: Option<(Option<String>, String)>, given: Arguments, now: f64, names: &dyn Stringprep) -> Result<Self, UsageError> {
        if let Some(refusal) = pairs::refusal_without_action(given.action, &given.names) {
            return Err(UsageError(refusal));
        }
        if let Some(refusal) = given.web.refusal(given.action) {
            return Err(refusal);
        }
        if let Some(action) = given.action {
            if let Some(refusal) = pairs::refusal_of_action(action, &given.names) {
                return Err(UsageError(refusal));
            }
            if web::is_of_it(action) {
                return given.web.command(action, target);
            }
            if let Some(named) = &given.person {
                let person = read_person(action, named, target.as_ref(), names)?;
                return given.of_person(action, person, now, names);
            }
            let host = match target {
                Some((Some(_), host)) => return Err(UsageError(format!("--{action} is for a whole host: --{action} {host}"))),
                target => target.map(|(_, host)| host),
            };
            return Ok(match action {
                "events" => Self::Events { host },
                "alerts" => Self::Alerts { host },
                "privacy" => Self::Privacy { host: host.ok_or_else(|| UsageError("Name the host: --privacy example.com".to_owned()))? },
                "prune" => Self::Prune { host, trust_clock: given.trust_clock },
                "new-seal" if host.is_some() => {
                    return Err(UsageError("--new-seal is for all hosts: name none".to_owned()));
                }
                "new-seal" => Self::NewSeal { yes: given.yes },
                "verify" | "anchors" | "export-evidence" => given.evidence.command(action, host)?,
                "sinks" => Self::Sinks { host },
                "sink-test" => Self::SinkTest { host, name: given.sink },
                _ => Self::NewKey { host },
            });
        }
        match target {
            None => Err(UsageError("Name a host or an account, such as example.com or user@example.com (--help shows more)".to_owned())),
            Some((local, host)) => Ok(Self::Show(Box::new(given.show(local, host, now, names)?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::pattern::Pattern;
    use crate::filter::person::Person;
    use crate::filter::{Filter, network};
    use crate::render::columns::Column;
    use expect_test::expect;

    const NOON: f64 = 1_795_521_600.0;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace(), NOON).map_err(|error| error.to_string())
    }

    fn show(line: &str) -> ShowCommand {
        match parse(line) {
            Ok(Command::Show(show)) => *show,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn patterns(list: &[&str]) -> Vec<Pattern> {
        list.iter().map(|text| Pattern::new(text)).collect()
    }

    #[test]
    fn arguments_say_what_to_do() {
        assert_eq!(show("Example.COM").host, "example.com");
        for line in ["user@example.com", "User@example.com/phone", "--user user example.com", "example.com --user=user@example.com"] {
            let filter = show(line).request.filter;
            assert_eq!((filter.users, filter.host.as_str()), (patterns(&["user@example.com"]), "example.com"), "{line}");
        }
        assert_eq!(show("us*@example.com").request.filter.users, [Pattern::exactly("us*@example.com")]);
        assert_eq!(
            show("--user us*,x@y --user z example.com").request.filter.users,
            patterns(&["us*@example.com", "x@y", "z@example.com"])
        );
        for line in ["--limit 5 example.com", "example.com --limit 5", "example.com --limit=5"] {
            assert_eq!(show(line).request.limit, Some(5), "{line}");
        }
        for (line, global) in [("--global", Some(true)), ("--no-global", Some(false)), ("--no_global", Some(false)), ("", None)] {
            assert_eq!(show(&format!("{line} example.com")).request.filter.global, global, "{line}");
        }
        for (line, said) in [
            ("--show-ip", (Column::Ip, true)),
            ("--show_ip", (Column::Ip, true)),
            ("--no-show-user", (Column::User, false)),
            ("--no_show_location", (Column::Location, false)),
            ("--no-show-note --", (Column::Note, false)),
        ] {
            assert_eq!(show(&format!("{line} example.com")).columns.said, [said], "{line}");
        }
        for (line, command) in [
            ("--prune", Command::Prune { host: None, trust_clock: false }),
            ("--trust-clock --prune", Command::Prune { host: None, trust_clock: true }),
            ("--prune example.com", Command::Prune { host: Some("example.com".to_owned()), trust_clock: false }),
            ("--new-key", Command::NewKey { host: None }),
            ("--verify", Command::Verify { host: None, anchors: vec![], seal_key: false }),
            ("--verify --seal-key", Command::Verify { host: None, anchors: vec![], seal_key: true }),
            ("--new-seal", Command::NewSeal { yes: false }),
            ("--new-seal --yes", Command::NewSeal { yes: true }),
            ("--verify example.com", Command::Verify { host: Some("example.com".to_owned()), anchors: vec![], seal_key: false }),
            (
                "--verify --anchor a.json --anchor=b example.com",
                Command::Verify {
                    host: Some("example.com".to_owned()),
                    anchors: vec!["a.json".to_owned(), "b".to_owned()],
                    seal_key: false,
                },
            ),
            ("--new_key Example.com", Command::NewKey { host: Some("example.com".to_owned()) }),
            ("example.com --prune", Command::Prune { host: Some("example.com".to_owned()), trust_clock: false }),
            (
                "--host-data --prune old.example",
                Command::HostData(Box::new(Command::Prune { host: Some("old.example".to_owned()), trust_clock: false })),
            ),
            ("--host-data old.example", Command::HostData(Box::new(Command::Show(Box::new(show("old.example")))))),
            ("--events", Command::Events { host: None }),
            ("--alerts example.com", Command::Alerts { host: Some("example.com".to_owned()) }),
            ("example.com --events", Command::Events { host: Some("example.com".to_owned()) }),
            ("--help", Command::Help),
            ("example.com -h", Command::Help),
        ] {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn a_request_about_a_person_names_one_account() {
        let erase = |line: &str| match Command::parse(line.split_whitespace(), NOON) {
            Ok(Command::Erase(erase)) => *erase,
            other => panic!("{line}: {other:?}"),
        };
        let romeo = EraseCommand { person: "romeo@example.com".to_owned(), ..EraseCommand::default() };
        assert_eq!(erase("--erase Romeo@Example.com"), romeo);
        let all = EraseCommand { before: Some(NOON - 3600.0), reason: Some("x".to_owned()), acted: true, yes: true, ..romeo };
        assert_eq!(erase("--erase=romeo@example.com --before 1h --reason x --acted --yes"), all);
        let person = show("--person romeo@example.com --since 2d --output x.json");
        assert_eq!((person.host.as_str(), person.format, person.request.filter.hides_housekeeping), ("example.com", Format::Json, false));
        assert_eq!(person.request.filter.person.as_ref().map(Person::jid), Some("romeo@example.com"));
        assert_eq!(person.asked, "--since=2d --person=romeo@example.com");
        assert!(matches!(show("--person romeo@example.com --report x.html").made, Made::Report { .. }));
        assert_eq!(parse("--privacy example.com"), Ok(Command::Privacy { host: "example.com".to_owned() }));
        for (line, part) in [
            ("--erase example.com", "not the name of one account"),
            ("--erase *@example.com", "not the name of one account"),
            ("--erase romeo@*", "not the name of one account"),
            ("--erase romeo@example.com/phone", "not the name of one account"),
            ("--person rom*@example.com", "not the name of one account"),
            ("--erase romeo@example.com juliet@example.com", "names one account"),
            ("--erase romeo@example.com example.com", "names one account"),
            ("--erase", "--erase needs a value"),
            ("--erase romeo@example.com --limit 5", "do not go together"),
            ("--erase romeo@example.com --prune", "not both"),
            ("--person romeo@example.com --user x", "do not go together"),
            ("--yes example.com", "--yes goes with --erase and --new-seal only"),
            ("--seal-key example.com", "--seal-key goes with --verify only"),
            ("--verify --seal-key --anchor - example.com", "--seal-key reads standard input, so --anchor and --from need files"),
            ("--new-seal example.com", "--new-seal is for all hosts: name none"),
            ("--before 2d example.com", "--before goes with --erase only"),
            ("--acted --person romeo@example.com", "--acted goes with --erase only"),
            ("--privacy", "Name the host"),
            ("--privacy romeo@example.com", "is for a whole host"),
        ] {
            let refused = parse(line).unwrap_err();
            assert!(refused.contains(part) && !refused.contains('\n'), "{line}: {refused}");
        }
    }

    #[test]
    fn flags_become_a_filter() {
        let line = "--since 2d --until 2026-11-24T10:00 --zone +02:00 --type new-client,user-*,!user-deleted --ip 203.0.113.7,2001:db8::/32 --source mod_audit \
            --client abc --country IT,de --actor nurse@* --class failures --text Foo --oldest-first --utc example.com";
        let filter = show(line).request.filter;
        let wanted = Filter {
            host: "example.com".to_owned(),
            since: Some(NOON - 172_800.0),
            until: Some(NOON - 7_200.0),
            types: patterns(&["new-client", "user-*"]),
            excluded_types: patterns(&["user-deleted"]),
            hides_housekeeping: true,
            networks: vec![network("203.0.113.7").unwrap(), network("2001:db8::/32").unwrap()],
            sources: patterns(&["mod_audit"]),
            clients: patterns(&["abc"]),
            countries: patterns(&["it", "de"]),
            actors: patterns(&["nurse@*"]),
            classes: patterns(&["failures"]),
            text: Some("foo".to_owned()),
            ..Filter::default()
        };
        assert_eq!(filter, wanted);
        let show = show("--zone +02:00 --until 2026-11-24 --format json --output x.json --no-colour --no-global example.com");
        assert_eq!(
            (show.request.filter.until, show.format, show.output, show.colour),
            (Some(NOON - 50_400.0), Format::Json, Output::of("output", "x.json"), false)
        );
        assert_eq!(show.asked, "--until=2026-11-24 --no-global");
        let show = self::show("--columns id,time example.com");
        assert_eq!(show.columns.chosen, Some(vec![Column::Id, Column::Time]));
    }

    #[test]
    fn the_upkeep_of_the_log_is_shown_if_it_is_asked_for() {
        for (line, hidden) in [
            ("example.com", true),
            ("--stats example.com", true),
            ("--type !new-client example.com", true),
            ("--type audit-* example.com", false),
            ("--all example.com", false),
            ("--all --type !new-client example.com", false),
        ] {
            assert_eq!(show(line).request.filter.hides("audit-queried"), hidden, "{line}");
        }
        assert_eq!(show("--type !audit-* --all example.com").asked, "--type=!audit-* --all");
    }

    #[test]
    fn the_recorded_request_hides_the_text_that_was_searched_for() {
        let show = Command::parse(["--text", "Tr0ub4dor --user=x", "--client", "a  b", "--user=juliet", "example.com"], NOON);
        let Ok(Command::Show(show)) = show else { panic!() };
        assert_eq!(
            (show.asked.as_str(), show.request.filter.text.as_deref()),
            ("--text=*** --client=a%20b --user=juliet", Some("tr0ub4dor --user=x"))
        );
    }

    /// A flag with a value that changes something.
    fn with_value(flag: &Flag) -> String {
        let value = match flag.name {
            "since" => "3d",
            "until" => "2d",
            "ip" => "::1",
            "country" => "DE",
            "zone" => "+03:00",
            "columns" => "ip",
            "format" => "csv",
            "after" => "1//k",
            _ => "1",
        };
        let no = if flag.name == "colour" { "no-" } else { "" };
        if flag.value.is_some() { format!("--{}={value}", flag.name) } else { format!("--{no}{}", flag.name) }
    }

    #[test]
    fn of_two_flags_both_count_or_one_is_refused() {
        let mut refused = 0;
        // What trusts the clock prunes, what limits a token makes one, and help comes before all. What is about one person has a test of
        // its own.
        let apart = [
            "help",
            "trust-clock",
            "anchor",
            "from",
            "seal-key",
            "types",
            "expires",
            "person",
            "erase",
            "before",
            "reason",
            "acted",
            "yes",
        ];
        let tried = || FLAGS.iter().filter(|flag| !apart.contains(&flag.name));
        for one in tried() {
            for other in tried().filter(|flag| flag.name != one.name) {
                let line = |flags: &[&Flag]| {
                    // A byte order mark is for one format only.
                    let beside = if one.name == "bom" || other.name == "bom" { "--format=csv" } else { "" };
                    format!("{beside} {} example.com", flags.iter().map(|flag| with_value(flag)).collect::<Vec<_>>().join(" "))
                };
                let both = parse(&line(&[one, other]));
                let of_one_thing = [one, other].iter().all(|flag| matches!(flag.name, "utc" | "zone"));
                match &both {
                    Err(problem) => {
                        assert!(
                            problem.contains(&format!("--{}", one.name)) && problem.contains(&format!("--{}", other.name))
                                || one.name == "bom"
                                || other.name == "bom",
                            "{problem}"
                        );
                        refused += 1;
                    }
                    Ok(_) if of_one_thing || one.name == "format" && other.name == "bom" || one.name == "bom" && other.name == "format" => {
                    }
                    Ok(_) => {
                        assert_ne!(both, parse(&line(&[one])), "--{} is ignored beside --{}", other.name, one.name);
                        assert_ne!(both, parse(&line(&[other])), "--{} is ignored beside --{}", one.name, other.name);
                    }
                }
            }
        }
        assert!(refused > 150, "{refused}");
    }

    #[test]
    fn an_action_takes_only_a_host() {
        for action in ["prune", "new-key", "verify", "anchors", "events", "alerts", "privacy"] {
            let goes_with = |flag: &Flag| {
                let own = match action {
                    "prune" => matches!(flag.name, "trust-clock" | "host-data"),
                    "verify" => matches!(flag.name, "anchor" | "from" | "seal-key"),
                    _ => false,
                };
                flag.name == "help" || flag.name == action || own
            };
            for flag in FLAGS.iter().filter(|flag| !goes_with(flag)) {
                for line in [format!("--{action} {} example.com", with_value(flag)), format!("{} --{action}", with_value(flag))] {
                    assert!(parse(&line).is_err(), "{line}");
                }
            }
            assert!(parse(&format!("--{action} --{action} example.com")).is_ok());
        }
    }

    #[test]
    fn every_flag_is_read() {
        for flag in FLAGS.iter().filter(|flag| flag.group != Group::Action) {
            let value = match flag.name {
                "since" | "until" => "2d",
                "ip" => "::1",
                "country" => "DE",
                "zone" => "UTC",
                "columns" => "ip",
                "format" => "json",
                "after" => "1//k",
                _ => "1",
            };
            let argument = if flag.value.is_some() { format!("--{}={value}", flag.name) } else { format!("--{}", flag.name) };
            // A byte order mark is for one format only.
            let beside = if flag.name == "bom" { "--format csv" } else { "" };
            let plain = show(&format!("{beside} example.com"));
            let changed = show(&format!("{argument} {beside} example.com"));
            // Colours are there where nothing is said.
            assert_eq!(changed == plain, flag.name == "colour", "{argument}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused_in_one_line() {
        let errors: Vec<String> = [
            "",
            "--bom example.com",
            "--bom --format json example.com",
            "--limit",
            "--limit x example.com",
            "--limit 0 example.com",
            "--limit -5 example.com",
            "--color example.com",
            "--no-limit example.com",
            "--no-prune",
            "--global=yes example.com",
            "-x example.com",
            "a.example b.example",
            "@example.com",
            "user@",
            "--prune user@example.com",
            "--new-key user@example.com",
            "--new-key --prune",
            "--since soon example.com",
            "--until 2026-02-30 example.com",
            "--since 1d --until 2d --utc example.com",
            "--ip 203.0.113 example.com",
            "--ip 203.0.113.7/33 example.com",
            "--type , example.com",
            "--type user-*,! example.com",
            "--user a:b example.com",
            "--user @b example.com",
            "--actor a:b@c example.com",
            "--country Germany example.com",
            "a:b@example.com",
            "--host-data",
            "--host-data --prune",
            "--host-data --new-key example.com",
            "--events --host-data example.com",
            "--after x example.com",
            "--zone Mars example.com",
            "--columns ip,size example.com",
            "--format yaml example.com",
            "--user a a@example.com",
            "--follow --output x example.com",
            "--follow --until 1d example.com",
            "--follow --stats example.com",
            "--stats --format json example.com",
            "--report a.html --output b example.com",
            "--report a.html --stats example.com",
            "--report a.html --follow example.com",
            "--prune --since 2d example.com",
            "--events --type user-* example.com",
            "--events user@example.com",
            "--format json --columns ip example.com",
            "--stats --no-show-ip example.com",
            "--follow --since 2d example.com",
            "--stats --oldest-first example.com",
            "--report",
        ]
        .iter()
        .map(|line| format!("{line:<40}{}\n", parse(line).unwrap_err()))
        .collect();
        expect![[r#"
                                                    Name a host or an account, such as example.com or user@example.com (--help shows more)
            --bom example.com                       --bom is for --format csv only
            --bom --format json example.com         --bom is for --format csv only
            --limit                                 --limit needs a value: --limit N
            --limit x example.com                   --limit is "x", but takes a whole number from 1
            --limit 0 example.com                   --limit is "0", but takes a whole number from 1
            --limit -5 example.com                  --limit is "-5", but takes a whole number from 1
            --color example.com                     Unknown flag "--color" (--help lists all flags)
            --no-limit example.com                  Unknown flag "--no-limit" (--help lists all flags)
            --no-prune                              Unknown flag "--no-prune" (--help lists all flags)
            --global=yes example.com                --global takes no value
            -x example.com                          Unknown flag "-x" (--help lists all flags)
            a.example b.example                     Name one host or account, not "a.example" and "b.example"
            @example.com                            "@example.com" is not a host or an account such as example.com or user@example.com
            user@                                   "user@" is not a host or an account such as example.com or user@example.com
            --prune user@example.com                --prune is for a whole host: --prune example.com
            --new-key user@example.com              --new-key is for a whole host: --new-key example.com
            --new-key --prune                       Use --new-key or --prune, not both
            --since soon example.com                --since is "soon", but takes a time back from now such as 2d or 36h, a date such as 2026-11-24, or a time such as 2026-11-24T18:00 or 2026-11-24T18:00:00+01:00
            --until 2026-02-30 example.com          --until is "2026-02-30", but takes a time back from now such as 2d or 36h, a date such as 2026-11-24, or a time such as 2026-11-24T18:00 or 2026-11-24T18:00:00+01:00
            --since 1d --until 2d --utc example.com --since is 2026-11-23 12:00:00, and --until is 2026-11-22 12:00:00: nothing is between
            --ip 203.0.113 example.com              --ip has "203.0.113", which is not an address or a network such as 203.0.113.7 or 2001:db8::/32
            --ip 203.0.113.7/33 example.com         --ip has "203.0.113.7/33", which is not an address or a network such as 203.0.113.7 or 2001:db8::/32
            --type , example.com                    --type is empty
            --type user-*,! example.com             --type has a ! without an event type behind it
            --user a:b example.com                  --user has "a:b", which is not the name of an account such as user or user@example.com
            --user @b example.com                   --user has "@b", which is not the name of an account such as user or user@example.com
            --actor a:b@c example.com               --actor has "a:b@c", which is not a JID such as user@example.com
            --country Germany example.com           --country has "Germany", which is not a code of two letters such as DE
            a:b@example.com                         "a:b@example.com" is not a host or an account such as example.com or user@example.com
            --host-data                             Name a host or an account, such as example.com or user@example.com (--help shows more)
            --host-data --prune                     Name the host: --host-data --prune old.example.com
            --host-data --new-key example.com       --new-key and --host-data do not go together: --new-key takes only a host
            --events --host-data example.com        --events and --host-data do not go together: --events takes only a host
            --after x example.com                   --after is "x", but takes the id of an entry, which is in the column "id" and in the formats for programs
            --zone Mars example.com                 --zone is "Mars", but takes "local", "UTC", or an offset such as +02:00
            --columns ip,size example.com           --columns: "size" is not a column; the columns are time, event, user, ip, location, note, source, client, actor, class, id
            --format yaml example.com               --format: "yaml" is not a format; the formats are table, json, csv, xml, ocsf, ecs, cef, syslog, otlp
            --user a a@example.com                  Name the account as a@example.com or with --user, not both
            --follow --output x example.com         --follow and --output do not go together: new entries have no end and no other order
            --follow --until 1d example.com         --follow and --until do not go together: new entries have no end and no other order
            --follow --stats example.com            --follow and --stats do not go together: new entries have no end and no other order
            --stats --format json example.com       --stats and --format do not go together: statistics have their own format
            --report a.html --output b example.com  --report and --output do not go together: the report has its own format and file
            --report a.html --stats example.com     --stats and --report do not go together: statistics have their own format
            --report a.html --follow example.com    --follow and --report do not go together: new entries have no end and no other order
            --prune --since 2d example.com          --prune and --since do not go together: --prune takes only a host
            --events --type user-* example.com      --events and --type do not go together: --events takes only a host
            --events user@example.com               --events is for a whole host: --events example.com
            --format json --columns ip example.com  --format and --columns do not go together: only a table has columns that can be chosen
            --stats --no-show-ip example.com        --stats and --show-ip do not go together: statistics have their own format
            --follow --since 2d example.com         --follow and --since do not go together without --limit: only new entries are followed; with --limit, that many earlier entries are shown first
            --stats --oldest-first example.com      --stats and --oldest-first do not go together without --limit: statistics have no order; with --limit, the order determines which entries are counted
            --report                                --report needs a value: --report FILE
        "#]].assert_eq(&errors.concat());
    }

    #[test]
    fn totals_and_pages_are_made_of_entries() {
        let show = |line: &str| match Command::parse(line.split_whitespace(), 7.0) {
            Ok(Command::Show(show)) => *show,
            other => panic!("{other:?}"),
        };
        assert_eq!(show("example.com").made, Made::Entries);
        let stats = show("--stats --output a.txt example.com");
        assert_eq!((stats.made, stats.output), (Made::Stats, Output::of("output", "a.txt")));
        let report = show("--report a.html --since 2d example.com");
        assert_eq!((report.made, report.output), (Made::Report { at: 7.0 }, Output::of("report", "a.html")));
        assert_eq!((show("--report - example.com").output, show("--output=- example.com").output), (None, None));
    }

    #[test]
    fn the_help_names_every_flag() {
        expect![[r#"
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
                   prosodyctl mod_audit --alerts [HOST]     list the rules of the alerts

            Which entries:
              --since TIME          not before this time: 2d, 36h, 2026-11-24, 2026-11-24T18:00, 2026-11-24T18:00:00+01:00
              --until TIME          before this time; a date alone means midnight
              --type TYPE,…         event types, such as authentication-failure or user-*; with a ! before it, all but these
              --user USER,…         accounts of the host, or whole JIDs; * stands for any characters
              --ip ADDRESS,…        addresses or networks, such as 203.0.113.7 or 2001:db8::/32; a stored network matches if it overlaps
              --source MODULE,…     the modules that recorded, such as mod_audit_auth
              --client ID,…         clients, by id
              --country CODE,…      countries, as codes of two letters
              --actor WHO,…         who did it: JIDs, or kinds such as admin-shell
              --class CLASS,…       retention classes
              --text TEXT           a text anywhere in the entry, in upper or lower case
              --[no-]global         only events of the whole host; --no-global hides them
              --all                 also entries about who read the log and what was removed from it; without this, only --type shows them

            How many of them:
              --limit N             at most N entries
              --after ID            only entries after the one with this id: the next page
              --oldest-first        the oldest entries first, instead of the newest

            How they are shown:
              --utc                 times in UTC, in arguments and in the output
              --zone ZONE           times in this zone: local, UTC or an offset such as +02:00
              --columns A,B,…       these columns of the table, in this order:
                                    time, event, user, ip, location, note, source, client, actor, class, id
              --[no-]show-user      the column with the account
              --[no-]show-ip        the column with the address
              --[no-]show-location  the column with the country
              --[no-]show-note      the column with everything else
              --[no-]colour         colours, on a terminal and unless NO_COLOR is set
              --format FORMAT       the format, instead of a table: table, json, csv, xml, ocsf, ecs, cef, syslog, otlp
              --bom                 with --format csv: begin with a byte order mark, which Excel needs to recognise UTF-8
              --output FILE         write to a new file, which is created atomically; - is standard output
              --stats               totals instead of entries: by type, account, network and country, and over time
              --report FILE         the same as an HTML page, with the newest entries behind each number, in a new file
              --follow              new entries as they are recorded, until you interrupt it

            Other:
              --host-data           for a host that is not configured any more: read or prune what is left of its log
              --prune               remove what has expired, on one host or on all
              --trust-clock         with --prune: trust the clock, although it has jumped
              --verify              check whether anybody has changed the log of a host; the exit status is 3 if so
              --anchor FILE         with --verify: compare with the anchors in this file, such as an export or what a sink got; may be given again
              --seal-key            with --verify: verify the seals too; the seal key is asked for, or read from standard input, one key a line
              --new-seal            make a key to seal the logs of all hosts with, and print it, which is done once: keep it on another machine
              --from FILE           with --verify: verify this file of --export-evidence, without the host's store; - is standard input
              --anchors             print the last entry of each chain of a host as an anchor, to be kept on another machine
              --export-evidence FILE write all that is needed to verify the log of a host elsewhere to a new file; - is standard output
              --new-key             replace the key that addresses are hashed with, on one host or on all
              --sinks               list the sinks of a host: what was delivered, what waits, and what went wrong
              --sink-test NAME      send a test entry to the sink of that name, and say what came back
              --person USER@HOST    all that the log of HOST has about a person, as JSON or with --report as a page; what it says of others is withheld
              --erase USER@HOST     erase a person's data from the logs of all hosts; shows what would be erased, and asks
              --before TIME         with --erase: only from entries that were stored before this time
              --reason TEXT         with --erase: why, to be recorded
              --acted               with --erase: also that the person acted on others, or on the server
              --yes                 with --erase or --new-seal: do not ask
              --privacy             which personal data the log of a host keeps, for what purpose and how long
              --events              list the event types, and the retention class of each on a host
              --alerts              list the rules of the alerts on a host
              --link                print a link that signs an administrator in to the log in a browser, once: --link admin@example.com
              --token NAME          make a token that lets a program read the log of a host over HTTP; it is shown once
              --types TYPE,…        with --token: it shows these event types only
              --expires PERIOD      with --token: how long it can be used, such as 90d
              --tokens              list the tokens of a host
              --revoke NAME         end a token of a host at once
              --help                show this help"#]]
        .assert_eq(&help());
    }
}
