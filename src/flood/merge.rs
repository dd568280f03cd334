//! Merges counts, and makes the summary of a count.

use std::collections::HashMap;
use std::net::IpAddr;

use super::count::{AddressPart, Count, Described};
use super::many::Pool;
use super::outcome::HostOutcome;
use super::summary::FloodSummary;
use crate::catalogue::Cause;
use crate::random::HashSeed;

/// Returns what the host's policy stores of an address in an entry of this event type.
pub type Describe<'a> = dyn Fn(&str, IpAddr, AddressPart) -> Described + 'a;

/// Merges counts until there are at most `room`, or one for each outcome. Merges those of one network first, then the smallest.
pub(super) fn coarsen(counts: Vec<Count>, room: usize, hasher: &HashSeed, pool: &mut Pool) -> Vec<Count> {
    if counts.len() <= room {
        return counts;
    }
    let mut counts = merge_by(counts, |count| count.network().map(|network| (count.outcome, network)), hasher, pool);
    if counts.len() <= room {
        return counts;
    }
    let mut outcomes: Vec<usize> = counts.iter().map(|count| count.outcome).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    counts.sort_by_key(|count| std::cmp::Reverse(count.number));
    let rest = counts.split_off(room.saturating_sub(outcomes.len()).min(counts.len()));
    counts.extend(merge_by(rest, |count| Some(count.outcome), hasher, pool));
    counts
}

/// Merges counts with the same key. Those without a key stay as they are.
fn merge_by<K: Eq + std::hash::Hash>(
    counts: Vec<Count>,
    key: impl Fn(&Count) -> Option<K>,
    hasher: &HashSeed,
    pool: &mut Pool,
) -> Vec<Count> {
    let mut merged: Vec<Count> = Vec::new();
    let mut places: HashMap<K, usize> = HashMap::new();
    for count in counts {
        let next = merged.len();
        let place = key(&count).map_or(next, |key| *places.entry(key).or_insert(next));
        match merged.get_mut(place) {
            Some(own) => own.absorb(count, hasher, pool),
            None => merged.push(count),
        }
    }
    merged
}

/// The summary of a count, with its type and source.
pub(super) fn summary_of(count: &Count, outcomes: &[HostOutcome], offset: f64, describe: &Describe<'_>) -> FloodSummary {
    let (kind, source) = outcomes.get(count.outcome).map(|outcome| (outcome.kind.clone(), outcome.source.clone())).unwrap_or_default();
    let remote = outcomes.get(count.outcome).is_some_and(|outcome| outcome.cause == Some(Cause::RemoteServer));
    let summary = count.summary(offset, &|address, part| describe(&kind, address, part));
    FloodSummary { kind, source, remote, ..summary }
}
