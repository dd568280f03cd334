//! Power cuts at many random moments, by copies of the files: what is behind the last sync is there as a whole, not at all, or in
//! part, sector by sector. spec/e2e/native_power_spec.lua has the same with the calls of a real server.

use super::*;

const SECTOR: usize = 512;

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The two files that matter. The index of the WAL is made again.
#[derive(Clone)]
struct Files {
    database: Vec<u8>,
    wal: Vec<u8>,
}

impl Files {
    fn read(folder: &Folder) -> Self {
        let read = |end: &str| fs::read(format!("{}{end}", folder.file().display())).unwrap_or_default();
        Self { database: read(""), wal: read("-wal") }
    }

    fn write(&self, folder: &Folder) {
        for (end, content) in [("", &self.database), ("-wal", &self.wal)] {
            fs::write(format!("{}{end}", folder.file().display()), content).unwrap();
        }
    }
}

/// A file whose sectors are each the old one or the new one.
fn torn(random: &mut Random, old: &[u8], new: &[u8]) -> Vec<u8> {
    let length = if random.below(2) == 0 { old.len() } else { new.len() };
    let mut content = Vec::with_capacity(length);
    while content.len() < length {
        let place = content.len()..(content.len() + SECTOR).min(length);
        let sides = if random.below(2) == 0 { [old, new] } else { [new, old] };
        let sector = sides.iter().find_map(|side| side.get(place.clone()));
        content.extend_from_slice(sector.unwrap_or(&vec![0; place.len()]));
    }
    content
}

/// What the log has after a cut: all of its keys.
fn after_cut(files: &Files) -> Vec<String> {
    let folder = Folder::new("power-after");
    files.write(&folder);
    let mut database = Database::new(&folder.file(), Opening::Server, PATIENCE);
    let keys = all(&mut database, &ARCHIVE);
    assert_eq!(database.take_recovered(), None);
    append(&mut database, &ARCHIVE, "after", 0.0, "");
    drop(database);
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    keys
}

#[test]
fn what_was_synced_is_there_after_a_power_cut() {
    let mut random = Random(20);
    for round in 0..12 {
        let folder = Folder::new("power");
        // No thread syncs here, so that the moment is known.
        let mut database = folder.open();
        append(&mut database, &ARCHIVE, "first", 0.0, "");
        let checkpointer = rusqlite::Connection::open(folder.file()).unwrap();
        let mut synced = Files::read(&folder);
        // The contents that a cut may leave: that of the last sync, or one of those behind it.
        let mut allowed = vec![all(&mut database, &ARCHIVE)];
        for step in 0..30 {
            match random.below(8) {
                0..=4 => {
                    let count = 1 + random.below(20);
                    database
                        .write(|database| {
                            (0..count).for_each(|number| append(database, &ARCHIVE, &format!("{round}/{step}/{number}"), 0.0, "a"));
                            Ok(())
                        })
                        .unwrap();
                    allowed.push(all(&mut database, &ARCHIVE));
                }
                5 => {
                    let keep = Keep { count: 30, oldest: false };
                    database.delete(&ARCHIVE, &Query::default(), Some(keep)).unwrap();
                    allowed.push(all(&mut database, &ARCHIVE));
                }
                6 => {
                    synced = Files::read(&folder);
                    allowed.drain(..allowed.len() - 1);
                }
                _ => {
                    // The WAL is synced first, then pages are written to the database, and that is synced.
                    let before = Files::read(&folder);
                    allowed.drain(..allowed.len() - 1);
                    checkpointer.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
                    let after = Files::read(&folder);
                    let database = torn(&mut random, &before.database, &after.database);
                    assert_eq!(after_cut(&Files { database, wal: before.wal }), allowed[0], "{round}, {step}");
                    synced = after;
                }
            }
            let now = Files::read(&folder);
            assert!(now.database == synced.database, "the database is written by a checkpoint alone");
            let wal = match random.below(3) {
                0 => synced.wal.clone(),
                1 => now.wal.clone(),
                _ => torn(&mut random, &synced.wal, &now.wal),
            };
            let found = after_cut(&Files { database: now.database, wal });
            assert!(
                allowed.contains(&found),
                "{round}, {step}: {} items, of {:?}",
                found.len(),
                allowed.iter().map(Vec::len).collect::<Vec<_>>()
            );
        }
    }
}
