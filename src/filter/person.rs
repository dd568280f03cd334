//! Somebody whose data is meant, and in which places an entry tells of them.

use std::collections::BTreeSet;

use crate::entry::limits::HOST_WIDE;
use crate::entry::names::Names;
use crate::entry::payload::{self, Part};

/// An account, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    jid: String,
    /// The localpart and the host of the JID.
    local: String,
    host: String,
    /// Keyed hashes of the name, which may be stored instead of it.
    hashes: Vec<String>,
    /// The name as flood control counts it, where it is hashed.
    aliases: Vec<String>,
}

/// In which places an entry tells of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occurrence {
    /// The event type.
    pub kind: String,
    /// It is about the account.
    pub account: bool,
    /// It is about another account.
    pub other_account: bool,
    /// The person did it.
    pub actor: bool,
    /// Somebody else did it.
    pub other_actor: bool,
    /// The samples of a summary that name the account, by number.
    pub samples: BTreeSet<u16>,
    /// The samples that say that the person acted on another account.
    pub acting_samples: BTreeSet<u16>,
    /// A text has the JID in it, or a set of names may have it.
    pub text: bool,
    /// It has a set of names.
    pub has_names: bool,
}

impl Occurrence {
    /// Whether the entry tells of the person at all.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.account || self.actor || self.text || !self.samples.is_empty() || !self.acting_samples.is_empty()
    }
}

impl Person {
    /// The account with this bare JID, as the server stores it. Returns `None` if it is no bare JID of an account.
    ///
    /// ```
    /// use audit_core::filter::person::Person;
    /// assert!(Person::new("romeo@example.com").is_some());
    /// assert!(Person::new("*@example.com").is_none() && Person::new("example.com").is_none());
    /// ```
    #[must_use]
    pub fn new(jid: &str) -> Option<Self> {
        let (local, host) = jid.rsplit_once('@')?;
        let is_plain = |part: &str| !part.is_empty() && !part.contains(['*', '/', '@']) && !part.chars().any(char::is_whitespace);
        (is_plain(local) && is_plain(host)).then(|| Self {
            jid: jid.to_lowercase(),
            local: local.to_lowercase(),
            host: host.to_lowercase(),
            ..Self::default()
        })
    }

    /// The same person, whose name may be stored as one of these hashes. `aliases` is how flood control counts it then.
    #[must_use]
    pub fn with_hashes(mut self, hashes: Vec<String>, aliases: Vec<String>) -> Self {
        (self.hashes, self.aliases) = (hashes, aliases);
        self
    }

    /// The bare JID.
    #[must_use]
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// The host of the account.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether a text has the name in it: the JID, or the localpart as a word.
    #[must_use]
    pub fn is_named_in(&self, text: &str) -> bool {
        has_word(text, &self.jid) || has_word(text, &self.local)
    }

    /// Whether a text is the person's JID, with or without a resource. In the log of the person's own host the localpart alone is
    /// enough: the community's first module stored that.
    fn is(&self, text: &str, log: &str) -> bool {
        let bare = text.split_once('/').map_or(text, |(bare, _)| bare).to_lowercase();
        bare == self.jid || log == self.host && bare == self.local
    }

    /// In which places an entry tells of the person. `log` is the host whose log has it, `with` the archive's account.
    #[must_use]
    pub fn occurrence(&self, log: &str, with: &str, payload: &[u8]) -> Occurrence {
        let mut found = Occurrence::default();
        let mut reading = Reading { person: self, log, found: &mut found, path: Vec::new(), sample: None, samples: 0, user: None };
        for part in payload::parts(payload) {
            reading.take(part);
        }
        let user = reading.user.or_else(|| Some(with).filter(|with| !with.is_empty() && *with != HOST_WIDE));
        let is_with = !with.is_empty() && with != HOST_WIDE && self.is(with, log);
        found.account = found.account || is_with || user.is_some_and(|user| self.is(user, log));
        found.other_account = !found.account && user.is_some();
        found
    }
}

/// Reads the parts of an entry.
struct Reading<'a, 'b> {
    person: &'b Person,
    log: &'b str,
    found: &'b mut Occurrence,
    path: Vec<&'a str>,
    /// The number of the sample that is open, and whom it names.
    sample: Option<(u16, Option<&'a str>, Option<&'a str>)>,
    samples: u16,
    user: Option<&'a str>,
}

