//! What is remembered of the event types and addresses of a host, so that it isn't worked out at every event.

use std::collections::HashMap;

/// How many event types of a host are remembered. They come from code, but from anybody's.
const KINDS: usize = 256;
/// How many addresses are remembered for each class.
const ADDRESSES: usize = 1024;

/// What is remembered of a host. It is forgotten with the host's options.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kinds: HashMap<Vec<u8>, KnownType>,
    classes: Vec<Class>,
}

/// What is known of an event type.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownType {
    /// The place of its class.
    pub(super) class: usize,
    /// How flood control knows it; `None` in it if all its events are stored.
    pub(super) outcome: Option<usize>,
    /// Whether alerts want to know of its entries.
    pub(super) is_wanted: bool,
}

#[derive(Debug)]
struct Class {
    name: String,
    addresses: HashMap<Vec<u8>, Written>,
}

/// What is stored of an address, as parts of a payload.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// The elements of a session: the address or its hash, and then its place.
    pub(super) bytes: Vec<u8>,
    /// How many of these bytes are the address or its hash.
    pub(super) address: usize,
    /// Whether the peer's address was given in a form that can't be read.
    pub(super) is_unreadable: bool,
}

impl Cache {
    pub(super) fn kind(&self, kind: &[u8]) -> Option<KnownType> {
        self.kinds.get(kind).copied()
    }

    /// Takes note of an event type, of the class with that name.
    pub(super) fn set_kind(&mut self, kind: &[u8], class: &str, outcome: Option<usize>, is_wanted: bool) -> KnownType {
        let place = self.place(class);
        if self.kinds.len() >= KINDS {
            self.kinds.clear();
        }
        let known = KnownType { class: place, outcome, is_wanted };
        self.kinds.insert(kind.to_owned(), known);
        known
    }

    /// Forgets what is known of event types: alerts want other ones.
    pub(super) fn forget_kinds(&mut self) {
        self.kinds.clear();
    }

    /// The place of the class with that name.
    pub(super) fn place(&mut self, class: &str) -> usize {
        self.classes.iter().position(|known| known.name == class).unwrap_or_else(|| {
            self.classes.push(Class { name: class.to_owned(), addresses: HashMap::new() });
            self.classes.len().saturating_sub(1)
        })
    }

    /// The name of a class.
    pub(super) fn class(&self, class: usize) -> &str {
        self.classes.get(class).map_or("", |class| &class.name)
    }

    pub(super) fn address(&self, class: usize, ip: &[u8]) -> Option<&Written> {
        self.classes.get(class)?.addresses.get(ip)
    }

    pub(super) fn set_address(&mut self, class: usize, ip: &[u8], written: Written) {
        let Some(class) = self.classes.get_mut(class) else { return };
        if class.addresses.len() >= ADDRESSES {
            class.addresses.clear();
        }
        class.addresses.insert(ip.to_owned(), written);
    }

    /// Forgets what is stored of addresses: the key by which they are hashed is another one.
    pub(super) fn forget_addresses(&mut self) {
        self.classes.iter_mut().for_each(|class| class.addresses.clear());
    }
}
