//! Flood control: nobody but an administrator can make the log grow without bound, or wash anything out of it.
//!
//! An outcome is an event type on a host. Who can cause it is in the registry of types ([`Cause`](crate::catalogue::Cause)), and decides how it is bounded:
//!
//! - Failures, which anybody can cause without logging in ([`is_unauthenticated`]): of each outcome, account and network the first
//!   few events within a window are stored as they are.
//! - What users and other servers can cause: of each outcome and actor (the account that did it, the other server) the first few
//!   are stored as they are, and of all actors of one network several times as many. Long texts count as several events. An actor
//!   who goes on after a window that had to count gets longer windows, of which less is stored. In a class with a limit, an actor
//!   has at most a twentieth of it in a window.
//! - What administrators do and what the server does by itself is always stored.
//!
//! The rest is counted, and when the window is over one entry, a [`FloodSummary`], says how many there were, and who was concerned
//! most often. So the entries without a count and the sum of the counts are what happened.
//!
//! The windows lie in two tables of at most [`KEYS`] and [`ACTOR_KEYS`] keys, so that strangers can't take the room of users. Where
//! the first is full, keys get coarser: outcome and network, then outcome alone. And budgets hold for each host: unauthenticated
//! peers cause at most [`ENTRIES_A_MINUTE`] entries in any minute; in each retention class, users have a budget, strangers who
//! register have one, and so have other servers, and types that other modules report. Events that find it used up are counted, and
//! summaries are merged, by network and then by outcome, until there are few enough of them.
//!
//! What `audit_auth_repeat_*` leaves out is the same with another key (account and whole address), a burst of one and a window
//! of its own; where more keys come than are remembered, the oldest is forgotten.
//!
//! Keys come from attackers, so they are hashed with keys that nobody knows. `now` is a clock that does not jump, in seconds;
//! [`Control::set_clock`] says what it is in UNIX time.

mod budget;
mod checkpoint;
mod control;
mod count;
mod distinct;
mod event;
mod facts;
mod frequent;
mod host;
mod lately;
mod limits;
mod many;
mod merge;
mod outcome;
mod summary;
mod table;

use std::path::{Path, PathBuf};

pub use budget::ENTRIES_A_MINUTE;
pub use control::{Control, Verdict};
pub use count::{Described, Part};
pub use event::{Account, Event, weight};
pub use limits::{Burst, Repeats, is_unauthenticated};
pub use merge::Describe;
pub use summary::{FloodSummary, Often, Sample};
pub use table::{ACTOR_KEYS, KEYS};

/// Where it is written down what is being counted: beside the journal of the host.
#[must_use]
pub fn beside(journal: &Path) -> PathBuf {
    journal.with_extension("flood")
}
