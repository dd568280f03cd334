//! Which entries are wanted.

pub mod beginning;
pub mod hold;
pub mod pattern;
pub mod person;
pub mod position;
#[cfg(feature = "storage")]
pub mod shape;
pub mod terms;

use ipnet::IpNet;

use crate::address;
use crate::catalogue::is_housekeeping;
use crate::entry::limits::HOST_WIDE;
use crate::entry::xml::{Element, Node};
use crate::entry::{Mention, Row, StoredEvent};
use crate::filter::beginning::Beginning;
use crate::filter::pattern::Pattern;
use crate::filter::person::Person;
use crate::time::day;

/// Which entries are wanted. An entry is wanted if each field that is not empty has a value that matches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Events from this time on, in UNIX seconds.
    pub since: Option<f64>,
    /// Events before this time, in UNIX seconds.
    pub until: Option<f64>,
    /// Event types.
    pub types: Vec<Pattern>,
    /// Event types that may be shown at all. Empty if all may.
    pub shown_types: Vec<Pattern>,
    /// Event types that are not wanted.
    pub excluded_types: Vec<Pattern>,
    /// Whether entries about the upkeep of the log are hidden, unless `types` names them. See [`hides`](Self::hides).
    pub hides_housekeeping: bool,
    /// Accounts, as bare JIDs.
    pub users: Vec<Pattern>,
    /// The host whose log it is. The first version of the community's module stored localparts only, which this completes.
    pub host: String,
    /// Networks. An address is a network of one address. A stored network matches if it overlaps.
    pub networks: Vec<IpNet>,
    /// Keyed hashes of addresses, which may be stored instead of the addresses.
    pub addresses: Vec<String>,
    /// Keyed hashes of the names of `users`, which may be stored instead of names without an account.
    pub names: Vec<String>,
    /// The same names as flood control counts them. The set of names of a summary has these.
    pub aliases: Vec<String>,
    /// The modules that recorded the entry.
    pub sources: Vec<Pattern>,
    /// Clients.
    pub clients: Vec<Pattern>,
    /// Countries, as codes of two letters.
    pub countries: Vec<Pattern>,
    /// Actors: JIDs, or kinds of actors.
    pub actors: Vec<Pattern>,
    /// Retention classes.
    pub classes: Vec<Pattern>,
    /// A text anywhere in the entry, in lower case.
    pub text: Option<String>,
    /// `Some(true)`: only events of the whole host. `Some(false)`: none of them.
    pub global: Option<bool>,
    /// Only entries about the account that has the name now.
    pub begins: Option<Beginning>,
    /// Only entries that tell of this person, in any place.
    pub person: Option<Person>,
}

impl Filter {
    /// The values of `with` that wanted entries have in the archive. Returns `None` if they may have any.
    ///
    /// A summary of several accounts is stored for the whole host, and may include the account that is asked for.
    #[must_use]
    pub fn withs(&self) -> Option<Vec<&str>> {
        let user = if let [user] = self.users.as_slice() { user.word() } else { None };
        match (self.users.as_slice(), self.global, user) {
            (_, Some(true), _) => Some(vec![HOST_WIDE]),
            (_, Some(false), Some(user)) => Some(vec![user]),
            (_, None, Some(user)) => Some(vec![user, HOST_WIDE]),
            _ => None,
        }
    }

    /// Whether entries of this class are wanted.
    #[must_use]
    pub fn wants_class(&self, class: &str) -> bool {
        matches_any(&self.classes, class)
    }

    /// Whether a row may be wanted, as far as it shows without parsing. This sorts out most rows of a narrow query.
    pub(crate) fn may_admit(&self, row: &Row) -> bool {
        let with = row.with.as_deref().unwrap_or_default();
        let host_wide = with.is_empty() || with == HOST_WIDE;
        let named = || self.names.iter().any(|hash| row.contains(hash));
        let may_name = || host_wide && row.contains("repeated") || named();
        let user = self.users.is_empty() || with.is_empty() || self.is_of_user(with) || may_name();
        let may_be_written = |piece: &str| !is_plain(piece) || row.contains(piece);
        let written = |patterns: &[Pattern]| patterns.is_empty() || patterns.iter().any(|pattern| may_be_written(pattern.longest_piece()));
        user && self.global.is_none_or(|global| global == host_wide) && written(&self.types) && written(&self.sources)
    }

