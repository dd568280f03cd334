use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::journal::Limits;
use crate::options::{Settings, Value as OptionValue};
use crate::storage::{Item, Opening, Query};

const NOON: f64 = 1_795_521_600.0;
const TARGET: Target<'_> = Target { host: "example.com", store: "audit", kind: 1 };

/// What an operator has who sets no option.
fn settings() -> Settings {
    Settings::read(|_| OptionValue::Nil).0
}

/// A journal, a store, and what stands between them.
struct World {
    folder: PathBuf,
    recorder: Recorder,
    journal: Journal,
    known: HandOver,
    database: Database,
    added: usize,
}

impl World {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("audit-bytes-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let mut recorder = Recorder::default();
        recorder.configure(TARGET.host, settings(), None);
        let journal = Journal::open(&folder.join("audit"), Limits::default(), NOON).unwrap();
        let database = Database::new(&folder.join("audit.sqlite3"), Opening::Other, Duration::ZERO);
        Self { folder, recorder, journal, known: HandOver::default(), database, added: 0 }
    }

    fn add(&mut self, at: f64, event_type: &str) {
        self.added += 1;
        let payload = format!(
            "{at}\0\u{1}audit-event\u{2}type\u{3}{event_type}\u{2}xmpp:prosody.im/audit\u{6}id\u{3}id-{}\u{1}note\u{4}text\u{5}\u{5}",
            self.added
        );
        let _ = self.journal.append(payload.as_bytes(), event_type, at);
    }

    fn hand_over(&mut self, entries: usize) -> Result<HandedOver, HandOverError> {
        let bounds = Bounds { entries, goes_on: &|| true };
        self.recorder.hand_over(TARGET, &mut self.journal, &self.known, &mut self.database, &bounds)
    }

    fn rows(&mut self, user: &str) -> Vec<Item> {
        let archive = Archive { host: TARGET.host, store: TARGET.store, user };
        let mut cursor = self.database.find(&archive, &Query::default(), None, false).unwrap();
        std::iter::from_fn(|| self.database.next(&mut cursor).unwrap()).collect()
    }

    fn users(&mut self) -> Vec<String> {
        self.database.users(TARGET.host, TARGET.store).unwrap()
    }

