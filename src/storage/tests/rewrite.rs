//! Rewriting an archive into another one.

use super::*;

const COPY: Archive<'_> = Archive { user: "@cut-default.2026-11-26", ..ARCHIVE };

/// All items of an archive.
fn items(database: &mut Database, archive: &Archive<'_>) -> Vec<Item> {
    let mut cursor = database.find(archive, &Query::default(), None, false).unwrap();
    std::iter::from_fn(|| database.next(&mut cursor).unwrap()).collect()
}

/// The value without its digits. One with an `!` is refused.
fn without_digits(value: Value<'_>) -> Option<Vec<u8>> {
    (!value.bytes.contains(&b'!')).then(|| value.bytes.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect())
}

fn users(database: &mut Database) -> Vec<String> {
    database.users("example.com", "audit").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The way of other drivers: each item is read, changed and appended, and then the archive is removed.
    #[test]
    fn it_is_as_reading_and_appending_each_item(
        values in prop::collection::vec(("[a-z0-9]{0,9}", 0..9_u8, "[ab]?"), 1..120),
        refused in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        late in any::<bool>(),
        steps in prop::collection::vec(1..70_usize, 1..6),
    ) {
        let folder = Folder::new("rewrite");
        let mut database = folder.open();
        let mut expected = Vec::new();
        for (place, (text, when, with)) in values.iter().enumerate() {
            let is_refused = refused.is_some_and(|refused| refused.index(values.len()) == place);
            let text = if is_refused { format!("{text}!") } else { text.clone() };
            let (key, value) = (format!("key {place}"), Value { kind: 1, bytes: text.as_bytes() });
            database.append(&ARCHIVE, &NewItem { key: &key, is_new: true, value, when: f64::from(*when), with }).unwrap();
            let value = without_digits(value).unwrap_or_default();
            expected.push(Item { key, kind: 1, value, when: f64::from(*when), with: with.clone() });
        }
        let before = items(&mut database, &ARCHIVE);
        let mut rewriting = Rewriting::new(&ARCHIVE, COPY.user);
        let mut sizes = steps.iter().cycle();
        let mut is_late = late;
        while !database.rewrite_on(&mut rewriting, *sizes.next().unwrap(), without_digits).unwrap() {
            if is_late {
                append(&mut database, &ARCHIVE, "late", 9.0, "");
                expected.push(Item { key: "late".to_owned(), kind: 1, value: b"late".to_vec(), when: 9.0, with: String::new() });
            }
            is_late = false;
        }
        let so_far = rewriting.so_far();
        let refused = u64::from(refused.is_some());
        prop_assert_eq!((so_far.items, so_far.refused), (expected.len() as u64 - refused, refused));
        if refused > 0 {
            prop_assert_eq!(users(&mut database), [ARCHIVE.user], "nothing has changed");
            prop_assert_eq!(&items(&mut database, &ARCHIVE)[..before.len()], before);
        } else {
            prop_assert_eq!(so_far.times, Some((expected[0].when, expected[expected.len() - 1].when)));
            prop_assert_eq!(users(&mut database), [COPY.user]);
            prop_assert_eq!(items(&mut database, &COPY), expected);
        }
    }
}

#[test]
fn until_the_last_step_the_original_is_whole() {
    let folder = Folder::new("rewrite-steps");
    let mut database = folder.open();
    for number in 0..5 {
        append(&mut database, &ARCHIVE, &number.to_string(), 0.0, "");
    }
    let mut rewriting = Rewriting::new(&ARCHIVE, COPY.user);
    for copied in [2, 4] {
        assert!(!database.rewrite_on(&mut rewriting, 2, without_digits).unwrap());
        assert_eq!((items(&mut database, &ARCHIVE).len(), items(&mut database, &COPY).len()), (5, copied));
    }
    // Another process writes: nothing is done, and it can go on later.
    let mut other = folder.open();
    other.begin().unwrap();
    assert!(matches!(database.rewrite_on(&mut rewriting, 2, without_digits), Err(StorageError::Busy)));
    other.roll_back();
    assert!(database.rewrite_on(&mut rewriting, 2, without_digits).unwrap());
    assert_eq!((items(&mut database, &ARCHIVE).len(), items(&mut database, &COPY).len()), (0, 5));
    // An archive that is not there is done.
    assert!(database.rewrite_on(&mut Rewriting::new(&ARCHIVE, COPY.user), 2, without_digits).unwrap());
    assert_eq!(items(&mut database, &COPY).len(), 5);
}

#[test]
fn it_does_not_go_on_in_another_archive() {
    let folder = Folder::new("rewrite-other");
    let mut database = folder.open();
    append(&mut database, &ARCHIVE, "a", 0.0, "");
    append(&mut database, &ARCHIVE, "b", 0.0, "");
    let mut rewriting = Rewriting::new(&ARCHIVE, COPY.user);
    assert!(!database.rewrite_on(&mut rewriting, 1, without_digits).unwrap());
    database.delete(&ARCHIVE, &Query::default(), None).unwrap();
    append(&mut database, &ARCHIVE, "c", 0.0, "");
    assert!(matches!(database.rewrite_on(&mut rewriting, 9, without_digits), Err(StorageError::Changed)));
}

/// Filters must not pass over what was rewritten.
#[test]
fn the_copy_has_digests_of_its_own() {
    let folder = Folder::new("rewrite-digest");
    let mut database = folder.open();
    for number in 0..250 {
        append(&mut database, &ARCHIVE, &number.to_string(), 0.0, "");
    }
    let mut rewriting = Rewriting::new(&ARCHIVE, COPY.user);
    while !database.rewrite_on(&mut rewriting, 70, |value| Some(value.bytes.to_vec())).unwrap() {}
    drop(database);
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    let stray: i64 =
        connection.query_row("SELECT count(*) FROM block WHERE id >> 32 NOT IN (SELECT id FROM archive)", [], |row| row.get(0)).unwrap();
    assert_eq!(stray, 0);
}
