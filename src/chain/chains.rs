//! The chains of a host: where each has got to, and linking the next entry to it.

mod record;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::hash::{Bytes, Hash, Nonce};
use super::head::Head;
use super::link::{Chain, Cut, Link, LinkError};
use super::rules::{MOST, Removed, Rule, Since};
use crate::entry::canon::{CHAIN, Draft};
use crate::entry::payload::{self, Part};
use crate::random::Random;

/// For how many entries random bytes are taken at once, so that not every entry needs a system call.
const AT_ONCE: usize = 64;
/// The size of a salt.
const SALT: usize = 16;

/// The chains of one host.
///
/// ```
/// use std::rc::Rc;
/// use audit_core::chain::{chains::Chains, link::Cut, rules::Rule};
/// use audit_core::random::OsRandom;
/// let mut chains = Chains::new("example.com", Rc::new(OsRandom));
/// let mut payload = b"1795643208.512\0\x01audit-event\x02type\x03test\x05".to_vec();
/// let linked = chains.link("events", Cut::default(), Rule::default(), &mut payload).unwrap();
/// assert_eq!(linked.n, 1);
/// chains.advance(&linked);
/// ```
#[derive(Debug)]
pub struct Chains {
    host: String,
    random: Rc<dyn Random>,
    run: Nonce,
    /// The chains that go on, one for each class.
    current: Vec<Kept>,
    /// Those that have ended.
    former: Vec<Kept>,
    /// What the journal has, while it is read.
    found: Option<(Vec<Kept>, Vec<Kept>)>,
    /// The start of the machine under which the journal was written last, and the present one. Empty if it is not known.
    boots: (String, String),
    /// What is about to be removed: the entries of each chain, by number, with their hashes.
    removing: BTreeMap<Nonce, BTreeMap<u64, Removed>>,
    /// Whether a chain was begun since the last record.
    is_news: bool,
    /// Whether something changed that can't be learned from the store, so that the next record must be on the disk.
    is_unsynced: bool,
    /// Whether the journal says that entries were only in memory, which the store may have taken.
    was_behind: bool,
    salts: [u8; SALT * AT_ONCE],
    used: usize,
}

/// A chain.
#[derive(Clone, Debug)]
struct Kept {
    head: Head,
    /// Where it had got to before the first entry that is only in memory, as that one may be lost.
    written: Option<(u64, Hash)>,
    since: u64,
    until: Option<u64>,
    removed: Vec<Removed>,
    rules: Vec<Since>,
}

/// An entry that was linked. It counts when [`Chains::advance`] is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Its number in its chain.
    pub n: u64,
    place: usize,
    link: Link,
}

/// Where a chain has got to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its id.
    pub id: Nonce,
    /// The retention class.
    pub class: String,
    /// The number of its last entry.
    pub n: u64,
    /// The hash of that.
    pub hash: Hash,
    /// When its first entry was recorded, in milliseconds since 1970.
    pub since: u64,
    /// When it ended, in milliseconds since 1970. `None` if entries are still added to it.
    pub until: Option<u64>,
    /// Which of its entries were removed by a rule, in order.
    pub removed: Vec<Removed>,
    /// The rules of the class, in order.
    pub rules: Vec<Since>,
}

impl Chains {
    /// The chains of a host that has none yet, or whose journal was not read yet.
    #[must_use]
    pub fn new(host: &str, random: Rc<dyn Random>) -> Self {
        let mut chains = Self {
            host: host.to_owned(),
            random,
            run: Bytes([0; 16]),
            current: Vec::new(),
            former: Vec::new(),
            found: None,
            boots: Default::default(),
            removing: BTreeMap::new(),
            is_news: false,
            is_unsynced: false,
            was_behind: false,
            salts: [0; SALT * AT_ONCE],
            used: SALT * AT_ONCE,
        };
        chains.run = chains.nonce().unwrap_or(chains.run);
        chains
    }

    /// The machine was started under this name, or an empty one if that is not known. Returns whether the store may know more than the
    /// journal, which was read before: the machine was started since, so the journal may lack what it had last after a loss of power; or
    /// entries were only in memory, of which the store may have taken some. Then the last entries in the store must be given to
    /// [`saw`](Self::saw), and if that is not possible, [`end`](Self::end) must be called. Also returns whether the machine was started.
    pub fn boot(&mut self, name: &str) -> (bool, bool) {
        let is_other = !name.is_empty() && !self.boots.0.is_empty() && self.boots.0 != name;
        self.boots = (name.to_owned(), name.to_owned());
        (is_other || std::mem::take(&mut self.was_behind), is_other)
    }

