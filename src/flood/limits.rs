//! How much of each event type is stored as it is, by who can cause it.

use super::budget::Size;
use crate::archive::retention::{FAILURE_TYPES, TypePattern};
use crate::catalogue::{Cause, cause_of};

/// How many times as many events as of failures are stored of what a user or another server does,
const OF_USERS: u32 = 4;
/// of what comes before there is an account, for each network,
const OF_STRANGERS: u32 = 10;
/// of what moderators do, who import lists and clean up after attacks,
const OF_MODERATORS: u32 = 50;
/// and of types that other modules report: how often those happen only they know. In a class with a limit they are bounded like
/// all others, and without one this is a brake for what has run wild.
const OF_OTHER_MODULES: u32 = 2000;

/// How many times as many of all actors of one network together: a large one may have many users,
const TOGETHER: u32 = 50;
/// but names of servers are cheap.
const SERVERS_TOGETHER: u32 = 10;

/// In a class with a limit, one actor has at most this part of it in one window, and those of one network at most twice as much.
const PART: u64 = 20;

/// The fewest that are stored of an actor, whatever the limit of the class: below that a log would say nothing.
const FEWEST: u32 = 3;

/// How many events of a key are stored as they are, and within which time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// So many are stored.
    pub burst: u32,
    /// Length of a window, in seconds.
    pub window: f64,
}

impl Default for Burst {
    fn default() -> Self {
        Self { burst: 5, window: 60.0 }
    }
}

/// Within which times the same outcome of the same account from the same address is not repeated, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeats {
    /// `authentication-failure`.
    pub failure: Option<f64>,
    /// `authentication-success`.
    pub success: Option<f64>,
    /// How many accounts and addresses are remembered for each.
    pub keys: usize,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { failure: None, success: None, keys: 128 }
    }
}

/// How the events of an outcome are bounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TypeLimits {
    /// Of each account and network.
    Failures(Burst),
    /// By who did it.
    Actors {
        /// Of each actor.
        each: u32,
        /// Of all actors of a network.
        together: u32,
        /// Length of a window, in seconds.
        window: f64,
        /// Whether actors are told apart: where each makes an account of its own there is only the network.
        by_actor: bool,
        /// Whether events of which nothing is known, neither who did it nor from where, are stored all the same: of types that are
        /// not ours, as the modules that report them are trusted.
        trusts: bool,
        budget: (&'static str, f64),
    },
}

/// Whether peers can cause events of that type who are not authenticated, see [`FAILURE_TYPES`].
#[must_use]
pub fn is_unauthenticated(kind: &str) -> bool {
    FAILURE_TYPES.iter().filter_map(|text| TypePattern::new(text)).any(|pattern| pattern.matches(kind))
}

/// Whether events of that type may have to be counted.
pub(super) fn is_bounded(kind: &str) -> bool {
    is_unauthenticated(kind) || !matches!(cause_of(kind), Some(Cause::Administrator | Cause::Server))
}

impl TypeLimits {
    /// The limits of an event type, for a class with that limit; `None` if all its events are stored.
    pub(super) fn new(kind: &str, cause: Option<Cause>, burst: Burst, limit: Option<u64>) -> Option<Self> {
        if is_unauthenticated(kind) {
            return Some(Self::Failures(burst));
        }
        let (times, budget) = match cause {
            Some(Cause::Administrator | Cause::Server) => return None,
            Some(Cause::Stranger) => (OF_STRANGERS, ("strangers", 2000.0)),
            Some(Cause::RemoteServer) => (OF_USERS, ("servers", 4000.0)),
            Some(Cause::User) => (OF_USERS, ("users", 10_000.0)),
            Some(Cause::Moderator) => (OF_MODERATORS, ("users", 10_000.0)),
            None => (OF_OTHER_MODULES, ("others", 100_000.0)),
        };
        let share = |parts: u64| {
            let part = limit.map_or(u64::MAX, |limit| limit / (PART / parts));
            u32::try_from(part).unwrap_or(u32::MAX).max(FEWEST)
        };
        let each = burst.burst.saturating_mul(times);
        let by_actor = cause != Some(Cause::Stranger);
        let together = match cause {
            Some(Cause::Stranger) => each,
            Some(Cause::RemoteServer) => each.saturating_mul(SERVERS_TOGETHER),
            _ => each.saturating_mul(TOGETHER),
        };
        Some(Self::Actors {
            each: each.min(share(1)),
            together: together.min(share(2)),
            window: burst.window,
            by_actor,
            trusts: cause.is_none(),
            budget,
        })
    }

    /// The name of the budget, and its size in a class with that limit.
    pub(super) fn budget(&self, limit: Option<u64>) -> (&'static str, Size) {
        match self {
            Self::Failures(_) => ("", Size::FAILURES),
            Self::Actors { budget: (name, capacity), .. } => (name, Size::of_class(*capacity, limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::EVENT_TYPES;

    fn limits(kind: &str, limit: Option<u64>) -> Option<(u32, u32)> {
        match TypeLimits::new(kind, cause_of(kind), Burst::default(), limit)? {
            TypeLimits::Failures(Burst { burst, .. }) => Some((burst, burst)),
            TypeLimits::Actors { each, together, .. } => Some((each, together)),
        }
    }

    #[test]
    fn who_can_cause_an_event_says_how_many_are_stored() {
        for (kind, limit, expected) in [
            ("authentication-failure", None, Some((5, 5))),
            ("authentication-failure", Some(100), Some((5, 5))),
            ("adhoc-refused", None, Some((5, 5))),
            ("something-refused", None, Some((5, 5))),
            ("user-password-changed", None, Some((20, 1000))),
            ("user-password-changed", Some(1000), Some((20, 100))),
            ("user-password-changed", Some(100), Some((5, 10))),
            ("user-password-changed", Some(1), Some((3, 3))),
            ("s2s-established", None, Some((20, 200))),
            ("user-registered", None, Some((50, 50))),
            ("user-registered", Some(100), Some((5, 10))),
            ("room-affiliation-changed", None, Some((250, 12_500))),
            ("something-else", None, Some((10_000, 500_000))),
            ("something-else", Some(1000), Some((50, 100))),
            ("shell-command", Some(100), None),
            ("server-started", None, None),
        ] {
            assert_eq!(limits(kind, limit), expected, "{kind} {limit:?}");
        }
    }

    #[test]
    fn only_what_administrators_and_the_server_do_is_without_bounds() {
        for event in EVENT_TYPES {
            let is_free = matches!(event.cause, Cause::Administrator | Cause::Server);
            assert_eq!(limits(event.name, None).is_none(), is_free, "{}", event.name);
            assert_eq!(is_bounded(event.name), !is_free, "{}", event.name);
        }
    }
}
