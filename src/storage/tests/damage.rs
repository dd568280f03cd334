//! Files that were damaged, deleted or replaced, at the start and while they are open.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::Instant;

use super::*;

const HOSTS: [&str; 2] = ["example.com", "other.example"];
const PAGE: u64 = 4096;

fn archives() -> impl Iterator<Item = (&'static str, String)> {
    HOSTS.iter().flat_map(|host| (1..=4).map(|day| (*host, format!("@default.2026-11-{day:02}"))))
}

/// Fills a database with 400 items in each of eight archives. Pages with items that were removed are in it too.
fn fill(database: &mut Database) {
    let user = archives().next().unwrap().1;
    let first = Archive { host: HOSTS[0], store: "audit", user: &user };
    database
        .write(|database| {
            (0..400).for_each(|number| append_long(database, &first, &format!("removed/{number}")));
            for number in 0..400 {
                for (host, user) in archives() {
                    append_long(database, &Archive { host, store: "audit", user: &user }, &format!("{user}/{number:03}"));
                }
            }
            let query = Query { before: Some(format!("{user}/000")), ..Query::default() };
            assert_eq!(database.delete(&first, &query, None)?, 400);
            Ok(())
        })
        .unwrap();
}

/// Appends an item of 300 bytes.
fn append_long(database: &mut Database, archive: &Archive<'_>, key: &str) {
    let bytes = key.repeat(300 / key.len());
    let value = Value { kind: 1, bytes: bytes.as_bytes() };
    database.append(archive, &NewItem { key, is_new: false, value, when: 1.0, with: "@" }).unwrap();
}

/// The keys of all archives, in order. Whatever is read must be whole.
fn content(database: &mut Database) -> BTreeMap<(String, String), Vec<String>> {
    let mut found = BTreeMap::new();
    for host in HOSTS {
        for user in database.users(host, "audit").unwrap() {
            let archive = Archive { host, store: "audit", user: &user };
            let mut cursor = database.find(&archive, &Query::default(), None, false).unwrap();
            let mut keys = Vec::new();
            while let Some(item) = database.next(&mut cursor).unwrap() {
                assert_eq!(item.value, item.key.repeat(300 / item.key.len()).as_bytes());
                assert_eq!(database.get(&archive, &item.key).unwrap(), item);
                keys.push(item.key);
            }
            found.insert((host.to_owned(), user), keys);
        }
    }
    found
}

/// A database as the server opens it, when it can be used again.
fn usable(database: &mut Database) -> Option<Recovered> {
    let began = Instant::now();
    loop {
        match database.attend(|database| database.users(HOSTS[0], "audit")) {
            Ok(_) => return database.take_recovered(),
            Err(StorageError::Recovering { problem: None } | StorageError::Damaged(_)) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(5));
    }
}

fn server(folder: &Folder) -> Database {
    Database::new(&folder.file(), Opening::Server, PATIENCE)
}

fn beside(folder: &Folder, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", folder.file().display()))
}

fn names(folder: &Folder) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The files as the kill of a process leaves them.
fn killed(folder: &Folder, database: Database, name: &str) -> Folder {
    let after = Folder::new(name);
    for end in ["", "-wal"] {
        fs::copy(beside(folder, end), beside(&after, end)).unwrap();
    }
    drop(database);
    after
}

/// Overwrites a part of a file with what looks random.
fn overwrite(path: &Path, place: u64, length: u64) {
    let mut state = place.wrapping_add(12345);
    let bytes: Vec<u8> = (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33).to_le_bytes()[0]
        })
        .collect();
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(&bytes, place).unwrap();
}

