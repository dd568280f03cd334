//! The flags of the command: one table that drives reading, help, the README, the shell's flags and the ad-hoc form.

use super::pairs;

/// A flag of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The long name, without `--`.
    pub name: &'static str,
    /// The name of its value in the help. `None` if it takes no value.
    pub value: Option<&'static str>,
    /// Whether `--no-…` turns it off.
    pub negatable: bool,
    /// Its group.
    pub group: Group,
    /// Whether it makes sense only in a process of its own. The server's shell does not take it.
    pub needs_process: bool,
    /// What it does.
    pub meaning: &'static str,
}

/// A group of flags, which determines where else they are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Which entries are wanted. Also in the shell and in the ad-hoc form.
    Filter,
    /// How many entries, and in which order. Also in the shell.
    Page,
    /// How entries are shown. Some of these are also in the shell.
    View,
    /// Other actions.
    Action,
}

impl Group {
    /// The heading in the help.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Filter => "Which entries",
            Self::Page => "How many of them",
            Self::View => "How they are shown",
            Self::Action => "Other",
        }
    }
}

impl Flag {
    /// The field that stands for the flag in a query of another module. `None` for a flag that only the command has. Fields for
    /// lists have names in the plural, except those for which one value is usual.
    #[must_use]
    pub fn field(&self) -> Option<String> {
        let name = match self.name {
            "type" => "types",
            "source" => "sources",
            "client" => "clients",
            "country" => "countries",
            "actor" => "actors",
            "class" => "classes",
            name => name,
        };
        matches!(self.group, Filter | Page).then(|| name.replace('-', "_"))
    }

    /// Whether its value is a list, with commas.
    #[must_use]
    pub fn takes_list(&self) -> bool {
        self.value.is_some_and(|value| value.ends_with(",…"))
    }
}

use Group::{Action, Filter, Page, View};

const fn takes(name: &'static str, value: &'static str, group: Group, meaning: &'static str) -> Flag {
    Flag { name, value: Some(value), negatable: false, group, needs_process: false, meaning }
}

const fn switch(name: &'static str, group: Group, meaning: &'static str) -> Flag {
    Flag { name, value: None, negatable: false, group, needs_process: false, meaning }
}

const fn negatable(name: &'static str, group: Group, meaning: &'static str) -> Flag {
    Flag { name, value: None, negatable: true, group, needs_process: false, meaning }
}

impl Flag {
    const fn needs_process(self) -> Self {
        Self { needs_process: true, ..self }
    }

    /// The flag with its value, as help shows it: `--limit N`, `--[no-]global`.
    #[must_use]
    pub fn usage(&self) -> String {
        let no = if self.negatable { "[no-]" } else { "" };
        let value = self.value.map(|value| format!(" {value}")).unwrap_or_default();
        format!("--{no}{}{value}", self.name)
    }
}

