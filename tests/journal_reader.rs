//! The laws of the fuzz target `journal_reader`, for bytes from proptest.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[path = "../fuzz/laws/journal_reader.rs"]
mod laws;

use std::path::Path;

use proptest::prelude::*;

/// A piece of a segment.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    let sequence = prop_oneof![6 => 0..40u64, 1 => any::<u64>(), 1 => u64::MAX - 5..=u64::MAX];
    let length = prop_oneof![8 => 0..40u32, 1 => any::<u32>(), 1 => 65_530..65_540u32];
    let letter = prop_oneof![5 => Just(b'e'), 2 => Just(b'a'), 1 => any::<u8>()];
    let record = (any::<u32>(), length, letter, sequence, bytes(60)).prop_map(|(checksum, length, letter, sequence, payload)| {
        [&b"\xffPA\xfe"[..], &checksum.to_le_bytes(), &length.to_le_bytes(), &[letter], &sequence.to_le_bytes(), &payload].concat()
    });
    prop_oneof![1 => bytes(60), 5 => record, 1 => Just(vec![0; 300])]
}

proptest! {
    #[test]
    fn any_bytes_are_a_segment(pieces in prop::collection::vec(piece(), 0..20)) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-reader-{}", std::process::id()));
        laws::check(&folder, &pieces.concat());
        let _ = std::fs::remove_dir_all(&folder);
    }
}