    /// Whether an entry is wanted.
    #[must_use]
    pub fn admits(&self, row: &Row, event: &StoredEvent) -> bool {
        let time = position(event.time, row.when);
        let host_wide = row.with.as_deref().is_none_or(|with| with.is_empty() || with == HOST_WIDE);
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
            && self.begins.as_ref().is_none_or(|begins| begins.admits(row, event))
            && self.global.is_none_or(|global| global == host_wide)
            && matches_any(&self.types, &event.kind)
            && matches_any(&self.shown_types, &event.kind)
            && !self.excluded_types.iter().any(|pattern| pattern.matches(&event.kind))
            && (self.concerns(event) || self.is_of_name(event))
            && matches_any(&self.sources, &event.source)
            && has_match(&self.clients, event.client.as_deref())
            && has_match(&self.countries, event.country.as_deref())
            && self.is_of_address(event)
            && self.is_of_actor(event)
            && self.person.as_ref().is_none_or(|person| self.tells_of(person, row))
            && self.text.as_ref().is_none_or(|text| row.tree().is_ok_and(|entry| has_text(&entry, text)))
    }

    /// Whether an entry of this type is hidden, although it is wanted otherwise: it tells of the upkeep of the log, and was not asked
    /// for. Such entries are counted, so that the reader knows of them.
    #[must_use]
    pub fn hides(&self, event_type: &str) -> bool {
        self.hides_housekeeping && self.types.is_empty() && is_housekeeping(event_type)
    }

    fn tells_of(&self, person: &Person, row: &Row) -> bool {
        let with = row.with.as_deref().unwrap_or_default();
        row.payload().is_some_and(|payload| person.occurrence(&self.host, with, &payload).is_any())
    }

    fn concerns(&self, event: &StoredEvent) -> bool {
        self.users.is_empty() || event.user.as_deref().is_some_and(|user| self.is_of_user(user)) || self.mention(event).is_some()
    }

    /// What a summary of several accounts says about the accounts that are asked for.
    pub(crate) fn mention(&self, event: &StoredEvent) -> Option<Mention> {
        if self.users.is_empty() || event.repeated.is_none() || event.user.is_some() {
            return None;
        }
        let exact = if let [user] = self.users.as_slice() { user.word() } else { None };
        // The community's first module stored localparts.
        let local = exact.and_then(|user| user.strip_suffix(self.host.as_str())?.strip_suffix('@'));
        // Flood control counts a name without an account by its alias, alone or as a JID of the host.
        let of_host: Vec<String> = self.aliases.iter().map(|alias| format!("{alias}@{}", self.host)).collect();
        let aliases = self.aliases.iter().chain(&of_host).map(String::as_str);
        let exact: Vec<&str> = exact.into_iter().chain(local).chain(aliases.filter(|_| exact.is_some())).collect();
        event.mention_of(&exact, |user| self.is_of_user(user))
    }

    fn is_of_user(&self, user: &str) -> bool {
        if user.contains('@') || user == self.host {
            matches_any(&self.users, user)
        } else {
            matches_any(&self.users, &format!("{user}@{}", self.host))
        }
    }

    /// Whether an entry, or a sample in a summary, has the hash of a wanted name.
    fn is_of_name(&self, event: &StoredEvent) -> bool {
        let is_wanted = |hash: &str| self.names.iter().any(|wanted| wanted == hash);
        let samples = event.repeated.iter().flat_map(|repeated| &repeated.samples);
        event.details.iter().filter(|detail| detail.name == "unknown-name").any(|detail| is_wanted(detail.text().trim()))
            || samples.filter_map(|sample| sample.attribute("name-hash")).any(is_wanted)
    }

