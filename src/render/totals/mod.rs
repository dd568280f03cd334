//! The totals that statistics and the report have in common.

pub mod bouts;
pub mod findings;
pub mod sentences;
pub mod stats;
pub mod tally;
pub mod trails;

use crate::address::location::country::Names;
use crate::address::{FALLBACK_IPV4_PREFIX, FALLBACK_IPV6_PREFIX, Policy, parse};
use crate::entry::StoredEvent;
use crate::render::taxonomy::{Outcome, meaning};
use crate::render::totals::tally::{Counts, Histogram};
use crate::time::zone::Zone;

/// Totals over entries. A summary counts as the number of its events.
#[derive(Clone, Debug)]
pub struct Totals {
    zone: Zone,
    /// How many entries there were.
    pub entries: u64,
    /// How many events that is.
    pub events: u64,
    /// How many of the events were failures.
    pub failures: u64,
    /// When the first event happened, and the last, in UNIX seconds.
    pub range: Option<(f64, f64)>,
    /// Events by type.
    pub types: Counts,
    /// Events by account.
    pub users: Counts,
    /// Events by network.
    pub networks: Counts,
    /// Events by country, by the countries' codes.
    pub countries: Counts,
    /// What people read of these countries.
    pub country_names: Names,
    /// Events over time, in local time of the zone.
    pub timeline: Histogram,
}

impl Totals {
    /// Totals of no entries.
    #[must_use]
    pub fn new(zone: Zone) -> Self {
        Self {
            zone,
            entries: 0,
            events: 0,
            failures: 0,
            range: None,
            types: Counts::default(),
            users: Counts::default(),
            networks: Counts::default(),
            countries: Counts::default(),
            country_names: Names::default(),
            timeline: Histogram::default(),
        }
    }

    /// Counts one more entry.
    pub fn add(&mut self, event: &StoredEvent) {
        let count = event.count();
        let failures = if meaning(&event.kind).outcome == Outcome::Failure { count } else { 0 };
        self.entries = self.entries.saturating_add(1);
        self.events = self.events.saturating_add(count);
        self.failures = self.failures.saturating_add(failures);
        self.range = Some(self.range.map_or((event.time, event.time), |(first, last)| (first.min(event.time), last.max(event.time))));
        self.types.add(&event.kind, count);
        for (counts, name) in [(&mut self.users, &event.user), (&mut self.networks, &network(event)), (&mut self.countries, &event.country)]
        {
            if let Some(name) = name {
                counts.add(name, count);
            }
        }
        self.country_names.add(event);
        self.timeline.add(clock(event.time, self.zone), count, failures);
    }
}

/// The local time of a zone at a UNIX time, as seconds since 1970 in local time.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // `as` saturates.
pub fn clock(time: f64, zone: Zone) -> i64 {
    (time.floor() as i64).saturating_add(zone.offset(time))
}

/// The network that an event came from: that of the stored address (24 bits of IPv4, 48 of IPv6), or what is stored instead of the
/// address.
#[must_use]
pub fn network(event: &StoredEvent) -> Option<String> {
    let Some(ip) = &event.ip else { return event.ip_hash.as_ref().map(|hash| format!("hash {hash}")) };
    let policy = Policy::new(Some(FALLBACK_IPV4_PREFIX), Some(FALLBACK_IPV6_PREFIX));
    Some(parse(ip).and_then(|address| policy.apply(address)).unwrap_or_else(|| ip.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample;

    #[test]
    fn a_summary_counts_as_its_count() {
        let mut summary = Totals::new(Zone::Utc);
        for event in sample::events() {
            summary.add(&event);
        }
        assert_eq!((summary.entries, summary.events, summary.failures), (5, 21, 17));
        assert_eq!(summary.types.ranking(1).top, [("authentication-failure", 17)]);
        assert_eq!(summary.networks.ranking(9).top, [("198.51.100.0/24", 17), ("203.0.113.0/24", 1)]);
        assert_eq!((summary.users.total(), summary.countries.total()), (19, 18));
        assert_eq!(summary.range, Some((sample::NOON - 3600.0, sample::NOON)));
    }

    #[test]
    fn the_network_of_an_event_is_that_of_its_address_or_the_stored_one() {
        let of = |ip: Option<&str>, hash: Option<&str>| {
            let (ip, ip_hash) = (ip.map(ToOwned::to_owned), hash.map(ToOwned::to_owned));
            network(&StoredEvent { ip, ip_hash, ..StoredEvent::default() })
        };
        assert_eq!(of(Some("203.0.113.80"), None).as_deref(), Some("203.0.113.0/24"));
        assert_eq!(of(Some("2001:db8:1:2::3"), None).as_deref(), Some("2001:db8:1::/48"));
        assert_eq!(of(Some("203.0.0.0/16"), None).as_deref(), Some("203.0.0.0/16"));
        assert_eq!(of(None, Some("x")).as_deref(), Some("hash x"));
        assert_eq!(of(None, None), None);
    }
}
