//! Anchors that left the server, in exports, sinks or mails: what the log said then must still be what it says now.

use std::collections::HashMap;

use super::hash::{Bytes, Hash, Nonce};
use crate::entry::anchor::SCHEME;

/// How many anchors are compared.
const MOST: usize = 2_000_000;

/// What an anchor says of an entry: the run of the server that made its link, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) run: Nonce,
    pub(super) hash: Hash,
}

/// Anchors that were kept elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    kept: HashMap<(Nonce, u64), Anchor>,
    contradicts: bool,
}

impl Anchors {
    /// Takes all anchors that are in a line of text, whatever else is in it. Returns how many there were.
    ///
    /// ```
    /// use audit_core::chain::anchors::Anchors;
    /// let anchor = format!("audit-anchor:{}:{}:7:{}", "A".repeat(22), "A".repeat(22), "A".repeat(43));
    /// assert_eq!(Anchors::default().read(&format!("{{\"anchor\":\"{anchor}\"}},{anchor}")), 2);
    /// assert_eq!(Anchors::default().read("audit-anchor:x"), 0);
    /// ```
    pub fn read(&mut self, line: &str) -> usize {
        let mut count = 0_usize;
        for rest in line.split(SCHEME).skip(1) {
            let Some((id, n, anchor)) = parse(rest) else { continue };
            count = count.saturating_add(1);
            if self.kept.len() < MOST {
                self.contradicts |= self.kept.insert((id, n), anchor).is_some_and(|before| before.hash != anchor.hash);
            }
        }
        count
    }

    /// How many different entries they are of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether two of them say different things of one entry: the log was forked.
    #[must_use]
    pub const fn contradict(&self) -> bool {
        self.contradicts
    }

    /// Takes the anchor of an entry that was found.
    pub(super) fn take(&mut self, id: Nonce, n: u64) -> Option<Anchor> {
        self.kept.remove(&(id, n))
    }

    /// Those of entries that were not found, in order.
    pub(super) fn rest(&self) -> Vec<(Nonce, u64, Nonce)> {
        let mut rest: Vec<_> = self.kept.iter().map(|((id, n), anchor)| (*id, *n, anchor.run)).collect();
        rest.sort_unstable();
        rest
    }
}

/// `CHAIN:RUN:NUMBER:HASH`, and whatever follows.
fn parse(text: &str) -> Option<(Nonce, u64, Anchor)> {
    let mut fields = text.splitn(4, ':');
    let (id, run) = (Bytes::read(fields.next()?)?, fields.next()?);
    let run = Nonce::read(run)?;
    let n = fields.next()?.parse().ok()?;
    let hash = fields.next()?.get(..43)?;
    Some((id, n, Anchor { run, hash: Bytes::read(hash)? }))
}
