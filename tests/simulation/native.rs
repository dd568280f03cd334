//! The storage driver of this library, on a real file: beside the store's lists stands a real database, and each answer of the one is
//! compared with that of the other. A crash is a copy of the files, a power cut a copy whose last part is torn.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use audit_core::entry::payload::time_of;
use audit_core::filter::shape::Items;
use audit_core::filter::shape::kind::ELEMENT;
use audit_core::journal::Journal;
use audit_core::journal::hand_over::HandOver;
use audit_core::recorder::Recorder;
use audit_core::recorder::hand_over::{Bounds, HandOverError, HandedOver, Target};
use audit_core::storage::{Archive, Database, Item, NewItem, Opening, Query, Value};

use crate::events::HOST;
use crate::seed::Seed;
use crate::store::{Lists, Stored, User, xml};

/// The kind of a value that is XML. Entries that are written directly are stored so here.
const XML: u8 = 200;
/// How large the WAL may get before its pages are moved. That of the product is larger, and would not be reached.
const LARGE: usize = 400 << 10;
const SECTOR: usize = 512;

/// The database of a simulated host, with those who use it.
#[derive(Debug)]
pub struct Native {
    folder: Folder,
    /// The server's connection, and that of another process.
    server: Database,
    other: Database,
    checkpointer: Option<rusqlite::Connection>,
    pub is_elsewhere: bool,
    /// The numbers of entries by their keys in the file, and the other way.
    numbers: BTreeMap<String, u64>,
    keys: BTreeMap<u64, String>,
    /// The files at the last sync, and what was in them.
    synced: Image,
    known: Lists,
    /// What was committed since then, and what was begun.
    committed: Vec<Vec<Change>>,
    begun: Option<Vec<Change>>,
    /// The first difference that was found.
    pub problem: Option<String>,
}

/// A change of the lists.
#[derive(Clone, Debug)]
enum Change {
    Append(User, Stored),
    Set(User, Stored),
    Remove(User, u64),
    Delete(User),
}

/// A folder for one file, which is removed in the end.
#[derive(Debug)]
struct Folder(PathBuf);

/// The two files that matter. The index of the WAL is made again.
#[derive(Clone, Debug, PartialEq)]
struct Image {
    database: Vec<u8>,
    wal: Vec<u8>,
}

impl Native {
    pub fn new() -> Self {
        let folder = Folder::new();
        let (server, other, checkpointer) = connect(&folder);
        let mut native = Self {
            folder,
            server,
            other,
            checkpointer,
            is_elsewhere: false,
            numbers: BTreeMap::new(),
            keys: BTreeMap::new(),
            synced: Image { database: Vec::new(), wal: Vec::new() },
            known: Lists::new(),
            committed: Vec::new(),
            begun: None,
            problem: None,
        };
        native.server.users(HOST, "audit").expect("a file is made");
        native.synced = Image::read(&native.folder);
        native
    }

    fn database(&mut self) -> &mut Database {
        if self.is_elsewhere { &mut self.other } else { &mut self.server }
    }

    pub fn begin(&mut self) {
        self.server.begin().expect("nobody else writes");
        self.begun = Some(Vec::new());
    }

    pub fn commit(&mut self) {
        self.server.commit().expect("nobody else writes");
        self.committed.extend(self.begun.take());
    }

    pub fn roll_back(&mut self) {
        if self.begun.take().is_some() {
            self.server.roll_back();
        }
    }

    fn changed(&mut self, change: Change) {
        match &mut self.begun {
            Some(begun) => begun.push(change),
            None => self.committed.push(vec![change]),
        }
    }

    pub fn append(&mut self, user: &User, stored: &Stored) {
        let key = format!("k{}", stored.key);
        let value = Value { kind: XML, bytes: stored.xml.as_bytes() };
        let item = NewItem { key: &key, is_new: true, value, when: stored.when as f64, with: &stored.with };
        let appended = self.database().append(&archive(user), &item);
        self.note(&appended);
        self.name(key, stored.key);
        self.changed(Change::Append(user.clone(), stored.clone()));
    }

    pub fn set(&mut self, user: &User, stored: &Stored) {
        let key = self.keys.get(&stored.key).cloned().unwrap_or_default();
        let value = Some(Value { kind: XML, bytes: stored.xml.as_bytes() });
        let change = audit_core::storage::Change { value, when: None, with: Some(&stored.with) };
        let done = self.database().set(&archive(user), &key, &change);
        self.note(&done);
        self.changed(Change::Set(user.clone(), stored.clone()));
    }

