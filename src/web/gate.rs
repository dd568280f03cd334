//! Who may look at a host's log in a browser: links that sign in once, and sessions.
//!
//! Everything is kept in memory only, as hashes: a restart signs everybody out. Times are those of a clock that never goes back.

use std::collections::HashMap;

use super::secret::{self, Hash};
use crate::random::Random;

/// For how long a link can be used, in seconds.
pub const LINK: f64 = 600.0;

/// After how long without a request a session ends, in seconds.
pub const IDLE: f64 = 3600.0;

/// After how long a session ends in any case, in seconds.
pub const WHOLE: f64 = 12.0 * 3600.0;

/// How many links an account may have. A further one replaces the oldest.
const LINKS_EACH: usize = 5;

/// How many sessions an account may have. A further one ends the oldest.
const SESSIONS_EACH: usize = 10;

/// How many links, and how many sessions, a host may have.
const MOST: usize = 10_000;

/// What somebody may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The log of the host.
    Log,
    /// What happened to the own account.
    Own,
}

/// Who holds a link or a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The account, as a bare JID.
    pub account: String,
    /// What it may see.
    pub sight: Sight,
    /// Its role when the link was made. A holder with another role is not let in.
    pub role: String,
}

#[derive(Debug)]
struct Link {
    holder: Holder,
    since: f64,
}

#[derive(Debug)]
struct Session {
    holder: Holder,
    csrf: String,
    since: f64,
    seen: f64,
}

/// The links and sessions of a host.
#[derive(Debug, Default)]
pub struct Gate {
    links: HashMap<Hash, Link>,
    sessions: HashMap<Hash, Session>,
}

impl Gate {
    /// Makes a link: the secret to be put into it. `None` if there are too many, or if the system has no random numbers.
    pub fn invite(&mut self, random: &dyn Random, holder: Holder, now: f64) -> Option<String> {
        self.forget(now);
        let own = self.links.iter().filter(|(_, link)| link.holder.account == holder.account);
        let own: Vec<(Hash, f64)> = own.map(|(hash, link)| (*hash, link.since)).collect();
        make_room(own, LINKS_EACH, |hash| drop(self.links.remove(hash)));
        let link = secret::new(random).filter(|_| self.links.len() < MOST)?;
        self.links.insert(secret::hash(&link), Link { holder, since: now });
        Some(link)
    }

    /// Whose link it is, if it can be used. It is not used up: a program that shows a preview of links opens them too.
    #[must_use]
    pub fn guest(&self, link: &str, now: f64) -> Option<&Holder> {
        self.links.get(&secret::hash(link)).filter(|link| link.is_open(now)).map(|link| &link.holder)
    }

    /// Uses a link up, and begins a session: its secret, and whose it is. `None` if the link can't be used.
    pub fn admit(&mut self, random: &dyn Random, link: &str, now: f64) -> Option<(String, Holder)> {
        self.forget(now);
        let holder = self.links.remove(&secret::hash(link))?.holder;
        let own = self.sessions.iter().filter(|(_, session)| session.holder.account == holder.account);
        let own: Vec<(Hash, f64)> = own.map(|(hash, session)| (*hash, session.since)).collect();
        make_room(own, SESSIONS_EACH, |hash| drop(self.sessions.remove(hash)));
        let (session, csrf) = secret::new(random).zip(secret::new(random)).filter(|_| self.sessions.len() < MOST)?;
        self.sessions.insert(secret::hash(&session), Session { holder: holder.clone(), csrf, since: now, seen: now });
        Some((session, holder))
    }

    /// Whose session it is, and the secret of its forms. The session lasts longer by that.
    pub fn enter(&mut self, session: &str, now: f64) -> Option<(&Holder, &str)> {
        let hash = secret::hash(session);
        if !self.sessions.get(&hash)?.is_open(now) {
            self.sessions.remove(&hash);
            return None;
        }
        let session = self.sessions.get_mut(&hash)?;
        session.seen = now;
        Some((&session.holder, &session.csrf))
    }

    /// Whether a session has not ended. It lasts no longer by that.
    #[must_use]
    pub fn is_open(&self, session: &str, now: f64) -> bool {
        self.sessions.get(&secret::hash(session)).is_some_and(|session| session.is_open(now))
    }

    /// Whether a form was made for this session.
    #[must_use]
    pub fn is_own_form(&self, session: &str, csrf: &str) -> bool {
        self.sessions.get(&secret::hash(session)).is_some_and(|session| secret::is_same(&session.csrf, csrf))
    }

    /// Ends a session.
    pub fn leave(&mut self, session: &str) {
        self.sessions.remove(&secret::hash(session));
    }

    /// Ends the links and sessions of an account.
    pub fn dismiss(&mut self, account: &str) {
        self.links.retain(|_, link| link.holder.account != account);
        self.sessions.retain(|_, session| session.holder.account != account);
    }

    /// Forgets what can't be used any more.
    fn forget(&mut self, now: f64) {
        self.links.retain(|_, link| link.is_open(now));
        self.sessions.retain(|_, session| session.is_open(now));
    }
}

