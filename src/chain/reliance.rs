//! What the seals of a host say of its entries: which of them must be there, and which are not sealed yet.

use std::collections::HashMap;

use super::hash::Nonce;
use super::link::Link;
use super::rules::{self, Since};
use super::seal::SealedHead;
use super::sealed::Proved;
use super::verdict::{Fault, Finding, Sealing};

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
    /// When the newest entry was recorded, in milliseconds since 1970.
    newest: u64,
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
        Self { proved, interval, heads, upto, unsealed: 0, newest: 0, contradicts }
    }

    /// Takes an entry that was found. Returns whether the seals agree.
    pub(super) fn take(&mut self, link: &Link) -> bool {
        self.newest = self.newest.max(link.at);
        if self.upto.get(&link.id).is_none_or(|upto| link.n > *upto) {
            self.unsealed = self.unsealed.saturating_add(1);
        }
        self.heads.remove(&(link.id, link.n)).is_none_or(|sealed| sealed == link.hash)
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
        let late = self.proved.time.map(|time| time.saturating_add(self.interval.saturating_mul(PATIENCE)));
        if self.unsealed > 0 && late.is_some_and(|late| self.newest / 1000 > late) {
            findings.push(of(Fault::Unsealed));
        }
        let Proved { count, time, others, .. } = self.proved;
        (Sealing { count, time, others, unsealed: self.unsealed }, findings)
    }
}
