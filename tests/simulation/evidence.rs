//! The chains of the log: what is written down before something is removed, where a chain goes on after a loss of power, and the real
//! verifier. The untouched log must verify, and an edit of it must be found, or change nothing that a query shows. The loops of the
//! embedded Lua are `src/lua/evidence/evidence.lua`, `src/lua/prune/removal.lua` and `src/lua/read/verify.lua`.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use audit_core::archive::Layout;
use audit_core::archive::retention::Retention;
use audit_core::chain::catch_up::{SEEN, newest};
use audit_core::chain::chains::{Chains, Progress, milliseconds};
use audit_core::chain::hash::{Bytes, Nonce};
use audit_core::chain::link::Link;
use audit_core::chain::rules::Removed;
use audit_core::chain::sealed::Proved;
use audit_core::chain::verdict::{Fault, Finding, Verdict};
use audit_core::chain::verify::Verifier;
use audit_core::entry::canon::Draft;
use audit_core::journal::{Journal, Limits, Links as _, Owner, Snapshot};
use audit_core::options::Write;

use crate::disk::{FOLDER, journal};
use crate::events::HOST;
use crate::model::Gone;
use crate::prune::{Outcome, partitions_of};
use crate::script::{Driver, Mood};
use crate::sealing::{INTERVAL, forge};
use crate::seed::{Seed, SeededRandom};
use crate::store::{Lists, Refusal, Stored, User};
use crate::world::{Crashed, World};

/// How many edits are tried after a run.
const EDITS: u64 = 4;
/// How many forgeries are tried after a run.
const FORGERIES: u64 = 4;
/// The most entries that are verified once more for each edit.
const MOST: usize = 1500;

/// What another process reads before it verifies the log.
pub struct Scene {
    pub waiting: Snapshot,
    progress: Vec<Progress>,
    retention: Retention,
    order: Vec<User>,
}

/// The link of a stored entry: the chain, the number and the hash.
pub fn link_of(xml: &str) -> Option<(Nonce, u64, audit_core::chain::hash::Hash)> {
    let element = xml.split_once("<chain ")?.1.split_once('>')?.0;
    let value = |name: &str| Some(element.split_once(&format!(" {name}='"))?.1.split_once('\'')?.0);
    Some((Bytes::read(value("id")?)?, value("n")?.parse().ok()?, Bytes::read(value("hash")?)?))
}

impl World {
    /// Writes down which entries are about to be removed by a rule. Another process can do so only if no server has the journal.
    pub fn announce(&mut self, stored: &[Stored], elsewhere: bool) -> Result<(), Refusal> {
        let links: Vec<_> = stored.iter().filter_map(|stored| link_of(&stored.xml)).collect();
        let (Some(first), Some(last)) = (links.first(), links.last()) else { return Ok(()) };
        let mut ranges = vec![(first.0, first.1, last.1, last.2)];
        let follow = first.0 == last.0 && last.1.checked_sub(first.1).is_some_and(|more| more + 1 == stored.len() as u64);
        // Only a store that pages are read from quickly is asked for the first and the last entry alone.
        if !self.store.has_transactions() || !follow {
            ranges = links.into_iter().map(|(id, n, hash)| (id, n, n, hash)).collect();
        }
        self.dirty();
        let write = |chains: &mut Chains| {
            ranges.into_iter().for_each(|(id, from, upto, hash)| chains.remove(id, Removed { from, upto, hash, at: 0, when: 0 }));
            chains.announce()
        };
        let written = if elsewhere {
            let chains = Chains::new(HOST, self.other_random());
            let owner = Owner::on(self.disk.shared(), &Path::new(FOLDER).join("audit_journals.lock"));
            let mut opened = Journal::detached_under(&journal(), Limits::default(), owner);
            let chains = Rc::new(RefCell::new(chains));
            opened.keep_links(Rc::<RefCell<Chains>>::clone(&chains));
            let attached = opened.attach(self.clock.wall()).map_err(|error| error.to_string());
            attached.and_then(|()| if write(&mut chains.borrow_mut()) { opened.write_heads() } else { Ok(()) })
        } else {
            let process = self.process();
            let chains = process.recorder.chains(HOST);
            let is_any = write(&mut chains.borrow_mut());
            if is_any { process.journal.write_heads() } else { Ok(()) }
        };
        written.map_err(|problem| {
            self.line(format_args!("what is to be removed can't be written down: {problem}"));
            Refusal::Fault
        })
    }

