//! Text from outside, made fit for a store: valid XML 1.0, the same after every store, bounded in length.

use std::borrow::Cow;

use crate::entry::anchor;
use crate::entry::limits::{ATTRIBUTE, TEXT};

/// Stands at the end of a text that was cut.
const CUT: &str = "…";

/// How white space is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// An attribute value: every white space character becomes a space, as an XML parser would read it back.
    Attribute,
    /// Text of an element: tabs and newlines stay, a carriage return becomes a newline, as an XML parser would read it back.
    Text,
}

impl TextKind {
    /// The longest value of this kind, in bytes.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            Self::Attribute => ATTRIBUTE,
            Self::Text => TEXT,
        }
    }
}

/// Gives `bytes` as text that every store returns as it was given.
///
/// What is no UTF-8 and what is no character of XML 1.0 (<https://www.w3.org/TR/xml/#charsets>) becomes U+FFFD. So does the first colon of
/// what looks like an anchor: outputs have anchors that are looked for in any text, and nobody must be able to put one there.
/// A text over the limit of its kind is cut at a character and ends with `…`.
///
/// ```
/// use audit_core::entry::text::{TextKind, clean};
/// assert_eq!(clean(b"a\x00b", TextKind::Text), "a\u{fffd}b");
/// assert_eq!(clean(b"two\r\nlines", TextKind::Text), "two\nlines");
/// assert_eq!(clean(b"two\r\nlines", TextKind::Attribute), "two lines");
/// ```
#[must_use]
pub fn clean(bytes: &[u8], kind: TextKind) -> Cow<'_, str> {
    let limit = kind.limit();
    // More than the limit can't be kept, so a hostile megabyte isn't looked at either.
    let looked_at = bytes.get(..limit.saturating_add(4)).unwrap_or(bytes);
    if bytes.len() <= limit {
        // Nearly every text is printable ASCII, which is seen without looking at characters.
        let is_clean = |text: &&str| !anchor::is_in(bytes) && (is_printable(bytes) || text.chars().all(|c| is_kept(c, kind)));
        if let Some(text) = std::str::from_utf8(bytes).ok().filter(is_clean) {
            return Cow::Borrowed(text);
        }
    }
    let lossy = String::from_utf8_lossy(looked_at);
    let mut cleaned = String::with_capacity(looked_at.len());
    let mut characters = lossy.chars().peekable();
    while let Some(c) = characters.next() {
        let c = if c == '\r' {
            if characters.peek() == Some(&'\n') {
                characters.next();
            }
            '\n'
        } else {
            c
        };
        cleaned.push(replacement(c, kind));
    }
    if anchor::is_in(cleaned.as_bytes()) {
        cleaned = anchor::defused(&cleaned);
    }
    if bytes.len() > limit || cleaned.len() > limit {
        cut(&mut cleaned, limit);
    }
    Cow::Owned(cleaned)
}

/// Appends the result of [`clean`] for `bytes` to `text`.
pub(crate) fn append(text: &mut Vec<u8>, bytes: &[u8], kind: TextKind) {
    if bytes.len() <= kind.limit() && is_printable(bytes) && !anchor::is_in(bytes) {
        text.extend_from_slice(bytes);
    } else {
        text.extend_from_slice(clean(bytes, kind).as_bytes());
    }
}

/// Appends the result of [`clean_name`] for `bytes` to `text`.
pub(crate) fn append_name(text: &mut Vec<u8>, bytes: &[u8]) {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if bytes.len() <= ATTRIBUTE
        && bytes.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && bytes.iter().all(is_plain)
    {
        text.extend_from_slice(bytes);
    } else {
        text.extend_from_slice(clean_name(bytes).as_bytes());
    }
}

/// Whether all bytes are printable ASCII. Looks at all of them at once, which the compiler makes fast.
fn is_printable(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |is_printable, byte| is_printable & (byte.wrapping_sub(b' ') <= b'~' - b' '))
}

