//! Anchors of the heads of all chains, to be kept elsewhere.

use super::chains::Progress;
use super::hash::{Bytes, Nonce};
use super::link::Link;
use crate::entry::anchor;

/// Anchors of where chains have got to.
#[derive(Debug)]
pub struct Heads(Vec<(Progress, Option<Nonce>)>);

impl Heads {
    /// Of these chains. Their last entries have to be given to [`saw`](Self::saw): the journal does not say in which run they were
    /// recorded.
    #[must_use]
    pub fn new(chains: impl IntoIterator<Item = Progress>) -> Self {
        Self(chains.into_iter().filter(|progress| progress.n > 0).map(|progress| (progress, None)).collect())
    }

    /// Whether the runs of all of them are known.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.0.iter().all(|(_, run)| run.is_some())
    }

    /// There is an entry with this link.
    pub fn saw(&mut self, link: &Link) {
        for (progress, run) in &mut self.0 {
            if progress.id == link.id && progress.n == link.n && progress.hash == link.hash {
                *run = Some(link.run);
            }
        }
    }

    /// An anchor for each. A run that is not known is all zeros.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(Progress { id, n, hash, .. }, run)| {
            let run = run.unwrap_or(Bytes([0; 16]));
            anchor::text([&id.to_string(), &run.to_string(), &n.to_string(), &hash.to_string()])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::anchors::Anchors;
    use super::super::link::{Cover, Cut};
    use super::*;

    #[test]
    fn each_chain_that_has_entries_has_an_anchor() {
        let progress = |id: u8, n: u64| Progress {
            id: Bytes([id; 16]),
            class: "events".to_owned(),
            n,
            hash: Bytes([3; 32]),
            since: 0,
            until: None,
            removed: Vec::new(),
            rules: Vec::new(),
        };
        let mut heads = Heads::new([progress(1, 7), progress(2, 0), progress(3, 9)]);
        let link = |id: u8, n: u64, hash: u8| Link {
            id: Bytes([id; 16]),
            run: Bytes([8; 16]),
            at: 0,
            n,
            cut: Cut::default(),
            cover: Cover::Salt(Bytes([0; 16])),
            previous: None,
            is_ascii: false,
            hash: Bytes([hash; 32]),
        };
        // Another entry, and one of the same number that is not the one that the journal knows.
        for other in [link(1, 6, 3), link(3, 7, 3), link(1, 7, 4)] {
            heads.saw(&other);
        }
        assert!(!heads.are_known());
        heads.saw(&link(1, 7, 3));
        let lines: Vec<String> = heads.lines().collect();
        let anchor = |id: u8, run: u8, n: u64| {
            format!("audit-anchor:{}:{}:{n}:{}", Nonce::read(&Bytes([id; 16]).to_string()).unwrap(), Bytes([run; 16]), Bytes([3; 32]))
        };
        assert_eq!(lines, [anchor(1, 8, 7), anchor(3, 0, 9)]);
        assert_eq!(Anchors::default().read(&lines.join("\n")), 2);
        heads.saw(&link(3, 9, 3));
        assert!(heads.are_known());
    }
}
