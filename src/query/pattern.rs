//! Words with `*` for any characters, as filters take them.

use std::fmt;

/// A word in which each `*` stands for any number of characters; upper and lower case are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What stands between the `*`, in lower case.
    pieces: Vec<String>,
}

impl Pattern {
    /// A pattern of which each `*` stands for any characters.
    ///
    /// ```
    /// use audit_core::query::pattern::Pattern;
    /// assert!(Pattern::new("user-*").matches("user-registered"));
    /// assert!(!Pattern::new("user-*").matches("new-user-registered"));
    /// ```
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { pieces: text.to_lowercase().split('*').map(ToOwned::to_owned).collect() }
    }

    /// A pattern that is this word, whatever it has in it.
    #[must_use]
    pub fn exactly(text: &str) -> Self {
        Self { pieces: vec![text.to_lowercase()] }
    }

    /// The only word that matches, in lower case; nothing where there are more.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [word] => Some(word),
            _ => None,
        }
    }

    /// The longest text that is in every word that matches.
    #[must_use]
    pub fn longest_piece(&self) -> &str {
        self.pieces.iter().max_by_key(|piece| piece.len()).map_or("", String::as_str)
    }

    /// Whether `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let is_lower = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        if is_lower { self.matches_lower(text) } else { self.matches_lower(&text.to_lowercase()) }
    }

    fn matches_lower(&self, text: &str) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return text == first };
        let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
        for piece in middle {
            let Some(at) = text.find(piece.as_str()) else { return false };
            text = text.get(at.saturating_add(piece.len())..).unwrap_or_default();
        }
        text.ends_with(last.as_str())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pieces.join("*"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_is_any_number_of_characters() {
        for (pattern, text, matches) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("A", "a", true),
            ("ä*", "Äb", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("*.com", "a.example.com", true),
            ("a*b", "ab\u{e9}b", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), matches, "{pattern} {text}");
        }
        assert!(Pattern::exactly("a*").matches("A*") && !Pattern::exactly("a*").matches("ab"));
    }

    /// Matching as it is defined, character by character.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skipped| naive(rest, &text[skipped..])),
            Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_equals_a_naive_one(pattern in "[ab*]{0,8}", text in "[ab]{0,12}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), naive(&chars(&pattern), &chars(&text)), "{} {}", pattern, text);
        }
    }
}
