//! The forms of arguments that may be shown: a JID, a host, the name of a module, a short number.
//!
//! Each form is narrow, so that a password that was typed instead of a JID or a name does not match it.

use std::borrow::Cow;

use super::{HIDDEN, KnownNames};
use crate::time::moment::Moment;
use crate::time::period::Period;

/// The longest name of a module, option or flag that is shown, in bytes.
const LONGEST_WORD: usize = 40;
/// The largest number of digits of a number that is shown. Longer numbers may be a PIN or a password.
const MOST_DIGITS: usize = 5;

/// Words with digits in the names of modules and options. Any other word with a digit may be a password.
const WORDS_WITH_DIGITS: &[&str] = &[
    "base64", "bind2", "c2s", "http2", "ipv4", "ipv6", "lastlog2", "mam2", "oauth2", "pep2", "s2s", "sasl2", "sha1", "sha256", "sql2",
    "vcard4", "x509",
];

/// Options whose names are a single word. All other names have an underscore.
const SHORT_OPTIONS: &[&str] = &[
    "admins",
    "authentication",
    "authorization",
    "certificates",
    "daemonize",
    "interfaces",
    "limits",
    "log",
    "name",
    "pidfile",
    "ports",
    "ssl",
    "statistics",
    "storage",
    "umask",
];

/// The form that an argument must have to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It is never shown.
    Secret,
    /// A JID on a host of this server. Its resource is hidden.
    Jid,
    /// A JID on any server. Its resource is hidden.
    Peer,
    /// A host of this server, or `*`.
    Host,
    /// The name of any host.
    Domain,
    /// The name of an option.
    Option,
    /// The name of a role of Prosody's.
    Role,
    /// The name of a module or of a flag: words in lower case, joined by underscores.
    Word,
    /// Event types, classes or modules, as a filter takes them: words that may be joined, and `*`.
    Words,
    /// A node of a pubsub service.
    Node,
    /// A short number.
    Number,
    /// A length of time.
    Period,
    /// A time.
    Moment,
    /// One of these.
    OneOf(&'static [&'static str]),
}

impl Form {
    /// The form of an argument with this name. Arguments with other names must be marked as secret.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "jid" | "room" | "service" | "target" => Self::Jid,
            "contact" | "from" | "peer" | "to" => Self::Peer,
            "host" => Self::Host,
            "domain" => Self::Domain,
            "option" => Self::Option,
            "role" => Self::Role,
            "module" | "flag" | "mark" => Self::Word,
            "words" => Self::Words,
            "node" => Self::Node,
            "code" | "port" | "number" => Self::Number,
            "period" => Self::Period,
            "moment" => Self::Moment,
            "affiliation" => Self::OneOf(&["owner", "admin", "member", "outcast", "none"]),
            "occupant" => Self::OneOf(&["moderator", "participant", "visitor", "none"]),
            "subscription" => Self::OneOf(&["none", "from", "to", "both"]),
            "level" => Self::OneOf(&["debug", "info", "warn", "error"]),
            "format" => Self::OneOf(&["table", "json", "csv", "xml", "ocsf", "ecs", "cef", "syslog"]),
            "record" => Self::OneOf(&["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TLSA", "TXT"]),
            "class" => Self::OneOf(&["IN"]),
            "boolean" => Self::OneOf(&["true", "false"]),
            _ => return None,
        })
    }

    /// The part of `text` that may be shown. Returns `None` if `text` does not have this form.
    pub(super) fn shown<'a>(self, text: &'a str, known: &KnownNames<'_>) -> Option<Cow<'a, str>> {
        let fits = match self {
            Self::Secret => false,
            Self::Jid => return jid(text, |host| is_own_host(host, known)),
            Self::Peer => return jid(text, |host| is_domain(host) || is_known_host(host, known)),
            Self::Host => text == "*" || is_own_host(text, known),
            Self::Domain => is_domain(text) || is_known_host(text, known),
            Self::Option => is_word(text) && (text.contains('_') || SHORT_OPTIONS.contains(&text)),
            Self::Role => text.strip_prefix("prosody:").is_some_and(is_word),
            Self::Word => is_word(text),
            Self::Words => text.split([',', '-', '*']).all(|word| word.is_empty() || is_word(word)) && text.len() <= 2 * LONGEST_WORD,
            Self::Node => is_word(text) || text.strip_prefix("urn:xmpp:").is_some_and(is_urn),
            Self::Number => text.len() <= MOST_DIGITS && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Period => has_few_digits(text) && Period::parse(text).is_ok(),
            Self::Moment => (has_few_digits(text) || text.contains('-')) && text.parse::<Moment>().is_ok(),
            Self::OneOf(words) => words.contains(&text),
        };
        fits.then_some(Cow::Borrowed(text))
    }
}

