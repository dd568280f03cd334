//! The rules that let entries of a class be removed: those of the time when an entry was recorded count, not those of today.

use sha2::{Digest, Sha256};

use super::hash::{BEGINNING, Bytes, Hash};

/// What stands for something that is not there.
const NONE: &str = "-";
/// How many rules are remembered of a chain. There is one for each change of the configuration.
pub(super) const MOST: usize = 200;

/// When entries of a class may be removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// After how many seconds. `None` if they never expire.
    pub expires: Option<u64>,
    /// How many of the newest are always kept. `None` without a limit: then only the expiry counts.
    pub limit: Option<u64>,
}

/// A rule, and when the first entry was recorded under it, in milliseconds since 1970.
pub type Since = (u64, Rule);

/// Entries that were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The number of the first of them.
    pub from: u64,
    /// The number of the last of them.
    pub upto: u64,
    /// The hash of the last one.
    pub hash: Hash,
    /// When the last one was recorded, in milliseconds since 1970.
    pub at: u64,
    /// When they were removed, in milliseconds since 1970.
    pub when: u64,
}

impl Removed {
    /// Whether a rule that was in force when they were recorded allows that they are gone. `since` is a time in milliseconds before
    /// which the last one can't have been recorded, `last` the number of the last entry of the chain.
    ///
    /// ```
    /// use audit_core::chain::hash::Bytes;
    /// use audit_core::chain::rules::{Removed, Rule};
    /// let removed = Removed { from: 1, upto: 9, hash: Bytes([0; 32]), at: 1_000, when: 70_000 };
    /// let rule = |expires, limit| [(0, Rule { expires, limit })];
    /// assert!(removed.is_allowed(&rule(Some(60), None), 0, 10, 61_000));
    /// assert!(!removed.is_allowed(&rule(Some(60), None), 2_000, 10, 61_000));
    /// assert!(!removed.is_allowed(&rule(None, Some(5)), 0, 10, 61_000));
    /// assert!(removed.is_allowed(&rule(None, Some(5)), 0, 14, 61_000));
    /// ```
    #[must_use]
    pub fn is_allowed(&self, rules: &[Since], since: u64, last: u64, now: u64) -> bool {
        // The clock was wrong when they were recorded, or there is no rule to compare with.
        let at = self.at.max(since);
        let rule = rules.iter().rev().find(|(since, _)| *since <= at).or_else(|| rules.first());
        let Some((_, Rule { expires, limit })) = rule.filter(|_| at <= self.when) else { return true };
        let has_expired = expires.is_some_and(|seconds| at.saturating_add(seconds.saturating_mul(1000)) <= now);
        has_expired || limit.is_some_and(|limit| last.saturating_sub(self.upto) >= limit)
    }

    /// `FROM-UPTO:HASH:AT:WHEN`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let (from, upto) = fields.next()?.split_once('-')?;
        let removed = Self {
            from: from.parse().ok()?,
            upto: upto.parse().ok()?,
            hash: Bytes::read(fields.next()?)?,
            at: fields.next()?.parse().ok()?,
            when: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(removed)
    }

    pub(super) fn text(&self) -> String {
        format!("{}-{}:{}:{}:{}", self.from, self.upto, self.hash, self.at, self.when)
    }
}

/// `SINCE:EXPIRES:LIMIT`.
pub(super) fn read(text: &str) -> Option<Since> {
    let number = |text: &str| if text == NONE { Some(None) } else { text.parse().ok().map(Some) };
    let mut fields = text.split(':');
    let since = fields.next()?.parse().ok()?;
    let rule = Rule { expires: number(fields.next()?)?, limit: number(fields.next()?)? };
    fields.next().is_none().then_some((since, rule))
}

pub(super) fn text((since, rule): &Since) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| NONE.to_owned(), |number| number.to_string());
    format!("{since}:{}:{}", number(rule.expires), number(rule.limit))
}

/// What is sealed of the rules of a chain, after each of them: the hash of the text of the rule behind the hash before.
pub(super) fn digests(rules: &[Since]) -> Vec<Hash> {
    let mut digests = vec![BEGINNING];
    for rule in rules {
        let before = digests.last().copied().unwrap_or(BEGINNING);
        digests.push(Bytes(Sha256::new_with_prefix(before.0).chain_update(text(rule)).finalize().into()));
    }
    digests
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400_000;

    fn removed(at: u64, when: u64) -> Removed {
        Removed { from: 1, upto: 9, hash: BEGINNING, at, when }
    }

    #[test]
    fn a_shorter_expiry_is_not_in_force_for_what_was_recorded_before() {
        let rules = [(0, Rule { expires: Some(30 * 86_400), limit: None }), (10 * DAY, Rule { expires: Some(86_400), limit: None })];
        assert!(!removed(9 * DAY, 12 * DAY).is_allowed(&rules, 0, 20, 12 * DAY));
        assert!(removed(10 * DAY, 12 * DAY).is_allowed(&rules, 0, 20, 12 * DAY));
        // When the rule of its time would have removed it, too.
        assert!(removed(9 * DAY, 12 * DAY).is_allowed(&rules, 0, 20, 39 * DAY));
        // The clock was a year ahead when it was pruned, or when it was recorded.
        assert!(!removed(9 * DAY, 400 * DAY).is_allowed(&rules, 0, 20, 12 * DAY));
        assert!(removed(400 * DAY, 12 * DAY).is_allowed(&rules, 0, 20, 12 * DAY));
        assert!(removed(9 * DAY, 12 * DAY).is_allowed(&[], 0, 20, 12 * DAY), "no rule is known");
    }

    proptest! {
        #[test]
        fn they_are_written_and_read(since: u64, expires: Option<u64>, limit: Option<u64>, hash: [u8; 32], n: [u64; 4]) {
            let rule = (since, Rule { expires, limit });
            prop_assert_eq!(read(&text(&rule)), Some(rule));
            let removed = Removed { from: n[0], upto: n[1], hash: Bytes(hash), at: n[2], when: n[3] };
            prop_assert_eq!(Removed::read(&removed.text()), Some(removed));
            prop_assert!(read(&removed.text()).is_none() && Removed::read(&text(&rule)).is_none());
        }
    }
}
