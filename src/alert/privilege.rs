//! Events that give somebody rights.

use crate::alert::seen::Seen;
use crate::alert::sentence::What;

/// Functions of the shell that change accounts, as `section:name`.
const SHELL: &[&str] = &[
    "user:create",
    "user:delete",
    "user:password",
    "user:enable",
    "user:disable",
    "user:role",
    "user:roles",
    "user:setrole",
    "user:setroles",
    "user:addrole",
    "user:delrole",
    "user:set_role",
    "user:add_role",
    "user:remove_role",
];

/// Ad-hoc commands that change accounts (XEP-0133), by the end of their nodes.
const NODES: &[&str] = &["#add-user", "#delete-user", "#disable-user", "#reenable-user", "#change-user-password"];

/// What an event means, if it gives somebody rights. `is_admin` tells whether the account of the event is an administrator's.
pub(super) fn of(seen: &Seen<'_>, is_admin: bool) -> Option<What> {
    let by = || seen.actor.or(seen.actor_kind.filter(|kind| *kind != "unknown")).map(ToOwned::to_owned);
    match seen.kind {
        "user-role-changed" if !seen.removed => {
            let role = seen.roles.iter().flatten().find(|role| is_admin_role(role))?;
            Some(What::Admin { role: (*role).to_owned(), by: by() })
        }
        "user-password-changed" | "user-password-reset" if is_admin => Some(What::Password { by: by() }),
        "shell-command" => {
            let command = called(seen.command?)?;
            Some(What::Command { command, by: by() })
        }
        "adhoc-command" if seen.outcome.is_none_or(|outcome| outcome == "completed") => {
            let node = seen.command?;
            let changes = NODES.iter().any(|end| node.ends_with(end));
            changes.then(|| What::Command { command: node.to_owned(), by: by() })
        }
        _ => None,
    }
}

/// Whether a role is that of an administrator: `prosody:admin` and `prosody:operator`, and what others call so.
fn is_admin_role(role: &str) -> bool {
    ["admin", "operator"].iter().any(|name| role.rsplit(':').next() == Some(*name))
}

/// The function of the shell that a line calls, if it changes accounts. A line is `user:create("…")` or `user create …`.
fn called(line: &str) -> Option<String> {
    let mut words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let name = format!("{}:{}", words.next()?, words.next()?);
    SHELL.contains(&name.as_str()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_change_accounts_are_told_from_others() {
        for (line, name) in [
            ("user:create(\"romeo@example.com\", \"***\")", Some("user:create")),
            ("> user:password(\"romeo@example.com\")", Some("user:password")),
            ("user delete romeo@example.com", Some("user:delete")),
            ("user", None),
            ("user:list(\"example.com\")", None),
            ("c2s:show()", None),
            ("", None),
        ] {
            assert_eq!(called(line).as_deref(), name, "{line}");
        }
    }

    #[test]
    fn rights_are_given_by_roles_passwords_and_commands() {
        let event = |kind| Seen { kind, ..Seen::default() };
        let roles = |role| Seen { roles: [Some("prosody:member"), Some(role), None, None], ..event("user-role-changed") };
        let node = |node, outcome| Seen { command: Some(node), outcome: Some(outcome), ..event("adhoc-command") };
        for (seen, is_admin, fires) in [
            (roles("prosody:admin"), false, true),
            (roles("prosody:operator"), false, true),
            (roles("admin"), false, true),
            (roles("prosody:registered"), false, false),
            (Seen { removed: true, ..roles("prosody:admin") }, false, false),
            (event("user-password-changed"), true, true),
            (event("user-password-changed"), false, false),
            (event("user-password-reset"), true, true),
            (Seen { command: Some("user:create(\"a\")"), ..event("shell-command") }, false, true),
            (Seen { command: Some("c2s:show()"), ..event("shell-command") }, false, false),
            (node("http://jabber.org/protocol/admin#add-user", "completed"), false, true),
            (node("http://jabber.org/protocol/admin#add-user", "canceled"), false, false),
            (node("http://jabber.org/protocol/admin#get-online-users", "completed"), false, false),
            (event("authentication-success"), true, false),
        ] {
            assert_eq!(of(&seen, is_admin).is_some(), fires, "{seen:?}");
        }
    }
}
