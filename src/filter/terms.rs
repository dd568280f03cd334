//! Terms: numbers that stand for what a filter may ask for, such as an account or a network. Our own driver keeps them for groups of
//! entries, so that it reads only where a term is.
//!
//! [`add_terms`] has the terms of an entry, [`wanted`] those that a filter asks for. An entry that a filter admits has what the filter
//! asks for. The reverse is not true, so [`Filter::admits`] still decides. Terms are stored: what a term stands for, and how it is
//! made, must not change.

use ipnet::IpNet;

use super::{Filter, network};
use crate::catalogue::UNKNOWN_ACTOR;
use crate::entry::event::ROOT;
use crate::entry::limits::HOST_WIDE;
use crate::entry::names::{fnv, mixed};
use crate::entry::payload::{Part, Parts, SEPARATOR, local};
use crate::entry::xml::DEPTH;
use crate::filter::pattern::Pattern;

/// Of a network, terms are kept with these lengths of its prefix.
const IPV4_PREFIXES: [u8; 3] = [16, 24, 32];
const IPV6_PREFIXES: [u8; 3] = [32, 48, 64];

/// What a term is about. The number is part of the term.
#[derive(Clone, Copy)]
enum Kind {
    Type = 1,
    /// The first word of a type, and the last one.
    FirstWord = 2,
    LastWord = 3,
    User = 4,
    /// The keyed hash of a name without an account.
    Name = 5,
    /// An entry that may be about several accounts.
    Several = 6,
    /// A network, with one of the lengths above.
    Network = 7,
    /// A network that is larger than the next length above. It is the term of the length below.
    Large = 8,
    /// The keyed hash of an address.
    Address = 9,
    Source = 10,
    Client = 11,
    Country = 12,
    Actor = 13,
    /// An event of the whole host, and one that is not.
    Global = 14,
    Personal = 15,
}

fn term(kind: Kind, text: &str) -> u64 {
    let is_lower = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    let hash = if is_lower { fnv(text.as_bytes()) } else { fnv(text.to_lowercase().as_bytes()) };
    mixed(hash.wrapping_add(kind as u64))
}

/// The terms of networks with a length of the prefix that is in the list.
fn network_term(kind: Kind, network: IpNet) -> u64 {
    let hash = match network {
        IpNet::V4(network) => fnv(&network.network().octets()),
        IpNet::V6(network) => fnv(&network.network().octets()),
    };
    mixed(hash.wrapping_add(u64::from(network.prefix_len()) << 8).wrapping_add(kind as u64))
}

/// A network and those around it that have a length of the list, the smallest last. The first is the whole of IPv4 or IPv6.
fn around(network: IpNet) -> impl Iterator<Item = IpNet> {
    let prefixes = if matches!(network, IpNet::V4(_)) { IPV4_PREFIXES } else { IPV6_PREFIXES };
    let fitting = [0].into_iter().chain(prefixes).filter(move |prefix| *prefix <= network.prefix_len());
    fitting.filter_map(move |prefix| IpNet::new(network.addr(), prefix).ok()).map(|network| network.trunc())
}

fn add_network(text: &str, terms: &mut Vec<u64>) {
    let Some(network) = network(text) else { return };
    let largest = if matches!(network, IpNet::V4(_)) { IPV4_PREFIXES } else { IPV6_PREFIXES }.into_iter().max().unwrap_or_default();
    let mut smallest = None;
    for network in around(network) {
        terms.extend((network.prefix_len() > 0).then(|| network_term(Kind::Network, network)));
        smallest = Some(network);
    }
    terms.extend(smallest.filter(|_| network.prefix_len() < largest).map(|network| network_term(Kind::Large, network)));
}

