//! What was erased from the entries of a host: their numbers and the groups of values, and never whose they were.
//!
//! It is kept in a file beside the journal, not in the store, so that it is known also after the store was restored from a backup. Then
//! values are there again that were erased, and they can be erased without the name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::hash::{Bytes, Nonce};
use super::ranges;
use crate::entry::personal::Group;
use crate::file::whole::{self, Durability};
use crate::file::{Files, ownership};

/// What the file begins with.
const VERSION: &str = "1";
/// What a line ends with if its entries were only announced.
const ANNOUNCED: &str = " ?";
/// The largest file, in bytes: several million entries.
const LARGEST: usize = 64 << 20;

/// What was erased from the entries of a host.
///
/// ```
/// use audit_core::chain::{erased::{Erased, Gone}, hash::Bytes};
/// use audit_core::entry::personal::Group;
/// let (mut erased, mut more) = (Erased::default(), Gone::default());
/// more.add(Bytes([1; 16]), 7, &[Group::Text].into());
/// erased.announce(more.clone());
/// assert!(erased.may_lack(&Bytes([1; 16]), 7).contains(&Group::Text) && erased.lacks(&Bytes([1; 16]), 7).is_empty());
/// erased.confirm(more);
/// assert!(erased.lacks(&Bytes([1; 16]), 7).contains(&Group::Text));
/// assert_eq!(Erased::read(&erased.text()), Some(erased));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    done: Gone,
    /// What was about to be removed, and may not have been, as the store did not answer or the server was killed.
    announced: Gone,
}

/// Groups of values that entries do not have any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// By chain, and by the numbers of the groups: the first and the last number of each range of entries.
    chains: BTreeMap<Nonce, BTreeMap<Vec<u32>, BTreeMap<u64, u64>>>,
}

/// Entries of one chain, as the file lists them: the chain, the numbers of the groups, the ranges of entries, and whether they were only
/// announced. Lists have commas.
pub type Listed = (String, String, String, bool);

impl Gone {
    /// These groups of an entry are removed.
    pub fn add(&mut self, id: Nonce, n: u64, groups: &BTreeSet<Group>) {
        let mut numbers: Vec<u32> = groups.iter().map(|group| group.number()).collect();
        numbers.sort_unstable();
        ranges::add(self.chains.entry(id).or_default().entry(numbers).or_default(), n);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    fn of(&self, id: &Nonce, n: u64) -> impl Iterator<Item = Group> {
        let lists = self.chains.get(id).into_iter().flatten().filter(move |(_, numbers)| ranges::has(numbers, n));
        lists.flat_map(|(groups, _)| groups.iter().filter_map(|number| Group::of(*number)))
    }

    fn merge(&mut self, other: Self) {
        for (id, lists) in other.chains {
            let own = self.chains.entry(id).or_default();
            for (groups, numbers) in lists {
                ranges::merge(own.entry(groups).or_default(), numbers);
            }
        }
    }

    fn subtract(&mut self, other: &Self) {
        for (id, lists) in &other.chains {
            for (groups, numbers) in lists {
                if let Some(own) = self.chains.get_mut(id).and_then(|own| own.get_mut(groups)) {
                    ranges::subtract(own, numbers);
                }
            }
        }
        self.tidy();
    }

    fn forget(&mut self, id: &Nonce, upto: u64) {
        if let Some(lists) = self.chains.get_mut(id) {
            lists.values_mut().for_each(|numbers| numbers.retain(|_, last| *last > upto));
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        self.chains.values_mut().for_each(|lists| lists.retain(|_, numbers| !numbers.is_empty()));
        self.chains.retain(|_, lists| !lists.is_empty());
    }
}

impl Erased {
    /// Reads the file. Nothing was erased if there is none.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidData` if the file is damaged.
    pub fn open(files: &dyn Files, path: &Path) -> io::Result<Self> {
        let Some(content) = whole::read(files, path, LARGEST)? else { return Ok(Self::default()) };
        let read = String::from_utf8(content).ok().and_then(|text| Self::read(&text));
        read.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("{}: it is damaged", path.display())))
    }

    /// Writes the file. It is on the disk then.
    ///
    /// # Errors
    ///
    /// What the system says. Then the file of before stays.
    pub fn save(&self, files: &dyn Files, path: &Path) -> io::Result<()> {
        whole::replace(files, path, &path.with_extension("erased-new"), self.text().as_bytes(), Durability::Synced)?;
        files.sync_folder(ownership::folder_of(path))
    }

    /// These groups are about to be removed.
    pub fn announce(&mut self, gone: Gone) {
        self.announced.merge(gone);
    }

    /// What was announced has been removed.
    pub fn confirm(&mut self, gone: Gone) {
        self.announced.subtract(&gone);
        self.done.merge(gone);
    }

    /// The groups of an entry that were erased.
    #[must_use]
    pub fn lacks(&self, id: &Nonce, n: u64) -> BTreeSet<Group> {
        self.done.of(id, n).collect()
    }

    /// The same, with those that may have been.
    #[must_use]
    pub fn may_lack(&self, id: &Nonce, n: u64) -> BTreeSet<Group> {
        self.done.of(id, n).chain(self.announced.of(id, n)).collect()
    }

    /// The entries of a chain up to this number are not there any more.
    pub fn forget(&mut self, id: &Nonce, upto: u64) {
        self.done.forget(id, upto);
        self.announced.forget(id, upto);
    }

