//! The entries of what flood control has counted, and the parts that describe an address or a name that is no account.

use crate::address::location::Location;
use crate::entry::event::{self, Root, attribute, leaf, optional};
use crate::entry::payload;
use crate::entry::text::TextKind;
use crate::flood::FloodSummary;
use crate::recorder::{Alias, occurred};
use crate::time::{date_time, whole_seconds};

/// Makes the entry of a summary, as a payload that is recorded at `unix`. Returns the time that it has: a summary that a store may
/// have already must be the same again.
pub fn summary(summary: &FloodSummary, unix: f64, payload: &mut Vec<u8>) -> f64 {
    let at = if summary.offered { summary.last } else { unix };
    // What it was counting happened before that.
    let is_late = summary.at_least && !summary.offered;
    let occurred = if is_late { occurred(Some(summary.last), at, whole_seconds(at)) } else { None };
    let alias = summary.user.as_deref().and_then(Alias::parse);
    let root = Root {
        id: summary.id.as_bytes(),
        source: summary.source.as_bytes(),
        kind: summary.kind.as_bytes(),
        user: summary.user.as_deref().filter(|_| alias.is_none()).map(str::as_bytes),
        occurred: occurred.as_deref(),
    };
    event::begin(payload, at, &root);
    if summary.remote_ip.is_some() || summary.location.is_some() {
        event::open(payload, b"session");
        if let Some(remote_ip) = &summary.remote_ip {
            leaf(payload, b"remote-ip", remote_ip.as_bytes(), TextKind::Attribute);
        }
        if let Some(location) = &summary.location {
            write_location(location, payload);
        }
        payload::close(payload);
    }
    if let Some(actor) = &summary.actor {
        if summary.remote {
            event::open(payload, b"s2s");
            attribute(payload, b"remote", actor.as_bytes());
        } else {
            event::open(payload, b"actor");
            attribute(payload, b"kind", b"user");
            attribute(payload, b"jid", actor.as_bytes());
        }
        payload::close(payload);
    }
    write_repeated(summary, payload);
    if let Some(alias) = alias {
        alias.write(payload);
    }
    event::end(payload);
    at
}

fn write_repeated(summary: &FloodSummary, payload: &mut Vec<u8>) {
    event::open(payload, b"repeated");
    number(payload, b"count", summary.count);
    for (name, time) in [("first", summary.first), ("last", summary.last)] {
        optional(payload, name.as_bytes(), date_time(time).as_deref().map(str::as_bytes));
    }
    number(payload, b"accounts", summary.accounts);
    number(payload, b"networks", summary.networks);
    if summary.actors > 0 {
        number(payload, b"actors", summary.actors);
    }
    for (name, is_set) in [("at-least", summary.at_least), ("distinct-at-least", summary.distinct_at_least)] {
        if is_set {
            attribute(payload, name.as_bytes(), b"true");
        }
    }
    for sample in &summary.samples {
        payload::open(payload, b"sample");
        write_user(sample.user.as_deref(), payload);
        write_each(payload, [("network", &sample.network), ("condition", &sample.condition)]);
        payload::close(payload);
    }
    for often in &summary.often {
        payload::open(payload, b"often");
        write_user(often.user.as_deref(), payload);
        write_each(payload, [("network", &often.network), ("actor", &often.actor)]);
        number(payload, b"count", often.count);
        if often.exists {
            attribute(payload, b"exists", b"true");
        }
        payload::close(payload);
    }
    if summary.others {
        payload::open(payload, b"names");
        // It may be longer than a text from outside.
        if let Some(names) = &summary.names {
            payload::text(payload, names.as_bytes());
        }
        payload::close(payload);
    }
    payload::close(payload);
}

/// An account that an element of a summary names, or what stands for a name that is no account.
fn write_user(user: Option<&str>, payload: &mut Vec<u8>) {
    let Some(user) = user else { return };
    match Alias::parse(user) {
        Some(alias) => {
            attribute(payload, b"name-key", alias.key.as_bytes());
            attribute(payload, b"name-hash", alias.hash.as_bytes());
            number(payload, b"name-length", u64::try_from(alias.length).unwrap_or(u64::MAX));
        }
        None => attribute(payload, b"user", user.as_bytes()),
    }
}

fn write_each<const N: usize>(payload: &mut Vec<u8>, attributes: [(&str, &Option<String>); N]) {
    for (name, value) in attributes {
        if let Some(value) = value {
            attribute(payload, name.as_bytes(), value.as_bytes());
        }
    }
}

fn number(payload: &mut Vec<u8>, name: &[u8], number: u64) {
    attribute(payload, name, number.to_string().as_bytes());
}

/// Writes where an address is.
pub(super) fn write_location(location: &Location, payload: &mut Vec<u8>) {
    if let Some(country) = &location.country {
        payload::open(payload, b"location");
        attribute(payload, b"country", country.as_bytes());
        optional(payload, b"continent", location.continent.as_deref().map(str::as_bytes));
        event::text(payload, location.name.as_deref());
        payload::close(payload);
    }
    if location.asn.is_some() || location.organization.is_some() {
        payload::open(payload, b"asn");
        if let Some(asn) = location.asn {
            number(payload, b"number", u64::from(asn));
        }
        event::text(payload, location.organization.as_deref());
        payload::close(payload);
    }
}

impl Alias {
    /// Reads an alias as it is written in the place of a JID, or in the place of the name in one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('@')?;
        let mut parts = text.split_once('@').map_or(text, |(alias, _host)| alias).split(':');
        let (key, hash, length) = (parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
        if parts.next().is_some() || !is_hex(key) || !is_hex(hash) || !is_number {
            return None;
        }
        Some(Self { key: key.to_owned(), hash: hash.to_owned(), length: length.parse().ok()? })
    }

    /// Writes the element that stands in an entry for the name.
    pub(super) fn write(&self, payload: &mut Vec<u8>) {
        event::open(payload, b"unknown-name");
        optional(payload, b"key", Some(self.key.as_bytes()));
        number(payload, b"length", u64::try_from(self.length).unwrap_or(u64::MAX));
        if !self.hash.is_empty() {
            payload::text(payload, self.hash.as_bytes());
        }
        payload::close(payload);
    }
}
