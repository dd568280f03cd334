//! Numbers of receipts.

use crate::random::Random;

/// Digits and letters that are not taken for one another.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// How many of them a number has: 50 random bits.
const LENGTH: usize = 10;

/// The number of an erasure. It is random, so nobody can tell from it whose data were erased.
///
/// # Errors
///
/// [`getrandom::Error`] if there are no random bytes.
pub fn receipt(random: &dyn Random) -> Result<String, getrandom::Error> {
    let mut bytes = [0; LENGTH];
    random.fill(&mut bytes)?;
    let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).map_or('0', |letter| char::from(*letter));
    let letters: String = bytes.iter().map(letter).collect();
    let (first, second) = letters.split_at(LENGTH / 2);
    Ok(format!("{first}-{second}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    #[test]
    fn each_receipt_has_another_number() {
        let (one, other) = (receipt(&OsRandom).unwrap(), receipt(&OsRandom).unwrap());
        assert_ne!(one, other);
        assert!(one.len() == 11 && one.chars().all(|letter| letter == '-' || LETTERS.contains(&(letter as u8))), "{one}");
    }
}