impl<'a> Reading<'a, '_> {
    fn take(&mut self, part: Part<'a>) {
        match part {
            Part::Open(name) => {
                self.end_sample_if_at(3);
                self.path.push(payload::local(name));
                if matches!(self.path.as_slice(), [_, "repeated", "sample" | "often"]) {
                    self.sample = Some((self.samples, None, None));
                    self.samples = self.samples.saturating_add(1);
                }
                if matches!(self.path.as_slice(), [_, "repeated", "names"]) {
                    self.found.has_names = true;
                }
            }
            Part::Attribute(name, value) => self.attribute(name, value),
            Part::Text(text) => self.text(text),
            Part::Close => {
                self.end_sample_if_at(3);
                self.path.pop();
            }
        }
    }

    fn attribute(&mut self, name: &'a str, value: &'a str) {
        let person = self.person;
        match (self.path.as_slice(), payload::local(name)) {
            ([_], "type") => value.clone_into(&mut self.found.kind),
            ([_], "user") => self.user = Some(value).filter(|user| !user.is_empty()),
            ([_, "actor"], "jid") => {
                self.found.actor = person.is(value, self.log);
                self.found.other_actor = !self.found.actor && !value.is_empty();
            }
            ([_, "repeated", "sample" | "often"], "user") => self.in_sample(|sample| sample.1 = Some(value)),
            ([_, "repeated", "sample" | "often"], "actor") => self.in_sample(|sample| sample.2 = Some(value)),
            ([_, "repeated", "sample" | "often"], "name-hash") => {
                if person.hashes.iter().any(|hash| hash == value) {
                    let number = self.sample.map(|(number, ..)| number);
                    self.found.samples.extend(number);
                }
            }
            ([_, "query"], "filter") => self.found.text |= person.is_asked_for(value, self.log),
            (_, "xmlns") => {}
            _ => self.found.text |= has_word(value, &person.jid),
        }
    }

    fn text(&mut self, text: &str) {
        let person = self.person;
        match self.path.as_slice() {
            [_, "unknown-name"] => self.found.account |= person.hashes.iter().any(|hash| hash == text.trim()),
            [_, "repeated", "names"] => {
                let may_be = |names: &Names| {
                    let of_host = person.aliases.iter().map(|alias| format!("{alias}@{}", self.log));
                    names.may_contain(&person.jid)
                        || self.log == person.host && names.may_contain(&person.local)
                        || person.aliases.iter().cloned().chain(of_host).any(|alias| names.may_contain(&alias))
                };
                self.found.text |= Names::read(text).as_ref().is_some_and(may_be);
            }
            _ => self.found.text |= has_word(text, &person.jid),
        }
    }

    fn in_sample(&mut self, set: impl FnOnce(&mut (u16, Option<&'a str>, Option<&'a str>))) {
        if let Some(sample) = &mut self.sample {
            set(sample);
        }
    }

    /// Ends the sample that is open, if it is the element at this depth.
    fn end_sample_if_at(&mut self, depth: usize) {
        if self.path.len() != depth {
            return;
        }
        let Some((number, user, actor)) = self.sample.take() else { return };
        let is = |text: Option<&str>| text.is_some_and(|text| self.person.is(text, self.log));
        if is(user) || is(actor) && user.is_none() {
            self.found.samples.insert(number);
        } else if is(actor) {
            self.found.acting_samples.insert(number);
        }
    }
}

impl Person {
    /// Whether a reading asked for the person, by the flags that are stored of it.
    fn is_asked_for(&self, flags: &str, log: &str) -> bool {
        let users = flags.split(' ').filter_map(|flag| flag.strip_prefix("--user=").or_else(|| flag.strip_prefix("--actor=")));
        has_word(flags, &self.jid) || users.flat_map(|users| users.split(',')).any(|user| self.is(user, log))
    }
}

