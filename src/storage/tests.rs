//! The driver beside a naive model, and what it does with files that it should not use.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

mod damage;
mod power;
mod rewrite;

const ARCHIVE: Archive<'_> = Archive { host: "example.com", store: "audit", user: "@default.2026-11-26" };
const PATIENCE: Duration = Duration::from_millis(50);

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        // Tests run side by side, and two of them may choose the same name.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let scratch = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/storage");
        let folder = scratch.join(format!("{name}-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("audit.sqlite3")
    }

    fn open(&self) -> Database {
        Database::new(&self.file(), Opening::Other, PATIENCE)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn append(database: &mut Database, archive: &Archive<'_>, key: &str, when: f64, with: &str) {
    let value = Value { kind: 1, bytes: key.as_bytes() };
    database.append(archive, &NewItem { key, is_new: false, value, when, with }).unwrap();
}

fn keys(database: &mut Database, archive: &Archive<'_>, query: &Query, limit: Option<u64>, reverse: bool) -> Option<Vec<String>> {
    let mut cursor = match database.find(archive, query, limit, reverse) {
        Err(StorageError::NotFound) => return None,
        result => result.unwrap(),
    };
    let mut keys = Vec::new();
    while let Some(item) = database.next(&mut cursor).unwrap() {
        assert_eq!((item.kind, item.value), (1, item.key.clone().into_bytes()));
        keys.push(item.key);
    }
    Some(keys)
}

fn all(database: &mut Database, archive: &Archive<'_>) -> Vec<String> {
    keys(database, archive, &Query::default(), None, false).unwrap()
}

// The model ------------------------------------------------------------------------------------------------------------

/// An item of the model: key, time, with whom it is connected.
type Plain = (String, f64, String);

fn bounds(items: &[Plain], query: &Query) -> Option<(usize, usize)> {
    let place = |key: &String| items.iter().position(|item| item.0 == *key);
    let first = query.after.as_ref().map_or(Some(0), |key| place(key).map(|place| place + 1))?;
    let last = query.before.as_ref().map_or(Some(items.len()), place)?;
    Some((first, last))
}

fn selects(query: &Query, (key, when, with): &Plain) -> bool {
    query.key.as_ref().is_none_or(|wanted| wanted == key)
        && query.ids.as_ref().is_none_or(|ids| ids.contains(key))
        && query.with.as_ref().is_none_or(|wanted| wanted == with)
        && query.start.is_none_or(|start| *when >= start)
        && query.end.is_none_or(|end| *when <= end)
}

fn naive_find(items: &[Plain], query: &Query, limit: Option<u64>, reverse: bool) -> Option<Vec<String>> {
    let (first, last) = bounds(items, query)?;
    let mut found: Vec<String> = (first..last).map(|i| &items[i]).filter(|item| selects(query, item)).map(|item| item.0.clone()).collect();
    if reverse {
        found.reverse();
    }
    found.truncate(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap()));
    Some(found)
}

fn naive_delete(items: &mut Vec<Plain>, query: &Query, keep: Option<Keep>) -> Option<u64> {
    let mut found = naive_find(items, query, None, false)?;
    if let Some(keep) = keep {
        let kept = found.len().min(usize::try_from(keep.count).unwrap());
        found = if keep.oldest { found.split_off(kept) } else { found[..found.len() - kept].to_vec() };
    }
    items.retain(|item| !found.contains(&item.0));
    Some(found.len() as u64)
}

#[derive(Clone, Debug)]
enum Step {
    Append(String, f64, String),
    Set(String, Option<f64>, Option<String>),
    Find(Query, Option<u64>, bool),
    Delete(Query, Option<(u64, bool)>),
    Open,
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![(0..12_u8).prop_map(|n| format!("0194a2b0-7c3e-7d11-8000-0000000000{n:02x}")), (0..4_u8).prop_map(|n| format!("key {n}")),]
}

fn query() -> impl Strategy<Value = Query> {
    let time = || proptest::option::weighted(0.3, (0..40_u8).prop_map(|n| f64::from(n) / 4.0));
    let one = |odds| proptest::option::weighted(odds, key());
    let with = proptest::option::weighted(0.3, "[ab]?");
    (one(0.1), proptest::option::weighted(0.2, proptest::collection::vec(key(), 0..5)), with, time(), time(), one(0.2), one(0.2))
        .prop_map(|(key, ids, with, start, end, after, before)| Query { key, ids, with, start, end, after, before })
}

fn step() -> impl Strategy<Value = Step> {
    let when = || (0..40_u8).prop_map(|n| f64::from(n) / 4.0);
    prop_oneof![
        5 => (key(), when(), "[ab]?").prop_map(|(key, when, with)| Step::Append(key, when, with)),
        1 => (key(), proptest::option::of(when()), proptest::option::of("[ab]?")).prop_map(|(key, when, with)| Step::Set(key, when, with)),
        4 => (query(), proptest::option::of(0..6_u64), any::<bool>()).prop_map(|(query, limit, reverse)| Step::Find(query, limit, reverse)),
        1 => (query(), proptest::option::of((0..5_u64, any::<bool>()))).prop_map(|(query, keep)| Step::Delete(query, keep)),
        1 => Just(Step::Open),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_does_what_a_plain_list_does(steps in proptest::collection::vec(step(), 1..60)) {
        let folder = Folder::new("model");
        let mut database = folder.open();
        let mut items: Vec<Plain> = Vec::new();
        // Neighbours must not notice anything.
        let others = ["", "@default.2026-11-25", "@default.2026-11-27"].map(|user| Archive { user, ..ARCHIVE });
        for other in &others {
            append(&mut database, other, "key 1", 1.0, "a");
        }
        for step in steps {
            match step {
                Step::Append(key, when, with) => {
                    append(&mut database, &ARCHIVE, &key, when, &with);
                    items.retain(|item| item.0 != key);
                    items.push((key, when, with));
                }
                Step::Set(key, when, with) => {
                    let done = database.set(&ARCHIVE, &key, &Change { value: None, when, with: with.as_deref() });
                    match items.iter_mut().find(|item| item.0 == key) {
                        None => prop_assert!(matches!(done, Err(StorageError::NotFound))),
                        Some(item) => {
                            done.unwrap();
                            item.1 = when.unwrap_or(item.1);
                            item.2 = with.unwrap_or(item.2.clone());
                        }
                    }
                }
                Step::Find(query, limit, reverse) => {
                    let expected = naive_find(&items, &query, limit, reverse);
                    prop_assert_eq!(keys(&mut database, &ARCHIVE, &query, limit, reverse), expected);
                    let total = items.iter().filter(|item| selects(&query, item)).count() as u64;
                    prop_assert_eq!(database.total(&ARCHIVE, &query).unwrap(), total);
                }
                Step::Delete(query, keep) => {
                    let keep = keep.map(|(count, oldest)| Keep { count, oldest });
                    match (database.delete(&ARCHIVE, &query, keep), naive_delete(&mut items, &query, keep)) {
                        (Err(StorageError::NotFound), None) => {}
                        (result, removed) => prop_assert_eq!(result.unwrap(), removed.unwrap()),
                    }
                }
                Step::Open => database = folder.open(),
            }
        }
        let names: Vec<String> = items.into_iter().map(|item| item.0).collect();
        prop_assert_eq!(all(&mut database, &ARCHIVE), names.clone());
        for other in &others {
            prop_assert_eq!(all(&mut database, other), ["key 1"]);
        }
        let users = database.users("example.com", "audit").unwrap();
        prop_assert_eq!(users.iter().any(|user| user == ARCHIVE.user), !names.is_empty());
    }
}

// Reading --------------------------------------------------------------------------------------------------------------

#[test]
fn a_long_archive_is_read_in_pages_and_nothing_is_read_twice() {
    let folder = Folder::new("pages");
    let mut database = folder.open();
    let names: Vec<String> = (0..1500).map(|n| format!("{n:04}")).collect();
    database
        .write(|database| {
            names.iter().for_each(|name| append(database, &ARCHIVE, name, 0.0, ""));
            Ok(())
        })
        .unwrap();
    let mut cursor = database.find(&ARCHIVE, &Query::default(), None, false).unwrap();
    let mut read = Vec::new();
    while let Some(item) = database.next(&mut cursor).unwrap() {
        // What was read is removed, and what is appended is read too.
        database.delete(&ARCHIVE, &Query { key: Some(item.key.clone()), ..Query::default() }, None).unwrap();
        read.push(item.key);
        if read.len() == 1500 {
            append(&mut database, &ARCHIVE, "new", 0.0, "");
        }
    }
    assert_eq!(read[..1500], names);
}

#[test]
fn a_summary_counts_by_connection_and_dates_are_days() {
    let folder = Folder::new("summary");
    let mut database = folder.open();
    for (key, when, with) in [("1", 86_399.5, "a"), ("2", 86_400.0, "b"), ("3", 5.0, "a")] {
        append(&mut database, &ARCHIVE, key, when, with);
    }
    let summary = |with: &str, count, earliest, latest| Summary { with: with.to_owned(), count, earliest, latest };
    let found = database.summary(&ARCHIVE, &Query::default()).unwrap();
    assert_eq!(found, [summary("a", 2, 5.0, 86_399.5), summary("b", 1, 86_400.0, 86_400.0)]);
    assert_eq!(database.dates(&ARCHIVE).unwrap(), ["1970-01-01", "1970-01-02"]);
    assert_eq!(database.dates(&Archive { user: "nobody", ..ARCHIVE }).unwrap(), [""; 0]);
}

#[test]
fn users_and_stores_are_those_with_items() {
    let folder = Folder::new("users");
    let mut database = folder.open();
    let of = |host, store, user| Archive { host, store, user };
    for archive in [of("a", "audit", "romeo"), of("a", "archive", "romeo"), of("a", "audit", ""), of("b", "audit", "romeo")] {
        append(&mut database, &archive, "1", 0.0, "x");
    }
    assert_eq!(database.users("a", "audit").unwrap(), ["", "romeo"]);
    assert_eq!(database.stores("a", Some("romeo")).unwrap(), ["archive", "audit"]);
    database.purge("a", "romeo").unwrap();
    assert_eq!(database.users("a", "audit").unwrap(), [""]);
    assert_eq!(database.stores("a", None).unwrap(), ["audit"]);
    assert_eq!(database.users("b", "audit").unwrap(), ["romeo"]);
    let with = Query { with: Some("x".to_owned()), ..Query::default() };
    assert_eq!(database.delete_of_all("a", "audit", &with, None).unwrap(), 1);
    assert_eq!(database.stores("a", None).unwrap(), [""; 0]);
}

// Writing --------------------------------------------------------------------------------------------------------------

#[test]
fn several_writes_are_one() {
    let folder = Folder::new("batch");
    let mut database = folder.open();
    append(&mut database, &ARCHIVE, "before", 0.0, "");
    let failed: Result<(), StorageError> = database.write(|database| {
        append(database, &ARCHIVE, "1", 0.0, "");
        append(database, &Archive { user: "new", ..ARCHIVE }, "2", 0.0, "");
        Err(StorageError::Full)
    });
    assert!(matches!(failed, Err(StorageError::Full)));
    assert_eq!(all(&mut database, &ARCHIVE), ["before"]);
    assert_eq!(database.users("example.com", "audit").unwrap(), [ARCHIVE.user]);
    append(&mut database, &Archive { user: "new", ..ARCHIVE }, "3", 0.0, "");
    assert_eq!(all(&mut database, &Archive { user: "new", ..ARCHIVE }), ["3"]);
}

#[test]
fn two_processes_append_and_remove() {
    let folder = Folder::new("two");
    let (mut one, mut two) = (folder.open(), folder.open());
    append(&mut one, &ARCHIVE, "1", 0.0, "");
    append(&mut two, &ARCHIVE, "2", 0.0, "");
    append(&mut one, &ARCHIVE, "3", 0.0, "");
    assert_eq!(all(&mut two, &ARCHIVE), ["1", "2", "3"]);
    // One of them removes the archive, and the other one remembers where it was.
    assert_eq!(two.delete(&ARCHIVE, &Query::default(), None).unwrap(), 3);
    append(&mut one, &ARCHIVE, "4", 0.0, "");
    assert_eq!(all(&mut two, &ARCHIVE), ["4"]);
    // While one writes, the other one gives up after a moment, and has changed nothing.
    one.begin().unwrap();
    let item = NewItem { key: "5", is_new: true, value: Value { kind: 1, bytes: b"5" }, when: 0.0, with: "" };
    assert!(two.append(&ARCHIVE, &item).unwrap_err().is_busy());
    one.commit().unwrap();
    two.append(&ARCHIVE, &item).unwrap();
    assert_eq!(all(&mut one, &ARCHIVE), ["4", "5"]);
}

#[test]
fn a_killed_process_has_lost_nothing() {
    let folder = Folder::new("killed");
    let mut database = Database::new(&folder.file(), Opening::Server, PATIENCE);
    append(&mut database, &ARCHIVE, "1", 0.0, "");
    // Nothing is closed.
    std::mem::forget(database);
    assert_eq!(all(&mut folder.open(), &ARCHIVE), ["1"]);
}

// Files ----------------------------------------------------------------------------------------------------------------

fn error_of(path: &Path, opening: Opening) -> String {
    Database::new(path, opening, PATIENCE).users("example.com", "audit").unwrap_err().to_string()
}

#[test]
fn the_file_belongs_to_its_owner_alone() {
    let folder = Folder::new("mode");
    let mut database = folder.open();
    append(&mut database, &ARCHIVE, "1", 0.0, "");
    for end in ["", "-wal", "-shm"] {
        let mode = fs::metadata(format!("{}{end}", folder.file().display())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{end}");
    }
}

#[test]
fn a_file_of_another_program_or_a_newer_version_is_left_alone() {
    let folder = Folder::new("foreign");
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    connection.execute_batch("CREATE TABLE mine (id INTEGER)").unwrap();
    assert!(error_of(&folder.file(), Opening::Server).ends_with("is a database of another program"));
    connection.close().unwrap();
    fs::remove_file(folder.file()).unwrap();
    append(&mut folder.open(), &ARCHIVE, "1", 0.0, "");
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    connection.execute_batch("PRAGMA user_version = 7").unwrap();
    assert!(error_of(&folder.file(), Opening::Server).contains("newer version (its format is 7, this version knows up to 2)"));
}

#[test]
fn a_file_of_the_first_format_is_read_and_written_on() {
    let folder = Folder::new("upgrade");
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    let first = "CREATE TABLE archive (id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, store TEXT NOT NULL, user TEXT NOT NULL,
            UNIQUE (host, store, user)) STRICT;
        CREATE TABLE item (id INTEGER PRIMARY KEY, key ANY NOT NULL, \"when\" REAL NOT NULL, \"with\" TEXT NOT NULL,
            kind INTEGER NOT NULL, value BLOB NOT NULL) STRICT;
        CREATE INDEX item_key ON item (key);
        CREATE TABLE turn (id INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT;
        INSERT INTO turn VALUES (1, 0);
        INSERT INTO archive VALUES (1, 'example.com', 'audit', '@default.2026-11-26');
        INSERT INTO item VALUES (4294967296, 'old', 7, 'w', 1, x'6f6c64');
        PRAGMA application_id = 0x50417564; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;";
    connection.execute_batch(first).unwrap();
    for _ in 0..2 {
        let mut database = folder.open();
        append(&mut database, &ARCHIVE, "new", 8.0, "w");
        assert_eq!(all(&mut database, &ARCHIVE), ["old", "new"]);
        assert_eq!(database.users_with("example.com", "audit", &Wanted::default(), None).unwrap().0, [ARCHIVE.user]);
    }
    assert_eq!(connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
}

#[test]
fn what_was_removed_or_changed_is_not_in_the_file() {
    let folder = Folder::new("removed");
    let has_secret = || fs::read(folder.file()).unwrap().windows(6).any(|bytes| bytes == b"secret");
    let checkpoint = || {
        let connection = rusqlite::Connection::open(folder.file()).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let mut database = folder.open();
    let other = Archive { user: "other", ..ARCHIVE };
    for number in 0..300 {
        let with = "secret of somebody who is not in the log any more".repeat(number % 4 + 1);
        append(&mut database, &ARCHIVE, &number.to_string(), 0.0, &with);
        append(&mut database, &other, &number.to_string(), 0.0, if number % 50 == 0 { &with } else { "" });
    }
    assert_eq!((checkpoint(), has_secret()), (0, true));
    database.delete(&ARCHIVE, &Query::default(), None).unwrap();
    database.set(&other, "0", &Change { with: Some("x"), ..Change::default() }).unwrap();
    for number in [50, 100, 150, 200, 250] {
        database.delete(&other, &Query { key: Some(number.to_string()), ..Query::default() }, None).unwrap();
    }
    assert_eq!((checkpoint(), has_secret()), (0, false));
}

#[test]
fn a_folder_or_a_link_is_no_database() {
    let folder = Folder::new("link");
    std::os::unix::fs::symlink("elsewhere", folder.file()).unwrap();
    assert!(error_of(&folder.file(), Opening::Server).ends_with("not a plain file"));
    assert!(!folder.0.join("elsewhere").exists());
    fs::remove_file(folder.file()).unwrap();
    fs::create_dir(folder.file()).unwrap();
    assert!(error_of(&folder.file(), Opening::Server).ends_with("not a plain file"));
    assert!(error_of(&folder.0.join("missing/audit.sqlite3"), Opening::Server).contains("No such file"));
}

// The thread -----------------------------------------------------------------------------------------------------------

/// The bytes that are synced are cut off and read as after a power cut: everything behind them may be missing, or be anything.
#[test]
fn a_power_cut_takes_at_most_the_last_second() {
    const SECOND: Duration = Duration::from_secs(1);
    let folder = Folder::new("power");
    let mut database = Database::new(&folder.file(), Opening::Server, PATIENCE);
    let wal = PathBuf::from(format!("{}-wal", folder.file().display()));
    let began = Instant::now();
    let (mut appended, mut cuts, mut syncs) = (Vec::new(), 0, HashSet::new());
    while began.elapsed() < SECOND * 4 {
        append(&mut database, &ARCHIVE, &appended.len().to_string(), 0.0, "");
        appended.push(Instant::now());
        std::thread::sleep(Duration::from_millis(10));
        if appended.len() % 30 != 0 {
            continue;
        }
        let cut_at = Instant::now();
        let synced = database.synced().unwrap();
        let after = Folder::new("power-cut");
        fs::copy(folder.file(), after.file()).unwrap();
        let mut rest = fs::read(&wal).unwrap();
        let kept = usize::try_from(synced).unwrap().min(rest.len());
        rest.truncate(kept);
        rest.extend(std::iter::repeat_n(0xA5, 10_000));
        fs::write(after.0.join("audit.sqlite3-wal"), rest).unwrap();
        let older = appended.iter().take_while(|at| cut_at - **at > SECOND).count();
        let found = if synced == 0 { 0 } else { all(&mut after.open(), &ARCHIVE).len() };
        assert!(found >= older, "{found} of {older} entries are there after {:?}", began.elapsed());
        cuts += usize::from(older > 0);
        syncs.insert(synced);
    }
    assert!(cuts >= 5, "{cuts} cuts");
    assert!(syncs.len() >= 4, "{} different states were synced", syncs.len());
}

#[test]
fn pages_leave_the_wal_while_the_server_writes() {
    let folder = Folder::new("wal");
    let mut database = Database::new(&folder.file(), Opening::Server, Duration::from_secs(5));
    let value = vec![b'x'; 4096];
    let wal = format!("{}-wal", folder.file().display());
    let (mut rounds, mut times_cut, mut before) = (0, 0, 0);
    let began = Instant::now();
    // How fast the disk and the thread are decides how many rounds it takes.
    while times_cut < 2 && began.elapsed() < Duration::from_secs(60) {
        database
            .write(|database| {
                for place in 0..100 {
                    let key = format!("{rounds}/{place}");
                    let item = NewItem { key: &key, is_new: true, value: Value { kind: 1, bytes: &value }, when: 0.0, with: "" };
                    database.append(&ARCHIVE, &item)?;
                }
                Ok(())
            })
            .unwrap();
        let size = fs::metadata(&wal).unwrap().len();
        if size < before {
            times_cut += 1;
            // Otherwise its size would ask for a checkpoint each time.
            assert!(size < 2 << 20, "{size} bytes");
        }
        before = size;
        rounds += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(times_cut, 2, "in {rounds} rounds");
    assert_eq!(database.total(&ARCHIVE, &Query::default()).unwrap(), rounds * 100);
    drop(database);
    assert!(!Path::new(&wal).exists());
}
