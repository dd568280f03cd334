//! Counting in bounded memory: the most frequent of very many names, and events over time.

use std::collections::{BTreeMap, HashMap};

/// How many different names are counted at most.
const NAMES: usize = 4096;

/// The longest part of a name that is kept, in bytes.
const NAME: usize = 256;

/// How many buckets a timeline has at most.
const BUCKETS: usize = 2000;

/// How often each name occurred.
///
/// Counts are exact for up to 4,096 different names. For more names they are those of Misra and Gries' algorithm: each may be too
/// low by at most [`Counts::uncertainty`], and a name that occurred more often than that is never missing.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    table: HashMap<String, u64>,
    total: u64,
    uncertainty: u64,
}

/// The most frequent names, and the total of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking<'a> {
    /// Names with their counts, the most frequent first. Names with equal counts are in alphabetical order.
    pub top: Vec<(&'a str, u64)>,
    /// The count of all other names.
    pub rest: u64,
    /// How many other names there are. `None` if that is not known.
    pub others: Option<usize>,
}

impl Counts {
    /// Counts `name` `count` times.
    pub fn add(&mut self, name: &str, count: u64) {
        self.total = self.total.saturating_add(count);
        let name = shortened(name);
        if let Some(counted) = self.table.get_mut(name) {
            *counted = counted.saturating_add(count);
            return;
        }
        self.table.insert(name.to_owned(), count);
        if self.table.len() >= NAMES.saturating_mul(2) {
            self.shrink();
        }
    }

    /// The sum of all counts.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// By how much a count may be too low.
    #[must_use]
    pub const fn uncertainty(&self) -> u64 {
        self.uncertainty
    }

    /// How many different names there were. Returns `None` if there were too many to count.
    #[must_use]
    pub fn distinct(&self) -> Option<usize> {
        (self.uncertainty == 0).then_some(self.table.len())
    }

    /// The count of a name.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.table.get(shortened(name)).copied().unwrap_or_default()
    }

    /// The `limit` most frequent names.
    #[must_use]
    pub fn ranking(&self, limit: usize) -> Ranking<'_> {
        let mut top: Vec<(&str, u64)> = self.table.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        top.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let others = self.distinct().map(|distinct| distinct.saturating_sub(limit));
        top.truncate(limit);
        let shown = top.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        Ranking { rest: self.total.saturating_sub(shown), top, others }
    }

    /// Makes room: lowers all counts by that of the next most frequent name after the 4,096 kept, and drops what reaches zero.
    fn shrink(&mut self) {
        let mut counts: Vec<u64> = self.table.values().copied().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let least = counts.get(NAMES).copied().unwrap_or_default();
        self.uncertainty = self.uncertainty.saturating_add(least);
        self.table.retain(|_, count| {
            *count = count.saturating_sub(least);
            *count > 0
        });
    }
}

fn shortened(name: &str) -> &str {
    (0..=NAME).rev().find_map(|end| name.get(..end)).filter(|_| name.len() > NAME).unwrap_or(name)
}

/// The events of a period of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Events.
    pub events: u64,
    /// How many of them were failures.
    pub failures: u64,
}

/// The possible lengths of a bucket, in seconds. Each is a multiple of the one before it.
const LENGTHS: &[i64] = &[60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, DAY, 7 * DAY, 28 * DAY, 364 * DAY, 3640 * DAY];

const DAY: i64 = 86_400;

/// Events over time. Buckets become longer before there are too many of them.
#[derive(Clone, Debug)]
pub struct Histogram {
    length: i64,
    buckets: BTreeMap<i64, Bucket>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { length: 60, buckets: BTreeMap::new() }
    }
}

impl Histogram {
    /// Counts events at `time`, in seconds. Buckets of days begin at midnight of the zone that the times are in.
    pub fn add(&mut self, time: i64, events: u64, failures: u64) {
        let bucket = self.buckets.entry(time.div_euclid(self.length)).or_default();
        bucket.events = bucket.events.saturating_add(events);
        bucket.failures = bucket.failures.saturating_add(failures);
        while self.buckets.len() > BUCKETS && self.lengthen() {}
    }

    /// The buckets from the first event to the last, empty ones included, at most `limit` (and at least two): when each begins, and
    /// what happened in it. Also returns the length of a bucket, in seconds.
    #[must_use]
    pub fn buckets(&self, limit: usize) -> (Vec<(i64, Bucket)>, i64) {
        let mut coarse = self.clone();
        while coarse.span() > limit.max(2) && coarse.lengthen() {}
        let (Some((first, _)), Some((last, _))) = (coarse.buckets.first_key_value(), coarse.buckets.last_key_value()) else {
            return (Vec::new(), coarse.length);
        };
        // A longer timeline is not useful.
        let numbers = (*first..=*last).take(limit.max(2));
        let bucket = |number: i64| (number.saturating_mul(coarse.length), coarse.buckets.get(&number).copied().unwrap_or_default());
        (numbers.map(bucket).collect(), coarse.length)
    }

