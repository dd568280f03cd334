//! A set of names in few bytes: it never denies a name that is in it, and may admit one that is not.
//!
//! It is a Bloom filter: of each name, [`HASHES`] bits are set. It lies in an entry as base64 (RFC 4648, without padding), so the
//! hash is the same in all processes and versions: SipHash-2-4 could not be reproduced by other programs as easily as FNV-1a
//! (64 bits, then mixed), and a name that was made to collide only makes the filter say "may be".

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// How many bits it has at most, and at least.
const MOST_BITS: usize = 1 << 14;
const LEAST_BITS: usize = 1 << 9;

/// How many bits a name sets.
const HASHES: u32 = 3;

/// A set of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// A power of two of bytes.
    bits: Vec<u8>,
}

impl Default for Names {
    fn default() -> Self {
        Self { bits: vec![0; MOST_BITS / 8] }
    }
}

impl Names {
    /// Adds a name, without regard to upper and lower case.
    pub fn insert(&mut self, name: &str) {
        for (byte, bit) in places(name, self.bits.len()) {
            if let Some(byte) = self.bits.get_mut(byte) {
                *byte |= bit;
            }
        }
    }

    /// Whether a name may be in it. `false` is certain.
    ///
    /// ```
    /// let mut names = audit_core::entry::names::Names::default();
    /// names.insert("juliet@example.com");
    /// let read = audit_core::entry::names::Names::read(&names.written().unwrap()).unwrap();
    /// assert!(read.may_contain("juliet@example.com") && !read.may_contain("romeo@example.com"));
    /// ```
    #[must_use]
    pub fn may_contain(&self, name: &str) -> bool {
        places(name, self.bits.len()).all(|(byte, bit)| self.bits.get(byte).is_some_and(|set| set & bit != 0))
    }

    /// Adds all that another one has.
    pub fn absorb(&mut self, other: &Self) {
        let length = other.bits.len().max(1);
        for (index, byte) in self.bits.iter_mut().enumerate() {
            // A shorter one stands for one in which it is repeated: the places of a name are taken modulo its length.
            *byte |= other.bits.get(index % length).copied().unwrap_or(u8::MAX);
        }
    }

    /// As text, as short as it can be without admitting many more; `None` if it would admit nearly everything.
    #[must_use]
    pub fn written(&self) -> Option<String> {
        let mut bits = self.bits.clone();
        if set(&bits) * 10 > bits.len() * 8 * 9 {
            return None;
        }
        while bits.len() * 8 > LEAST_BITS {
            let (low, high) = bits.split_at(bits.len() / 2);
            let half: Vec<u8> = low.iter().zip(high).map(|(a, b)| a | b).collect();
            if set(&half) * 4 > half.len() * 8 {
                break;
            }
            bits = half;
        }
        Some(STANDARD_NO_PAD.encode(&bits))
    }

    /// Reads what [`written`](Self::written) returned; `None` if it is something else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > MOST_BITS / 8 * 4 / 3 + 4 {
            return None;
        }
        let bits = STANDARD_NO_PAD.decode(text).ok()?;
        (bits.len().is_power_of_two() && (LEAST_BITS / 8..=MOST_BITS / 8).contains(&bits.len())).then_some(Self { bits })
    }

    /// The same, large enough that names can be added.
    #[must_use]
    pub fn grown(&self) -> Self {
        let mut grown = Self::default();
        grown.absorb(self);
        grown
    }
}

fn set(bits: &[u8]) -> usize {
    bits.iter().map(|byte| byte.count_ones() as usize).sum()
}

/// Where the bits of a name are: bytes, and a bit in each.
fn places(name: &str, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let is_lower = name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    let hash = mixed(if is_lower { fnv(name.as_bytes()) } else { fnv(name.to_lowercase().as_bytes()) });
    let (first, step) = (hash & 0xffff_ffff, (hash >> 32) | 1);
    let last_bit = (bytes as u64).saturating_mul(8).saturating_sub(1);
    (0..u64::from(HASHES)).map(move |number| {
        #[allow(clippy::cast_possible_truncation)] // At most 2^14.
        let place = (first.wrapping_add(number.wrapping_mul(step)) & last_bit) as usize;
        (place / 8, 1_u8 << (place % 8))
    })
}

/// FNV-1a.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The last step of `MurmurHash3`: each bit depends on all.
pub(crate) const fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(names: &[String]) -> Names {
        let mut set = Names::default();
        names.iter().for_each(|name| set.insert(name));
        set
    }

    fn share(set: &Names) -> f64 {
        let admitted = (0..10_000).filter(|n| set.may_contain(&format!("other{n}@example.net"))).count();
        admitted as f64 / 10_000.0
    }

    #[test]
    fn it_is_as_long_as_it_needs_to_be() {
        for (count, longest, most) in [(0, 90, 0.0), (30, 90, 0.02), (300, 700, 0.02), (1000, 2740, 0.02), (4000, 2740, 0.2)] {
            let names: Vec<String> = (0..count).map(|n| format!("user{n}@example.com")).collect();
            let text = of(&names).written().unwrap();
            assert!(text.len() <= longest, "{count}: {}", text.len());
            let admitted = share(&Names::read(&text).unwrap());
            assert!(admitted <= most, "{count}: {admitted}");
        }
        let names: Vec<String> = (0..30_000).map(|n| format!("user{n}@example.com")).collect();
        assert_eq!(of(&names).written(), None, "it would admit everything");
    }

    #[test]
    fn what_is_no_set_is_not_read() {
        for text in ["", "A", "AAAA", "====", &"A".repeat(87), &"é".repeat(43), &"A".repeat(100_000)] {
            assert_eq!(Names::read(text), None, "{text}");
        }
        assert!(Names::read(&"A".repeat(86)).is_some());
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        // A set that was stored by a version before this one.
        let names = ["juliet@example.com".to_owned(), "romeo@example.com".to_owned()];
        assert_eq!(of(&names).written().unwrap(), STORED);
    }

    const STORED: &str = "AAAAAAABAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAAACAAAAgAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAQAAAAAAA";

    proptest! {
        #[test]
        fn no_name_that_is_in_it_is_denied(names in prop::collection::vec(".{0,30}", 0..600), more in prop::collection::vec("[a-z]{1,8}", 0..50)) {
            let set = of(&names);
            let read = Names::read(&set.written().unwrap()).unwrap();
            prop_assert!(names.iter().all(|name| set.may_contain(name) && read.may_contain(name) && read.may_contain(&name.to_lowercase())));
            // It goes on in another process, and is merged.
            let mut grown = read.grown();
            more.iter().for_each(|name| grown.insert(name));
            let mut merged = of(&more);
            merged.absorb(&read);
            for set in [grown, merged] {
                let read = Names::read(&set.written().unwrap()).unwrap();
                prop_assert!(names.iter().chain(&more).all(|name| read.may_contain(name)));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = Names::read(&text);
        }
    }
}
