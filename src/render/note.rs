//! The note of an entry: its details, and who did it, in one line for people.

use std::fmt::Write as _;

use crate::catalogue::UNKNOWN_ACTOR;
use crate::entry::xml::Element;
use crate::entry::{Actor, Mention, Repeated, StoredEvent};
use crate::time::parse_seconds;
use crate::time::zone::Zone;

/// The note of an entry, without times.
///
/// ```
/// use audit_core::entry::{Row, StoredEvent};
/// use audit_core::render::note::note;
///
/// let xml = "<audit-event><authentication mechanism='PLAIN'/><actor kind='admin-shell'/></audit-event>";
/// let event = StoredEvent::read(&Row { xml: xml.to_owned(), ..Row::default() }).unwrap();
/// assert_eq!(note(&event), "PLAIN; by admin-shell");
/// ```
#[must_use]
pub fn note(event: &StoredEvent) -> String {
    joined(event, event.repeated.as_ref().map(|repeated| repeated_in_words(repeated, None)))
}

/// The note of an entry, for a reader of times in `zone`: a summary also says when its events happened.
#[must_use]
pub fn note_with_times(event: &StoredEvent, zone: Zone) -> String {
    joined(event, event.repeated.as_ref().map(|repeated| format!("repeated {}", repeated_in_words(repeated, Some(zone)))))
}

/// The details of an entry in words, without the actor and without times.
#[must_use]
pub(crate) fn without_actor(event: &StoredEvent) -> String {
    in_one(event, event.repeated.as_ref().map(|repeated| repeated_in_words(repeated, None)), None)
}

/// The actor in words, without the address. `None` if the entry does not say who it was.
pub(crate) fn who(event: &StoredEvent) -> Option<String> {
    // A reading of the log says who it was in its query.
    let by =
        || event.details.iter().find(|detail| detail.name == "query")?.attribute("by").filter(|by| *by != "unknown").map(ToOwned::to_owned);
    let Some(actor) = &event.actor else { return by() };
    if let Some(jid) = &actor.jid {
        return Some(jid.clone());
    }
    match actor.kind.as_str() {
        UNKNOWN_ACTOR => by(),
        "admin-shell" => Some(by().unwrap_or_else(|| "somebody in the shell".to_owned())),
        "http" => Some("somebody on the web".to_owned()),
        "server" => Some("the server itself".to_owned()),
        kind => Some(kind.to_owned()),
    }
}

fn joined(event: &StoredEvent, repeated: Option<String>) -> String {
    in_one(event, repeated, event.actor.as_ref().map(actor_in_words))
}

fn in_one(event: &StoredEvent, repeated: Option<String>, actor: Option<String>) -> String {
    let details = event.details.iter().map(in_words);
    let mention = event.mention.as_ref().map(mention_in_words);
    mention.into_iter().chain(repeated).chain(details).chain(actor).filter(|note| !note.is_empty()).collect::<Vec<_>>().join("; ")
}

fn mention_in_words(mention: &Mention) -> String {
    match mention {
        Mention::Named { user, count: Some(count) } => format!("{user} at least {count} {}", if *count == 1 { "time" } else { "times" }),
        Mention::Named { user, count: None } => format!("{user} among others"),
        Mention::MayInclude { user } if user == "*" => "may include such accounts".to_owned(),
        Mention::MayInclude { user } => format!("may include {user}"),
    }
}

/// The actor in words: "by admin@example.com/phone (adhoc) at 203.0.113.7".
fn actor_in_words(actor: &Actor) -> String {
    let mut note = match &actor.jid {
        Some(jid) if actor.kind == "user" => format!("by {jid}"),
        Some(jid) => format!("by {jid} ({})", actor.kind),
        None => format!("by {}", actor.kind),
    };
    if let Some(ip) = &actor.ip {
        note.push_str(" at ");
        note.push_str(ip);
    }
    note
}

