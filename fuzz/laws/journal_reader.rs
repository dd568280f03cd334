//! The laws of a journal with arbitrary bytes in its segment. The fuzz target and a property test share them.

use std::fs;
use std::path::Path;

use audit_core::journal::{Appended, Journal, Limits, PendingEntry, read_pending};

/// Checks the laws for `bytes`, and for the same bytes with correct checksums, which a search would not find.
pub(crate) fn check(folder: &Path, bytes: &[u8]) {
    check_segment(folder, bytes);
    check_segment(folder, &with_checksums(bytes));
}

fn check_segment(folder: &Path, bytes: &[u8]) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    let base = folder.join("audit");
    fs::write(folder.join("audit.0000000000000000"), bytes).unwrap();

    // A reader changes nothing, and sees the same as the owner.
    let (seen, _) = read_pending(&base).unwrap();
    assert_eq!(fs::read(folder.join("audit.0000000000000000")).unwrap(), bytes);
    assert!(seen.is_sorted_by(|(one, _), (next, _)| one < next));
    let mut journal = Journal::open(&base, Limits::default(), 0.0).unwrap();
    assert_eq!(contents(&mut journal), seen);
    assert!(journal.trouble().is_none());

    // New entries are added after what there is, unless the sequence numbers are used up.
    if journal.end() < u64::MAX - 4 {
        let end = journal.end();
        let mut expected = seen;
        for content in [&b"one"[..], b"", bytes.get(..bytes.len().min(999)).unwrap_or_default()] {
            let Appended::Durable(sequence) = journal.append(content, "test", 0.0) else { panic!("{:?}", journal.trouble()) };
            assert!(sequence >= end);
            expected.push((sequence, content.to_vec()));
        }
        assert_eq!(read_pending(&base).unwrap().0, expected);
        journal.close();
        journal = Journal::open(&base, Limits::default(), 0.0).unwrap();
        assert_eq!(contents(&mut journal), expected);
    } else {
        let _ = journal.append(b"one", "test", 0.0);
    }

    // All of it can be released.
    let end = journal.end();
    journal.release(end);
    journal.release(u64::MAX);
    assert!(journal.is_empty());
    journal.close();
    let journal = Journal::open(&base, Limits::default(), 0.0).unwrap();
    assert!(journal.is_empty() || end == u64::MAX);
    assert!(journal.end() >= end);
}

fn contents(journal: &mut Journal) -> Vec<PendingEntry> {
    let sequences: Vec<u64> = journal.pending(0).collect();
    sequences.into_iter().map(|sequence| (sequence, journal.get(sequence).unwrap().unwrap())).collect()
}

/// The same bytes, with a correct checksum wherever a record may be.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(rest) = bytes.get_mut(at..) {
        let Some(begin) = rest.windows(4).position(|four| four == b"\xffPA\xfe") else { break };
        let record = &mut rest[begin..];
        let mut end = 4;
        if let Some(length) = record.get(8..12) {
            let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
            if let Some(checked) = record.get(8..length.saturating_add(21)) {
                let checksum = crc32fast::hash(checked).to_le_bytes();
                record[4..8].copy_from_slice(&checksum);
                end = length + 21;
            }
        }
        at += begin + end;
    }
    bytes
}