/// Whether a text has a name in it that is not a part of a longer one. `name` is in lower case.
fn has_word(text: &str, name: &str) -> bool {
    // Most texts are short.
    if text.len() < name.len() {
        return false;
    }
    let text = text.to_lowercase();
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let mut behind = text.get(at.saturating_add(name.len())..).unwrap_or_default().chars();
        let (next, second) = (behind.next(), behind.next());
        let goes_on = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
        // A full stop may end a sentence.
        let is_longer = next.is_some_and(|next| goes_on(next) || next == '.' && second.is_some_and(goes_on));
        !is_longer && !before.is_some_and(|before| goes_on(before) || matches!(before, '.' | '+' | '%'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::element::of_xml;

    fn payload(xml: &str) -> Vec<u8> {
        [b"0\0".as_slice(), &of_xml(xml).unwrap()].concat()
    }

    fn romeo() -> Person {
        Person::new("romeo@example.com").unwrap().with_hashes(vec!["h4sh".to_owned()], vec!["@k:h4sh:5".to_owned()])
    }

    fn occurrence(with: &str, xml: &str) -> Occurrence {
        romeo().occurrence("example.com", with, &payload(xml))
    }

    #[test]
    fn a_person_is_one_account() {
        for wrong in ["", "romeo", "@example.com", "romeo@", "*@example.com", "rom*@example.com", "romeo@*", "a b@example.com", "a@b@c"] {
            assert_eq!(Person::new(wrong), None, "{wrong}");
        }
        assert_eq!(Person::new("Romeo@Example.com").unwrap().jid(), "romeo@example.com");
    }

    #[test]
    fn an_entry_tells_of_its_account_and_its_actor() {
        for (with, xml, account, other_account, actor) in [
            ("romeo@example.com", "<audit-event user='romeo@example.com'/>", true, false, false),
            ("@", "<audit-event user='Romeo@example.com'/>", true, false, false),
            ("romeo@example.com", "<audit-event/>", true, false, false),
            ("romeo", "<audit-event/>", true, false, false),
            ("juliet", "<audit-event/>", false, true, false),
            ("@", "<audit-event/>", false, false, false),
            (
                "juliet@example.com",
                "<audit-event user='juliet@example.com'><actor jid='romeo@example.com/x'/></audit-event>",
                false,
                true,
                true,
            ),
            ("@", "<audit-event><actor jid='romeo'/></audit-event>", false, false, true),
            ("@", "<audit-event><actor jid='romeo@example.org'/></audit-event>", false, false, false),
            ("@", "<audit-event><unknown-name>h4sh</unknown-name></audit-event>", true, false, false),
        ] {
            let found = occurrence(with, xml);
            assert_eq!((found.account, found.other_account, found.actor), (account, other_account, actor), "{with} {xml}");
        }
        let elsewhere = romeo().occurrence("rooms.example.com", "romeo", &payload("<audit-event user='romeo'/>"));
        assert!(!elsewhere.is_any() && elsewhere.other_account, "a localpart is a name on its own host only");
    }

    #[test]
    fn a_summary_tells_of_whom_its_samples_name() {
        let xml = "<audit-event><repeated><sample user='juliet@example.com'/><often user='romeo@example.com' count='3'/>\
            <sample name-hash='h4sh'/><sample user='x@y' actor='romeo@example.com/z'/><sample actor='romeo'/></repeated></audit-event>";
        let found = occurrence("@", xml);
        assert_eq!((found.samples, found.acting_samples), ([1, 2, 4].into(), [3].into()));
        let mut names = Names::default();
        names.insert("romeo@example.com");
        let xml = format!("<audit-event><repeated><names>{}</names></repeated></audit-event>", names.written().unwrap());
        assert!(occurrence("@", &xml).text);
        let mut names = Names::default();
        names.insert("juliet@example.com");
        let xml = format!("<audit-event><repeated><names>{}</names></repeated></audit-event>", names.written().unwrap());
        assert!(!occurrence("@", &xml).is_any());
    }

    #[test]
    fn a_text_tells_of_a_jid_that_is_not_part_of_a_longer_one() {
        for (text, found) in [
            ("user:delete(\"romeo@example.com\")", true),
            ("Romeo@Example.com/phone wrote.", true),
            ("by romeo@example.com.", true),
            ("xromeo@example.com", false),
            ("a.romeo@example.com", false),
            ("romeo@example.com.evil.org", false),
            ("romeo@example.community", false),
            ("romeo", false),
        ] {
            let xml = format!("<audit-event><command>{}</command></audit-event>", text.replace('"', "&quot;"));
            assert_eq!(occurrence("@", &xml).text, found, "{text}");
            let xml = format!("<audit-event><disabled by=\"{}\"/></audit-event>", text.replace('"', "&quot;"));
            assert_eq!(occurrence("@", &xml).text, found, "{text}");
        }
        for (filter, found) in [("--user=juliet,romeo --limit=5", true), ("--actor=romeo@example.com", true), ("--user=rom*", false)] {
            assert_eq!(occurrence("@", &format!("<audit-event><query filter='{filter}'/></audit-event>")).text, found, "{filter}");
        }
    }
}