/// The pages of a table or an index.
fn pages(path: &Path, name: &str, kind: &str) -> Vec<u64> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY pageno").unwrap();
    let rows = statement.query_map((name, kind), |row| row.get::<_, i64>(0).map(i64::unsigned_abs)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn overwrite_page(path: &Path, page: u64) {
    overwrite(path, (page - 1) * PAGE, PAGE);
}

/// How many items can be read of a file that was damaged in some way. Checks that nothing is there that was not before, and that all
/// is in order.
fn left_after(name: &str, damage: impl FnOnce(&Path)) -> (usize, Recovered) {
    let folder = Folder::new(name);
    let mut database = folder.open();
    fill(&mut database);
    let before = content(&mut database);
    drop(database);
    damage(&folder.file());
    let damaged = fs::read(folder.file()).unwrap();
    assert!(matches!(Database::new(&folder.file(), Opening::Other, PATIENCE).users(HOSTS[0], "audit"), Err(StorageError::Damaged(_))));
    let mut database = server(&folder);
    let recovered = usable(&mut database).unwrap();
    assert!(matches!(recovered.cause, Cause::Damaged(_)));
    let after = content(&mut database);
    let mut left = 0;
    for (archive, keys) in &after {
        let mut rest = before[archive].iter();
        assert!(keys.iter().all(|key| rest.any(|other| other == key)), "{archive:?}: {keys:?}");
        left += keys.len();
    }
    let copied: u64 = recovered.copied.iter().map(|host| host.count).sum();
    assert_eq!(copied, left as u64);
    if let Some(missing) = recovered.copied.iter().map(|host| host.missing).sum::<Option<u64>>().filter(|_| copied > 0) {
        assert_eq!(copied + missing, 3200);
    }
    // It can be written to, behind all that was there.
    for (host, user) in archives() {
        append_long(&mut database, &Archive { host, store: "audit", user: &user }, "new");
    }
    assert!(content(&mut database).values().all(|keys| keys.last().unwrap() == "new"));
    // The damaged file is as it was, and nothing else is left.
    assert_eq!(recovered.set_aside, Some(beside(&folder, ".damaged-1")));
    assert!(fs::read(beside(&folder, ".damaged-1")).unwrap() == damaged);
    drop(database);
    assert_eq!(names(&folder), ["audit.sqlite3", "audit.sqlite3.damaged-1"]);
    (left, recovered)
}

#[test]
fn what_can_be_read_of_a_damaged_file_is_still_there() {
    assert_eq!(left_after("header", |path| overwrite(path, 0, 100)).0, 3200);
    assert_eq!(left_after("first", |path| overwrite_page(path, 1)).0, 3200);
    assert_eq!(left_after("index", |path| overwrite_page(path, pages(path, "item_key", "leaf")[1])).0, 3200);
    assert_eq!(left_after("archive", |path| overwrite_page(path, pages(path, "archive", "leaf")[0])).0, 3200);
    let (left, recovered) = left_after("leaf", |path| overwrite_page(path, pages(path, "item", "leaf")[100]));
    // One page has about ten items.
    assert!((3180..3200).contains(&left), "{left}");
    assert!(recovered.copied.iter().all(|host| host.missing.is_some()));
    let (left, _) = left_after("two", |path| pages(path, "item", "leaf")[10..12].iter().for_each(|page| overwrite_page(path, *page)));
    assert!((3160..3200).contains(&left), "{left}");
    // Pages that lead to others.
    assert_eq!(left_after("root", |path| overwrite_page(path, pages(path, "item", "internal")[0])).0, 3200);
    let (left, _) = left_after("half", |path| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2 / PAGE * PAGE).unwrap();
    });
    assert!(left > 1000, "{left}");
}

#[test]
fn blocks_that_would_hide_an_item_are_left_out() {
    let folder = Folder::new("blocks");
    fill(&mut folder.open());
    let leaf = pages(&folder.file(), "item", "leaf")[2];
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    // Some items of the first archive are missing then, the blocks of the second one are whole, and those of the third one have a gap.
    let blocks = [(1, 0, 99), (1, 100, 999), (2, 0, 99), (2, 100, 999), (3, 0, 99), (3, 200, 999)];
    for (archive, first, last) in blocks {
        let sql = "INSERT INTO block VALUES (?1 << 32 | ?2, ?1 << 32 | ?3, x'')";
        connection.execute(sql, (archive, first, last)).unwrap();
    }
    connection.execute("UPDATE archive SET sealed = 1", []).unwrap();
    connection.close().unwrap();
    overwrite_page(&folder.file(), leaf);
    let mut database = server(&folder);
    let recovered = usable(&mut database).unwrap();
    assert!(recovered.copied[0].missing.is_some_and(|missing| missing > 0) && recovered.copied[1].missing == Some(0));
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    let mut statement = connection.prepare("SELECT id >> 32, id & 0xFFFFFFFF FROM block ORDER BY id").unwrap();
    let left: Vec<(i64, i64)> = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    assert_eq!(left, [(2, 0), (2, 100)]);
    let sealed: i64 = connection.query_row("SELECT sum(sealed) FROM archive", [], |row| row.get(0)).unwrap();
    assert_eq!(sealed, 0);
}