/// Returns `bytes` as a bare JID that every store returns unchanged, or `None` if they name no account.
///
/// A resource is left out. Otherwise like [`clean`] for an attribute, but where it is too long the localpart is cut, so
/// that the domain stays readable.
///
/// ```
/// use audit_core::entry::text::clean_jid;
/// assert_eq!(clean_jid(b"juliet@example.com/balcony").as_deref(), Some("juliet@example.com"));
/// assert_eq!(clean_jid(b"@"), None);
/// ```
#[must_use]
pub fn clean_jid(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let bytes = bytes.split(|byte| *byte == b'/').next().filter(|jid| !jid.is_empty() && *jid != b"@")?;
    if bytes.len() <= ATTRIBUTE {
        return Some(clean(bytes, TextKind::Attribute));
    }
    let Some((local, domain)) = bytes.iter().rposition(|byte| *byte == b'@').map(|at| bytes.split_at(at)) else {
        return Some(clean(bytes, TextKind::Attribute));
    };
    let domain = clean(domain, TextKind::Attribute);
    if domain.len() > ATTRIBUTE / 2 {
        return Some(clean(bytes, TextKind::Attribute));
    }
    let mut jid = clean(local, TextKind::Attribute).into_owned();
    let room = ATTRIBUTE.saturating_sub(domain.len());
    if jid.len() > room {
        cut(&mut jid, room);
    }
    jid.push_str(&domain);
    Some(Cow::Owned(jid))
}

/// Gives a name that an XML element or attribute can have: what can't stand in one becomes `_`.
///
/// A prefix (`xml:lang`) is kept. An empty name becomes `_`.
#[must_use]
pub fn clean_name(bytes: &[u8]) -> Cow<'_, str> {
    let text = clean(bytes, TextKind::Attribute);
    let fits = |(index, c): (usize, char)| if index == 0 { is_name_start(c) } else { is_name(c) };
    if !text.is_empty() && text.char_indices().all(fits) {
        return text;
    }
    let mut name = String::with_capacity(text.len().saturating_add(1));
    if !text.chars().next().is_some_and(is_name_start) {
        name.push('_');
    }
    name.extend(text.chars().filter(|c| *c != '…').map(|c| if is_name(c) { c } else { '_' }));
    Cow::Owned(name)
}