    fn is_of_address(&self, event: &StoredEvent) -> bool {
        let is_hash = |stored: &str| self.addresses.iter().any(|wanted| wanted == stored);
        let overlaps = |stored: &str| {
            network(stored).is_some_and(|stored| self.networks.iter().any(|wanted| wanted.contains(&stored) || stored.contains(wanted)))
        };
        let actor = event.actor.as_ref().and_then(|actor| actor.ip.as_deref());
        // A summary of several networks names some of them.
        let named = event.repeated.iter().flat_map(|repeated| &repeated.samples).filter_map(|sample| sample.attribute("network"));
        let nothing_asked = self.networks.is_empty() && self.addresses.is_empty();
        nothing_asked
            || event.ip_hash.as_deref().is_some_and(is_hash)
            || [event.ip.as_deref(), actor].into_iter().flatten().chain(named).any(overlaps)
    }

    fn is_of_actor(&self, event: &StoredEvent) -> bool {
        let named = event.repeated.iter().flat_map(|repeated| &repeated.samples).filter_map(|sample| sample.attribute("actor"));
        self.actors.is_empty()
            || named.into_iter().any(|actor| matches_any(&self.actors, actor))
            || event.actor.as_ref().is_some_and(|actor| {
                let jid = actor.jid.as_deref();
                let bare = jid.and_then(|jid| jid.split_once('/')).map(|(bare, _)| bare);
                [Some(actor.kind.as_str()), jid, bare].into_iter().flatten().any(|value| matches_any(&self.actors, value))
            })
    }
}

/// The time that `since` and `until` are compared with. It is when the event happened, unless it was recorded on another day (UTC):
/// only the partitions of the days asked for are read.
#[must_use]
pub fn position(happened: f64, recorded: f64) -> f64 {
    if happened <= recorded && day(happened) == day(recorded) { happened } else { recorded }
}

/// An address or a network as text: `203.0.113.80`, `2001:db8::/32`. An IPv4-mapped address is the IPv4 one.
#[must_use]
pub fn network(text: &str) -> Option<IpNet> {
    match text.split_once('/') {
        None => address::parse(text).map(IpNet::from),
        Some(_) => text.parse::<IpNet>().ok().map(|network| network.trunc()),
    }
}

fn matches_any(patterns: &[Pattern], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
}

fn has_match(patterns: &[Pattern], text: Option<&str>) -> bool {
    patterns.is_empty() || text.is_some_and(|text| matches_any(patterns, text))
}

/// Whether a text is the same in XML, without escaping.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_'))
}

