//! Seals: the loop of the modules (`lua/audit/sealing.lib.lua`, `src/lua/evidence/seals.rs`) around the steps of the core, and forgeries
//! that nothing else can find.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use audit_core::chain::chains::Progress;
use audit_core::chain::head::Head;
use audit_core::chain::link::{Chain, Link};
use audit_core::chain::seal::{Seal, SealKey, Sealer};
use audit_core::chain::seal_file::SealFile;
use audit_core::chain::sealed::{End, Proved, SEALED, Seals};
use audit_core::chain::sealing::Sealing;
use audit_core::entry::canon::Draft;
use audit_core::entry::details::Details;
use audit_core::entry::element::of_xml;

use crate::disk::FOLDER;
use crate::events::HOST;
use crate::evidence::{Scene, link_of};
use crate::seed::Seed;
use crate::store::{Lists, xml};
use crate::world::{Crashed, Timer, World};

/// How often the server seals, and when first after a start, in seconds.
pub const INTERVAL: f64 = 6.0 * 3600.0;
const AT_FIRST: f64 = 10.0;

fn path() -> PathBuf {
    Path::new(FOLDER).join("audit.seal")
}

/// What the operator keeps.
const fn first_key() -> SealKey {
    SealKey::new([7; 32])
}

impl World {
    pub const fn is_sealed(&self) -> bool {
        self.setup.is_linked && self.setup.is_sealed
    }

    /// The operator makes a key.
    pub fn make_key(&self) {
        if self.is_sealed() {
            SealFile::create(self.disk.shared(), &path(), &Sealer::new(first_key())).expect("the disk works at first");
            self.disk.files.write_back(|_| true);
        }
    }

    /// Reads the key when a process starts.
    pub fn open_seals(&mut self) {
        if !self.is_sealed() {
            return;
        }
        match SealFile::open(self.disk.shared(), &path()) {
            Ok(found) => self.process().sealing = found.map(|(_, sealer)| Sealing::new(sealer)),
            Err(error) => {
                self.line(error);
                self.is_seal_late = true;
            }
        }
        self.after(AT_FIRST, Timer::Seal);
    }

    pub fn seal(&mut self) -> Result<(), Crashed> {
        self.after(INTERVAL, Timer::Seal);
        let time = self.clock.wall() as u64;
        let process = self.process();
        let chains = process.recorder.chains(HOST);
        let Some(sealing) = &mut process.sealing else { return Ok(()) };
        let moved = sealing.moved(HOST, *chains.borrow().run(), chains.borrow().progress());
        let moved: BTreeMap<_, _> = moved.map(|heads| (HOST.to_owned(), heads)).into_iter().collect();
        let seals = sealing.seal(time, &moved);
        for seal in seals.values() {
            self.step()?;
            let is_there = self.say(SEALED, 0, |details| describe(seal, details))?;
            if let Some(sealing) = &mut self.process().sealing {
                if is_there {
                    sealing.recorded(HOST, seal, chains.borrow().progress());
                } else {
                    sealing.not_recorded(HOST);
                }
            }
        }
        self.step()?;
        // What was recorded is on the disk before the key is replaced.
        self.disk.files.write_back(|_| true);
        self.model.written_back();
        #[cfg(feature = "storage")]
        self.store.with_native(|native, _| native.sync());
        self.step()?;
        let Some(next) = self.process().sealing.as_ref().and_then(|sealing| sealing.next().cloned()) else { return Ok(()) };
        let saved = SealFile::open(self.disk.shared(), &path()).and_then(|file| file.map(|(mut file, _)| file.save(&next)).transpose());
        match saved {
            Ok(_) => {
                self.process().sealing.iter_mut().for_each(Sealing::saved);
                self.is_seal_late = false;
            }
            Err(error) => {
                self.line(error);
                self.is_seal_late = true;
                self.process().sealing.iter_mut().for_each(Sealing::failed);
            }
        }
        self.step()
    }