fn repeated_in_words(repeated: &Repeated, zone: Option<Zone>) -> String {
    let at_least = |is_so: bool| if is_so { "at least " } else { "" };
    let mut words = format!("{}{} {}", at_least(repeated.at_least), repeated.count, if repeated.count == 1 { "time" } else { "times" });
    if let Some(span) = zone.and_then(|zone| span(repeated, zone)) {
        let _ = write!(words, ", {span}");
    }
    for (count, one, many) in [(repeated.accounts, "account", "accounts"), (repeated.networks, "network", "networks")] {
        if let Some(count) = count {
            let _ = write!(words, ", {}{count} {}", at_least(repeated.distinct_at_least), if count == 1 { one } else { many });
        }
    }
    // If there is one account, the entry itself names it.
    let several = repeated.accounts.is_some_and(|accounts| accounts > 1);
    let often = repeated.samples.iter().filter(|sample| several && sample.name == "often" && sample.attribute("user").is_some());
    let count = |sample: &Element| sample.attribute("count").and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
    // An account that exists comes before names that were only tried.
    let most = often.max_by_key(|sample| (sample.attribute("exists") == Some("true"), count(sample))).filter(|most| count(most) > 1);
    if let Some((user, most)) = most.and_then(|most| Some((most.attribute("user")?, most))) {
        let _ = write!(words, ", {} of them for {user}", count(most));
    }
    words
}

/// The times of the first and the last event. If both are on one day, only the times of day.
fn span(repeated: &Repeated, zone: Zone) -> Option<String> {
    let shown = |time: &Option<String>| parse_seconds(time.as_deref()?).map(|time| zone.show(time).0);
    let (first, last) = (shown(&repeated.first)?, shown(&repeated.last)?);
    Some(match (first.split_once(' '), last.split_once(' ')) {
        (Some((a, from)), Some((b, to))) if a == b && from == to => from.to_owned(),
        (Some((a, from)), Some((b, to))) if a == b => format!("{from}-{to}"),
        _ => format!("{first} to {last}"),
    })
}

/// A detail in words. Details that most entries have are kept short; any other begins with the name of its element.
fn in_words(detail: &Element) -> String {
    let text = detail.text();
    let text = text.trim();
    match detail.name.as_str() {
        "note" => text.to_owned(),
        "authentication" => {
            let words: Vec<&str> = ["mechanism", "condition"].iter().filter_map(|name| detail.attribute(name)).collect();
            if text.is_empty() { words.join(" ") } else { format!("{} ({text})", words.join(" ")) }
        }
        "command" => command_in_words(detail, text),
        "options" => options_in_words(detail),
        "tls" => detail.attribute("version").unwrap_or("TLS").to_owned(),
        name => {
            let mut words: Vec<String> = detail.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
            // Prosody keeps attributes in a table without an order.
            words.sort_unstable();
            words.extend(Some(text.to_owned()).filter(|text| !text.is_empty()));
            words.extend(detail.elements().map(in_words).filter(|words| !words.is_empty()));
            if words.is_empty() { name.to_owned() } else { format!("{name}: {}", words.join(" ")) }
        }
    }
}

/// The line of a shell command as it is. For an ad-hoc command: the last part of its node, its outcome and its fields.
fn command_in_words(command: &Element, line: &str) -> String {
    let node = command.attribute("node").unwrap_or_default();
    let node = node.rsplit_once('/').map_or(node, |(_, name)| name);
    let words = [Some(node), command.attribute("outcome"), command.attribute("condition")];
    let mut words: Vec<String> = words.into_iter().flatten().filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect();
    words.extend(Some(line.to_owned()).filter(|line| !line.is_empty()));
    words.extend(command.elements().filter(|field| field.name == "field").map(|field| {
        let name = field.attribute("var").unwrap_or_default();
        let values: Vec<String> = field.elements().map(Element::text).collect();
        if values.is_empty() { name.to_owned() } else { format!("{name}={}", values.join(",")) }
    }));
    words.join(" ")
}

