//! An element in fewer bytes, as our own driver keeps it: what is often in an entry is a number, and what is written in digits is
//! binary. Everything else stands there as it is, so any element can be kept, and is read back byte for byte.
//!
//! The form that [`payload`](super::payload) describes is a row of pieces: a mark, and what follows it up to the next one. Here each
//! piece, or a few together, is a code of one byte and what the table below says.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::entry::words::WORDS;

/// A piece that is only a mark: the end of an element.
const END: u8 = 0;
/// The first of the codes of other pieces, which are their marks. The length of the text follows, and the text.
const LITERAL: u8 = 1;
/// A value or a text that is a UUID: 16 bytes.
const UUID: [u8; 2] = [5, 6];
/// A value of a few letters and an even number of hexadecimal digits: both lengths in one byte, the letters, the digits as bytes.
const HEX: u8 = 7;
/// A text that is an IPv4 address: 4 bytes; the same with the length of a prefix: 5 bytes; an IPv6 address: 16 bytes.
const IPV4: u8 = 8;
const NETWORK: u8 = 9;
const IPV6: u8 = 10;
/// The end of an element with a text behind it, which damaged bytes may have. Its length follows, and the text.
const END_WITH_TEXT: u8 = 11;
/// A value that is 16 or 32 bytes in base64url (RFC 4648 §5, without padding): the bytes.
const BASE64: [(u8, usize); 2] = [(12, 16), (13, 32)];
/// The first of the words. The codes before it that are not in this table are free.
const WORD: u8 = 16;

const VALUE_MARK: u8 = 3;
const TEXT_MARK: u8 = 4;
const END_MARK: u8 = 5;

const fn is_mark(byte: u8) -> bool {
    matches!(byte, 1..=END_MARK)
}

/// A word, and its place in the list.
type Word = (&'static [u8], usize);

/// The words by their first pieces, the longest first.
static BY_PIECE: LazyLock<HashMap<&'static [u8], Vec<Word>>> = LazyLock::new(|| {
    let mut words: HashMap<&[u8], Vec<Word>> = HashMap::new();
    for (place, word) in WORDS.iter().enumerate() {
        let word = word.as_bytes();
        words.entry(piece_of(word)).or_default().push((word, place));
    }
    words.values_mut().for_each(|list| list.sort_by_key(|(word, _)| std::cmp::Reverse(word.len())));
    words
});

/// The first piece of what begins with a mark.
fn piece_of(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().skip(1).position(|byte| is_mark(*byte)).map_or(bytes.len(), |behind| behind.saturating_add(1));
    bytes.get(..end).unwrap_or_default()
}

/// An element in fewer bytes. Returns `None` if that is not possible.
#[must_use]
pub fn pack(element: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(element.len() / 2);
    let mut rest = element;
    while let Some(mark) = rest.first().copied() {
        if !is_mark(mark) {
            return None;
        }
        let piece = piece_of(rest);
        let is_whole = |word: &[u8]| rest.starts_with(word) && rest.get(word.len()).is_none_or(|byte| is_mark(*byte));
        let word = BY_PIECE.get(piece).and_then(|words| words.iter().find(|(word, _)| is_whole(word)));
        let length = match word {
            Some((word, place)) => {
                packed.push(WORD.checked_add(u8::try_from(*place).ok()?)?);
                word.len()
            }
            None => {
                pack_piece(mark, piece.get(1..).unwrap_or_default(), &mut packed);
                piece.len()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    (packed.len() < element.len()).then_some(packed)
}

fn pack_piece(mark: u8, content: &[u8], packed: &mut Vec<u8>) {
    if mark == END_MARK && content.is_empty() {
        packed.push(END);
        return;
    }
    let text = std::str::from_utf8(content).unwrap_or_default();
    let is_short = match mark {
        VALUE_MARK => pack_uuid(mark, text, packed) || pack_hex(text, packed) || pack_base64(text, packed),
        TEXT_MARK => pack_uuid(mark, text, packed) || pack_address(text, packed),
        _ => false,
    };
    if !is_short {
        packed.push(if mark == END_MARK { END_WITH_TEXT } else { mark });
        pack_length(content.len(), packed);
        packed.extend_from_slice(content);
    }
}

fn pack_length(length: usize, packed: &mut Vec<u8>) {
    let mut rest = length;
    while rest > 0x7f {
        packed.push(0x80 | u8::try_from(rest & 0x7f).unwrap_or_default());
        rest >>= 7;
    }
    packed.push(u8::try_from(rest).unwrap_or_default());
}

fn pack_uuid(mark: u8, text: &str, packed: &mut Vec<u8>) -> bool {
    let Some(uuid) = Uuid::try_parse(text).ok().filter(|uuid| uuid.hyphenated().encode_lower(&mut [0; 36]) == text) else { return false };
    packed.extend(UUID.get(usize::from(mark == TEXT_MARK)));
    packed.extend_from_slice(uuid.as_bytes());
    true
}

fn pack_hex(text: &str, packed: &mut Vec<u8>) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    let mut count = text.bytes().rev().take(30).take_while(|byte| is_hex(*byte)).count();
    count -= count % 2;
    let (letters, digits) = text.split_at(text.len().saturating_sub(count));
    let (Ok(before), Ok(bytes)) = (u8::try_from(letters.len()), u8::try_from(count / 2)) else { return false };
    if before > 15 || bytes < 2 {
        return false;
    }
    packed.push(HEX);
    packed.push(before << 4 | bytes);
    packed.extend_from_slice(letters.as_bytes());
    packed.extend(digits.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | value_of(*digit))));
    true
}

