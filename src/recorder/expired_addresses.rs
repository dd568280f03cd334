//! What is left of an entry when its addresses have expired. Every storage driver's entries are rewritten here.

use std::collections::BTreeSet;

use super::Recorder;
use crate::address::{Policy, replaced};
use crate::chain::link::{Cut, Link};
use crate::entry::canon::removal::without;
use crate::entry::canon::{CHAIN, Draft};
use crate::entry::payload::{self, Part, Parts};
use crate::entry::personal::{ADDRESS_ATTRIBUTES, ADDRESS_ELEMENTS, Aspect, Group, HASH_ELEMENTS, TEXT_ATTRIBUTES, TEXT_ELEMENT};
use crate::redact::HIDDEN;

impl Recorder {
    /// The element of an entry of a class, without what the class does not keep of addresses that have expired. Returns `None` if the
    /// element is damaged.
    #[must_use]
    pub fn without_addresses(&self, host: &str, class: &str, element: &[u8]) -> Option<Vec<u8>> {
        let expiry = self.settings(host).retention.rules(class).addresses_expire;
        without_addresses(element, expiry.map_or(Policy::None, |expiry| expiry.to))
    }
}

/// An element with `to` applied to each address.
fn without_addresses(element: &[u8], to: Policy) -> Option<Vec<u8>> {
    without_linked_addresses(element, to).or_else(|| narrowed(element, to))
}

/// The same for an element with a link of a chain. Returns `None` if it has no link that can be read.
fn without_linked_addresses(element: &[u8], to: Policy) -> Option<Vec<u8>> {
    /// The time of a payload, which does not matter here.
    const TIME: &[u8] = b"0\0";
    if !has_chain(element) {
        return None;
    }
    let entry = [TIME, element].concat();
    let (link, canon) = Link::read(Draft::of_payload(&entry)?).ok()?;
    // If less is to be left than the link has foreseen, networks can't stay.
    let goes_further = leaves_less(to, link.cut);
    let removed: BTreeSet<Group> = canon.to_remove(|group| match group {
        Group::Person(_, Aspect::Address) => true,
        Group::Person(_, Aspect::Network) => goes_further,
        _ => false,
    });
    if removed.is_empty() {
        return Some(element.to_vec());
    }
    let left = link.without(&canon, &removed);
    let written = without(&entry, &removed, |text| link.cut.narrow(text), |entry| left.write(entry))?;
    written.get(TIME.len()..).map(<[u8]>::to_vec)
}

fn has_chain(element: &[u8]) -> bool {
    Parts::from(element, 0).any(|part| part == Part::Open(CHAIN))
}

fn leaves_less(to: Policy, foreseen: Cut) -> bool {
    match to {
        Policy::Full => false,
        Policy::Prefix { ipv4, ipv6 } => ipv4 < foreseen.ipv4 || ipv6 < foreseen.ipv6,
        Policy::Hash | Policy::None => true,
    }
}

/// An element that is being written again.
struct Open<'a> {
    name: &'a str,
    /// Where it begins in what was written.
    begin: usize,
    kind: Kind,
}

enum Kind {
    /// All of it stays, but for addresses in it.
    Plain,
    /// Its text is an address: the text so far, and whether it has elements, too.
    Address(String, bool),
    /// It is left out.
    Gone,
}

