//! What an output says of an entry's link: enough to compare with the log later, and nothing that helps to guess a value that was
//! withheld from the output.

use std::borrow::Cow;

use crate::NAMESPACE;
use crate::entry::canon::CHAIN;
use crate::entry::xml::Element;

/// What an anchor begins with, so that it is found in any file.
pub const SCHEME: &str = "audit-anchor:";

/// The length of the shortest anchor: the scheme, two values of 16 bytes, a number, a hash of 32 bytes, and three colons.
const SHORTEST: usize = SCHEME.len() + 22 + 22 + 1 + 43 + 3;
/// The attributes of `<chain/>` that are in an anchor, in their order.
const PARTS: [&str; 4] = ["id", "run", "n", "hash"];
/// Those that only the journal, the store and exported evidence have: they open the commitments.
const SECRETS: [&str; 2] = ["salt", "kept"];

/// Takes `<chain/>` out of an entry. Returns the anchor: `audit-anchor:CHAIN:RUN:NUMBER:HASH`.
pub(super) fn take(root: &mut Element) -> Option<String> {
    let is_ours = |element: &Element| element.name == CHAIN && element.attribute("hash").is_some() && element.attribute("n").is_some();
    root.child(CHAIN).filter(|found| is_ours(found))?;
    let chain = root.take_child(CHAIN)?;
    let values: Option<Vec<&str>> = PARTS.iter().map(|name| chain.attribute(name)).collect();
    Some(text(values?.try_into().ok()?))
}

/// An anchor, of the chain, the run, the number and the hash of a link.
pub(crate) fn text(parts: [&str; 4]) -> String {
    format!("{SCHEME}{}", parts.join(":"))
}

/// Whether there may be an anchor in a text from outside. Nearly every text is too short for one.
pub(super) fn is_in(bytes: &[u8]) -> bool {
    bytes.len() >= SHORTEST && String::from_utf8_lossy(bytes).contains(SCHEME)
}

/// A text in which no anchor is found.
pub(super) fn defused(text: &str) -> String {
    text.replace(SCHEME, &format!("{}{}", SCHEME.trim_end_matches(':'), char::REPLACEMENT_CHARACTER))
}

/// The XML of an entry without what opens its commitments.
pub(super) fn without_secrets(xml: &str) -> Cow<'_, str> {
    // `<` stands in no text.
    let Some((begin, end)) = tag_of(xml) else { return Cow::Borrowed(xml) };
    let (before, tag, after) = (xml.get(..begin), xml.get(begin..end), xml.get(end..));
    let (Some(before), Some(tag), Some(after)) = (before, tag, after) else { return Cow::Borrowed(xml) };
    let mut tag = tag.to_owned();
    for name in SECRETS {
        remove_attribute(&mut tag, name);
    }
    Cow::Owned(format!("{before}{tag}{after}"))
}

/// Where the tag `<chain …>` of the log's namespace is.
fn tag_of(xml: &str) -> Option<(usize, usize)> {
    let open = format!("<{CHAIN} ");
    let mut from = 0_usize;
    loop {
        let begin = xml.get(from..)?.find(&open)?.checked_add(from)?;
        let end = xml.get(begin..)?.find('>')?.checked_add(begin)?;
        if xml.get(begin..end)?.contains(NAMESPACE) {
            return Some((begin, end));
        }
        from = end;
    }
}

fn remove_attribute(tag: &mut String, name: &str) {
    let found = ['\'', '"'].into_iter().find_map(|quote| {
        let begin = tag.find(&format!(" {name}={quote}"))?;
        let value = begin.checked_add(name.len())?.checked_add(3)?;
        let end = tag.get(value..)?.find(quote)?.checked_add(value)?.checked_add(1)?;
        Some(begin..end)
    });
    if let Some(range) = found {
        tag.replace_range(range, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "<audit-event type='test'><chain xmlns='urn:other' salt='theirs'/>\
        <chain salt='SALT' hash=\"HASH\" id='ID' xmlns='xmpp:prosody.im/audit' kept=\"1:KEPT\" run='RUN' n='7' at='1'/></audit-event>";

    #[test]
    fn an_output_has_what_can_be_compared_and_no_salt() {
        let shown = without_secrets(ENTRY);
        assert_eq!(
            shown,
            "<audit-event type='test'><chain xmlns='urn:other' salt='theirs'/>\
             <chain hash=\"HASH\" id='ID' xmlns='xmpp:prosody.im/audit' run='RUN' n='7' at='1'/></audit-event>"
        );
        for xml in ["", "<chain ", "<chain salt='", "<chain xmlns='xmpp:prosody.im/audit' salt='x", "a > b"] {
            assert_eq!(without_secrets(xml), xml);
        }
    }

    #[test]
    fn what_looks_like_an_anchor_is_changed() {
        let anchor = text([&"A".repeat(22), &"A".repeat(22), "7", &"A".repeat(43)]);
        assert_eq!(anchor.len(), SHORTEST);
        assert!(SCHEME.ends_with(':') && is_in(anchor.as_bytes()) && !is_in(&anchor.as_bytes()[1..]));
        assert_eq!(defused(&format!("x{anchor}")), format!("xaudit-anchor\u{fffd}{}", &anchor[SCHEME.len()..]));
    }

    #[test]
    fn the_link_is_no_detail() {
        let mut root = Element::parse("<e><chain id='ID' run='RUN' n='7' hash='HASH'/><note>x</note></e>").unwrap();
        assert_eq!(take(&mut root).as_deref(), Some("audit-anchor:ID:RUN:7:HASH"));
        assert_eq!(root.into_elements().map(|element| element.name).collect::<Vec<_>>(), ["note"]);
        let mut root = Element::parse("<e><chain link='of somebody else'/></e>").unwrap();
        assert_eq!((take(&mut root), root.into_elements().count()), (None, 1));
    }
}