/// Adds the terms of an entry, as an element. Returns `false` if it can't tell all of them, such as those of a damaged entry.
pub fn add_terms(with: &str, element: &[u8], terms: &mut Vec<u64>) -> bool {
    let host_wide = with.is_empty() || with == HOST_WIDE;
    terms.push(term(if host_wide { Kind::Global } else { Kind::Personal }, ""));
    if !host_wide {
        terms.push(term(Kind::User, with));
    }
    let mut entry = Entry::default();
    let mut parts = Parts::from(element, 0);
    let is_read = parts.by_ref().all(|part| entry.take(part, terms));
    if !entry.has_type {
        terms.push(term(Kind::Type, ""));
    }
    if !entry.has_source {
        terms.push(term(Kind::Source, ""));
    }
    is_read && parts.is_at_end() && entry.names.is_empty() && entry.is_entry
}

/// What was read of an entry.
#[derive(Default)]
struct Entry<'a> {
    is_entry: bool,
    has_type: bool,
    has_source: bool,
    /// The names of the open elements.
    names: Vec<&'a str>,
    /// The text of the last one, if it has one and nothing else.
    text: &'a str,
}

impl<'a> Entry<'a> {
    /// Takes a part. Returns `false` if it is something unusual.
    fn take(&mut self, part: Part<'a>, terms: &mut Vec<u64>) -> bool {
        match part {
            Part::Open(name) => {
                let name = local(name);
                if self.names.is_empty() {
                    if self.is_entry || name != ROOT {
                        return false;
                    }
                    self.is_entry = true;
                }
                let is_split = !self.text.is_empty() && self.is_told();
                self.names.push(name);
                self.text = "";
                if self.names.len() > DEPTH {
                    return false;
                }
                match self.names.as_slice() {
                    [_, "repeated"] => terms.push(term(Kind::Several, "")),
                    // Its kind may not be said.
                    [_, "actor"] => terms.push(term(Kind::Actor, UNKNOWN_ACTOR)),
                    _ => {}
                }
                !is_split
            }
            Part::Attribute(name, value) => {
                self.attribute(local(name), value, terms);
                true
            }
            Part::Text(text) => {
                let is_split = !self.text.is_empty() && self.is_told();
                self.text = text;
                !is_split
            }
            Part::Close => {
                match self.names.as_slice() {
                    [_, "session" | "actor", "remote-ip"] => add_network(self.text, terms),
                    [_, "session", "ip-hash"] => terms.push(term(Kind::Address, self.text)),
                    [_, "session", "client"] => terms.push(term(Kind::Client, self.text)),
                    [_, "unknown-name"] => terms.push(term(Kind::Name, self.text.trim())),
                    _ => {}
                }
                self.text = "";
                self.names.pop().is_some()
            }
        }
    }

    /// Whether the text of the last element is a term.
    fn is_told(&self) -> bool {
        matches!(self.names.as_slice(), [_, "session" | "actor", "remote-ip"] | [_, "session", "ip-hash" | "client"] | [_, "unknown-name"])
    }

    fn attribute(&mut self, name: &str, value: &str, terms: &mut Vec<u64>) {
        match (self.names.as_slice(), name) {
            ([_], "type") => {
                self.has_type = true;
                terms.push(term(Kind::Type, value));
                if let (Some((first, _)), Some((_, last))) = (value.split_once('-'), value.rsplit_once('-')) {
                    terms.push(term(Kind::FirstWord, first));
                    terms.push(term(Kind::LastWord, last));
                }
            }
            ([_], "source") => {
                self.has_source = true;
                terms.push(term(Kind::Source, value));
            }
            ([_], "user") => terms.push(term(Kind::User, value)),
            ([_, "session", "location"], "country") => terms.push(term(Kind::Country, value)),
            ([_, "actor"], "kind") | ([_, "repeated", _], "actor") => terms.push(term(Kind::Actor, value)),
            ([_, "actor"], "jid") => {
                terms.push(term(Kind::Actor, value));
                terms.extend(value.split_once('/').map(|(bare, _)| term(Kind::Actor, bare)));
            }
            ([_, "repeated", _], "network") => add_network(value, terms),
            ([_, "repeated", _], "name-hash") => terms.push(term(Kind::Name, value)),
            _ => {}
        }
    }
}

