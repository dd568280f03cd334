//! Signatures of request bodies, as the specification Standard Webhooks has them: the receiver knows who sent a body, and when.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// What a secret in base64 begins with.
const PREFIX: &str = "whsec_";
/// The shortest and longest secret, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a secret can't be used. The text names nothing of it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretError {
    /// It is too short or too long, or not what it begins like.
    #[error("the secret for signatures is not 24 to 64 bytes, or \"whsec_\" and as many bytes in base64")]
    Form,
}

/// The headers that sign a body: an id, which is the same when it is sent again; the time, in whole UNIX seconds; the signature.
///
/// # Errors
///
/// [`SecretError`] if the secret can't be used.
pub fn headers(secret: &[u8], body: &[u8], time: f64) -> Result<[(&'static str, String); 3], SecretError> {
    let key = key(secret)?;
    let id: String = Sha256::digest(body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let time = format!("{:.0}", time.floor().max(0.0));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SecretError::Form)?;
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(part);
    }
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    Ok([("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)])
}

fn key(secret: &[u8]) -> Result<Vec<u8>, SecretError> {
    let secret = secret.trim_ascii();
    let key = match secret.strip_prefix(PREFIX.as_bytes()) {
        Some(text) => STANDARD.decode(text).map_err(|_| SecretError::Form)?,
        None => secret.to_vec(),
    };
    if LENGTHS.contains(&key.len()) { Ok(key) } else { Err(SecretError::Form) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // Made with Python's hmac, from the key "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" in base64.
        let [id, time, signature] =
            headers(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", b"{\"test\": 2432232314}", 1_614_265_330.9).unwrap();
        assert_eq!(time.1, "1614265330");
        assert_eq!(id.1.len(), 32);
        assert_eq!(signature.1, "v1,Uf+gUTPhKFTzq9yW+lTlEk/uEVji6fRXn7GWNgdXU00=");
    }

    #[test]
    fn a_body_that_is_sent_again_has_the_same_id() {
        let sign = |body: &[u8], time| headers(b"0123456789abcdef01234567", body, time).unwrap();
        let ([first, ..], [again, ..], [other, ..]) = (sign(b"a", 1.0), sign(b"a", 2.0), sign(b"b", 1.0));
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert_ne!(sign(b"a", 1.0)[2], sign(b"a", 2.0)[2]);
    }

    #[test]
    fn a_secret_that_is_too_short_or_no_base64_is_refused() {
        for secret in ["", "short", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all, but long enough", &"x".repeat(65)] {
            assert_eq!(headers(secret.as_bytes(), b"", 0.0), Err(SecretError::Form), "{secret}");
        }
    }
}