    pub fn remove(&mut self, user: &User, number: u64) {
        let key = self.keys.get(&number).cloned();
        let removed = self.database().delete(&archive(user), &Query { key, ..Query::default() }, None);
        if !matches!(removed, Ok(1)) {
            self.wrong(format!("an entry of {user:?} is removed: {removed:?}"));
        }
        self.changed(Change::Remove(user.clone(), number));
    }

    pub fn delete(&mut self, user: &User, count: usize) {
        let removed = self.database().delete(&archive(user), &Query::default(), None);
        if !matches!(removed, Ok(removed) if removed == count as u64) {
            self.wrong(format!("{user:?} with {count} entries is removed: {removed:?}"));
        }
        self.changed(Change::Delete(user.clone()));
    }

    /// Compares a page with what the lists say.
    pub fn compare_page(&mut self, user: &User, reverse: bool, limit: usize, behind: Option<u64>, expected: Option<&[&Stored]>) {
        let behind = behind.map(|number| self.keys.get(&number).cloned().unwrap_or_else(|| number.to_string()));
        let (before, after) = if reverse { (behind, None) } else { (None, behind) };
        let found = self.rows(user, &Query { before, after, ..Query::default() }, limit, reverse);
        let is_same = match (&found, expected) {
            (Some(found), Some(expected)) => self.are_same(found, expected.iter().copied()),
            (found, expected) => found.as_ref().is_none_or(Vec::is_empty) && expected.is_none_or(<[_]>::is_empty),
        };
        if !is_same {
            let (found, expected) = (found.map(|found| found.len()), expected.map(<[_]>::len));
            self.wrong(format!("a page of {user:?} has {found:?} entries, and should have {expected:?}"));
        }
    }

    /// Compares everything with the lists, through both connections.
    pub fn compare(&mut self, lists: &Lists) {
        if self.begun.is_some() {
            return;
        }
        for is_elsewhere in [false, true] {
            let before = std::mem::replace(&mut self.is_elsewhere, is_elsewhere);
            let users = self.users();
            let expected: Vec<String> =
                lists.iter().filter(|(_, list)| !list.is_empty()).map(|(user, _)| user.clone().unwrap_or_default()).collect();
            if users != expected {
                self.wrong(format!("the database has {users:?}, and should have {expected:?}"));
            }
            for (user, list) in lists {
                let found = self.rows(user, &Query::default(), usize::MAX, false).unwrap_or_default();
                if !self.are_same(&found, list.iter()) {
                    self.wrong(format!("the database has {} entries in {user:?}, and should have {}", found.len(), list.len()));
                }
            }
            self.is_elsewhere = before;
        }
    }

    /// Hands entries of a journal over, as the product does it: their bytes go from one to the other.
    pub fn hand_over(
        &mut self,
        recorder: &mut Recorder,
        journal: &mut Journal,
        known: &HandOver,
        entries: usize,
    ) -> Result<HandedOver, HandOverError> {
        let bounds = Bounds { entries, goes_on: &|| true };
        recorder.hand_over(Target { host: HOST, store: "audit", kind: ELEMENT }, journal, known, &mut self.server, &bounds)
    }

    /// What was handed over: the entries that the lists have not.
    pub fn handed_over(&mut self, lists: &Lists, next: &mut u64) -> Vec<(User, Stored)> {
        let mut found = Vec::new();
        for name in self.users() {
            let user = Some(name).filter(|name| !name.is_empty());
            let last = lists.get(&user).and_then(|list| list.last()).and_then(|stored| self.keys.get(&stored.key).cloned());
            for item in self.rows(&user, &Query { after: last, ..Query::default() }, usize::MAX, false).unwrap_or_default() {
                *next += 1;
                self.name(item.key.clone(), *next);
                found.push((user.clone(), self.stored(item)));
            }
        }
        self.committed.push(found.iter().map(|(user, stored)| Change::Append(user.clone(), stored.clone())).collect());
        found
    }

    /// What the thread of the product does twice a second.
    pub fn sync(&mut self) {
        if self.begun.is_some() {
            return;
        }
        self.apply();
        let wal = fs::read(self.folder.wal()).unwrap_or_default();
        if wal.len() > LARGE {
            self.checkpoint();
            self.synced = Image::read(&self.folder);
        } else {
            self.synced.wal = wal;
        }
    }

