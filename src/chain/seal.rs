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
}

/// What is sealed of a host at the end of an epoch in which something happened on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
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
fn authenticator(key: &SealKey, host: &str, epoch: u64, before: &Hash, sealed: Option<(&Nonce, u64, &[SealedHead])>) -> Hash {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
    let (run, time, heads) = sealed.unwrap_or((&Bytes([0; 16]), 0, &[]));
    let mut input = Vec::with_capacity(128 + heads.len() * 56);
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
    pub const fn new(key: SealKey) -> Self {
        Self { epoch: 0, key, last: BTreeMap::new() }
    }

    /// Ends the epoch: seals the heads of the hosts on which something happened, and destroys the key. `heads` has all hosts.
    pub fn seal(&mut self, run: Nonce, time: u64, heads: &BTreeMap<String, Option<Vec<SealedHead>>>) -> BTreeMap<String, Seal> {
        let (epoch, next) = (self.epoch, self.key.next());
        let mut seals = BTreeMap::new();
        let hosts: BTreeSet<String> = self.last.keys().chain(heads.keys()).cloned().collect();
        for host in hosts {
            let heads = heads.get(&host).cloned().flatten().map(|mut heads| {
                heads.sort_unstable();
                heads
            });
            let before = match self.last.get(&host) {
                Some(last) => last.authenticator,
                None if heads.is_some() => BEGINNING,
                None => continue,
            };
            let sealed = heads.as_deref().map(|heads| (&run, time, heads));
            let authenticator = authenticator(&self.key, &host, epoch, &before, sealed);
            self.last.insert(host.clone(), LastSeal { authenticator, proof: proof(&next, &authenticator) });
            if let Some(heads) = heads {
                seals.insert(host, Seal { epoch, run, time, heads, before, authenticator });
            }
        }
        self.key = next;
        self.epoch = epoch.saturating_add(1);
        seals
    }
}

fn proof(next: &SealKey, authenticator: &Hash) -> Hash {
    mac(&next.derived(b"open"), &[&authenticator.0])
}

/// What is wrong with the seals of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// No seal has the first key's authenticator: the key is of another server, or was replaced.
    #[error("the seal key does not fit the seals")]
    OtherKey,
    /// This seal was changed.
    #[error("the seal of epoch {0} was changed")]
    Changed(u64),
    /// There is no seal between these epochs, although something was sealed.
    #[error("a seal after epoch {0} is missing")]
    Missing(u64),
    /// The file does not belong to the seals: older ones were put in its place, or the newest were cut off.
    #[error("the seals end with epoch {0}, and the seal file has later ones or others")]
    Ended(u64),
}

