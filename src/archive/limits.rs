//! Enforces the limit of a class: which partitions are counted, and which are removed.

use std::collections::{HashMap, VecDeque};

use crate::archive::partition::Partition;

/// How many entries the full partitions of all hosts have, as far as that is known. A full partition gets no more entries.
#[derive(Debug, Default)]
pub struct PartitionSizes {
    hosts: HashMap<String, HashMap<Partition, u64>>,
}

impl PartitionSizes {
    /// Notes how many entries a full partition has.
    pub fn set(&mut self, host: &str, partition: Partition, entries: u64) {
        self.hosts.entry(host.to_owned()).or_default().insert(partition, entries);
    }

    /// Notes that a partition was removed.
    pub fn remove(&mut self, host: &str, partition: &Partition) {
        if let Some(sizes) = self.hosts.get_mut(host) {
            sizes.remove(partition);
        }
    }

    /// Forgets a host, or all of them.
    pub fn forget(&mut self, host: Option<&str>) {
        match host {
            Some(host) => {
                self.hosts.remove(host);
            }
            None => self.hosts.clear(),
        }
    }

    fn get(&self, host: &str, partition: &Partition) -> Option<u64> {
        self.hosts.get(host)?.get(partition).copied()
    }
}

/// The next thing to do to enforce a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitStep {
    /// Count the entries of this partition, and report their number by [`Limit::counted`].
    Count(Partition),
    /// Remove this partition.
    Remove(Partition),
}

/// A limit of a class that is being enforced. Only whole partitions are removed, the oldest first, and the others keep at least as
/// many entries as the limit says. The newest partition is in use and is never removed.
///
/// ```
/// use audit_core::archive::limits::{Limit, LimitStep, PartitionSizes};
/// let partitions: Vec<_> = ["@events.2026-11-24", "@events.2026-11-23", "@events.2026-11-22"].map(|name| name.parse().unwrap()).into();
/// let mut sizes = PartitionSizes::default();
/// let mut limit = Limit::new("example.com", 200, partitions.clone());
/// for entries in [40, 160] {
///     assert!(matches!(limit.next_step(&sizes), Some(LimitStep::Count(_))));
///     limit.counted(&mut sizes, entries);
/// }
/// assert_eq!(limit.next_step(&sizes), Some(LimitStep::Remove(partitions[2].clone())));
/// assert_eq!(limit.next_step(&sizes), None);
/// ```
#[derive(Debug)]
pub struct Limit {
    host: String,
    limit: u64,
    /// Those that were neither counted nor removed, newest first.
    partitions: VecDeque<Partition>,
    /// How many entries were counted. `None` if the newest partition was not counted yet.
    held: Option<u64>,
}

impl Limit {
    /// `limit` is the number of entries, and `partitions` are those of the class, newest first.
    #[must_use]
    pub fn new(host: &str, limit: u64, partitions: Vec<Partition>) -> Self {
        Self { host: host.to_owned(), limit, partitions: partitions.into(), held: None }
    }

    /// The next step. Returns `None` if the limit is enforced. Nothing is counted that need not be.
    pub fn next_step(&mut self, sizes: &PartitionSizes) -> Option<LimitStep> {
        loop {
            if self.held.is_some_and(|held| held >= self.limit) {
                return self.partitions.pop_back().map(LimitStep::Remove);
            }
            let partition = self.partitions.front()?;
            // The newest one may have got entries since it was counted.
            let Some((held, size)) = self.held.zip(sizes.get(&self.host, partition)) else {
                return Some(LimitStep::Count(partition.clone()));
            };
            self.held = Some(held.saturating_add(size));
            self.partitions.pop_front();
        }
    }

    /// Reports how many entries the partition of a [`LimitStep::Count`] has.
    pub fn counted(&mut self, sizes: &mut PartitionSizes, entries: u64) {
        let Some(partition) = self.partitions.pop_front() else { return };
        if self.held.is_some() {
            sizes.set(&self.host, partition, entries);
        }
        self.held = Some(self.held.unwrap_or_default().saturating_add(entries));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "example.com";
    const NOON: f64 = 1_795_521_600.0;

    /// Partitions with these numbers of entries, newest first.
    fn partitions(count: usize) -> Vec<Partition> {
        #[allow(clippy::cast_precision_loss)]
        (0..count).map(|ago| Partition::new("events", NOON - 86_400.0 * ago as f64)).collect()
    }

    /// Enforces a limit. Returns which partitions were counted and which were removed, by their age.
    fn enforce(sizes: &mut PartitionSizes, limit: u64, counts: &[u64]) -> (Vec<usize>, Vec<usize>) {
        let all = partitions(counts.len());
        let age = |partition: &Partition| all.iter().position(|other| other == partition).unwrap();
        let mut limit = Limit::new(HOST, limit, all.clone());
        let (mut counted, mut removed) = (Vec::new(), Vec::new());
        while let Some(step) = limit.next_step(sizes) {
            match step {
                LimitStep::Count(partition) => {
                    counted.push(age(&partition));
                    limit.counted(sizes, counts[age(&partition)]);
                }
                LimitStep::Remove(partition) => {
                    removed.push(age(&partition));
                    sizes.remove(HOST, &partition);
                }
            }
        }
        (counted, removed)
    }

    #[test]
    fn the_oldest_partitions_go_and_the_others_hold_as_many_as_the_limit() {
        for (limit, counts, removed) in [
            (200, &[40, 100, 100, 100][..], vec![3]),
            (200, &[200, 100, 100], vec![2, 1]),
            (1, &[5], vec![]),
            (1, &[0], vec![]),
            (0, &[0, 3], vec![1]),
            (1000, &[100, 100, 100], vec![]),
            (1, &[0, 0, 1, 1, 1], vec![4, 3]),
            (1, &[], vec![]),
        ] {
            assert_eq!(enforce(&mut PartitionSizes::default(), limit, counts).1, removed, "{limit} {counts:?}");
        }
    }

    #[test]
    fn what_is_known_is_not_counted_again_but_for_the_partition_in_use() {
        let mut sizes = PartitionSizes::default();
        assert_eq!(enforce(&mut sizes, 250, &[40, 100, 100, 100]).0, [0, 1, 2, 3]);
        assert_eq!(enforce(&mut sizes, 250, &[40, 100, 100, 100]).0, [0]);
        // What is above the limit need not be counted.
        assert_eq!(enforce(&mut PartitionSizes::default(), 100, &[40, 100, 100, 100]), (vec![0, 1], vec![3, 2]));
        sizes.forget(Some("other.example"));
        assert_eq!(enforce(&mut sizes, 250, &[40, 100, 100, 100]).0, [0]);
        sizes.forget(None);
        assert_eq!(enforce(&mut sizes, 250, &[40, 100, 100, 100]).0, [0, 1, 2, 3]);
    }
}
