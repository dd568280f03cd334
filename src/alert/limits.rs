//! How many messages are sent. A flood of events must not become a flood of messages.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

const AN_HOUR: f64 = 3600.0;
/// How many messages are sent within an hour, besides urgent ones and the one that sums up the rest.
const MESSAGES: usize = 19;
/// How many urgent messages are sent within an hour. Only somebody who owns as many accounts can cause that.
const URGENT: usize = 60;
/// How many keys are remembered for which there was a message.
const KEYS: usize = 4096;
/// How long others are waited for before those that were held back are summed up, in seconds.
const GATHER: f64 = 300.0;

/// The limits of a host. All times are UNIX times, so that they can be kept in a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    /// Until when there is no other message for a key.
    told: BTreeMap<u64, f64>,
    sent: VecDeque<f64>,
    urgent: VecDeque<f64>,
    /// How many alerts of each rule were held back.
    held: BTreeMap<String, u64>,
    /// When the first of them was.
    held_since: Option<f64>,
    /// When they were last summed up.
    summed: Option<f64>,
}

impl Limits {
    /// Whether an alert becomes a message. If not, there was one for its key lately, or it is held back and summed up later.
    pub(super) fn admits(&mut self, key: u64, rule: &str, is_urgent: bool, window: f64, now: f64) -> bool {
        // After a clock was set back, nothing may be silent for longer than the window.
        if self.told.get(&key).is_some_and(|until| (now..=now + window).contains(until)) {
            return false;
        }
        if self.told.len() >= KEYS {
            self.told.retain(|_, until| *until > now && *until < now + 31.0 * 86_400.0);
        }
        let has_place = self.told.len() < KEYS;
        if has_place {
            self.told.insert(key, now + window);
        }
        let (sent, most) = if is_urgent { (&mut self.urgent, URGENT) } else { (&mut self.sent, MESSAGES) };
        sent.retain(|time| (now - AN_HOUR..=now).contains(time));
        if has_place && sent.len() < most {
            sent.push_back(now);
            return true;
        }
        let held = self.held.entry(rule.to_owned()).or_default();
        *held = held.saturating_add(1);
        self.held_since.get_or_insert(now);
        false
    }

    /// What was held back, by rule, and since when, if it is time to sum it up.
    pub(super) fn sum(&mut self, now: f64) -> Option<(Vec<(String, u64)>, f64)> {
        let since = self.held_since?;
        let is_new = self.summed.is_none_or(|last| now - last >= AN_HOUR || now < last);
        if !is_new || now >= since && now - since < GATHER {
            return None;
        }
        self.summed = Some(now);
        self.held_since = None;
        Some((std::mem::take(&mut self.held).into_iter().collect(), since))
    }

    /// Whether something is held back.
    pub(super) fn holds(&self) -> bool {
        self.held_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn there_is_one_message_for_a_key_in_its_window() {
        let mut limits = Limits::default();
        let mut admits = |key, now| limits.admits(key, "server", false, 600.0, now);
        assert_eq!([admits(1, 0.0), admits(1, 599.0), admits(2, 599.0), admits(1, 601.0)], [true, false, true, true]);
        assert!(admits(1, -5000.0), "the clock was set back");
    }

    #[test]
    fn the_rest_is_summed_up_once_in_an_hour() {
        let mut limits = Limits::default();
        let admitted = (0..100).filter(|key| limits.admits(*key, "guessing", false, 600.0, 10.0)).count();
        assert_eq!(admitted, MESSAGES);
        assert_eq!(limits.sum(11.0), None);
        assert_eq!(limits.sum(400.0), Some((vec![("guessing".to_owned(), 81)], 10.0)));
        assert!(!limits.admits(200, "server", false, 600.0, 500.0) && limits.holds());
        assert_eq!(limits.sum(2000.0), None);
        assert_eq!(limits.sum(4001.0), Some((vec![("server".to_owned(), 1)], 500.0)));
        assert_eq!((limits.sum(9999.0), limits.holds()), (None, false));
    }

    #[test]
    fn urgent_messages_have_a_bound_of_their_own() {
        let mut limits = Limits::default();
        (0..1000).for_each(|key| {
            limits.admits(key, "guessing", false, 600.0, 0.0);
        });
        assert_eq!((2000..9000).filter(|key| limits.admits(*key, "guessed", true, 3600.0, 1.0)).count(), URGENT);
        assert!(limits.told.len() <= KEYS);
    }

    proptest! {
        #[test]
        fn an_hour_never_has_more_messages(steps in prop::collection::vec((0u64..40, 0.0..300.0f64, any::<bool>()), 1..400)) {
            let mut limits = Limits::default();
            let (mut now, mut others, mut urgent) = (0.0, Vec::new(), Vec::new());
            for (key, step, is_urgent) in steps {
                now += step;
                if limits.admits(key + if is_urgent { 100 } else { 0 }, "x", is_urgent, 60.0, now) {
                    if is_urgent { urgent.push(now) } else { others.push(now) }
                }
                if limits.sum(now).is_some() {
                    others.push(now);
                }
                let lately = |times: &[f64]| times.iter().filter(|time| now - **time < AN_HOUR).count();
                prop_assert!(lately(&others) <= 20 && lately(&urgent) <= URGENT);
            }
        }
    }
}