    /// Whether the store may know more than the journal, which was read before, under this start of the machine: see [`boot`](Self::boot).
    #[must_use]
    pub fn may_lag(&self, name: &str) -> bool {
        self.was_behind || name.is_empty() || self.boots.0 != name
    }

    /// The store has this entry. If it is behind the last one that is known of its chain, the chain goes on from there.
    pub fn saw(&mut self, link: &Link) {
        if let Some(Kept { head, .. }) = self.current.iter_mut().find(|kept| kept.head.chain().id == link.id && kept.head.n() < link.n) {
            *head = Head::after(head.chain().clone(), self.run, link.n, link.hash);
        }
    }

    /// Links an entry, as the journal keeps it, to the last one of its class, which has this rule, and adds the link to it. Returns `None` if it can't be
    /// linked: it is damaged or has a link, or there are no random bytes.
    pub fn link(&mut self, class: &str, cut: Cut, rule: Rule, payload: &mut Vec<u8>) -> Option<Linked> {
        let at = milliseconds(payload::time_of(payload)?);
        let salt = self.nonce()?;
        let place = self.place(class, at)?;
        let draft = Draft::of_payload(payload).filter(|draft| draft.chain().is_none())?;
        let kept = self.current.get_mut(place)?;
        if kept.rules.last().is_none_or(|(_, last)| *last != rule) {
            let excess = kept.rules.len().saturating_sub(MOST.saturating_sub(1));
            kept.rules.drain(..excess);
            kept.rules.push((at, rule));
            (self.is_news, self.is_unsynced) = (true, true);
        }
        let link = kept.head.next(at, cut, salt, draft);
        // The element goes behind the others.
        let end = payload.pop()?;
        link.write(payload);
        payload.push(end);
        Some(Linked { n: link.n, place, link })
    }

    /// The entry has been written.
    pub fn advance(&mut self, linked: &Linked) {
        if let Some(kept) = self.current.get_mut(linked.place) {
            kept.head.advance(&linked.link);
        }
    }

    /// The same for an entry that is only in memory.
    pub fn advance_in_memory(&mut self, linked: &Linked) {
        if let Some(kept) = self.current.get_mut(linked.place) {
            kept.written.get_or_insert((kept.head.n(), *kept.head.hash()));
        }
        self.advance(linked);
    }

    /// An entry that was linked, and maybe followed by others, is lost: neither the store nor the journal has room for it.
    pub fn lose(&mut self, payload: &[u8]) {
        if let Some((id, n, hash)) = link_of(payload) {
            let at = payload::time_of(payload).map(milliseconds).unwrap_or_default();
            self.remove(id, Removed { from: n, upto: n, hash, at, when: at });
            self.announce();
        }
    }

    /// Ends all chains at this time, in milliseconds since 1970: what is recorded from now on is not linked. The next entry that is
    /// linked begins a chain.
    pub fn end(&mut self, at: u64) {
        for kept in &mut self.current {
            kept.until = Some(at);
        }
        if self.current.is_empty() {
            return;
        }
        (self.is_news, self.is_unsynced) = (true, true);
        self.former.append(&mut self.current);
    }

    /// Entries that are about to be removed by a rule. [`announce`](Self::announce) must be called before they are.
    pub fn remove(&mut self, id: Nonce, removed: Removed) {
        self.removing.entry(id).or_default().insert(removed.from, removed);
    }

    /// Takes note of the entries that are about to be removed. A record must be written before they are. Returns whether there are any.
    pub fn announce(&mut self) -> bool {
        let removing = std::mem::take(&mut self.removing);
        let is_any = !removing.is_empty();
        for (id, ranges) in removing {
            let Some(kept) = self.current.iter_mut().chain(&mut self.former).find(|kept| kept.head.chain().id == id) else { continue };
            kept.add_removed(ranges.into_values());
        }
        self.is_unsynced |= is_any;
        is_any
    }