/// What a filter asks for: lists of terms. An entry that the filter admits has a term of each list.
#[must_use]
pub fn wanted(filter: &Filter) -> Vec<Vec<u64>> {
    let words = |kind: Kind, patterns: &[Pattern]| all_of(patterns, |pattern| pattern.word().map(|word| term(kind, word)));
    let global = filter.global.map(|global| vec![term(if global { Kind::Global } else { Kind::Personal }, "")]);
    let lists = [
        all_of(&filter.types, type_term),
        words(Kind::Source, &filter.sources),
        words(Kind::Client, &filter.clients),
        words(Kind::Country, &filter.countries),
        words(Kind::Actor, &filter.actors),
        users(filter),
        networks(filter),
        global,
    ];
    lists.into_iter().flatten().collect()
}

/// A term for each pattern. Returns `None` if there are no patterns, or one has no term.
fn all_of(patterns: &[Pattern], term_of: impl Fn(&Pattern) -> Option<u64>) -> Option<Vec<u64>> {
    patterns.iter().map(term_of).collect::<Option<Vec<_>>>().filter(|terms| !terms.is_empty())
}

/// The term that all types have which a pattern matches.
fn type_term(pattern: &Pattern) -> Option<u64> {
    if let Some(word) = pattern.word() {
        return Some(term(Kind::Type, word));
    }
    let first = pattern.pieces().next().and_then(|piece| piece.split_once('-')).map(|(first, _)| term(Kind::FirstWord, first));
    let last = || pattern.pieces().last().and_then(|piece| piece.rsplit_once('-')).map(|(_, last)| term(Kind::LastWord, last));
    first.or_else(last)
}

fn users(filter: &Filter) -> Option<Vec<u64>> {
    let mut terms = all_of(&filter.users, |pattern| pattern.word().map(|word| term(Kind::User, word)))?;
    // The community's first module stored localparts.
    let end = format!("@{}", filter.host.to_lowercase());
    let locals = filter.users.iter().filter_map(|pattern| pattern.word()?.strip_suffix(&end));
    terms.extend(locals.map(|local| term(Kind::User, local)));
    terms.push(term(Kind::Several, ""));
    terms.extend(filter.names.iter().map(|hash| term(Kind::Name, hash)));
    Some(terms)
}

fn networks(filter: &Filter) -> Option<Vec<u64>> {
    let mut terms: Vec<u64> = filter.addresses.iter().map(|hash| term(Kind::Address, hash)).collect();
    for asked in &filter.networks {
        let around: Vec<IpNet> = around(asked.trunc()).collect();
        // Of a network that is larger than all in the lists, there is no term.
        terms.push(around.last().filter(|network| network.prefix_len() > 0).map(|network| network_term(Kind::Network, *network))?);
        terms.extend(around.into_iter().map(|network| network_term(Kind::Large, network)));
    }
    Some(terms).filter(|terms| !terms.is_empty())
}

/// Whether a text, which is in lower case, may be in an element. `false` is certain.
#[must_use]
pub fn may_have_text(element: &[u8], text: &str) -> bool {
    let Ok(written) = std::str::from_utf8(element) else { return true };
    text.bytes().any(|byte| (1..=SEPARATOR).contains(&byte)) || written.to_lowercase().contains(text) || has_split_text(element)
}

/// Whether an element has more than one text. They are one for a filter.
fn has_split_text(element: &[u8]) -> bool {
    let (mut depths, mut is_split) = (Vec::new(), false);
    for part in Parts::from(element, 0) {
        match part {
            Part::Open(_) => depths.push(false),
            Part::Text(_) => is_split = is_split || depths.last_mut().is_some_and(|has_text| std::mem::replace(has_text, true)),
            Part::Close => drop(depths.pop()),
            Part::Attribute(..) => {}
        }
    }
    is_split
}
