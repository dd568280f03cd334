//! The link of one entry: the element `<chain/>`.

use std::collections::BTreeSet;
use std::fmt::Display;

use thiserror::Error;

use super::hash::{self, Bytes, Hash, Nonce};
use crate::NAMESPACE;
use crate::address::{FALLBACK_IPV4_PREFIX, FALLBACK_IPV6_PREFIX, Policy, replaced};
use crate::entry::ascii::MARK;
use crate::entry::canon::{CHAIN, Canon, Draft};
use crate::entry::payload;
use crate::entry::personal::Group;
use crate::redact::HIDDEN;

/// A chain, which the entries of one class of one host make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The host.
    pub host: String,
    /// The retention class.
    pub class: String,
    /// What tells it apart from all other chains.
    pub id: Nonce,
}

/// How many leading bits of addresses are left after they have expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Of IPv4 addresses.
    pub ipv4: u8,
    /// Of IPv6 addresses.
    pub ipv6: u8,
}

impl Default for Cut {
    fn default() -> Self {
        Self { ipv4: FALLBACK_IPV4_PREFIX, ipv6: FALLBACK_IPV6_PREFIX }
    }
}

/// The evidence that an entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The chain's id.
    pub id: Nonce,
    /// The run of the server that made it.
    pub run: Nonce,
    /// When the entry was recorded, in milliseconds since 1970.
    pub at: u64,
    /// Its place in the chain, from 1.
    pub n: u64,
    /// What is left of addresses after they have expired.
    pub cut: Cut,
    /// How the values that tell of persons are proved.
    pub cover: Cover,
    /// The hash of the link before, if that can't be in the store.
    pub previous: Option<Hash>,
    /// Whether the entry is stored in ASCII, see [`ascii`](crate::entry::ascii).
    pub is_ascii: bool,
    /// The hash of the link.
    pub hash: Hash,
}

/// How the commitments of an entry are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cover {
    /// Nothing was removed: all openings follow from this.
    Salt(Nonce),
    /// Something was removed.
    Groups {
        /// The openings of the groups that are left.
        kept: Vec<(Group, Nonce)>,
        /// The commitments to those that were removed.
        gone: Vec<(Group, Hash)>,
    },
}

/// Why an entry does not have the hash that its link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// It has no link.
    #[error("it has no <chain/>")]
    Missing,
    /// The attributes are not those of a link.
    #[error("its <chain/> can't be read")]
    Unreadable,
    /// A value is there whose group is said to have been removed, or whose group is not listed.
    #[error("it has a value that was removed or added later")]
    Unexpected,
    /// The values of a group are not there, and nothing says that they were removed.
    #[error("a value is missing")]
    Lacking,
}

impl Link {
    /// The hash that the link has if it follows `previous` and its entry has this leaf.
    #[must_use]
    pub fn follows(&self, previous: &Hash, leaf: &Hash) -> Hash {
        hash::link(&self.id, &self.run, self.n, self.at, previous, leaf)
    }

    /// Reads the link of an entry and what else the entry says.
    ///
    /// # Errors
    ///
    /// Returns [`LinkError`] if the entry has no link, or none that can be read.
    pub fn read(draft: Draft) -> Result<(Self, Canon), LinkError> {
        let link = Self::of_attributes(draft.chain().ok_or(LinkError::Missing)?).ok_or(LinkError::Unreadable)?;
        let canon = draft.finish(|text| link.cut.narrow(text));
        Ok((link, canon))
    }

