//! Writing the parts of an entry into the bytes that they belong to.

use std::borrow::Cow;

use super::bytes::{Name, Space, put_attribute, put_name, put_number, put_string, put_text, tag};
use super::prefixes::Prefixes;
use super::{Address, CHAIN, Canon, Draft};
use crate::entry::payload::{self, Part};
use crate::entry::personal::{ADDRESS_ATTRIBUTES, Aspect, Group, Known, ROOT, Role, Share, TEXT_ATTRIBUTES, TEXT_ELEMENT, Told, child_of};

/// The attribute that says when an event happened.
const OCCURRED: &str = "occurred";
/// The attribute that says which account it concerns.
const USER: &str = "user";

/// An element that was begun.
struct Frame<'a> {
    place: Place,
    /// The namespace of elements without a prefix.
    default: Space<'a>,
    /// How many public elements were begun before this one.
    number: u32,
    /// How many public children it has so far.
    children: u32,
    /// Which sample of a summary it is, or is in.
    role: Role,
}

/// Where the values of an element go.
#[derive(Clone, Copy)]
enum Place {
    /// Its parts differ.
    Parts(&'static Known),
    /// All of it is public.
    Public,
    /// All of it belongs to a group.
    Whole(Group),
    /// Its text is an address of this role.
    Address(Role),
    /// It is the evidence.
    Chain,
}

#[derive(Default)]
pub(super) struct Writer<'a> {
    pub(super) canon: Canon,
    addresses: Vec<Address>,
    open: Vec<Frame<'a>>,
    /// The name of an element that was begun and whose attributes are not known yet, and the namespace that it declares.
    start: Option<(Cow<'a, str>, Option<Space<'a>>)>,
    /// Its attributes. Namespaces are found when all are known.
    attributes: Vec<Attribute<'a>>,
    text: String,
    prefixes: Prefixes<'a>,
    /// How many public elements were begun.
    public: u32,
    samples: u16,
    /// The number of the part of a payload that is added, that began the element, and that began the text.
    part: usize,
    start_part: usize,
    text_part: usize,
    /// Which parts are not public, if that is wanted.
    pub(super) marks: Option<Vec<(usize, Mark)>>,
}

/// An attribute: its name, its value, and which part of a payload it is.
type Attribute<'a> = (Name<'a>, Cow<'a, str>, usize);

/// What a part of a payload is that is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// An attribute or a text of a group.
    Value(Group),
    /// The beginning of an element that is removed with its group.
    Element(Group),
    /// An attribute or a text that holds addresses of somebody, and the group of the element if that is removed whole.
    Address(Role, Option<Group>),
}

impl<'a> Writer<'a> {
    /// Adds all parts of a payload. Returns whether none was damaged.
    pub(super) fn add(&mut self, payload: &'a [u8]) -> bool {
        self.add_parts(payload::parts(payload))
    }

    /// Adds these parts. Returns whether none was damaged.
    pub(super) fn add_parts(&mut self, mut parts: payload::Parts<'a>) -> bool {
        for part in parts.by_ref() {
            match part {
                Part::Open(name) => self.begin(Cow::Borrowed(name)),
                Part::Attribute(name, value) => self.attribute(Cow::Borrowed(name), Cow::Borrowed(value)),
                Part::Text(text) => self.add_text(text),
                Part::Close => self.end(),
            }
            self.part = self.part.saturating_add(1);
        }
        parts.is_at_end()
    }

    pub(super) fn begin(&mut self, name: Cow<'a, str>) {
        self.flush();
        self.start = Some((name, None));
        self.start_part = self.part;
    }

    pub(super) fn attribute(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        let Some((_, declared)) = &mut self.start else { return };
        if name == "xmlns" {
            *declared = Some(Space::of(value));
        } else if let Some(prefix) = name.strip_prefix("xmlns:") {
            let depth = self.open.len().saturating_add(1);
            self.prefixes.declare(depth, Cow::Owned(prefix.to_owned()), value);
        } else if !value.is_empty() {
            self.attributes.push(((Space::None, name), value, self.part));
        }
    }

    pub(super) fn add_text(&mut self, text: &str) {
        self.flush_start();
        if self.text.is_empty() {
            self.text_part = self.part;
        }
        self.text.push_str(text);
    }

    pub(super) fn end(&mut self) {
        self.flush();
        let Some(frame) = self.open.pop() else { return };
        match frame.place {
            Place::Parts(_) | Place::Public => self.canon.public.push(tag::END),
            Place::Whole(group) => self.canon.group_mut(group).push(tag::END),
            Place::Address(_) | Place::Chain => {}
        }
        self.prefixes.forget_below(self.open.len());
    }

