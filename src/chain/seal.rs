//! Seals: at the end of each epoch the heads of all chains are sealed with a key that is destroyed right after that.
//!
//! The first key stays with the operator. Each key is made of the one before, which can't be computed back: who takes the key of
//! the present can't make a seal of the past. The operator, who has the first key, can make and so verify all of them.
//!
//! Epochs are counted. In each, every host has one authenticator, also if nothing happened on it: so a seal can't be left out. The
//! file keeps the last authenticator of each host, with a proof that could only be made right after it: so the newest seals
//! can't be cut off together with the entries that they seal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroize;

use super::hash::{BEGINNING, Bytes, Hash, Nonce};

/// The name of a first key: 11 characters.
pub type KeyId = Bytes<8>;

/// What a verification key begins with, so that it is recognised.
const PREFIX: &str = "audit-seal-";
/// The length of the checksum of a verification key, in bytes.
const CHECKSUM: usize = 4;

/// Why a text is no verification key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It does not look like one.
    #[error("that is no seal key: one begins with \"audit-seal-\" and has 59 characters")]
    Form,
    /// A character is wrong.
    #[error("that is no seal key: it was mistyped, or is not complete")]
    Checksum,
}

/// The key of one epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; 32]);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl Drop for SealKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl SealKey {
    /// The key of these bytes, which must be random.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As the operator keeps it: with a checksum, so that a wrong character is noticed.
    ///
    /// ```
    /// use audit_core::chain::seal::{KeyError, SealKey};
    /// let key = SealKey::new([7; 32]);
    /// assert_eq!(SealKey::read(&key.text()), Ok(key.clone()));
    /// assert_eq!(SealKey::read(&key.text().replace("BwcH", "BwcX")), Err(KeyError::Checksum));
    /// assert_eq!(SealKey::read("secret"), Err(KeyError::Form));
    /// ```
    #[must_use]
    pub fn text(&self) -> String {
        let mut bytes = [0; 32 + CHECKSUM];
        bytes.iter_mut().zip(self.0.iter().chain(&self.checksum())).for_each(|(to, from)| *to = *from);
        let text = format!("{PREFIX}{}", Bytes(bytes));
        bytes.zeroize();
        text
    }

    /// Reads what [`text`](Self::text) returned. White space around it does not matter.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError`] if it is something else.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let Bytes(bytes) =
            Bytes::<{ 32 + CHECKSUM }>::read(text.trim().strip_prefix(PREFIX).ok_or(KeyError::Form)?).ok_or(KeyError::Form)?;
        let (key, checksum) = bytes.split_first_chunk::<32>().ok_or(KeyError::Form)?;
        let key = Self(*key);
        if key.checksum() == checksum { Ok(key) } else { Err(KeyError::Checksum) }
    }

    fn checksum(&self) -> [u8; CHECKSUM] {
        let hash: [u8; 32] = Sha256::new_with_prefix(b"checksum").chain_update(self.0).finalize().into();
        hash.first_chunk().copied().unwrap_or_default()
    }

    /// The name of the key, if it is a first one. The key can't be computed from it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash = self.derived(b"id");
        Bytes(hash.first_chunk().copied().unwrap_or_default())
    }

    /// The key of the next epoch.
    #[must_use]
    pub fn next(&self) -> Self {
        Self(self.derived(b"next"))
    }

    /// HKDF-Expand with one block (RFC 5869 §2.3): the key is random, so nothing is to be extracted.
    fn derived(&self, what: &[u8]) -> [u8; 32] {
        mac(&self.0, &[b"prosody-audit ", what, &[1]]).0
    }
}

/// HMAC-SHA-256 (RFC 2104). It never fails, as a key may have any length.
fn mac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()));
    parts.iter().for_each(|part| mac.update(part));
    Bytes(mac.finalize().into_bytes().into())
}

/// The head of a chain, as it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedHead {
    /// The chain.
    pub id: Nonce,
    /// The number of its last entry.
    pub n: u64,
    /// The hash of its last entry.
    pub hash: Hash,
    /// What stands for the rules of its class so far.
    pub rules: Hash,
}

/// Where the chains of a host are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The run of the server.
    pub run: Nonce,
    /// The heads of all chains, also of those that ended.
    pub heads: Vec<SealedHead>,
}

/// What is sealed of a host at the end of an epoch in which something happened on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The name of the first key.
    pub key: KeyId,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The run of the server.
    pub run: Nonce,
    /// When the epoch ended, in UNIX seconds.
    pub time: u64,
    /// The heads of all chains of the host, also of those that ended, sorted.
    pub heads: Vec<SealedHead>,
    /// The authenticator of the epoch before.
    pub before: Hash,
    /// The authenticator of this epoch.
    pub authenticator: Hash,
}

