//! The canonical form of an entry: the same bytes for the same values, however a store has written them.
//!
//! The bytes are those of values, never of serialised XML: names with their namespaces, attributes in order, texts that lie side by
//! side as one. An empty attribute or text is as good as none. What is public and each group of personal values have bytes of
//! their own, so that a group can be removed without a change to the rest.
//!
//! # The bytes
//!
//! A number is a big-endian `u32`, a string its length in bytes and its bytes. A namespace is `00` for none, `01` for the log's, and
//! `02` and a string for another. A name is its namespace and its local name, a string.
//!
//! - An element is `01`, its name, its attributes, its texts and children in order, and `00`.
//! - An attribute is `02`, its name and its value. Attributes are sorted by namespace (none, the log's, others by bytes), then by name,
//!   then by value.
//! - A text is `03` and a string.
//!
//! What is public is the root element, without `<chain/>`, without the attribute `occurred`, and without what belongs to a group
//! ([`personal`](crate::entry::personal) has the tables). Public elements are counted from 0, in the order in which they begin. In the
//! bytes of a group:
//!
//! - an attribute of a public element is `02`, the number of that element, and the attribute as above;
//! - a text of a public element is `03`, the number of the element, how many public children it has before the text, and a string;
//! - an element that belongs to the group as a whole is as above, but behind its `01` come the number of the public element that it
//!   is in, and how many public children that has before it;
//! - an address is `02`, the number of the public element that it is in, how many public children that has before it, and an attribute:
//!   the one that holds the address, or `remote-ip` in the log's namespace for the element of that name. What will be left of it goes
//!   to the group of the network, or of the element that belongs to a group as a whole; the address itself, if it is something else,
//!   to the group of the address. Addresses follow all others, in the order in which they stand.

mod bytes;
mod prefixes;
mod reader;
pub mod removal;
mod writer;

use std::collections::BTreeSet;

use self::bytes::{Space, put_attribute, put_number, tag};
use self::writer::Writer;
use crate::NAMESPACE;
use crate::entry::personal::{Aspect, Group, Role};
use crate::entry::xml::{XmlError, walk};
use crate::entry::{Row, ascii, element, payload};

/// The element with the evidence of an entry. It is no part of the canonical form.
pub const CHAIN: &str = "chain";

/// An entry in canonical form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canon {
    /// What tells of no person.
    pub public: Vec<u8>,
    /// The values of each group that has some, in the order of their numbers.
    pub groups: Vec<(Group, Vec<u8>)>,
    /// When the event happened, if the entry says so.
    pub occurred: Option<String>,
    /// The account that the entry concerns. It is among the values of its group, too.
    pub user: Option<String>,
    /// The attributes of `<chain/>`, if it has one.
    pub chain: Option<Vec<(String, String)>>,
    /// Groups that have addresses of somebody in them, in elements that are removed whole.
    nested: Vec<(Group, Role)>,
}

/// An entry in canonical form but for its addresses: how much of them will be left depends on `<chain/>`, which comes last.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    canon: Canon,
    addresses: Vec<Address>,
}

/// An address, a network, or a text with addresses in it.
#[derive(Clone, Debug)]
struct Address {
    role: Role,
    /// The group of the element that it is in, if that is removed whole. What is left of the address belongs to it.
    within: Option<Group>,
    /// The number of the public element that it is in.
    number: u32,
    /// How many public children that has before it.
    position: u32,
    /// The namespace: the log's, or none.
    space: Space<'static>,
    name: &'static str,
    value: String,
}

impl Draft {
    /// Reads an entry of a store, in whichever form the driver has it. Returns `None` if it is damaged.
    #[must_use]
    pub fn of_row(row: &Row) -> Option<Self> {
        if row.element.is_empty() { Self::of_xml(&row.xml).ok() } else { Self::of_element(&row.element) }
    }

    /// Of an entry as the journal keeps it. Returns `None` if the payload is damaged.
    #[must_use]
    pub fn of_payload(payload: &[u8]) -> Option<Self> {
        Self::of_parts(payload::parts(payload), payload)
    }

    /// Of an [`element`](crate::entry::element), as our own driver returns it. Returns `None` if it is damaged.
    #[must_use]
    pub fn of_element(element: &[u8]) -> Option<Self> {
        Self::of_parts(payload::Parts::from(element, 0), element)
    }