/// Every flag of the command, in the order of the help.
#[rustfmt::skip] // A table: one row a line.
pub const FLAGS: &[Flag] = &[
    takes("since", "TIME", Filter, "not before this time: 2d, 36h, 2026-11-24, 2026-11-24T18:00, 2026-11-24T18:00:00+01:00"),
    takes("until", "TIME", Filter, "before this time; a date alone means midnight"),
    takes("type", "TYPE,…", Filter, "event types, such as authentication-failure or user-*; with a ! before it, all but these"),
    takes("user", "USER,…", Filter, "accounts of the host, or whole JIDs; * stands for any characters"),
    takes("ip", "ADDRESS,…", Filter, "addresses or networks, such as 203.0.113.7 or 2001:db8::/32; a stored network matches if it overlaps"),
    takes("source", "MODULE,…", Filter, "the modules that recorded, such as mod_audit_auth"),
    takes("client", "ID,…", Filter, "clients, by id"),
    takes("country", "CODE,…", Filter, "countries, as codes of two letters"),
    takes("actor", "WHO,…", Filter, "who did it: JIDs, or kinds such as admin-shell"),
    takes("class", "CLASS,…", Filter, "retention classes"),
    takes("text", "TEXT", Filter, "a text anywhere in the entry, in upper or lower case"),
    negatable("global", Filter, "only events of the whole host; --no-global hides them"),
    switch("all", Filter, "also entries about who read the log and what was removed from it; without this, only --type shows them"),
    takes("limit", "N", Page, "at most N entries"),
    takes("after", "ID", Page, "only entries after the one with this id: the next page"),
    switch("oldest-first", Page, "the oldest entries first, instead of the newest"),
    switch("utc", View, "times in UTC, in arguments and in the output"),
    takes("zone", "ZONE", View, "times in this zone: local, UTC or an offset such as +02:00"),
    takes("columns", "A,B,…", View, "these columns of the table, in this order"),
    negatable("show-user", View, "the column with the account"),
    negatable("show-ip", View, "the column with the address"),
    negatable("show-location", View, "the column with the country"),
    negatable("show-note", View, "the column with everything else"),
    negatable("colour", View, "colours, on a terminal and unless NO_COLOR is set").needs_process(),
    takes("format", "FORMAT", View, "the format, instead of a table"),
    switch("bom", View, "with --format csv: begin with a byte order mark, which Excel needs to recognise UTF-8").needs_process(),
    takes("output", "FILE", View, "write to a new file, which is created atomically; - is standard output").needs_process(),
    switch("stats", View, "totals instead of entries: by type, account, network and country, and over time"),
    takes("report", "FILE", View, "the same as an HTML page, with the newest entries behind each number, in a new file").needs_process(),
    switch("follow", View, "new entries as they are recorded, until you interrupt it").needs_process(),
    switch("host-data", Action, "for a host that is not configured any more: read or prune what is left of its log"),
    switch("prune", Action, "remove what has expired, on one host or on all"),
    switch("trust-clock", Action, "with --prune: trust the clock, although it has jumped"),
    switch("verify", Action, "check whether anybody has changed the log of a host; the exit status is 3 if so"),
    takes("anchor", "FILE", Action, "with --verify: compare with the anchors in this file, such as an export or what a sink got; may be given again"),
    switch("seal-key", Action, "with --verify: verify the seals too; the seal key is asked for, or read from standard input, one key a line").needs_process(),
    switch("new-seal", Action, "make a key to seal the logs of all hosts with, and print it, which is done once: keep it on another machine").needs_process(),
    takes("from", "FILE", Action, "with --verify: verify this file of --export-evidence, without the host's store; - is standard input"),
    switch("anchors", Action, "print the last entry of each chain of a host as an anchor, to be kept on another machine"),
    takes("export-evidence", "FILE", Action, "write all that is needed to verify the log of a host elsewhere to a new file; - is standard output"),
    switch("new-key", Action, "replace the key that addresses are hashed with, on one host or on all"),
    switch("sinks", Action, "list the sinks of a host: what was delivered, what waits, and what went wrong").needs_process(),
    takes("sink-test", "NAME", Action, "send a test entry to the sink of that name, and say what came back").needs_process(),
    takes("person", "USER@HOST", Action, "all that the log of HOST has about a person, as JSON or with --report as a page; what it says of others is withheld"),
    takes("erase", "USER@HOST", Action, "erase a person's data from the logs of all hosts; shows what would be erased, and asks"),
    takes("before", "TIME", Action, "with --erase: only from entries that were stored before this time"),
    takes("reason", "TEXT", Action, "with --erase: why, to be recorded"),
    switch("acted", Action, "with --erase: also that the person acted on others, or on the server"),
    switch("yes", Action, "with --erase or --new-seal: do not ask"),
    switch("privacy", Action, "which personal data the log of a host keeps, for what purpose and how long"),
    switch("events", Action, "list the event types, and the retention class of each on a host"),
    switch("alerts", Action, "list the rules of the alerts on a host"),
    switch("link", Action, "print a link that signs an administrator in to the log in a browser, once: --link admin@example.com"),
    takes("token", "NAME", Action, "make a token that lets a program read the log of a host over HTTP; it is shown once"),
    takes("types", "TYPE,…", Action, "with --token: it shows these event types only"),
    takes("expires", "PERIOD", Action, "with --token: how long it can be used, such as 90d"),
    switch("tokens", Action, "list the tokens of a host"),
    takes("revoke", "NAME", Action, "end a token of a host at once"),
    switch("help", Action, "show this help"),
];

/// The flag of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// The flags that make sense in a command of the server's shell that shows entries (`stats` is false) or totals.
pub fn of_shell(stats: bool) -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(move |flag| {
        let is_action = matches!(flag.group, Action) || flag.name == "stats";
        !(is_action || flag.needs_process || stats && pairs::exclude_each_other("stats", flag.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(stats: bool) -> Vec<&'static str> {
        of_shell(stats).map(|flag| flag.name).collect()
    }

    #[test]
    fn a_command_of_the_shell_has_the_flags_that_make_sense_for_it() {
        let show = names(false);
        assert!(["since", "all", "limit", "columns", "show-ip", "format"].iter().all(|name| show.contains(name)), "{show:?}");
        for name in ["output", "report", "follow", "colour", "bom", "stats", "prune", "help"] {
            assert!(!show.contains(&name), "{name}");
        }
        let missing: Vec<_> = show.into_iter().filter(|name| !names(true).contains(name)).collect();
        assert_eq!(missing, ["columns", "show-user", "show-ip", "show-location", "show-note", "format"]);
    }

    #[test]
    fn usage_shows_the_value_and_the_opposite() {
        let usage = |name| find(name).unwrap().usage();
        assert_eq!(
            (usage("limit"), usage("global"), usage("utc")),
            ("--limit N".to_owned(), "--[no-]global".to_owned(), "--utc".to_owned())
        );
    }
}