    fn checkpoint(&mut self) {
        let Some(connection) = &self.checkpointer else { return };
        let moved: (i64, i64) =
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?))).expect("nobody writes");
        if moved.0 == moved.1 {
            connection.execute("UPDATE turn SET number = number + 1", []).expect("nobody writes");
        }
    }

    /// What was committed is known to be there.
    fn apply(&mut self) {
        for change in std::mem::take(&mut self.committed).into_iter().flatten() {
            change.apply(&mut self.known);
        }
    }

    /// The process ends in an orderly way.
    pub fn close(&mut self) {
        self.roll_back();
        self.apply();
        self.disconnect();
        self.reconnect();
        self.synced = Image::read(&self.folder);
    }

    /// The process dies: what it had begun is not finished, and the next one finds the files as they are.
    pub fn crash(&mut self) {
        self.begun = None;
        let (image, after) = (Image::read(&self.folder), Folder::new());
        image.write(&after);
        self.disconnect();
        self.folder = after;
        self.reconnect();
    }

    /// The machine loses power. Returns what is there afterwards: what was there at the last sync, or after one of the commits since.
    pub fn cut_power(&mut self, number: u64) -> Lists {
        self.begun = None;
        let mut seed = Seed::new(number);
        let now = Image::read(&self.folder);
        if now.database != self.synced.database {
            self.wrong("the database was written, and not by a checkpoint".to_owned());
        }
        let image = if seed.once_in(4) {
            // In the middle of a checkpoint: the WAL is synced before it.
            self.apply();
            self.checkpoint();
            let after = Image::read(&self.folder);
            Image { database: torn(&mut seed, &now.database, &after.database), wal: now.wal }
        } else {
            let wal = match seed.below(3) {
                0 => self.synced.wal.clone(),
                1 => now.wal,
                _ => torn(&mut seed, &self.synced.wal, &now.wal),
            };
            Image { database: now.database, wal }
        };
        let after = Folder::new();
        image.write(&after);
        self.disconnect();
        self.folder = after;
        self.reconnect();
        let found = self.content();
        let mut state = self.known.clone();
        let mut commits = std::mem::take(&mut self.committed).into_iter();
        while !is_same_state(&state, &found) {
            match commits.next() {
                Some(changes) => changes.into_iter().for_each(|change| change.apply(&mut state)),
                None => {
                    self.wrong("after a power cut the database has what it had at no moment since the last sync".to_owned());
                    break;
                }
            }
        }
        // The first write makes the WAL whole again.
        self.synced = Image::read(&self.folder);
        self.known = found.clone();
        found
    }

    fn content(&mut self) -> Lists {
        let mut lists = Lists::new();
        for name in self.users() {
            let user = Some(name).filter(|name| !name.is_empty());
            let rows = self.rows(&user, &Query::default(), usize::MAX, false).unwrap_or_default();
            lists.insert(user, rows.into_iter().map(|item| self.stored(item)).collect());
        }
        lists
    }

    fn users(&mut self) -> Vec<String> {
        let users = self.database().users(HOST, "audit");
        self.note(&users);
        users.unwrap_or_default()
    }

    /// `None` if there is no entry with the key that the query names.
    fn rows(&mut self, user: &User, query: &Query, limit: usize, reverse: bool) -> Option<Vec<Item>> {
        let (archive, limit) = (archive(user), Some(limit as u64).filter(|limit| *limit < u64::from(u32::MAX)));
        let database = self.database();
        let mut cursor = database.find(&archive, query, limit, reverse).ok()?;
        let mut rows = Vec::new();
        loop {
            match self.database().next(&mut cursor) {
                Ok(Some(item)) => rows.push(item),
                Ok(None) => return Some(rows),
                Err(error) => {
                    self.wrong(format!("{user:?} can't be read: {error}"));
                    return Some(rows);
                }
            }
        }
    }

    fn are_same<'a>(&self, found: &[Item], mut expected: impl Iterator<Item = &'a Stored>) -> bool {
        let is_same = |item: &Item| {
            expected.next().is_some_and(|stored| {
                let is_value = if item.kind == XML { item.value == stored.xml.as_bytes() } else { xml_of(&item.value) == stored.xml };
                self.numbers.get(&item.key) == Some(&stored.key)
                    && (item.when, item.with.as_str()) == (stored.when as f64, stored.with.as_str())
                    && is_value
            })
        };
        found.iter().all(is_same) && expected.next().is_none()
    }

    fn stored(&mut self, item: Item) -> Stored {
        let xml = if item.kind == XML { String::from_utf8_lossy(&item.value).into_owned() } else { xml_of(&item.value) };
        let key = self.numbers.get(&item.key).copied().unwrap_or_default();
        Stored { key, when: item.when as i64, id: id_of(&xml), with: item.with, xml }
    }

    fn name(&mut self, key: String, number: u64) {
        self.keys.insert(number, key.clone());
        self.numbers.insert(key, number);
    }

    fn disconnect(&mut self) {
        let nowhere = || Database::new(&self.folder.0, Opening::Other, Duration::ZERO);
        let (server, other) = (nowhere(), nowhere());
        (self.server, self.other, self.checkpointer) = (server, other, None);
    }

    fn reconnect(&mut self) {
        (self.server, self.other, self.checkpointer) = connect(&self.folder);
    }

    fn note<T, E: std::fmt::Display>(&mut self, result: &Result<T, E>) {
        if let Err(error) = result {
            self.wrong(format!("the database refuses: {error}"));
        }
    }

    fn wrong(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}