    fn other_random(&self) -> Rc<SeededRandom> {
        Rc::new(SeededRandom::new(Seed::new(self.steps)))
    }

    /// Looks how far the chains have got in the store, if the journal may know less.
    pub fn catch_up(&mut self) -> Result<(), Crashed> {
        let boot = self.clock.reading().boot.unwrap_or_default();
        let chains = self.process().recorder.chains(HOST);
        let is_direct = self.settings().write == Write::Direct;
        if !chains.borrow_mut().boot(&boot).0 && !is_direct {
            return Ok(());
        }
        if self.look_at_store(&chains)?.is_err() {
            chains.borrow_mut().end(milliseconds(self.clock.wall()));
        }
        self.dirty();
        self.process().journal.write_heads().ok();
        Ok(())
    }

    fn look_at_store(&mut self, chains: &RefCell<Chains>) -> Outcome<()> {
        let users = match self.users()? {
            Ok(users) => users,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let last = newest(partitions_of(&users), self.clock.wall());
        let nil = (self.settings().layout == Layout::Single).then_some(None);
        for user in last.iter().map(|partition| Some(partition.to_string())).chain(nil) {
            if self.call()?.is_some_and(Mood::fails) {
                return Ok(Err(Refusal::Fault));
            }
            for stored in self.store.find(&user, true, SEEN, None).unwrap_or_default() {
                if let Ok((link, _)) = Link::read(Draft::of_xml(&stored.xml).unwrap_or_default()) {
                    chains.borrow_mut().saw(&link);
                }
            }
        }
        Ok(Ok(()))
    }

    fn chains_on_disk(&self) -> Option<(Snapshot, Vec<Progress>)> {
        let mut chains = Chains::new(HOST, self.other_random());
        let waiting = Snapshot::read_with(&self.disk.files, &journal(), Some(&mut chains)).ok()?;
        chains.resume();
        Some((waiting, chains.progress().collect()))
    }

    fn evidence(&self) -> Option<Scene> {
        let (waiting, progress) = self.chains_on_disk()?;
        let mut all = self.visible();
        all.retain(|partition| !partition.is_marker());
        // What was moved from archive user `nil` is older than the rest.
        all.sort_by_key(|of| (of.home().to_owned(), of.day, of.generation().is_none(), of.number));
        let order = all.iter().map(|partition| Some(partition.to_string())).chain([None]).collect();
        Some(Scene { waiting, progress, retention: self.settings().retention, order })
    }

    /// Verifies the log as another process finds it. Nobody has touched it.
    pub fn check_untouched(&mut self) {
        // Somebody who changes the files of the journal changes the evidence.
        if self.problem.is_some() || self.is_excused() || self.disk.is_ill {
            return;
        }
        let Some(scene) = self.evidence() else { return };
        let lists: Lists = self.store.all().map(|(user, list)| (user.clone(), list.clone())).collect();
        let verdict = verdict(&lists, &scene, self.proved(&lists, &scene));
        let faults: Vec<&Finding> = verdict.findings.iter().filter(|finding| !self.is_explained(finding)).collect();
        if let Some(first) = faults.first() {
            let (count, name) = (faults.len(), self.name_of(first));
            self.wrong(format!("the untouched log does not verify: {count} faults, first {first} ({name})"));
        }
        if !verdict.is_intact() {
            self.evidence_is_excused = true;
        }
    }

    /// Whether the evidence itself may be lost: somebody changed the files of the journal, or nothing could be written to them when the
    /// process died.
    const fn is_excused(&self) -> bool {
        self.model.is_segment_damaged || self.model.is_ledger_damaged || self.model.may_lack_evidence
    }

    fn name_of(&self, finding: &Finding) -> String {
        let id = finding.id.zip(finding.n).and_then(|at| self.model.linked.get(&at));
        id.map_or_else(String::new, |id| format!("{id}, {:?}, {:?}", self.model.gone.get(id), self.model.arrived.get(id)))
    }

    /// Whether what was found is true: the store has lost entries, or a power cut has taken them from the journal. Of several segments it
    /// may take any.
    fn is_explained(&self, finding: &Finding) -> bool {
        let has_lost = || self.model.gone.values().any(|gone| *gone == Gone::WithTheStore);
        match (finding.fault, finding.id, finding.n) {
            (Fault::Missing { upto }, Some(id), Some(n)) => (n..=upto).all(|n| {
                let entry = self.model.linked.get(&(id, n));
                let is_cut = |entry: &String| self.clock.boots > 1 && !self.model.arrived.contains_key(entry);
                entry.is_some_and(|entry| is_cut(entry) || self.model.gone.get(entry) == Some(&Gone::WithTheStore))
            }),
            // Some drivers have an order of their own within a second.
            // If a class is configured otherwise and back, an entry that waited meanwhile lies in another one.
            (Fault::Misplaced, ..) => {
                has_lost() || self.setup.driver == Driver::Unordered || self.kinds.get("Options").is_some_and(|times| *times > 1)
            }
            // What was recorded without a link before a clock was set back has a later time than the first link.
            (Fault::Inserted, ..) => self.has_gone_back,
            // Seals, or what they have sealed, are gone with the store.
            (Fault::Unsealed, ..) => self.is_seal_late || self.kinds.keys().any(|kind| kind.starts_with("disk")),
            (Fault::Seal(_) | Fault::CutOff | Fault::Resealed, ..) => has_lost(),
            _ => false,
        }
    }

    /// Edits the store in some ways, each for itself, and verifies what is left.
    pub fn check_edits(&mut self) {
        if self.problem.is_some() || self.evidence_is_excused || self.is_excused() {
            return;
        }
        let Some(mut scene) = self.evidence() else { return };
        let lists: Lists = self.store.all().map(|(user, list)| (user.clone(), list.clone())).collect();
        if lists.values().map(Vec::len).sum::<usize>() > MOST {
            return;
        }
        let mut seed = Seed::new(self.steps);
        for _ in 0..EDITS {
            let mut edited = lists.clone();
            let Some(what) = edit(&mut edited, &scene, &mut seed) else { continue };
            *self.kinds.entry(format!("edit: {}", what.split(':').next().unwrap_or_default())).or_default() += 1;
            if verdict(&edited, &scene, None).is_intact() {
                self.wrong(format!("an edit of the store is not found: {what}"));
                return;
            }
        }
        self.check_forgeries(&lists, &mut scene, &mut seed);
    }

    /// Forges the log and what is known of it, and verifies that with the key. Without it, nothing is found.
    fn check_forgeries(&mut self, lists: &Lists, scene: &mut Scene, seed: &mut Seed) {
        let Some(proved) = self.proved(lists, scene) else { return };
        let progress = scene.progress.clone();
        for _ in 0..FORGERIES {
            let mut edited = lists.clone();
            scene.progress.clone_from(&progress);
            let Some((what, before)) = forge(&mut edited, &mut scene.progress, seed) else { continue };
            let is_sealed = proved.heads.iter().any(|head| head.id == before.id && head.n >= before.n);
            // What waits in the journal has the entry, too.
            let waits = (0..scene.waiting.len()).filter_map(|index| scene.waiting.get(index)?.1);
            if !is_sealed || waits.count() > 0 || !verdict(&edited, scene, None).is_intact() {
                continue;
            }
            *self.kinds.entry(format!("forged: {}", what.split(':').next().unwrap_or_default())).or_default() += 1;
            if verdict(&edited, scene, self.proved(&edited, scene)).is_intact() {
                self.wrong(format!("a forged log verifies with the seal key: {what}"));
                return;
            }
        }
    }
}

/// Verifies the log, as `src/lua/read/verify.lua` does.
fn verdict(lists: &Lists, scene: &Scene, proved: Option<Proved>) -> Verdict {
    let mut verifier = Verifier::new(HOST, scene.progress.clone()).with_classes(scene.retention.clone());
    if let Some(proved) = proved {
        verifier.rely_on(proved, INTERVAL as u64);
    }
    for user in &scene.order {
        verifier.begin(user.as_ref().and_then(|user| user.parse().ok()));
        lists.get(user).into_iter().flatten().for_each(|stored| verifier.feed(&stored.row()));
    }
    for index in 0.. {
        let Some((_, payload)) = scene.waiting.get(index) else { break };
        if let Some(payload) = payload {
            verifier.feed_waiting(&payload);
        }
    }
    verifier.update(scene.progress.clone());
    verifier.finish()
}

/// Where an entry is: the archive user, and its place there.
type Place = (User, usize);

/// Changes the lists in some way. Returns what was done; `None` if that changes nothing that a query shows.
fn edit(lists: &mut Lists, scene: &Scene, seed: &mut Seed) -> Option<String> {
    // What a rule may remove, or has removed while an old copy of the store was put back, can be removed unnoticed.
    let is_free = |stored: &Stored| {
        link_of(&stored.xml).is_none_or(|(id, n, _)| {
            let of_chain = scene.progress.iter().find(|progress| progress.id == id);
            of_chain.is_none_or(|progress| progress.removed.iter().any(|of| (of.from..=of.upto).contains(&n)))
        })
    };
    let places: Vec<Place> = scene
        .order
        .iter()
        .flat_map(|user| lists.get(user).into_iter().flatten().enumerate().map(|(at, stored)| (user.clone(), at, stored)))
        .filter(|(.., stored)| !is_free(stored))
        .map(|(user, at, _)| (user, at))
        .collect();
    let place = |seed: &mut Seed| places.get(seed.below(places.len().max(1) as u64) as usize).cloned();
    let (user, at) = place(seed)?;
    let list = lists.get_mut(&user)?;
    let name = format!("entry {at} of {user:?}");
    let before = list[at].clone();
    let what = match seed.below(9) {
        0 => {
            list[at].xml = changed_value(&before.xml, seed)?;
            // If an entry has no personal values, its salt stands for nothing.
            if without_salt(&before.xml) == without_salt(&list[at].xml) {
                return None;
            }
            format!("value: {} becomes {}", before.xml, list[at].xml)
        }
        1 => {
            list[at].with = if before.with == "juliet@example.com" { "@".to_owned() } else { "juliet@example.com".to_owned() };
            format!("account: {name}")
        }
        2 => {
            list[at].when += seed.pick(&[-3600, -1, 1, 3600]);
            format!("time: {name} lies under {}, not {}", list[at].when, before.when)
        }
        3 => {
            let other = (at + 1) % list.len();
            // Nothing says in which order entries of different classes came within a second.
            let chain = |xml: &str| link_of(xml).map(|(id, ..)| id);
            if other == at || chain(&list[other].xml) != chain(&before.xml) || is_free(&list[other]) {
                return None;
            }
            // The times stay in order.
            list.swap(at, other);
            let (one, two) = (list[at].when, list[other].when);
            (list[at].when, list[other].when) = (two, one);
            format!("order: {name} and {other}")
        }
        4 => {
            list.remove(at);
            format!("removed: {name}")
        }
        5 => {
            list.truncate(at);
            format!("tail: {name} and all behind it")
        }
        6 => {
            lists.remove(&user);
            format!("partition: {user:?}")
        }
        7 => {
            let copy = Stored { key: u64::MAX, ..before };
            let (target, _) = place(seed)?;
            lists.entry(target.clone()).or_default().push(copy);
            format!("twice: {name} also in {target:?}")
        }
        _ => {
            let (first, rest) = before.xml.split_once("<chain ")?;
            list[at].xml = format!("{first}{}", rest.split_once("</chain>")?.1);
            format!("without link: {name}")
        }
    };
    Some(what)
}

fn without_salt(xml: &str) -> String {
    let (before, rest) = xml.split_once(" salt='").unwrap_or((xml, "'"));
    format!("{before}{}", rest.split_once('\'').map_or("", |(_, behind)| behind))
}

/// Changes a character of one value in XML.
fn changed_value(xml: &str, seed: &mut Seed) -> Option<String> {
    let mut quoted = Vec::new();
    let mut is_inside = false;
    for (at, of) in xml.char_indices() {
        match of {
            '\'' => is_inside = !is_inside,
            _ if is_inside && of.is_ascii_alphanumeric() => quoted.push(at),
            _ => {}
        }
    }
    let at = *quoted.get(seed.below(quoted.len().max(1) as u64) as usize)?;
    let other = if &xml[at..=at] == "z" { "y" } else { "z" };
    Some(format!("{}{other}{}", &xml[..at], &xml[at + 1..]))
}