#[test]
fn a_file_with_nothing_to_read_is_set_aside_too() {
    for (name, text) in
        [("empty", String::new()), ("text", "no database, but long enough to be one\n".repeat(200)), ("short", "x".to_owned())]
    {
        assert_eq!(left_after(name, |path| fs::write(path, text).unwrap()).0, 0);
    }
}

#[test]
fn a_wal_goes_with_its_file_and_is_read() {
    let folder = Folder::new("with-wal");
    let mut database = folder.open();
    fill(&mut database);
    let folder = killed(&folder, database, "with-wal-2");
    fs::write(folder.file(), "x".repeat(4096)).unwrap();
    let wal = fs::read(beside(&folder, "-wal")).unwrap();
    let mut database = server(&folder);
    usable(&mut database).unwrap();
    assert_eq!(content(&mut database).values().map(Vec::len).sum::<usize>(), 3200);
    assert!(fs::read(beside(&folder, ".damaged-1-wal")).unwrap() == wal);
    drop(database);
    assert_eq!(names(&folder), ["audit.sqlite3", "audit.sqlite3.damaged-1", "audit.sqlite3.damaged-1-wal"]);
}

#[test]
fn a_damaged_wal_ends_before_the_damage() {
    let folder = Folder::new("bad-wal");
    let mut database = folder.open();
    fill(&mut database);
    append_long(&mut database, &ARCHIVE, "last");
    let folder = killed(&folder, database, "bad-wal-2");
    let wal = beside(&folder, "-wal");
    // The last write is at the end.
    overwrite(&wal, fs::metadata(&wal).unwrap().len() - 100, 100);
    let mut database = server(&folder);
    assert_eq!(usable(&mut database), None);
    assert_eq!(content(&mut database).values().map(Vec::len).sum::<usize>(), 3200);
}

#[test]
fn damage_is_noticed_while_the_file_is_open() {
    let folder = Folder::new("open");
    let mut database = server(&folder);
    fill(&mut database);
    // More than SQLite keeps in memory.
    database
        .write(|database| {
            (0..8000).for_each(|number| append_long(database, &ARCHIVE, &number.to_string()));
            Ok(())
        })
        .unwrap();
    drop(database);
    let leaves = pages(&folder.file(), "item", "leaf");
    let mut database = server(&folder);
    assert_eq!(usable(&mut database), None);
    overwrite_page(&folder.file(), leaves[100]);
    // Somebody reads all of it.
    let damaged = database.attend(|database| {
        for (host, user) in archives() {
            let mut cursor = database.find(&Archive { host, store: "audit", user: &user }, &Query::default(), None, false)?;
            while database.next(&mut cursor)?.is_some() {}
        }
        Ok(())
    });
    assert!(matches!(damaged, Err(StorageError::Damaged(_))), "{damaged:?}");
    let recovered = usable(&mut database).unwrap();
    assert_eq!(recovered.set_aside, Some(beside(&folder, ".damaged-1")));
    let left: usize = content(&mut database).values().map(Vec::len).sum();
    assert!((11_180..11_200).contains(&left), "{left}");
    assert_eq!(database.take_recovered(), None);
}

#[test]
fn nothing_is_written_to_a_damaged_file_within_a_transaction() {
    let folder = Folder::new("within");
    let mut database = server(&folder);
    fill(&mut database);
    database.begin().unwrap();
    append_long(&mut database, &ARCHIVE, "new");
    let _ = database.attend(|_| Err::<(), _>(StorageError::Damaged("for a test".to_owned())));
    assert!(matches!(database.users(HOSTS[0], "audit"), Err(StorageError::Damaged(_))));
    database.roll_back();
    let recovered = usable(&mut database).unwrap();
    assert_eq!(recovered.cause, Cause::Damaged("for a test".to_owned()));
    assert_eq!(recovered.copied.iter().map(|host| (host.count, host.missing)).collect::<Vec<_>>(), [(1600, Some(0)); 2]);
    assert_eq!(content(&mut database).values().map(Vec::len).sum::<usize>(), 3200);
}

