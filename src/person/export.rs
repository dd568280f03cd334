//! What a person is shown of an entry: all that tells of them, and nothing of others.

use std::borrow::Cow;

use crate::NAMESPACE;
use crate::chain::link::Cut;
use crate::entry::canon::Draft;
use crate::entry::canon::removal::without;
use crate::entry::payload::{self, Part};
use crate::entry::personal::{Group, Role};
use crate::entry::{Row, StoredEvent};
use crate::filter::person::{Occurrence, Person};
use crate::person::Acted;
use crate::redact::HIDDEN;

/// The event without the data of others. An element `<withheld/>` says what was left out. Returns `None` if the entry does not tell of
/// the person, or is damaged. `log` is the host whose log has it.
#[must_use]
pub fn shown(event: &StoredEvent, person: &Person, log: &str) -> Option<StoredEvent> {
    let row =
        Row { when: event.stored, with: event.user.clone(), xml: event.xml.clone(), element: event.element.clone(), ..Row::default() };
    let with = event.user.as_deref().unwrap_or_default();
    let payload = row.payload()?;
    let occurrence = person.occurrence(log, with, &payload);
    if !occurrence.is_any() {
        return None;
    }
    let left = of_person(&payload, &occurrence, person)?;
    let element = left.get(payload::begin_of(&left)..)?.to_vec();
    let with = row.with.filter(|_| occurrence.account);
    let read = StoredEvent::read(&Row { with, xml: String::new(), element, key: row.key, when: row.when }).ok()?;
    Some(StoredEvent { class: event.class.clone(), mention: event.mention.clone(), ..read })
}

fn of_person(payload: &[u8], occurrence: &Occurrence, person: &Person) -> Option<Vec<u8>> {
    let canon = Draft::of_payload(payload)?.finish(|text| Cut::default().narrow(text));
    // A text may be about others if the person only acted, or is one of several.
    let text_stays = !occurrence.has_names && (occurrence.account || occurrence.text || occurrence.actor && !occurrence.other_account);
    let removed = canon.to_remove(|group| match group {
        Group::Text => !text_stays,
        Group::Person(..) => {
            let acts_there = matches!(group.role(), Some(Role::Sample(number)) if occurrence.acting_samples.contains(&number));
            !occurrence.is_of(group, Acted::Goes) || acts_there
        }
    });
    let left = without(payload, &removed, |text| Cut::default().narrow(text), |written| mark(written, removed.iter()))?;
    Some(without_others(&left, person))
}

fn mark<'a>(written: &mut Vec<u8>, removed: impl Iterator<Item = &'a Group>) {
    let (mut account, mut actor, mut samples, mut text) = (false, false, false, false);
    for group in removed {
        match group.role() {
            Some(Role::Account) => account = true,
            Some(Role::Actor) => actor = true,
            Some(Role::Sample(_)) => samples = true,
            None => text = true,
        }
    }
    let said = [("account", account), ("actor", actor), ("samples", samples), ("text", text)];
    if said.iter().any(|(_, is)| *is) {
        payload::open(written, b"withheld");
        payload::attribute(written, b"xmlns", NAMESPACE.as_bytes());
        for (name, _) in said.iter().filter(|(_, is)| *is) {
            payload::attribute(written, name.as_bytes(), b"true");
        }
        payload::close(written);
    }
}

/// The entry with the names of other accounts hidden in all values.
fn without_others(payload: &[u8], person: &Person) -> Vec<u8> {
    let mut written = payload.get(..payload::begin_of(payload)).unwrap_or_default().to_vec();
    for part in payload::parts(payload) {
        match part {
            Part::Open(name) => payload::open(&mut written, name.as_bytes()),
            Part::Attribute(name @ "xmlns", value) => payload::attribute(&mut written, name.as_bytes(), value.as_bytes()),
            Part::Attribute(name, value) => payload::attribute(&mut written, name.as_bytes(), hidden(value, person).as_bytes()),
            Part::Text(text) => payload::text(&mut written, hidden(text, person).as_bytes()),
            Part::Close => payload::close(&mut written),
        }
    }
    written
}

/// A text in which the JIDs of others are hidden.
fn hidden<'a>(text: &'a str, person: &Person) -> Cow<'a, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let ends = |letter: char| letter.is_whitespace() || "\"'<>(),;=&|[]{}".contains(letter);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(ends).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let bare = word.split_once('/').map_or(word, |(bare, _)| bare);
        let is_own = bare.trim_end_matches(['.', ':', '!', '?']).eq_ignore_ascii_case(person.jid());
        shown.push_str(if word.contains('@') && !is_own { HIDDEN } else { word });
        let mut letters = behind.chars();
        shown.extend(letters.next());
        rest = letters.as_str();
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_to_romeo(with: &str, xml: &str) -> Option<String> {
        let row = Row { with: Some(with.to_owned()), xml: xml.to_owned(), ..Row::default() };
        let event = StoredEvent::read(&row).unwrap();
        let shown = shown(&event, &Person::new("romeo@example.com").unwrap(), "example.com")?;
        Some(shown.xml().replace(" xmlns='xmpp:prosody.im/audit'", ""))
    }

    #[test]
    fn the_data_of_others_are_withheld_and_marked() {
        let xml = "<audit-event type='user-disabled' user='romeo@example.com'>\
            <session xmlns='xmpp:prosody.im/audit'><remote-ip>192.0.2.1</remote-ip></session>\
            <actor xmlns='xmpp:prosody.im/audit' kind='adhoc' jid='nurse@example.com/x'><remote-ip>192.0.2.2</remote-ip></actor>\
            <disabled xmlns='xmpp:prosody.im/audit' when='w'><comment>romeo@example.com hit tybalt@example.com.</comment></disabled></audit-event>";
        let expected = "<audit-event type='user-disabled' user='romeo@example.com'><session><remote-ip>192.0.2.1</remote-ip></session>\
            <actor kind='adhoc'/><disabled when='w'><comment>romeo@example.com hit ***</comment></disabled><withheld actor='true'/></audit-event>";
        assert_eq!(shown_to_romeo("romeo@example.com", xml).as_deref(), Some(expected));
    }

    #[test]
    fn who_acted_is_shown_that_but_not_on_whom() {
        let xml = "<audit-event type='room-role-changed' user='juliet@example.com'>\
            <actor xmlns='xmpp:prosody.im/audit' kind='user' jid='romeo@example.com/x'/><room xmlns='xmpp:prosody.im/audit' jid='r@m'/></audit-event>";
        let expected = "<audit-event type='room-role-changed'><actor kind='user' jid='romeo@example.com/x'/>\
            <withheld account='true' text='true'/></audit-event>";
        assert_eq!(shown_to_romeo("juliet@example.com", xml).as_deref(), Some(expected));
    }

    #[test]
    fn of_a_summary_the_own_sample_is_shown() {
        let sample = |user: &str| format!("<sample user='{user}@example.com' network='192.0.2.0/24' condition='c'/>");
        let xml = format!(
            "<audit-event type='t'><repeated xmlns='xmpp:prosody.im/audit' count='2'>{}{}</repeated></audit-event>",
            sample("romeo"),
            sample("juliet")
        );
        let expected = format!(
            "<audit-event type='t'><repeated count='2'>{}<sample condition='c'/></repeated><withheld samples='true'/></audit-event>",
            sample("romeo")
        );
        assert_eq!(shown_to_romeo("@", &xml), Some(expected));
        assert_eq!(shown_to_romeo("@", &xml.replace("romeo", "tybalt")), None);
    }
}