/// The authenticator of a host for an epoch. Without anything to seal, `sealed` is `None`.
pub(super) fn authenticator(key: &SealKey, host: &str, epoch: u64, before: &Hash, sealed: Option<(&Nonce, u64, &[SealedHead])>) -> Hash {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
    let (run, time, heads) = sealed.unwrap_or((&Bytes([0; 16]), 0, &[]));
    let mut input = Vec::with_capacity(128 + heads.len() * 88);
    input.extend_from_slice(&number(host.len()));
    input.extend_from_slice(host.as_bytes());
    input.extend_from_slice(&before.0);
    input.extend_from_slice(&epoch.to_be_bytes());
    input.extend_from_slice(&run.0);
    input.extend_from_slice(&time.to_be_bytes());
    input.extend_from_slice(&number(heads.len()));
    for head in heads {
        input.extend_from_slice(&head.id.0);
        input.extend_from_slice(&head.n.to_be_bytes());
        input.extend_from_slice(&head.hash.0);
        input.extend_from_slice(&head.rules.0);
    }
    mac(&key.derived(b"mac"), &[&input])
}

/// What the file keeps of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastSeal {
    /// The authenticator of the last epoch.
    pub authenticator: Hash,
    /// The proof that the epoch was the last one: it needs the key of the epoch after it.
    pub proof: Hash,
}

/// Seals the epochs of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealer {
    /// The name of the first key.
    pub id: KeyId,
    /// The epoch that is to be sealed next.
    pub epoch: u64,
    /// Its key.
    pub key: SealKey,
    /// The last authenticators by host.
    pub last: BTreeMap<String, LastSeal>,
}

impl Sealer {
    /// Begins with the key that the operator keeps.
    #[must_use]
    pub fn new(key: SealKey) -> Self {
        Self { id: key.id(), epoch: 0, key, last: BTreeMap::new() }
    }

    /// Ends the epoch: seals the heads of the hosts on which something happened, and destroys the key. On all others nothing happened.
    pub fn seal(&mut self, time: u64, moved: &BTreeMap<String, Heads>) -> BTreeMap<String, Seal> {
        let (epoch, next) = (self.epoch, self.key.next());
        let mut seals = BTreeMap::new();
        let hosts: BTreeSet<String> = self.last.keys().chain(moved.keys()).cloned().collect();
        for host in hosts {
            let moved = moved.get(&host);
            // A host without a seal begins with its first one.
            let Some(before) = self.last.get(&host).map(|last| last.authenticator).or(moved.map(|_| BEGINNING)) else { continue };
            let mut heads = moved.map(|moved| moved.heads.clone()).unwrap_or_default();
            heads.sort_unstable();
            let sealed = moved.map(|moved| (&moved.run, time, heads.as_slice()));
            let authenticator = authenticator(&self.key, &host, epoch, &before, sealed);
            self.last.insert(host.clone(), LastSeal { authenticator, proof: proof(&next, &authenticator) });
            if let Some(moved) = moved {
                seals.insert(host, Seal { key: self.id, epoch, run: moved.run, time, heads, before, authenticator });
            }
        }
        self.key = next;
        self.epoch = epoch.saturating_add(1);
        seals
    }

    /// Takes back the seal of a host for the epoch that was ended last, in which `before` was the sealer. Nothing is sealed of it then.
    pub(super) fn skip(&mut self, before: &Self, host: &str) {
        let Some(last) = before.last.get(host) else {
            self.last.remove(host);
            return;
        };
        let authenticator = authenticator(&before.key, host, before.epoch, &last.authenticator, None);
        self.last.insert(host.to_owned(), LastSeal { authenticator, proof: proof(&self.key, &authenticator) });
    }
}

/// What shows that an epoch was the last one, with the key of the one after it.
pub(super) fn proof(next: &SealKey, authenticator: &Hash) -> Hash {
    mac(&next.derived(b"open"), &[&authenticator.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    proptest! {
        #[test]
        fn a_mistyped_key_is_noticed(bytes in any::<[u8; 32]>(), at in any::<Index>(), by in 1..62_usize) {
            const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
            let text = SealKey::new(bytes).text();
            let mut wrong = text.clone().into_bytes();
            let at = PREFIX.len() + at.index(text.len() - PREFIX.len());
            let place = LETTERS.iter().position(|letter| *letter == wrong[at]).unwrap_or(0);
            wrong[at] = LETTERS[(place + by) % LETTERS.len()];
            prop_assume!(wrong != text.as_bytes());
            prop_assert!(SealKey::read(std::str::from_utf8(&wrong).unwrap()).is_err());
        }
    }
}
