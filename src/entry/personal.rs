//! Which parts of an entry tell of a person, and which of them hold an address. When addresses expire before their entries, the
//! parts with addresses are narrowed or removed.

/// Elements whose text is an address or a network.
pub const ADDRESS_ELEMENTS: &[&str] = &["remote-ip"];

/// Elements whose text stands for an address. With the key, the address can be found.
pub const HASH_ELEMENTS: &[&str] = &["ip-hash"];

/// Attributes of any element that hold an address or a network.
pub const ADDRESS_ATTRIBUTES: &[&str] = &["address", "ip", "network", "remote-ip"];

/// Attributes of the element [`TEXT_ELEMENT`] that may have addresses among other text.
pub const TEXT_ATTRIBUTES: &[&str] = &["filter", "file"];

/// The element that says what a reading asked for.
pub const TEXT_ELEMENT: &str = "query";

/// Somebody an entry tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The account that the entry concerns.
    Account,
    /// Who did it.
    Actor,
    /// One of those that a summary names: the `<sample/>` and `<often/>` elements, counted from 0 in the order in which they stand.
    Sample(u16),
}

/// What an entry says of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// The name of the account.
    Name,
    /// The network of the address, and where it is.
    Network,
    /// The address, or a hash that stands for it.
    Address,
    /// The client, and the ids of the session and of the device.
    Client,
}

/// A group of values that can only be removed from an entry together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// What the entry says of somebody.
    Person(Role, Aspect),
    /// All values that may say anything: texts from outside, and what the tables here do not know.
    Text,
}

/// Who may see a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// It tells of no person.
    Public,
    /// It tells of the person whose element it is in.
    Of(Aspect),
    /// It may say anything.
    Text,
}

/// An element whose values differ in who may see them. All of it but the values themselves is public.
#[derive(Debug)]
pub(crate) struct Known {
    /// The names of the elements from below the root down to this one, all in the log's namespace.
    pub(crate) path: &'static [&'static str],
    /// Attributes.
    attributes: &'static [(&'static str, Share)],
    /// All other attributes, its text, and child elements that are not in a table.
    pub(crate) rest: Share,
}

/// The root element, and the elements that follow below.
pub(crate) static ROOT: Known = Known {
    path: &[],
    attributes: &[("source", Share::Public), ("type", Share::Public), ("id", Share::Public), ("user", Share::Of(Aspect::Name))],
    rest: Share::Text,
};

const fn known(path: &'static [&'static str], attributes: &'static [(&'static str, Share)], rest: Share) -> Known {
    Known { path, attributes, rest }
}

use Share::{Of, Public, Text};

/// Every element that is public in part. Elements that other modules add are in no table, so they count as text.
#[rustfmt::skip] // A table: one element a line.
static KNOWN: &[Known] = &[
    known(&["session"], &[("type", Public), ("id", Of(Aspect::Client))], Text),
    known(&["actor"], &[("kind", Public), ("caused-by", Public), ("jid", Of(Aspect::Name))], Text),
    known(&["repeated"], &[("count", Public), ("first", Public), ("last", Public), ("accounts", Public), ("networks", Public), ("actors", Public), ("at-least", Public), ("distinct-at-least", Public)], Text),
    known(&["repeated", "sample"], SAMPLE, Text),
    known(&["repeated", "often"], SAMPLE, Text),
    known(&["authentication"], &[("mechanism", Public), ("condition", Public)], Text),
    known(&["tls"], &[], Public),
    known(&["certificate"], &[], Public),
    known(&["s2s"], &[], Public),
    known(&["component"], &[("condition", Public)], Text),
    known(&["registration"], &[("condition", Public)], Text),
    known(&["role"], &[("name", Public), ("change", Public), ("from", Public), ("to", Public)], Text),
    known(&["affiliation"], &[("from", Public), ("to", Public)], Text),
    known(&["configuration"], &[], Public),
    known(&["pending"], &[], Public),
    known(&["disabled"], &[("when", Public)], Text),
    known(&["resource"], &[("seconds-since-connect", Public), ("name", Of(Aspect::Client))], Text),
    known(&["ended"], &[("seconds", Public), ("resource", Of(Aspect::Client))], Text),
    known(&["alert"], &[("rule", Public), ("key", Public), ("count", Public), ("since", Public), ("network", Of(Aspect::Network))], Text),
    known(&["options"], &[], Public),
    known(&["module"], &[], Public),
    known(&["host"], &[], Public),
    known(&["truncated"], &[], Public),
    known(&["pruned"], &[], Public),
    known(&["erasure"], &[("receipt", Public), ("count", Public), ("before", Public), ("acted", Public), ("at-least", Public), ("by-source", Public)], Text),
    known(&["erasure", "class"], &[], Public),
    known(&["lost"], &[], Public),
    known(&["clock"], &[], Public),
    known(&["key"], &[], Public),
];