fn narrowed(element: &[u8], to: Policy) -> Option<Vec<u8>> {
    let mut written = Vec::with_capacity(element.len());
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut parts = Parts::from(element, 0);
    for part in parts.by_ref() {
        if open.is_empty() && !(written.is_empty() && matches!(part, Part::Open(_))) {
            return None;
        }
        match part {
            Part::Open(name) => {
                let kind = match open.last_mut() {
                    None => Kind::Plain,
                    Some(Open { kind: Kind::Gone, .. }) => Kind::Gone,
                    Some(Open { kind: Kind::Address(_, has_elements), .. }) => {
                        *has_elements = true;
                        Kind::Gone
                    }
                    Some(_) if HASH_ELEMENTS.contains(&name) => Kind::Gone,
                    Some(_) if ADDRESS_ELEMENTS.contains(&name) => Kind::Address(String::new(), false),
                    Some(_) => Kind::Plain,
                };
                let is_written = !matches!(kind, Kind::Gone);
                open.push(Open { name, begin: written.len(), kind });
                if is_written {
                    payload::open(&mut written, name.as_bytes());
                }
            }
            Part::Attribute(name, value) => {
                let element = open.last()?;
                if matches!(element.kind, Kind::Gone) {
                    continue;
                }
                let left = if ADDRESS_ATTRIBUTES.contains(&name) {
                    to.narrow(value)
                } else if TEXT_ATTRIBUTES.contains(&name) && element.name == TEXT_ELEMENT {
                    Some(replaced(value, |address| to.narrow(address).unwrap_or_else(|| HIDDEN.to_owned())))
                } else {
                    payload::attribute(&mut written, name.as_bytes(), value.as_bytes());
                    continue;
                };
                if let Some(left) = left {
                    payload::attribute(&mut written, name.as_bytes(), left.as_bytes());
                }
            }
            Part::Text(text) => match &mut open.last_mut()?.kind {
                Kind::Plain => payload::text(&mut written, text.as_bytes()),
                Kind::Address(address, _) => address.push_str(text),
                Kind::Gone => {}
            },
            Part::Close => {
                let Open { begin, kind, .. } = open.pop()?;
                match kind {
                    Kind::Plain => payload::close(&mut written),
                    Kind::Address(address, false) => match to.narrow(&address) {
                        Some(left) => {
                            payload::text(&mut written, left.as_bytes());
                            payload::close(&mut written);
                        }
                        None => written.truncate(begin),
                    },
                    Kind::Address(_, true) => written.truncate(begin),
                    Kind::Gone => {}
                }
            }
        }
    }
    (parts.is_at_end() && open.is_empty() && !written.is_empty()).then_some(written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::hash::{Bytes, Hash};
    use crate::chain::head::Head;
    use crate::chain::link::Chain;
    use crate::entry::element;
    use crate::entry::event::{self, Root};
    use crate::entry::text::TextKind;

    #[derive(Clone, Debug, PartialEq)]
    struct Tree {
        name: String,
        attributes: Vec<(String, String)>,
        children: Vec<Result<Tree, String>>,
    }

    fn bytes_of(tree: &Tree, bytes: &mut Vec<u8>) {
        payload::open(bytes, tree.name.as_bytes());
        for (name, value) in &tree.attributes {
            payload::attribute(bytes, name.as_bytes(), value.as_bytes());
        }
        for child in &tree.children {
            match child {
                Ok(child) => bytes_of(child, bytes),
                Err(text) => payload::text(bytes, text.as_bytes()),
            }
        }
        payload::close(bytes);
    }

    /// The same, as simple as possible. Returns `None` if nothing is left of an element.
    fn naive(tree: &Tree, is_root: bool, to: Policy) -> Option<Tree> {
        let is_in = |names: &[&str], name: &str| names.contains(&name);
        if !is_root && is_in(HASH_ELEMENTS, &tree.name) {
            return None;
        }
        let attribute = |(name, value): &(String, String)| {
            let left = if is_in(ADDRESS_ATTRIBUTES, name) {
                to.narrow(value)?
            } else if is_in(TEXT_ATTRIBUTES, name) && tree.name == TEXT_ELEMENT {
                replaced(value, |address| to.narrow(address).unwrap_or_else(|| "***".to_owned()))
            } else {
                value.clone()
            };
            Some((name.clone(), left))
        };
        let attributes = tree.attributes.iter().filter_map(attribute).collect();
        let children = if !is_root && is_in(ADDRESS_ELEMENTS, &tree.name) {
            let texts: Option<String> = tree.children.iter().map(|child| child.as_ref().err().cloned()).collect();
            vec![Err(to.narrow(&texts?)?)]
        } else {
            let child = |child: &Result<Tree, String>| match child {
                Ok(child) => naive(child, false, to).map(Ok),
                Err(text) => Some(Err(text.clone())),
            };
            tree.children.iter().filter_map(child).collect()
        };
        Some(Tree { name: tree.name.clone(), attributes, children })
    }

    fn policies() -> [Policy; 3] {
        [Policy::new(Some(24), Some(48)), Policy::new(Some(8), None), Policy::None]
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let names = ["audit-event", "session", "remote-ip", "ip-hash", "query", "sample", "note"];
        let attributes = ["ip", "network", "remote-ip", "address", "filter", "file", "user", "urn:x\u{6}ip", "xmlns"];
        let texts = ["203.0.113.7", "2001:db8::5", "203.0.0.0/16", "--ip=203.0.113.7 x", "", "no address", "203.0."];
        let text = move || prop::sample::select(texts.to_vec()).prop_map(str::to_owned);
        let name = move || prop::sample::select(names.to_vec()).prop_map(str::to_owned);
        let attributes = move || {
            let name = prop::sample::select(attributes.to_vec()).prop_map(str::to_owned);
            prop::collection::vec((name, text()), 0..4)
        };
        let leaf = (name(), attributes(), prop::collection::vec(text(), 0..3)).prop_map(|(name, attributes, texts)| Tree {
            name,
            attributes,
            children: texts.into_iter().map(Err).collect(),
        });
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let child = prop_oneof![3 => inner.prop_map(Ok), 1 => text().prop_map(Err)];
            (name(), attributes(), prop::collection::vec(child, 0..4)).prop_map(|(name, attributes, children)| Tree {
                name,
                attributes,
                children,
            })
        })
    }

    proptest! {
        #[test]
        fn of_each_address_what_the_class_says_is_left_and_all_else_stays(tree in tree(), policy in 0..3_usize) {
            let to = policies()[policy];
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            bytes_of(&tree, &mut bytes);
            bytes_of(&naive(&tree, true, to).unwrap(), &mut expected);
            let once = without_addresses(&bytes, to);
            prop_assert_eq!(once.as_deref(), Some(expected.as_slice()));
            prop_assert_eq!(without_addresses(&expected, to), once, "it changes nothing more");
        }

        #[test]
        fn what_is_damaged_is_refused(tree in tree(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            bytes_of(&tree, &mut bytes);
            let end = cut.index(bytes.len());
            prop_assert_eq!(without_addresses(&bytes[..end], Policy::None), None);
            prop_assert_eq!(without_addresses(&[bytes.as_slice(), &bytes].concat(), Policy::None), None);
        }
    }

    fn hash_of(entry: &[u8], previous: &Hash) -> (Hash, Link) {
        let payload = [b"0\0", entry].concat();
        let (link, canon) = Link::read(Draft::of_payload(&payload).unwrap()).unwrap();
        (link.follows(previous, &link.leaf("example.com", "events", &canon).unwrap()), link)
    }

    #[test]
    fn a_link_still_verifies_after_addresses_have_gone() {
        let chain = Chain { host: "example.com".to_owned(), class: "events".to_owned(), id: Bytes([1; 16]) };
        let head = Head::new(chain, Bytes([2; 16]));
        let previous = *head.hash();
        let mut entry = Vec::new();
        event::begin(&mut entry, 1.0, &Root { id: b"7", source: b"mod_test", kind: b"test", user: Some(b"a@example.com"), occurred: None });
        event::open(&mut entry, b"session");
        event::leaf(&mut entry, b"remote-ip", b"203.0.113.80", TextKind::Attribute);
        event::open(&mut entry, b"location");
        event::attribute(&mut entry, b"country", b"DE");
        payload::close(&mut entry);
        payload::close(&mut entry);
        event::open(&mut entry, b"query");
        event::attribute(&mut entry, b"filter", b"--ip=203.0.113.81 --limit=5");
        payload::close(&mut entry);
        let link = head.next(1000, Cut::default(), Bytes([3; 16]), Draft::of_payload(&entry).unwrap());
        link.write(&mut entry);
        event::end(&mut entry);
        let entry = &entry[payload::begin_of(&entry)..];
        assert_eq!(hash_of(entry, &previous).0, link.hash);

        let foreseen = Policy::prefix(Some(link.cut.ipv4), Some(link.cut.ipv6));
        for (to, address, filter, country) in [
            (Policy::Full, Some("203.0.113.0/24"), "--ip=203.0.113.0/24 --limit=5", true),
            (foreseen, Some("203.0.113.0/24"), "--ip=203.0.113.0/24 --limit=5", true),
            (Policy::prefix(Some(8), Some(8)), None, "", false),
            (Policy::None, None, "", false),
        ] {
            let left = without_addresses(entry, to).unwrap();
            let xml = element::to_xml(&left).unwrap();
            assert!(!xml.contains("203.0.113.8"), "{to:?} {xml}");
            assert_eq!(xml.contains("DE"), country, "{to:?} {xml}");
            assert_eq!(address.is_some_and(|address| xml.contains(&format!(">{address}<"))), address.is_some(), "{to:?} {xml}");
            assert!(xml.contains(filter), "{to:?} {xml}");
            let (hash, after) = hash_of(&left, &previous);
            assert_eq!((hash, after.hash), (link.hash, link.hash), "{to:?}");
            assert_eq!(without_addresses(&left, to).as_ref(), Some(&left), "{to:?}: it changes nothing more");
            assert_ne!(after.cover, link.cover);
        }
    }
}
