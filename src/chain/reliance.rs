//! What the seals of a host say of its entries: which of them must be there, and which are not sealed yet.

use std::collections::HashMap;

use super::hash::Nonce;
use super::link::Link;
use super::rules::{self, Since};
use super::seal::SealedHead;
use super::sealed::Proved;
use super::verdict::{Fault, Finding, Sealing};

/// How long after a seal its own entry is recorded at the latest, in seconds.
const MOMENT: u64 = 60;
/// After how many intervals without a seal newer entries should have been sealed.
const PATIENCE: u64 = 2;

/// The seals of a host, while its entries are compared with them.
#[derive(Clone, Debug)]
pub(super) struct Reliance {
    proved: Proved,
    /// How often the server seals, in seconds.
    interval: u64,
    /// The sealed heads that were not met yet.
    heads: HashMap<(Nonce, u64), super::hash::Hash>,
    /// The last number of each chain that is sealed.
    upto: HashMap<Nonce, u64>,
    /// How many entries were recorded after the last seal.
    unsealed: u64,
    /// When the first and the last of them were recorded in each run, in milliseconds since 1970. Before the first one there was nothing
    /// to seal, however long ago the last seal is, and nothing is sealed while the server does not run.
    waiting: HashMap<Nonce, (u64, u64)>,
    /// Whether seals say different things of one entry.
    contradicts: bool,
}

impl Reliance {
    pub(super) fn new(proved: Proved, interval: u64) -> Self {
        let (mut heads, mut upto, mut contradicts) = (HashMap::new(), HashMap::new(), false);
        for SealedHead { id, n, hash, .. } in &proved.heads {
            contradicts |= heads.insert((*id, *n), *hash).is_some_and(|before| before != *hash);
            let last = upto.entry(*id).or_insert(*n);
            *last = (*last).max(*n);
        }
        Self { proved, interval, heads, upto, unsealed: 0, waiting: HashMap::new(), contradicts }
    }

    /// Takes an entry that was found. Returns whether the seals agree.
    pub(super) fn take(&mut self, link: &Link) -> bool {
        if self.upto.get(&link.id).is_none_or(|upto| link.n > *upto) {
            self.unsealed = self.unsealed.saturating_add(1);
            self.wait(link);
        }
        self.heads.remove(&(link.id, link.n)).is_none_or(|sealed| sealed == link.hash)
    }

    /// Notes an entry that is to be sealed. The last seal's own entry needs none.
    fn wait(&mut self, link: &Link) {
        let is_own = self.proved.time.is_some_and(|time| link.at / 1000 <= time.saturating_add(MOMENT));
        if !is_own {
            let (first, last) = self.waiting.entry(link.run).or_insert((link.at, link.at));
            (*first, *last) = ((*first).min(link.at), (*last).max(link.at));
        }
    }

    /// Before which time entries behind this number of a chain can't have been recorded, in milliseconds since 1970.
    pub(super) fn not_before(&self, id: Nonce, n: u64) -> u64 {
        let times = self.proved.times.iter().filter(|(chain, upto, _)| *chain == id && *upto < n).map(|(.., time)| *time);
        times.max().unwrap_or_default().saturating_mul(1000)
    }

    /// Whether these rules of a chain are those that were sealed.
    pub(super) fn know(&self, id: Nonce, rules: &[Since]) -> bool {
        let digests = rules::digests(rules);
        let is_known = |head: &SealedHead| digests.contains(&head.rules);
        // The first ones are forgotten one day.
        rules.len() >= rules::MOST || self.proved.heads.iter().filter(|head| head.id == id).all(is_known)
    }

    /// What is wrong in the end. `chain` returns the class of a chain and the number of its last entry.
    pub(super) fn end(self, chain: impl Fn(&Nonce) -> Option<(String, u64)>) -> (Sealing, Vec<Finding>) {
        let of = |fault| Finding { fault, class: None, id: None, n: None, key: None };
        let mut findings: Vec<Finding> = self.proved.faults.iter().map(|fault| of(Fault::Seal(*fault))).collect();
        if self.contradicts {
            findings.push(of(Fault::Resealed));
        }
        let mut rest: Vec<(Nonce, u64)> = self.upto.into_iter().collect();
        rest.sort_unstable();
        for (id, n) in rest {
            let known = chain(&id);
            // What a rule has removed since is explained with the rest of its chain.
            if known.as_ref().is_none_or(|(_, last)| n > *last) {
                findings.push(Finding { class: known.map(|(class, _)| class), id: Some(id), n: Some(n), ..of(Fault::CutOff) });
            }
        }
        let patience = self.interval.saturating_mul(PATIENCE).saturating_mul(1000);
        let is_late = self.waiting.values().any(|(first, last)| last.saturating_sub(*first) > patience);
        if self.proved.time.is_some() && is_late {
            findings.push(of(Fault::Unsealed));
        }
        let Proved { count, time, others, .. } = self.proved;
        (Sealing { count, time, others, unsealed: self.unsealed }, findings)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::Bytes;
    use super::super::link::{Cover, Cut};
    use super::*;

    /// Entries behind the last seal, each with the number of its run and the second in which it was recorded. The server seals each 900 s.
    fn is_late(sealed: &[u64], unsealed: &[(u8, u64)]) -> bool {
        let id = Bytes([1; 16]);
        let head = |n| SealedHead { id, n, hash: Bytes([3; 32]), rules: Bytes([4; 32]) };
        let proved = Proved { time: Some(10_000), heads: vec![head(sealed.len() as u64)], ..Proved::default() };
        let mut seals = Reliance::new(proved, 900);
        let entries = sealed.iter().map(|at| (1, *at)).chain(unsealed.iter().copied());
        for ((run, at), n) in entries.zip(1..) {
            seals.take(&Link {
                id,
                run: Bytes([run; 16]),
                at: at * 1000,
                n,
                cut: Cut::default(),
                cover: Cover::Salt(Bytes([0; 16])),
                previous: None,
                is_ascii: false,
                hash: Bytes([3; 32]),
            });
        }
        let (_, findings) = seals.end(|_| Some(("events".to_owned(), u64::MAX)));
        findings.iter().any(|finding| finding.fault == Fault::Unsealed)
    }

    #[test]
    fn entries_that_were_not_sealed_in_time_are_found() {
        assert!(is_late(&[9000], &[(1, 10_100), (1, 12_000)]));
        assert!(is_late(&[9000], &[(2, 30_000), (2, 32_000)]));
        assert!(!is_late(&[9000], &[(1, 10_001), (1, 11_000)]));
    }

    /// Each of these was reported as tampered with.
    #[test]
    fn a_host_on_which_nothing_happened_for_long_needs_no_seal() {
        assert!(!is_late(&[9000], &[(1, 10_001), (1, 90_000), (1, 90_100)]), "nothing happened since the last seal");
        assert!(!is_late(&[9000], &[(1, 10_100), (2, 90_000)]), "the server did not run");
        assert!(!is_late(&[9000, 500_000], &[(1, 10_001)]), "the clock was set back");
    }
}
