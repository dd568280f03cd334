//! Words with `*` for any characters, as filters take them.

use std::fmt;

use crate::wildcard::Wildcard;

/// A word in which each `*` stands for any number of characters. Upper and lower case are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(
    /// In lower case.
    Wildcard,
);

impl Pattern {
    /// A pattern in which each `*` stands for any number of characters.
    ///
    /// ```
    /// use audit_core::filter::pattern::Pattern;
    /// assert!(Pattern::new("user-*").matches("User-Registered"));
    /// ```
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Wildcard::new(&text.to_lowercase()))
    }

    /// A pattern that matches only this word, even if it has a `*`.
    #[must_use]
    pub fn exactly(text: &str) -> Self {
        Self(Wildcard::exactly(&text.to_lowercase()))
    }

    /// The only word that matches, in lower case. Returns `None` if there are several.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        self.0.word()
    }

    /// The texts between the `*`, in lower case and in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &str> {
        self.0.pieces()
    }

    /// The longest text that every matching word contains.
    #[must_use]
    pub fn longest_piece(&self) -> &str {
        self.0.pieces().max_by_key(|piece| piece.len()).unwrap_or_default()
    }

    /// Whether `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let is_lower = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        if is_lower { self.0.matches(text) } else { self.0.matches(&text.to_lowercase()) }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wildcard::tests::naive;
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

    proptest! {
        #[test]
        fn a_pattern_matches_like_a_naive_one(pattern in "[ab*]{0,8}", text in "[ab]{0,12}") {
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), naive(&pattern, &text), "{} {}", pattern, text);
        }
    }
}
