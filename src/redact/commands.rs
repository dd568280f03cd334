//! The commands of Prosody's shell, with what they take.

/// One thing that a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// It may be recorded.
    Shown,
    /// It is a secret, or may hold one.
    Secret,
}

/// A command of the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The section and the name, as in `user:create`.
    pub name: &'static str,
    /// The names of its arguments. One with `*` before it is secret; `...` at the end stands for any number of shown ones.
    pub arguments: &'static str,
    /// The names of flags (without `--`) whose values may be recorded.
    pub flags: &'static [&'static str],
}

impl Command {
    /// How the argument at this place, from 0, is to be treated. What a command is not known to take is secret.
    #[must_use]
    pub fn argument(&self, place: usize) -> Argument {
        let shown = match self.arguments.split_whitespace().nth(place) {
            Some(name) => !name.starts_with('*'),
            None => self.arguments.ends_with("..."),
        };
        if shown { Argument::Shown } else { Argument::Secret }
    }
}

/// The command of that section and name.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Command> {
    let is_it = |command: &&Command| command.name.split_once(':') == Some((section, name));
    COMMANDS.iter().find(is_it)
}

/// The words that are a command by themselves, with what they take: only names of sections and topics.
pub(super) const SIMPLE: &[&str] = &["help", "quit", "exit", "bye"];

const fn command(name: &'static str, arguments: &'static str) -> Command {
    Command { name, arguments, flags: &[] }
}

const fn flagged(name: &'static str, arguments: &'static str, flags: &'static [&'static str]) -> Command {
    Command { name, arguments, flags }
}

/// The flags of our own commands that take a value.
const READING: &[&str] = &[
    "since", "until", "type", "user", "ip", "source", "client", "country", "actor", "class", "text", "limit", "after", "zone", "columns",
    "format",
];

/// Every command that Prosody 0.12 and 13.0 have, with those of their modules and of common community modules.
pub const COMMANDS: &[Command] = &[
    command("announce:all", "host text"),
    command("announce:online", "host text"),
    command("announce:role", "host role text"),
    command("audit:help", ""),
    command("audit:prune", "host"),
    flagged("audit:show", "target", READING),
    flagged("audit:stats", "target", READING),
    command("c2s:close", "jid text condition"),
    command("c2s:closeall", "text condition"),
    command("c2s:count", ""),
    command("c2s:show", "jid columns"),
    command("c2s:show_tls", "jid"),
    command("config:get", "host option"),
    command("config:load", "filename format"),
    command("config:reload", ""),
    command("config:set", "host option *value"),
    command("cron:tasks", "host"),
    command("debug:async", "runner"),
    command("debug:cert_index", "path"),
    command("debug:events", "host event"),
    command("debug:logevents", "host"),
    command("debug:timers", ""),
    command("dns:addnameserver", "..."),
    command("dns:cache", ""),
    command("dns:lookup", "name type class"),
    command("dns:purge", ""),
    command("dns:setnameserver", "..."),
    command("dnsbl:check", "host address"),
    command("dnsbl:lists", "host"),
    command("firewall:mark", "jid mark"),
    command("firewall:unmark", "jid mark"),
    command("flags:add", "jid flag comment"),
    command("flags:find", "host flag"),
    command("flags:list", "jid"),
    command("flags:remove", "jid flag"),
    command("host:activate", "host *config"),
    command("host:deactivate", "host reason"),
    command("host:list", ""),
    command("hosts:activate", "host *config"),
    command("hosts:deactivate", "host reason"),
    command("hosts:list", ""),
    command("http:list", "hosts"),
    flagged("invite:create_account", "jid", &["admin", "role", "group", "expires-after"]),
    flagged("invite:create_contact", "jid allow_registration", &["allow-registration", "expires-after"]),
    flagged("invite:create_reset", "jid", &["expires-after"]),
    command("invite:delete", "host *token"),
    command("invite:list", "host"),
    command("invite:show", "host *token"),
    command("lastlog:show", "jid"),
    command("migrate:account_activity_lastlog2", "host"),
    command("module:info", "name hosts"),
    command("module:list", "hosts"),
    command("module:load", "name hosts *config"),
    command("module:reload", "name hosts"),
    command("module:unload", "name hosts"),
    command("muc:affiliations", "room filter"),
    command("muc:create", "room *config"),
    command("muc:list", "host"),
    command("muc:occupants", "room filter"),
    command("muc:room", "room"),
    command("output:configure", "options"),
    command("port:close", "port interface"),
    command("port:list", ""),
    command("pubsub:delete_all_items", "service node notify"),
    command("pubsub:delete_item", "service node item"),
    command("pubsub:get_item", "service node item"),
    command("pubsub:get_node_config", "service node option"),
    command("pubsub:list_items", "service node"),
    command("pubsub:list_nodes", "service"),
    command("pubsub:set_node_config_option", "service node option *value"),
    command("roster:show", "jid subscription"),
    command("roster:subscribe", "jid contact"),
    command("roster:subscribe_both", "jid contact"),
    command("roster:unsubscribe", "jid contact"),
    command("roster:unsubscribe_both", "jid contact"),
    command("s2s:close", "from to text condition"),
    command("s2s:closeall", "host text condition"),
    command("s2s:show", "jid columns"),
    command("s2s:show_tls", "jid"),
    command("s2s:showcert", "domain"),
    command("server:insane_reload", ""),
    command("server:memory", ""),
    command("server:shutdown", "reason code"),
    command("server:uptime", ""),
    command("server:version", ""),
    command("stats:show", "pattern"),
    command("timer:info", ""),
    command("user:activity", "jid"),
    command("user:addrole", "jid host role"),
    command("user:create", "jid *password role"),
    command("user:delete", "jid"),
    command("user:delrole", "jid host role"),
    command("user:disable", "jid"),
    command("user:enable", "jid"),
    command("user:list", "host pattern"),
    command("user:list_inactive", "host duration"),
    command("user:password", "jid *password"),
    command("user:restore", "jid"),
    command("user:role", "jid host"),
    command("user:roles", "jid host roles"),
    command("user:set_role", "jid host role"),
    command("user:setroles", "jid host roles"),
    command("user:showroles", "jid host"),
    command("watch:log", "level"),
    command("watch:stanzas", "target filter"),
    command("xmpp:ping", "host remote timeout"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_there_once_and_in_order() {
        assert!(COMMANDS.windows(2).all(|pair| matches!(pair, [one, two] if one.name < two.name)));
    }

    #[test]
    fn whatever_is_named_like_a_secret_is_one() {
        for command in COMMANDS {
            for argument in command.arguments.split_whitespace() {
                let named_so = ["pass", "secret", "token", "key", "config", "value"].iter().any(|part| argument.contains(part));
                assert_eq!(argument.starts_with('*'), named_so, "{} {argument}", command.name);
            }
        }
    }

    #[test]
    fn what_is_not_known_is_secret() {
        let create = find("user", "create").unwrap();
        assert_eq!((0..4).map(|place| create.argument(place) == Argument::Shown).collect::<Vec<_>>(), [true, false, true, false]);
        assert_eq!(find("dns", "addnameserver").unwrap().argument(9), Argument::Shown);
        assert_eq!(find("user", "nothing"), None);
    }
}
