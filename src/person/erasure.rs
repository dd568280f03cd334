//! The erasure of a person's data from the log of one host: which entries change, and how many did. Or the erasure of what was erased
//! before, and is there again as the store was restored from a backup: that needs no name.

use std::collections::BTreeMap;

use super::erase::{Acted, Left, erased, without_groups};
use crate::chain::chains::link_in;
use crate::chain::erased::{Erased, Gone};
use crate::entry::limits::HOST_WIDE;
use crate::entry::payload;
use crate::entry::personal::{Aspect, Group, Role};
use crate::filter::hold::Hold;
use crate::filter::person::Person;

/// An erasure.
#[derive(Clone, Debug)]
pub struct Erasure {
    host: String,
    what: What,
    /// Only entries that were stored before this time, in UNIX seconds.
    before: f64,
    /// And those that lie under a later time than this one, in UNIX seconds: the clock was set back since.
    beyond: f64,
    receipt: String,
    hold: Hold,
    /// What was removed since it was taken.
    done: Gone,
    totals: BTreeMap<(String, String), u64>,
    held: u64,
    kept: u64,
}

/// What is erased.
#[derive(Clone, Debug)]
enum What {
    /// What tells of a person.
    Person(Person, Acted),
    /// What was erased before.
    Again(Erased),
}

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It stays as it is.
    Stays,
    /// It is replaced.
    Changes {
        /// The entry, as a payload.
        payload: Vec<u8>,
        /// The account under which it is stored then. `None` if that stays.
        with: Option<&'static str>,
    },
}

/// How many entries of one class and type have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The class.
    pub class: String,
    /// The event type.
    pub kind: String,
    /// How many.
    pub count: u64,
}

impl Erasure {
    /// An erasure from the log of `host`, of entries that were stored before `before`.
    #[must_use]
    pub fn new(host: &str, person: Person, before: f64, acted: Acted, receipt: &str, hold: Hold) -> Self {
        Self::of(host, What::Person(person, acted), before, receipt, hold)
    }

    /// The erasure of what was erased before from the log of `host`.
    #[must_use]
    pub fn again(host: &str, erased: Erased, receipt: &str, hold: Hold) -> Self {
        Self::of(host, What::Again(erased), f64::INFINITY, receipt, hold)
    }

    fn of(host: &str, what: What, before: f64, receipt: &str, hold: Hold) -> Self {
        let (host, receipt) = (host.to_owned(), receipt.to_owned());
        Self { host, what, before, beyond: f64::INFINITY, receipt, hold, done: Gone::default(), totals: BTreeMap::new(), held: 0, kept: 0 }
    }

    /// Also from entries that lie under a later time than `now`, in UNIX seconds: they were stored before the clock was set back.
    #[must_use]
    pub const fn beyond(mut self, now: f64) -> Self {
        self.beyond = now;
        self
    }

    /// Looks at an entry of a class, stored at `when` under the account `with`.
    pub fn look(&mut self, class: &str, when: f64, with: &str, payload: &[u8]) -> Look {
        if when >= self.before && when <= self.beyond {
            return Look::Stays;
        }
        let Some((left, moved)) = self.left(with, payload) else { return Look::Stays };
        if self.hold.holds(&self.host, class, with, payload) {
            self.held = self.held.saturating_add(1);
            return Look::Stays;
        }
        if let Some((id, n, groups)) = left.as_ref().and_then(|left| left.linked.as_ref()) {
            self.done.add(*id, *n, groups);
        }
        let kind = payload::attribute_of(payload, "type").unwrap_or_default().to_owned();
        let total = self.totals.entry((class.to_owned(), kind)).or_default();
        *total = total.saturating_add(1);
        let with = moved.then_some(HOST_WIDE);
        Look::Changes { payload: left.map_or_else(|| payload.to_vec(), |left| left.payload), with }
    }

    /// What is left of an entry, if something is removed, and whether it becomes one of the whole host. Returns `None` if it stays.
    fn left(&mut self, with: &str, payload: &[u8]) -> Option<(Option<Left>, bool)> {
        let is_of_account = !with.is_empty() && with != HOST_WIDE;
        match &self.what {
            What::Person(person, acted) => {
                let occurrence = person.occurrence(&self.host, with, payload);
                if !occurrence.is_any() {
                    return None;
                }
                // Only the person's own entries are moved to the whole host.
                let is_moved = occurrence.account && is_of_account;
                let left = erased(payload, &occurrence, *acted, &self.receipt);
                if left.is_none() && !is_moved {
                    if occurrence.is_acting() {
                        self.kept = self.kept.saturating_add(1);
                    }
                    return None;
                }
                Some((left, is_moved))
            }
            What::Again(known) => {
                let link = link_in(payload).ok()?;
                let groups = known.lacks(&link.id, link.n);
                let left = without_groups(payload, |group| groups.contains(&group), &self.receipt)?;
                Some((Some(left), is_of_account && groups.contains(&Group::Person(Role::Account, Aspect::Name))))
            }
        }
    }

    /// Takes what was removed from entries since the last call. It must be written down before they are changed.
    pub fn take_done(&mut self) -> Gone {
        std::mem::take(&mut self.done)
    }

    /// How many entries have changed, by class and type.
    #[must_use]
    pub fn totals(&self) -> Vec<Total> {
        self.totals.iter().map(|((class, kind), count)| Total { class: class.clone(), kind: kind.clone(), count: *count }).collect()
    }