    /// Ends what is still open: when an entry is linked, its root is.
    pub(super) fn finish(mut self) -> Draft {
        self.flush();
        while !self.open.is_empty() {
            self.end();
        }
        Draft { canon: self.canon, addresses: self.addresses }
    }

    fn flush(&mut self) {
        self.flush_start();
        self.flush_text();
    }

    /// Writes the element that was begun, now that its attributes are known.
    fn flush_start(&mut self) {
        let Some((name, declared)) = self.start.take() else { return };
        self.flush_text();
        let inherited = || self.open.last().map_or(Space::None, |frame| frame.default.clone());
        let default = declared.unwrap_or_else(inherited);
        let (namespace, local) = self.prefixes.expanded(name, &default);
        let mut named = std::mem::take(&mut self.attributes);
        for (name, ..) in &mut named {
            let raw = std::mem::replace(&mut name.1, Cow::Borrowed(""));
            *name = self.prefixes.expanded(raw, &Space::None);
        }
        named.sort_unstable();
        let (place, role) = self.place_of(&namespace, &local);
        let frame = Frame { place, default, number: self.public, children: 0, role };
        let parent = self.open.last().map_or((0, 0), |parent| (parent.number, parent.children));
        match place {
            Place::Chain => {
                let own = |((_, name), value, _): Attribute<'_>| (name.into_owned(), value.into_owned());
                self.canon.chain = Some(named.drain(..).map(own).collect());
            }
            Place::Address(role) => {
                let group = Group::Person(role, Aspect::Network);
                self.mark(self.start_part, Mark::Element(group));
                for (name, value, _) in named.drain(..) {
                    let values = self.canon.group_mut(group);
                    values.push(tag::ATTRIBUTE);
                    put_number(values, parent.0);
                    put_attribute(values, &name.0, &name.1, &value);
                }
            }
            Place::Parts(known) => {
                self.count_public();
                let shared = |name: &Name<'_>| if name.0.is_other() { known.rest } else { known.attribute(&name.1) };
                self.write_element(&namespace, &local, &mut named, frame.number, role, shared);
            }
            Place::Public => {
                self.count_public();
                self.write_element(&namespace, &local, &mut named, frame.number, role, |_| Share::Public);
            }
            Place::Whole(group) => {
                let is_first = !matches!(self.open.last().map(|parent| parent.place), Some(Place::Whole(_)));
                let values = self.canon.group_mut(group);
                values.push(tag::ELEMENT);
                if is_first {
                    put_number(values, parent.0);
                    put_number(values, parent.1);
                }
                put_name(values, &namespace, &local);
                if is_first {
                    self.mark(self.start_part, Mark::Element(group));
                }
                for (name, value, part) in named.drain(..) {
                    if let Some(address) = address_name(&local, &name) {
                        self.mark(part, Mark::Address(role, Some(group)));
                        if !self.canon.nested.contains(&(group, role)) {
                            self.canon.nested.push((group, role));
                        }
                        self.put_address(role, Some(group), (parent.0, parent.1), address, value.into_owned());
                    } else {
                        put_attribute(self.canon.group_mut(group), &name.0, &name.1, &value);
                    }
                }
            }
        }
        // The memory is used again.
        self.attributes = named;
        self.open.push(frame);
    }

