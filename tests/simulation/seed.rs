//! The source of all chance of a run. The same seed makes the same script on every machine and with every version of other crates.

use std::cell::Cell;

use audit_core::random::Random;

/// A generator of numbers (SplitMix64).
#[derive(Clone, Copy, Debug)]
pub struct Seed(u64);

impl Seed {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether something happens that happens once in `times`.
    pub const fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of several values.
    pub const fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Random bytes for the core that are the same in each run.
#[derive(Debug)]
pub struct SeededRandom(Cell<Seed>);

impl SeededRandom {
    pub const fn new(seed: Seed) -> Self {
        Self(Cell::new(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        let mut seed = self.0.get();
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&seed.next().to_le_bytes()[..part.len()]);
        }
        self.0.set(seed);
        Ok(())
    }
}