    /// How many entries stay as they are kept for a legal procedure.
    #[must_use]
    pub const fn held(&self) -> u64 {
        self.held
    }

    /// How many entries stay as the person acted on somebody else.
    #[must_use]
    pub const fn kept(&self) -> u64 {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::element::of_xml;

    fn payload(xml: &str) -> Vec<u8> {
        [b"0\0".as_slice(), &of_xml(xml).unwrap()].concat()
    }

    fn romeo() -> Person {
        Person::new("romeo@example.com").unwrap()
    }

    #[test]
    fn entries_before_a_time_change_once_and_are_counted() {
        let mut erasure = Erasure::new("example.com", romeo(), 10.0, Acted::Stays, "R", Hold::default());
        let own = payload("<audit-event type='a' user='romeo@example.com'/>");
        let Look::Changes { payload: left, with } = erasure.look("events", 9.0, "romeo@example.com", &own) else { panic!() };
        assert_eq!(with, Some(HOST_WIDE));
        assert_eq!(erasure.look("events", 9.0, HOST_WIDE, &left), Look::Stays);
        assert_eq!(erasure.look("events", 10.0, "romeo@example.com", &own), Look::Stays);
        assert_eq!(erasure.look("events", 1.0, "juliet@example.com", &payload("<audit-event type='a'/>")), Look::Stays);
        // The community's modules wrote entries that name the account in the archive only.
        assert!(matches!(erasure.look("events", 1.0, "romeo", &payload("<audit-event type='b'/>")), Look::Changes { .. }));
        let admin = payload(
            "<audit-event type='user-deleted' user='x@example.com'><actor xmlns='xmpp:prosody.im/audit' jid='romeo@example.com'/></audit-event>",
        );
        assert_eq!(erasure.look("events", 1.0, "x@example.com", &admin), Look::Stays);
        let totals: Vec<_> = erasure.totals().into_iter().map(|total| (total.kind, total.count)).collect();
        assert_eq!((totals, erasure.kept(), erasure.held()), (vec![("a".to_owned(), 1), ("b".to_owned(), 1)], 1, 0));
    }

    /// The clock had been set back, and what was recorded before that stayed.
    #[test]
    fn entries_of_the_future_change_too_if_no_time_was_asked_for() {
        let own = payload("<audit-event type='a' user='romeo@example.com'/>");
        let erasure = || Erasure::new("example.com", romeo(), 10.0, Acted::Stays, "R", Hold::default());
        let changes = |mut erasure: Erasure, when| erasure.look("events", when, "romeo@example.com", &own) != Look::Stays;
        assert_eq!([9.0, 10.0, 99.0].map(|when| changes(erasure(), when)), [true, false, false]);
        assert_eq!([9.0, 10.0, 12.0, 99.0].map(|when| changes(erasure().beyond(12.0), when)), [true, false, false, true]);
    }

    /// A payload with a link, as the first of a chain.
    fn linked(xml: &str) -> Vec<u8> {
        use crate::chain::{chains::Chains, link::Cut, rules::Rule};
        let mut payload = payload(xml);
        let mut chains = Chains::new("example.com", std::rc::Rc::new(crate::random::OsRandom));
        chains.link("events", Cut::default(), Rule::default(), &mut payload).unwrap();
        payload
    }

    #[test]
    fn what_was_erased_is_erased_again_without_the_name() {
        let own = linked("<audit-event type='a' user='romeo@example.com'><note>romeo@example.com</note></audit-event>");
        let mut first = Erasure::new("example.com", romeo(), 10.0, Acted::Stays, "R", Hold::default());
        let Look::Changes { payload: left, .. } = first.look("events", 9.0, "romeo@example.com", &own) else { panic!() };
        let done = first.take_done();
        assert!(first.take_done().is_empty() && !done.is_empty());
        let mut erased = Erased::default();
        erased.confirm(done);
        let again = |hold: Hold| Erasure::again("example.com", erased.clone(), "S", hold);
        let mut second = again(Hold::default());
        let expected = Look::Changes { payload: left.clone(), with: Some(HOST_WIDE) };
        assert_eq!(second.look("events", 9.0, "romeo@example.com", &own), expected);
        // Once is enough, and other entries are not touched.
        assert_eq!(second.look("events", 9.0, HOST_WIDE, &left), Look::Stays);
        let other = linked("<audit-event type='a' user='romeo@example.com'/>");
        assert_eq!(second.look("events", 9.0, "romeo@example.com", &other), Look::Stays);
        assert_eq!(second.look("events", 9.0, "romeo@example.com", &payload("<audit-event user='romeo@example.com'/>")), Look::Stays);
        assert_eq!(second.totals(), [Total { class: "events".to_owned(), kind: "a".to_owned(), count: 1 }]);
        // What is held now stays.
        let mut held = again(Hold { people: vec![romeo()], classes: Vec::new() });
        assert_eq!((held.look("events", 9.0, "romeo@example.com", &own), held.held()), (Look::Stays, 1));
    }

    #[test]
    fn what_is_held_stays() {
        let hold = Hold { people: vec![romeo()], classes: Vec::new() };
        let mut erasure = Erasure::new("example.com", romeo(), 10.0, Acted::Goes, "R", hold);
        assert_eq!(erasure.look("events", 9.0, "romeo@example.com", &payload("<audit-event user='romeo@example.com'/>")), Look::Stays);
        assert_eq!((erasure.totals(), erasure.held()), (Vec::new(), 1));
    }
}
