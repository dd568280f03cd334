//! Numbers, kept as ranges: the first of each, and the last.

use std::collections::BTreeMap;

/// Whether a number is in ranges.
pub(super) fn has(ranges: &BTreeMap<u64, u64>, n: u64) -> bool {
    ranges.range(..=n).next_back().is_some_and(|(_, last)| *last >= n)
}

/// Adds a number to ranges. Returns whether it was not there yet.
pub(super) fn add(ranges: &mut BTreeMap<u64, u64>, n: u64) -> bool {
    if has(ranges, n) {
        return false;
    }
    let before = ranges.range(..n).next_back().map(|(first, last)| (*first, *last));
    let after = ranges.remove(&n.saturating_add(1)).unwrap_or(n);
    match before {
        Some((first, last)) if last.saturating_add(1) == n => ranges.insert(first, after),
        _ => ranges.insert(n, after),
    };
    true
}

/// Adds all numbers of other ranges.
pub(super) fn merge(ranges: &mut BTreeMap<u64, u64>, others: BTreeMap<u64, u64>) {
    for (mut first, mut last) in others {
        let next_to = |ranges: &BTreeMap<u64, u64>, first: u64, last: u64| {
            let before = ranges.range(..=last.saturating_add(1)).next_back().map(|(of, to)| (*of, *to));
            before.filter(|(_, to)| to.saturating_add(1) >= first)
        };
        while let Some((of, to)) = next_to(ranges, first, last) {
            ranges.remove(&of);
            (first, last) = (first.min(of), last.max(to));
        }
        ranges.insert(first, last);
    }
}

/// Removes a number.
fn remove(ranges: &mut BTreeMap<u64, u64>, n: u64) {
    let Some((first, last)) = ranges.range(..=n).next_back().map(|(first, last)| (*first, *last)).filter(|(_, last)| *last >= n) else {
        return;
    };
    ranges.remove(&first);
    if first < n {
        ranges.insert(first, n.saturating_sub(1));
    }
    if n < last {
        ranges.insert(n.saturating_add(1), last);
    }
}

/// Removes all numbers of other ranges.
pub(super) fn subtract(ranges: &mut BTreeMap<u64, u64>, others: &BTreeMap<u64, u64>) {
    others.iter().flat_map(|(first, last)| *first..=*last).for_each(|n| remove(ranges, n));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_what_a_set_is(numbers in prop::collection::vec(1..60_u64, 0..80)) {
            let (mut ranges, mut set) = (BTreeMap::new(), std::collections::BTreeSet::new());
            for n in numbers {
                prop_assert_eq!(add(&mut ranges, n), set.insert(n));
            }
            (0..62).for_each(|n| assert_eq!(has(&ranges, n), set.contains(&n)));
            let mut rest = ranges.clone();
            let odd: BTreeMap<u64, u64> = (1..60).step_by(2).map(|n| (n, n)).collect();
            subtract(&mut rest, &odd);
            (0..62).for_each(|n| assert_eq!(has(&rest, n), n % 2 == 0 && set.contains(&n)));
            // None of them follows the one before.
            prop_assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|((_, last), (first, _))| last + 1 < *first));
        }
    }
}
