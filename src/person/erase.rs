//! An entry without what it says of a person.

use std::collections::BTreeSet;

use crate::NAMESPACE;
use crate::catalogue::{Cause, find};
use crate::chain::hash::Nonce;
use crate::chain::link::{Cut, Link};
use crate::entry::canon::removal::without;
use crate::entry::canon::{Canon, Draft};
use crate::entry::payload;
use crate::entry::personal::{Group, Role};
use crate::filter::person::Occurrence;

/// What happens to what a person did to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// The entry says who did it.
    Stays,
    /// It is erased too.
    Goes,
}

/// The module whose entries tell what administrators did.
const ADMINISTRATION: &str = "mod_audit_admin";

impl Occurrence {
    /// Whether the person acted on somebody else, or on the server.
    #[must_use]
    pub fn is_acting(&self) -> bool {
        let event = find(&self.kind);
        let administers =
            event.is_some_and(|event| matches!(event.cause, Cause::Administrator | Cause::Moderator) || event.module == ADMINISTRATION);
        self.actor && !self.account && (self.other_account || administers)
    }

    /// Whether what it says of somebody in this role, or in this group, tells of the person.
    pub(super) fn is_of(&self, group: Group, acted: Acted) -> bool {
        let acts = self.actor && (acted == Acted::Goes || !self.is_acting());
        match group.role() {
            // The session is that of the actor if the entry concerns no account.
            Some(Role::Account) => self.account || acts && !self.other_account,
            Some(Role::Actor) => acts,
            Some(Role::Sample(number)) => self.samples.contains(&number) || acted == Acted::Goes && self.acting_samples.contains(&number),
            None => self.account || acts || self.text && !self.is_acting(),
        }
    }
}

/// What is left of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The entry, as a payload.
    pub payload: Vec<u8>,
    /// Its chain, its number there, and the groups that were removed. `None` if it has no link.
    pub linked: Option<(Nonce, u64, BTreeSet<Group>)>,
}

/// The entry without what it says of the person, who occurs in it as `occurrence` says. Its link stays valid. An entry without a link
/// gets the element `<erased/>`. Returns `None` if there is nothing to remove, or the payload is damaged.
#[must_use]
pub fn erased(payload: &[u8], occurrence: &Occurrence, acted: Acted, receipt: &str) -> Option<Left> {
    without_groups(payload, |group| occurrence.is_of(group, acted), receipt)
}

/// The entry without the groups that are chosen, in the same way.
pub(super) fn without_groups(payload: &[u8], is_chosen: impl Fn(Group) -> bool, receipt: &str) -> Option<Left> {
    let draft = Draft::of_payload(payload)?;
    let to_remove = |canon: &Canon| canon.to_remove(&is_chosen);
    let read = if draft.chain().is_some() { Link::read(draft.clone()).ok() } else { None };
    let Some((link, canon)) = read else {
        let canon = draft.finish(|text| Cut::default().narrow(text));
        let removed = to_remove(&canon);
        let payload = remove(payload, &removed, Cut::default(), |written| mark(written, receipt))?;
        return Some(Left { payload, linked: None });
    };
    let removed = to_remove(&canon);
    let linked = link.without(&canon, &removed);
    let payload = remove(payload, &removed, link.cut, |written| linked.write(written))?;
    Some(Left { payload, linked: Some((link.id, link.n, removed)) })
}

fn remove(payload: &[u8], removed: &BTreeSet<Group>, cut: Cut, add: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    if removed.is_empty() {
        return None;
    }
    without(payload, removed, |text| cut.narrow(text), add)
}

