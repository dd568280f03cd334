//! Text from outside, made safe to show: no character controls a terminal, changes the reading direction, or is invisible.

/// `text` in one line. A character that controls a terminal, changes the reading direction or is invisible is shown as its number.
///
/// ```
/// use audit_core::render::printable::printable;
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

/// Whether a character is more, or less, than a visible character: control characters and line separators; characters that reorder
/// text (UTS #55, source code handling); those with the property `Default_Ignorable_Code_Point` (UAX #44), which are not drawn; and
/// blanks other than the space, which make two names look the same.
#[must_use]
pub const fn steers(c: char) -> bool {
    is_control(c) || is_ignorable(c) || is_blank(c)
}

const fn is_control(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
}

/// `Default_Ignorable_Code_Point` of Unicode 16, which includes the bidirectional controls.
const fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// White space other than the space, and two characters without a visible shape: the Braille pattern without dots, and the musical
/// symbol null notehead.
const fn is_blank(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{2800}' | '\u{3000}' | '\u{1d159}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_as_numbers() {
        assert_eq!(printable("a\u{1b}[2Jb\u{7}\u{9b}\u{202e}c\nd\u{200b}"), "a\\u{1b}[2Jb\\u{7}\\u{9b}\\u{202e}c d\\u{200b}");
        assert!(('\0'..=char::MAX).filter(|c| c.is_control()).all(steers));
    }

    #[test]
    fn no_white_space_but_the_space_is_shown_as_it_is() {
        assert!(('\0'..=char::MAX).filter(|c| c.is_whitespace() && *c != ' ').all(steers));
        assert!(!steers(' '));
    }

    #[test]
    fn characters_that_are_not_seen_or_reorder_are_shown_as_their_numbers() {
        let ranges = [
            '\u{ad}'..='\u{ad}',
            '\u{34f}'..='\u{34f}',
            '\u{61c}'..='\u{61c}',
            '\u{115f}'..='\u{1160}',
            '\u{17b4}'..='\u{17b5}',
            '\u{180b}'..='\u{180f}',
            '\u{200b}'..='\u{200f}',
            '\u{202a}'..='\u{202e}',
            '\u{2060}'..='\u{206f}',
            '\u{2066}'..='\u{2069}',
            '\u{2800}'..='\u{2800}',
            '\u{3164}'..='\u{3164}',
            '\u{fe00}'..='\u{fe0f}',
            '\u{feff}'..='\u{feff}',
            '\u{ffa0}'..='\u{ffa0}',
            '\u{fff0}'..='\u{fffb}',
            '\u{1bca0}'..='\u{1bca3}',
            '\u{1d159}'..='\u{1d159}',
            '\u{1d173}'..='\u{1d17a}',
            '\u{e0000}'..='\u{e0fff}',
        ];
        for c in ranges.into_iter().flatten() {
            assert_eq!(printable(&c.to_string()), format!("\\u{{{:x}}}", u32::from(c)));
        }
    }

    #[test]
    fn letters_and_signs_of_any_script_are_shown_as_they_are() {
        for text in ["naïve", "Ünïcode", "日本語", "العربية", "עברית", "हिन्दी", "ไทย", "한국어", "😀", "⠿", "〇", "។", "᠀"]
        {
            assert_eq!(printable(text), text);
        }
    }
}
