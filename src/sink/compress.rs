//! Bodies of HTTP requests, compressed (RFC 9110 §8.4.1.3).

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The bytes as a gzip file.
///
/// # Errors
///
/// Never, as memory takes everything.
///
/// ```
/// use audit_core::sink::compress::gzip;
/// let compressed = gzip(&[b'a'; 1000])?;
/// assert!(compressed.starts_with(&[0x1f, 0x8b]) && compressed.len() < 100);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // Entries are much alike, so more work would make them hardly shorter.
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_compressed_can_be_read_again(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let compressed = gzip(&bytes)?;
            let mut read = Vec::new();
            GzDecoder::new(compressed.as_slice()).read_to_end(&mut read)?;
            prop_assert_eq!(read, bytes);
        }
    }
}