#[test]
fn a_file_that_is_deleted_or_replaced_loses_nothing() {
    let folder = Folder::new("gone");
    let mut database = server(&folder);
    fill(&mut database);
    let mut cursor = database.find(&ARCHIVE, &Query::default(), None, false).unwrap();
    for end in ["", "-wal", "-shm"] {
        fs::remove_file(beside(&folder, end)).unwrap();
    }
    let recovered = usable(&mut database).unwrap();
    assert_eq!((recovered.cause, recovered.set_aside), (Cause::Deleted, None));
    assert_eq!(content(&mut database).values().map(Vec::len).sum::<usize>(), 3200);
    // What was read before does not go on in another file.
    assert!(database.next(&mut cursor).is_ok_and(|item| item.is_none()));
    let mut cursor =
        database.find(&Archive { host: HOSTS[0], store: "audit", user: "@default.2026-11-01" }, &Query::default(), None, false).unwrap();

    let other = Folder::new("gone-other");
    append(&mut other.open(), &ARCHIVE, "of another log", 1.0, "@");
    fs::rename(other.file(), folder.file()).unwrap();
    let recovered = usable(&mut database).unwrap();
    assert_eq!((recovered.cause, recovered.set_aside), (Cause::Replaced, Some(beside(&folder, ".replaced-1"))));
    assert_eq!(content(&mut database).values().map(Vec::len).sum::<usize>(), 3200);
    assert!(matches!(database.next(&mut cursor), Err(StorageError::Changed)));

    fs::OpenOptions::new().write(true).open(folder.file()).unwrap().set_len(0).unwrap();
    let recovered = usable(&mut database).unwrap();
    assert_eq!(recovered.cause, Cause::Damaged("the file was emptied".to_owned()));
    drop(database);
    let mut database = server(&folder);
    assert_eq!(usable(&mut database), None);
    content(&mut database);
    // Another program goes on with the new file.
    let mut reader = folder.open();
    append(&mut reader, &ARCHIVE, "1", 0.0, "");
    fs::remove_file(folder.file()).unwrap();
    usable(&mut database).unwrap();
    append(&mut reader, &ARCHIVE, "2", 0.0, "");
    assert_eq!(all(&mut database, &ARCHIVE), ["1", "2"]);
}

#[test]
fn copying_is_begun_again_after_a_crash() {
    let folder = Folder::new("again");
    fill(&mut folder.open());
    let whole = fs::read(folder.file()).unwrap();
    let is_complete = |folder: &Folder| {
        let mut database = server(folder);
        usable(&mut database);
        assert_eq!(content(&mut database).values().map(Vec::len).sum::<usize>(), 3200);
        drop(database);
        assert!(!beside(folder, ".recovery").exists() && !beside(folder, ".recovery-copy").exists());
    };
    let mut damaged = whole.clone();
    damaged[..100].fill(b'x');
    let (path, aside, copy, marker) =
        (folder.file(), beside(&folder, ".damaged-1"), beside(&folder, ".recovery-copy"), beside(&folder, ".recovery"));
    let clear = || fs::read_dir(&folder.0).unwrap().for_each(|entry| fs::remove_file(entry.unwrap().path()).unwrap());
    // As the files are after each step.
    for step in 0..6 {
        clear();
        fs::write(&marker, if step == 0 { "" } else { ".damaged-1\n" }).unwrap();
        fs::write(if step < 2 { &path } else { &aside }, &damaged).unwrap();
        match step {
            2 => {}
            3 => fs::write(&copy, &whole[..8192]).unwrap(),
            // Another program made an empty file in the wrong moment.
            4 => fs::write(&path, "").unwrap(),
            5 => fs::write(&path, &whole).unwrap(),
            _ => {}
        }
        assert!(matches!(folder.open().users(HOSTS[0], "audit"), Err(StorageError::Recovering { .. })));
        is_complete(&folder);
        assert!(fs::read(&aside).unwrap() == damaged, "{step}");
    }
}

#[test]
fn a_large_file_is_checked_for_a_moment_only() {
    let folder = Folder::new("large");
    let mut database = folder.open();
    let value = vec![b'x'; 100_000];
    database
        .write(|database| {
            for number in 0..2000 {
                let key = number.to_string();
                let item = NewItem { key: &key, is_new: true, value: Value { kind: 1, bytes: &value }, when: 0.0, with: "" };
                database.append(&ARCHIVE, &item)?;
            }
            Ok(())
        })
        .unwrap();
    drop(database);
    let began = Instant::now();
    server(&folder).users(HOSTS[0], "audit").unwrap();
    assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
}