    /// What the seals prove, with the first key.
    pub fn proved(&self, lists: &Lists, scene: &Scene) -> Option<Proved> {
        if !self.is_sealed() {
            return None;
        }
        let mut seals = Seals::default();
        lists.values().flatten().for_each(|stored| seals.feed(&stored.row()));
        (0..scene.waiting.len()).filter_map(|index| scene.waiting.get(index)?.1).for_each(|payload| seals.feed_waiting(&payload));
        let sealer = SealFile::look(&self.disk.files, &path()).ok().flatten()?;
        let end = End { key: sealer.id, epoch: sealer.epoch, last: sealer.last.get(HOST).copied() };
        Some(seals.verify(HOST, &[first_key()], Some(end)))
    }
}

/// `<seal …><head …/>…</seal>`, as the product stores it.
fn describe(seal: &Seal, details: &mut Details) {
    details.open(b"seal");
    let (epoch, time) = (seal.epoch.to_string(), seal.time.to_string());
    let (key, run, before) = (seal.key.to_string(), seal.run.to_string(), seal.before.to_string());
    for (name, value) in [("key", &key), ("epoch", &epoch), ("run", &run), ("time", &time), ("before", &before)] {
        details.attribute(name.as_bytes(), value.as_bytes());
    }
    details.attribute(b"authenticator", seal.authenticator.to_string().as_bytes());
    for head in &seal.heads {
        details.open(b"head");
        let (n, rules) = (head.n.to_string(), head.rules.to_string());
        for (name, value) in [("chain", head.id.to_string()), ("n", n), ("hash", head.hash.to_string()), ("rules", rules)] {
            details.attribute(name.as_bytes(), value.as_bytes());
        }
        details.close();
    }
    details.close();
}

/// Forges the end of a chain, as somebody can who may write all files: what is known of the chain fits again. Returns what was done,
/// and the chain and the number of the entry.
pub fn forge(lists: &mut Lists, progress: &mut [Progress], seed: &mut Seed) -> Option<(String, Progress)> {
    let place = seed.below(progress.len().max(1) as u64) as usize;
    let of = progress.get_mut(place).filter(|of| of.n > 1)?;
    let before = of.clone();
    let find = |lists: &Lists, wanted: u64| {
        let mut all = lists.iter().flat_map(|(user, list)| list.iter().enumerate().map(move |(at, stored)| (user, at, stored)));
        all.find(|(.., stored)| link_of(&stored.xml).is_some_and(|(id, n, _)| (id, n) == (of.id, wanted)))
            .map(|(user, at, stored)| (user.clone(), at, stored.clone()))
    };
    let ((user, at, last), (.., previous)) = (find(lists, of.n)?, find(lists, of.n - 1)?);
    let (.., hash) = link_of(&previous.xml)?;
    let list = lists.get_mut(&user)?;
    if seed.once_in(2) {
        list.remove(at);
        (of.n, of.hash) = (before.n - 1, hash);
        return Some((format!("cut off: {}", last.xml), before));
    }
    // The entry is another one, and linked as if it had been recorded.
    let (link, _) = Link::read(Draft::of_xml(&last.xml).ok()?).ok()?;
    let bare = format!("{}{}", last.xml.split_once("<chain ")?.0, last.xml.split_once("</chain>")?.1);
    let source = bare.replacen(" source='", " source='x", 1);
    let mut payload = [b"0\0".as_slice(), &of_xml(&source)?].concat();
    let chain = Chain { host: HOST.to_owned(), class: of.class.clone(), id: of.id };
    let forged = Head::after(chain, link.run, before.n - 1, hash).next(link.at, link.cut, first_salt(), Draft::of_payload(&payload)?);
    let end = payload.pop()?;
    forged.write(&mut payload);
    payload.push(end);
    list[at].xml = xml(&payload);
    of.hash = forged.hash;
    Some((format!("made anew: {} becomes {}", last.xml, list[at].xml), before))
}

const fn first_salt() -> audit_core::chain::hash::Nonce {
    audit_core::chain::hash::Bytes([1; 16])
}