impl Link {
    fn is_open(&self, now: f64) -> bool {
        now - self.since < LINK
    }
}

impl Session {
    fn is_open(&self, now: f64) -> bool {
        now - self.since < WHOLE && now - self.seen < IDLE
    }
}

/// Removes the oldest, so that there is room for one more.
fn make_room(mut own: Vec<(Hash, f64)>, most: usize, mut remove: impl FnMut(&Hash)) {
    own.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    own.iter().take((own.len() + 1).saturating_sub(most)).for_each(|(hash, _)| remove(hash));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    fn admin(account: &str) -> Holder {
        Holder { account: account.to_owned(), sight: Sight::Log, role: "prosody:admin".to_owned() }
    }

    fn session(gate: &mut Gate, account: &str, now: f64) -> String {
        let link = gate.invite(&OsRandom, admin(account), now).unwrap();
        gate.admit(&OsRandom, &link, now).unwrap().0
    }

    #[test]
    fn a_link_signs_in_once_and_for_ten_minutes() {
        let mut gate = Gate::default();
        let link = gate.invite(&OsRandom, admin("a@x"), 0.0).unwrap();
        for _ in 0..3 {
            assert_eq!(gate.guest(&link, 599.0), Some(&admin("a@x")), "looking at it does not use it up");
        }
        assert_eq!(gate.guest(&link, 600.0), None);
        assert_eq!(gate.admit(&OsRandom, "other", 1.0), None);
        assert_eq!(gate.admit(&OsRandom, &link, 1.0).unwrap().1, admin("a@x"));
        assert_eq!((gate.admit(&OsRandom, &link, 1.0), gate.guest(&link, 1.0)), (None, None));
        let late = gate.invite(&OsRandom, admin("a@x"), 0.0).unwrap();
        assert_eq!(gate.admit(&OsRandom, &late, 600.0), None);
    }

    #[test]
    fn a_session_ends_after_an_hour_without_requests_and_after_twelve_in_all() {
        let mut gate = Gate::default();
        let idle = session(&mut gate, "a@x", 0.0);
        assert!(gate.enter(&idle, 3599.0).is_some() && gate.enter(&idle, 7198.0).is_some());
        assert!(gate.is_open(&idle, 10_797.0), "asking whether it is open is no request");
        assert!(gate.enter(&idle, 10_798.0).is_none() && gate.enter(&idle, 7199.0).is_none());
        let busy = session(&mut gate, "a@x", 0.0);
        for hour in 1..24 {
            assert!(gate.enter(&busy, f64::from(hour) * 1800.0).is_some(), "{hour}");
        }
        assert!(gate.enter(&busy, 12.0 * 3600.0).is_none());
    }

    #[test]
    fn a_form_belongs_to_one_session() {
        let mut gate = Gate::default();
        let (one, other) = (session(&mut gate, "a@x", 0.0), session(&mut gate, "a@x", 0.0));
        let csrf = gate.enter(&one, 1.0).unwrap().1.to_owned();
        assert!(gate.is_own_form(&one, &csrf) && !gate.is_own_form(&other, &csrf));
        assert!(!gate.is_own_form(&one, "") && !gate.is_own_form("", &csrf));
        gate.leave(&one);
        assert!(gate.enter(&one, 1.0).is_none() && !gate.is_own_form(&one, &csrf) && gate.enter(&other, 1.0).is_some());
    }

    #[test]
    fn an_account_that_is_dismissed_is_out() {
        let mut gate = Gate::default();
        let (out, stays) = (session(&mut gate, "a@x", 0.0), session(&mut gate, "b@x", 0.0));
        let link = gate.invite(&OsRandom, admin("a@x"), 0.0).unwrap();
        gate.dismiss("a@x");
        assert!(gate.enter(&out, 1.0).is_none() && gate.guest(&link, 1.0).is_none() && gate.enter(&stays, 1.0).is_some());
    }

    #[test]
    fn an_account_can_not_fill_the_memory_and_its_newest_links_and_sessions_stay() {
        let mut gate = Gate::default();
        let links: Vec<String> = (0..20).map(|at| gate.invite(&OsRandom, admin("a@x"), f64::from(at)).unwrap()).collect();
        assert_eq!(links.iter().filter(|link| gate.guest(link, 20.0).is_some()).count(), LINKS_EACH);
        assert!(gate.guest(&links[19], 20.0).is_some());
        let sessions: Vec<String> = (0..30).map(|at| session(&mut gate, "b@x", f64::from(at))).collect();
        assert_eq!(sessions.iter().filter(|session| gate.is_open(session, 30.0)).count(), SESSIONS_EACH);
        assert!(gate.is_open(&sessions[29], 30.0));
    }

    #[test]
    fn no_secret_is_kept() {
        let mut gate = Gate::default();
        let link = gate.invite(&OsRandom, admin("a@x"), 0.0).unwrap();
        assert!(!format!("{gate:?}").contains(&link));
        let (session, _) = gate.admit(&OsRandom, &link, 0.0).unwrap();
        assert!(!format!("{gate:?}").contains(&session));
    }
}