fn pack_base64(text: &str, packed: &mut Vec<u8>) -> bool {
    // So long are 16 and 32 bytes.
    if !matches!(text.len(), 22 | 43) {
        return false;
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else { return false };
    let Some((code, _)) = BASE64.iter().find(|(_, length)| *length == bytes.len()) else { return false };
    packed.push(*code);
    packed.extend_from_slice(&bytes);
    true
}

const fn value_of(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit.wrapping_sub(b'0') } else { digit.wrapping_sub(b'a').wrapping_add(10) }
}

fn pack_address(text: &str, packed: &mut Vec<u8>) -> bool {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    if let Ok(address) = address.parse::<Ipv4Addr>() {
        let length = prefix.map(|prefix| prefix.parse::<u8>().ok().filter(|length| length.to_string() == prefix));
        match length {
            None => packed.push(IPV4),
            Some(Some(_)) => packed.push(NETWORK),
            Some(None) => return false,
        }
        packed.extend(address.octets());
        packed.extend(length.flatten());
        return true;
    }
    match address.parse::<Ipv6Addr>() {
        Ok(address) if prefix.is_none() && address.to_string() == text => {
            packed.push(IPV6);
            packed.extend(address.octets());
            true
        }
        _ => false,
    }
}

/// Reads what [`pack`] made, and adds the element. Returns `None` if it is damaged.
#[must_use]
pub fn unpack(packed: &[u8], element: &mut Vec<u8>) -> Option<()> {
    let mut rest = Rest(packed);
    while let Some(code) = rest.byte() {
        match code {
            END => element.push(END_MARK),
            LITERAL..END_MARK | END_WITH_TEXT => {
                element.push(if code == END_WITH_TEXT { END_MARK } else { code });
                let length = rest.length()?;
                element.extend_from_slice(rest.take(length)?);
            }
            5 | 6 => {
                element.push(if code == 5 { VALUE_MARK } else { TEXT_MARK });
                let uuid = Uuid::from_slice(rest.take(16)?).ok()?;
                element.extend_from_slice(uuid.hyphenated().encode_lower(&mut [0; 36]).as_bytes());
            }
            HEX => {
                let lengths = rest.byte()?;
                element.push(VALUE_MARK);
                element.extend_from_slice(rest.take(usize::from(lengths >> 4))?);
                let digits = rest.take(usize::from(lengths & 15))?;
                element.extend(digits.iter().flat_map(|byte| [digit_of(byte >> 4), digit_of(byte & 15)]));
            }
            IPV4 | NETWORK => {
                element.push(TEXT_MARK);
                let octets: [u8; 4] = rest.take(4)?.try_into().ok()?;
                element.extend_from_slice(Ipv4Addr::from(octets).to_string().as_bytes());
                if code == NETWORK {
                    element.extend_from_slice(format!("/{}", rest.byte()?).as_bytes());
                }
            }
            IPV6 => {
                element.push(TEXT_MARK);
                let octets: [u8; 16] = rest.take(16)?.try_into().ok()?;
                element.extend_from_slice(Ipv6Addr::from(octets).to_string().as_bytes());
            }
            12 | 13 => {
                element.push(VALUE_MARK);
                let (_, length) = BASE64.iter().find(|(known, _)| *known == code)?;
                element.extend_from_slice(URL_SAFE_NO_PAD.encode(rest.take(*length)?).as_bytes());
            }
            WORD.. => element.extend_from_slice(WORDS.get(usize::from(code - WORD))?.as_bytes()),
            _ => return None,
        }
    }
    Some(())
}

