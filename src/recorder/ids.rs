//! The ids of entries: UUIDs of version 7 (RFC 9562), which sort by time.

use std::rc::Rc;

use uuid::{Builder, Uuid};

use crate::random::Random;

/// How many random bytes an id takes: 42 bits of a counter, which begins with a random number in each millisecond, and 32 more.
const BYTES: usize = 10;
/// For how many ids random bytes are taken at once, so that not every entry needs a system call.
const AT_ONCE: usize = 50;
/// The highest number of the counter, and the bits that it begins with: the highest is left out, so that there is room to count.
const LAST: u64 = (1 << 42) - 1;
const BEGIN: u64 = (1 << 41) - 1;

/// Makes ids. Each is higher than the one before, also if the clock was set back.
#[derive(Debug)]
pub(crate) struct Ids {
    random: Rc<dyn Random>,
    bytes: [u8; BYTES * AT_ONCE],
    used: usize,
    milliseconds: u64,
    counter: u64,
}

impl Ids {
    /// Ids with random bytes of that source.
    pub(crate) fn new(random: Rc<dyn Random>) -> Self {
        let bytes = [0; BYTES * AT_ONCE];
        Self { random, used: bytes.len(), bytes, milliseconds: 0, counter: 0 }
    }

    /// The next id. `now` is in UNIX seconds.
    pub(crate) fn next(&mut self, now: f64) -> Uuid {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Not negative; `as` saturates.
        let now = (now.max(0.0) * 1000.0) as u64;
        let [a, b, c, d, e, f, rest @ ..] = self.random();
        let begin = u64::from_be_bytes([0, 0, a, b, c, d, e, f]) & BEGIN;
        if now > self.milliseconds {
            (self.milliseconds, self.counter) = (now, begin);
        } else if self.counter < LAST {
            self.counter = self.counter.saturating_add(1);
        } else {
            (self.milliseconds, self.counter) = (self.milliseconds.saturating_add(1), begin);
        }
        // 12 bits before the variant and 30 behind it are the counter, and the last 32 are random.
        let [.., first, second] = (self.counter >> 30).to_be_bytes();
        let [.., third, fourth, fifth, sixth] = (self.counter & ((1 << 30) - 1)).to_be_bytes();
        let [w, x, y, z] = rest;
        Builder::from_unix_timestamp_millis(self.milliseconds, &[first, second, third, fourth, fifth, sixth, w, x, y, z]).into_uuid()
    }

    /// The next random bytes. If there are none, the ones before are used again: ids differ nevertheless, by their counter.
    fn random(&mut self) -> [u8; BYTES] {
        if self.used >= self.bytes.len() {
            // What is in the bytes after an error does no harm: they need not be secret.
            let _ = self.random.fill(&mut self.bytes);
            self.used = 0;
        }
        let next = self.bytes.get(self.used..).and_then(|bytes| bytes.first_chunk()).copied();
        self.used = self.used.saturating_add(BYTES);
        next.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    const NOON: f64 = 1_795_521_600.25;

    #[derive(Debug)]
    struct Fixed(Option<u8>);

    impl Random for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
            bytes.fill(self.0.ok_or(getrandom::Error::UNSUPPORTED)?);
            Ok(())
        }
    }

    #[test]
    fn ids_differ_and_sort_by_time() {
        for random in [Rc::new(OsRandom) as Rc<dyn Random>, Rc::new(Fixed(Some(255))), Rc::new(Fixed(None))] {
            let mut ids = Ids::new(random);
            let made: Vec<Uuid> = (0..1000).map(|n| ids.next(NOON + f64::from(n / 100))).collect();
            assert!(made.is_sorted() && made.windows(2).all(|pair| pair[0] != pair[1]));
            assert!(made.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122));
            assert_eq!(made[0].get_timestamp().unwrap().to_unix(), (1_795_521_600, 250_000_000));
            for odd in [f64::NAN, -1.0, f64::INFINITY] {
                ids.next(odd);
            }
        }
    }

    #[test]
    fn ids_go_on_where_they_were_if_the_clock_is_set_back() {
        let mut ids = Ids::new(Rc::new(OsRandom));
        let (first, second) = (ids.next(NOON), ids.next(NOON - 86_400.0));
        assert!(first < second);
        assert_eq!(first.get_timestamp().unwrap().to_unix(), second.get_timestamp().unwrap().to_unix());
    }

    #[test]
    fn a_counter_that_is_full_goes_on_in_the_next_millisecond() {
        let mut ids = Ids::new(Rc::new(OsRandom));
        let before = ids.next(NOON);
        ids.counter = LAST;
        let after = ids.next(NOON);
        assert!(before < after);
        assert_eq!(after.get_timestamp().unwrap().to_unix(), (1_795_521_600, 251_000_000));
    }

    #[test]
    fn two_processes_make_different_ids_in_one_millisecond() {
        let mut made: Vec<Uuid> = (0..1000).map(|_| Ids::new(Rc::new(OsRandom)).next(NOON)).collect();
        made.sort();
        made.dedup();
        assert_eq!(made.len(), 1000);
    }
}
