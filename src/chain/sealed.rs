//! Verifying the seals of a host with the first key. What a seal says of the chains can be relied on then.

use thiserror::Error;

use super::hash::{Bytes, Hash, Nonce};
use super::seal::{KeyId, LastSeal, Seal, SealKey, SealedHead, authenticator, proof};
use crate::entry::xml::Element;
use crate::entry::{Row, StoredEvent, payload};

/// The event type of a seal.
pub const SEALED: &str = "audit-sealed";
/// The event type that says that the key was replaced, and how the seals of the former one end.
pub const REPLACED: &str = "audit-seal-replaced";
/// The element of both.
pub const SEAL: &str = "seal";

/// What is wrong with the seals of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// This seal was changed.
    #[error("the seal of epoch {0} was changed")]
    Changed(u64),
    /// There is no seal between this epoch and the next seal, although something was sealed.
    #[error("a seal after epoch {0} is missing")]
    Missing(u64),
    /// The file does not belong to the seals: older ones were put in its place, or the newest were cut off.
    #[error("the seals end with epoch {0}, and the seal file is of a later one or of others")]
    Ended(u64),
    /// There is no file, or one of another key, and no entry says that the key was replaced.
    #[error("the seal file is missing, or is of another key, and nothing in the log says that the key was replaced")]
    NoEnd,
}

/// Where the seals of a key end: by the seal file, or by the entry that says that the key was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The name of the key.
    pub key: KeyId,
    /// The epoch that was to be sealed next.
    pub epoch: u64,
    /// The last authenticator of the host. `None` if it has none: nothing was sealed.
    pub last: Option<LastSeal>,
}

/// The seals that were found in the log of a host.
#[derive(Clone, Debug, Default)]
pub struct Seals {
    found: Vec<Seal>,
    ends: Vec<End>,
}

/// What the seals of a host prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proved {
    /// How many seals fit.
    pub count: usize,
    /// The heads that were sealed.
    pub heads: Vec<SealedHead>,
    /// Chain, number of the head and time of each of them, in UNIX seconds.
    pub times: Vec<(Nonce, u64, u64)>,
    /// When the last epoch ended in which something was sealed, in UNIX seconds.
    pub time: Option<u64>,
    /// What does not fit.
    pub faults: Vec<SealError>,
    /// How many seals are of keys that were not given.
    pub others: usize,
    /// Whether a key belongs to none of the seals and not to the seal file.
    pub is_foreign: bool,
}

impl Seals {
    /// Takes a row of the store, if it is a seal.
    pub fn feed(&mut self, row: &Row) {
        if !row.contains(SEALED) && !row.contains(REPLACED) {
            return;
        }
        let Ok(event) = StoredEvent::read(row) else { return };
        let Some(element) = event.details.iter().find(|detail| detail.name == SEAL) else { return };
        match event.kind.as_str() {
            SEALED => self.found.extend(read_seal(element)),
            REPLACED => self.ends.extend(read_end(element)),
            _ => {}
        }
    }

    /// Takes an entry that waits in the journal, if it is a seal.
    pub fn feed_waiting(&mut self, waiting: &[u8]) {
        let Some(kind) = payload::attribute_of(waiting, "type").filter(|kind| [SEALED, REPLACED].contains(kind)) else { return };
        let Some(begin) = waiting.iter().position(|byte| *byte == 0) else { return };
        let element = waiting.get(begin.saturating_add(1)..).unwrap_or_default().to_vec();
        let row = Row { key: kind.to_owned(), when: 0.0, with: None, xml: String::new(), element };
        self.feed(&row);
    }

    /// Verifies all seals of a host with these first keys. `file` is what the seal file has, if there is one.
    #[must_use]
    pub fn verify(mut self, host: &str, keys: &[SealKey], file: Option<End>) -> Proved {
        // What waits in the journal may be in the store as well.
        self.found.sort_unstable_by_key(|seal| (seal.key, seal.epoch, seal.authenticator));
        self.found.dedup();
        let mut proved = Proved::default();
        let ids: Vec<KeyId> = keys.iter().map(SealKey::id).collect();
        proved.others = self.found.iter().filter(|seal| !ids.contains(&seal.key)).count();
        for (key, id) in keys.iter().zip(ids) {
            let seals: Vec<&Seal> = self.found.iter().filter(|seal| seal.key == id).collect();
            // A crash while the key was being replaced leaves an entry about an end that was none: the key was used again.
            let replaced = self.ends.iter().filter(|end| end.key == id).max_by_key(|end| end.epoch).copied();
            let end = file.filter(|end| end.key == id).or(replaced);
            if seals.is_empty() && end.is_none() {
                proved.is_foreign = true;
                continue;
            }
            let last = seals.iter().map(|seal| seal.time).max();
            proved.time = proved.time.max(last);
            match verify(key, host, &seals, end) {
                Ok(count) => proved.count = proved.count.saturating_add(count),
                Err(fault) => proved.faults.push(fault),
            }
            proved.times.extend(seals.iter().flat_map(|seal| seal.heads.iter().map(|head| (head.id, head.n, seal.time))));
            proved.heads.extend(seals.iter().flat_map(|seal| seal.heads.iter().copied()));
        }
        proved
    }
}