    fn of_parts(parts: payload::Parts<'_>, bytes: &[u8]) -> Option<Self> {
        let mut writer = Writer::default();
        writer.canon.public.reserve(bytes.len());
        let draft = writer.add_parts(parts.clone()).then(|| writer.finish())?;
        if !draft.is_in_ascii() {
            return Some(draft);
        }
        let decoded = ascii::decode(parts)?;
        let mut writer = Writer::default();
        writer.add_parts(payload::Parts::from(&decoded, 0)).then(|| writer.finish())
    }

    /// Whether its link says that it is in ASCII.
    fn is_in_ascii(&self) -> bool {
        self.chain().is_some_and(|attributes| attributes.iter().any(|(name, _)| name == ascii::MARK))
    }

    /// Of an entry as a store returns it.
    ///
    /// # Errors
    ///
    /// Returns [`XmlError`] if it is not one well-formed element.
    pub fn of_xml(xml: &str) -> Result<Self, XmlError> {
        let mut writer = Writer::default();
        walk(xml, &mut writer)?;
        let draft = writer.finish();
        if draft.is_in_ascii() {
            if let Some(decoded) = element::of_xml(xml).and_then(|element| Self::of_element(&element)) {
                return Ok(decoded);
            }
        }
        Ok(draft)
    }

    /// The attributes of `<chain/>`, if the entry has one.
    #[must_use]
    pub fn chain(&self) -> Option<&[(String, String)]> {
        self.canon.chain.as_deref()
    }

    /// Adds the addresses. `narrow` returns what will be left of one when addresses expire: of an address, a network, or a text
    /// with addresses in it.
    #[must_use]
    pub fn finish(self, narrow: impl Fn(&str) -> Option<String>) -> Canon {
        let Self { mut canon, addresses } = self;
        for address in addresses {
            let narrowed = narrow(&address.value);
            if let Some(network) = &narrowed {
                let network_group = Group::Person(address.role, Aspect::Network);
                address.put(canon.group_mut(address.within.unwrap_or(network_group)), network);
            }
            if narrowed.as_deref() != Some(address.value.as_str()) {
                address.put(canon.group_mut(Group::Person(address.role, Aspect::Address)), &address.value);
            }
        }
        canon
    }
}

impl Address {
    fn put(&self, values: &mut Vec<u8>, value: &str) {
        values.push(tag::ATTRIBUTE);
        put_number(values, self.number);
        put_number(values, self.position);
        put_attribute(values, &self.space, self.name, value);
    }
}

impl Canon {
    /// The groups that have to be removed if those are that `is_chosen` chooses: an address goes with its network, and with the
    /// element that it is in.
    #[must_use]
    pub fn to_remove(&self, is_chosen: impl Fn(Group) -> bool) -> BTreeSet<Group> {
        let mut chosen: BTreeSet<Group> = self.groups.iter().map(|(group, _)| *group).filter(|group| is_chosen(*group)).collect();
        let of = |role: Role, aspect: Aspect| Group::Person(role, aspect);
        let roles: BTreeSet<Role> = self.groups.iter().filter_map(|(group, _)| group.role()).collect();
        // A role has few groups, so it ends after a few rounds.
        loop {
            let before = chosen.len();
            for role in &roles {
                let network_goes = is_chosen(of(*role, Aspect::Network)) || chosen.contains(&of(*role, Aspect::Network));
                for (group, _) in self.nested.iter().filter(|(_, of)| of == role) {
                    if network_goes {
                        chosen.insert(*group);
                    }
                }
                let is_within = self.nested.iter().any(|(group, of)| of == role && chosen.contains(group));
                if network_goes || is_within {
                    chosen.insert(of(*role, Aspect::Address));
                }
            }
            if chosen.len() == before {
                return chosen;
            }
        }
    }

    /// The values of a group.
    #[must_use]
    pub fn group(&self, group: Group) -> Option<&[u8]> {
        self.groups.iter().find(|(of, _)| *of == group).map(|(_, values)| values.as_slice())
    }

    fn group_mut(&mut self, group: Group) -> &mut Vec<u8> {
        let at = match self.groups.binary_search_by_key(&group.number(), |(of, _)| of.number()) {
            Ok(at) => at,
            Err(at) => {
                // Most entries have values in five groups, and few groups have more than that.
                if self.groups.is_empty() {
                    self.groups.reserve(8);
                }
                self.groups.insert(at, (group, Vec::with_capacity(128)));
                at
            }
        };
        // The index was just found.
        self.groups.get_mut(at).map_or(&mut self.public, |(_, values)| values)
    }
}
