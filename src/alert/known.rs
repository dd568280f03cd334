//! What accounts are known for: the countries and the clients that they were used from.
//!
//! It is bounded for each account and for all together. What has no more room is forgotten. An account that was forgotten is learned
//! anew, as an account at its first login: then there is no alert about it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How many countries are remembered of an account.
const COUNTRIES: usize = 16;
/// How many clients are remembered of an account.
const CLIENTS: usize = 32;
/// How many accounts are remembered, of all hosts.
pub(super) const ACCOUNTS: usize = 20_000;
/// If there is no room for another account, one in that many is forgotten.
const SHARE: usize = 16;
/// How many users are told of a login in a day, for each account.
const NOTICES: usize = 3;
const DAY: f64 = 86_400.0;

/// Nobody travels faster, in kilometres an hour.
const FASTEST: f64 = 1000.0;
/// Databases of places are wrong by that many kilometres.
const NEAR: f64 = 500.0;

/// Degrees of latitude and longitude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    /// North of the equator.
    pub latitude: f64,
    /// East of Greenwich.
    pub longitude: f64,
}

impl Coordinates {
    /// The distance in kilometres.
    #[must_use]
    pub fn distance(self, other: Self) -> f64 {
        let (a, b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half = |from: f64, to: f64| ((to - from) / 2.0).sin().powi(2);
        let (across, along) = (half(a, b), half(self.longitude.to_radians(), other.longitude.to_radians()));
        2.0 * 6371.0 * (across + a.cos() * b.cos() * along).sqrt().min(1.0).asin()
    }
}

/// A login.
#[derive(Clone, Copy, Debug, Default)]
pub struct Login<'a> {
    /// The country's two letters.
    pub country: Option<&'a str>,
    /// What the client calls itself.
    pub client: Option<&'a str>,
    /// Where it was.
    pub coordinates: Option<Coordinates>,
    /// When it was, in UNIX seconds.
    pub at: f64,
}

/// What is new about a login. At the first login of an account nothing is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// Whether the account was not used from this country.
    pub country: bool,
    /// Whether the account was not used with this client.
    pub client: bool,
    /// From where it was used just before.
    pub trip: Option<Trip>,
}

/// The way between two logins that is too far for the time between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Trip {
    /// The country of the login before, by its two letters.
    pub from: String,
    /// In kilometres.
    pub distance: f64,
    /// In seconds.
    pub time: f64,
}

/// What is known of the accounts of a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Known {
    accounts: HashMap<String, Account>,
}

/// What is known of an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Account {
    /// When it was used last, in UNIX seconds.
    last: f64,
    /// The countries, and when each was used last.
    countries: Vec<(String, f64)>,
    /// Hashes of the clients, and when each was used last.
    clients: Vec<(u64, f64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
    /// When its owner was told of a login.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notices: Vec<f64>,
}

/// Where an account was used last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    country: String,
    /// In whole degrees.
    latitude: i16,
    longitude: i16,
    at: f64,
}

impl Known {
    /// How many accounts are known.
    pub(super) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether something is known of an account.
    pub(super) fn knows(&self, account: &str) -> bool {
        self.accounts.contains_key(account)
    }

    /// Takes note of a login, and returns what is new about it. Returns `None` if it is the first login of the account that is known.
    pub(super) fn login(&mut self, account: &str, login: &Login<'_>) -> Option<News> {
        let known = self.accounts.get_mut(account);
        let is_first = known.is_none();
        let known = match known {
            Some(known) => known,
            None => self.accounts.entry(account.to_owned()).or_default(),
        };
        known.last = known.last.max(login.at);
        let country = login.country.filter(|country| country.len() == 2);
        let news = News {
            trip: known.travel(country, login),
            country: country.is_some_and(|country| is_new(&mut known.countries, country.to_owned(), login.at, COUNTRIES)),
            client: login.client.is_some_and(|client| is_new(&mut known.clients, hash(client), login.at, CLIENTS)),
        };
        (!is_first).then_some(news)
    }

    /// Whether the owner of an account may be told of another login now. If so, it counts.
    pub(super) fn may_notify(&mut self, account: &str, at: f64) -> bool {
        let Some(known) = self.accounts.get_mut(account) else { return false };
        known.notices.retain(|time| (at - DAY..=at).contains(time));
        let may = known.notices.len() < NOTICES;
        if may {
            known.notices.push(at);
        }
        may
    }

    /// Forgets an account. Returns whether it was known.
    pub(super) fn forget(&mut self, account: &str) -> bool {
        self.accounts.remove(account).is_some()
    }