/// A JID without its resource, if the host is one that `is_host` accepts.
fn jid(text: &str, is_host: impl Fn(&str) -> bool) -> Option<Cow<'_, str>> {
    if text == "*" {
        return Some(Cow::Borrowed(text));
    }
    let (bare, resource) = text.split_once('/').map_or((text, None), |(bare, resource)| (bare, Some(resource)));
    let fits = bare.split_once('@').map_or_else(|| is_host(bare), |(local, host)| is_localpart(local) && is_host(host));
    match resource {
        _ if !fits => None,
        None => Some(Cow::Borrowed(bare)),
        Some(_) => Some(Cow::Owned(format!("{bare}/{HIDDEN}"))),
    }
}

/// Narrower than RFC 7622: characters that are also punctuation of a list or a call are not allowed.
fn is_localpart(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.chars().all(|character| character.is_alphanumeric() || "._-+~".contains(character))
}

/// A host of this server. If its hosts are not known, anything in the form of a domain.
fn is_own_host(text: &str, known: &KnownNames<'_>) -> bool {
    known.hosts.map_or_else(|| is_domain(text), |is_host| text != "*" && is_host(text))
}

fn is_known_host(text: &str, known: &KnownNames<'_>) -> bool {
    known.hosts.is_some_and(|is_host| text != "*" && is_host(text))
}

/// A domain name in lower case with at least one dot, or `localhost`. An IP address is not a domain name.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |character: char| character == '-' || character.is_alphanumeric() && !character.is_uppercase();
        !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(fits)
    };
    let is_top = |label: &str| label.starts_with("xn--") || label.chars().count() >= 2 && label.chars().all(char::is_alphabetic);
    let dotted = text.rsplit_once('.').is_some_and(|(_, top)| is_top(top)) && text.len() <= 253 && text.split('.').all(is_label);
    dotted || text == "localhost"
}

/// Words in lower case, joined by underscores. Only words that are known may have digits.
fn is_word(text: &str) -> bool {
    let is_one = |word: &str| WORDS_WITH_DIGITS.contains(&word) || !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    text.len() <= LONGEST_WORD && text.split('_').all(is_one)
}

fn is_urn(text: &str) -> bool {
    text.len() <= LONGEST_WORD && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b":.-".contains(&byte))
}

