//! The records of a segment: encoding, and reading them in order while skipping damaged ones.

use std::io::{self, Read};

/// The largest payload, in bytes.
pub const PAYLOAD: usize = 64 * 1024;

/// The size of a record's header: marker, checksum, length, kind and sequence.
pub(super) const HEADER: usize = 21;

/// The first bytes of a record. They never occur in UTF-8 text. So text from a user can't be taken for a record if the record around
/// it is damaged.
pub(super) const MARKER: [u8; 4] = [0xff, b'P', b'A', 0xfe];

/// How many bytes are read at a time. A record always fits.
const CHUNK: usize = 128 * 1024;

/// The kind of a record, with its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// Its payload is the entry with this sequence.
    Entry(u64),
    /// All entries before this sequence were taken by the store.
    Acknowledgement(u64),
    /// Its payload says where the chains of the host have got to, see [`Links`](super::Links). The number is not used.
    Heads,
}

/// A record, with its offset in the file.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) kind: RecordKind,
    pub(super) offset: u64,
    pub(super) payload: &'a [u8],
}

/// Encodes a record into `record`, replacing its content.
pub(super) fn encode(record: &mut Vec<u8>, kind: RecordKind, payload: &[u8]) {
    record.clear();
    encode_behind(record, kind, payload);
}

/// Encodes a record behind the content of `records`.
pub(super) fn encode_behind(records: &mut Vec<u8>, kind: RecordKind, payload: &[u8]) {
    let (letter, sequence) = match kind {
        RecordKind::Entry(sequence) => (b'e', sequence.to_le_bytes()),
        RecordKind::Acknowledgement(sequence) => (b'a', sequence.to_le_bytes()),
        RecordKind::Heads => (b'h', [0; 8]),
    };
    // The caller has refused payloads larger than PAYLOAD.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let begin = records.len();
    for part in [&MARKER[..], &[0; 4], &length, &[letter], &sequence, payload] {
        records.extend_from_slice(part);
    }
    if let Some((header, checked)) = records.get_mut(begin..).and_then(<[u8]>::split_first_chunk_mut::<8>) {
        let [_, _, _, _, checksum @ ..] = header;
        *checksum = crc32fast::hash(checked).to_le_bytes();
    }
}

/// Decodes a record. Returns `None` if `bytes` is anything else than exactly one whole record.
pub(super) fn decode(bytes: &[u8]) -> Option<(RecordKind, &[u8])> {
    match look(bytes) {
        RecordStart::Record { kind, length } if HEADER.checked_add(length) == Some(bytes.len()) => Some((kind, bytes.get(HEADER..)?)),
        _ => None,
    }
}

/// What the first of some bytes are.
enum RecordStart {
    Record {
        kind: RecordKind,
        length: usize,
    },
    /// The beginning of a record that needs more bytes.
    Part,
    Damage,
}

fn look(bytes: &[u8]) -> RecordStart {
    if !bytes.iter().zip(MARKER).all(|(byte, expected)| *byte == expected) {
        return RecordStart::Damage;
    }
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return RecordStart::Part;
    };
    let [_, _, _, _, c0, c1, c2, c3, l0, l1, l2, l3, letter, sequence @ ..] = *header;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let sequence = u64::from_le_bytes(sequence);
    let kind = match letter {
        // The highest number is not used, because there must be a next one.
        b'e' if length <= PAYLOAD && sequence < u64::MAX => RecordKind::Entry(sequence),
        b'a' if length == 0 => RecordKind::Acknowledgement(sequence),
        b'h' if length <= PAYLOAD => RecordKind::Heads,
        _ => return RecordStart::Damage,
    };
    let Some(checked) = bytes.get(8..HEADER.saturating_add(length)) else {
        return RecordStart::Part;
    };
    if crc32fast::hash(checked) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return RecordStart::Damage;
    }
    RecordStart::Record { kind, length }
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    Whole,
    /// With an incomplete record: the process crashed while writing it, or it is being written now.
    Torn,
    Damaged,
}

/// Reads the records of a segment in order. Uses a few hundred KiB of memory at most.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    ended: bool,
    tail: Tail,
    damaged: u64,
    /// The number of damaged records up to the first one that reaches beyond the end, as long as no whole record follows it.
    torn: Option<u64>,
}