/// Whether `text`, which is in lower case, is in a name, value or text of an element.
fn has_text(element: &Element, text: &str) -> bool {
    let found = |value: &str| value.to_lowercase().contains(text);
    found(&element.name)
        || element.attributes.iter().any(|(name, value)| found(name) || found(value))
        || found(&element.text())
        || element.children.iter().any(|child| matches!(child, Node::Element(child) if has_text(child, text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: f64 = 1_795_521_600.0;

    fn patterns(list: &[&str]) -> Vec<Pattern> {
        list.iter().map(|text| Pattern::new(text)).collect()
    }

    fn networks(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|text| network(text).unwrap()).collect()
    }

    fn row() -> Row {
        let xml = "<audit-event source='mod_audit_auth' type='authentication-failure' user='juliet@example.com'>\
            <session id='c2s5' type='c2s'><remote-ip>203.0.113.0/24</remote-ip><ip-hash key='k1'>0a1b</ip-hash><location country='IT' continent='EU'>Italy</location>\
            <client>phone-1</client></session><actor kind='user' jid='nurse@example.com/desk'><remote-ip>198.51.100.7</remote-ip></actor>\
            <authentication mechanism='PLAIN'>Caf&#xE9; &amp; Cr&#xe8;me</authentication></audit-event>";
        Row { key: "k".to_owned(), when: NOON, with: Some("juliet@example.com".to_owned()), xml: xml.to_owned(), ..Row::default() }
    }

    fn admits(filter: &Filter, row: &Row) -> bool {
        let admitted = filter.admits(row, &StoredEvent::read(row).unwrap());
        assert!(!admitted || filter.may_admit(row), "{filter:?}");
        admitted
    }

    #[test]
    fn each_field_must_fit() {
        let host = || Filter { host: "example.com".to_owned(), ..Filter::default() };
        for (filter, wanted) in [
            (host(), true),
            (Filter { since: Some(NOON), until: Some(NOON + 1.0), ..host() }, true),
            (Filter { since: Some(NOON + 0.5), ..host() }, false),
            (Filter { until: Some(NOON), ..host() }, false),
            (Filter { types: patterns(&["new-client", "authentication-*"]), ..host() }, true),
            (Filter { types: patterns(&["authentication"]), ..host() }, false),
            (Filter { excluded_types: patterns(&["audit-*", "user-*"]), ..host() }, true),
            (Filter { excluded_types: patterns(&["user-*", "*-failure"]), ..host() }, false),
            (Filter { types: patterns(&["authentication-*"]), excluded_types: patterns(&["*-failure"]), ..host() }, false),
            (Filter { users: patterns(&["juliet@example.com"]), ..host() }, true),
            (Filter { users: patterns(&["romeo@example.com", "*t@example.com"]), ..host() }, true),
            (Filter { users: patterns(&["romeo@*"]), ..host() }, false),
            (Filter { networks: networks(&["203.0.113.80"]), ..host() }, true),
            (Filter { networks: networks(&["203.0.0.0/16"]), ..host() }, true),
            (Filter { networks: networks(&["203.0.112.80", "2001:db8::/32"]), ..host() }, false),
            (Filter { addresses: vec!["hash".to_owned()], networks: networks(&["::ffff:203.0.113.1"]), ..host() }, true),
            (Filter { addresses: vec!["hash".to_owned()], ..host() }, false),
            (Filter { addresses: vec!["0a1b".to_owned()], ..host() }, true),
            (Filter { networks: networks(&["198.51.100.7"]), ..host() }, true),
            (Filter { actors: patterns(&["nurse@example.com"]), ..host() }, true),
            (Filter { sources: patterns(&["mod_audit_auth"]), ..host() }, true),
            (Filter { sources: patterns(&["mod_audit"]), ..host() }, false),
            (Filter { clients: patterns(&["Phone-*"]), ..host() }, true),
            (Filter { clients: patterns(&["laptop"]), ..host() }, false),
            (Filter { countries: patterns(&["de", "it"]), ..host() }, true),
            (Filter { countries: patterns(&["de"]), ..host() }, false),
            (Filter { actors: patterns(&["nurse@*"]), ..host() }, true),
            (Filter { actors: patterns(&["user"]), ..host() }, true),
            (Filter { actors: patterns(&["juliet@*"]), ..host() }, false),
            (Filter { text: Some("plain".to_owned()), ..host() }, true),
            (Filter { text: Some("café & crème".to_owned()), ..host() }, true),
            (Filter { text: Some("c2s5".to_owned()), ..host() }, true),
            (Filter { text: Some("<session".to_owned()), ..host() }, false),
            (Filter { global: Some(true), ..host() }, false),
            (Filter { global: Some(false), ..host() }, true),
            (Filter { types: patterns(&["authentication-*"]), countries: patterns(&["de"]), ..host() }, false),
        ] {
            assert_eq!(admits(&filter, &row()), wanted, "{filter:?}");
        }
    }

    #[test]
    fn the_upkeep_of_the_log_is_hidden_unless_it_is_named() {
        let filter = |types: &[&str]| Filter { types: patterns(types), hides_housekeeping: true, ..Filter::default() };
        for (types, hidden) in [(&[][..], true), (&["audit-*"], false), (&["*"], false), (&["audit-queried", "user-*"], false)] {
            assert_eq!(filter(types).hides("audit-queried"), hidden, "{types:?}");
            assert!(!filter(types).hides("audit-options-changed") && !filter(types).hides("new-client"));
        }
        assert!(!Filter::default().hides("audit-queried"));
    }

    #[test]
    fn a_name_that_is_no_account_is_found_by_its_hash() {
        let names = |hash: &str| Filter { users: patterns(&["x@example.com"]), names: vec![hash.to_owned()], ..Filter::default() };
        let unknown = "<audit-event type='t'><unknown-name key='k1' length='1'>0a1b</unknown-name></audit-event>";
        let summary = "<audit-event type='t'><repeated count='2' accounts='1'><sample name-hash='0a1b'/></repeated></audit-event>";
        for xml in [unknown, summary] {
            let row = Row { with: Some("@".to_owned()), xml: xml.to_owned(), ..row() };
            assert!(admits(&names("0a1b"), &row) && !admits(&names("0a1c"), &row), "{xml}");
            assert!(!admits(&Filter { names: Vec::new(), ..names("") }, &row), "{xml}");
        }
        // Each of them is stored as an event of the whole host.
        assert_eq!(names("0a1b").withs(), Some(vec!["x@example.com", HOST_WIDE]));
    }

    #[test]
    fn an_entry_of_the_first_version_has_a_localpart_only() {
        let row = Row { with: Some("juliet".to_owned()), xml: "<audit-event type='t'/>".to_owned(), ..row() };
        let of = |user: &str| Filter { host: "example.com".to_owned(), users: patterns(&[user]), ..Filter::default() };
        assert!(admits(&of("juliet@example.com"), &row) && !admits(&of("juliet@example.net"), &row));
    }

    #[test]
    fn an_entry_without_a_field_matches_no_filter_of_it() {
        let row = Row { with: None, xml: "<audit-event type='t'/>".to_owned(), ..row() };
        for filter in [
            Filter { users: patterns(&["*"]), ..Filter::default() },
            Filter { networks: networks(&["0.0.0.0/0"]), ..Filter::default() },
            Filter { actors: patterns(&["*"]), ..Filter::default() },
            Filter { clients: patterns(&["*"]), ..Filter::default() },
            Filter { countries: patterns(&["*"]), ..Filter::default() },
        ] {
            assert!(!admits(&filter, &row), "{filter:?}");
        }
    }

    #[test]
    fn a_summary_may_be_about_an_account_that_it_does_not_name() {
        let mut names = crate::entry::names::Names::default();
        for n in 0..50 {
            names.insert(&format!("user{n}@example.com"));
        }
        let set = format!("<names>{}</names>", names.written().unwrap());
        let named = "<sample user='user1@example.com'/><often user='user2@example.com' count='40' exists='true'/>";
        let list = "<often user='user2@example.com' count='40'/><often user='user1@example.com' count='2'/>";
        let (certain, maybe, no) = (Some(true), Some(false), None);
        for (attributes, children, user, expected) in [
            ("accounts='50'", format!("{named}{set}"), "user2@example.com", certain),
            ("accounts='50'", format!("{named}{set}"), "user1@example.com", certain),
            ("accounts='50'", format!("{named}{set}"), "user1*", certain),
            ("accounts='50'", format!("{named}{set}"), "user7@example.com", maybe),
            ("accounts='50'", format!("{named}{set}"), "User7@example.com", maybe),
            ("accounts='50'", format!("{named}{set}"), "user7*", maybe),
            ("accounts='50'", format!("{named}{set}"), "romeo@example.net", no),
            ("accounts='50'", format!("{named}<names/>"), "romeo@example.net", maybe),
            ("accounts='50'", format!("{named}<names>?</names>"), "romeo@example.net", maybe),
            ("accounts='2'", list.to_owned(), "user2@example.com", certain),
            ("accounts='2'", list.to_owned(), "romeo@example.com", no),
            ("accounts='2'", list.to_owned(), "romeo*", no),
            ("accounts='2' distinct-at-least='true'", list.to_owned(), "romeo@example.com", maybe),
            // As versions before this one wrote them: a few examples.
            ("accounts='6'", list.to_owned(), "romeo@example.com", maybe),
            ("accounts='1'", "<sample user='a very long …'/>".to_owned(), "romeo@example.com", maybe),
            ("accounts='0'", String::new(), "romeo@example.com", no),
            ("", String::new(), "romeo@example.com", maybe),
        ] {
            let xml = format!("<audit-event type='t'><repeated count='90' {attributes}>{children}</repeated></audit-event>");
            let row = Row { with: Some("@".to_owned()), xml, ..row() };
            let filter = Filter { host: "example.com".to_owned(), users: patterns(&[user]), ..Filter::default() };
            assert_eq!(admits(&filter, &row), expected.is_some(), "{user} {}", row.xml);
            let mention = filter.mention(&StoredEvent::read(&row).unwrap());
            let certain = mention.map(|mention| matches!(mention, Mention::Named { .. }));
            assert_eq!(certain, expected, "{user} {}", row.xml);
            // Nobody is shown what is about others, where that is not asked for.
            assert!(!admits(&Filter { global: Some(false), ..filter }, &row));
        }
    }

    #[test]
    fn networks_and_actors_that_a_summary_names_are_found() {
        let xml = "<audit-event type='t'><repeated count='90' accounts='9'><sample network='203.0.113.0/24'/>\
            <often network='198.51.100.0/24' count='7'/><often actor='nurse@example.com' count='9'/></repeated></audit-event>";
        let row = Row { with: Some("@".to_owned()), xml: xml.to_owned(), ..row() };
        for (filter, wanted) in [
            (Filter { networks: networks(&["203.0.113.80"]), ..Filter::default() }, true),
            (Filter { networks: networks(&["198.51.100.0/28"]), ..Filter::default() }, true),
            (Filter { networks: networks(&["198.51.101.7"]), ..Filter::default() }, false),
            (Filter { actors: patterns(&["nurse@*"]), ..Filter::default() }, true),
            (Filter { actors: patterns(&["romeo@*"]), ..Filter::default() }, false),
        ] {
            assert_eq!(admits(&filter, &row), wanted, "{filter:?}");
        }
    }

    #[test]
    fn one_that_a_summary_names_by_itself_is_no_other() {
        let xml = "<audit-event type='t' user='juliet@example.com'><repeated count='90' accounts='1'/></audit-event>".to_owned();
        let row = Row { xml, ..row() };
        let of = |user: &str| Filter { host: "example.com".to_owned(), users: patterns(&[user]), ..Filter::default() };
        assert!(admits(&of("juliet@example.com"), &row) && !admits(&of("romeo@example.com"), &row));
    }

    #[test]
    fn the_archive_is_asked_for_summaries_too() {
        let of = |users: &[&str], global| Filter { users: patterns(users), global, ..Filter::default() };
        for (filter, expected) in [
            (of(&[], None), None),
            (of(&[], Some(true)), Some(vec!["@"])),
            (of(&[], Some(false)), None),
            (of(&["juliet@example.com"], None), Some(vec!["juliet@example.com", "@"])),
            (of(&["juliet@example.com"], Some(false)), Some(vec!["juliet@example.com"])),
            (of(&["juliet@example.com"], Some(true)), Some(vec!["@"])),
            (of(&["juliet@*"], None), None),
            (of(&["juliet@example.com", "romeo@example.com"], None), None),
        ] {
            assert_eq!(filter.withs(), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_query_for_a_day_finds_the_events_of_that_day() {
        assert_eq!(position(NOON - 60.0, NOON), NOON - 60.0);
        assert_eq!(position(NOON - 90_000.0, NOON), NOON, "recorded another day");
        assert_eq!(position(NOON + 60.0, NOON), NOON, "not before it happens");
    }

    #[test]
    fn a_network_is_read() {
        for (text, read) in [
            ("203.0.113.80", Some("203.0.113.80/32")),
            ("203.0.113.80/24", Some("203.0.113.0/24")),
            ("::ffff:203.0.113.80", Some("203.0.113.80/32")),
            ("2001:DB8::/32", Some("2001:db8::/32")),
            ("203.0.113.80/33", None),
            ("203.0.113", None),
            ("", None),
            ("/24", None),
        ] {
            assert_eq!(network(text).map(|network| network.to_string()).as_deref(), read, "{text}");
        }
    }

    proptest! {
        #[test]
        fn overlap_is_having_an_address_in_common(a in any::<u8>(), b in any::<u8>(), bits_a in 24u8..=32, bits_b in 24u8..=32) {
            let net = |byte: u8, bits: u8| network(&format!("203.0.113.{byte}/{bits}")).unwrap();
            let common = (0..=255u8).any(|byte| [net(a, bits_a), net(b, bits_b)].iter().all(|net| net.contains(&network(&format!("203.0.113.{byte}")).unwrap())));
            let xml = format!("<audit-event><session><remote-ip>{}</remote-ip></session></audit-event>", net(a, bits_a));
            let filter = Filter { networks: vec![net(b, bits_b)], ..Filter::default() };
            prop_assert_eq!(admits(&filter, &Row { xml, ..row() }), common);
        }
    }
}
