//! Secrets that are shown once, and the hashes that are kept of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::random::Random;

/// What is kept of a secret. A secret has 256 random bits, so that a plain hash of it can't be reversed by trying.
pub(super) type Hash = [u8; 32];

/// A new secret. `None` if the system has no random numbers.
pub(super) fn new(random: &dyn Random) -> Option<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(bytes.as_mut_slice()).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

/// The hash of a secret.
pub(super) fn hash(secret: &str) -> Hash {
    Sha256::digest(secret).into()
}

/// Whether two texts are the same, in a time that does not depend on where they differ.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (hash(one), hash(other));
    one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    #[test]
    fn a_secret_can_be_part_of_an_address_and_is_never_the_same() {
        let (one, other) = (new(&OsRandom).unwrap(), new(&OsRandom).unwrap());
        assert!(one.len() == 43 && one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{one}");
        assert!(one != other && hash(&one) != hash(&other));
        assert!(is_same(&one, &one.clone()) && !is_same(&one, &other) && !is_same(&one, ""));
    }
}