    /// Forgets what was not used after `cutoff`, in UNIX seconds. Returns whether there was something.
    pub(super) fn expire(&mut self, cutoff: f64) -> bool {
        let before: usize = self.accounts.values().map(Account::size).sum();
        for account in self.accounts.values_mut() {
            account.countries.retain(|(_, last)| *last >= cutoff);
            account.clients.retain(|(_, last)| *last >= cutoff);
            account.place = account.place.take().filter(|place| place.at >= cutoff);
            account.notices.retain(|time| *time >= cutoff);
        }
        self.accounts.retain(|_, account| account.last >= cutoff);
        before != self.accounts.values().map(Account::size).sum::<usize>()
    }

    /// Forgets the accounts that were not used for longest, a share of all.
    pub(super) fn make_room(&mut self) {
        let mut last: Vec<f64> = self.accounts.values().map(|account| account.last).collect();
        let share = (last.len() / SHARE).clamp(1, last.len().max(1));
        if last.is_empty() {
            return;
        }
        let (_, cutoff, _) = last.select_nth_unstable_by(share.saturating_sub(1), f64::total_cmp);
        let (cutoff, mut left) = (*cutoff, share);
        self.accounts.retain(|_, account| {
            let is_kept = account.last > cutoff || left == 0;
            left = left.saturating_sub(usize::from(!is_kept));
            is_kept
        });
    }

    /// Takes over what another process had written down.
    pub(super) fn absorb(&mut self, other: Self) {
        for (name, account) in other.accounts {
            let known = self.accounts.entry(name).or_default();
            known.last = known.last.max(account.last);
            for (country, at) in account.countries {
                is_new(&mut known.countries, country, at, COUNTRIES);
            }
            for (client, at) in account.clients {
                is_new(&mut known.clients, client, at, CLIENTS);
            }
            known.place = known.place.take().or(account.place);
            known.notices.extend(account.notices);
        }
    }
}

impl Account {
    fn size(&self) -> usize {
        [1, self.countries.len(), self.clients.len(), usize::from(self.place.is_some()), self.notices.len()].iter().sum()
    }

    /// Moves the account to the place of a login. Returns the trip from the place before, if nobody travels that fast.
    fn travel(&mut self, country: Option<&str>, login: &Login<'_>) -> Option<Trip> {
        let (country, here) = country.zip(login.coordinates)?;
        #[allow(clippy::cast_possible_truncation)] // `as` saturates.
        let place = Place {
            country: country.to_owned(),
            latitude: here.latitude.round() as i16,
            longitude: here.longitude.round() as i16,
            at: login.at,
        };
        let before = self.place.replace(place)?;
        if before.country == country {
            return None;
        }
        let there = Coordinates { latitude: f64::from(before.latitude), longitude: f64::from(before.longitude) };
        let (distance, time) = (there.distance(here), (login.at - before.at).abs());
        (distance > NEAR && distance - NEAR > FASTEST * time / 3600.0).then_some(Trip { from: before.country, distance, time })
    }
}

/// Takes note that something was used. Returns whether it is new, and others are known. Of more than `most` the one that was not used
/// for longest is forgotten.
fn is_new<T: PartialEq>(known: &mut Vec<(T, f64)>, used: T, at: f64, most: usize) -> bool {
    if let Some((_, last)) = known.iter_mut().find(|(known, _)| *known == used) {
        *last = last.max(at);
        return false;
    }
    let has_others = !known.is_empty();
    if known.len() >= most {
        let oldest = known.iter().enumerate().min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b)).map(|(place, _)| place);
        if let Some(oldest) = oldest {
            known.swap_remove(oldest);
        }
    }
    known.push((used, at));
    has_others
}

