//! Who runs the command, as the log records it.

/// The login uid of a process that belongs to no login (`AUDIT_UID_UNSET` of Linux).
const UNSET: u32 = u32::MAX;

/// The name of somebody who is not known.
pub const UNKNOWN: &str = "unknown";

/// What the environment says of a user, the most telling first.
pub(super) const VARIABLES: &[&str] = &["SUDO_USER", "USER", "LOGNAME"];

/// Somebody who reads the log with the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The name of the user, `uid N` if the user has no name here, or [`UNKNOWN`].
    pub name: String,
    /// How the name is known.
    pub source: Source,
}

/// How the name of a reader is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel remembers as which user somebody logged in, and only root can change that.
    Login,
    /// Anybody can set a variable of the environment.
    Environment,
    /// It is not known.
    None,
}

impl Source {
    /// The name of the source, as it is stored. `None` if the reader is not known.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Login => Some("login"),
            Self::Environment => Some("environment"),
            Self::None => None,
        }
    }
}

impl Reader {
    /// The reader, by the content of `/proc/self/loginuid` and by the environment. `name_of` returns the name of a user.
    #[must_use]
    pub fn find(login_uid: Option<&str>, name_of: impl Fn(u32) -> String, variable: impl Fn(&str) -> Option<String>) -> Self {
        let login = login_uid.and_then(|text| text.trim().parse::<u32>().ok()).filter(|uid| *uid != UNSET);
        if let Some(uid) = login {
            return Self { name: name_of(uid), source: Source::Login };
        }
        let named = VARIABLES.iter().filter_map(|name| variable(name)).find(|name| !name.trim().is_empty());
        named.map_or_else(|| Self { name: UNKNOWN.to_owned(), source: Source::None }, |name| Self { name, source: Source::Environment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(login_uid: Option<&str>, environment: &[(&str, &str)]) -> (String, Option<&'static str>) {
        let variable = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let reader = Reader::find(login_uid, |uid| if uid == 1000 { "alice".to_owned() } else { format!("uid {uid}") }, variable);
        (reader.name, reader.source.name())
    }

    #[test]
    fn the_login_comes_before_the_environment() {
        let claimed = [("USER", "root"), ("SUDO_USER", "mallory"), ("LOGNAME", "root")];
        for (login_uid, environment, name, source) in [
            (Some("1000\n"), &claimed[..], "alice", Some("login")),
            (Some("0"), &claimed[..], "uid 0", Some("login")),
            (Some("1001"), &[][..], "uid 1001", Some("login")),
            (Some("4294967295"), &claimed[..], "mallory", Some("environment")),
            (Some("4294967295"), &[("USER", "romeo")][..], "romeo", Some("environment")),
            (Some("4294967295"), &[("SUDO_USER", " "), ("USER", ""), ("LOGNAME", "juliet")][..], "juliet", Some("environment")),
            (Some("-1"), &claimed[..1], "root", Some("environment")),
            (None, &claimed[..1], "root", Some("environment")),
            (None, &[][..], "unknown", None),
            (Some("4294967295"), &[][..], "unknown", None),
            (Some(""), &[("USER", "")][..], "unknown", None),
        ] {
            assert_eq!(find(login_uid, environment), (name.to_owned(), source), "{login_uid:?} {environment:?}");
        }
    }
}