const fn digit_of(value: u8) -> u8 {
    if value < 10 { b'0'.wrapping_add(value) } else { b'a'.wrapping_add(value).wrapping_sub(10) }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn length(&mut self) -> Option<usize> {
        let (mut length, mut shift) = (0_usize, 0_u32);
        loop {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift = shift.saturating_add(7);
            if byte < 0x80 {
                return Some(length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed_and_read(element: &[u8]) -> usize {
        let Some(packed) = pack(element) else { return element.len() };
        let mut read = Vec::new();
        assert!(unpack(&packed, &mut read).is_some());
        assert_eq!(read, element);
        packed.len()
    }

    #[test]
    fn an_entry_takes_a_fraction_of_its_bytes() {
        let entry = "\u{1}audit-event\u{2}source\u{3}mod_audit_auth\u{2}type\u{3}authentication-success\u{2}user\u{3}juliet@example.com\
            \u{2}xmpp:prosody.im/audit\u{6}id\u{3}01a20e7e-d2b8-75d1-8370-6296c154b976\u{1}session\u{2}xmlns\u{3}xmpp:prosody.im/audit\
            \u{2}id\u{3}c2s55904800b230\u{2}type\u{3}c2s\u{1}remote-ip\u{4}203.0.113.80\u{5}\u{1}location\u{2}country\u{3}DE\u{2}continent\
            \u{3}EU\u{4}Germany\u{5}\u{1}client\u{4}d4565fa7-4d72-4749-b3d3-740edbf87770\u{5}\u{5}\u{5}";
        assert_eq!((entry.len(), packed_and_read(entry.as_bytes())), (325, 89));
    }

    #[test]
    fn each_word_has_a_code_and_is_there_once() {
        for word in WORDS {
            let code = pack(word.as_bytes()).unwrap();
            assert_eq!(code.len(), 1, "{word:?}");
            assert_eq!(packed_and_read(word.as_bytes()), code.len());
        }
        assert_eq!(WORDS.iter().collect::<std::collections::HashSet<_>>().len(), WORDS.len());
    }

    /// Files have these codes.
    #[test]
    fn codes_do_not_change() {
        let words: Vec<u8> = WORDS.iter().flat_map(|word| word.bytes().chain([b'\n'])).collect();
        assert_eq!((WORDS.len(), crc32fast::hash(&words)), (230, 2_389_428_008));
        let literal = |mark: u8, text: &str| [&[mark, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let id = [HEX, 0x36, b'c', b'2', b's', 0x55, 0x90, 0x48, 0, 0xb2, 0x30];
        let addresses = [IPV4, 192, 0, 2, 1, NETWORK, 192, 0, 2, 0, 24];
        let ipv6 = [&[IPV6][..], &[0; 15], &[1]].concat();
        for (element, packed) in [
            (&b"\x03c2s55904800b230\x03c2s0ff\x05"[..], [&id[..], &literal(3, "c2s0ff"), &[END]].concat()),
            (b"\x04192.0.2.1\x04192.0.2.0/24\x04192.0.2.0/024", [&addresses[..], &literal(4, "192.0.2.0/024")].concat()),
            (b"\x03juliet\x04::1\x01audit-event\x05", [&literal(3, "juliet")[..], &ipv6, &[20, END]].concat()),
        ] {
            let is_shorter = packed.len() < element.len();
            assert_eq!(pack(element), is_shorter.then(|| packed.clone()), "{element:?}");
            let mut read = Vec::new();
            assert!(unpack(&packed, &mut read).is_some());
            assert_eq!(read, element);
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let packed = pack(b"\x01some-name\x02id\x03c2s55904800b230\x0401a20e7e-d2b8-75d1-8370-6296c154b976\x04::1\x05").unwrap();
        for end in 0..packed.len() {
            // A code is whole only at the end of a piece.
            let mut read = Vec::new();
            let whole = unpack(packed.get(..end).unwrap(), &mut read).is_some();
            assert!(!whole || pack(&read).is_none_or(|again| packed.starts_with(&again)), "{end}");
        }
        for bad in [&[12][..], &[255], &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], &[HEX], &[5, 1]] {
            assert_eq!(unpack(bad, &mut Vec::new()), None, "{bad:?}");
        }
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::sample::select(WORDS.to_vec()).prop_map(|word| word.as_bytes().to_vec());
        let texts = "[a-f0-9]{0,8}|c2s[0-9a-f]{0,16}|[0-9]{1,3}\\.0\\.0\\.[0-9]{1,3}(/[0-9]{1,3})?|::[0-9a-f]{1,4}|[a-zé\\x00\\x06]{0,200}\
            |[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
        let other = (1..=5_u8, texts).prop_map(|(mark, text)| [&[mark], text.as_bytes()].concat());
        prop_oneof![words, other, prop::collection::vec(any::<u8>(), 0..6)]
    }

    proptest! {
        #[test]
        fn whatever_is_packed_is_read_back(pieces in prop::collection::vec(piece(), 0..30)) {
            packed_and_read(&pieces.concat());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = unpack(&bytes, &mut Vec::new());
        }
    }
}
