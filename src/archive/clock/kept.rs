//! What is known of the clock of a host's log, and the file that keeps it for the next process.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Clock, ClockCheck, ClockReading, Timeline, Witnesses};
use crate::archive::partition::Partition;
use crate::archive::retention::Retention;
use crate::file::Files;
use crate::file::whole::{self, Durability};

/// The longest file that is read, in bytes. Ours are far shorter.
const LONGEST: usize = 1 << 20;
/// After how many seconds a file that could not be read is worth another attempt.
const AGAIN: f64 = 60.0;

/// The [`Clock`] of a host's log, with its file.
///
/// The file may say that the clock is in doubt. So as long as it is there and can't be read, the clock is in doubt, nothing is
/// concluded from the time, and the file is not replaced.
#[derive(Debug)]
pub struct KeptClock {
    files: Rc<dyn Files>,
    path: Option<PathBuf>,
    clock: Clock,
    state: FileState,
}

/// What came of reading the file.
#[derive(Debug)]
enum FileState {
    /// It was read, or there is none.
    Known,
    /// It has the wrong content. It gets another name before it is replaced.
    Damaged,
    /// It can't be read now, for this reason.
    Unread(String),
}

impl KeptClock {
    /// Reads the file at `path`, if there is one. Without a path, nothing is kept.
    #[must_use]
    pub fn open(files: Rc<dyn Files>, path: Option<PathBuf>) -> Self {
        let mut kept = Self { files, path, clock: Clock::default(), state: FileState::Known };
        kept.read();
        kept
    }

    /// Why the file can't be read. Returns `None` if it was read. Tries again if it could not be read before.
    pub fn unread(&mut self) -> Option<&str> {
        if matches!(self.state, FileState::Unread(_)) {
            self.read();
        }
        match &self.state {
            FileState::Unread(reason) => Some(reason),
            _ => None,
        }
    }

    /// The same as [`Clock::is_exact`].
    #[must_use]
    pub fn is_exact(&self, reading: &ClockReading) -> bool {
        self.is_known() && self.clock.is_exact(reading)
    }

    /// The same as [`Clock::look`].
    pub fn look(&mut self, reading: &ClockReading, witnesses: &Witnesses, trust: f64) -> ClockCheck {
        if self.is_known() { self.clock.look(reading, witnesses, trust) } else { ClockCheck::Same }
    }

    /// The same as [`Clock::look_at_partitions`].
    pub fn look_at_partitions(&mut self, partitions: &[Partition], reading: &ClockReading, witnesses: &Witnesses) -> ClockCheck {
        if self.is_known() { self.clock.look_at_partitions(partitions, reading, witnesses) } else { ClockCheck::Same }
    }

    /// The same as [`Clock::note`].
    pub fn note(&mut self, partitions: &[Partition]) {
        self.clock.note(partitions);
    }

    /// The same as [`Clock::removed`].
    pub fn removed(&mut self, partition: &Partition) {
        self.clock.removed(partition);
    }