/// Verifies the seals of one key, in the order of their epochs. The first ones may have expired.
///
/// The server writes a seal before it replaces the key. So a crash in between lets an epoch be sealed once more: both seals are
/// genuine, and one of them goes on. The file may also be one epoch behind the newest seal.
fn verify(first: &SealKey, host: &str, seals: &[&Seal], end: Option<End>) -> Result<usize, SealError> {
    let end = end.ok_or(SealError::NoEnd)?;
    let mut walk = Walk { host, key: first.clone(), epoch: 0, last: Vec::new(), newest: 0 };
    let (done, unfinished) = seals.split_at(seals.partition_point(|seal| seal.epoch < end.epoch));
    for group in done.chunk_by(|a, b| a.epoch == b.epoch) {
        walk.pass(group)?;
        walk.last = group.iter().map(|seal| seal.authenticator).collect();
        walk.advance();
    }
    walk.go_to(end.epoch);
    let fits = match end.last {
        // If all seals have expired, only the proof is left.
        Some(kept) => {
            (walk.last.is_empty() || walk.last.contains(&kept.authenticator)) && proof(&walk.key, &kept.authenticator) == kept.proof
        }
        None => done.is_empty(),
    };
    if !fits || unfinished.iter().any(|seal| seal.epoch > end.epoch) {
        return Err(SealError::Ended(walk.newest));
    }
    walk.pass(unfinished)?;
    Ok(seals.len())
}

/// Goes from epoch to epoch.
struct Walk<'a> {
    host: &'a str,
    epoch: u64,
    /// The key of that epoch.
    key: SealKey,
    /// The authenticators that the next one may follow. Empty before the first seal that is left.
    last: Vec<Hash>,
    /// The epoch of the last seal.
    newest: u64,
}

impl Walk<'_> {
    /// Verifies the seals of one epoch.
    fn pass(&mut self, group: &[&Seal]) -> Result<(), SealError> {
        let Some(epoch) = group.first().map(|seal| seal.epoch) else { return Ok(()) };
        self.go_to(epoch);
        for seal in group {
            let sealed = Some((&seal.run, seal.time, seal.heads.as_slice()));
            if authenticator(&self.key, self.host, epoch, &seal.before, sealed) != seal.authenticator {
                return Err(SealError::Changed(epoch));
            } else if !self.last.is_empty() && !self.last.contains(&seal.before) {
                return Err(SealError::Missing(self.newest));
            }
        }
        self.newest = epoch;
        Ok(())
    }

    /// The epochs in which nothing was sealed have authenticators, too.
    fn go_to(&mut self, epoch: u64) {
        while self.epoch < epoch {
            let Self { host, key, epoch, last, .. } = self;
            last.iter_mut().for_each(|last| *last = authenticator(key, host, *epoch, last, None));
            self.advance();
        }
    }

    fn advance(&mut self) {
        self.key = self.key.next();
        self.epoch = self.epoch.saturating_add(1);
    }
}

/// `<seal key= epoch= run= time= before= authenticator=><head chain= n= hash= rules=/>…</seal>`
fn read_seal(element: &Element) -> Option<Seal> {
    let attribute = |name: &str| element.attribute(name);
    let mut heads: Vec<SealedHead> = element.elements().filter(|child| child.name == "head").map(read_head).collect::<Option<_>>()?;
    heads.sort_unstable();
    Some(Seal {
        key: Bytes::read(attribute("key")?)?,
        epoch: attribute("epoch")?.parse().ok()?,
        run: Bytes::read(attribute("run")?)?,
        time: attribute("time")?.parse().ok()?,
        heads,
        before: Bytes::read(attribute("before")?)?,
        authenticator: Bytes::read(attribute("authenticator")?)?,
    })
}

fn read_head(element: &Element) -> Option<SealedHead> {
    let attribute = |name: &str| element.attribute(name);
    Some(SealedHead {
        id: Bytes::read(attribute("chain")?)?,
        n: attribute("n")?.parse().ok()?,
        hash: Bytes::read(attribute("hash")?)?,
        rules: Bytes::read(attribute("rules")?)?,
    })
}

