//! Where random bytes come from. They are an argument, as time is, so that a run can be repeated with the same bytes.

use std::fmt::Debug;
use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// A source of random bytes.
pub trait Random: Debug {
    /// Fills `bytes`.
    ///
    /// # Errors
    ///
    /// [`getrandom::Error`] where there are none. What is in `bytes` then is not random.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error>;
}

/// The random bytes of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        getrandom::fill(bytes)
    }
}

/// The key of hashes (SipHash-1-3) that nobody outside can foresee. Unlike that of [`std::hash::RandomState`] it is given from outside.
#[derive(Clone, Copy)]
pub struct HashSeed(u64, u64);

impl HashSeed {
    /// A new key. Without random bytes it is a known one: then somebody can choose names that are taken for one another, but nothing
    /// fails.
    #[must_use]
    pub fn new(random: &dyn Random) -> Self {
        let (mut first, mut second) = ([0; 8], [0; 8]);
        match random.fill(&mut first).and_then(|()| random.fill(&mut second)) {
            Ok(()) => Self(u64::from_le_bytes(first), u64::from_le_bytes(second)),
            Err(_) => Self(0, 0),
        }
    }
}

impl Debug for HashSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashSeed(…)")
    }
}

impl BuildHasher for HashSeed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> Self::Hasher {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(u8);

    impl Random for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    #[derive(Debug)]
    struct None;

    impl Random for None {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
            bytes.fill(7);
            Err(getrandom::Error::UNSUPPORTED)
        }
    }

    #[test]
    fn the_same_bytes_make_the_same_hashes_and_others_make_others() {
        let hash = |random: &dyn Random| HashSeed::new(random).hash_one("romeo@example.com");
        assert_eq!(hash(&Fixed(1)), hash(&Fixed(1)));
        assert_ne!(hash(&Fixed(1)), hash(&Fixed(2)));
        assert_ne!(hash(&OsRandom), hash(&OsRandom));
        assert_eq!(hash(&None), HashSeed(0, 0).hash_one("romeo@example.com"), "half-filled bytes are not used");
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", HashSeed(1234, 5678)), "HashSeed(…)");
    }
}
