//! Retention classes: which events are kept together, for how long, and how much of their addresses is stored.
//!
//! Each event type belongs to one class. The order of the classes in the configuration does not matter. A class that has the full name
//! of the type comes first. Then comes [`FAILURES`], for types that unauthenticated peers can cause. Then comes the pattern with the
//! most characters besides `*`. If several are equal, the class whose name sorts first is used. All other types belong to
//! [`DEFAULT_CLASS`].

use std::cmp::Reverse;
use std::fmt;

use crate::address::Policy;
use crate::archive::partition::{DEFAULT_CLASS, Partition};
use crate::time::period::Period;
use crate::wildcard::Wildcard;

/// The class for events that unauthenticated peers can cause. It exists by default, so that such events can't push out others.
pub const FAILURES: &str = "failures";

/// The default types of [`FAILURES`].
pub const FAILURE_TYPES: &[&str] = &["authentication-failure", "*-refused"];

/// How the entries of a class are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// How long entries are kept.
    pub expires_after: Period,
    /// The number of entries that are always kept. `None` if only the expiry limits them.
    pub limit: Option<u64>,
    /// How much of an address is stored.
    pub addresses: Policy,
    /// When stored addresses are reduced. `None` means never.
    pub addresses_expire: Option<AddressExpiry>,
}

/// When addresses expire, and what is kept of them afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AddressExpiry {
    /// The age at which they expire.
    pub after: Period,
    /// How much is kept afterwards.
    pub to: Policy,
}

/// The largest number of entries in a partition. The embedded driver often loads a whole partition, and an SQL driver removes it with
/// one statement. This many entries block the server for about ten milliseconds at most.
const PARTITION_ENTRIES: u64 = 500;

impl Rules {
    /// The number of entries in a partition of the class. With a limit it is about a tenth of the limit, so that pruning removes a small
    /// part at a time.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.limit.map_or(PARTITION_ENTRIES, |limit| (limit / 10).clamp(PARTITION_ENTRIES / 5, PARTITION_ENTRIES))
    }
}

impl Default for Rules {
    /// Entries are kept for 28 days, with whole addresses.
    fn default() -> Self {
        Self { expires_after: Period::Seconds(28.0 * 86_400.0), limit: None, addresses: Policy::default(), addresses_expire: None }
    }
}

/// A retention class.
#[derive(Clone, Debug, PartialEq)]
pub struct RetentionClass {
    /// Its name.
    pub name: String,
    /// The event types of the class. Empty for the default class, which has all other types.
    pub types: Vec<TypePattern>,
    /// How its entries are kept.
    pub rules: Rules,
}

/// A pattern for event types. `*` stands for any number of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypePattern(Wildcard);

impl TypePattern {
    /// Parses a pattern. Returns `None` if no event type could match the text.
    ///
    /// ```
    /// use audit_core::archive::retention::TypePattern;
    /// assert!(TypePattern::new("*-refused").unwrap().matches("s2s-refused"));
    /// assert!(TypePattern::new("").is_none());
    /// ```
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= 128 && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        fits.then(|| Self(Wildcard::new(text)))
    }

    /// Whether the pattern matches an event type.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        self.0.matches(event_type)
    }

    fn is_exact(&self) -> bool {
        self.0.word().is_some()
    }

    /// The number of characters besides `*`.
    fn weight(&self) -> usize {
        self.0.pieces().map(|piece| piece.chars().count()).sum()
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The retention classes of one host.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    /// All classes but the default class, sorted by name.
    classes: Vec<RetentionClass>,
    default: RetentionClass,
    /// The rules for entries of classes that are no longer configured.
    former: Rules,
}

impl Default for Retention {
    fn default() -> Self {
        Self::new(Rules::default(), Vec::new())
    }
}

