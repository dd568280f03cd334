//! The simulated archive store of one host: what a storage driver of Prosody does, and what it does wrong.

use std::collections::{BTreeMap, BTreeSet};

use audit_core::entry::Row;
use audit_core::entry::payload::{Part, SEPARATOR, parts};

use crate::script::{Driver, Mood, Setup};

/// An archive user. `None` is archive user `nil`.
pub type User = Option<String>;

#[derive(Clone, Debug)]
pub struct Stored {
    pub key: u64,
    pub when: i64,
    pub id: String,
    pub with: String,
    pub xml: String,
}

/// The answer of a driver that does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Quota,
    Fault,
}

pub type Lists = BTreeMap<User, Vec<Stored>>;

#[derive(Debug)]
pub struct Store {
    driver: Driver,
    quota: Option<usize>,
    lists: Lists,
    backup: Option<Lists>,
    /// What the transaction has appended.
    transaction: Option<Vec<(User, u64)>>,
    /// The archive users to which an entry was appended properly since the last start or failure: the log has read it back.
    pub vouched: BTreeSet<User>,
    keys: u64,
    mood: Option<(Mood, u32)>,
    /// How often the driver did something wrong.
    pub faults: BTreeMap<Mood, u64>,
    /// The file of [`Driver::Native`].
    #[cfg(feature = "storage")]
    pub native: Option<std::cell::RefCell<crate::native::Native>>,
}

impl Store {
    pub fn new(setup: &Setup) -> Self {
        let (lists, faults) = (Lists::new(), BTreeMap::new());
        Self {
            driver: setup.driver,
            quota: setup.quota,
            lists,
            backup: None,
            transaction: None,
            vouched: BTreeSet::new(),
            keys: 0,
            mood: None,
            faults,
            #[cfg(feature = "storage")]
            native: (setup.driver == Driver::Native).then(|| crate::native::Native::new().into()),
        }
    }

    pub const fn has_transactions(&self) -> bool {
        matches!(self.driver, Driver::Sql | Driver::Native)
    }

    /// Whether it is the driver of this library, in the same process: it never yields, and says what it has done.
    pub const fn is_native(&self) -> bool {
        matches!(self.driver, Driver::Native)
    }

    /// Does something with the real file of the native driver.
    #[cfg(feature = "storage")]
    pub fn with_native<T>(&self, work: impl FnOnce(&mut crate::native::Native, &Lists) -> T) -> Option<T> {
        self.native.as_ref().map(|native| work(&mut native.borrow_mut(), &self.lists))
    }

    pub fn set_mood(&mut self, mood: Option<(Mood, u32)>) {
        self.mood = mood;
    }

    /// What the driver does wrong in the call that begins now.
    pub fn mood_of_call(&mut self) -> Option<Mood> {
        let (mood, left) = self.mood?;
        self.mood = (left > 1).then(|| (mood, left - 1));
        *self.faults.entry(mood).or_default() += 1;
        Some(mood)
    }

    /// Whether it has made an odd number of entries: a choice that is the same in each run.
    pub const fn is_odd(&self) -> bool {
        self.keys % 2 == 1
    }

    /// Whether it would do something wrong in the next call.
    pub const fn is_moody(&self) -> bool {
        self.mood.is_some()
    }

    pub fn begin(&mut self) {
        self.transaction = Some(Vec::new());
        #[cfg(feature = "storage")]
        self.with_native(|native, _| native.begin());
    }

    pub fn commit(&mut self) {
        self.transaction = None;
        #[cfg(feature = "storage")]
        self.with_native(|native, _| native.commit());
    }

    pub const fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Returns the ids of the entries that were appended.
    pub fn roll_back(&mut self) -> Vec<String> {
        #[cfg(feature = "storage")]
        self.with_native(|native, _| native.roll_back());
        let mut ids = Vec::new();
        for (user, key) in self.transaction.take().unwrap_or_default() {
            if let Some(list) = self.lists.get_mut(&user)
                && let Some(place) = list.iter().position(|stored| stored.key == key)
            {
                ids.push(list.remove(place).id);
            }
        }
        ids
    }

