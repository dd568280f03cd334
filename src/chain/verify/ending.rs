//! The end of a pass: what was not found, and whether that is as it should be.

use std::collections::HashMap;

use super::{Seen, Verifier};
use crate::chain::chains::Progress;
use crate::chain::erasures::Found;
use crate::chain::hash::Nonce;
use crate::chain::ranges;
use crate::chain::rules::Removed;
use crate::chain::verdict::{Fault, Finding, Verdict};

impl Verifier {
    /// Ends the pass.
    #[must_use]
    pub fn finish(mut self) -> Verdict {
        self.end_anchors();
        let heads = self.chains.iter().map(|(id, seen)| {
            let last = seen.ranges.last_key_value().map_or(0, |(_, last)| *last);
            (*id, (seen.progress.class.clone(), seen.progress.n.max(last)))
        });
        let heads = heads.collect();
        let mut chains: Vec<Seen> = std::mem::take(&mut self.chains).into_values().collect();
        chains.sort_by(|a, b| (&a.progress.class, a.progress.since).cmp(&(&b.progress.class, b.progress.since)));
        for seen in chains {
            self.end(seen);
        }
        self.end_erasures(&heads);
        self.end_seals(&heads);
        self.verdict
    }

    /// Checks the anchors of other entries and of those that were not found.
    fn end_anchors(&mut self) {
        let (forked, rest) = (std::mem::take(&mut self.forked), self.anchors.rest());
        let is_forked = !forked.is_empty();
        let of = |fault, id, n| Finding { fault, class: None, id: Some(id), n: Some(n), key: None };
        let rolled_back = rest.into_iter().filter_map(|(id, n, run)| {
            let Some(seen) = self.chains.get(&id) else { return Some((run, of(Fault::Lost, id, n))) };
            let is_behind = n > seen.progress.n && !ranges::has(&seen.ranges, n);
            is_behind.then(|| (run, Finding { class: Some(seen.progress.class.clone()), ..of(Fault::RolledBack, id, n) }))
        });
        let doubtful: Vec<_> = forked.into_iter().chain(rolled_back).collect();
        for (run, finding) in doubtful {
            let is_excused = finding.id.zip(finding.n).is_some_and(|(id, n)| self.starts.excuse(id, run, n));
            if is_excused {
                self.verdict.unattested = self.verdict.unattested.saturating_add(1);
            } else {
                self.find(finding);
            }
        }
        if self.anchors.contradict() && !is_forked {
            self.find(Finding { fault: Fault::Forked, class: None, id: None, n: None, key: None });
        }
    }

    /// Checks what was erased. `heads` has the class of each chain.
    fn end_erasures(&mut self, heads: &HashMap<Nonce, (String, u64)>) {
        let Found { emptied, again, listed } = std::mem::take(&mut self.erasures).end(self.erased.as_ref());
        let class_of = |id: &Nonce| heads.get(id).map(|(class, _)| class.clone());
        for entry in emptied {
            let class = class_of(&entry.id);
            self.find(Finding { fault: Fault::Emptied, class, id: Some(entry.id), n: Some(entry.n), key: Some(entry.key) });
        }
        let again = again.into_iter().map(|(id, first, last)| (class_of(&id).unwrap_or_default(), first, last));
        self.verdict.again = again.collect();
        self.verdict.erased = listed;
    }

    /// Checks what was sealed and was not found. `heads` has the class and the number of the last entry of each chain.
    fn end_seals(&mut self, heads: &HashMap<Nonce, (String, u64)>) {
        let Some(seals) = self.seals.take() else { return };
        let (sealing, findings) = seals.end(|id| heads.get(id).cloned());
        self.verdict.sealing = Some(sealing);
        findings.into_iter().for_each(|finding| self.find(finding));
    }

    /// Checks what is missing in a chain.
    fn end(&mut self, mut seen: Seen) {
        let Progress { id, class, n: head, hash, removed, .. } = seen.progress.clone();
        let of = |fault, n| Finding { fault, class: Some(class.clone()), id: Some(id), n, key: None };
        let was_removed = |n: u64| removed.iter().any(|of| (of.from..=of.upto).contains(&n));
        if self.seals.as_ref().is_some_and(|seals| !seals.know(id, &seen.progress.rules)) {
            self.find(of(Fault::Rules, None));
        }
        let mut next = 1_u64;
        for (first, last) in seen.ranges.clone() {
            if first > next {
                self.explain(&of, next, first, &seen.progress);
            }
            if let Some((link, leaf, key)) = seen.waiting.remove(&first) {
                let before = removed.iter().find(|of| of.upto.saturating_add(1) == first).map(|of| of.hash).or(link.previous);
                // What is before it is missing, and was reported, if that is not known.
                if before.is_some_and(|before| link.follows(&before, &leaf) != link.hash) {
                    self.find(Finding { key: Some(key), ..of(Fault::Altered, Some(first)) });
                }
            }
            next = last.saturating_add(1);
        }
        if next <= head {
            self.explain(&of, next, head.saturating_add(1), &seen.progress);
        }
        let last = next.saturating_sub(1);
        if let Some(latest) = seen.latest.filter(|latest| last > *latest) {
            self.verdict.behind.push((class.clone(), latest.saturating_add(1), last));
        }
        if seen.at_head.is_some_and(|found| found != hash) {
            self.find(of(Fault::Altered, Some(head)));
        }
        for (link, key) in std::mem::take(&mut seen.late) {
            if link.n == 1 || !was_removed(link.n.saturating_sub(1)) {
                self.find(Finding { key: Some(key), ..of(Fault::Misplaced, Some(link.n)) });
            }
        }
        self.verdict.heads.push((id, class.clone(), head.max(next.saturating_sub(1))));
    }

    /// The entries from `from` up to the one before `first` are not there. A rule has removed them, or else they are missing.
    fn explain(&mut self, of: &impl Fn(Fault, Option<u64>) -> Finding, from: u64, first: u64, progress: &Progress) {
        let mut next = from;
        for removed in &progress.removed {
            if removed.upto < next || removed.from >= first {
                continue;
            }
            if removed.from > next {
                self.find(of(Fault::Missing { upto: removed.from.saturating_sub(1) }, Some(next)));
            }
            let end = removed.upto.saturating_add(1).min(first);
            let begin = removed.from.max(next);
            self.verdict.removed = self.verdict.removed.saturating_add(end.saturating_sub(begin));
            if !self.allows(removed, progress) {
                self.verdict.early.push((progress.class.clone(), begin, end.saturating_sub(1)));
            }
            next = end;
        }
        if next < first {
            self.find(of(Fault::Missing { upto: first.saturating_sub(1) }, Some(next)));
        }
    }

    /// Whether the rules of their time allow that these entries are gone.
    fn allows(&self, removed: &Removed, progress: &Progress) -> bool {
        let not_before = self.seals.as_ref().map_or(0, |seals| seals.not_before(progress.id, removed.upto));
        self.now.is_none_or(|now| removed.is_allowed(&progress.rules, not_before, progress.n, now))
    }
}