    /// Whether a chain was begun that no record has. A record must be written before the first entry of it, which does not name its
    /// class. Only the first call returns `true`.
    pub const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.is_news, false)
    }

    /// The record that was due after [`take_news`](Self::take_news) could not be written.
    pub const fn keep_news(&mut self) {
        self.is_news = true;
    }

    /// Where all chains have got to.
    pub fn progress(&self) -> impl Iterator<Item = Progress> {
        self.former.iter().chain(&self.current).map(|Kept { head, since, until, removed, rules, .. }| Progress {
            id: head.chain().id,
            class: head.chain().class.clone(),
            n: head.n(),
            hash: *head.hash(),
            since: *since,
            until: *until,
            removed: removed.clone(),
            rules: rules.clone(),
        })
    }

    /// The id of the run.
    #[must_use]
    pub const fn run(&self) -> &Nonce {
        &self.run
    }

    fn place(&mut self, class: &str, at: u64) -> Option<usize> {
        if let Some(place) = self.current.iter().position(|kept| kept.head.chain().class == class) {
            return Some(place);
        }
        let id = self.nonce()?;
        let chain = Chain { host: self.host.clone(), class: class.to_owned(), id };
        let head = Head::new(chain, self.run);
        self.current.push(Kept { head, written: None, since: at, until: None, removed: Vec::new(), rules: Vec::new() });
        (self.is_news, self.is_unsynced) = (true, true);
        self.current.len().checked_sub(1)
    }

    fn nonce(&mut self) -> Option<Nonce> {
        if self.used >= self.salts.len() {
            self.random.fill(&mut self.salts).ok()?;
            self.used = 0;
        }
        let bytes: [u8; SALT] = self.salts.get(self.used..)?.first_chunk().copied()?;
        self.used = self.used.saturating_add(SALT);
        Some(Bytes(bytes))
    }
}

impl Kept {
    fn add_removed(&mut self, more: impl IntoIterator<Item = Removed>) {
        let mut all: Vec<Removed> = std::mem::take(&mut self.removed).into_iter().chain(more).collect();
        all.sort_by_key(|of| (of.from, of.upto));
        for of in all {
            match self.removed.last_mut() {
                Some(last) if of.from <= last.upto.saturating_add(1) => {
                    if of.upto > last.upto {
                        *last = Removed { from: last.from, ..of };
                    }
                }
                _ => self.removed.push(of),
            }
        }
    }

    /// Adds what another record says of the same chain. What one of them knows is true.
    fn merge(&mut self, other: Self) {
        if other.head.n() > self.head.n() {
            self.head = other.head;
        }
        self.until = self.until.or(other.until);
        if other.rules.len() > self.rules.len() {
            self.rules = other.rules;
        }
        self.add_removed(other.removed);
    }
}

/// A time in UNIX seconds, in milliseconds.
#[must_use]
pub fn milliseconds(at: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Not negative; `as` saturates.
    let milliseconds = (at.max(0.0) * 1000.0).round() as u64;
    milliseconds
}

/// The chain, the number and the hash of an entry's link. `None` if it has none.
fn link_of(payload: &[u8]) -> Option<(Nonce, u64, Hash)> {
    let mut parts = payload::parts(payload);
    let mut depth = 0_usize;
    for part in parts.by_ref() {
        match part {
            Part::Open(name) if depth == 1 && name == CHAIN => break,
            Part::Open(_) => depth = depth.saturating_add(1),
            Part::Close => depth = depth.saturating_sub(1),
            Part::Attribute(..) | Part::Text(_) => {}
        }
    }
    let (mut id, mut n, mut hash) = (None, None, None);
    for part in parts {
        match part {
            Part::Attribute("id", value) => id = Bytes::read(value),
            Part::Attribute("n", value) => n = value.parse().ok(),
            Part::Attribute("hash", value) => hash = Bytes::read(value),
            Part::Attribute(..) => {}
            _ => break,
        }
    }
    Some((id?, n?, hash?))
}