    /// The present length of a bucket, in seconds.
    #[must_use]
    pub const fn length(&self) -> i64 {
        self.length
    }

    /// The number of buckets from the first to the last.
    fn span(&self) -> usize {
        let ends = self.buckets.first_key_value().zip(self.buckets.last_key_value());
        ends.map_or(0, |((first, _), (last, _))| usize::try_from(last.saturating_sub(*first).saturating_add(1)).unwrap_or(usize::MAX))
    }

    /// Makes the buckets longer. Returns whether that was possible.
    fn lengthen(&mut self) -> bool {
        let Some(length) = LENGTHS.iter().copied().find(|length| *length > self.length) else { return false };
        let factor = length.checked_div(self.length).unwrap_or(1);
        let mut buckets: BTreeMap<i64, Bucket> = BTreeMap::new();
        for (number, bucket) in &self.buckets {
            let longer = buckets.entry(number.div_euclid(factor)).or_default();
            longer.events = longer.events.saturating_add(bucket.events);
            longer.failures = longer.failures.saturating_add(bucket.failures);
        }
        self.length = length;
        self.buckets = buckets;
        true
    }
}

/// A number with commas between groups of three digits.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len().saturating_add(6));
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with what it counts: "1 entry", "2,000 entries".
#[must_use]
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (u64::MAX, "18,446,744,073,709,551,615")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn lengths_fit_each_other() {
        for pair in LENGTHS.windows(2) {
            assert_eq!(pair[1] % pair[0], 0);
        }
    }

    #[test]
    fn few_names_are_counted_exactly() {
        let mut counts = Counts::default();
        for (name, count) in [("b", 1), ("a", 1), ("c", 5), ("a", 2)] {
            counts.add(name, count);
        }
        assert_eq!((counts.total(), counts.distinct(), counts.uncertainty()), (9, Some(3), 0));
        assert_eq!(counts.ranking(2), Ranking { top: vec![("c", 5), ("a", 3)], rest: 1, others: Some(1) });
    }

    #[test]
    fn a_flood_of_names_hides_no_frequent_one_and_takes_no_memory() {
        let mut counts = Counts::default();
        for number in 0..200_000 {
            counts.add(&format!("name-{number}"), 1);
            if number % 100 == 0 {
                counts.add("often", 1);
            }
        }
        assert!(counts.table.len() < 2 * NAMES);
        let (often, uncertainty) = (counts.of("often"), counts.uncertainty());
        assert_eq!((counts.total(), counts.distinct(), counts.ranking(1).top[0].0), (202_000, None, "often"));
        assert!(often <= 2000 && often + uncertainty >= 2000 && uncertainty < 100, "{often} {uncertainty}");
    }

    #[test]
    fn a_name_is_kept_as_long_as_it_may_be() {
        let mut counts = Counts::default();
        counts.add(&"ä".repeat(1000), 1);
        assert_eq!(counts.ranking(1).top[0].0.len(), NAME);
    }

    #[test]
    fn a_timeline_has_every_bucket_from_the_first_to_the_last() {
        let mut timeline = Histogram::default();
        timeline.add(0, 1, 0);
        timeline.add(7200, 2, 1);
        let bucket = |events, failures| Bucket { events, failures };
        assert_eq!(timeline.buckets(5), (vec![(0, bucket(1, 0)), (3600, bucket(0, 0)), (7200, bucket(2, 1))], 3600));
        assert_eq!(Histogram::default().buckets(10).0, []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_count_is_never_too_high_and_too_low_by_no_more_than_it_says(names in prop::collection::vec((0u32..30_000, 1u64..5), 0..15_000)) {
            let (mut counts, mut exact) = (Counts::default(), HashMap::<String, u64>::new());
            for (name, count) in names {
                counts.add(&name.to_string(), count);
                *exact.entry(name.to_string()).or_default() += count;
            }
            prop_assert_eq!(counts.total(), exact.values().sum::<u64>());
            for (name, count) in exact {
                let counted = counts.of(&name);
                prop_assert!(counted <= count && counted + counts.uncertainty() >= count);
            }
        }

        #[test]
        fn a_histogram_counts_every_event(times in prop::collection::vec((-10_000_000i64..10_000_000, 1u64..4), 1..3000), limit in 2usize..200) {
            let mut timeline = Histogram::default();
            for (time, events) in &times {
                timeline.add(*time, *events, events / 2);
            }
            let (buckets, length) = timeline.buckets(limit);
            prop_assert!(buckets.len() <= limit && timeline.buckets.len() <= BUCKETS);
            prop_assert_eq!(buckets.iter().map(|(_, bucket)| bucket.events).sum::<u64>(), times.iter().map(|(_, events)| events).sum::<u64>());
            prop_assert!(buckets.windows(2).all(|pair| pair[1].0 - pair[0].0 == length));
            prop_assert!(buckets.iter().all(|(begin, _)| begin % length == 0));
        }
    }
}