/// Whether XML 1.0 allows `c` in a document.
#[must_use]
pub const fn is_xml(c: char) -> bool {
    // Rust's `char` has no surrogates.
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn is_kept(c: char, kind: TextKind) -> bool {
    c == replacement(c, kind)
}

fn replacement(c: char, kind: TextKind) -> char {
    match (c, kind) {
        ('\t' | '\n' | '\r', TextKind::Attribute) => ' ',
        ('\r', TextKind::Text) => '\n',
        (c, _) if is_xml(c) => c,
        _ => char::REPLACEMENT_CHARACTER,
    }
}

const fn is_name_start(c: char) -> bool {
    // Letters beyond Latin-1 are left to XML's rule without its few gaps; Prosody's parser takes them.
    matches!(c, 'A'..='Z' | 'a'..='z' | '_' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}')
}

const fn is_name(c: char) -> bool {
    is_name_start(c) || matches!(c, '0'..='9' | '-' | '.' | ':')
}

fn cut(text: &mut String, limit: usize) {
    let mut end = limit.saturating_sub(CUT.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text.push_str(CUT);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_xml_does_not_allow_is_replaced() {
        let rows: &[(&[u8], &str)] = &[
            (b"", ""),
            (b"plain", "plain"),
            ("naïve 日本 😀".as_bytes(), "naïve 日本 😀"),
            (b"nul\0", "nul\u{fffd}"),
            (b"\x01\x08\x0b\x0c\x0e\x14\x1f", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"tab\tline\nend", "tab\tline\nend"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            ("\u{fffe}\u{ffff}".as_bytes(), "\u{fffd}\u{fffd}"),
            (b"]]>", "]]>"),
            (b"a\r\nb\rc", "a\nb\nc"),
        ];
        for (input, expected) in rows {
            assert_eq!(clean(input, TextKind::Text), *expected, "{input:?}");
        }
    }

    #[test]
    fn nobody_brings_an_anchor() {
        let anchor = format!("audit-anchor:{}:{}:7:{}", "A".repeat(22), "A".repeat(22), "A".repeat(43));
        for kind in [TextKind::Attribute, TextKind::Text] {
            for (before, after) in [("", ""), ("\t", " and more"), ("audit-anchor:", "é"), ("x\0", "")] {
                let text = format!("{before}{anchor}{after}");
                let mut appended = Vec::new();
                append(&mut appended, text.as_bytes(), kind);
                assert_eq!(appended, clean(text.as_bytes(), kind).as_bytes());
                assert_eq!(
                    String::from_utf8(appended).unwrap(),
                    text.replace("anchor:", "anchor\u{fffd}")
                        .replace('\0', "\u{fffd}")
                        .replace('\t', if kind == TextKind::Text { "\t" } else { " " })
                );
            }
        }
        assert_eq!(clean(b"audit-anchor:", TextKind::Text), "audit-anchor:");
    }

    #[test]
    fn white_space_of_an_attribute_is_what_a_parser_reads_back() {
        assert_eq!(clean(b"a\tb\nc\rd\r\ne", TextKind::Attribute), "a b c d e");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let long = "é".repeat(TEXT);
        let text = clean(long.as_bytes(), TextKind::Text);
        assert!(text.len() <= TEXT && text.ends_with("é…"), "{} bytes", text.len());
    }

    #[test]
    fn a_long_jid_keeps_its_domain() {
        let jid = format!("{}@example.com", "m".repeat(3000));
        let cleaned = clean_jid(jid.as_bytes()).unwrap();
        assert!(cleaned.ends_with("m…@example.com"), "{cleaned}");
        assert!(cleaned.len() <= ATTRIBUTE);
        assert_eq!(clean_jid(b"mallory@example.com").as_deref(), Some("mallory@example.com"));
        assert_eq!(clean_jid("m".repeat(3000).as_bytes()).map(|jid| jid.len()), Some(ATTRIBUTE));
    }

    #[test]
    fn a_jid_names_an_account_or_nothing() {
        for nothing in ["", "@", "/", "/resource", "@/x"] {
            assert_eq!(clean_jid(nothing.as_bytes()), None, "{nothing}");
        }
        assert_eq!(clean_jid(b"example.com/x/y@z").as_deref(), Some("example.com"));
    }

    #[test]
    fn a_name_fits_an_element() {
        for (input, expected) in [("note", "note"), ("xml:lang", "xml:lang"), ("1a", "_1a"), ("a/b", "a_b"), ("", "_"), ("a b<", "a_b_")] {
            assert_eq!(clean_name(input.as_bytes()), expected, "{input}");
        }
    }

    proptest! {
        #[test]
        fn cleaned_text_is_xml_bounded_and_stays_as_it_is(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
            for kind in [TextKind::Attribute, TextKind::Text] {
                let once = clean(&bytes, kind);
                prop_assert!(once.chars().all(is_xml) && once.len() <= kind.limit());
                prop_assert_eq!(clean(once.as_bytes(), kind), once.as_ref());
            }
            for (kind, expected) in [(TextKind::Attribute, clean(&bytes, TextKind::Attribute)), (TextKind::Text, clean(&bytes, TextKind::Text))] {
                let mut appended = b"x".to_vec();
                append(&mut appended, &bytes, kind);
                prop_assert_eq!(&appended[1..], expected.as_bytes());
            }
            let mut name = Vec::new();
            append_name(&mut name, &bytes);
            prop_assert_eq!(String::from_utf8_lossy(&name), clean_name(&bytes));
            let jid = clean_jid(&bytes);
            prop_assert!(jid.is_none_or(|jid| jid.len() <= ATTRIBUTE));
        }

        #[test]
        fn good_text_is_left_alone(text in "[ -~à-ÿ]{0,200}") {
            prop_assert_eq!(clean(text.as_bytes(), TextKind::Text), text.as_str());
        }
    }
}
