//! Text from outside, shown to people: nothing in it steers a terminal or changes the direction in which it is read.

/// `text` in one line, with nothing in it that steers a terminal or changes the direction in which it is read.
///
/// ```
/// use audit_core::report::printable::printable;
/// assert_eq!(printable("a\u{1b}[2J\u{202e}b"), "a\\u{1b}[2J\\u{202e}b");
/// ```
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(' '),
            c if steers(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Whether a character steers what shows it, instead of being shown: control characters, the characters of Unicode's
/// category Cf that reorder or hide text (UTS #55, source code handling), and line separators.
#[must_use]
pub const fn steers(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_shown_as_its_number() {
        assert_eq!(printable("a\u{1b}[2Jb\u{7}\u{9b}\u{202e}c\nd\u{200b}"), "a\\u{1b}[2Jb\\u{7}\\u{9b}\\u{202e}c d\\u{200b}");
        assert!(('\0'..=char::MAX).filter(|c| c.is_control()).all(steers));
    }
}
