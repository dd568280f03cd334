//! Linking entries: the chain of an entry, and where the chains of each host are.

use std::cell::RefCell;
use std::rc::Rc;

use crate::address::Policy;
use crate::archive::retention::Rules;
use crate::chain::chains::{Chains, Linked, Progress, milliseconds};
use crate::chain::link::Cut;
use crate::chain::rules::Rule;
use crate::entry::payload::time_of;
use crate::recorder::Recorder;
use crate::time::period::Period;

impl Recorder {
    /// The chains of a host. They are kept as long as the recorder, also if the host is configured again.
    pub fn chains(&mut self, host: &str) -> Rc<RefCell<Chains>> {
        let random = &self.random;
        let chains = self.chains.entry(host.to_owned());
        Rc::clone(chains.or_insert_with(|| Rc::new(RefCell::new(Chains::new(host, Rc::clone(random))))))
    }

    /// How far the chains of a host have got, if this process knows them.
    #[must_use]
    pub fn progress(&self, host: &str) -> Vec<Progress> {
        self.chains.get(host).map(|chains| chains.borrow().progress().collect()).unwrap_or_default()
    }

    /// Adds its link to an entry. It counts when [`advance`](Self::advance) is called. Returns `None` if it gets none: the host has no
    /// journal in this process, or its option says so, or the entry has one.
    pub fn link(&mut self, host: &str, kind: &[u8], payload: &mut Vec<u8>) -> Option<Linked> {
        let Self { hosts, chains, .. } = self;
        let (known, chains) = (hosts.get(host)?, chains.get(host)?);
        if !known.settings.chain {
            chains.borrow_mut().end(milliseconds(time_of(payload)?));
            return None;
        }
        let retention = &known.settings.retention;
        let class = match known.cache.kind(kind) {
            Some(found) => known.cache.class(found.class),
            None => retention.class_of(&String::from_utf8_lossy(kind)),
        };
        let rules = retention.rules(class);
        chains.borrow_mut().link(class, cut_of(rules), rule_of(rules), payload)
    }

    /// An entry that was linked has been written.
    pub fn advance(&mut self, host: &str, linked: &Linked) {
        if let Some(chains) = self.chains.get(host) {
            chains.borrow_mut().advance(linked);
        }
    }

    /// The same for an entry that is only in memory.
    pub fn advance_in_memory(&mut self, host: &str, linked: &Linked) {
        if let Some(chains) = self.chains.get(host) {
            chains.borrow_mut().advance_in_memory(linked);
        }
    }

    /// An entry that may have a link is lost, see [`Chains::lose`].
    pub fn lose_link(&mut self, host: &str, payload: &[u8]) {
        if let Some(chains) = self.chains.get(host) {
            chains.borrow_mut().lose(payload);
        }
    }

    /// Whether a chain was begun that the journal does not know yet, see [`Chains::take_news`].
    #[must_use]
    pub fn take_new_chain(&mut self, host: &str) -> bool {
        self.chains.get(host).is_some_and(|chains| chains.borrow_mut().take_news())
    }

    /// The journal can't be written now, so it does not know the chain yet.
    pub fn keep_new_chain(&mut self, host: &str) {
        if let Some(chains) = self.chains.get(host) {
            chains.borrow_mut().keep_news();
        }
    }
}

/// When entries of a class may be removed.
fn rule_of(rules: &Rules) -> Rule {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates.
    let expires = match rules.expires_after {
        Period::Seconds(seconds) => Some(seconds.max(0.0) as u64),
        Period::Never => None,
    };
    Rule { expires, limit: rules.limit }
}

/// What will be left of the addresses of a class when they expire.
fn cut_of(rules: &Rules) -> Cut {
    match rules.addresses_expire.map_or(rules.addresses, |expiry| expiry.to) {
        Policy::Prefix { ipv4, ipv6 } => Cut { ipv4, ipv6 },
        _ => Cut::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::chains::link_in;
    use crate::entry::details::Details;
    use crate::options::Settings;
    use crate::recorder::entries::{Event, Time};

    const TIME: Time = Time { at: 1_795_521_600.25, now: 7.0 };

    fn recorded(recorder: &mut Recorder, kind: &[u8]) -> Option<u64> {
        let (event, mut payload) = (Event { kind: Some(kind), ..Event::default() }, Vec::new());
        recorder.entry("example.com", &event, &mut Details::default(), TIME, false, &mut payload).unwrap();
        let linked = recorder.link("example.com", kind, &mut payload)?;
        recorder.advance("example.com", &linked);
        Some(link_in(&payload).unwrap().n)
    }

    #[test]
    fn entries_of_each_class_are_numbered() {
        let mut recorder = Recorder::default();
        recorder.configure("example.com", Settings::default(), None);
        assert_eq!(recorded(&mut recorder, b"user-registered"), None, "the host has no journal");
        recorder.chains("example.com");
        let kinds: [&[u8]; 4] = [b"user-registered", b"authentication-failure", b"new-client", b"authentication-failure"];
        assert_eq!(kinds.map(|kind| recorded(&mut recorder, kind)), [Some(1), Some(1), Some(2), Some(2)]);
        assert!(recorder.take_new_chain("example.com") && !recorder.take_new_chain("example.com"));
        recorder.configure("example.com", Settings { chain: false, ..Settings::default() }, None);
        assert_eq!(recorded(&mut recorder, b"new-client"), None);
        recorder.configure("example.com", Settings::default(), None);
        assert_eq!(recorded(&mut recorder, b"new-client"), Some(1), "a chain of its own");
    }
}