impl Retention {
    /// The classes of a configuration. `rules` are the rules of the default class, unless `classes` has a class called
    /// [`DEFAULT_CLASS`]. [`FAILURES`] is added if it is missing.
    #[must_use]
    pub fn new(rules: Rules, mut classes: Vec<RetentionClass>) -> Self {
        if !classes.iter().any(|class| class.name == FAILURES) {
            let types = FAILURE_TYPES.iter().filter_map(|text| TypePattern::new(text)).collect();
            classes.push(RetentionClass { name: FAILURES.to_owned(), types, rules });
        }
        let own = classes.iter().position(|class| class.name == DEFAULT_CLASS).map(|at| classes.remove(at).rules);
        classes.sort_by(|a, b| a.name.cmp(&b.name));
        classes.dedup_by(|b, a| a.name == b.name);
        let default = RetentionClass { name: DEFAULT_CLASS.to_owned(), types: Vec::new(), rules: own.unwrap_or(rules) };
        let all = || classes.iter().chain([&default]).map(|class| class.rules.expires_after);
        let longest = all().chain([rules.expires_after]).fold(0.0, |longest, period| period.seconds().max(longest));
        let expires_after = Period::from_seconds(longest).unwrap_or(Period::Never);
        Self { former: Rules { expires_after, ..rules }, classes, default }
    }

    /// All classes: the default class first, then the others sorted by name.
    pub fn classes(&self) -> impl Iterator<Item = &RetentionClass> {
        [&self.default].into_iter().chain(&self.classes)
    }

    /// The name of the class that an event type belongs to.
    ///
    /// ```
    /// use audit_core::archive::retention::Retention;
    /// let retention = Retention::default();
    /// assert_eq!(retention.class_of("authentication-failure"), "failures");
    /// assert_eq!(retention.class_of("user-registered"), "events");
    /// ```
    #[must_use]
    pub fn class_of(&self, event_type: &str) -> &str {
        let rank = |class: &RetentionClass, pattern: &TypePattern| (pattern.is_exact(), class.name == FAILURES, pattern.weight());
        let claims = self.classes.iter().filter_map(|class| {
            let best = class.types.iter().filter(|pattern| pattern.matches(event_type)).map(|pattern| rank(class, pattern)).max();
            best.map(|rank| (rank, Reverse(class.name.as_str()), class))
        });
        claims.max_by_key(|(rank, name, _)| (*rank, *name)).map_or(&self.default.name, |(.., class)| &class.name)
    }

    /// The rules of a class. If it is not configured, entries are kept for as long as in the class with the longest expiry. So no entry
    /// is lost because a class was renamed.
    #[must_use]
    pub fn rules(&self, class: &str) -> &Rules {
        self.class(class).map_or(&self.former, |class| &class.rules)
    }

    /// The same classes, but nothing expires. Used while the clock is not trusted.
    #[must_use]
    pub fn without_expiry(&self) -> Self {
        let keep = |rules: Rules| Rules { expires_after: Period::Never, addresses_expire: None, ..rules };
        let mut kept = self.clone();
        kept.former = keep(kept.former);
        for class in kept.classes.iter_mut().chain([&mut kept.default]) {
            class.rules = keep(class.rules);
        }
        kept
    }

    /// Whether the configuration has the class.
    #[must_use]
    pub fn has(&self, class: &str) -> bool {
        self.class(class).is_some()
    }

    /// The time before which entries of a class have expired at `now`, in UNIX seconds. Returns `None` if they never expire.
    #[must_use]
    pub fn cutoff(&self, class: &str, now: f64) -> Option<f64> {
        self.rules(class).expires_after.cutoff(now)
    }

    /// The time before which the entries of all classes have expired.
    #[must_use]
    pub fn last_cutoff(&self, now: f64) -> Option<f64> {
        self.former.expires_after.cutoff(now)
    }

    /// The time before which the entries of at least one class have expired.
    #[must_use]
    pub fn first_cutoff(&self, now: f64) -> Option<f64> {
        self.classes().filter_map(|class| class.rules.expires_after.cutoff(now)).reduce(f64::max)
    }

