//! Where accounts were, one place after the other: the countries that they logged in from, or their clients.
//!
//! Entries may come newest first or oldest first. Memory is bounded.

use std::collections::HashMap;

/// For how many accounts places are remembered.
const ACCOUNTS: usize = 4096;

/// How many places are remembered of one account.
const PLACES: usize = 16;

/// The places of accounts.
#[derive(Clone, Debug, Default)]
pub struct Trails {
    accounts: HashMap<String, Vec<Stay>>,
    /// Whether there were more accounts or places than are remembered.
    pub incomplete: bool,
}

/// The first time that an account was at a place that is not its first one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival<'a> {
    /// The account.
    pub account: &'a str,
    /// Where it was before.
    pub from: &'a str,
    /// Where it came to.
    pub to: &'a str,
    /// When, in UNIX seconds.
    pub time: f64,
    /// The address that it came from.
    pub address: Option<&'a str>,
}

#[derive(Clone, Debug)]
struct Stay {
    place: String,
    first: f64,
    last: f64,
    address: Option<String>,
    /// When the account was last at another place before it came here, and at which.
    before: Option<(f64, usize)>,
}

impl Trails {
    /// Adds that an account was at a place.
    pub fn add(&mut self, account: &str, place: &str, time: f64, address: Option<&str>) {
        if self.accounts.len() >= ACCOUNTS && !self.accounts.contains_key(account) {
            self.incomplete = true;
            return;
        }
        let stays = self.accounts.entry(account.to_owned()).or_default();
        let here = match stays.iter().position(|stay| stay.place == place) {
            Some(here) => here,
            None if stays.len() >= PLACES => {
                self.incomplete = true;
                return;
            }
            None => {
                stays.push(Stay { place: place.to_owned(), first: f64::INFINITY, last: time, address: None, before: None });
                stays.len().saturating_sub(1)
            }
        };
        let mut latest: Option<(f64, usize)> = None;
        for (index, stay) in stays.iter_mut().enumerate().filter(|(index, _)| *index != here) {
            if time < stay.first && stay.before.is_none_or(|(before, _)| before < time) {
                stay.before = Some((time, here));
            }
            let known = [stay.last, stay.first].into_iter().find(|known| *known <= time);
            if let Some(known) = known.filter(|known| latest.is_none_or(|(latest, _)| latest < *known)) {
                latest = Some((known, index));
            }
        }
        if let Some(stay) = stays.get_mut(here) {
            stay.last = stay.last.max(time);
            if time < stay.first {
                stay.first = time;
                stay.address = address.map(ToOwned::to_owned);
                stay.before = latest;
            }
        }
    }

    /// Where an account was before it came to a place.
    #[must_use]
    pub fn before(&self, account: &str, place: &str) -> Option<&str> {
        let stays = self.accounts.get(account)?;
        let (_, before) = stays.iter().find(|stay| stay.place == place)?.before?;
        stays.get(before).map(|stay| stay.place.as_str())
    }

    /// The first time of each account at each place except its first place, newest first.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival<'_>> {
        let mut arrivals = Vec::new();
        for (account, stays) in &self.accounts {
            let Some(home) = stays.iter().min_by(|a, b| a.first.total_cmp(&b.first)) else { continue };
            arrivals.extend(stays.iter().filter(|stay| stay.place != home.place).map(|stay| Arrival {
                account,
                from: stay.before.and_then(|(_, before)| stays.get(before)).unwrap_or(home).place.as_str(),
                to: &stay.place,
                time: stay.first,
                address: stay.address.as_deref(),
            }));
        }
        arrivals.sort_by(|a, b| b.time.total_cmp(&a.time).then_with(|| (a.account, a.to).cmp(&(b.account, b.to))));
        arrivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trails(visits: &[(f64, &str)]) -> Trails {
        let mut trails = Trails::default();
        visits.iter().for_each(|(time, place)| trails.add("a@b", place, *time, Some("192.0.2.1")));
        trails
    }

    #[test]
    fn an_arrival_says_where_the_account_was_just_before() {
        let visits = [(0.0, "DE"), (1.0, "FR"), (2.0, "DE"), (3.0, "BR"), (4.0, "FR"), (5.0, "BR")];
        let mut reversed = visits;
        reversed.reverse();
        for visits in [visits, reversed] {
            let trails = trails(&visits);
            let arrivals: Vec<(f64, &str, &str)> =
                trails.arrivals().iter().map(|arrival| (arrival.time, arrival.from, arrival.to)).collect();
            assert_eq!(arrivals, [(3.0, "DE", "BR"), (1.0, "DE", "FR")]);
            assert_eq!((trails.before("a@b", "BR"), trails.before("a@b", "DE"), trails.before("c@d", "DE")), (Some("DE"), None, None));
        }
    }

    #[test]
    fn many_accounts_and_places_take_no_memory() {
        let mut trails = Trails::default();
        for n in 0..10_000_u32 {
            trails.add(&format!("a{n}"), "DE", 0.0, None);
            trails.add("a1", &format!("{n}"), f64::from(n) + 1.0, None);
        }
        assert!(trails.incomplete && trails.accounts.len() == ACCOUNTS && trails.accounts["a1"].len() == PLACES);
    }

    proptest! {
        #[test]
        fn the_order_of_entries_does_not_matter(places in prop::collection::vec(0usize..4, 1..40), newest_first: bool) {
            let names = ["DE", "FR", "BR", "US"];
            let mut visits: Vec<(f64, &str)> = places.iter().enumerate().map(|(time, place)| (f64::from(u32::try_from(time).unwrap()), names[*place])).collect();
            // What a list of all visits says.
            let mut expected = Vec::new();
            for (index, (time, place)) in visits.iter().enumerate() {
                if index > 0 && visits[..index].iter().all(|(_, before)| before != place) {
                    expected.push((*time, visits[index - 1].1, *place));
                }
            }
            expected.reverse();
            if newest_first {
                visits.reverse();
            }
            let trails = trails(&visits);
            let arrivals: Vec<(f64, &str, &str)> = trails.arrivals().iter().map(|arrival| (arrival.time, arrival.from, arrival.to)).collect();
            prop_assert_eq!(arrivals, expected);
        }
    }
}
