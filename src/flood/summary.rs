//! What is stored in the place of events that were not.

use serde::{Deserialize, Serialize};

use crate::address::location::Location;

/// How many examples a summary has.
pub(super) const SAMPLES: usize = 5;

/// An entry that stands for events that were counted and not stored. Addresses are as the host's policy has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FloodSummary {
    /// The entry's id; empty as long as nothing was written of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The module that reported the first of them.
    pub source: String,
    /// The account that all of them concern, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The address or network that all of them came from, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    /// Its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Who caused all of them, if it was one and is not `user`: an account, or another server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Whether `actor` is another server.
    #[serde(skip_serializing_if = "is_false")]
    pub remote: bool,
    /// How many events.
    pub count: u64,
    /// When the first of them happened, in UNIX seconds.
    pub first: f64,
    /// When the last of them happened.
    pub last: f64,
    /// How many different accounts they concern.
    pub accounts: u64,
    /// How many different networks they came from.
    pub networks: u64,
    /// How many different actors caused them, where actors are told apart.
    #[serde(skip_serializing_if = "is_zero")]
    pub actors: u64,
    /// Whether there were more events than `count`, as a crash may have taken the last second's.
    pub at_least: bool,
    /// Whether there may have been more accounts or networks than is said.
    pub distinct_at_least: bool,
    /// Examples.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// The accounts, networks and actors that came most often, where they are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub often: Vec<Often>,
    /// Whether `user` is known to exist.
    #[serde(skip_serializing_if = "is_false")]
    pub exists: bool,
    /// Whether there were other accounts than those that are named.
    #[serde(skip_serializing_if = "is_false")]
    pub others: bool,
    /// The accounts, see [`Names`](crate::entry::names::Names); `None` if they were too many even for that, or if all are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
    /// Whether a store may have the entry already: another process began to write it.
    #[serde(skip)]
    pub offered: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde wants it.
const fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What came often: one of the three is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Often {
    /// An account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// An actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// How often at least.
    pub count: u64,
    /// Whether the account is known to exist.
    #[serde(skip_serializing_if = "is_false")]
    pub exists: bool,
}

/// One of the events that a summary stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}
