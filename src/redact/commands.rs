//! The commands of Prosody's shell, with their arguments.

use super::forms::Form;

/// A command of the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShellCommand {
    /// The section and the name, as in `user:create`.
    pub name: &'static str,
    /// The names of its arguments, which determine their forms (`forms.rs`). `*` before a name: the argument is secret. `?` after a
    /// name: this argument and those after it are optional. `...` at the end: any number of secret arguments follow.
    pub arguments: &'static str,
    /// Its flags (without `--`), each with the name of its value's form: `*` for a secret, an empty name if it takes no value.
    pub flags: &'static [(&'static str, &'static str)],
}

impl ShellCommand {
    /// The form of the argument at this index. Returns `None` if the command takes fewer arguments.
    pub(super) fn form(&self, place: usize) -> Option<Form> {
        match self.arguments.split_whitespace().nth(place) {
            None => self.arguments.ends_with("...").then_some(Form::Secret),
            // An argument that is not known to be harmless is secret.
            Some(name) => Some(Form::named(name.trim_end_matches('?')).unwrap_or(Form::Secret)),
        }
    }

    /// The smallest number of arguments.
    pub(super) fn least(&self) -> usize {
        self.arguments.split_whitespace().take_while(|name| !name.ends_with('?') && *name != "...").count()
    }

    /// The form of a flag's value. Returns `Some(None)` if the flag takes no value, and `None` if there is no such flag.
    pub(super) fn flag(&self, name: &str) -> Option<Option<Form>> {
        let (_, form) = self.flags.iter().find(|(flag, _)| *flag == name)?;
        Some(if form.is_empty() { None } else { Some(Form::named(form).unwrap_or(Form::Secret)) })
    }

    /// Whether the argument at this index is always hidden.
    #[must_use]
    pub fn hides(&self, place: usize) -> bool {
        self.form(place).is_none_or(|form| form == Form::Secret)
    }
}

/// Returns the command with this section and name.
pub(super) fn find(section: &str, name: &str) -> Option<&'static ShellCommand> {
    let wanted = || section.bytes().chain([b':']).chain(name.bytes());
    let at = COMMANDS.binary_search_by(|command| command.name.bytes().cmp(wanted())).ok()?;
    COMMANDS.get(at)
}

/// Whether there is a section of this name.
pub(super) fn is_section(word: &str) -> bool {
    let begin = || word.bytes().chain([b':']);
    let at = COMMANDS.partition_point(|command| command.name.bytes().lt(begin()));
    COMMANDS.get(at).is_some_and(|command| command.name.split_once(':').is_some_and(|(section, _)| section == word))
}

/// Commands of a single word. They are only followed by names of sections.
pub(super) const SIMPLE: &[&str] = &["help", "quit", "exit", "bye"];

const fn command(name: &'static str, arguments: &'static str) -> ShellCommand {
    ShellCommand { name, arguments, flags: &[] }
}

const fn flagged(name: &'static str, arguments: &'static str, flags: &'static [(&'static str, &'static str)]) -> ShellCommand {
    ShellCommand { name, arguments, flags }
}

/// The flags of this log's own commands. A text to search for may be a secret, and an address may be one that the log must not
/// keep.
pub(super) const READING: &[(&str, &str)] = &[
    ("since", "moment"),
    ("until", "moment"),
    ("type", "words"),
    ("user", "*"),
    ("ip", "*"),
    ("source", "words"),
    ("client", "*"),
    ("country", "*"),
    ("actor", "*"),
    ("class", "words"),
    ("text", "*"),
    ("global", ""),
    ("no-global", ""),
    ("limit", "number"),
    ("after", "*"),
    ("oldest-first", ""),
    ("utc", ""),
    ("zone", "*"),
    ("columns", "*"),
    ("show-user", ""),
    ("no-show-user", ""),
    ("show-ip", ""),
    ("no-show-ip", ""),
    ("show-location", ""),
    ("no-show-location", ""),
    ("show-note", ""),
    ("no-show-note", ""),
    ("format", "format"),
    ("stats", ""),
];

