//! Sealing the chains of a running server: which hosts have moved since their last seal, and which key is in the file.

use std::collections::{BTreeMap, HashMap};

use super::chains::Progress;
use super::hash::{BEGINNING, Nonce};
use super::rules;
use super::seal::{Heads, Seal, SealedHead, Sealer};
use super::sealed::End;

/// The seals of a server. The caller writes the entries, and then the file.
///
/// ```
/// use audit_core::chain::seal::{SealKey, Sealer};
/// use audit_core::chain::sealing::Sealing;
/// let mut sealing = Sealing::new(Sealer::new(SealKey::new([7; 32])));
/// assert!(sealing.seal(1_795_521_600, &Default::default()).is_empty());
/// // The file is written.
/// sealing.saved();
/// assert_eq!(sealing.sealer().epoch, 1);
/// ```
#[derive(Clone, Debug)]
pub struct Sealing {
    /// What is in the file.
    sealer: Sealer,
    /// What is being written to it.
    next: Option<Sealer>,
    /// The numbers of the last entries of each host's chains that need no other seal.
    sealed: HashMap<String, BTreeMap<Nonce, u64>>,
}

impl Sealing {
    /// Goes on with what the file has.
    #[must_use]
    pub fn new(sealer: Sealer) -> Self {
        Self { sealer, next: None, sealed: HashMap::new() }
    }

    /// What is in the file.
    #[must_use]
    pub const fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// What is to be written to the file.
    #[must_use]
    pub const fn next(&self) -> Option<&Sealer> {
        self.next.as_ref()
    }

    /// What is to be sealed of a host. Returns `None` if nothing but seals was recorded since its last one.
    #[must_use]
    pub fn moved(&self, host: &str, run: Nonce, chains: impl Iterator<Item = Progress>) -> Option<Heads> {
        let rules = |of: &Progress| rules::digests(&of.rules).pop().unwrap_or(BEGINNING);
        let head = |of: Progress| SealedHead { id: of.id, n: of.n, hash: of.hash, rules: rules(&of) };
        let heads: Vec<SealedHead> = chains.filter(|of| of.n > 0).map(head).collect();
        let sealed = self.sealed.get(host);
        let is_sealed = |head: &SealedHead| sealed.and_then(|sealed| sealed.get(&head.id)).is_some_and(|n| *n >= head.n);
        heads.iter().any(|head| !is_sealed(head)).then_some(Heads { run, heads })
    }

    /// Ends the epoch. Returns the seals, which must be recorded before the file is written.
    pub fn seal(&mut self, time: u64, moved: &BTreeMap<String, Heads>) -> BTreeMap<String, Seal> {
        let mut next = self.sealer.clone();
        let seals = next.seal(time, moved);
        self.next = Some(next);
        seals
    }

    /// The seal of a host has been recorded. Its own entry needs no seal, unless others came before it.
    pub fn recorded(&mut self, host: &str, seal: &Seal, chains: impl Iterator<Item = Progress>) {
        let mut sealed: BTreeMap<Nonce, u64> = seal.heads.iter().map(|head| (head.id, head.n)).collect();
        for chain in chains {
            match sealed.get_mut(&chain.id) {
                Some(n) if n.checked_add(1) == Some(chain.n) => *n = chain.n,
                _ => {}
            }
        }
        self.sealed.insert(host.to_owned(), sealed);
    }

    /// There was no room for the entry with the seal of a host. Its next seal follows the one before.
    pub fn not_recorded(&mut self, host: &str) {
        if let Some(next) = &mut self.next {
            next.skip(&self.sealer, host);
        }
    }

    /// The file has been written: the former key is gone.
    pub fn saved(&mut self) {
        if let Some(next) = self.next.take() {
            self.sealer = next;
        }
    }

    /// The file could not be written. The epoch is sealed once more.
    pub fn failed(&mut self) {
        self.next = None;
        self.sealed.clear();
    }

    /// How the seals of a host end, for the entry that says that the key is replaced.
    #[must_use]
    pub fn end(&self, host: &str) -> End {
        let sealer = self.next.as_ref().unwrap_or(&self.sealer);
        End { key: sealer.id, epoch: sealer.epoch, last: sealer.last.get(host).copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::hash::Bytes;
    use crate::chain::seal::SealKey;

    const HOST: &str = "example.com";

    fn at(n: u64) -> impl Iterator<Item = Progress> {
        let class = "events".to_owned();
        [Progress { id: Bytes([1; 16]), class, n, hash: Bytes([3; 32]), since: 0, until: None, removed: Vec::new(), rules: Vec::new() }]
            .into_iter()
    }

    fn sealing() -> Sealing {
        Sealing::new(Sealer::new(SealKey::new([7; 32])))
    }

    fn moved(sealing: &Sealing, n: u64) -> Option<Heads> {
        sealing.moved(HOST, Bytes([2; 16]), at(n))
    }

    /// Seals the host, whose chain has `n` entries, and then `after`.
    fn seal(sealing: &mut Sealing, n: u64, after: u64) {
        let heads = BTreeMap::from([(HOST.to_owned(), moved(sealing, n).unwrap())]);
        let seals = sealing.seal(7, &heads);
        sealing.recorded(HOST, &seals[HOST], at(after));
    }

    #[test]
    fn a_seal_is_made_if_anything_else_than_a_seal_was_recorded() {
        let mut sealing = sealing();
        assert_eq!(moved(&sealing, 0), None);
        seal(&mut sealing, 3, 4);
        sealing.saved();
        assert_eq!(moved(&sealing, 4), None);
        assert!(moved(&sealing, 5).is_some());
        // Another entry came before that of the seal.
        seal(&mut sealing, 5, 7);
        assert!(moved(&sealing, 7).is_some());
    }

    #[test]
    fn an_epoch_whose_key_could_not_be_replaced_is_sealed_again() {
        let mut sealing = sealing();
        seal(&mut sealing, 3, 4);
        assert_eq!((sealing.sealer().epoch, sealing.end(HOST).epoch), (0, 1));
        sealing.failed();
        assert_eq!((sealing.sealer().epoch, sealing.end(HOST).epoch), (0, 0));
        seal(&mut sealing, 4, 5);
        sealing.saved();
        assert_eq!(sealing.sealer().epoch, 1);
    }
}