    /// Writes an element whose place is public, and its attributes into the groups that they belong to.
    fn write_element(
        &mut self,
        namespace: &Space<'_>,
        local: &str,
        attributes: &mut Vec<Attribute<'a>>,
        number: u32,
        role: Role,
        share: impl Fn(&Name<'_>) -> Share,
    ) {
        self.canon.public.push(tag::ELEMENT);
        put_name(&mut self.canon.public, namespace, local);
        let is_root = self.open.is_empty();
        for (name, value, part) in attributes.drain(..) {
            if is_root && name.1 == OCCURRED && !name.0.is_other() {
                self.canon.occurred = Some(value.into_owned());
                continue;
            }
            if is_root && name.1 == USER && name.0 == Space::None {
                self.canon.user = Some(value.clone().into_owned());
            }
            let group = group_of(share(&name), role);
            if let Some(address) = group.and_then(|_| address_name(local, &name)) {
                self.mark(part, Mark::Address(role, None));
                self.put_address(role, None, (number, 0), address, value.into_owned());
                continue;
            }
            let values = match group {
                None => &mut self.canon.public,
                Some(group) => {
                    self.mark(part, Mark::Value(group));
                    let values = self.canon.group_mut(group);
                    values.push(tag::ATTRIBUTE);
                    put_number(values, number);
                    values
                }
            };
            put_attribute(values, &name.0, &name.1, &value);
        }
    }

    /// Keeps an address until it is known what will be left of it.
    fn put_address(
        &mut self,
        role: Role,
        within: Option<Group>,
        (number, position): (u32, u32),
        (space, name): (Space<'static>, &'static str),
        value: String,
    ) {
        self.addresses.push(Address { role, within, number, position, space, name, value });
    }

    fn flush_text(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.text);
        let Some(frame) = self.open.last() else { return };
        let (number, children, role) = (frame.number, frame.children, frame.role);
        match frame.place {
            Place::Chain => self.spoil_chain(),
            Place::Public => put_text(&mut self.canon.public, &text),
            Place::Whole(group) => put_text(self.canon.group_mut(group), &text),
            Place::Address(role) => {
                self.mark(self.text_part, Mark::Address(role, None));
                self.put_address(role, None, (number, children), (Space::Own, "remote-ip"), text.clone());
            }
            Place::Parts(known) => match group_of(known.rest, role) {
                None => put_text(&mut self.canon.public, &text),
                Some(group) => {
                    self.mark(self.text_part, Mark::Value(group));
                    let values = self.canon.group_mut(group);
                    values.push(tag::TEXT);
                    put_number(values, number);
                    put_number(values, children);
                    put_string(values, &text);
                }
            },
        }
        self.text = text;
        self.text.clear();
    }

    /// Notes what a part of a payload is.
    fn mark(&mut self, part: usize, mark: Mark) {
        if let Some(marks) = &mut self.marks {
            marks.push((part, mark));
        }
    }

    /// A link has attributes only. With anything else it is none.
    fn spoil_chain(&mut self) {
        if let Some(chain) = &mut self.canon.chain {
            chain.push((String::new(), String::new()));
        }
    }

    /// A public element is begun: it is a child of the one that is open.
    fn count_public(&mut self) {
        self.public = self.public.saturating_add(1);
        if let Some(parent) = self.open.last_mut() {
            parent.children = parent.children.saturating_add(1);
        }
    }

    /// Where the values of the element go that is being begun, and whom they tell of.
    fn place_of(&mut self, namespace: &Space<'_>, local: &str) -> (Place, Role) {
        let Some(parent) = self.open.last() else { return (Place::Parts(&ROOT), Role::Account) };
        let role = parent.role;
        let known = match parent.place {
            Place::Parts(known) => known,
            Place::Address(role) => return (Place::Whole(Group::Person(role, Aspect::Network)), role),
            Place::Chain => {
                self.spoil_chain();
                return (Place::Chain, role);
            }
            other => return (other, role),
        };
        if *namespace != Space::Own {
            return (place_of_rest(known.rest, role), role);
        }
        let is_child_of_root = known.path.is_empty();
        if is_child_of_root && local == CHAIN && self.canon.chain.is_none() {
            return (Place::Chain, role);
        }
        match child_of(known, local) {
            Told::Parts(child) => {
                let role = match child.path {
                    ["actor"] => Role::Actor,
                    ["repeated", "sample" | "often"] => {
                        let number = self.samples;
                        self.samples = number.saturating_add(1);
                        Role::Sample(number)
                    }
                    _ => role,
                };
                (Place::Parts(child), role)
            }
            Told::Whole(aspect) => (Place::Whole(Group::Person(role, aspect)), role),
            Told::Address => (Place::Address(role), role),
            Told::Unknown => (place_of_rest(known.rest, role), role),
        }
    }
}

/// The name of an attribute that holds an address, or text with addresses in it. Returns `None` if it does not.
fn address_name(element: &str, (space, name): &Name<'_>) -> Option<(Space<'static>, &'static str)> {
    let space = match space {
        Space::None => Space::None,
        Space::Own => Space::Own,
        Space::Other(_) => return None,
    };
    let texts = if element == TEXT_ELEMENT { TEXT_ATTRIBUTES } else { &[] };
    let known = ADDRESS_ATTRIBUTES.iter().chain(texts).find(|known| *known == name)?;
    Some((space, known))
}

/// The group of a value. Returns `None` if it is public.
fn group_of(share: Share, role: Role) -> Option<Group> {
    match share {
        Share::Public => None,
        Share::Of(aspect) => Some(Group::Person(role, aspect)),
        Share::Text => Some(Group::Text),
    }
}

fn place_of_rest(share: Share, role: Role) -> Place {
    group_of(share, role).map_or(Place::Public, Place::Whole)
}
