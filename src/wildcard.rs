//! Words in which `*` stands for any characters.

use std::fmt;

/// A word in which each `*` stands for any number of characters, including none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard {
    /// The text between the `*`.
    pieces: Vec<String>,
}

impl Wildcard {
    /// A word in which each `*` stands for any number of characters.
    ///
    /// ```
    /// use audit_core::wildcard::Wildcard;
    /// assert!(Wildcard::new("user-*").matches("user-registered"));
    /// assert!(!Wildcard::new("user-*").matches("new-user-registered"));
    /// ```
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { pieces: text.split('*').map(ToOwned::to_owned).collect() }
    }

    /// Matches only this word, even if it has a `*`.
    #[must_use]
    pub fn exactly(text: &str) -> Self {
        Self { pieces: vec![text.to_owned()] }
    }

    /// The only word that matches. Returns `None` if there are several.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [word] => Some(word),
            _ => None,
        }
    }

    /// The text between the `*`, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().map(String::as_str)
    }

    /// Whether `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
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

impl fmt::Display for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pieces.join("*"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Matching as it is defined, character by character.
    pub(crate) fn naive(pattern: &str, text: &str) -> bool {
        let mut rest = pattern.chars();
        match rest.next() {
            None => text.is_empty(),
            Some('*') => text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| naive(rest.as_str(), &text[at..])),
            Some(c) => text.strip_prefix(c).is_some_and(|text| naive(rest.as_str(), text)),
        }
    }

    proptest! {
        #[test]
        fn a_wildcard_matches_like_a_naive_one(pattern in "[abA*é]{0,8}", text in "[abAé]{0,12}") {
            let wildcard = Wildcard::new(&pattern);
            prop_assert_eq!(wildcard.matches(&text), naive(&pattern, &text), "{} {}", pattern, text);
            prop_assert_eq!(wildcard.to_string(), pattern);
        }
    }
}
