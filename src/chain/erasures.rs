//! What was erased from a log, while its entries are verified: what the log says of it, whether it is there again, and whether values are
//! gone that no erasure has removed.

use std::collections::BTreeMap;

use super::erased::Erased;
use super::hash::Nonce;
use super::link::{Cover, Link};
use super::ranges;
use crate::entry::canon::Canon;
use crate::entry::limits::HOST_WIDE;
use crate::entry::personal::{Aspect, Group};
use crate::entry::{Row, StoredEvent};
use crate::time::date_time;

/// The event type that says that a person's data were erased.
const ERASED: &str = "audit-erased";

/// An entry without values that only an erasure removes.
#[derive(Clone, Debug)]
pub(super) struct Emptied {
    pub(super) id: Nonce,
    pub(super) n: u64,
    pub(super) key: String,
    names: Vec<Group>,
}

/// What a pass found of erasures.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The entries that no erasure has emptied.
    pub(super) emptied: Vec<Emptied>,
    /// The entries that have values again: a chain, its first entry, its last.
    pub(super) again: Vec<(Nonce, u64, u64)>,
    /// The erasures that the log tells of, one a line.
    pub(super) listed: Vec<String>,
}

/// What is found of erasures, while entries are read.
#[derive(Debug, Default)]
pub(super) struct Erasures {
    /// What was erased before the entries were read. `None` if that is not known.
    known: Option<Erased>,
    /// Entries of which it does not know that they were erased.
    emptied: Vec<Emptied>,
    /// Entries of each chain that have values again.
    again: BTreeMap<Nonce, BTreeMap<u64, u64>>,
    /// The erasures that the log tells of, one a line.
    listed: Vec<String>,
}

impl Erasures {
    pub(super) fn know(&mut self, erased: Erased) {
        self.known = Some(erased);
    }

    /// Takes a row, if it is about an erasure.
    pub(super) fn feed(&mut self, row: &Row) {
        if row.with.as_deref() != Some(HOST_WIDE) || !row.contains(ERASED) {
            return;
        }
        let Ok(event) = StoredEvent::read(row) else { return };
        let Some(erasure) = event.details.iter().find(|detail| detail.name == "erasure").filter(|_| event.kind == ERASED) else { return };
        let value = |name: &str| erasure.attribute(name).filter(|value| !value.is_empty());
        let count = value("count").unwrap_or("0");
        let entries = if count == "1" { "entry" } else { "entries" };
        let by = value("by").map(|by| format!(", asked for by {by}")).unwrap_or_default();
        let again = if value("again").is_some() { ", as it was there again" } else { "" };
        let time = date_time(row.when).unwrap_or_default();
        self.listed.push(format!("{count} {entries}, receipt {} of {time}{by}{again}", value("receipt").unwrap_or("unknown")));
    }

    /// Takes an entry whose values fit its link.
    pub(super) fn take(&mut self, link: &Link, canon: &Canon, key: &str) {
        let Some(known) = &self.known else { return };
        let (gone, may_be_gone) = (known.lacks(&link.id, link.n), known.may_lack(&link.id, link.n));
        if canon.groups.iter().any(|(group, _)| gone.contains(group)) {
            ranges::add(self.again.entry(link.id).or_default(), link.n);
        }
        // Addresses and networks expire, and take with them what has addresses in it. A name never does.
        let Cover::Groups { gone: removed, .. } = &link.cover else { return };
        let is_name = |group: &Group| matches!(group, Group::Person(_, Aspect::Name));
        let names: Vec<Group> =
            removed.iter().map(|(group, _)| *group).filter(|group| is_name(group) && !may_be_gone.contains(group)).collect();
        if !names.is_empty() {
            self.emptied.push(Emptied { id: link.id, n: link.n, key: key.to_owned(), names });
        }
    }

    /// Ends the pass. What has been erased since the beginning is in `now`, if that is known.
    pub(super) fn end(self, now: Option<&Erased>) -> Found {
        let mut emptied = self.emptied;
        if let Some(now) = now {
            emptied.retain(|entry| {
                let gone = now.may_lack(&entry.id, entry.n);
                entry.names.iter().any(|name| !gone.contains(name))
            });
        }
        let again = self.again.into_iter().flat_map(|(id, numbers)| numbers.into_iter().map(move |(first, last)| (id, first, last)));
        Found { emptied, again: again.collect(), listed: self.listed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_erasures_that_the_log_tells_of_are_listed() {
        let xml = |attributes: &str| {
            format!(
                "<audit-event type='audit-erased' source='mod_audit'><erasure xmlns='{}' {attributes}/></audit-event>",
                crate::NAMESPACE
            )
        };
        let mut erasures = Erasures::default();
        for (with, attributes) in [
            ("@", "receipt='AAAAA-BBBBB' count='24' by='root'"),
            ("@", "receipt='CCCCC-DDDDD' count='1' again='true'"),
            // An event of an account says nothing of the log.
            ("romeo@example.com", "receipt='EEEEE-FFFFF' count='7'"),
        ] {
            erasures.feed(&Row { when: 1_795_521_600.0, with: Some(with.to_owned()), xml: xml(attributes), ..Row::default() });
        }
        assert_eq!(
            erasures.end(None).listed,
            [
                "24 entries, receipt AAAAA-BBBBB of 2026-11-24T12:00:00Z, asked for by root",
                "1 entry, receipt CCCCC-DDDDD of 2026-11-24T12:00:00Z, as it was there again",
            ]
        );
    }
}