impl<R: Read> Records<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), start: 0, offset: 0, ended: false, tail: Tail::Whole, damaged: 0, torn: None }
    }

    /// Returns the next whole record, or `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        let (kind, length) = loop {
            match look(self.rest()) {
                RecordStart::Record { kind, length } => break (kind, length),
                RecordStart::Part if !self.ended => self.fill()?,
                RecordStart::Part if self.rest().is_empty() => {
                    // Any markers after its beginning were part of its payload.
                    if let Some(damaged) = self.torn {
                        (self.damaged, self.tail) = (damaged, Tail::Torn);
                    }
                    return Ok(None);
                }
                RecordStart::Part => {
                    self.torn = self.torn.or(self.damaged.checked_add(1));
                    self.skip();
                }
                RecordStart::Damage => self.skip(),
            }
        };
        (self.tail, self.torn) = (Tail::Whole, None);
        let (offset, begin) = (self.offset, self.start.saturating_add(HEADER));
        self.consume(HEADER.saturating_add(length));
        let payload = self.buffer.get(begin..self.start).unwrap_or_default();
        Ok(Some(Record { kind, offset, payload }))
    }

    /// The number of damaged records so far. The bytes between two markers, or between two records, count as one.
    pub(super) const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// How the segment ends. Only known once the end is reached.
    pub(super) const fn tail(&self) -> Tail {
        self.tail
    }

    /// The number of bytes that were read so far.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes);
        self.offset = self.offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        let read = (&mut self.input).take(u64::try_from(CHUNK).unwrap_or(u64::MAX)).read_to_end(&mut self.buffer)?;
        // If the file grows while it is read, the end is still here.
        self.ended = read < CHUNK;
        Ok(())
    }

    /// Skips to the next position at which a record may begin.
    fn skip(&mut self) {
        let rest = self.rest();
        let counts = self.tail == Tail::Whole || rest.starts_with(&MARKER);
        let after = rest.get(1..).unwrap_or_default();
        let next = after.windows(MARKER.len()).position(|bytes| bytes == MARKER);
        // The last bytes may be the beginning of a marker whose rest has not been read yet.
        let kept = if self.ended { 0 } else { MARKER.len().saturating_sub(1) };
        let skipped = next.unwrap_or_else(|| after.len().saturating_sub(kept)).saturating_add(1);
        self.damaged = self.damaged.saturating_add(u64::from(counts));
        self.tail = Tail::Damaged;
        self.consume(skipped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(sequence: u64, payload: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        encode(&mut record, RecordKind::Entry(sequence), payload);
        record
    }

    fn acknowledgement(payload: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        encode(&mut record, RecordKind::Acknowledgement(7), payload);
        record
    }

    fn read(input: impl Read) -> (Vec<u64>, u64, Tail) {
        let mut records = Records::new(input);
        let mut sequences = Vec::new();
        while let Some(record) = records.next().unwrap() {
            if let RecordKind::Entry(sequence) = record.kind {
                sequences.push(sequence);
            }
        }
        (sequences, records.damaged(), records.tail())
    }

    #[test]
    fn what_is_damaged_is_skipped_and_counted() {
        let (one, two, three) = (entry(1, b"one"), entry(2, b"two"), entry(3, b"three"));
        let with = |record: &[u8], at: usize, byte: u8| {
            let mut record = record.to_vec();
            record[at] = byte;
            [&one[..], &record, &three].concat()
        };
        let rows = [
            ("nothing", Vec::new(), vec![], 0, Tail::Whole),
            ("whole", [&one[..], &two, &three].concat(), vec![1, 2, 3], 0, Tail::Whole),
            ("no marker", with(&two, 0, b'x'), vec![1, 3], 1, Tail::Whole),
            ("checksum", with(&two, 5, 0), vec![1, 3], 1, Tail::Whole),
            ("length past the end", with(&two, 9, 0x70), vec![1, 3], 1, Tail::Whole),
            ("length past what a record may have", with(&two, 11, 0x70), vec![1, 3], 1, Tail::Whole),
            ("kind", with(&two, 12, b'x'), vec![1, 3], 1, Tail::Whole),
            ("sequence", with(&two, 13, 9), vec![1, 3], 1, Tail::Whole),
            ("payload", with(&two, HEADER, b'x'), vec![1, 3], 1, Tail::Whole),
            ("two side by side", [&one[..], &two[..9], &two[..10], &three].concat(), vec![1, 3], 2, Tail::Whole),
            ("zeros of a power cut", [&one[..], &[0; 5000]].concat(), vec![1], 1, Tail::Damaged),
            ("torn in the header", [&one[..], &two[..2]].concat(), vec![1], 1, Tail::Torn),
            ("torn in the payload", [&one[..], &two[..HEADER + 1]].concat(), vec![1], 1, Tail::Torn),
            ("damaged, then torn", [&one[..7], &two, &three[..9]].concat(), vec![2], 2, Tail::Torn),
            ("torn before a marker in its payload", entry(1, &MARKER.repeat(9))[..40].to_vec(), vec![], 1, Tail::Torn),
            ("no record at all", b"<audit-event/>".to_vec(), vec![], 1, Tail::Damaged),
            ("the last sequence", [&entry(u64::MAX, b"x")[..], &one].concat(), vec![1], 1, Tail::Whole),
            ("an acknowledgement with a payload", [&acknowledgement(b"x")[..], &one].concat(), vec![1], 1, Tail::Whole),
            ("an acknowledgement", [&acknowledgement(b"")[..], &one].concat(), vec![1], 0, Tail::Whole),
        ];
        for (name, bytes, sequences, damaged, tail) in rows {
            assert_eq!(read(&bytes[..]), (sequences, damaged, tail), "{name}");
        }
    }

    #[test]
    fn a_record_is_found_wherever_a_chunk_ends() {
        for junk in CHUNK - 2 * HEADER..CHUNK + 8 {
            let bytes = [vec![b'x'; junk], entry(1, b"one"), entry(2, &[b'y'; PAYLOAD])].concat();
            assert_eq!(read(&bytes[..]), (vec![1, 2], 1, Tail::Whole), "{junk}");
        }
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(sequence in 0..u64::MAX, payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let record = entry(sequence, &payload);
            prop_assert_eq!(decode(&record), Some((RecordKind::Entry(sequence), &payload[..])));
            prop_assert_eq!(decode(&record[..record.len() - 1]), None);
            let longer = [&record[..], b"x"].concat();
            prop_assert_eq!(decode(&longer), None);
        }

        #[test]
        fn any_flipped_bit_is_seen(payload in prop::collection::vec(any::<u8>(), 0..40), bit in any::<prop::sample::Index>()) {
            let mut record = entry(7, &payload);
            let bit = bit.index(record.len() * 8);
            record[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&record), None);
        }
    }
}
