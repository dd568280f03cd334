//! What rules need of an entry, read from its payload without making a tree of it.

use crate::entry::payload::{Part, parts};

/// What rules need of an entry. The texts may come from anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen<'a> {
    /// The event type.
    pub kind: &'a str,
    /// The account, as a bare JID.
    pub user: Option<&'a str>,
    /// The id of the session.
    pub session: Option<&'a str>,
    /// The address as it is stored: an address or a network.
    pub address: Option<&'a str>,
    /// The hash that is stored instead of the address.
    pub hash: Option<&'a str>,
    /// The country's two letters.
    pub country: Option<&'a str>,
    /// The country's name.
    pub country_name: Option<&'a str>,
    /// What the client calls itself.
    pub client: Option<&'a str>,
    /// The kind of the actor.
    pub actor_kind: Option<&'a str>,
    /// The JID of the actor.
    pub actor: Option<&'a str>,
    /// The command: a line of the shell, or the node of an ad-hoc command.
    pub command: Option<&'a str>,
    /// What became of an ad-hoc command.
    pub outcome: Option<&'a str>,
    /// Up to four roles that the account has or was given.
    pub roles: [Option<&'a str>; 4],
    /// Whether a role was removed.
    pub removed: bool,
    /// The number of entries that were lost.
    pub lost: Option<&'a str>,
}

impl<'a> Seen<'a> {
    /// Reads a payload.
    #[must_use]
    pub fn read(payload: &'a [u8]) -> Self {
        let mut seen = Self::default();
        // The elements that are open, from below the root on. Deeper ones are not needed.
        let (mut depth, mut path) = (0_usize, ["", ""]);
        for part in parts(payload) {
            match part {
                Part::Open(name) => {
                    depth = depth.saturating_add(1);
                    match depth {
                        2 => path = [name, ""],
                        3 => path[1] = name,
                        _ => {}
                    }
                }
                Part::Close => {
                    depth = depth.saturating_sub(1);
                    match depth {
                        1 => path = ["", ""],
                        2 => path[1] = "",
                        _ => {}
                    }
                }
                Part::Attribute(name, value) if depth <= 3 => seen.attribute(path, name, value),
                Part::Text(text) if depth <= 3 => seen.text(path, text),
                Part::Attribute(..) | Part::Text(_) => {}
            }
        }
        seen
    }

    fn attribute(&mut self, path: [&str; 2], name: &str, value: &'a str) {
        match (path, name) {
            (["", ""], "type") => self.kind = value,
            (["", ""], "user") => self.user = Some(value),
            (["session", ""], "id") => self.session = Some(value),
            (["session", "location"], "country") => self.country = Some(value),
            (["actor", ""], "kind") => self.actor_kind = Some(value),
            (["actor", ""], "jid") => self.actor = Some(value),
            (["command", ""], "node") => self.command = Some(value),
            (["command", ""], "outcome") => self.outcome = Some(value),
            (["role", ""], "name") => {
                if let Some(place) = self.roles.iter_mut().find(|place| place.is_none()) {
                    *place = Some(value);
                }
            }
            (["role", ""], "change") => self.removed = value == "removed",
            (["lost", ""], "count") => self.lost = Some(value),
            _ => {}
        }
    }

    fn text(&mut self, path: [&str; 2], text: &'a str) {
        let place = match path {
            ["session" | "actor", "remote-ip"] => &mut self.address,
            ["session", "ip-hash"] => &mut self.hash,
            ["session", "location"] => &mut self.country_name,
            ["session", "client"] => &mut self.client,
            ["command", ""] => &mut self.command,
            _ => return,
        };
        place.get_or_insert(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_far_as_rules_need_it() {
        let payload = b"1795521600.250\0\x01audit-event\x02type\x03authentication-success\x02user\x03romeo@example.com\
            \x01session\x02id\x03c2s5\x01remote-ip\x04203.0.113.0/24\x05\x01location\x02country\x03DE\x04Germany\x05\x01client\x04phone\x05\x05\
            \x01actor\x02kind\x03user\x02jid\x03nurse@example.com\x05\x01role\x02name\x03prosody:admin\x01session\x02id\x03no\x05\x05\x05";
        let seen = Seen::read(payload);
        assert_eq!(
            seen,
            Seen {
                kind: "authentication-success",
                user: Some("romeo@example.com"),
                session: Some("c2s5"),
                address: Some("203.0.113.0/24"),
                country: Some("DE"),
                country_name: Some("Germany"),
                client: Some("phone"),
                actor_kind: Some("user"),
                actor: Some("nurse@example.com"),
                roles: [Some("prosody:admin"), None, None, None],
                ..Seen::default()
            }
        );
    }

    #[test]
    fn what_is_damaged_is_read_as_far_as_it_goes() {
        for payload in [&b""[..], b"x", b"1\0", b"1\0\x01a\x02type\x03t", b"1\0\x05\x05\x05\x01a\x02type\x03t\x05"] {
            let _ = Seen::read(payload);
        }
        assert_eq!(Seen::read(b"1\0\x01a\x02type\x03t").kind, "t");
    }
}
