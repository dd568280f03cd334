//! The head of a chain: the last entry that was linked.

use super::hash::{self, Hash, Nonce};
use super::link::{Chain, Cover, Cut, Link, salted};
use crate::entry::canon::Draft;

/// The head of a chain. It goes on only when the entry that was linked is in the journal or in the store.
///
/// ```
/// use audit_core::chain::{hash::Bytes, head::Head, link::{Chain, Cut}};
/// use audit_core::entry::canon::Draft;
/// let chain = Chain { host: "example.com".to_owned(), class: "events".to_owned(), id: Bytes([1; 16]) };
/// let mut head = Head::new(chain, Bytes([2; 16]));
/// let draft = Draft::of_xml("<audit-event type='test'/>").unwrap();
/// let link = head.next(1_795_643_208_512, Cut::default(), Bytes([3; 16]), draft);
/// head.advance(&link);
/// assert_eq!((link.n, head.n()), (1, 1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    chain: Chain,
    run: Nonce,
    n: u64,
    hash: Hash,
}

impl Head {
    /// The head of a chain that has no entry yet.
    #[must_use]
    pub const fn new(chain: Chain, run: Nonce) -> Self {
        Self { chain, run, n: 0, hash: hash::BEGINNING }
    }

    /// The head of a chain whose last entry has this number and this hash, in a new run.
    #[must_use]
    pub const fn after(chain: Chain, run: Nonce, n: u64, hash: Hash) -> Self {
        Self { chain, run, n, hash }
    }

    /// The link of the next entry, which was recorded at `at`, in milliseconds since 1970. `salt` must be random.
    #[must_use]
    pub fn next(&self, at: u64, cut: Cut, salt: Nonce, draft: Draft) -> Link {
        let canon = draft.finish(|text| cut.narrow(text));
        let leaf = hash::leaf(&self.chain.host, &self.chain.class, &canon, &salted(&canon, &salt));
        let n = self.n.saturating_add(1);
        let cover = Cover::Salt(salt);
        let unhashed = Link { id: self.chain.id, run: self.run, at, n, cut, cover, previous: None, is_ascii: false, hash: hash::BEGINNING };
        Link { hash: unhashed.follows(&self.hash, &leaf), ..unhashed }
    }

    /// The entry of this link has been written.
    pub const fn advance(&mut self, link: &Link) {
        (self.n, self.hash) = (link.n, link.hash);
    }

    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The number of the last entry. 0 if there is none yet.
    #[must_use]
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// The hash of the last entry.
    #[must_use]
    pub const fn hash(&self) -> &Hash {
        &self.hash
    }
}