/// Says that something was erased, and by which erasure.
fn mark(written: &mut Vec<u8>, receipt: &str) {
    payload::open(written, b"erased");
    payload::attribute(written, b"xmlns", NAMESPACE.as_bytes());
    payload::attribute(written, b"receipt", receipt.as_bytes());
    payload::close(written);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::element::{of_xml, to_xml};
    use crate::filter::person::Person;

    fn without_romeo(acted: Acted, with: &str, xml: &str) -> Option<String> {
        let payload = [b"0\0".as_slice(), &of_xml(xml).unwrap()].concat();
        let occurrence = Person::new("romeo@example.com").unwrap().occurrence("example.com", with, &payload);
        let left = erased(&payload, &occurrence, acted, "R-1")?.payload;
        Some(to_xml(&left[2..]).unwrap().replace(" xmlns='xmpp:prosody.im/audit'", ""))
    }

    fn entry(attributes: &str, inner: &str) -> String {
        let inner = inner.replace("/>", " xmlns='xmpp:prosody.im/audit'/>").replace("<session>", "<session xmlns='xmpp:prosody.im/audit'>");
        format!("<audit-event source='m' type='t'{attributes}>{inner}</audit-event>")
    }

    #[test]
    fn what_tells_of_the_account_goes_and_all_else_stays() {
        let xml = "<audit-event source='m' type='authentication-failure' user='romeo@example.com'>\
            <session xmlns='xmpp:prosody.im/audit' id='c2s1' type='c2s'><remote-ip>192.0.2.1</remote-ip><location country='DE'>Germany</location></session>\
            <actor xmlns='xmpp:prosody.im/audit' kind='user' jid='nurse@example.com'><remote-ip>192.0.2.2</remote-ip></actor>\
            <authentication xmlns='xmpp:prosody.im/audit' mechanism='PLAIN'>It is wrong.</authentication></audit-event>";
        let left = "<audit-event source='m' type='authentication-failure'><session type='c2s'/>\
            <actor kind='user' jid='nurse@example.com'><remote-ip>192.0.2.2</remote-ip></actor><authentication mechanism='PLAIN'/>\
            <erased receipt='R-1'/></audit-event>";
        assert_eq!(without_romeo(Acted::Stays, "romeo@example.com", xml).as_deref(), Some(left));
        assert_eq!(without_romeo(Acted::Stays, "juliet@example.com", &xml.replace("romeo", "juliet")), None);
    }

    #[test]
    fn who_acted_on_somebody_else_stays_unless_that_is_to_go() {
        let xml = "<audit-event source='m' type='room-affiliation-changed' user='juliet@example.com'>\
            <actor xmlns='xmpp:prosody.im/audit' kind='user' jid='romeo@example.com/x'/><room xmlns='xmpp:prosody.im/audit' jid='r@m'/></audit-event>";
        assert_eq!(without_romeo(Acted::Stays, "juliet@example.com", xml), None);
        let left = "<audit-event source='m' type='room-affiliation-changed' user='juliet@example.com'><actor kind='user'/><erased receipt='R-1'/></audit-event>";
        assert_eq!(without_romeo(Acted::Goes, "juliet@example.com", xml).as_deref(), Some(left));
        // What the person did alone is not about somebody else.
        let own = xml.replace(" user='juliet@example.com'", "").replace("room-affiliation-changed", "room-created");
        let left = "<audit-event source='m' type='room-created'><actor kind='user'/><erased receipt='R-1'/></audit-event>";
        assert_eq!(without_romeo(Acted::Stays, "@", &own).as_deref(), Some(left));
        // An administrator acts on the server.
        let command = own.replace("room-created", "shell-command");
        assert_eq!(without_romeo(Acted::Stays, "@", &command), None);
    }

    #[test]
    fn only_the_samples_of_the_person_go() {
        let sample = |user: &str| format!("<sample user='{user}@example.com' network='192.0.2.0/24' condition='c'/>");
        let xml = format!(
            "<audit-event type='t'><repeated xmlns='xmpp:prosody.im/audit' count='2'>{}{}</repeated></audit-event>",
            sample("romeo"),
            sample("juliet")
        );
        let left = format!(
            "<audit-event type='t'><repeated count='2'><sample condition='c'/>{}</repeated><erased receipt='R-1'/></audit-event>",
            sample("juliet")
        );
        assert_eq!(without_romeo(Acted::Stays, "@", &xml), Some(left));
    }

    #[test]
    fn an_entry_is_erased_once() {
        let xml = entry(" user='romeo@example.com'", "<note a='romeo@example.com'/>");
        let once = without_romeo(Acted::Stays, "romeo@example.com", &xml).unwrap();
        assert_eq!(once, "<audit-event source='m' type='t'><erased receipt='R-1'/></audit-event>");
        assert_eq!(without_romeo(Acted::Goes, "@", &once), None);
    }
}