/// What a summary says of somebody.
static SAMPLE: &[(&str, Share)] = &[
    ("user", Of(Aspect::Name)),
    ("name-hash", Of(Aspect::Name)),
    ("name-key", Of(Aspect::Name)),
    ("name-length", Of(Aspect::Name)),
    ("actor", Of(Aspect::Name)),
    ("network", Of(Aspect::Network)),
    ("condition", Public),
    ("count", Public),
    ("exists", Public),
];

/// Elements that are removed whole when an aspect is.
static WHOLE: &[(&[&str], Aspect)] = &[
    (&["unknown-name"], Aspect::Name),
    (&["session", "ip-hash"], Aspect::Address),
    (&["session", "location"], Aspect::Network),
    (&["session", "asn"], Aspect::Network),
    (&["session", "client"], Aspect::Client),
    (&["actor", "ip-hash"], Aspect::Address),
    (&["client-info"], Aspect::Client),
];

/// What an element is, by its path below the root.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    /// Its parts differ.
    Parts(&'static Known),
    /// It is removed with this aspect.
    Whole(Aspect),
    /// Its text is an address.
    Address,
    /// It is in no table.
    Unknown,
}

/// Looks up the child `name` of a known element. Both are in the log's namespace.
pub(crate) fn child_of(parent: &'static Known, name: &str) -> Told {
    let depth = parent.path.len();
    let is_it = |path: &[&str]| path.len() == depth.saturating_add(1) && path.last() == Some(&name) && path.starts_with(parent.path);
    if let Some(known) = KNOWN.iter().find(|known| is_it(known.path)) {
        return Told::Parts(known);
    }
    if matches!(parent.path, ["session" | "actor"]) && ADDRESS_ELEMENTS.contains(&name) {
        return Told::Address;
    }
    WHOLE.iter().find(|(path, _)| is_it(path)).map_or(Told::Unknown, |(_, aspect)| Told::Whole(*aspect))
}

/// What the tables say, for the documents: the path of each element, and where its values go.
#[must_use]
pub fn described() -> Vec<(String, String)> {
    let share = |share: Share| match share {
        Share::Public => "public".to_owned(),
        Share::Of(aspect) => format!("{aspect:?}").to_lowercase(),
        Share::Text => "text".to_owned(),
    };
    let path = |path: &[&str]| if path.is_empty() { "the root".to_owned() } else { path.join("/") };
    let parts = [&ROOT].into_iter().chain(KNOWN).map(|known| {
        let mut values: Vec<String> = known.attributes.iter().map(|(name, of)| format!("`{name}` {}", share(*of))).collect();
        values.push(format!("all else {}", share(known.rest)));
        (path(known.path), values.join(", "))
    });
    let addresses = ["session", "actor"].map(|parent| (path(&[parent, "remote-ip"]), "an address".to_owned()));
    let whole = WHOLE.iter().map(|(of, aspect)| (path(of), format!("all of it {}", share(Of(*aspect)))));
    parts.chain(addresses).chain(whole).collect()
}

impl Known {
    /// Who may see an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Share {
        self.attributes.iter().find(|(of, _)| *of == name).map_or(self.rest, |(_, share)| *share)
    }
}

impl Group {
    /// Whose group it is.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Person(role, _) => Some(role),
            Self::Text => None,
        }
    }

    /// The number of the group, as it is hashed: a group is never given another number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Text => 0,
            Self::Person(role, aspect) => {
                let role: u32 = match role {
                    Role::Account => 0,
                    Role::Actor => 1,
                    Role::Sample(number) => u32::from(number).saturating_add(2),
                };
                role.saturating_mul(4).saturating_add(aspect as u32).saturating_add(1)
            }
        }
    }

    /// The group of a number. Returns `None` if no group has it.
    ///
    /// ```
    /// use audit_core::entry::personal::{Aspect, Group, Role};
    /// let group = Group::Person(Role::Sample(3), Aspect::Network);
    /// assert_eq!(Group::of(group.number()), Some(group));
    /// ```
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        let Some(number) = number.checked_sub(1) else { return Some(Self::Text) };
        let role = match number / 4 {
            0 => Role::Account,
            1 => Role::Actor,
            sample => Role::Sample(u16::try_from(sample.saturating_sub(2)).ok()?),
        };
        let aspect = match number % 4 {
            0 => Aspect::Name,
            1 => Aspect::Network,
            2 => Aspect::Address,
            _ => Aspect::Client,
        };
        Some(Self::Person(role, aspect))
    }
}