    /// The times before which the entries of each class have expired, and those of classes that are not configured.
    pub fn cutoffs(&self, now: f64) -> impl Iterator<Item = f64> {
        self.classes().filter_map(move |class| class.rules.expires_after.cutoff(now)).chain(self.last_cutoff(now))
    }

    /// Whether all entries in a partition have expired at `now`.
    #[must_use]
    pub fn is_expired(&self, partition: &Partition, now: f64) -> bool {
        self.cutoff(partition.home(), now).is_some_and(|cutoff| partition.end() <= cutoff)
    }

    fn class(&self, name: &str) -> Option<&RetentionClass> {
        self.classes().find(|class| class.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wildcard::tests::naive;
    use proptest::prelude::*;

    const DAY: f64 = 86_400.0;

    fn class(name: &str, types: &[&str], days: f64) -> RetentionClass {
        let types = types.iter().map(|text| TypePattern::new(text).unwrap()).collect();
        RetentionClass { name: name.to_owned(), types, rules: Rules { expires_after: Period::Seconds(days * DAY), ..Rules::default() } }
    }

    fn retention(classes: &[RetentionClass]) -> Retention {
        Retention::new(Rules::default(), classes.to_vec())
    }

    #[test]
    fn a_partition_has_a_tenth_of_a_limit_within_bounds() {
        for (limit, room) in [(None, 500), (Some(1), 100), (Some(1000), 100), (Some(2000), 200), (Some(5000), 500), (Some(100_000), 500)] {
            assert_eq!(Rules { limit, ..Rules::default() }.room(), room, "{limit:?}");
        }
    }

    #[test]
    fn a_partition_expires_with_its_last_second() {
        let retention = retention(&[class("short", &[], 2.0)]);
        let partition: Partition = "@short.2026-11-21".parse().unwrap();
        let due = partition.end() + 2.0 * DAY;
        assert!(retention.is_expired(&partition, due) && !retention.is_expired(&partition, due - 1.0));
    }

    #[test]
    fn without_expiry_the_classes_keep_everything() {
        let expiry = AddressExpiry { after: Period::Seconds(DAY), to: Policy::None };
        let mut short = class("short", &["user-*"], 2.0);
        short.rules = Rules { limit: Some(7), addresses_expire: Some(expiry), addresses: Policy::Hash, ..short.rules };
        let kept = retention(&[short]).without_expiry();
        assert_eq!(kept.class_of("user-registered"), "short");
        for name in ["short", "events", "failures", "former"] {
            assert_eq!((kept.cutoff(name, 9e9), kept.rules(name).addresses_expire), (None, None), "{name}");
        }
        assert_eq!((kept.rules("short").limit, kept.rules("short").addresses), (Some(7), Policy::Hash));
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, event_type, matches) in [
            ("user-registered", "user-registered", true),
            ("user-registered", "user-registered-again", false),
            ("user-*", "user-registered", true),
            ("user-*", "user-", true),
            ("user-*", "new-user-registered", false),
            ("*-refused", "s2s-refused", true),
            ("*-refused", "refused", false),
            ("*-refused", "s2s-refused-again", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*bc*c", "abc", false),
            ("ab*ba", "aba", false),
            ("**", "x", true),
        ] {
            assert_eq!(TypePattern::new(pattern).unwrap().matches(event_type), matches, "{pattern} {event_type}");
        }
        for none in ["", "a b", "a\nb", "\u{a0}", &"x".repeat(129)] {
            assert_eq!(TypePattern::new(none), None, "{none:?}");
        }
    }

    #[test]
    fn without_configuration_there_are_failures_and_the_default_class() {
        let retention = Retention::default();
        for (event_type, class) in [
            ("authentication-failure", FAILURES),
            ("s2s-refused", FAILURES),
            ("registration-refused", FAILURES),
            ("authentication-success", DEFAULT_CLASS),
            ("user-registered", DEFAULT_CLASS),
            ("", DEFAULT_CLASS),
        ] {
            assert_eq!(retention.class_of(event_type), class, "{event_type}");
            assert_eq!(retention.rules(class), &Rules::default());
        }
        assert_eq!(retention.classes().map(|class| class.name.as_str()).collect::<Vec<_>>(), [DEFAULT_CLASS, FAILURES]);
    }

    #[test]
    fn classes_have_a_fixed_order() {
        let retention = retention(&[
            class("zebra", &["user-*", "s2s-*"], 1.0),
            class("accounts", &["user-*", "user-registered-x"], 1.0),
            class("longer", &["user-reg*"], 1.0),
            class("named", &["user-registered", "registration-refused"], 1.0),
            class("everything-refused", &["*user-is-refused"], 1.0),
        ]);
        for (event_type, class) in [
            ("user-registered", "named"),
            ("user-registered-x", "accounts"),
            ("user-regained", "longer"),
            ("user-deleted", "accounts"),
            ("s2s-established", "zebra"),
            ("s2s-refused", FAILURES),
            ("user-is-refused", FAILURES),
            ("registration-refused", "named"),
        ] {
            assert_eq!(retention.class_of(event_type), class, "{event_type}");
        }
    }

    #[test]
    fn a_class_that_is_no_longer_configured_is_kept_for_the_longest_time() {
        let retention = retention(&[class("accounts", &["user-*"], 365.0), class(FAILURES, &["*-failure"], 7.0)]);
        assert_eq!(retention.cutoff("accounts", 400.0 * DAY), Some(35.0 * DAY));
        assert_eq!(retention.cutoff(FAILURES, 400.0 * DAY), Some(393.0 * DAY));
        assert_eq!(retention.cutoff(DEFAULT_CLASS, 400.0 * DAY), Some(372.0 * DAY));
        assert_eq!(retention.cutoff("renamed", 400.0 * DAY), Some(35.0 * DAY));
        assert_eq!((retention.last_cutoff(400.0 * DAY), retention.first_cutoff(400.0 * DAY)), (Some(35.0 * DAY), Some(393.0 * DAY)));
        assert!(retention.has("accounts") && !retention.has("renamed"));
        let mut forever = class("forever", &["x"], 1.0);
        forever.rules.expires_after = Period::Never;
        assert_eq!(Retention::new(Rules::default(), vec![forever]).last_cutoff(0.0), None);
    }

    #[test]
    fn the_default_class_can_have_rules_of_its_own() {
        let retention = retention(&[class(DEFAULT_CLASS, &[], 2.0)]);
        assert_eq!(retention.cutoff(DEFAULT_CLASS, 10.0 * DAY), Some(8.0 * DAY));
        assert_eq!(retention.class_of("user-registered"), DEFAULT_CLASS);
        assert_eq!(retention.last_cutoff(30.0 * DAY), Some(2.0 * DAY), "the class failures has the longest expiry");
    }

    proptest! {
        #[test]
        fn a_pattern_matches_like_a_naive_one(pattern in "[ab*]{1,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(TypePattern::new(&pattern).unwrap().matches(&text), naive(&pattern, &text));
        }

        #[test]
        fn the_order_in_the_configuration_does_not_matter(
            classes in prop::collection::vec(("[a-d]", prop::collection::vec("[ab*-]{1,5}", 1..4)), 1..5),
            event_type in "[ab-]{0,6}",
        ) {
            let mut classes: Vec<RetentionClass> = classes.iter().map(|(name, types)| class(name, &types.iter().map(String::as_str).collect::<Vec<_>>(), 1.0)).collect();
            classes.sort_by(|a, b| a.name.cmp(&b.name));
            classes.dedup_by(|a, b| a.name == b.name);
            let forward = retention(&classes);
            classes.reverse();
            let backward = retention(&classes);
            prop_assert_eq!(forward.class_of(&event_type), backward.class_of(&event_type));
        }
    }
}