fn has_few_digits(text: &str) -> bool {
    text.bytes().filter(u8::is_ascii_digit).count() <= MOST_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: KnownNames<'static> =
        KnownNames { hosts: Some(&|host| matches!(host, "example.com" | "muc.example.com" | "lan")), command: &|_, _| false };

    #[test]
    fn text_of_the_expected_form_is_shown() {
        let unknown = KnownNames::default();
        for (form, known, text, shown) in [
            (Form::Jid, &unknown, "romeo@example.com", "romeo@example.com"),
            (Form::Jid, &unknown, "r.o-m_e+o@muc.example.com", "r.o-m_e+o@muc.example.com"),
            (Form::Jid, &unknown, "romeo@example.com/T0psecretA", "romeo@example.com/***"),
            (Form::Jid, &unknown, "example.com", "example.com"),
            (Form::Jid, &unknown, "müller@exämple.com", "müller@exämple.com"),
            (Form::Jid, &unknown, "romeo@localhost", "romeo@localhost"),
            (Form::Jid, &OWN, "romeo@lan", "romeo@lan"),
            (Form::Peer, &OWN, "juliet@example.net/x", "juliet@example.net/***"),
            (Form::Peer, &OWN, "romeo@lan", "romeo@lan"),
            (Form::Domain, &OWN, "lan", "lan"),
            (Form::Host, &OWN, "*", "*"),
            (Form::Domain, &OWN, "xmpp1.example.xn--p1ai", "xmpp1.example.xn--p1ai"),
            (Form::Option, &unknown, "c2s_require_encryption", "c2s_require_encryption"),
            (Form::Option, &unknown, "storage", "storage"),
            (Form::Role, &unknown, "prosody:admin", "prosody:admin"),
            (Form::Word, &unknown, "http_oauth2", "http_oauth2"),
            (Form::Words, &unknown, "authentication-*,user-registered", "authentication-*,user-registered"),
            (
                Form::Words,
                &unknown,
                "authentication-failure,user-registered,registration-*",
                "authentication-failure,user-registered,registration-*",
            ),
            (Form::Node, &unknown, "urn:xmpp:microblog:0", "urn:xmpp:microblog:0"),
            (Form::Number, &unknown, "5222", "5222"),
            (Form::Period, &unknown, "1 day", "1 day"),
            (Form::Moment, &unknown, "2d", "2d"),
            (Form::Moment, &unknown, "2026-11-24T18:00", "2026-11-24T18:00"),
        ] {
            assert_eq!(form.shown(text, known).as_deref(), Some(shown), "{form:?} {text}");
        }
    }

    #[test]
    fn text_that_may_be_a_password_has_no_form() {
        let unknown = KnownNames::default();
        let passwords = [
            "T0psecretA",
            "T0psecretC-horse-battery",
            "Tr0ub4dor&3",
            "hunter2",
            "12345678",
            "correct horse",
            "correct-horse-battery",
            "p@ssw0rd",
            "P@ss.Word",
            "p@ss word",
            "bob:pw@example.com",
            "bob,pw@example.com",
            "bob@example.com pw",
            "bob@example.com,pw",
            "bob@example.com\" \"T0psecretA",
            "bob@example.comT0p",
            "@example.com",
            "bob@",
            "bobShowexample.com",
            "203.0.113.7",
            "203.0.113.77",
            "2001:db8::1",
            "x_1",
            "_",
            "a__b",
            "",
            " ",
            "\u{e9}t\u{e9}",
            "prosody:",
            "prosody:T0p",
            "prosody:hunter2",
            "2026",
            "nil)",
            "***",
        ];
        for form in
            [Form::Jid, Form::Peer, Form::Host, Form::Domain, Form::Option, Form::Role, Form::Word, Form::Node, Form::Period, Form::Moment]
        {
            for password in passwords {
                let is_period = password == "2026" && form == Form::Period;
                assert!(is_period || form.shown(password, &unknown).is_none(), "{form:?} {password}");
                assert!(is_period || form.shown(password, &OWN).is_none(), "{form:?} {password}");
            }
        }
        for (form, text) in [
            (Form::Option, "swordfish"),
            (Form::Number, "123456"),
            (Form::Period, "123456"),
            (Form::Words, "hunter2"),
            (Form::Words, "a-long-list-of-words,that-together-are-longer-than-a-filter-is,as-a-passphrase-may-be"),
            (Form::Role, "swordfish"),
            (Form::Node, "urn:xmpp:T0psecretA"),
            (Form::OneOf(&["to"]), "from"),
        ] {
            assert_eq!(form.shown(text, &unknown), None, "{form:?} {text}");
        }
    }

    #[test]
    fn a_jid_is_one_of_this_server() {
        for text in ["bob@ss.word", "bob@example.net", "p@lan2", "bob@exmaple.com", "example.net", "bob@*"] {
            assert_eq!(Form::Jid.shown(text, &OWN), None, "{text}");
            assert_eq!(Form::Host.shown(text, &OWN), None, "{text}");
        }
        assert_eq!(Form::Peer.shown("p@lan2", &OWN), None);
    }
}
