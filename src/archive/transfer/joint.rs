//! Two stores as one: which partitions they have together, and under which names.

use std::collections::{HashMap, HashSet};

use super::{Mark, Side, Stores, is_copy};
use crate::archive::partition::Partition;

/// The names of the partitions of a source. A partition keeps its name while it is moved, so that a reader does not notice.
#[derive(Debug)]
pub struct Joint {
    from: String,
    to: String,
    /// By original, the name of its copy.
    names: HashMap<Partition, Partition>,
}

/// What two stores have together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// All partitions, by the names that they have after the move.
    pub partitions: Vec<Partition>,
    /// Those that are in the source: the name, and the name there.
    pub in_source: Vec<(Partition, Partition)>,
    /// Names under which nothing may be appended: of partitions in the source, and of what does not count in the target, as it is
    /// going to be removed.
    pub closed: Vec<Partition>,
    /// Whether archive user `nil` of the source counts.
    pub source_nil: bool,
    /// Whether archive user `nil` of the target counts.
    pub target_nil: bool,
}

impl Joint {
    /// Nothing is known of the stores of these drivers.
    #[must_use]
    pub fn new(from: &str, to: &str) -> Self {
        Self { from: from.to_owned(), to: to.to_owned(), names: HashMap::new() }
    }

    /// What the two stores have together.
    pub fn join(&mut self, stores: &Stores<'_>) -> Joined {
        let in_source = self.copies(stores);
        let target = stores.target.iter().filter(|partition| !self.is_hidden(stores.marks, Side::Target, partition));
        let mut partitions: Vec<Partition> = target.cloned().chain(in_source.iter().map(|(name, _)| name.clone())).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let mut closed: Vec<Partition> = in_source.iter().map(|(name, _)| name.clone()).collect();
        closed.extend(stores.target.iter().filter(|partition| self.is_hidden(stores.marks, Side::Target, partition)).cloned());
        let is_begun = |mark: &&Mark| !mark.is_complete && !mark.copy.is_marker() && self.side_of(&mark.to) == Some(Side::Target);
        closed.extend(stores.marks.iter().filter(is_begun).map(|mark| mark.copy.clone()));
        let nil_counts = |side| {
            let is_stale = |mark: &Mark| mark.is_complete && mark.original.is_none() && self.side_of(&mark.from) == Some(side);
            !stores.marks.iter().any(is_stale)
        };
        Joined { source_nil: nil_counts(Side::Source), target_nil: nil_counts(Side::Target), partitions, in_source, closed }
    }

    /// The partitions of the source that count: the name of the copy, and of the original.
    pub(super) fn copies(&mut self, stores: &Stores<'_>) -> Vec<(Partition, Partition)> {
        let moving: HashSet<u32> =
            stores.source.iter().filter(|partition| partition.is_marker() && !stores.nil_is_empty).map(|marker| marker.number).collect();
        let counts = |partition: &&Partition| {
            let is_whole = partition.generation().is_none_or(|generation| !moving.contains(&generation));
            is_whole && !partition.is_marker() && !self.is_hidden(stores.marks, Side::Source, partition)
        };
        let mut originals: Vec<Partition> = stores.source.iter().filter(counts).cloned().collect();
        originals.sort_unstable();
        originals.dedup();
        originals.into_iter().map(|original| (self.name(&original, stores), original)).collect()
    }

    /// A marker for a generation that no store uses, for the copy of archive user `nil`.
    pub(super) fn generation(&mut self, stores: &Stores<'_>) -> Partition {
        let time = stores.source.iter().chain(stores.target).map(Partition::start).fold(0.0, f64::max);
        Partition::marker(self.unused(stores), time)
    }

    /// The name of a partition of the source. It is another one if the target has an own partition of that name.
    fn name(&mut self, original: &Partition, stores: &Stores<'_>) -> Partition {
        if let Some(name) = self.names.get(original) {
            return name.clone();
        }
        let begun = stores.marks.iter().find(|mark| mark.from == self.from && mark.original.as_ref() == Some(original));
        let is_free = !stores.target.contains(original) && !self.names.values().any(|name| name == original);
        let name = match begun {
            Some(mark) => mark.copy.clone(),
            None if is_free => original.clone(),
            None => {
                let moved = Partition::moved(original.home(), self.unused(stores), original.start());
                if original.is_cut() { moved.cut() } else { moved }
            }
        };
        self.names.insert(original.clone(), name.clone());
        name
    }

    fn unused(&self, stores: &Stores<'_>) -> u32 {
        let copies = stores.marks.iter().map(|mark| &mark.copy);
        let all = stores.source.iter().chain(stores.target).chain(copies).chain(self.names.values());
        let used = all.filter_map(|partition| if partition.is_marker() { Some(partition.number) } else { partition.generation() });
        used.max().unwrap_or(0).saturating_add(1)
    }

    /// Whether a partition of a store does not count: an unfinished copy, or an original with a complete one.
    fn is_hidden(&self, marks: &[Mark], side: Side, partition: &Partition) -> bool {
        marks.iter().any(|mark| {
            if mark.is_complete {
                self.side_of(&mark.from) == Some(side) && mark.original.as_ref() == Some(partition)
            } else {
                self.side_of(&mark.to) == Some(side) && is_copy(mark, partition)
            }
        })
    }

    fn side_of(&self, driver: &str) -> Option<Side> {
        if driver == self.from { Some(Side::Source) } else { (driver == self.to).then_some(Side::Target) }
    }
}
