//! How many events of each type are stored as they are. That depends on who can cause the type.

use super::budget::Size;
use crate::archive::retention::{FAILURE_TYPES, TypePattern};
use crate::catalogue::{Cause, cause_of};

/// How long after the first counted event the caller looks for windows that have ended, in seconds.
pub const FIRST_LOOK: f64 = 0.25;
/// How often it looks after that, and writes a checkpoint, in seconds.
pub const LOOK: f64 = 1.0;

/// The limit for each user and each other server, as a multiple of the limit for failures.
const OF_USERS: u32 = 4;
/// The same for peers without an account, for each network.
const OF_STRANGERS: u32 = 10;
/// The same for moderators, who import lists and clean up after attacks.
const OF_MODERATORS: u32 = 50;
/// The same for types that other modules report. Only those modules know how often they happen, so this only stops a module that
/// reports without end. In a class with a limit the usual share of that limit applies.
const OF_OTHER_MODULES: u32 = 2000;

/// The limit for all actors of one network, as a multiple of the limit for one actor. A large network has many users.
const TOGETHER: u32 = 50;
/// The same for other servers: domain names are cheap.
const SERVERS_TOGETHER: u32 = 10;

/// In a class with a limit, one actor has at most one in this many entries of it in a window, and the actors of one network twice that.
const PART: u64 = 20;

/// The lowest limit for an actor, even if the limit of the class is very small.
const FEWEST: u32 = 3;

/// How many events of a key are stored as they are within a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// The largest number of events that are stored.
    pub burst: u32,
    /// Length of a window, in seconds.
    pub window: f64,
}

impl Default for Burst {
    fn default() -> Self {
        Self { burst: 5, window: 60.0 }
    }
}

/// For how long the same outcome of the same account and address is not stored again, in seconds. `None` turns this off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeats {
    /// For `authentication-failure`.
    pub failure: Option<f64>,
    /// For `authentication-success`.
    pub success: Option<f64>,
    /// How many pairs of account and address are remembered for each of the two.
    pub keys: usize,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { failure: None, success: None, keys: 128 }
    }
}

/// The limits of an outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TypeLimits {
    /// For each account and network.
    Failures(Burst),
    /// For each actor.
    Actors {
        /// How many events of one actor are stored.
        each: u32,
        /// How many events of all actors of a network are stored.
        together: u32,
        /// Length of a window, in seconds.
        window: f64,
        /// Whether actors are told apart. They are not if each of them makes a new account: then only the network counts.
        by_actor: bool,
        /// Whether events without an actor and without an address are always stored. That is the case for types of other modules,
        /// which are trusted.
        trusts: bool,
        budget: (&'static str, f64),
    },
}

/// Whether unauthenticated peers can cause events of this type, see [`FAILURE_TYPES`].
#[must_use]
pub fn is_unauthenticated(kind: &str) -> bool {
    FAILURE_TYPES.iter().filter_map(|text| TypePattern::new(text)).any(|pattern| pattern.matches(kind))
}

/// Whether there are limits for this type. If not, its events are always stored.
pub(super) fn is_bounded(kind: &str) -> bool {
    is_unauthenticated(kind) || !matches!(cause_of(kind), Some(Cause::Administrator | Cause::Server))
}

impl TypeLimits {
    /// The limits of an event type in a class with this limit. Returns `None` if all its events are stored.
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

    /// The name of the budget that pays for the entries, and its size in a class with this limit.
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
