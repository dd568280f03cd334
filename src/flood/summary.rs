//! What is stored in the place of events that were not.

use serde::{Deserialize, Serialize};

use crate::location::Location;

/// How many examples a summary has.
pub(super) const SAMPLES: usize = 5;

/// An entry that stands for events that were counted and not stored. Addresses are as the host's policy has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// The entry's id.
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
    /// Whether there were more events than `count`, as a crash may have taken the last second's.
    pub at_least: bool,
    /// Whether there may have been more accounts or networks than is said.
    pub distinct_at_least: bool,
    /// Examples.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
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