    /// Whether the clock is trusted.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.is_known() && self.clock.is_trusted()
    }

    /// Why the clock is not trusted, in words. Returns `None` if it is.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        match &self.state {
            FileState::Unread(reason) => Some(format!("what was known of the clock can't be read: {reason}")),
            _ => self.clock.doubt().map(|jump| jump.describe()),
        }
    }

    /// The same as [`Clock::remaining`].
    #[must_use]
    pub fn remaining(&self, trust: f64) -> f64 {
        if self.is_known() { self.clock.remaining(trust) } else { AGAIN }
    }

    /// The same as [`Clock::trust`]. A clock whose file can't be read stays in doubt.
    pub fn trust(&mut self) -> bool {
        self.is_known() && self.clock.trust()
    }

    /// The same as [`Clock::forget`].
    pub fn forget(&mut self, partitions: &[Partition], cutoff: Option<f64>) {
        self.clock.forget(partitions, cutoff);
    }

    /// The same as [`Clock::keeps_more`].
    #[must_use]
    pub fn keeps_more(&self, partitions: &[Partition], retention: &Retention, now: f64) -> bool {
        !self.is_known() || self.clock.keeps_more(partitions, retention, now)
    }

    /// The same as [`Clock::timeline`].
    #[must_use]
    pub fn timeline(&self, now: f64) -> Timeline {
        self.clock.timeline(now)
    }

    /// Writes the file. Returns the new name of the file that was there, if that one was damaged. After a failure the file of before
    /// is as good.
    ///
    /// A power cut may take a file that was written a moment before, and on some file systems the one before it, too. As long as
    /// there is nothing in it that can't be learned again, that is as good as well. Otherwise it is forced to the disk.
    pub fn save(&mut self) -> Option<PathBuf> {
        let path = self.path.as_deref()?;
        let aside = match self.state {
            FileState::Unread(_) => return None,
            FileState::Damaged => Some(whole::set_aside(&*self.files, path).ok()?),
            FileState::Known => None,
        };
        self.state = FileState::Known;
        let durability = if self.clock.knows_of_a_jump() { Durability::Synced } else { Durability::Relaxed };
        let _ = whole::replace(&*self.files, path, &beside(path), self.clock.to_text().as_bytes(), durability);
        aside
    }

    const fn is_known(&self) -> bool {
        !matches!(self.state, FileState::Unread(_))
    }

    fn read(&mut self) {
        let Some(path) = &self.path else { return };
        let found = whole::read(&*self.files, path, LONGEST).map(|text| {
            let parse = |text: Vec<u8>| Clock::parse(std::str::from_utf8(&text).ok()?);
            text.map(|text| parse(text).ok_or(FileState::Damaged))
        });
        (self.clock, self.state) = match found {
            Ok(Some(Ok(clock))) => (clock, FileState::Known),
            Ok(Some(Err(damaged))) => (Clock::default(), damaged),
            Ok(None) => (Clock::default(), FileState::Known),
            Err(error) if error.kind() == ErrorKind::InvalidData => (Clock::default(), FileState::Damaged),
            Err(error) => (Clock::default(), FileState::Unread(format!("{}: {error}", path.display()))),
        };
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("clock.new")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{Access, Memory, Operation};

    const NOON: f64 = 1_795_521_600.0;
    const PATH: &str = "/host/audit.clock";

    fn open(files: &Memory) -> KeptClock {
        KeptClock::open(Rc::new(files.clone()), Some(PATH.into()))
    }

    fn reading(wall: f64, uptime: f64) -> ClockReading {
        ClockReading { wall, uptime, boot: Some("boot".to_owned()) }
    }

    fn content(files: &Memory, path: &str) -> Option<String> {
        whole::read(files, Path::new(path), LONGEST).unwrap().map(|text| String::from_utf8(text).unwrap())
    }

    /// The file of a clock that has jumped.
    fn in_doubt() -> Memory {
        let files = Memory::default();
        let mut kept = open(&files);
        assert_eq!(kept.look(&reading(NOON, 1000.0), &Witnesses::default(), 60.0), ClockCheck::Same);
        assert!(matches!(kept.look(&reading(NOON + 1e8, 1001.0), &Witnesses::default(), 60.0), ClockCheck::Jumped { .. }));
        assert_eq!((kept.save(), kept.is_trusted()), (None, false));
        files
    }

    /// Before, such a file counted as missing: the doubt was gone, and what "had expired" was removed.
    #[test]
    fn a_file_that_can_not_be_read_now_keeps_the_clock_in_doubt_and_is_not_replaced() {
        for operation in [Operation::Open, Operation::ReadAt] {
            let files = in_doubt();
            let before = content(&files, PATH);
            files.fail(operation, ErrorKind::PermissionDenied, 2);
            let mut kept = open(&files);
            assert_eq!(kept.unread(), Some("/host/audit.clock: permission denied"), "{operation:?}");
            let now = reading(NOON + 1e8 + 10.0, 1011.0);
            assert_eq!(kept.look(&now, &Witnesses::default(), 60.0), ClockCheck::Same);
            assert!(!kept.is_trusted() && !kept.is_exact(&now) && kept.keeps_more(&[], &Retention::default(), NOON));
            assert_eq!(kept.doubt().unwrap(), "what was known of the clock can't be read: /host/audit.clock: permission denied");
            assert_eq!((kept.trust(), kept.save(), kept.remaining(1e9)), (false, None, AGAIN));
            assert_eq!(content(&files, PATH), before);
            // It can be read again, and says what it said.
            assert_eq!(kept.unread(), None);
            assert!(kept.doubt().unwrap().contains("has jumped") && kept.is_exact(&now) && !kept.is_trusted());
            assert!(kept.trust() && kept.is_trusted());
            assert_eq!(kept.save(), None);
            assert!(open(&files).is_trusted());
        }
    }

    #[test]
    fn a_damaged_file_is_kept_under_another_name_when_it_is_replaced() {
        for damaged in [&b"{"[..], b"\xff", &vec![b' '; LONGEST + 1]] {
            let files = Memory::default();
            files.create_new(Path::new(PATH), Access::Append).unwrap().append(damaged).unwrap();
            let mut kept = open(&files);
            assert!(kept.unread().is_none() && kept.is_trusted());
            files.fail(Operation::Rename, ErrorKind::PermissionDenied, 1);
            assert_eq!(kept.save(), None);
            assert_eq!(files.status(Path::new(PATH)).unwrap().length, damaged.len() as u64, "it stays if it can't be kept");
            let aside = kept.save().unwrap();
            assert_eq!((aside.to_str(), files.status(&aside).unwrap().length), (Some("/host/audit.clock.damaged"), damaged.len() as u64));
            assert_eq!((kept.save(), content(&files, PATH).is_some_and(|text| Clock::parse(&text).is_some())), (None, true));
        }
    }

    /// The file was lost, and with it that the clock was wrong.
    #[test]
    fn what_is_known_of_a_jump_outlasts_a_power_cut() {
        let files = in_doubt();
        files.cut_power();
        let mut kept = open(&files);
        assert!(!kept.is_trusted() && kept.trust());
        kept.save();
        files.cut_power();
        let shift = open(&files).timeline(NOON + 1e8).shift_of_time(NOON);
        assert!((shift - 1e8).abs() < 3.0, "{shift}");
    }

    #[test]
    fn a_missing_file_is_made_and_without_a_path_there_is_none() {
        let files = Memory::default();
        let mut kept = open(&files);
        assert!(kept.unread().is_none() && kept.save().is_none() && content(&files, PATH).is_some());
        let mut kept = KeptClock::open(Rc::new(files), None);
        assert!(kept.unread().is_none() && kept.save().is_none() && kept.is_trusted());
    }
}