/// Every command that Prosody 0.12 and 13.0 have, with those of their modules and of common community modules.
pub const COMMANDS: &[ShellCommand] = &[
    command("announce:all", "host *text"),
    command("announce:online", "host *text"),
    command("announce:role", "host role *text"),
    command("audit:help", ""),
    command("audit:link", "target"),
    command("audit:prune", "host"),
    flagged("audit:show", "target", READING),
    flagged("audit:stats", "target", READING),
    command("audit:verify", "host"),
    command("c2s:close", "jid *text? *condition?"),
    command("c2s:closeall", "*text? *condition?"),
    command("c2s:count", ""),
    command("c2s:show", "jid? *columns?"),
    command("c2s:show_tls", "jid?"),
    command("config:get", "host option?"),
    command("config:load", "*filename? *format?"),
    command("config:reload", ""),
    command("config:set", "host option *value"),
    command("cron:tasks", "host?"),
    command("debug:async", "*runner?"),
    command("debug:cert_index", "*path?"),
    command("debug:events", "host? *event?"),
    command("debug:logevents", "host?"),
    command("debug:timers", ""),
    command("dns:addnameserver", "..."),
    command("dns:cache", ""),
    command("dns:lookup", "domain record? class?"),
    command("dns:purge", ""),
    command("dns:setnameserver", "..."),
    command("dnsbl:check", "host *address"),
    command("dnsbl:lists", "host"),
    command("firewall:mark", "jid mark"),
    command("firewall:unmark", "jid mark"),
    command("flags:add", "jid flag *comment?"),
    command("flags:find", "host flag"),
    command("flags:list", "jid"),
    command("flags:remove", "jid flag"),
    command("host:activate", "domain *config?"),
    command("host:deactivate", "host *reason?"),
    command("host:list", ""),
    command("hosts:activate", "domain *config?"),
    command("hosts:deactivate", "host *reason?"),
    command("hosts:list", ""),
    command("http:list", "host?"),
    flagged("invite:create_account", "jid", &[("admin", ""), ("role", "role"), ("group", "*"), ("expires-after", "period")]),
    flagged("invite:create_contact", "jid *allow_registration?", &[("allow-registration", ""), ("expires-after", "period")]),
    flagged("invite:create_reset", "jid", &[("expires-after", "period")]),
    command("invite:delete", "host *token"),
    command("invite:list", "host"),
    command("invite:show", "host *token"),
    command("lastlog:show", "jid"),
    command("limits:connections", "*address?"),
    command("migrate:account_activity_lastlog2", "host"),
    command("module:info", "module host?"),
    command("module:list", "host?"),
    command("module:load", "module host? *config?"),
    command("module:reload", "module host?"),
    command("module:unload", "module host?"),
    command("muc:affiliations", "room affiliation?"),
    command("muc:create", "room *config?"),
    command("muc:list", "host"),
    command("muc:occupants", "room occupant?"),
    command("muc:room", "room"),
    command("output:configure", "*options?"),
    command("port:close", "port *interface?"),
    command("port:list", ""),
    command("pubsub:create_node", "service node"),
    command("pubsub:delete_all_items", "service node boolean?"),
    command("pubsub:delete_item", "service node *item"),
    command("pubsub:delete_node", "service node"),
    command("pubsub:get_item", "service node *item"),
    command("pubsub:get_node_config", "service node *option?"),
    command("pubsub:list_items", "service node"),
    command("pubsub:list_nodes", "service"),
    command("pubsub:set_node_config_option", "service node *option *value"),
    command("role:list", "host"),
    command("role:show", "host role"),
    command("roster:clean", "jid"),
    command("roster:show", "jid subscription?"),
    command("roster:subscribe", "jid contact"),
    command("roster:subscribe_both", "jid contact"),
    command("roster:unsubscribe", "jid contact"),
    command("roster:unsubscribe_both", "jid contact"),
    command("s2s:close", "from to? *text? *condition?"),
    command("s2s:closeall", "domain? *text? *condition?"),
    command("s2s:show", "peer? *columns?"),
    command("s2s:show_tls", "peer?"),
    command("s2s:showcert", "domain"),
    command("server:insane_reload", ""),
    command("server:memory", ""),
    command("server:shutdown", "*reason? code?"),
    command("server:uptime", ""),
    command("server:version", ""),
    command("sql:create", "host"),
    command("stats:show", "*pattern?"),
    command("timer:info", ""),
    command("user:activity", "jid"),
    command("user:addrole", "jid host role"),
    command("user:create", "jid *password? role?"),
    command("user:delete", "jid"),
    command("user:delrole", "jid host role"),
    command("user:disable", "jid"),
    command("user:enable", "jid"),
    command("user:list", "host *pattern?"),
    command("user:list_inactive", "host period"),
    command("user:password", "jid *password?"),
    command("user:restore", "jid"),
    command("user:role", "jid host?"),
    command("user:roles", "jid host? *roles?"),
    command("user:set_role", "jid host role"),
    command("user:setroles", "jid *host_or_roles *roles?"),
    command("user:showroles", "jid host?"),
    command("watch:log", "level?"),
    command("watch:stanzas", "*target? *filter?"),
    command("xmpp:ping", "jid peer number?"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_there_once_and_in_order() {
        assert!(COMMANDS.windows(2).all(|pair| matches!(pair, [one, two] if one.name < two.name)));
    }

    #[test]
    fn every_argument_has_a_form_or_is_marked_as_secret() {
        for command in COMMANDS {
            let mut optional = false;
            for argument in command.arguments.split_whitespace().filter(|argument| *argument != "...") {
                let name = argument.trim_end_matches('?');
                assert_eq!(name.starts_with('*'), Form::named(name).is_none(), "{} {argument}", command.name);
                let named_so = ["pass", "secret", "token", "key", "config", "value", "text"].iter().any(|part| name.contains(part));
                assert!(!named_so || name.starts_with('*'), "{} {argument}", command.name);
                assert!(!optional || argument.ends_with('?'), "{} {argument}", command.name);
                optional = argument.ends_with('?');
            }
            for (flag, form) in command.flags {
                assert!(matches!(*form, "" | "*") || Form::named(form).is_some(), "{} --{flag}", command.name);
            }
        }
    }

    #[test]
    fn unknown_arguments_are_secret() {
        let create = find("user", "create").unwrap();
        assert_eq!((0..4).map(|place| create.hides(place)).collect::<Vec<_>>(), [false, true, false, true]);
        assert_eq!((create.form(3), create.least()), (None, 1));
        assert_eq!(find("dns", "addnameserver").unwrap().form(9), Some(Form::Secret));
        assert_eq!(find("user", "nothing"), None);
        assert_eq!(find("config", "set").unwrap().least(), 3);
        let show = find("audit", "show").unwrap();
        assert_eq!((show.flag("utc"), show.flag("text"), show.flag("nothing")), (Some(None), Some(Some(Form::Secret)), None));
        assert!(is_section("user") && !is_section("create") && !is_section("hunter2"));
    }
}
