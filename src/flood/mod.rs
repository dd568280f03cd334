//! Flood control: only an administrator can make the log grow without bound or push old entries out of it.
//!
//! An outcome is an event type on a host. The registry of types says who can cause it ([`Cause`](crate::catalogue::Cause)). That
//! decides its limits:
//!
//! - Failures, which a peer can cause without logging in ([`is_unauthenticated`]): for each outcome, account and network, the first
//!   few events within a window are stored as they are.
//! - What users and other servers can cause: for each outcome and actor (the account that did it, or the other server), the first
//!   few events are stored as they are. All actors of one network together may have several times as many. A long text counts as
//!   several events. If an actor goes over the limit, its next window is longer and its limit is lower. In a class with a limit, one
//!   actor has at most a twentieth of that limit in a window.
//! - What administrators do and what the server does by itself is always stored.
//!
//! All other events are counted. When the window ends, one entry (a [`FloodSummary`]) says how many there were, and which accounts,
//! networks and actors came most often. The number of entries without a count plus the sum of all counts is the number of events.
//!
//! The windows are kept in two tables of at most [`KEYS`] and [`ACTOR_KEYS`] keys, so that strangers can't fill the table of the
//! users. If the first table is full, coarser keys are used: outcome and network, then the outcome alone. In addition, each host has
//! budgets. Unauthenticated peers cause at most [`ENTRIES_A_MINUTE`] entries in any minute. In each retention class there is one
//! budget for users, one for strangers who register, one for other servers, and one for types that other modules report. If a budget
//! is used up, events are counted, and summaries are merged (by network, then by outcome) until the budget is enough for them.
//!
//! The options `audit_auth_repeat_*` use the same code with another key (account and whole address), a burst of one and a window
//! of their own. If there are more keys than are remembered, the oldest is forgotten.
//!
//! Attackers choose the keys, so they are hashed with a random secret. `now` is always a monotonic clock, in seconds.
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
mod origin;
mod outcome;
mod saved;
mod summary;
mod table;

use std::path::{Path, PathBuf};

pub use budget::ENTRIES_A_MINUTE;
pub use checkpoint::CheckpointError;
pub use control::{Control, Verdict};
pub use count::{AddressPart, Described};
pub use event::{Account, FloodEvent, weight};
pub use limits::{Burst, FIRST_LOOK, LOOK, Repeats, is_unauthenticated};
pub use merge::Describe;
pub use summary::{FloodSummary, Often, Sample};
pub use table::{ACTOR_KEYS, KEYS};

/// The path of a host's checkpoint, which holds the open counts. It is beside the journal of the host.
#[must_use]
pub fn beside(journal: &Path) -> PathBuf {
    journal.with_extension("flood")
}