    /// The leaf of the entry.
    ///
    /// # Errors
    ///
    /// Returns [`LinkError`] if its values are not those that the link covers.
    pub fn leaf(&self, host: &str, class: &str, canon: &Canon) -> Result<Hash, LinkError> {
        let commitments = match &self.cover {
            Cover::Salt(salt) => salted(canon, salt),
            Cover::Groups { kept, gone } => {
                let mut commitments = gone.clone();
                for (group, values) in &canon.groups {
                    let opening = kept.iter().find(|(of, _)| of == group).ok_or(LinkError::Unexpected)?;
                    commitments.push((*group, hash::commitment(*group, &opening.1, values)));
                }
                if kept.iter().any(|(group, _)| canon.group(*group).is_none()) {
                    return Err(LinkError::Lacking);
                }
                commitments.sort_by_key(|(group, _)| group.number());
                if commitments.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
                    return Err(LinkError::Unexpected);
                }
                commitments
            }
        };
        Ok(hash::leaf(host, class, canon, &commitments))
    }

    /// The link of the same entry after groups were removed, see [`Canon::to_remove`]. `canon` is the entry as it was.
    #[must_use]
    pub fn without(&self, canon: &Canon, removed: &BTreeSet<Group>) -> Self {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        if let Cover::Groups { gone: before, .. } = &self.cover {
            gone.clone_from(before);
        }
        for (group, values) in &canon.groups {
            let opening = match &self.cover {
                Cover::Salt(salt) => Some(hash::opening(*group, salt)),
                Cover::Groups { kept, .. } => kept.iter().find(|(of, _)| of == group).map(|(_, opening)| *opening),
            };
            let Some(opening) = opening else { continue };
            if removed.contains(group) {
                gone.push((*group, hash::commitment(*group, &opening, values)));
            } else {
                kept.push((*group, opening));
            }
        }
        gone.sort_by_key(|(group, _)| group.number());
        let cover = if gone.is_empty() { self.cover.clone() } else { Cover::Groups { kept, gone } };
        Self { cover, ..self.clone() }
    }

    /// Adds the element to the payload of its entry, whose root element is still open.
    pub fn write(&self, payload: &mut Vec<u8>) {
        payload::open(payload, CHAIN.as_bytes());
        payload::attribute(payload, b"xmlns", NAMESPACE.as_bytes());
        self.each_attribute(|name, value| {
            payload::begin_attribute(payload, name.as_bytes());
            value.append(payload);
        });
        payload::close(payload);
    }

    /// The attributes of the element.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = Vec::new();
        self.each_attribute(|name, value| attributes.push((name, value.to_string())));
        attributes
    }

    fn each_attribute(&self, mut put: impl FnMut(&'static str, &dyn Value)) {
        put("id", &self.id);
        put("run", &self.run);
        put("at", &self.at);
        put("n", &self.n);
        put("hash", &self.hash);
        if self.cut != Cut::default() {
            put("cut", &format!("{}/{}", self.cut.ipv4, self.cut.ipv6));
        }
        match &self.cover {
            Cover::Salt(salt) => put("salt", salt),
            Cover::Groups { kept, gone } => {
                put("kept", &list(kept));
                put("gone", &list(gone));
            }
        }
        if let Some(previous) = &self.previous {
            put("prev", previous);
        }
        if self.is_ascii {
            put(MARK, &1_u64);
        }
    }

    fn of_attributes(attributes: &[(String, String)]) -> Option<Self> {
        let value = |name: &str| attributes.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
        let known = ["id", "run", "at", "n", "hash", "cut", "salt", "kept", "gone", "prev", MARK];
        if attributes.iter().any(|(name, _)| !known.contains(&name.as_str())) {
            return None;
        }
        let cut = match value("cut") {
            None => Cut::default(),
            Some(text) => Cut::read(text)?,
        };
        let cover = match (value("salt"), value("kept"), value("gone")) {
            (Some(salt), None, None) => Cover::Salt(Bytes::read(salt)?),
            (None, kept, Some(gone)) => Cover::Groups { kept: read_list(kept.unwrap_or_default())?, gone: read_list(gone)? },
            _ => return None,
        };
        let previous = match value("prev") {
            None => None,
            Some(text) => Some(Bytes::read(text)?),
        };
        Some(Self {
            id: Bytes::read(value("id")?)?,
            run: Bytes::read(value("run")?)?,
            at: whole_number(value("at")?)?,
            n: whole_number(value("n")?).filter(|n| *n > 0)?,
            cut,
            cover,
            previous,
            is_ascii: value(MARK).is_some(),
            hash: Bytes::read(value("hash")?)?,
        })
    }
}

impl Cut {
    fn read(text: &str) -> Option<Self> {
        let (ipv4, ipv6) = text.split_once('/')?;
        let cut = Self { ipv4: ipv4.parse().ok()?, ipv6: ipv6.parse().ok()? };
        (cut.ipv4 <= 32 && cut.ipv6 <= 128 && format!("{}/{}", cut.ipv4, cut.ipv6) == text).then_some(cut)
    }

    /// What is left of an address, a network, or a text with addresses in it.
    #[must_use]
    pub fn narrow(self, text: &str) -> Option<String> {
        let policy = Policy::prefix(Some(self.ipv4), Some(self.ipv6));
        policy.narrow(text).or_else(|| {
            let text = replaced(text, |address| policy.narrow(address).unwrap_or_else(|| HIDDEN.to_owned()));
            Some(text)
        })
    }
}

pub(super) fn salted(canon: &Canon, salt: &Nonce) -> Vec<(Group, Hash)> {
    let commit = |(group, values): &(Group, Vec<u8>)| (*group, hash::commitment(*group, &hash::opening(*group, salt), values));
    canon.groups.iter().map(commit).collect()
}

/// The value of an attribute. Numbers and bytes are added without the general way to write them, which takes longer.
trait Value: Display {
    fn append(&self, bytes: &mut Vec<u8>);
}

impl<const N: usize> Value for Bytes<N> {
    fn append(&self, bytes: &mut Vec<u8>) {
        Self::append(self, bytes);
    }
}

impl Value for u64 {
    fn append(&self, bytes: &mut Vec<u8>) {
        payload::number(bytes, *self);
    }
}

impl Value for String {
    fn append(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }
}

/// Groups by their numbers, each with its bytes: `1:… 4:…`.
fn list<const N: usize>(items: &[(Group, Bytes<N>)]) -> String {
    items.iter().map(|(group, bytes)| format!("{}:{bytes}", group.number())).collect::<Vec<_>>().join(" ")
}

fn read_list<const N: usize>(text: &str) -> Option<Vec<(Group, Bytes<N>)>> {
    let item = |item: &str| {
        let (group, bytes) = item.split_once(':')?;
        Some((Group::of(u32::try_from(whole_number(group)?).ok()?)?, Bytes::read(bytes)?))
    };
    text.split(' ').filter(|item| !item.is_empty()).map(item).collect()
}

/// A number in the only way in which a link writes it.
fn whole_number(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}