    /// Whether nothing was erased.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// The file: a version, and a line for each chain and each set of groups, with the chain, the numbers of the groups and the ranges, and
    /// `?` if it was only announced.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{VERSION}\n");
        for (id, groups, numbers, is_announced) in self.lists() {
            // Writing to memory does not fail.
            let _ = writeln!(text, "{id} {groups} {numbers}{}", if is_announced { ANNOUNCED } else { "" });
        }
        text
    }

    /// The lines of the file.
    pub fn lists(&self) -> impl Iterator<Item = Listed> {
        let range = |(first, last): (&u64, &u64)| if first == last { first.to_string() } else { format!("{first}-{last}") };
        [(&self.done, false), (&self.announced, true)].into_iter().flat_map(move |(gone, is_announced)| {
            gone.chains.iter().flat_map(move |(id, lists)| {
                lists.iter().map(move |(groups, numbers)| {
                    let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
                    let numbers: Vec<String> = numbers.iter().map(range).collect();
                    (id.to_string(), groups.join(","), numbers.join(","), is_announced)
                })
            })
        })
    }

    /// Reads what [`text`](Self::text) returns. Returns `None` if it is damaged.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != VERSION {
            return None;
        }
        Self::of_lists(lines.map(|line| {
            let (line, is_announced) = line.strip_suffix(ANNOUNCED).map_or((line, false), |line| (line, true));
            let mut fields = line.split(' ').map(ToOwned::to_owned);
            let mut next = || fields.next().unwrap_or_default();
            (next(), next(), next(), is_announced)
        }))
    }

    /// Reads what [`lists`](Self::lists) returns. Returns `None` if it is damaged.
    #[must_use]
    pub fn of_lists(lists: impl Iterator<Item = Listed>) -> Option<Self> {
        let mut erased = Self::default();
        for (id, groups, numbers, is_announced) in lists {
            let groups = groups.split(',').map(|number| number.parse().ok().filter(|number| Group::of(*number).is_some()));
            let gone = if is_announced { &mut erased.announced } else { &mut erased.done };
            let own = gone.chains.entry(Bytes::read(&id)?).or_default().entry(groups.collect::<Option<_>>()?).or_default();
            for range in numbers.split(',') {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
                // They are in order, and none of them is in another.
                let is_behind = own.last_key_value().is_none_or(|(_, before)| *before < first);
                if first > last || !is_behind {
                    return None;
                }
                own.insert(first, last);
            }
        }
        Some(erased)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::personal::{Aspect, Role};
    use crate::file::Memory;
    use proptest::prelude::*;

    const NAME: Group = Group::Person(Role::Account, Aspect::Name);

    fn id(of: u8) -> Nonce {
        Bytes([of; 16])
    }

    proptest! {
        #[test]
        fn it_knows_what_was_added_and_nothing_else(entries in prop::collection::vec((0..3_u8, 1..40_u64, prop::collection::btree_set(0..12_u32, 1..4)), 0..60)) {
            let (mut erased, mut naive) = (Erased::default(), [BTreeMap::new(), BTreeMap::new()]);
            for (place, (chain, n, numbers)) in entries.into_iter().enumerate() {
                let groups: BTreeSet<Group> = numbers.into_iter().filter_map(Group::of).collect();
                let mut gone = Gone::default();
                gone.add(id(chain), n, &groups);
                erased.announce(gone.clone());
                // Every second one is done, too.
                if place % 2 == 0 {
                    erased.confirm(gone);
                    naive[0].entry((chain, n)).or_insert_with(BTreeSet::new).extend(groups.clone());
                }
                naive[1].entry((chain, n)).or_insert_with(BTreeSet::new).extend(groups);
            }
            for (chain, n) in (0..3_u8).flat_map(|chain| (1..41_u64).map(move |n| (chain, n))) {
                prop_assert_eq!(erased.lacks(&id(chain), n), naive[0].get(&(chain, n)).cloned().unwrap_or_default());
                prop_assert_eq!(erased.may_lack(&id(chain), n), naive[1].get(&(chain, n)).cloned().unwrap_or_default());
            }
            prop_assert_eq!(Erased::read(&erased.text()), Some(erased));
        }
    }

    #[test]
    fn what_is_not_there_any_more_is_forgotten() {
        let (mut erased, mut gone) = (Erased::default(), Gone::default());
        (1..=9).for_each(|n| gone.add(id(1), n, &[NAME].into()));
        gone.add(id(1), 20, &[Group::Text].into());
        erased.announce(gone.clone());
        assert_eq!(erased.text(), format!("1\n{0} 0 20 ?\n{0} 1 1-9 ?\n", id(1)));
        erased.confirm(gone);
        erased.forget(&id(1), 9);
        erased.forget(&id(2), 9);
        assert_eq!(erased.text(), format!("1\n{} 0 20\n", id(1)));
        erased.forget(&id(1), 20);
        assert!(erased.is_empty() && erased.text() == "1\n");
    }

    #[test]
    fn a_damaged_file_is_not_read() {
        let files = Memory::default();
        let path = Path::new("/data/audit.erased");
        assert!(Erased::open(&files, path).unwrap().is_empty());
        for wrong in [
            "",
            "2\n",
            "1\nx 1 1\n",
            "1\nAQEBAQEBAQEBAQEBAQEBAQ 1 9-7\n",
            "1\nAQEBAQEBAQEBAQEBAQEBAQ 1 3,2\n",
            "1\nAQEBAQEBAQEBAQEBAQEBAQ 1\n",
        ] {
            assert_eq!(Erased::read(wrong), None, "{wrong:?}");
        }
    }
}
