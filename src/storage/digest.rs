//! The terms of neighbouring items in few bytes: a Bloom filter. It never denies a term that they have.

/// How many bits each term has room for, and how many of them it sets. Of a thousand terms that are not there, one is admitted.
const ROOM: usize = 16;
const PROBES: u32 = 6;

/// A digest of terms. They are sorted, and those that are there twice are removed.
pub(super) fn digest(terms: &mut Vec<u64>) -> Vec<u8> {
    terms.sort_unstable();
    terms.dedup();
    let mut digest = vec![0; terms.len().saturating_mul(ROOM).div_ceil(8).max(1)];
    for term in terms {
        for (byte, bit) in places(*term, digest.len()) {
            if let Some(byte) = digest.get_mut(byte) {
                *byte |= bit;
            }
        }
    }
    digest
}

/// Whether a term may be in a digest. `false` is certain. An empty digest is one of unknown terms.
pub(super) fn may_have(digest: &[u8], term: u64) -> bool {
    places(term, digest.len()).all(|(byte, bit)| digest.get(byte).is_none_or(|byte| byte & bit != 0))
}

/// Where the bits of a term are: bytes, and a bit in each.
fn places(term: u64, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let (first, step) = (term & 0xffff_ffff, (term >> 32) | 1);
    let bits = (bytes as u64).saturating_mul(8);
    (0..u64::from(PROBES)).map(move |number| {
        let at = first.wrapping_add(number.wrapping_mul(step)) & 0xffff_ffff;
        #[allow(clippy::cast_possible_truncation)] // Below the number of bits.
        let place = (at.wrapping_mul(bits) >> 32) as usize;
        (place / 8, 1_u8 << (place % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as hashes are.
    fn terms(count: u64, seed: u64) -> Vec<u64> {
        (0..count).map(|n| (n + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)).collect()
    }

    #[test]
    fn no_term_is_denied_and_few_are_admitted() {
        for count in [1, 7, 100, 500] {
            let mut own = terms(count, 0);
            let digest = digest(&mut own);
            assert!(own.iter().all(|term| may_have(&digest, *term)));
            assert_eq!(digest.len() as u64, count * 2);
            let admitted = terms(10_000, 1_000_000).iter().filter(|term| may_have(&digest, **term)).count();
            assert!(admitted < 50, "{admitted} of {count}");
        }
    }

    #[test]
    fn what_is_unknown_is_not_denied() {
        assert!(may_have(&[], 7) && !may_have(&digest(&mut Vec::new()), 7));
    }
}