/// The names of options, grouped by what happened to them.
fn options_in_words(options: &Element) -> String {
    let said = ["changed", "added", "removed"].iter().filter_map(|change| {
        let of_change = options.elements().filter(|option| option.attribute("change") == Some(change));
        let names: Vec<&str> = of_change.filter_map(|option| option.attribute("name")).collect();
        if names.is_empty() { None } else { Some(format!("{change} {}", names.join(", "))) }
    });
    let said = said.collect::<Vec<_>>().join("; ");
    if said.is_empty() { "nothing changed".to_owned() } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Row;

    fn event(xml: &str) -> StoredEvent {
        StoredEvent::read(&Row { xml: xml.to_owned(), ..Row::default() }).unwrap()
    }

    #[test]
    fn the_note_of_a_summary_says_how_often_when_and_for_whom() {
        let note = |attributes: &str| {
            let xml = format!(
                "<audit-event><repeated {attributes}><sample user='a'/></repeated><authentication mechanism='PLAIN'/></audit-event>"
            );
            note_with_times(&event(&xml), Zone::Utc)
        };
        for (attributes, expected) in [
            (
                "count='994' first='2026-11-24T18:02:12Z' last='2026-11-24T18:03:11Z' accounts='1' networks='1'",
                "repeated 994 times, 18:02:12-18:03:11, 1 account, 1 network; PLAIN",
            ),
            (
                "count='7' first='2026-11-24T23:59:59Z' last='2026-11-25T00:00:01Z' accounts='3' networks='2' at-least='true'",
                "repeated at least 7 times, 2026-11-24 23:59:59 to 2026-11-25 00:00:01, 3 accounts, 2 networks; PLAIN",
            ),
            (
                "count='90000' accounts='16384' networks='0' distinct-at-least='true'",
                "repeated 90000 times, at least 16384 accounts, at least 0 networks; PLAIN",
            ),
            ("count='1' first='2026-11-24T18:02:12Z' last='2026-11-24T18:02:12Z'", "repeated 1 time, 18:02:12; PLAIN"),
            ("count='2' first='x' last='2026-11-24T18:02:12Z'", "repeated 2 times; PLAIN"),
        ] {
            assert_eq!(note(attributes), expected);
        }
    }

    #[test]
    fn notes_contain_the_details_and_the_actor() {
        for (detail, note) in [
            ("<note>restarted by root</note>", "restarted by root"),
            ("<invite-used token='abc'/>", "invite-used: token=abc"),
            ("<disabled reason='spam' when='1'><comment>bye</comment></disabled>", "disabled: reason=spam when=1 comment: bye"),
            ("<authentication mechanism='SCRAM-SHA-1'/><tls version='TLSv1.3' cipher='x'/>", "SCRAM-SHA-1; TLSv1.3"),
            ("<authentication condition='malformed-request'/><tls/>", "malformed-request; TLS"),
            ("<command>user:create(&quot;a@b&quot;, ***)</command>", "user:create(\"a@b\", ***)"),
            (
                "<command node='http://jabber.org/protocol/admin#delete-user' action='complete' outcome='completed'>\
                 <field var='accountjids'><value>a@b</value><value>c@d</value></field><field var='password'/></command>",
                "admin#delete-user completed accountjids=a@b,c@d password",
            ),
            ("<command node='ping' outcome='refused' condition='forbidden'/>", "ping refused forbidden"),
            (
                "<options><option name='a' change='changed'/><option name='b' change='added'/><option name='c' change='changed'/></options>",
                "changed a, c; added b",
            ),
            ("<options/>", "nothing changed"),
            ("<empty/>", "empty"),
            ("<actor kind='adhoc' jid='admin@example.com'/>", "by admin@example.com (adhoc)"),
            ("<actor kind='user' jid='a@example.com/b'><remote-ip>203.0.113.7</remote-ip></actor>", "by a@example.com/b at 203.0.113.7"),
            ("<actor kind='admin-shell' caused-by='01a2'/><note>x</note>", "x; by admin-shell"),
            ("<actor/>", "by unknown"),
            ("", ""),
        ] {
            assert_eq!(super::note(&event(&format!("<audit-event>{detail}</audit-event>"))), note, "{detail}");
        }
    }

    #[test]
    fn without_times_a_summary_says_how_many_and_how_often() {
        let xml = "<audit-event><repeated count='17' accounts='1' networks='3' at-least='true'/></audit-event>";
        assert_eq!(note(&event(xml)), "at least 17 times, 1 account, 3 networks");
    }
}