impl Change {
    fn apply(self, lists: &mut Lists) {
        match self {
            Self::Append(user, stored) => lists.entry(user).or_default().push(stored),
            Self::Set(user, changed) => {
                if let Some(stored) = lists.get_mut(&user).and_then(|list| list.iter_mut().find(|stored| stored.key == changed.key)) {
                    *stored = changed;
                }
            }
            Self::Remove(user, number) => {
                if let Some(list) = lists.get_mut(&user) {
                    list.retain(|stored| stored.key != number);
                }
            }
            Self::Delete(user) => {
                lists.remove(&user);
            }
        }
    }
}

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("simulated-store-{}-{number}", std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).expect("target/ can be written to");
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("audit.sqlite3")
    }

    fn wal(&self) -> PathBuf {
        self.0.join("audit.sqlite3-wal")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Image {
    fn read(folder: &Folder) -> Self {
        Self { database: fs::read(folder.file()).unwrap_or_default(), wal: fs::read(folder.wal()).unwrap_or_default() }
    }

    fn write(&self, folder: &Folder) {
        for (path, content) in [(folder.file(), &self.database), (folder.wal(), &self.wal)] {
            fs::write(path, content).expect("target/ can be written to");
        }
    }
}

/// The connections of a server, of another process and of the thread that syncs.
fn connect(folder: &Folder) -> (Database, Database, Option<rusqlite::Connection>) {
    let database = || Database::new(&folder.file(), Opening::Other, Duration::from_secs(5)).with_shape(&Items);
    let (mut server, other) = (database(), database());
    server.users(HOST, "audit").expect("it is a database");
    let checkpointer = rusqlite::Connection::open(folder.file()).expect("it is a database");
    for (name, value) in [("wal_autocheckpoint", "0"), ("synchronous", "OFF")] {
        checkpointer.pragma_update(None, name, value).expect("it is a database");
    }
    (server, other, Some(checkpointer))
}

/// A file whose sectors are each the old one or the new one.
fn torn(seed: &mut Seed, old: &[u8], new: &[u8]) -> Vec<u8> {
    let length = if seed.once_in(2) { old.len() } else { new.len() };
    let mut content = Vec::with_capacity(length);
    while content.len() < length {
        let place = content.len()..(content.len() + SECTOR).min(length);
        let sides = if seed.once_in(2) { [old, new] } else { [new, old] };
        let sector = sides.iter().find_map(|side| side.get(place.clone()));
        content.extend_from_slice(sector.unwrap_or(&vec![0; place.len()]));
    }
    content
}

fn archive(user: &User) -> Archive<'_> {
    Archive { host: HOST, store: "audit", user: user.as_deref().unwrap_or_default() }
}

fn is_same_state(a: &Lists, b: &Lists) -> bool {
    let filled = |lists: &Lists| -> Lists {
        lists.iter().filter(|(_, list)| !list.is_empty()).map(|(user, list)| (user.clone(), list.clone())).collect()
    };
    let (a, b) = (filled(a), filled(b));
    let is_same = |a: &Stored, b: &Stored| (a.key, &a.with, &a.xml) == (b.key, &b.with, &b.xml);
    a.len() == b.len()
        && a.iter().zip(&b).all(|((user, list), (other, others))| {
            user == other && list.len() == others.len() && list.iter().zip(others).all(|(a, b)| is_same(a, b))
        })
}

/// An element, as the driver stores it, as XML.
fn xml_of(element: &[u8]) -> String {
    let payload = [b"0\0", element].concat();
    debug_assert!(time_of(&payload).is_some(), "it has the form of a payload");
    xml(&payload)
}

/// The id of an entry, or the type of one that has none.
fn id_of(xml: &str) -> String {
    let root = xml.split_once('>').map_or(xml, |(root, _)| root);
    let value = |name: &str| Some(root.split_once(name)?.1.split_once('\'')?.0.to_owned());
    value(" a:id='").or_else(|| value(" type='")).unwrap_or_default()
}