/// Verifies the seals of a host, in the order of their epochs. `file` is what the seal file has: the epoch that is to be sealed next,
/// and the last authenticator of the host. The first seals may have expired. Returns how many seals were verified.
///
/// # Errors
///
/// Returns [`SealError`] for the first thing that is wrong.
pub fn verify(key: &SealKey, host: &str, seals: &[Seal], file: Option<(u64, LastSeal)>) -> Result<usize, SealError> {
    let (mut key, mut epoch) = (key.clone(), 0_u64);
    let mut last: Option<Hash> = None;
    let mut verified = 0_usize;
    let mut newest = 0;
    // The epochs in which nothing was sealed have authenticators, too.
    let pass = |key: &mut SealKey, epoch: &mut u64, upto: u64, last: &mut Option<Hash>| {
        while *epoch < upto {
            *last = last.map(|last| authenticator(key, host, *epoch, &last, None));
            *key = key.next();
            *epoch = epoch.saturating_add(1);
        }
    };
    for seal in seals {
        if seal.epoch < epoch {
            return Err(SealError::Changed(seal.epoch));
        }
        pass(&mut key, &mut epoch, seal.epoch, &mut last);
        let expected = authenticator(&key, host, epoch, &seal.before, Some((&seal.run, seal.time, &seal.heads)));
        if expected != seal.authenticator {
            return Err(if verified == 0 { SealError::OtherKey } else { SealError::Changed(epoch) });
        }
        if last.is_some_and(|last| last != seal.before) {
            return Err(SealError::Missing(newest));
        }
        last = Some(seal.authenticator);
        (verified, newest) = (verified.saturating_add(1), epoch);
        key = key.next();
        epoch = epoch.saturating_add(1);
    }
    if let Some((next, kept)) = file {
        pass(&mut key, &mut epoch, next, &mut last);
        let fits = last.is_some_and(|last| last == kept.authenticator && proof(&key, &last) == kept.proof);
        if !fits || epoch != next {
            return Err(SealError::Ended(newest));
        }
    }
    Ok(verified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    const HOST: &str = "example.com";

    /// A server that ran for some epochs. In each, `Some` says how far the chain of the host has got.
    fn sealed(epochs: &[Option<u64>]) -> (SealKey, Vec<Seal>, Sealer) {
        let key = SealKey::new([7; 32]);
        let mut sealer = Sealer::new(key.clone());
        let mut seals = Vec::new();
        for (number, n) in epochs.iter().enumerate() {
            let head = |n: u64| SealedHead { id: Bytes([1; 16]), n, hash: Bytes([n as u8; 32]) };
            let other = Some(vec![head(number as u64)]);
            let heads = BTreeMap::from([(HOST.to_owned(), n.map(|n| vec![head(n)])), ("other.example".to_owned(), other)]);
            let mut made = sealer.seal(Bytes([2; 16]), 1_795_521_600 + 900 * number as u64, &heads);
            assert!(made.contains_key("other.example"));
            seals.extend(made.remove(HOST));
        }
        (key, seals, sealer)
    }

    fn file(sealer: &Sealer) -> Option<(u64, LastSeal)> {
        sealer.last.get(HOST).map(|last| (sealer.epoch, *last))
    }

    #[test]
    fn what_was_sealed_verifies_and_idle_epochs_count() {
        let (key, seals, sealer) = sealed(&[None, Some(3), None, None, Some(9), Some(10), None]);
        assert_eq!(seals.iter().map(|seal| seal.epoch).collect::<Vec<_>>(), [1, 4, 5]);
        assert_eq!(verify(&key, HOST, &seals, file(&sealer)), Ok(3));
        // The first ones have expired.
        assert_eq!(verify(&key, HOST, &seals[1..], file(&sealer)), Ok(2));
        assert_eq!(verify(&SealKey::new([8; 32]), HOST, &seals, file(&sealer)), Err(SealError::OtherKey));
        assert_eq!(verify(&key, "other.example", &seals, file(&sealer)), Err(SealError::OtherKey));
    }

    #[test]
    fn seals_can_not_be_left_out_or_cut_off_or_put_back() {
        let (key, seals, sealer) = sealed(&[Some(3), None, Some(9), Some(10), None]);
        assert_eq!(verify(&key, HOST, &[seals[0].clone(), seals[2].clone()], file(&sealer)), Err(SealError::Missing(0)));
        assert_eq!(verify(&key, HOST, &seals[..2], file(&sealer)), Err(SealError::Ended(2)));
        // The file of an hour ago beside the entries of now, and the other way round.
        let (_, _, older) = sealed(&[Some(3), None, Some(9)]);
        assert_eq!(verify(&key, HOST, &seals, file(&older)), Err(SealError::Ended(3)));
        assert_eq!(verify(&key, HOST, &seals[..2], file(&older)), Ok(2));
        // With the key of the present nobody can end the seals earlier: the proof needs a key that is gone.
        let taken = &sealer.key;
        let forged = LastSeal { authenticator: seals[1].authenticator, proof: proof(taken, &seals[1].authenticator) };
        for next in [3, sealer.epoch] {
            assert!(verify(&key, HOST, &seals[..2], Some((next, forged))).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_change_of_a_seal_is_found(
            epochs in prop::collection::vec(prop::option::of(1..100_u64), 1..12), at in any::<Index>(), what in 0..5
        ) {
            let (key, mut seals, sealer) = sealed(&epochs);
            prop_assume!(!seals.is_empty());
            prop_assert_eq!(verify(&key, HOST, &seals, file(&sealer)), Ok(seals.len()));
            let at = at.index(seals.len());
            let seal = &mut seals[at];
            match what {
                0 => seal.time += 1,
                1 => seal.heads[0].n += 1,
                2 => seal.heads[0].hash.0[0] ^= 1,
                3 => seal.run.0[0] ^= 1,
                _ => seal.epoch += 1,
            }
            prop_assert!(verify(&key, HOST, &seals, file(&sealer)).is_err());
        }

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