    /// Runs SQL beside the database.
    fn sql(&mut self, text: &str) {
        let _ = self.users();
        rusqlite::Connection::open(self.folder.join("audit.sqlite3")).unwrap().execute_batch(text).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn the_bytes_of_an_entry_are_stored_as_they_are() {
    let mut world = World::new("same");
    // Real entries of an older version.
    let vectors: Vec<serde_json::Value> = serde_json::from_str(include_str!("../../tests/vectors/payload.json")).unwrap();
    let payloads: Vec<Vec<u8>> = vectors.iter().map(|vector| vector["payload"].as_str().unwrap().as_bytes().to_vec()).collect();
    for payload in &payloads {
        let _ = world.journal.append(payload, "t", NOON);
    }
    assert_eq!(world.hand_over(200).unwrap().entries, payloads.len());
    assert!(world.journal.is_empty());
    let mut stored: Vec<Vec<u8>> = Vec::new();
    for user in world.users() {
        stored.extend(world.rows(&user).into_iter().map(|item| item.value));
    }
    let mut expected: Vec<Vec<u8>> = payloads.iter().map(|payload| Outline::read(payload).unwrap().element.to_vec()).collect();
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected);
}

#[test]
fn a_full_partition_is_followed_by_another_and_is_reported_once() {
    let mut world = World::new("full");
    let mut full = Vec::new();
    for number in 0..1203 {
        world.add(NOON + f64::from(number) / 100.0, "thing");
    }
    while !world.journal.is_empty() {
        let done = world.hand_over(190).unwrap();
        assert!(done.entries > 0);
        full.extend(done.full);
    }
    let of = |name: &str| FullPartition { partition: name.to_owned(), entries: 500, is_limited: false };
    assert_eq!(full, [of("@events.2026-11-24"), of("@events.2026-11-24.2")]);
    let counts = ["", ".2", ".3"].map(|end| world.rows(&format!("@events.2026-11-24{end}")).len());
    assert_eq!(counts, [500, 500, 203]);
}

#[test]
fn a_batch_ends_in_time_and_has_at_least_one_entry() {
    let mut world = World::new("time");
    (0..10).for_each(|_| world.add(NOON, "thing"));
    for (left, expected) in [(0, 1), (3, 4)] {
        let left = Cell::new(left);
        let goes_on = || {
            let before = left.get();
            left.set(before - 1);
            before > 0
        };
        let bounds = Bounds { entries: 100, goes_on: &goes_on };
        let done = world.recorder.hand_over(TARGET, &mut world.journal, &world.known, &mut world.database, &bounds).unwrap();
        assert_eq!(done.entries, expected);
    }
    assert_eq!(world.journal.len(), 5);
}

#[test]
fn what_the_store_has_is_released_and_not_appended_again() {
    let mut world = World::new("known");
    (0..10).for_each(|_| world.add(NOON, "thing"));
    world.known.looked(["id-1", "id-2", "id-5"].map(ToOwned::to_owned), 3, None);
    assert_eq!(world.hand_over(100).unwrap().entries, 7);
    assert!(world.journal.is_empty());
    assert_eq!(world.rows("@events.2026-11-24").len(), 7);
    // Nothing else waits, and the store is not asked.
    world.add(NOON, "thing");
    world.known.looked(["id-11".to_owned()], 1, None);
    world.sql("CREATE TRIGGER refuse BEFORE INSERT ON item BEGIN SELECT RAISE(ABORT, 'no'); END");
    assert_eq!(world.hand_over(100).unwrap().entries, 0);
    assert!(world.journal.is_empty());
}

#[test]
fn a_record_that_is_no_entry_counts_as_lost_and_the_others_go_on() {
    let mut world = World::new("damaged");
    world.add(NOON, "thing");
    let _ = world.journal.append(b"1795521600\0\x01a", "t", NOON);
    world.add(NOON, "thing");
    assert_eq!(world.hand_over(100).unwrap().entries, 2);
    assert_eq!((world.journal.take_missing(), world.journal.is_empty()), (1, true));
}

#[test]
fn a_batch_that_is_refused_leaves_nothing_and_everything_waits() {
    let mut world = World::new("refused");
    for refusal in ["SELECT RAISE(ABORT, 'no room')", "DELETE FROM item WHERE id = new.id"] {
        (0..9).for_each(|_| world.add(NOON, "thing"));
        world.add(NOON, "authentication-failure");
        // One class is stored, and the other one is not.
        let last = "new.id >= (2 << 32)";
        world.sql(&format!("CREATE TRIGGER refuse AFTER INSERT ON item WHEN {last} BEGIN {refusal}; END"));
        let before = world.users();
        let error = world.hand_over(100).unwrap_err();
        assert_eq!(matches!(error, HandOverError::NotKept), refusal.starts_with("DELETE"), "{error}");
        assert_eq!((world.users(), world.journal.len()), (before, 10));
        world.sql("DROP TRIGGER refuse");
        assert_eq!(world.hand_over(100).unwrap().entries, 10);
        world.sql("DELETE FROM item WHERE id >= (2 << 32); DELETE FROM archive WHERE id >= 2");
        world.recorder.configure(TARGET.host, settings(), None);
    }
    assert_eq!(world.rows("@events.2026-11-24").len(), 18);
}

#[test]
fn nothing_is_waited_for_while_another_connection_writes() {
    let mut world = World::new("busy");
    world.database = Database::new(&world.folder.join("audit.sqlite3"), Opening::Other, Duration::from_secs(20));
    world.add(NOON, "thing");
    let mut other = Database::new(&world.folder.join("audit.sqlite3"), Opening::Other, Duration::ZERO);
    other.begin().unwrap();
    let began = std::time::Instant::now();
    assert!(matches!(world.hand_over(100), Err(HandOverError::Storage(StorageError::Busy))));
    assert!(began.elapsed() < Duration::from_secs(5));
    other.roll_back();
    assert_eq!(world.hand_over(100).unwrap().entries, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_the_clock_does_each_entry_is_stored_once_and_in_order(
        steps in prop::collection::vec((0f64..40_000.0, 0..3_usize, 1..40_usize, prop::bool::weighted(0.3)), 1..60),
    ) {
        let mut world = World::new("clock");
        for (time, event_type, entries, hands_over) in &steps {
            world.add(NOON + time, ["thing", "authentication-failure", "authentication-success"][*event_type]);
            if *hands_over {
                world.hand_over(*entries).unwrap();
            }
        }
        while world.hand_over(7).unwrap().entries > 0 {}
        let mut ids = Vec::new();
        for user in world.users() {
            let rows = world.rows(&user);
            prop_assert!(rows.windows(2).all(|pair| pair[0].when <= pair[1].when), "{user}");
            for row in rows {
                let payload = [b"1\0", row.value.as_slice()].concat();
                let outline = Outline::read(&payload).unwrap();
                let id: usize = outline.id.unwrap()[3..].parse().unwrap();
                let at = NOON + steps[id - 1].0;
                // An entry that stands under another second says when its event was.
                prop_assert_eq!(outline.has_occurred, row.when != at.floor());
                ids.push(id);
            }
        }
        ids.sort_unstable();
        prop_assert_eq!(ids, (1..=steps.len()).collect::<Vec<_>>());
    }
}