/// The first bytes of the SHA-256 of a text. The names of clients are not written down.
pub(super) fn hash(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    let mut first = [0; 8];
    first.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROMEO: &str = "romeo@example.com";

    fn login<'a>(country: &'a str, client: &'a str, at: f64) -> Login<'a> {
        let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        Login { country: some(country), client: some(client), coordinates: None, at }
    }

    fn news(known: &mut Known, country: &str, client: &str) -> Option<(bool, bool)> {
        known.login(ROMEO, &login(country, client, 1.0)).map(|news| (news.country, news.client))
    }

    #[test]
    fn what_is_new_is_told_from_what_is_not_known_yet() {
        let mut known = Known::default();
        for (country, client, expected) in [
            ("DE", "", None),
            ("DE", "", Some((false, false))),
            ("FR", "", Some((true, false))),
            ("FR", "phone", Some((false, false))),
            ("", "laptop", Some((false, true))),
            ("NZ", "tablet", Some((true, true))),
            ("DE", "phone", Some((false, false))),
            ("", "", Some((false, false))),
        ] {
            assert_eq!(news(&mut known, country, client), expected, "{country} {client}");
        }
        assert!(known.forget(ROMEO) && !known.forget(ROMEO));
        assert_eq!(news(&mut known, "US", "other"), None, "a new owner of the name");
    }

    #[test]
    fn nobody_travels_faster_than_an_aeroplane() {
        let (berlin, paris, auckland) = (at(52.5, 13.4), at(48.9, 2.4), at(-36.8, 174.8));
        assert!((870.0..890.0).contains(&berlin.distance(paris)), "{}", berlin.distance(paris));
        for (from, to, hours, is_impossible) in [
            (("DE", berlin), ("FR", paris), 0.1, true),
            (("DE", berlin), ("FR", paris), 1.0, false),
            (("DE", berlin), ("NZ", auckland), 10.0, true),
            (("DE", berlin), ("NZ", auckland), 24.0, false),
            (("DE", berlin), ("DE", paris), 0.1, false),
        ] {
            let mut known = Known::default();
            known.login(ROMEO, &Login { country: Some(from.0), coordinates: Some(from.1), at: 0.0, client: None });
            let there = Login { country: Some(to.0), coordinates: Some(to.1), at: hours * 3600.0, client: None };
            assert_eq!(known.login(ROMEO, &there).unwrap().trip.is_some(), is_impossible, "{from:?} {to:?} {hours}");
        }
        let mut known = Known::default();
        known.login(ROMEO, &Login { country: Some("DE"), at: 0.0, ..Login::default() });
        let trip = known.login(ROMEO, &Login { country: Some("NZ"), coordinates: Some(auckland), at: 1.0, client: None }).unwrap().trip;
        assert_eq!(trip, None, "it is not known where the account was");
    }

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates { latitude, longitude }
    }

    #[test]
    fn an_owner_is_told_three_times_a_day() {
        let mut known = Known::default();
        assert!(!known.may_notify(ROMEO, 0.0), "no such account");
        known.login(ROMEO, &login("DE", "", 0.0));
        let told: Vec<bool> = [1.0, 2.0, 3.0, 4.0, 86_402.5].iter().map(|at| known.may_notify(ROMEO, *at)).collect();
        assert_eq!(told, [true, true, true, false, true]);
    }

    #[test]
    fn what_was_not_used_for_long_is_forgotten() {
        let mut known = Known::default();
        known.login(ROMEO, &login("DE", "phone", 100.0));
        known.login(ROMEO, &login("FR", "laptop", 200.0));
        known.login("juliet@example.com", &login("FR", "", 100.0));
        assert!(!known.expire(100.0));
        assert!(known.expire(150.0) && known.len() == 1);
        assert_eq!(known.login(ROMEO, &login("DE", "laptop", 300.0)), Some(News { country: true, ..News::default() }));
    }

    proptest! {
        #[test]
        fn the_memory_is_bounded(logins in prop::collection::vec((0u8..40, 0u16..500, 0u16..500), 1..800)) {
            let mut known = Known::default();
            for (number, (account, country, client)) in logins.into_iter().enumerate() {
                if known.len() >= 20 {
                    known.make_room();
                }
                let country = format!("{}{}", char::from(b'A' + (country % 26) as u8), char::from(b'A' + (country / 26) as u8));
                known.login(&format!("{account}@example.com"), &login(&country, &client.to_string(), number as f64));
                prop_assert!(known.len() <= 20);
                prop_assert!(known.accounts.values().all(|account| account.countries.len() <= COUNTRIES && account.clients.len() <= CLIENTS));
            }
        }

        #[test]
        fn what_is_written_down_can_be_read(logins in prop::collection::vec((0u8..9, "[A-Z]{2}", ".{0,9}"), 0..50)) {
            let mut known = Known::default();
            for (account, country, client) in logins {
                known.login(&format!("{account}@example.com"), &login(&country, &client, 5.0));
            }
            let read: Known = serde_json::from_slice(&serde_json::to_vec(&known).unwrap()).unwrap();
            let mut absorbed = Known::default();
            absorbed.absorb(read.clone());
            prop_assert_eq!(&read, &known);
            prop_assert_eq!(absorbed.len(), known.len());
        }
    }
}