/// `<seal former= epoch= authenticator= proof=/>`
fn read_end(element: &Element) -> Option<End> {
    let attribute = |name: &str| element.attribute(name);
    let last = || Some(LastSeal { authenticator: Bytes::read(attribute("authenticator")?)?, proof: Bytes::read(attribute("proof")?)? });
    Some(End { key: Bytes::read(attribute("former")?)?, epoch: attribute("epoch")?.parse().ok()?, last: last() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::chain::seal::{Heads, Sealer};
    use crate::chain::sealing::Sealing;
    use proptest::prelude::*;
    use proptest::sample::Index;

    const HOST: &str = "example.com";

    fn heads(n: u64) -> Heads {
        let hash = Bytes([u8::try_from(n % 251).unwrap(); 32]);
        Heads { run: Bytes([2; 16]), heads: vec![SealedHead { id: Bytes([1; 16]), n, hash, rules: hash }] }
    }

    /// A server that ran for some epochs. In each, `Some` says how far the chain of the host has got.
    fn sealed(epochs: &[Option<u64>]) -> (SealKey, Vec<Seal>, Sealer) {
        let key = SealKey::new([7; 32]);
        let mut sealer = Sealer::new(key.clone());
        let mut seals = Vec::new();
        for (number, n) in (0..).zip(epochs) {
            let mut moved = BTreeMap::from([("other.example".to_owned(), heads(number))]);
            moved.extend(n.map(|n| (HOST.to_owned(), heads(n))));
            let mut made = sealer.seal(1_795_521_600 + 900 * number, &moved);
            assert!(made.contains_key("other.example"));
            seals.extend(made.remove(HOST));
        }
        (key, seals, sealer)
    }

    fn file(sealer: &Sealer) -> Option<End> {
        Some(End { key: sealer.id, epoch: sealer.epoch, last: sealer.last.get(HOST).copied() })
    }

    fn verified(key: &SealKey, host: &str, seals: &[Seal], file: Option<End>) -> Result<usize, SealError> {
        let proved = Seals { found: seals.to_vec(), ends: Vec::new() }.verify(host, std::slice::from_ref(key), file);
        proved.faults.first().map_or(Ok(proved.count), |fault| Err(*fault))
    }

    /// There was no room for it, and it was reported as missing ever after.
    #[test]
    fn a_seal_that_was_not_recorded_is_not_missing() {
        for skipped in 0..4 {
            let key = SealKey::new([7; 32]);
            let (mut sealing, mut seals) = (Sealing::new(Sealer::new(key.clone())), Vec::new());
            for epoch in 0..5 {
                let mut made = sealing.seal(1_795_521_600 + 900 * epoch, &BTreeMap::from([(HOST.to_owned(), heads(epoch))]));
                if epoch == skipped {
                    sealing.not_recorded(HOST);
                } else {
                    seals.extend(made.remove(HOST));
                }
                sealing.saved();
            }
            assert_eq!(verified(&key, HOST, &seals, file(sealing.sealer())), Ok(4), "{skipped}");
        }
    }

    #[test]
    fn what_was_sealed_verifies_and_idle_epochs_count() {
        let (key, seals, sealer) = sealed(&[None, Some(3), None, None, Some(9), Some(10), None]);
        assert_eq!(seals.iter().map(|seal| seal.epoch).collect::<Vec<_>>(), [1, 4, 5]);
        assert_eq!(verified(&key, HOST, &seals, file(&sealer)), Ok(3));
        // The first ones have expired, or all.
        assert_eq!(verified(&key, HOST, &seals[1..], file(&sealer)), Ok(2));
        assert_eq!(verified(&key, HOST, &[], file(&sealer)), Ok(0));
        assert_eq!(verified(&key, "other.example", &seals, file(&sealer)), Err(SealError::Changed(1)));
        // Nothing has happened yet.
        let (key, none, sealer) = sealed(&[None, None]);
        assert_eq!(verified(&key, HOST, &none, file(&sealer)), Ok(0));
    }

    #[test]
    fn a_key_of_another_server_is_told_apart() {
        let (_, seals, sealer) = sealed(&[Some(3)]);
        let found = Seals { found: seals, ends: Vec::new() };
        let proved = found.verify(HOST, &[SealKey::new([8; 32])], file(&sealer));
        assert_eq!((proved.is_foreign, proved.others, proved.faults.len()), (true, 1, 0));
    }

    #[test]
    fn seals_can_not_be_left_out_or_cut_off_or_put_back() {
        let (key, seals, sealer) = sealed(&[Some(3), None, Some(9), Some(10), None]);
        assert_eq!(verified(&key, HOST, &[seals[0].clone(), seals[2].clone()], file(&sealer)), Err(SealError::Missing(0)));
        assert_eq!(verified(&key, HOST, &seals[..2], file(&sealer)), Err(SealError::Ended(2)));
        // The file of an hour ago beside the entries of now, and the other way round.
        let (_, _, older) = sealed(&[Some(3), None]);
        assert_eq!(verified(&key, HOST, &seals, file(&older)), Err(SealError::Ended(0)));
        // A crash came before the key was replaced.
        let (_, _, older) = sealed(&[Some(3), None, Some(9)]);
        assert_eq!(verified(&key, HOST, &seals, file(&older)), Ok(3));
        assert_eq!(verified(&key, HOST, &seals[..2], file(&older)), Ok(2));
        assert_eq!(verified(&key, HOST, &seals, None), Err(SealError::NoEnd));
        // With the key of the present nobody can end the seals earlier: the proof needs a key that is gone.
        let taken = &sealer.key;
        let last = Some(LastSeal { authenticator: seals[1].authenticator, proof: proof(taken, &seals[1].authenticator) });
        for epoch in [3, sealer.epoch] {
            assert!(verified(&key, HOST, &seals[..2], Some(End { key: sealer.id, epoch, last })).is_err());
        }
    }

    #[test]
    fn an_epoch_that_a_crash_let_be_sealed_once_more_is_no_fault() {
        let key = SealKey::new([7; 32]);
        let mut sealer = Sealer::new(key.clone());
        let mut seals = Vec::new();
        for number in 0..4 {
            let mut lost = sealer.clone();
            let moved = |n| BTreeMap::from([(HOST.to_owned(), heads(n))]);
            seals.extend(lost.seal(number, &moved(number)).into_values());
            seals.extend(sealer.seal(number, &moved(number + 10)).into_values());
        }
        assert_eq!(verified(&key, HOST, &seals, file(&sealer)), Ok(8));
    }

    #[test]
    fn the_seals_of_a_key_that_was_replaced_end_with_the_entry_about_it() {
        let (key, seals, sealer) = sealed(&[Some(3), Some(9)]);
        let next = SealKey::new([9; 32]);
        let mut later = Sealer::new(next.clone());
        let after: Vec<Seal> = later.seal(5, &BTreeMap::from([(HOST.to_owned(), heads(12))])).into_values().collect();
        let found = Seals { found: [seals, after].concat(), ends: file(&sealer).into_iter().collect() };
        let proved = found.clone().verify(HOST, &[key.clone(), next], file(&later));
        assert_eq!((proved.count, proved.faults.len(), proved.others), (3, 0, 0));
        let proved = found.clone().verify(HOST, std::slice::from_ref(&key), file(&later));
        assert_eq!((proved.count, proved.faults.len(), proved.others), (2, 0, 1));
        let proved = Seals { ends: Vec::new(), ..found }.verify(HOST, &[key], file(&later));
        assert_eq!(proved.faults, [SealError::NoEnd]);
    }

    #[test]
    fn a_key_that_was_almost_replaced_ends_later() {
        let (key, seals, sealer) = sealed(&[Some(3), Some(9), Some(10)]);
        let (_, _, crashed) = sealed(&[Some(3), Some(9)]);
        let ends: Vec<End> = file(&crashed).into_iter().chain(file(&sealer)).collect();
        for ends in [ends.clone(), ends.into_iter().rev().collect()] {
            let proved = Seals { found: seals.clone(), ends }.verify(HOST, std::slice::from_ref(&key), None);
            assert_eq!((proved.count, proved.faults), (3, Vec::new()));
        }
    }

    proptest! {
        #[test]
        fn every_change_of_a_seal_is_found(
            epochs in prop::collection::vec(prop::option::of(1..100_u64), 1..12), at in any::<Index>(), what in 0..5
        ) {
            let (key, mut seals, sealer) = sealed(&epochs);
            prop_assume!(!seals.is_empty());
            prop_assert_eq!(verified(&key, HOST, &seals, file(&sealer)), Ok(seals.len()));
            let at = at.index(seals.len());
            let seal = &mut seals[at];
            match what {
                0 => seal.time += 1,
                1 => seal.heads[0].n += 1,
                2 => seal.heads[0].hash.0[0] ^= 1,
                3 => seal.run.0[0] ^= 1,
                _ => seal.epoch += 1,
            }
            prop_assert!(verified(&key, HOST, &seals, file(&sealer)).is_err());
        }
    }
}
