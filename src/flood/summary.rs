//! The entry that is stored instead of many events.

use serde::{Deserialize, Serialize};

use crate::address::location::Location;

/// How many samples a summary has.
pub(super) const SAMPLES: usize = 5;

/// The longest text of a sample, in bytes.
pub(super) const SAMPLE_LIMIT: usize = 255;

/// An entry that stands for events that were counted and not stored. Its addresses follow the address policy of the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FloodSummary {
    /// The entry's id. Empty until the summary is returned to be stored.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The module that reported the first event.
    pub source: String,
    /// The account of all events, if it is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The address or network of all events, if it is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    /// The location of `remote_ip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Who caused all events, if it is always the same and not `user`: an account, or another server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Whether `actor` is another server.
    #[serde(skip_serializing_if = "is_false")]
    pub remote: bool,
    /// The number of events.
    pub count: u64,
    /// The time of the first event, in UNIX seconds.
    pub first: f64,
    /// The time of the last event, in UNIX seconds.
    pub last: f64,
    /// The number of different accounts.
    pub accounts: u64,
    /// The number of different networks.
    pub networks: u64,
    /// The number of different actors. 0 if actors are not told apart.
    #[serde(skip_serializing_if = "is_zero")]
    pub actors: u64,
    /// Whether there may have been more events than `count`: a crash loses the last second of a count.
    pub at_least: bool,
    /// Whether there may have been more than `accounts` or `networks`.
    pub distinct_at_least: bool,
    /// Some of the events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// The most frequent accounts, networks and actors, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub often: Vec<Often>,
    /// Whether `user` is known to exist.
    #[serde(skip_serializing_if = "is_false")]
    pub exists: bool,
    /// Whether there were other accounts than those that `often` names.
    #[serde(skip_serializing_if = "is_false")]
    pub others: bool,
    /// The set of all accounts as text, see [`Names`](crate::entry::names::Names). `None` if `often` names all of them, or if there
    /// were too many for the set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
    /// Whether the previous process may have stored the entry already.
    #[serde(skip)]
    pub offered: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde requires it.
const fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// A frequent account, network or actor: exactly one of the three is set.
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
    /// How often it came, at least.
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
    /// Why the attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// Shortens a text to the limit of a sample.
pub(super) fn shortened(mut text: String) -> String {
    if text.len() > SAMPLE_LIMIT {
        let mut end = SAMPLE_LIMIT.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_only_the_fields_that_say_something() {
        let expected = r#"{"type":"","source":"","count":0,"first":0.0,"last":0.0,"accounts":0,"networks":0,"at_least":false,"distinct_at_least":false}"#;
        assert_eq!(serde_json::to_string(&FloodSummary::default()).unwrap(), expected);
    }

    #[test]
    fn only_a_text_over_the_limit_is_shortened() {
        let longest = "x".repeat(SAMPLE_LIMIT);
        assert_eq!(shortened(longest.clone()), longest);
        assert_eq!(shortened(longest + "x"), "x".repeat(SAMPLE_LIMIT - '…'.len_utf8()) + "…");
    }
}