/// Whether an entry carries a link, and if so whether it can be read.
///
/// # Errors
///
/// Returns [`LinkError`] if the entry has none, or none that can be read.
pub fn link_in(payload: &[u8]) -> Result<Link, LinkError> {
    Link::read(Draft::of_payload(payload).unwrap_or_default()).map(|(link, _)| link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Links as _;
    use crate::random::OsRandom;

    const ENTRY: &[u8] = b"1795643208.512\0\x01audit-event\x02type\x03test\x02user\x03a@example.com\x05";

    fn chains() -> Chains {
        Chains::new("example.com", Rc::new(OsRandom))
    }

    fn linked(chains: &mut Chains, class: &str) -> Vec<u8> {
        let mut payload = ENTRY.to_vec();
        let linked = chains.link(class, Cut::default(), Rule::default(), &mut payload).unwrap();
        chains.advance(&linked);
        payload
    }

    fn progress(chains: &Chains) -> Vec<(String, u64, bool)> {
        chains.progress().map(|of| (of.class, of.n, of.until.is_none())).collect()
    }

    #[test]
    fn an_entry_counts_when_it_was_written() {
        let mut chains = chains();
        let numbers: Vec<u64> =
            (0..3).map(|_| chains.link("events", Cut::default(), Rule::default(), &mut ENTRY.to_vec()).unwrap().n).collect();
        assert_eq!((numbers, chains.take_news(), chains.take_news()), (vec![1; 3], true, false));
        linked(&mut chains, "events");
        linked(&mut chains, "failures");
        assert_eq!(progress(&chains), [("events".to_owned(), 1, true), ("failures".to_owned(), 1, true)]);
    }

    #[test]
    fn an_entry_is_linked_once() {
        let mut chains = chains();
        let mut payload = linked(&mut chains, "events");
        assert_eq!(link_in(&payload).unwrap().n, 1);
        assert_eq!(chains.link("events", Cut::default(), Rule::default(), &mut payload), None);
        assert_eq!(chains.link("events", Cut::default(), Rule::default(), &mut b"damaged".to_vec()), None);
    }

    #[test]
    fn the_next_process_goes_on_behind_the_last_record_and_the_entries_after_it() {
        let mut first = chains();
        linked(&mut first, "events");
        let mut record = Vec::new();
        first.write_heads(&mut record);
        let (old, new) = (linked(&mut first, "events"), linked(&mut first, "events"));
        let mut second = chains();
        second.read_heads(&record);
        for payload in [&new, &old, &ENTRY.to_vec()] {
            second.read_entry(payload);
        }
        second.resume();
        assert_eq!(second.progress().collect::<Vec<_>>(), first.progress().collect::<Vec<_>>());
        assert_ne!(second.run(), first.run());
        assert_eq!(link_in(&linked(&mut second, "events")).unwrap().n, 4);
    }

    #[test]
    fn what_was_recorded_before_the_journal_was_open_is_a_chain_of_its_own() {
        let mut first = chains();
        linked(&mut first, "events");
        let mut record = Vec::new();
        first.write_heads(&mut record);
        let mut second = chains();
        linked(&mut second, "events");
        second.read_heads(&record);
        second.resume();
        assert_eq!(progress(&second), [("events".to_owned(), 1, false), ("events".to_owned(), 1, true)]);
        let mut again = Vec::new();
        second.write_heads(&mut again);
        let mut third = chains();
        third.read_heads(&again);
        third.resume();
        assert_eq!(progress(&third), progress(&second));
    }

    #[test]
    fn what_was_removed_is_kept_as_few_ranges() {
        let mut chains = chains();
        (0..30).for_each(|_| drop(linked(&mut chains, "events")));
        let id = chains.progress().next().unwrap().id;
        let hash = |n: u8| Bytes([n; 32]);
        let mut removed = |ranges: &[(u64, u64)]| {
            for (from, upto) in ranges {
                let hash = hash(u8::try_from(*upto).unwrap());
                chains.remove(id, Removed { from: *from, upto: *upto, hash, at: 0, when: 0 });
            }
            assert!(chains.announce() && !chains.announce());
            let mut record = Vec::new();
            chains.write_heads(&mut record);
            let mut next = Chains::new("example.com", Rc::new(OsRandom));
            next.read_heads(&record);
            next.resume();
            let removed = next.progress().next().unwrap().removed;
            assert!(removed.iter().all(|of| of.hash == hash(u8::try_from(of.upto).unwrap())));
            removed.iter().map(|of| (of.from, of.upto)).collect::<Vec<_>>()
        };
        assert_eq!(removed(&[(6, 9), (1, 5)]), [(1, 9)]);
        assert_eq!(removed(&[(20, 21), (12, 12)]), [(1, 9), (12, 12), (20, 21)]);
        assert_eq!(removed(&[(10, 11), (13, 19)]), [(1, 21)]);
        chains.remove(Bytes([9; 16]), Removed { from: 1, upto: 2, hash: hash(2), at: 0, when: 0 });
        chains.announce();
        assert_eq!(chains.progress().count(), 1, "another chain");
    }

    #[test]
    fn after_another_start_of_the_machine_a_chain_goes_on_from_the_store() {
        let mut first = chains();
        assert_eq!(first.boot("a"), (false, false), "there was none before");
        linked(&mut first, "events");
        let mut record = Vec::new();
        first.write_heads(&mut record);
        let last = link_in(&linked(&mut first, "events")).unwrap();
        let held = first.link("events", Cut::default(), Rule::default(), &mut ENTRY.to_vec()).unwrap();
        first.advance_in_memory(&held);
        let mut behind = Vec::new();
        first.write_heads(&mut behind);
        for (record, boot, may_know_less) in [(&record, "a", false), (&record, "b", true), (&record, "", false), (&behind, "a", true)] {
            let mut next = chains();
            next.read_heads(record);
            next.resume();
            assert_eq!((next.boot(boot).0, next.boot(boot)), (may_know_less, (false, false)));
            next.saw(&last);
            next.saw(&Link { n: 1, ..last.clone() });
            next.saw(&Link { id: Bytes([9; 16]), n: 7, ..last.clone() });
            assert_eq!(link_in(&linked(&mut next, "events")).unwrap().n, 3);
        }
    }

    /// It was counted in the record, and was missing after a kill.
    #[test]
    fn an_entry_that_is_only_in_memory_is_not_in_the_record() {
        let mut first = chains();
        linked(&mut first, "events");
        for _ in 0..2 {
            let held = first.link("events", Cut::default(), Rule::default(), &mut ENTRY.to_vec()).unwrap();
            first.advance_in_memory(&held);
        }
        let recorded = |first: &Chains| {
            let (mut record, mut next) = (Vec::new(), chains());
            first.write_heads(&mut record);
            next.read_heads(&record);
            next.resume();
            progress(&next)
        };
        assert_eq!((recorded(&first), progress(&first)[0].1), (vec![("events".to_owned(), 1, true)], 3));
        first.all_written();
        assert_eq!(recorded(&first), progress(&first));
    }

    /// An older copy of the store was put back, and what it had was removed once more.
    #[test]
    fn a_removal_of_less_does_not_take_the_place_of_one_of_more() {
        let mut chains = chains();
        (0..5).for_each(|_| drop(linked(&mut chains, "events")));
        let id = chains.progress().next().unwrap().id;
        for upto in [4, 2] {
            chains.remove(id, Removed { from: 1, upto, hash: Bytes([1; 32]), at: 0, when: 0 });
            assert!(chains.announce() && chains.must_be_synced());
            let removed: Vec<_> = chains.progress().flat_map(|of| of.removed).map(|of| (of.from, of.upto)).collect();
            assert_eq!(removed, [(1, 4)]);
        }
    }

    #[test]
    fn what_one_of_two_records_knows_is_known() {
        let mut first = chains();
        let records: Vec<Vec<u8>> = (0..2)
            .map(|_| {
                linked(&mut first, "events");
                let id = first.progress().next().unwrap().id;
                let n = first.progress().next().unwrap().n;
                first.remove(id, Removed { from: n, upto: n, hash: Bytes([1; 32]), at: 0, when: 0 });
                first.announce();
                let mut record = Vec::new();
                first.write_heads(&mut record);
                record
            })
            .collect();
        for order in [[0, 1], [1, 0]] {
            let mut next = chains();
            order.iter().for_each(|of: &usize| next.read_heads(&records[*of]));
            next.resume();
            assert_eq!(next.progress().collect::<Vec<_>>(), first.progress().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_lost_entry_is_not_missing() {
        let mut chains = chains();
        let payload = linked(&mut chains, "events");
        linked(&mut chains, "events");
        chains.lose(&payload);
        chains.lose(ENTRY);
        let removed: Vec<_> = chains.progress().flat_map(|of| of.removed).map(|of| (of.from, of.upto)).collect();
        assert_eq!(removed, [(1, 1)]);
    }

    #[test]
    fn without_links_all_chains_end() {
        let mut chains = chains();
        linked(&mut chains, "events");
        chains.take_news();
        chains.end(7);
        assert!(chains.take_news());
        linked(&mut chains, "events");
        let found: Vec<_> = chains.progress().map(|of| (of.n, of.until)).collect();
        assert_eq!(found, [(1, Some(7)), (1, None)]);
    }

    #[test]
    fn a_record_of_a_later_version_is_not_read() {
        let mut chains = chains();
        for record in [&b"3 \nx"[..], b"", b"\xff", b"2 \nnot a line\n", b"22 \n"] {
            chains.read_heads(record);
            chains.resume();
            assert_eq!(progress(&chains), []);
        }
    }
}