    pub fn append(&mut self, user: &User, when: i64, id: &str, with: &str, xml: &str) -> Result<u64, Refusal> {
        let list = self.lists.entry(user.clone()).or_default();
        if self.quota.is_some_and(|quota| list.len() >= quota) {
            return Err(Refusal::Quota);
        }
        self.keys += 1;
        let key = if self.driver == Driver::Unordered { self.keys.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { self.keys };
        let stored = Stored { key, when, id: id.to_owned(), with: with.to_owned(), xml: xml.to_owned() };
        if let Some(appended) = &mut self.transaction {
            appended.push((user.clone(), key));
        }
        #[cfg(feature = "storage")]
        if let Some(native) = &self.native {
            native.borrow_mut().append(user, &stored);
        }
        match self.driver {
            Driver::Embedded | Driver::Sql | Driver::Native => list.push(stored),
            Driver::Unordered => {
                let place = list.partition_point(|other| (other.when, other.key) < (when, key));
                list.insert(place, stored);
            }
        }
        Ok(key)
    }

    /// The names of its archive users, in an order of the driver's own.
    pub fn users(&self) -> Vec<String> {
        let mut users: Vec<String> = self.lists.keys().flatten().cloned().collect();
        if self.is_odd() {
            users.reverse();
        }
        users.push("juliet".to_owned());
        users
    }

    /// Entries behind one with a key, or from an end on. `None` if there is no entry with that key.
    pub fn find(&self, user: &User, reverse: bool, limit: usize, behind: Option<&str>) -> Option<Vec<&Stored>> {
        let list = self.lists.get(user).map_or(&[][..], Vec::as_slice);
        let place = match behind {
            None => None,
            Some(key) => Some(list.iter().position(|stored| stored.key.to_string() == key)?),
        };
        let found: Vec<&Stored> = match (reverse, place) {
            (false, place) => list.iter().skip(place.map_or(0, |place| place + 1)).take(limit).collect(),
            (true, place) => list.iter().take(place.unwrap_or(list.len())).rev().take(limit).collect(),
        };
        #[cfg(feature = "storage")]
        self.with_native(|native, _| {
            native.compare_page(user, reverse, limit, behind.and_then(|key| key.parse().ok()), Some(&found));
        });
        Some(found)
    }

    pub fn list(&self, user: &User) -> Vec<Stored> {
        self.lists.get(user).cloned().unwrap_or_default()
    }

    pub fn all(&self) -> impl Iterator<Item = (&User, &Vec<Stored>)> {
        self.lists.iter()
    }

    pub fn remove(&mut self, user: &User, key: u64) {
        if let Some(list) = self.lists.get_mut(user) {
            list.retain(|stored| stored.key != key);
        }
        #[cfg(feature = "storage")]
        self.with_native(|native, _| native.remove(user, key));
    }

    /// Changes an entry where it lies.
    pub fn set(&mut self, user: &User, changed: Stored) {
        let Some(stored) = self.lists.get_mut(user).and_then(|list| list.iter_mut().find(|stored| stored.key == changed.key)) else {
            return;
        };
        *stored = changed;
        #[cfg(feature = "storage")]
        if let Some(native) = &self.native {
            native.borrow_mut().set(user, stored);
        }
    }

    pub fn delete(&mut self, user: &User) -> Vec<Stored> {
        let removed = self.lists.remove(user).unwrap_or_default();
        #[cfg(feature = "storage")]
        self.with_native(|native, _| native.delete(user, removed.len()));
        removed
    }

    pub fn back_up(&mut self) {
        // A file that is replaced while it is open is set aside, which the tests of src/storage are about.
        if !self.is_native() {
            self.backup = Some(self.lists.clone());
        }
    }

    /// Becomes what it was. Returns whether there was a backup.
    pub fn restore(&mut self) -> bool {
        let Some(backup) = self.backup.clone() else { return false };
        self.lists = backup;
        self.transaction = None;
        true
    }
}

#[cfg(feature = "storage")]
impl Store {
    /// The entries that a hand-over has given to the file itself.
    pub fn handed_over(&mut self) -> Vec<Stored> {
        let mut keys = self.keys;
        let found = self.with_native(|native, lists| native.handed_over(lists, &mut keys)).unwrap_or_default();
        self.keys = keys;
        found.iter().for_each(|(user, stored)| self.lists.entry(user.clone()).or_default().push(stored.clone()));
        found.into_iter().map(|(_, stored)| stored).collect()
    }

    /// The machine loses power. Returns whether that may have taken something.
    pub fn cut_power(&mut self, number: u64) -> bool {
        match self.with_native(|native, _| native.cut_power(number)) {
            Some(found) => {
                self.lists = found;
                true
            }
            None => false,
        }
    }
}

impl Stored {
    /// As a reading gets it. The driver of SQL stores has times with fractions, which are zero.
    pub fn row(&self) -> Row {
        Row { key: self.key.to_string(), when: self.when as f64, with: Some(self.with.clone()), xml: self.xml.clone(), ..Row::default() }
    }
}

/// The entry of a payload as XML, as util.stanza writes it.
pub fn xml(payload: &[u8]) -> String {
    let (mut xml, mut open, mut in_tag) = (String::new(), Vec::new(), false);
    for part in parts(payload) {
        if in_tag && !matches!(part, Part::Attribute(..)) {
            xml.push('>');
            in_tag = false;
        }
        match part {
            Part::Open(name) => {
                xml.push('<');
                xml.push_str(name);
                open.push(name);
                in_tag = true;
            }
            Part::Attribute(name, value) => {
                let (namespace, local) = name.split_once(char::from(SEPARATOR)).unwrap_or(("", name));
                if namespace.is_empty() {
                    xml.push_str(&format!(" {local}='{}'", escaped(value)));
                } else {
                    xml.push_str(&format!(" xmlns:a='{namespace}' a:{local}='{}'", escaped(value)).replace(" xmlns:a='' ", " "));
                }
            }
            Part::Text(text) => xml.push_str(&escaped(text)),
            Part::Close => xml.push_str(&format!("</{}>", open.pop().unwrap_or_default())),
        }
    }
    without_repeats(&xml)
}

/// Declares the prefix once only: an element may not have the same attribute twice.
fn without_repeats(xml: &str) -> String {
    const DECLARED: &str = " xmlns:a='xmpp:prosody.im/audit'";
    match xml.split_once(DECLARED) {
        Some((before, behind)) => format!("{before}{DECLARED}{}", behind.replace(DECLARED, "")),
        None => xml.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;").replace('"', "&quot;")
}
