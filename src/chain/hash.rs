//! The hashes of the chain. Each begins with a byte of its own, so that no hash can be taken for another.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::entry::canon::Canon;
use crate::entry::personal::Group;

/// What a hash is of.
mod kind {
    pub(super) const LEAF: u8 = 0;
    pub(super) const LINK: u8 = 1;
    pub(super) const COMMITMENT: u8 = 2;
    pub(super) const OPENING: u8 = 3;
}

/// A number of bytes that is written as base64url (RFC 4648 §5, without padding).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// A SHA-256 hash (FIPS 180-4): 43 characters.
pub type Hash = Bytes<32>;
/// A random number that is not repeated, or what was derived from one: 22 characters.
pub type Nonce = Bytes<16>;

impl<const N: usize> Bytes<N> {
    /// Reads what [`Display`](fmt::Display) wrote. Returns `None` if it is something else.
    ///
    /// ```
    /// use audit_core::chain::hash::{Bytes, Nonce};
    /// assert_eq!(Nonce::read(&Bytes([7; 16]).to_string()), Some(Bytes([7; 16])));
    /// assert_eq!(Nonce::read("BwcH"), None);
    /// ```
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl<const N: usize> Bytes<N> {
    /// Gives the text to `put`.
    fn encoded<T>(&self, put: impl FnOnce(&[u8]) -> T) -> T {
        // As long as the longest of them is in base64.
        let mut text = [0; 48];
        let length = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).unwrap_or_default();
        put(text.get(..length).unwrap_or_default())
    }

    /// Adds what [`Display`](fmt::Display) writes.
    pub(super) fn append(&self, bytes: &mut Vec<u8>) {
        self.encoded(|text| bytes.extend_from_slice(text));
    }
}

impl<const N: usize> fmt::Display for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.encoded(|text| f.write_str(std::str::from_utf8(text).map_err(|_| fmt::Error)?))
    }
}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the previous hash of the first link of a chain is.
pub const BEGINNING: Hash = Bytes([0; 32]);

fn sha(kind: u8, parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new_with_prefix([kind]);
    parts.iter().for_each(|part| hash.update(part));
    Bytes(hash.finalize().into())
}

/// The number that opens the commitment to a group. Without it, a value can't be found by trying all of them.
#[must_use]
pub fn opening(group: Group, salt: &Nonce) -> Nonce {
    let Hash { 0: whole } = sha(kind::OPENING, &[&group.number().to_be_bytes(), &salt.0]);
    let mut first = [0; 16];
    first.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    Bytes(first)
}

/// The commitment to the values of a group.
#[must_use]
pub fn commitment(group: Group, opening: &Nonce, values: &[u8]) -> Hash {
    sha(kind::COMMITMENT, &[&group.number().to_be_bytes(), &opening.0, values])
}

/// The hash of what an entry says, whether values were removed from it since or not.
#[must_use]
pub fn leaf(host: &str, class: &str, canon: &Canon, commitments: &[(Group, Hash)]) -> Hash {
    let length = |text: &[u8]| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut hash = Sha256::new_with_prefix([kind::LEAF]);
    for part in [host.as_bytes(), class.as_bytes(), canon.occurred.as_deref().unwrap_or_default().as_bytes(), &canon.public] {
        hash.update(length(part));
        hash.update(part);
    }
    for (group, commitment) in commitments {
        hash.update(group.number().to_be_bytes());
        hash.update(commitment.0);
    }
    Bytes(hash.finalize().into())
}

/// The hash of a link.
#[must_use]
pub fn link(id: &Nonce, run: &Nonce, n: u64, at: u64, previous: &Hash, leaf: &Hash) -> Hash {
    sha(kind::LINK, &[&id.0, &run.0, &n.to_be_bytes(), &at.to_be_bytes(), &previous.0, &leaf.0])
}
